"""What waits to be sent to a remote storage: a queue that is bounded, survives bursts, and says what it lost.

Up to MEMORY_BYTES wait in memory, what comes then in files of the daemon's scratch directory, up to SPOOL_BYTES; more is lost.
Owns: the order and the bounds of waiting, flushing.  Must not know: what is in a blob, why a service fails.
"""

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from sccache.errors import StorageError, Trouble
from sccache.storage.base import Kind
from sccache.storage.remote import Remote
from sccache.storage.writes import Done, Put, Update, Write, size_of
from sccache.util.sizes import human_size

log = logging.getLogger(__name__)

MEMORY_BYTES = 64 << 20
SPOOL_BYTES = 2 << 30
MAX_WAITING = 10_000  # of 40 KB each, besides their blobs: an update knows its whole compile
WORKERS = 8
PATIENCE_S = 120.0  # with a service that wants to be left alone for a while


class Spooled(Struct, frozen=True):
    """A blob in a file."""

    key: str
    kind: Kind
    path: str
    size: int


class _Item(Struct, eq=False):
    writes: tuple[Write | Spooled, ...]
    done: Done
    in_memory: int
    start_ns: int
    is_counted: bool = False
    """Its bytes are part of what waits in memory."""


class Uploads:
    """The queue of one remote storage; all methods run in its event loop."""

    def __init__(self, remote: Remote, spool_dir: str, *, memory_bytes: int = MEMORY_BYTES, spool_bytes: int = SPOOL_BYTES) -> None:
        """`spool_dir` is a private directory, empty for none."""
        self._remote = remote
        self._spool_dir = spool_dir
        self._memory_bytes = memory_bytes
        self._spool_bytes = spool_bytes
        self._queue: deque[_Item] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._waiting: dict[tuple[str, Kind], Put | Spooled] = {}
        self._in_memory = 0
        self._spooled = 0
        self._lost_bytes = 0
        self._reason = ""

    # ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, writes: Sequence[Write], done: Done) -> None:
        """Send these, in order, by and by; `done` is told what became of them, also when there is no room."""
        item = _Item(tuple(writes), done, size_of(tuple(writes)), time.monotonic_ns())
        if self._in_memory + item.in_memory > self._memory_bytes and item.in_memory and not await self._spool(item):
            self._lose(item, StorageError(f"too much waits to be sent to {self._remote.type_name}"))
            return
        if len(self._queue) >= MAX_WAITING:
            self._lose(item, StorageError(f"too many results wait to be sent to {self._remote.type_name}"))
            return
        self._in_memory += item.in_memory
        item.is_counted = True
        for write in item.writes:
            if isinstance(write, Put | Spooled):
                self._waiting[write.key, write.kind] = write
        self._queue.append(item)
        if len(self._workers) < WORKERS:
            self._start_worker()

    def has(self, key: str, kind: Kind) -> bool:
        """Whether a blob of this name waits to be sent."""
        return (key, kind) in self._waiting

    async def waiting(self, key: str, kind: Kind) -> bytes | None:
        """A blob that waits to be sent."""
        write = self._waiting.get((key, kind))
        if write is None:
            return None
        try:
            return await _blob(write)
        except StorageError:
            return None

    def has_pending(self) -> bool:
        """Whether anything waits or is being sent."""
        return bool(self._queue or self._workers)

    async def flush(self, deadline_s: float) -> None:
        """Send all that waits; what is not sent within the deadline is lost."""
        end_s = time.monotonic() + deadline_s
        while self._workers and (left_s := end_s - time.monotonic()) > 0:  # one may take over from another
            await asyncio.wait(list(self._workers), timeout=left_s)
            await asyncio.sleep(0)  # those that ended take themselves from the set
        late = list(self._workers)
        for worker in late:
            worker.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        while self._queue:
            self._lose(self._queue.popleft(), StorageError("there was no time left to send it", Trouble.TIMED_OUT))

    def zero_stats(self) -> None:
        """Start counting again what was lost."""
        self._lost_bytes = 0

    def notes(self) -> list[str]:
        """A sentence about what was lost, if anything was."""
        lost = self._remote.stats.lost_uploads
        if not lost:
            return []
        number, unit = human_size(self._lost_bytes)
        results = "result" if lost == 1 else "results"
        return [f"{lost} {results} of {number} {unit} not sent to {self._remote.type_name}: {self._reason}."]

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start_worker(self) -> None:
        worker = asyncio.get_running_loop().create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._ended)

    def _ended(self, worker: "asyncio.Task[None]") -> None:
        """Somebody may have submitted after the worker saw an empty queue and before it was taken from the set."""
        self._workers.discard(worker)
        if self._queue and not worker.cancelled():
            self._start_worker()

    async def _work(self) -> None:
        while self._queue:
            item = self._queue.popleft()
            try:
                await self._send(item)
            except StorageError as e:
                self._lose(item, e)
            except asyncio.CancelledError:
                self._lose(item, StorageError("there was no time left to send it", Trouble.TIMED_OUT))
                raise
            except Exception as e:
                log.exception("a result could not be sent")
                self._lose(item, StorageError(f"{type(e).__name__}"))
            else:
                self._forget(item)
                item.done(None, time.monotonic_ns() - item.start_ns)

    async def _send(self, item: _Item) -> None:
        for write in item.writes:
            blob = await self._update(write) if isinstance(write, Update) else await _blob(write)
            if blob is not None:
                await self._put(write.key, write.kind, blob)

    async def _update(self, update: Update) -> bytes | None:
        try:
            known = await self._remote.get(update.key, update.kind)
        except StorageError as e:
            if e.trouble is not Trouble.DENIED:
                raise
            known = None  # S3 says so of what is not there; where nothing is allowed, the put fails too
        return await asyncio.to_thread(update.change, known)

    async def _put(self, key: str, kind: Kind, blob: bytes) -> None:
        """Put, after the pauses that the service asks for, as far as patience goes."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                await self._remote.put(key, kind, blob)
            except StorageError as e:
                pause_s = self._remote.write_pause_s()
                if e.trouble is not Trouble.RATE_LIMITED or time.monotonic() + pause_s > end_s:
                    raise
            else:
                return
            await asyncio.sleep(max(pause_s, 0.05))

    async def _spool(self, item: _Item) -> bool:
        """Move the item's blobs to files, if there is room for them."""
        if not self._spool_dir or self._spooled + item.in_memory > self._spool_bytes:
            return False
        self._spooled += item.in_memory
        try:
            item.writes = await asyncio.to_thread(_spool_all, item.writes, self._spool_dir)
        except OSError as e:
            log.warning("no room for a result that waits to be sent: %s", e.strerror)
            self._spooled -= item.in_memory
            return False
        item.in_memory = 0
        return True

    def _lose(self, item: _Item, error: StorageError) -> None:
        if error.trouble not in (Trouble.TOO_LARGE, Trouble.READ_ONLY):  # these were not meant to be sent
            self._remote.stats.lost_uploads += 1
            self._lost_bytes += sum(write.size if isinstance(write, Spooled) else len(write.blob) for write in _blobs(item))
            self._reason = str(error)
        self._forget(item)
        item.done(error, time.monotonic_ns() - item.start_ns)

    def _forget(self, item: _Item) -> None:
        if item.is_counted:
            self._in_memory -= item.in_memory
        for write in _blobs(item):
            if self._waiting.get((write.key, write.kind)) is write:
                del self._waiting[write.key, write.kind]
            if isinstance(write, Spooled):
                self._spooled -= write.size
                with contextlib.suppress(OSError):  # the directory goes with the daemon
                    os.unlink(write.path)


