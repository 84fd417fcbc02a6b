"""Rows of SETTINGS for remote storage, several levels and distributed compilation.

Owns: the names and kinds of those settings.  Must not know: the backends.
The order of BACKENDS decides which storage is used when several are configured and no chain is.
"""

from sccache.config import parse
from sccache.config.parse import Kind
from sccache.config.setting import Scope, Setting

BACKENDS = ("s3", "redis", "memcached", "gcs", "gha", "azure", "webdav", "oss", "cos")


def _row(  # noqa: PLR0913, PLR0917 -- a row of the table has that many columns
    name: str,
    env: str,
    kind: Kind,
    default: object,
    text: str,
    aliases: tuple[str, ...] = (),
    *,
    required: bool = False,
    selects: bool = False,
    secret: bool = False,
    ignored: bool = False,
    lenient: bool = False,
) -> Setting:
    return Setting(
        name=f"cache.{name}", env=env, kind=kind, default=default, help=text, aliases=aliases, required=required,
        selects=selects, secret=secret, ignored=ignored, lenient=lenient,
    )  # fmt: skip


def _common(backend: str, *, read_only: bool = False) -> tuple[Setting, ...]:
    """The two settings that every remote storage has."""
    env = f"SCCACHE_{'S3' if backend == 's3' else backend.upper()}"
    prefix = () if backend == "gha" else (
        _row(f"{backend}.key_prefix", f"{env}_KEY_PREFIX", parse.KEY_PREFIX, "", "Put before every key."),
    )  # fmt: skip
    mode = _row(f"{backend}.rw_mode", f"{env}_RW_MODE", parse.RW_MODE, read_only,
                f"READ_ONLY or READ_WRITE; by default {'READ_ONLY' if read_only else 'READ_WRITE'}.", lenient=True)  # fmt: skip
    return (*prefix, mode)


