"""The daemon's view of settings: its own, and those that a compile brings along.

A compile's SCCACHE_* variables stand over the daemon's.  What a daemon that was started explicitly (--start-server, a
service) found in its environment stays valid for compiles that say nothing; a daemon that a compile started by the way
keeps none of that compile's settings for others.
Owns: noticing that settings or the configuration file changed, cheaply.  Must not know: what is done about it.
"""

import logging
import os
from collections.abc import Mapping

from msgspec import Struct

from sccache.config.load import ENV_PREFIX, load
from sccache.config.locations import config_file
from sccache.config.schema import Config
from sccache.config.storage_rows import AMBIENT
from sccache.errors import ConfigError

log = logging.getLogger(__name__)

HEEDED = (ENV_PREFIX.encode(), *(prefix.encode() for prefixes in AMBIENT.values() for prefix in prefixes))
"""Beginnings of the names of all variables that settings are made of."""
NOT_SETTINGS = (b"SCCACHE_LOG", b"SCCACHE_ERROR_LOG", b"SCCACHE_START", b"SCCACHE_NO_DAEMON", b"SCCACHE_SERVER_")
"""Variables of the daemon itself; that a compile has others changes nothing."""
MAX_REMEMBERED = 64  # different settings; a script that makes up a cache buster per compile must not fill memory

FileSignature = tuple[int, int, int, int] | None


class _Remembered(Struct, frozen=True):
    config: Config
    path: str
    """The configuration file that counted."""
    signature: FileSignature


def fingerprint(env_blob: bytes) -> bytes:
    """The settings in an environment of NUL-terminated K=V: equal settings give equal bytes."""
    found = [entry for entry in env_blob.split(b"\0") if entry.startswith(HEEDED) and not entry.startswith(NOT_SETTINGS)]
    if len(found) > 1:
        found.sort()
    return b"\0".join(found)


class ConfigMemory:
    """Settings by fingerprint.  Equal settings give the identical Config until the configuration file changes."""

    def __init__(self, env: Mapping[str, str], base_dir: str, *, keeps_settings: bool) -> None:
        """`env` is the daemon's; `keeps_settings` is False for a daemon that a compile started.  Raises ConfigError."""
        self._base_dir = base_dir
        self._env = {name: value for name, value in env.items() if keeps_settings or not name.startswith(ENV_PREFIX)}
        self._remembered: dict[bytes, _Remembered] = {}
        self.base = load(env, base_dir, strict=keeps_settings)
        """The settings that the daemon was started with: where its statistics are, when it is idle."""

    def get(self, settings: bytes) -> Config:
        """The settings of a compile with this fingerprint; what is unusable is logged and counts as not set."""
        known = self._remembered.get(settings)
        if known is not None and _signature(known.path) == known.signature:
            return known.config
        return self._load(settings, known)

    def _load(self, settings: bytes, known: _Remembered | None) -> Config:
        brought = dict(os.fsdecode(entry).split("=", 1) for entry in settings.split(b"\0") if b"=" in entry)
        env = {**self._env, **brought}
        path = config_file(env, self._base_dir)
        signature = _signature(path)  # before reading: a change in between is seen as one the next time
        try:
            config = load(env, self._base_dir, strict=False)
        except ConfigError as e:
            log.warning("%s; the settings from before are used", e)
            config = known.config if known else self.base
        for warning in config.warnings:
            log.warning("%s", warning)
        for same in (self.base, known.config if known else None):
            if same == config:
                config = same  # one object for equal settings: the file was touched, or the compile says what the daemon knows
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[settings] = _Remembered(config, path, signature)
        return config


def _signature(path: str) -> FileSignature:
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
