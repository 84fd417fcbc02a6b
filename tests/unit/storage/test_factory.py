"""From settings to levels: order, and the sentences about chains that cannot be."""

import pytest

from sccache.config.load import load
from sccache.errors import ConfigError
from sccache.storage.factory import BACKENDS, chosen_levels, open_backend, open_levels

REDIS = {"SCCACHE_REDIS_ENDPOINT": "redis://127.0.0.1:1"}
WEBDAV = {"SCCACHE_WEBDAV_ENDPOINT": "http://127.0.0.1:1/cache"}


def names(env: dict[str, str]) -> list[str]:
    return [level if isinstance(level, str) else level.name for level in chosen_levels(load({"HOME": "/nowhere", **env}, "/"))]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, ["disk"]),
        (WEBDAV, ["webdav"]),
        ({**WEBDAV, **REDIS, "SCCACHE_DIR": "/x"}, ["redis"]),
        ({**WEBDAV, **REDIS, "SCCACHE_DIR": "/x", "SCCACHE_MULTILEVEL_CHAIN": "disk, WebDAV ,redis"}, ["disk", "webdav", "redis"]),
        ({**WEBDAV, "SCCACHE_MULTILEVEL_CHAIN": "webdav"}, ["webdav"]),
        ({"SCCACHE_GHA_VERSION": "1", "SCCACHE_GHA_ENABLED": "false"}, ["disk"]),
        ({"SCCACHE_GHA_VERSION": "1", "SCCACHE_GHA_ENABLED": "false", **WEBDAV}, ["webdav"]),
        ({"SCCACHE_GHA_VERSION": "1"}, ["gha"]),
    ],
)
def test_which_storages_are_used(env: dict[str, str], expected: list[str]) -> None:
    """A chain, else the first remote, else the disk."""
    assert names(env) == expected


@pytest.mark.parametrize(
    ("chain", "sentence"),
    [
        ("disk,redis", "Disk cache specified in levels but not configured (set SCCACHE_DIR)"),
        ("redis,s3", "Cache level 's3' specified in SCCACHE_MULTILEVEL_CHAIN but not configured (missing environment variables)"),
        ("redis,floppy", "Unknown cache level: 'floppy'"),
    ],
)
def test_chains_that_cannot_be(chain: str, sentence: str) -> None:
    """The reference's sentences."""
    with pytest.raises(ConfigError) as caught:
        names({**REDIS, "SCCACHE_MULTILEVEL_CHAIN": chain})
    assert str(caught.value) == sentence


def test_a_bad_level_of_a_chain_is_named() -> None:
    """With what its backend says."""
    env = {"SCCACHE_WEBDAV_ENDPOINT": "nonsense", "SCCACHE_MULTILEVEL_CHAIN": "webdav", "HOME": "/nowhere"}
    with pytest.raises(ConfigError, match=r"^Failed to build cache for level 'webdav': .*SCCACHE_WEBDAV_ENDPOINT"):
        open_levels(load(env, "/"))


CONFIGURED = {
    "s3": {"SCCACHE_BUCKET": "b", "SCCACHE_REGION": "us-east-1"},
    "redis": REDIS,
    "memcached": {"SCCACHE_MEMCACHED_ENDPOINT": "tcp://127.0.0.1:1"},
    "gcs": {"SCCACHE_GCS_BUCKET": "b"},
    "gha": {"SCCACHE_GHA_ENABLED": "true"},
    "azure": {"SCCACHE_AZURE_BLOB_CONTAINER": "c", "SCCACHE_AZURE_CONNECTION_STRING": "UseDevelopmentStorage=true"},
    "webdav": WEBDAV,
    "oss": {"SCCACHE_OSS_BUCKET": "b", "SCCACHE_OSS_ENDPOINT": "https://oss-cn-beijing.aliyuncs.com"},
    "cos": {"SCCACHE_COS_BUCKET": "b", "SCCACHE_COS_ENDPOINT": "https://cos.ap-beijing.myqcloud.com"},
}
SCHEMES = {"azure": "azblob", "gha": "ghac"}


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_can_be_made(name: str) -> None:
    """Without a connection, and its location begins with its name."""
    config = load({"HOME": "/nowhere", **CONFIGURED[name]}, "/")
    backend = open_backend(config.remotes[0])
    assert backend.type_name == SCHEMES.get(name, name)
    assert backend.location().startswith(f"{backend.type_name}, name: ")