S3 = (
    _row("s3.bucket", "SCCACHE_BUCKET", parse.TEXT, None, "The S3 bucket.", required=True, selects=True),
    _row("s3.region", "SCCACHE_REGION", parse.TEXT, None, "The bucket's region; by default AWS_REGION or AWS_DEFAULT_REGION."),
    _row("s3.endpoint", "SCCACHE_ENDPOINT", parse.TEXT, None, "Address of an S3-compatible service."),
    _row("s3.use_ssl", "SCCACHE_S3_USE_SSL", parse.BOOL, None, "true: https, false: http; otherwise as the endpoint says."),
    _row("s3.no_credentials", "SCCACHE_S3_NO_CREDENTIALS", parse.BOOL, False, "Do not sign requests (public buckets)."),
    _row("s3.server_side_encryption", "SCCACHE_S3_SERVER_SIDE_ENCRYPTION", parse.BOOL, None, "Encrypt with the service's key."),
    _row("s3.server_side_encryption_aws_kms", "SCCACHE_S3_SERVER_SIDE_ENCRYPTION_AWS_KMS", parse.BOOL, None,
         "Encrypt with the account's KMS key."),
    _row("s3.server_side_encryption_kms_key_id", "SCCACHE_S3_SERVER_SIDE_ENCRYPTION_KMS_KEY_ID", parse.TEXT, None,
         "Encrypt with this KMS key."),
    _row("s3.enable_virtual_host_style", "SCCACHE_S3_ENABLE_VIRTUAL_HOST_STYLE", parse.BOOL, None,
         "Put the bucket into the host name."),
    *_common("s3"),
)  # fmt: skip
REDIS = (
    _row("redis.endpoint", "SCCACHE_REDIS_ENDPOINT", parse.TEXT, None,
         "One Redis: `redis://`, `rediss://` (TLS), `unix://` or `tcp://` address.", selects=True, secret=True),
    _row("redis.cluster_endpoints", "SCCACHE_REDIS_CLUSTER_ENDPOINTS", parse.TEXT, None,
         "A Redis cluster: addresses separated by commas.", selects=True, secret=True),
    _row("redis.url", "SCCACHE_REDIS", parse.TEXT, None, "Deprecated form of `endpoint`, with credentials inside.",
         selects=True, secret=True),
    _row("redis.username", "SCCACHE_REDIS_USERNAME", parse.TEXT, None, "User name."),
    _row("redis.password", "SCCACHE_REDIS_PASSWORD", parse.TEXT, None, "Password.", secret=True),
    _row("redis.db", "SCCACHE_REDIS_DB", parse.NUMBER, 0, "Number of the database."),
    _row("redis.ttl", "SCCACHE_REDIS_EXPIRATION", parse.NUMBER, 0, "Seconds that an entry lives; 0: for ever.",
         ("expiration", "SCCACHE_REDIS_TTL")),
    *_common("redis"),
)  # fmt: skip
MEMCACHED = (
    _row("memcached.url", "SCCACHE_MEMCACHED_ENDPOINT", parse.TEXT, None, "Address with port, such as `tcp://127.0.0.1:11211`.",
         ("endpoint", "SCCACHE_MEMCACHED"), required=True, selects=True),
    _row("memcached.username", "SCCACHE_MEMCACHED_USERNAME", parse.TEXT, None, "User name (SASL)."),
    _row("memcached.password", "SCCACHE_MEMCACHED_PASSWORD", parse.TEXT, None, "Password (SASL).", secret=True),
    _row("memcached.expiration", "SCCACHE_MEMCACHED_EXPIRATION", parse.NUMBER, 86400, "Seconds that an entry lives; 0: for ever."),
    *_common("memcached"),
)  # fmt: skip
GCS = (
    _row("gcs.bucket", "SCCACHE_GCS_BUCKET", parse.TEXT, None, "The bucket.", required=True, selects=True),
    _row("gcs.cred_path", "SCCACHE_GCS_KEY_PATH", parse.PATH, None, "A service account's key file."),
    _row("gcs.service_account", "SCCACHE_GCS_SERVICE_ACCOUNT", parse.TEXT, None, "The account to ask the machine for."),
    _row("gcs.credential_url", "SCCACHE_GCS_CREDENTIALS_URL", parse.TEXT, None, "Where to fetch a token.", secret=True),
    _row("gcs.oauth_url", "SCCACHE_GCS_OAUTH_URL", parse.TEXT, None, "Accepted and without effect.", ("deprecated_url",), ignored=True),
    *_common("gcs", read_only=True),
)  # fmt: skip
GHA = (
    _row("gha.enabled", "SCCACHE_GHA_ENABLED", parse.BOOL, None, "Whether to use the cache of GitHub Actions; false wins over all else.",
         selects=True),
    _row("gha.version", "SCCACHE_GHA_VERSION", parse.TEXT, "", "Any text; workflows with different texts share nothing.", selects=True),
    _row("gha.cache_to", "SCCACHE_GHA_CACHE_TO", parse.TEXT, None, "Accepted and without effect.", ignored=True),
    _row("gha.cache_from", "SCCACHE_GHA_CACHE_FROM", parse.TEXT, None, "Accepted and without effect.", ignored=True),
    _row("gha.url", "SCCACHE_GHA_CACHE_URL", parse.TEXT, None, "Accepted and without effect.", ignored=True),
    _row("gha.token", "SCCACHE_GHA_RUNTIME_TOKEN", parse.TEXT, None, "Accepted and without effect.", ignored=True, secret=True),
    *_common("gha"),
)  # fmt: skip
AZURE = (
    _row("azure.container", "SCCACHE_AZURE_BLOB_CONTAINER", parse.TEXT, None, "The container, which must exist.",
         required=True, selects=True),
    _row("azure.connection_string", "SCCACHE_AZURE_CONNECTION_STRING", parse.TEXT, None, "The account's connection string.", secret=True),
    _row("azure.storage_account", "SCCACHE_AZURE_STORAGE_ACCOUNT", parse.TEXT, None, "The account's name, for Entra ID."),
    _row("azure.endpoint", "SCCACHE_AZURE_ENDPOINT", parse.TEXT, None, "The blob endpoint, for Entra ID."),
    *_common("azure"),
)  # fmt: skip
WEBDAV = (
    _row("webdav.endpoint", "SCCACHE_WEBDAV_ENDPOINT", parse.TEXT, None, "The service's address.", required=True, selects=True),
    _row("webdav.username", "SCCACHE_WEBDAV_USERNAME", parse.TEXT, None, "User name."),
    _row("webdav.password", "SCCACHE_WEBDAV_PASSWORD", parse.TEXT, None, "Password.", secret=True),
    _row("webdav.token", "SCCACHE_WEBDAV_TOKEN", parse.TEXT, None, "Bearer token.", secret=True),
    *_common("webdav"),
)  # fmt: skip
OSS = (
    _row("oss.bucket", "SCCACHE_OSS_BUCKET", parse.TEXT, None, "The bucket.", required=True, selects=True),
    _row("oss.endpoint", "SCCACHE_OSS_ENDPOINT", parse.TEXT, None, "The service's address."),
    _row("oss.no_credentials", "SCCACHE_OSS_NO_CREDENTIALS", parse.BOOL, False, "Do not sign requests (public buckets)."),
    *_common("oss"),
)  # fmt: skip
COS = (
    _row("cos.bucket", "SCCACHE_COS_BUCKET", parse.TEXT, None, "The bucket.", required=True, selects=True),
    _row("cos.endpoint", "SCCACHE_COS_ENDPOINT", parse.TEXT, None, "The service's address."),
    *_common("cos"),
)  # fmt: skip
LIMITS = (
    Setting("cache.remote.timeout", "SCCACHE_REMOTE_TIMEOUT", parse.SECONDS, 10.0,
            "Seconds that a remote storage may take to answer one request; then the compile goes on without it.",
            field="limits.timeout_s"),
    Setting("cache.remote.max_entry_size", "SCCACHE_REMOTE_MAX_ENTRY_SIZE", parse.SIZE, 512 << 20,
            "Larger results are not sent to remote storage.", field="limits.max_entry_bytes"),
)  # fmt: skip
AMBIENT = {
    "s3": ("AWS_",),
    "gcs": ("GOOGLE_", "GCE_METADATA_", "STORAGE_EMULATOR_HOST"),
    "gha": ("ACTIONS_", "GITHUB_SERVER_URL"),
    "azure": ("AZURE_", "AZBLOB_"),
    "oss": ("ALIBABA_CLOUD_",),
    "cos": ("TENCENTCLOUD_", "TKE_"),
}
"""Variables that a storage's own tools know, by the beginning of their names: credentials, regions, services of a runner."""
MAY_NOT_BE_BOTH = (
    ("SCCACHE_REDIS_EXPIRATION", "SCCACHE_REDIS_TTL",
     "You mustn't set both SCCACHE_REDIS_EXPIRATION and SCCACHE_REDIS_TTL. Use only one."),
    ("SCCACHE_MEMCACHED", "SCCACHE_MEMCACHED_ENDPOINT",
     "You mustn't set both SCCACHE_MEMCACHED and SCCACHE_MEMCACHED_ENDPOINT. Please, use only SCCACHE_MEMCACHED_ENDPOINT."),
)  # fmt: skip
"""Two variables of one setting, and what is said of both (reference 2.7)."""
NEED_A_BUCKET = ("SCCACHE_GCS_CREDENTIALS_URL", "SCCACHE_GCS_OAUTH_URL", "SCCACHE_GCS_KEY_PATH")
BUCKET_NEEDED = "If setting GCS credentials, SCCACHE_GCS_BUCKET and an auth mechanism need to be set."
MULTILEVEL = (
    Setting("cache.multilevel.chain", "SCCACHE_MULTILEVEL_CHAIN", parse.CHAIN, (),
            "Storages from fast to slow, such as `disk,redis,s3`.", field="multilevel.chain"),
    Setting("cache.multilevel.write_error_policy", "SCCACHE_MULTILEVEL_WRITE_ERROR_POLICY", parse.POLICY, "l0",
            "Which failed writes count as a failure: none (`ignore`), the first level's (`l0`), any (`all`).",
            field="multilevel.write_error_policy", lenient=True),
)  # fmt: skip
DIST = (
    Setting("dist.scheduler_url", "", parse.SCHEDULER_URL, None, "The scheduler's address, http or https.",
            Scope.DAEMON, "dist.scheduler_url"),
    Setting("dist.auth", "", parse.AUTH, None,
            "How to authenticate: a table with `type` = `token`, `oauth2_code_grant_pkce` or `oauth2_implicit`.",
            Scope.DAEMON, "dist.auth", secret=True),
    Setting("dist.cache_dir", "", parse.PATH, None, "Where packaged toolchains are kept.", Scope.DAEMON, "dist.cache_dir"),
    Setting("dist.toolchains", "", parse.TOOLCHAINS, (), "Toolchains not to be packaged automatically.", Scope.DAEMON, "dist.toolchains"),
    Setting("dist.toolchain_cache_size", "", parse.SIZE, 10 << 30, "Most bytes that packaged toolchains may take.",
            Scope.DAEMON, "dist.toolchain_cache_size_bytes"),
    Setting("dist.rewrite_includes_only", "", parse.BOOL, False, "Accepted and without effect: workers always get sources as they are.",
            Scope.DAEMON, "dist.rewrite_includes_only"),
)  # fmt: skip

STORAGE_ROWS = (*S3, *REDIS, *MEMCACHED, *GCS, *GHA, *AZURE, *WEBDAV, *OSS, *COS, *LIMITS, *MULTILEVEL, *DIST)