def _blobs(item: _Item) -> list[Put | Spooled]:
    return [write for write in item.writes if isinstance(write, Put | Spooled)]


async def _blob(write: Put | Spooled) -> bytes:
    return write.blob if isinstance(write, Put) else await asyncio.to_thread(_read, write.path, write.size)


def _spool_all(writes: Sequence[Write | Spooled], folder: str) -> tuple[Write | Spooled, ...]:
    spooled: list[Write | Spooled] = list(writes)
    try:
        for place, write in enumerate(writes):
            if isinstance(write, Put):
                spooled[place] = _spool(write, folder)
    except OSError:
        for done in spooled:
            if isinstance(done, Spooled):
                os.unlink(done.path)
        raise
    return tuple(spooled)


def _spool(put: Put, folder: str) -> Spooled:
    fd, path = tempfile.mkstemp(prefix="upload-", dir=folder)
    try:
        with open(fd, "wb") as file:
            file.write(put.blob)
    except OSError:
        os.unlink(path)
        raise
    return Spooled(put.key, put.kind, path, len(put.blob))


def _read(path: str, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            blob = file.read()
    except OSError as e:
        raise StorageError("a result that waited in a file is gone") from e
    if len(blob) != size:
        raise StorageError("a result that waited in a file is damaged")
    return blob
