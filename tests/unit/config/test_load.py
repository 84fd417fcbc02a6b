"""load.py: environment over file over default, field by field."""

from pathlib import Path

import pytest

from sccache.config.load import BY_ENV, load
from sccache.config.schema import SETTINGS, Config
from sccache.errors import ConfigError

TOML_WITH_EVERYTHING = """
server_startup_timeout_ms = 2500
basedirs = ["/src//project", "/other/"]
client_side_mode = true
depend_mode = true
[cache.disk]
dir = "/var/cache/x"
size = "7g"
rw_mode = "READ_ONLY"
[cache.disk.preprocessor_cache_mode]
use_preprocessor_cache_mode = false
file_stat_matches = true
use_ctime_for_stat = false
ignore_time_macros = true
skip_system_headers = true
hash_working_directory = false
[cache.azure]
container = "c"
connection_string = "secret"
key_prefix = "p/"
[cache.gcs]
bucket = "b"
rw_mode = "READ_WRITE"
cred_path = "/k.json"
[cache.gha]
enabled = true
version = "v"
url = "ignored"
[cache.memcached]
endpoint = "tcp://127.0.0.1:11211"
expiration = 90
[cache.redis]
url = "redis://user:secret@1.2.3.4:6379/?db=1"
expiration = 86400
[cache.s3]
bucket = "name"
endpoint = "s3-us-east-1.amazonaws.com"
use_ssl = true
key_prefix = "s3prefix"
server_side_encryption = false
[cache.webdav]
endpoint = "http://127.0.0.1:8080"
token = "t"
[cache.oss]
bucket = "name"
no_credentials = true
[cache.cos]
bucket = "name"
[cache.multilevel]
chain = ["disk", "Redis", "s3"]
write_error_policy = "all"
something_new = 1
[dist]
scheduler_url = "http://1.2.3.4:10600"
cache_dir = "/dist"
toolchain_cache_size = "5g"
toolchains = []
rewrite_includes_only = true
[dist.auth]
type = "token"
token = "secrettoken"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def configured(home: Path, content: str, name: str = "sccache.toml", **env: str) -> Config:
    path = home / name
    path.write_text(content)
    return load({"HOME": str(home), "SCCACHE_CONF": str(path), **env}, str(home))


def test_defaults(home: Path):
    """Nothing set: everything as documented."""
    config = load({"HOME": str(home)}, "/")
    assert config.disk.dir == f"{home}/.cache/sccache"
    assert config.disk.size_bytes == 10737418240
    assert not config.disk.read_only
    assert config.disk.preprocessor.use_preprocessor_cache_mode
    assert config.disk.preprocessor.use_ctime_for_stat
    assert config.disk.preprocessor.hash_working_directory
    assert (config.port, config.idle_timeout_s, config.startup_timeout_s, config.zstd_level) == (4226, 600.0, 10.0, 3)
    assert config.basedirs == ()
    assert config.remotes == ()
    assert config.warnings == ()
    assert not config.disk_is_configured
    assert config.conf == f"{home}/.config/sccache/config"


def test_xdg(home: Path):
    """XDG directories count if absolute."""
    env = {"HOME": str(home), "XDG_CACHE_HOME": "/xc", "XDG_CONFIG_HOME": "relative"}
    config = load(env, "/")
    assert config.disk.dir == "/xc/sccache"
    assert config.conf == f"{home}/.config/sccache/config"


def test_default_file(home: Path):
    """The file at its default place is found."""
    place = home / ".config" / "sccache"
    place.mkdir(parents=True)
    (place / "config").write_text("[cache.disk]\nsize = 5\n")
    assert load({"HOME": str(home)}, "/").disk.size_bytes == 5


def test_no_home():
    """Without HOME the user database says where home is."""
    config = load({}, "/")
    assert config.disk.dir.startswith("/")
    assert config.disk.dir.endswith("/.cache/sccache")


def test_everything(home: Path):
    """A file with all tables loads, and every value has its type."""
    config = configured(home, TOML_WITH_EVERYTHING)
    assert config.startup_timeout_s == 2.5
    assert config.basedirs == ("/src/project/", "/other/")
    assert config.client_side_mode
    assert config.depend_mode
    assert (config.disk.dir, config.disk.size_bytes, config.disk.read_only) == ("/var/cache/x", 7 << 30, True)
    mode = config.disk.preprocessor
    assert not mode.use_preprocessor_cache_mode
    assert mode.file_stat_matches
    assert not mode.use_ctime_for_stat
    assert mode.ignore_time_macros
    assert mode.skip_system_headers
    assert not mode.hash_working_directory
    assert [remote.name for remote in config.remotes] == ["s3", "redis", "memcached", "gcs", "gha", "azure", "webdav", "oss", "cos"]
    remotes = {remote.name: remote.settings for remote in config.remotes}
    assert remotes["memcached"]["url"] == "tcp://127.0.0.1:11211"
    assert remotes["memcached"]["expiration"] == 90
    assert remotes["redis"]["ttl"] == 86400
    assert remotes["azure"]["key_prefix"] == "p"
    assert remotes["gcs"]["rw_mode"] is False
    assert remotes["s3"]["no_credentials"] is False
    assert config.multilevel.chain == ("disk", "redis", "s3")
    assert config.multilevel.write_error_policy == "all"
    assert config.dist.toolchain_cache_size_bytes == 5 << 30
    assert config.dist.auth == {"type": "token", "token": "secrettoken"}


def test_secrets_not_shown(home: Path):
    """What is configured can be logged without its passwords."""
    shown = repr(configured(home, TOML_WITH_EVERYTHING).remotes)
    assert "secret" not in shown


def test_json(home: Path):
    """The same in JSON; null means not set."""
    content = (
        '{"cache":{"disk":{"dir":"/j","size":null,"preprocessor_cache_mode":{"u'
        'se_preprocessor_cache_mode":false}}},"dist":{"toolchains":[]}}'
    )
    config = configured(home, content, "sccache-cfg.json")
    assert config.disk.dir == "/j"
    assert config.disk.size_bytes == 10 << 30
    assert not config.disk.preprocessor.use_preprocessor_cache_mode


def test_env_over_file_by_field(home: Path):
    """A variable replaces its field and nothing else."""
    config = configured(home, '[cache.disk]\ndir = "/file"\nsize = "1G"\n', SCCACHE_CACHE_SIZE="2G", SCCACHE_DIRECT="off")
    assert (config.disk.dir, config.disk.size_bytes) == ("/file", 2 << 30)
    assert not config.disk.preprocessor.use_preprocessor_cache_mode


def test_partial_direct_table(home: Path):
    """A field of the direct mode's table leaves the others at their defaults."""
    config = configured(home, "[cache.disk.preprocessor_cache_mode]\nignore_time_macros = true\n")
    assert config.disk.preprocessor.use_preprocessor_cache_mode
    assert config.disk.preprocessor.ignore_time_macros
    assert config.disk_is_configured


