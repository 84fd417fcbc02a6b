"""Local disk: a directory of blobs that several processes use at once.

Owns: reading and writing blobs, what an unusable directory means.  Must not know: what is in a blob, settings' names.

Nothing is looked at before it is needed: a storage with a million files is ready as soon as it is made.
Size is the sum of the files' lengths (as `du --apparent-size`), entries and manifests together; see disk_ledger.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import threading
from collections.abc import Iterator

from sccache.errors import StorageError
from sccache.storage.base import Access, Kind
from sccache.storage.disk_files import TEMPORARY_PREFIX
from sccache.storage.disk_keeper import Keeper
from sccache.storage.disk_ledger import Ledger, slot_of
from sccache.util.output_files import create_temporary, write_all

__all__ = ["DiskStorage", "Kind"]

CLOSE_DEADLINE_S = 5.0
_REOPENINGS = 3
_READ = os.O_RDONLY | os.O_CLOEXEC
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP}
"""Errors that only say that the file is not there for us.  Others (EIO, EMFILE) are worth a line in the log."""
_LOG = logging.getLogger(__name__)


class DiskStorage:
    """Blobs below `root`.  Safe to share among threads; making one does no I/O and cannot fail."""

    def __init__(self, root: str, max_size_bytes: int, *, read_only: bool = False) -> None:
        self._max_size_bytes = max_size_bytes
        self._root = root
        self._read_only = read_only
        self._entries = f"{root}/{Kind.ENTRY.value}"
        self._manifests = f"{root}/{Kind.MANIFEST.value}"
        self._ledger: Ledger | None = None
        self._stale: list[Ledger] = []
        self._opening = threading.Lock()
        self._keeper = Keeper(root, self._ledger_if_there, lambda: self._max_size_bytes)

    @property
    def max_size_bytes(self) -> int:
        """Most bytes to hold; may be changed at any time."""
        return self._max_size_bytes

    @max_size_bytes.setter
    def max_size_bytes(self, size: int) -> None:
        is_smaller = size < self._max_size_bytes
        self._max_size_bytes = size
        if is_smaller and not self._read_only:
            self._keeper.wake()

    def get_nowait(self, key: str, kind: Kind) -> bytes | None:
        """The blob; None if it is not there or cannot be read."""
        folder = self._entries if kind is Kind.ENTRY else self._manifests
        path = f"{folder}{key[0]}/{key[1]}/{key}"
        try:
            fd = os.open(path, _READ)
            try:
                size = os.fstat(fd).st_size
                blob = os.read(fd, size)
                if len(blob) != size:
                    blob = _read_rest(fd, blob)
            finally:
                os.close(fd)
        except OSError as e:
            if e.errno not in _ABSENT:
                _LOG.warning("cannot read %s: %s", path, e.strerror)
            return None
        if not self._read_only:
            self._keeper.note_use(path)
        return blob

    def has(self, key: str, kind: Kind) -> bool:
        """Whether it is there, without reading it."""
        return os.path.exists(self._path(key, kind))

    def put_nowait(self, key: str, kind: Kind, blob: bytes) -> None:
        """Keep `blob`; StorageError if that is impossible, and then nothing is left behind."""
        if self._read_only:
            msg = "Cannot write to a read-only cache"
            raise StorageError(msg)
        if len(blob) > self._max_size_bytes:
            msg = "File too large"
            raise StorageError(msg)
        try:
            temporary = self._write_temporary(blob)
            try:
                total_bytes = self._publish(temporary, key, self._path(key, kind), len(blob))
            except BaseException:
                with contextlib.suppress(OSError):  # the first error is the one to report
                    os.unlink(temporary)
                raise
        except OSError as e:
            msg = f"cannot write to {self._root}: {e.strerror or e}"
            raise StorageError(msg) from e
        if total_bytes is None or total_bytes > self._max_size_bytes:
            self._keeper.wake()

    def drop(self, key: str, kind: Kind) -> None:
        """Remove the blob, if it is there and we may."""
        if self._read_only:
            return
        path = self._path(key, kind)
        with contextlib.suppress(OSError):  # what cannot be removed will be a miss again
            os.lstat(path)  # nothing there: do not make a directory for the ledger
            with self._locked() as ledger:
                size = os.lstat(path).st_size
                os.unlink(path)
                ledger.add(slot_of(key), -size)

    def used_bytes(self) -> int | None:
        """What the cache holds; None while that is not known."""
        if not os.path.isdir(self._root):
            return None
        try:
            ledger = self._opened()
        except OSError:
            return _peek(self._root)
        if not self._read_only and ledger.uncounted():
            self._keeper.wake()
        return ledger.total_bytes()

    def keep_house(self) -> None:
        """Do now, without rests, what the background thread would do by and by."""
        if not self._read_only:
            self._keeper.work(_without_rest)

    def location(self) -> str:
        """As the statistics show it."""
        return f"Local disk: {_quoted(self._root)}"

    def close(self, deadline_s: float = CLOSE_DEADLINE_S) -> None:
        """Stop the background thread and write what it still knows; nothing may be called after."""
        self._keeper.close(deadline_s)
        with self._opening:
            for ledger in (*self._stale, *filter(None, (self._ledger,))):
                ledger.close()
            self._stale.clear()
            self._ledger = None

    async def get(self, key: str, kind: Kind) -> bytes | None:
        """As `get_nowait`, in a thread."""
        return await asyncio.to_thread(self.get_nowait, key, kind)

    async def put(self, key: str, kind: Kind, blob: bytes) -> None:
        """As `put_nowait`, in a thread."""
        await asyncio.to_thread(self.put_nowait, key, kind, blob)

    async def check(self) -> Access:
        """The configured mode: the disk is not touched (reference 8.7)."""
        return Access.READ_ONLY if self._read_only else Access.READ_WRITE

    async def aclose(self) -> None:
        """As `close`, in a thread."""
        await asyncio.to_thread(self.close)

    def _path(self, key: str, kind: Kind) -> str:
        folder = self._entries if kind is Kind.ENTRY else self._manifests
        return f"{folder}{key[0]}/{key[1]}/{key}"

    def _write_temporary(self, blob: bytes) -> str:
        """The blob in a new file of the root; OSError, and nothing left, if that fails."""
        try:
            fd, path = create_temporary(f"{self._root}/{TEMPORARY_PREFIX}")
        except FileNotFoundError:
            os.makedirs(self._root, exist_ok=True)
            fd, path = create_temporary(f"{self._root}/{TEMPORARY_PREFIX}")
        try:
            try:
                write_all(fd, blob)
            finally:
                os.close(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        return path

    def _publish(self, temporary: str, key: str, path: str, size: int) -> int | None:
        """Rename into place together with the ledger; what the cache holds then."""
        with self._locked() as ledger:
            replaced = _size_of(path)
            try:
                os.rename(temporary, path)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.rename(temporary, path)
            ledger.add(slot_of(key), size - replaced)
        return ledger.total_bytes()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Ledger]:
        """The directory's own ledger, locked; a new one where somebody emptied the directory by hand."""
        for _ in range(_REOPENINGS):
            ledger = self._opened()
            with ledger.locked():
                if ledger.is_current(self._root):
                    yield ledger
                    return
            self._forget(ledger)
        raise OSError(errno.ESTALE, "the cache directory keeps being replaced")

    def _opened(self) -> Ledger:
        with self._opening:
            if self._ledger is None:
                if not self._read_only:
                    os.makedirs(self._root, exist_ok=True)
                self._ledger = Ledger(self._root, read_only=self._read_only)
            return self._ledger

    def _forget(self, stale: Ledger) -> None:
        with self._opening:
            if self._ledger is stale:
                self._stale.append(stale)  # another thread may be using it: closed at the end
                self._ledger = None

    def _ledger_if_there(self) -> Ledger | None:
        """For housekeeping, which must not make a directory that nobody has used."""
        if not os.path.isdir(self._root):
            return None
        ledger = self._opened()
        if ledger.is_current(self._root):
            return ledger
        self._forget(ledger)
        return self._opened()


def _peek(root: str) -> int | None:
    """What the ledger says where we may only read it."""
    try:
        ledger = Ledger(root, read_only=True)
    except OSError:
        return None
    with contextlib.closing(ledger):
        return ledger.total_bytes()


def _without_rest() -> bool:
    return True


def _read_rest(fd: int, blob: bytes) -> bytes:
    """The rest of a file of which one read gave only a part (2 GiB is the most)."""
    parts = [blob]
    while part := os.read(fd, 1 << 30):
        parts.append(part)
    return b"".join(parts)


def _size_of(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _quoted(path: str) -> str:
    """In double quotes, with what is not text escaped."""
    return json.dumps(path, ensure_ascii=False).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
