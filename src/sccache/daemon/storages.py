"""The storages that a daemon has open, by the settings that they come from.

Settings that name the same storage share it, with its connections.  One that is used no more is closed after a while.
Owns: opening, what happens to unusable settings, closing.  Must not know: who asks for what in them.
"""

import asyncio
import logging
import time

import msgspec
from msgspec import Struct

from sccache.config.schema import Config, MultilevelConfig
from sccache.errors import ConfigError
from sccache.hashing.digest import digest
from sccache.storage import factory
from sccache.storage.levels import Levels
from sccache.storage.redaction import hide

log = logging.getLogger(__name__)

KEEP_UNUSED_S = 60.0  # settings that alternate from compile to compile must not connect anew each time
CLOSE_DEADLINE_S = 30.0


class Opened(Struct, eq=False):
    """An open storage."""

    levels: Levels
    note: str = ""
    """Why this is not what the settings ask for."""
    users: int = 0
    """Compiles and writes under way."""
    used_s: float = 0.0


class Storages:
    """Opened storages."""

    def __init__(self, spool_dir: str) -> None:
        """`spool_dir` is a private directory in which results may wait to be sent."""
        self._spool_dir = spool_dir
        self._opened: dict[bytes, Opened] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, config: Config) -> Opened:
        """The storage of these settings; the local disk where they cannot be used."""
        key = _key(config)
        opened = self._opened.get(key)
        if opened is None:
            opened = self._opened[key] = _open(config, self._spool_dir)
        opened.used_s = time.monotonic()
        return opened

    def all(self) -> list[Levels]:
        """Every open storage."""
        return [opened.levels for opened in self._opened.values()]

    def has_pending(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._closing) or any(levels.has_pending() for levels in self.all())

    def close_unused(self, current: Opened) -> list[Opened]:
        """Close, in the background, what nobody has used for a while; tells which."""
        limit_s = time.monotonic() - KEEP_UNUSED_S
        stale = {
            key: opened
            for key, opened in self._opened.items()
            if opened is not current and not opened.users and opened.used_s < limit_s and not opened.levels.has_pending()
        }
        for key, opened in stale.items():
            del self._opened[key]
            task = asyncio.get_running_loop().create_task(_close(opened.levels))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        return list(stale.values())

    async def flush(self, deadline_s: float) -> None:
        """Write out what waits; what is not done in time is counted as lost by its storage."""
        for failure in await asyncio.gather(*(levels.flush(deadline_s) for levels in self.all()), return_exceptions=True):
            if failure is not None:
                log.error("a storage could not be flushed", exc_info=failure)

    async def aclose(self) -> None:
        """Close all."""
        await asyncio.gather(*self._closing, *(_close(levels) for levels in self.all()))
        self._opened.clear()


def local_only(config: Config) -> Config:
    """The same settings with nothing but the local disk."""
    return msgspec.structs.replace(config, remotes=(), multilevel=MultilevelConfig())


def _open(config: Config, spool_dir: str) -> Opened:
    note = ""
    try:
        levels = factory.open_levels(config, spool_dir)
    except (ConfigError, ImportError) as e:  # a library may be missing
        note = f"{hide(str(e)).rstrip('.')}; the local disk is used instead."
        log.warning("%s", note)
        levels = factory.open_levels(local_only(config))
    levels.check_soon()
    return Opened(levels, note)


async def _close(levels: Levels) -> None:
    try:
        await levels.aclose(CLOSE_DEADLINE_S)
    except Exception:
        log.exception("a storage could not be closed")


def _key(config: Config) -> bytes:
    """What tells storages apart; a digest, because it is made of passwords too."""
    remotes = [(remote.name, sorted(remote.settings.items()), sorted(remote.ambient.items())) for remote in config.remotes]
    disk = config.disk
    words = (disk.dir, disk.size_bytes, disk.read_only, config.disk_is_configured, remotes, config.limits, config.multilevel)
    return digest(repr(words).encode("utf-8", "surrogateescape"))