def test_remote_env_over_file_by_field(home: Path):
    """The same holds for remote storage."""
    config = configured(home, '[cache.s3]\nbucket = "file"\nregion = "eu"\n', SCCACHE_BUCKET="env")
    assert config.remotes[0].settings["bucket"] == "env"
    assert config.remotes[0].settings["region"] == "eu"


@pytest.mark.parametrize(
    ("name", "value", "backend"),
    [
        ("SCCACHE_BUCKET", "b", "s3"),
        ("SCCACHE_REDIS", "redis://h", "redis"),
        ("SCCACHE_REDIS_CLUSTER_ENDPOINTS", "redis://h", "redis"),
        ("SCCACHE_MEMCACHED", "h:1", "memcached"),
        ("SCCACHE_MEMCACHED_ENDPOINT", "h:1", "memcached"),
        ("SCCACHE_GCS_BUCKET", "b", "gcs"),
        ("SCCACHE_GHA_ENABLED", "on", "gha"),
        ("SCCACHE_AZURE_BLOB_CONTAINER", "c", "azure"),
        ("SCCACHE_WEBDAV_ENDPOINT", "http://h", "webdav"),
        ("SCCACHE_OSS_BUCKET", "b", "oss"),
        ("SCCACHE_COS_BUCKET", "b", "cos"),
    ],
)
def test_env_selects(home: Path, name: str, value: str, backend: str):
    """One variable is enough to configure a storage."""
    config = load({"HOME": str(home), name: value}, "/")
    assert [remote.name for remote in config.remotes] == [backend]


def test_env_does_not_select(home: Path):
    """A switch that is off, or a prefix alone, configures nothing."""
    assert load({"HOME": str(home), "SCCACHE_GHA_ENABLED": "off", "SCCACHE_S3_KEY_PREFIX": "x"}, "/").remotes == ()


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (
            {"SCCACHE_MEMCACHED": "old:1", "SCCACHE_MEMCACHED_ENDPOINT": "new:1"},
            "You mustn't set both SCCACHE_MEMCACHED and SCCACHE_MEMCACHED_ENDPOINT. Please, use only SCCACHE_MEMCACHED_ENDPOINT.",
        ),
        (
            {"SCCACHE_REDIS_ENDPOINT": "h:1", "SCCACHE_REDIS_EXPIRATION": "1", "SCCACHE_REDIS_TTL": "2"},
            "You mustn't set both SCCACHE_REDIS_EXPIRATION and SCCACHE_REDIS_TTL. Use only one.",
        ),
        *(
            ({name: "/x"}, "If setting GCS credentials, SCCACHE_GCS_BUCKET and an auth mechanism need to be set.")
            for name in ("SCCACHE_GCS_KEY_PATH", "SCCACHE_GCS_CREDENTIALS_URL", "SCCACHE_GCS_OAUTH_URL")
        ),
    ],
)
def test_contradictions(home: Path, env: dict[str, str], sentence: str):
    """Are errors for commands, and warnings for compiles, where the current one of two names counts."""
    with pytest.raises(ConfigError) as caught:
        load({"HOME": str(home), **env}, "/")
    assert str(caught.value) == sentence
    config = load({"HOME": str(home), **env}, "/", strict=False)
    assert config.warnings == (sentence,)
    values = {value for remote in config.remotes for value in remote.settings.values()}
    assert not {"old:1", 2} & values


