"""From settings to storages: which levels there are, and the class behind each name.

Owns: the table of backends, the sentences about a chain that cannot be.  Must not know: what a backend does with its settings.
"""

import importlib
from typing import cast

from sccache.config.schema import Config, RemoteConfig
from sccache.errors import ConfigError
from sccache.storage.base import Backend
from sccache.storage.disk import DiskStorage
from sccache.storage.level import Level, LocalLevel, RemoteLevel
from sccache.storage.levels import Levels
from sccache.storage.redaction import Redactor, learn, secrets_of
from sccache.storage.remote import Remote
from sccache.storage.uploads import Uploads

DISK = "disk"
BACKENDS = {
    "s3": ("s3", "S3Backend"),
    "redis": ("redis", "RedisBackend"),
    "memcached": ("memcached", "MemcachedBackend"),
    "gcs": ("gcs", "GcsBackend"),
    "gha": ("gha", "GhaBackend"),
    "azure": ("azure", "AzureBackend"),
    "webdav": ("webdav", "WebdavBackend"),
    "oss": ("oss", "OssBackend"),
    "cos": ("cos", "CosBackend"),
}
"""Name in the settings → module of this package and its class; imported when it is used."""


def open_levels(config: Config, spool_dir: str = "") -> Levels:
    """The storage of these settings, without any I/O.  Raises ConfigError.

    `spool_dir` is a private directory in which results may wait to be sent.
    """
    levels: list[Level] = []
    for chosen in chosen_levels(config):
        if isinstance(chosen, str):
            disk = config.disk
            levels.append(LocalLevel(DiskStorage(disk.dir, disk.size_bytes, read_only=disk.read_only), read_only=disk.read_only))
            continue
        remote = Remote(
            _opened(config, chosen), config.limits, read_only=bool(chosen.settings["rw_mode"]), redact=Redactor(secrets_of(chosen))
        )
        levels.append(RemoteLevel(remote, Uploads(remote, spool_dir)))
    chain = config.multilevel
    return Levels(levels, is_chain=bool(chain.chain), policy=chain.write_error_policy)


def chosen_levels(config: Config) -> list[RemoteConfig | str]:
    """Which storages are used, from near to far; the disk is `DISK`.  Raises ConfigError (sentences of reference 9.12)."""
    configured = {remote.name: remote for remote in config.remotes if remote.settings.get("enabled") is not False}
    if not config.multilevel.chain:
        return [next(iter(configured.values()), DISK)]
    levels: list[RemoteConfig | str] = []
    for word in config.multilevel.chain:
        name = word.strip().lower()
        if name == DISK:
            if not config.disk_is_configured:
                raise ConfigError("Disk cache specified in levels but not configured (set SCCACHE_DIR)")
            levels.append(DISK)
        elif name in configured:
            levels.append(configured[name])
        elif name in BACKENDS:
            raise ConfigError(
                f"Cache level '{name}' specified in SCCACHE_MULTILEVEL_CHAIN but not configured (missing environment variables)"
            )
        else:
            raise ConfigError(f"Unknown cache level: '{word.strip()}'")
    return levels


def open_backend(remote: RemoteConfig) -> Backend:
    """The backend of one configured remote storage.  Raises ConfigError."""
    learn(secrets_of(remote))
    module, name = BACKENDS[remote.name]
    backend = getattr(importlib.import_module(f"sccache.storage.{module}"), name)
    return cast("Backend", backend(remote.settings, remote.ambient))


def _opened(config: Config, remote: RemoteConfig) -> Backend:
    try:
        return open_backend(remote)
    except ConfigError as e:
        if not config.multilevel.chain:
            raise
        raise ConfigError(f"Failed to build cache for level '{remote.name}': {e}") from e
