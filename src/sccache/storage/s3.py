"""Amazon S3 and services that speak its protocol: MinIO, R2, Ceph, Garage, Spaces, and others.

Owns: which endpoint, region, credentials and encryption the settings and the AWS variables mean.
Must not know: how requests are signed and sent (opendal_backend.py), what profile files look like (s3_profile.py).

Credentials, the first that are there: AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN); the profile in
~/.aws/credentials or ~/.aws/config, with `role_arn` and `source_profile` or with `credential_process`; then what the library
finds by itself from the daemon's environment: SSO, web identity (AWS_WEB_IDENTITY_TOKEN_FILE), ECS and EKS, EC2 (IMDSv2).
The library renews what it found when it expires; the profile is read again after a denial, and before its keys expire.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sccache.errors import ConfigError, StorageError, Trouble
from sccache.storage.opendal_backend import OpendalBackend
from sccache.storage.opendal_errors import Failure
from sccache.storage.s3_profile import read_profile

if TYPE_CHECKING:
    import opendal

DEFAULT_REGION = "us-east-1"
METADATA_TIMEOUT_S = 1.0
BEFORE_METADATA = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
"""Who sets one of these has credentials that are found before the machine's."""
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_S3_ENDPOINT")
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


class S3Backend(OpendalBackend):
    """Objects of a bucket."""

    type_name = "s3"
    service = "s3"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:
        """Of the settings of `cache.s3` and the AWS_ variables; ConfigError for an endpoint that is none and for contradictions."""
        keys = _static_keys(ambient)
        if settings["no_credentials"] and ("AWS_ACCESS_KEY_ID" in ambient or "AWS_SECRET_ACCESS_KEY" in ambient):
            raise ConfigError("If setting S3 credentials, SCCACHE_S3_NO_CREDENTIALS must not be set.")
        self._ambient = dict(ambient)
        self._region: str | None = settings["region"] or _first(ambient, REGION_VARIABLES)
        self._is_anonymous = bool(settings["no_credentials"])
        self._uses_files = not keys and not self._is_anonymous
        self._renew_at_s: float | None = None
        options = {"bucket": settings["bucket"], **keys, **_encryption(settings)}
        endpoint = _endpoint(settings, ambient)
        if endpoint:
            options["endpoint"] = endpoint
        if settings["enable_virtual_host_style"]:
            options["enable_virtual_host_style"] = "true"
        if self._is_anonymous:
            options |= {"skip_signature": "true", "disable_config_load": "true", "disable_ec2_metadata": "true"}
        super().__init__(settings["bucket"], settings["key_prefix"], options)

    async def _options(self) -> Mapping[str, str]:
        options = dict(self._fixed)
        if self._uses_files:
            profile = await asyncio.to_thread(read_profile, self._ambient)
            options |= profile.options
            self._renew_at_s = profile.renew_at_s
            if (
                "access_key_id" not in options
                and not any(map(self._ambient.get, BEFORE_METADATA))
                and not await _has_metadata(self._ambient)
            ):
                options["disable_ec2_metadata"] = "true"
        if self._region:
            options["region"] = self._region
        return {"region": DEFAULT_REGION, **options}

    async def _open(self) -> "opendal.AsyncOperator":
        if self._renew_at_s is not None and time.time() >= self._renew_at_s:
            self._operator = None
        return await super()._open()

    def _error(self, failure: Failure) -> StorageError:
        error = super()._error(failure)
        if error.trouble is Trouble.DENIED and self._uses_files:
            self._operator = None  # tools renew the keys in the files: read them again
        if error.trouble is not Trouble.WRONG_PLACE:
            return error
        if failure.code == "NoSuchBucket":
            return StorageError(f"there is no bucket {self._name} ({error})", error.trouble)
        if failure.region:
            return StorageError(f"the bucket {self._name} is in the region {failure.region}; set SCCACHE_REGION ({error})", error.trouble)
        hint = "check SCCACHE_REGION" if self._region else f"no region is set, {DEFAULT_REGION} was taken"
        return StorageError(f"the bucket {self._name} is not here; {hint} ({error})", error.trouble)