def test_gcs_reads_only(home: Path):
    """GCS is read-only unless told otherwise."""
    assert load({"HOME": str(home), "SCCACHE_GCS_BUCKET": "b"}, "/").remotes[0].settings["rw_mode"] is True


def test_missing_required(home: Path):
    """A storage's table without what it needs is an error that names it."""
    with pytest.raises(ConfigError, match=r"cache\.s3\.bucket is missing"):
        configured(home, '[cache.s3]\nregion = "eu"\n')


def test_empty_variable_is_unset(home: Path):
    """A variable set to nothing counts as not set."""
    config = configured(home, '[cache.disk]\ndir = "/file"\n', SCCACHE_DIR="", SCCACHE_DIRECT="", SCCACHE_BUCKET="")
    assert config.disk.dir == "/file"
    assert config.remotes == ()


def test_presence_counts(home: Path):
    """Variables of which only the presence counts may be empty or 0."""
    config = load({"HOME": str(home), "SCCACHE_RECACHE": "0", "SCCACHE_NO_CACHE": "", "SCCACHE_LOG_MILLIS": ""}, "/")
    assert config.recache
    assert config.no_cache
    assert config.log_millis


def test_exactly_one(home: Path):
    """Some variables mean something only as 1."""
    config = load({"HOME": str(home), "SCCACHE_NO_DAEMON": "true", "SCCACHE_IGNORE_SERVER_IO_ERROR": "1"}, "/")
    assert not config.no_daemon
    assert config.ignore_server_io_error


def test_empty_error_log_is_set(home: Path):
    """An empty SCCACHE_ERROR_LOG is not the same as none: the daemon's start refuses it."""
    assert load({"HOME": str(home), "SCCACHE_ERROR_LOG": ""}, "/b").error_log == ""
    assert load({"HOME": str(home)}, "/b").error_log is None
    assert load({"HOME": str(home), "SCCACHE_ERROR_LOG": "x.log"}, "/b").error_log == "/b/x.log"


def test_basedirs_env_replaces(home: Path):
    """The variable replaces the file's list, even when empty."""
    content = 'basedirs = ["/file"]\n'
    assert configured(home, content).basedirs == ("/file/",)
    assert configured(home, content, SCCACHE_BASEDIRS="/a:/b").basedirs == ("/a/", "/b/")
    assert configured(home, content, SCCACHE_BASEDIRS="").basedirs == ()


def test_basedirs_relative(home: Path):
    """Relative base directories are an error, from the file as from the variable."""
    with pytest.raises(ConfigError, match=r"^SCCACHE_BASEDIRS value is invalid: Basedir path must be absolute: 'x'"):
        load({"HOME": str(home), "SCCACHE_BASEDIRS": "/a:x"}, "/")
    with pytest.raises(ConfigError, match="basedirs value is invalid: Basedir path must be absolute"):
        configured(home, 'basedirs = ["x"]\n')


def test_paths(home: Path):
    """`~` is home; relative starts at the start directory, or at the file."""
    env = {"HOME": str(home)}
    assert load({**env, "SCCACHE_DIR": "~/c"}, "/base").disk.dir == f"{home}/c"
    assert load({**env, "SCCACHE_DIR": "c"}, "/base").disk.dir == "/base/c"
    assert configured(home, '[cache.disk]\ndir = "c"\n').disk.dir == f"{home}/c"
    assert configured(home, '[cache.disk]\ndir = "~/d"\n').disk.dir == f"{home}/d"


def test_bad_switch(home: Path):
    """A bad switch is an error in the words that users know."""
    with pytest.raises(ConfigError, match=r"^SCCACHE_DIRECT must be 'true', 'on', '1', 'false', 'off' or '0'\.$"):
        load({"HOME": str(home), "SCCACHE_DIRECT": "yes"}, "/")


