"""One level of storage: the local disk, or a remote storage with its queue.

Owns: what the two kinds have in common for Levels.  Must not know: other levels.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from sccache.errors import StorageError
from sccache.stats import RemoteStats
from sccache.storage.ahead import Ahead
from sccache.storage.base import Access, Kind
from sccache.storage.disk import DiskStorage
from sccache.storage.remote import Remote
from sccache.storage.uploads import Uploads
from sccache.storage.writes import Done, Put, Write

log = logging.getLogger(__name__)

MAX_DISTRUSTED = 10_000


class LocalLevel:
    """The disk."""

    type_name = "disk"

    def __init__(self, disk: DiskStorage, *, read_only: bool) -> None:
        self._disk = disk
        self.is_writable = not read_only
        self.get_nowait = disk.get_nowait
        self.has = disk.has
        self.drop = disk.drop
        self.location = disk.location
        self.used_bytes = disk.used_bytes
        self.aclose = disk.aclose

    def max_bytes(self) -> int | None:
        """Most bytes to hold."""
        return self._disk.max_size_bytes

    async def store(self, writes: Sequence[Write], done: Done) -> None:
        """Write now, in a thread."""
        start_ns = time.monotonic_ns()
        error = None
        try:
            await asyncio.to_thread(self._store, writes)
        except StorageError as e:
            error = e
        except Exception as e:
            log.exception("a result could not be stored")
            error = StorageError(type(e).__name__)
        done(error, time.monotonic_ns() - start_ns)

    def _store(self, writes: Sequence[Write]) -> None:
        for write in writes:
            blob = write.blob if isinstance(write, Put) else write.change(self._disk.get_nowait(write.key, write.kind))
            if blob is not None:
                self._disk.put_nowait(write.key, write.kind, blob)

    def zero_stats(self) -> None:
        """It counts nothing."""

    def notes(self) -> list[str]:
        """It is never in trouble for long."""
        return []

    def has_pending(self) -> bool:
        """It writes at once."""
        return False

    async def flush(self, _deadline_s: float) -> None:
        """It writes at once."""


class RemoteLevel:
    """A service, and what waits to be sent to it."""

    def __init__(self, remote: Remote, uploads: Uploads) -> None:
        self._remote = remote
        self._uploads = uploads
        self._distrusted: dict[tuple[str, Kind], None] = {}
        self.ahead = Ahead(remote, uploads.has)
        self.type_name = remote.type_name
        self.is_writable = remote.is_writable
        self.location = remote.location
        self.has = uploads.has
        self.has_pending = uploads.has_pending
        self.flush = uploads.flush

    @property
    def stats(self) -> RemoteStats:
        """What was asked and answered."""
        return self._remote.stats

    async def get(self, key: str, kind: Kind) -> bytes | None:
        """What waits to be sent, else what the service has; StorageError where that cannot be told."""
        waiting = await self._uploads.waiting(key, kind)
        if waiting is not None or (key, kind) in self._distrusted:
            return waiting
        return await self.ahead.get(key, kind)

    def drop(self, key: str, kind: Kind) -> None:
        """Do not ask for this again before it was sent anew."""
        self.ahead.forget(key, kind)
        self._distrusted[key, kind] = None
        if len(self._distrusted) > MAX_DISTRUSTED:
            del self._distrusted[next(iter(self._distrusted))]

    async def store(self, writes: Sequence[Write], done: Done) -> None:
        """Send by and by."""

        def sent(error: StorageError | None, duration_ns: int) -> None:
            if error is None:
                for write in writes:
                    self._distrusted.pop((write.key, write.kind), None)
            done(error, duration_ns)

        for write in writes:
            self.ahead.forget(write.key, write.kind)
        await self._uploads.submit(writes, sent)

    async def check(self) -> None:
        """See what can be done with it, and log it; what is wrong is in the notes from then on."""
        try:
            access = await self._remote.check()
        except StorageError as e:
            log.warning("cache storage failed to read: %s: %s", self.type_name, e)
            return
        log.info("%s: server has setup with %s", self.type_name, "ReadOnly" if access is Access.READ_ONLY else "ReadWrite")

    async def aclose(self) -> None:
        """End requests and close connections."""
        await self.ahead.aclose()
        await self._remote.aclose()

    def zero_stats(self) -> None:
        """Start counting again."""
        fresh = RemoteStats(self.stats.name, self.stats.location)
        for name in fresh.__struct_fields__:
            setattr(self.stats, name, getattr(fresh, name))
        self._uploads.zero_stats()

    def notes(self) -> list[str]:
        """What is wrong, and what was lost."""
        return [*self._remote.notes(), *self._uploads.notes()]

    def used_bytes(self) -> int | None:
        """Nobody knows."""
        return None

    def max_bytes(self) -> int | None:
        """The service decides."""
        return None


Level = LocalLevel | RemoteLevel