def resolve_endpoint(endpoint: str, *, use_ssl: bool | None) -> str:
    """An address with scheme and path (reference 9.11); `use_ssl` decides the scheme if it is not None, http is the default.

    Raises ConfigError if it is no address.
    """
    scheme, separator, rest = endpoint.strip().rpartition("://")
    if use_ssl is not None:
        scheme = "https" if use_ssl else "http"
    url = f"{scheme.lower() if separator or use_ssl is not None else 'http'}://{rest}"
    try:
        parts = urlsplit(url)
        reason = _unusable(parts.scheme, parts.hostname, parts.port or 0, url)
    except ValueError:  # its text may hold a piece of a password
        reason = "the host or the port is none"
    if reason:
        shown = "***" if any(sign in endpoint for sign in "@?#") else endpoint
        raise ConfigError(f"input endpoint {shown} is invalid: {reason} (cache.s3.endpoint, SCCACHE_ENDPOINT)")
    return url if parts.path else f"{url}/"


def _unusable(scheme: str, host: str | None, port: int, url: str) -> str:
    """What is wrong with an endpoint; empty if nothing is."""
    if scheme not in {"http", "https"}:
        return "the scheme must be http or https"
    if not host or port < 0 or any(c.isspace() for c in url):
        return "it has no host, or a space"
    if "@" in url or "?" in url or "#" in url:
        return "it may have a host, a port and a path only"
    return ""


def _endpoint(settings: Mapping[str, Any], ambient: Mapping[str, str]) -> str:
    """Where requests go; empty for AWS.  The bucket in front of the host's name is taken off: it is added as configured."""
    if settings["endpoint"]:
        endpoint = resolve_endpoint(settings["endpoint"], use_ssl=settings["use_ssl"])
    else:
        endpoint = _first(ambient, ENDPOINT_VARIABLES) or ""
        if endpoint and "://" not in endpoint:
            endpoint = f"https://{endpoint}"
    return endpoint.replace(f"://{settings['bucket']}.", "://", 1)


async def _has_metadata(ambient: Mapping[str, str]) -> bool:
    """Whether this may be a machine of EC2.

    The library would wait for the answer of an address that leads nowhere until the request's deadline, and missing
    credentials would look like a slow service.  AWS's own tools wait for a second, too.
    """
    if ambient.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    address = urlsplit(ambient.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254")
    try:
        async with asyncio.timeout(METADATA_TIMEOUT_S):
            _, writer = await asyncio.open_connection(address.hostname, address.port or 80)
    except (OSError, ValueError):  # TimeoutError is an OSError
        return False
    writer.close()
    return True


def _static_keys(ambient: Mapping[str, str]) -> dict[str, str]:
    """The library's options for keys in variables; empty if they are not all there."""
    key_id, secret, token = (ambient.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"))
    if not key_id or not secret:
        return {}
    keys = {"access_key_id": key_id, "secret_access_key": secret}
    return {**keys, "session_token": token} if token else keys


def _encryption(settings: Mapping[str, Any]) -> dict[str, str]:
    """The library's options; a key's id wins over the account's key, and that over the service's (reference 9.2)."""
    key_id = settings["server_side_encryption_kms_key_id"]
    if key_id:
        return {"server_side_encryption": "aws:kms", "server_side_encryption_aws_kms_key_id": key_id}
    if settings["server_side_encryption_aws_kms"]:
        return {"server_side_encryption": "aws:kms"}
    return {"server_side_encryption": "AES256"} if settings["server_side_encryption"] else {}


def _first(ambient: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """The first variable that is set and not empty."""
    return next((ambient[name] for name in names if ambient.get(name)), None)