def test_bad_number(home: Path):
    """A bad number is an error that names variable and value."""
    with pytest.raises(ConfigError, match=r"^SCCACHE_REDIS_DB value is invalid: 'x' is not a whole number$"):
        load({"HOME": str(home), "SCCACHE_REDIS_DB": "x"}, "/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCCACHE_CACHE_SIZE", "bogus"),
        ("SCCACHE_SERVER_PORT", "http"),
        ("SCCACHE_IDLE_TIMEOUT", "soon"),
        ("SCCACHE_LOCAL_RW_MODE", "RO"),
        ("SCCACHE_CACHE_ZSTD_LEVEL", "best"),
    ],
)
def test_lenient_variables(home: Path, name: str, value: str):
    """Variables that sccache passes over when bad keep their defaults, with a warning."""
    config = load({"HOME": str(home), name: value}, "/")
    assert len(config.warnings) == 1
    assert config.warnings[0].startswith(f"{name} value is invalid: {value!r}")
    good = load({"HOME": str(home)}, "/")
    assert (config.disk, config.port, config.idle_timeout_s, config.zstd_level) == (good.disk, 4226, 600.0, 3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[cache.disk]\nsizes = 3\n", r"unknown field `sizes` in table \[cache\.disk\]"),
        ("speed = 3\n", r"unknown field `speed` at the top level"),
        ("[cache.floppy]\n", r"unknown field `floppy` in table \[cache\]"),
        ("cache = 3\n", r"cache must be a table"),
        ("[cache.disk]\nsize = -1\n", r"cache\.disk\.size value is invalid: -1"),
        ("[cache.disk]\nsize = 'x'\n", r"cache\.disk\.size value is invalid: 'x'"),
        ("[cache.disk]\nsize = true\n", r"cache\.disk\.size value is invalid: True"),
        ("[cache.disk]\nrw_mode = 'RO'\n", r"cache\.disk\.rw_mode value is invalid: 'RO'"),
        ("[cache.disk]\ndir = 3\n", r"cache\.disk\.dir value is invalid: 3"),
        ("[cache.disk.preprocessor_cache_mode]\nfile_stat_matches = 1\n", r"file_stat_matches value is invalid: 1"),
        ("basedirs = '/a'\n", r"basedirs value is invalid"),
        ("[cache.multilevel]\nchain = ['disk']\nwrite_error_policy = 'some'\n", r"write_error_policy value is invalid: 'some'"),
    ],
)
def test_bad_file(home: Path, content: str, says: str):
    """One sentence names file, table, field and value."""
    with pytest.raises(ConfigError, match=rf"^Failed to load config file {home}/sccache\.toml: .*{says}"):
        configured(home, content)


def test_bad_secret_not_shown(home: Path):
    """The value of a secret stays out of the sentence."""
    with pytest.raises(ConfigError) as e:
        configured(home, "[cache.redis]\npassword = 987654\n")
    assert "987654" not in str(e.value)


def test_broken_syntax(home: Path):
    """A file that is no TOML, or no JSON, is an error that names it."""
    with pytest.raises(ConfigError, match=f"^Failed to load toml config file from {home}/sccache.toml: "):
        configured(home, "[cache\n")
    with pytest.raises(ConfigError, match=f"^Failed to load json config file from {home}/c.json: "):
        configured(home, "{", "c.json")


def test_missing_named_file(home: Path):
    """A file that does not exist means defaults."""
    assert load({"HOME": str(home), "SCCACHE_CONF": "/does/not/exist"}, "/").disk.size_bytes == 10 << 30


def test_file_not_utf8(home: Path):
    """A file that is not text is passed over with a warning."""
    (home / "c.toml").write_bytes(b"basedirs = ['/\xff']\n")
    config = load({"HOME": str(home), "SCCACHE_CONF": "c.toml"}, str(home))
    assert config.basedirs == ()
    assert "not UTF-8" in config.warnings[0]


def test_known_to_load():
    """Every variable of the table is read by the loader, under all its names."""
    for setting in SETTINGS:
        if setting.env:
            assert BY_ENV[setting.env] is setting


def test_fields_exist():
    """Every row that names a field of Config names one that exists, and its default has that field's type."""
    config = load({"HOME": "/nowhere"}, "/")
    for setting in SETTINGS:
        target: object = config
        for part in setting.field.split(".") if setting.field else ():
            assert hasattr(target, part), setting.field
            target = getattr(target, part)


def test_not_strict(home: Path):
    """For a compile, a bad variable is a warning, and the others hold; a bad file stays an error."""
    env = {"HOME": str(home), "SCCACHE_DIRECT": "perhaps", "SCCACHE_DIR": "/d", "SCCACHE_REDIS_DB": "x"}
    config = load(env, "/", strict=False)
    assert config.disk.dir == "/d"
    assert config.warnings == (
        "SCCACHE_DIRECT must be 'true', 'on', '1', 'false', 'off' or '0'; it was passed over.",
        "SCCACHE_REDIS_DB value is invalid: 'x' is not a whole number; it was passed over.",
    )
