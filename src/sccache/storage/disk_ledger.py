"""How many bytes a cache directory holds, known without looking, by every process that uses it.

    <ledger> ::= magic:8 version:uint32 <reserved>:uint32 <slot>*256    ; the machine's byte order, file `.sccache-sizes`
    <slot>   ::= bytes:uint64 changes:uint64                            ; the directories k0/k1 of all kinds together
    bytes    ; sum of the lengths of the files there, UNKNOWN until somebody has counted them
    changes  ; how often the slot was changed, so that a count made without the lock can tell that it is stale

Owns: this file, its lock, and the rule that a cached file appears, grows or goes only together with its slot.
Must not know: keys' meaning, eviction's policy, settings.

One flock guards the file: it is held for one rename or a few unlinks at a time, some 10 us.  A process killed between
the rename and the slot leaves one file uncounted, until the slot is counted again (disk_keeper does so in turn).
"""

import errno
import fcntl
import os
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct

LEDGER_NAME = ".sccache-sizes"
MAGIC = b"sccsizes"
# 1: first.
LEDGER_VERSION = 1
SLOTS = 256
UNKNOWN = 2**64 - 1
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""A file system without locks (some network ones): better a size that drifts until the next count than no cache."""
_HEADER = Struct("=8sII")
_SLOT = Struct("=QQ")
_LEDGER_BYTES = _HEADER.size + SLOTS * _SLOT.size


def slot_of(key: str) -> int:
    """The slot that counts the file of `key`."""
    return int(key[:2], 16)


def lock_file(fd: int, operation: int) -> None:
    """As flock, but where the file system has no locks there is nothing to wait for."""
    try:
        fcntl.flock(fd, operation)
    except OSError as e:
        if e.errno not in _NO_LOCKS:
            raise


class Ledger:
    """The open file of one cache directory.  Safe to share among threads; other processes have their own."""

    def __init__(self, root: str, *, read_only: bool) -> None:
        """Open or make the ledger; OSError if that is impossible."""
        self._lock = threading.Lock()  # flock does not keep threads with one descriptor apart
        flags = os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT
        # Not through a link: in a directory that several share it may lead to a file of ours.
        self._fd = os.open(f"{root}/{LEDGER_NAME}", flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._check(root, read_only=read_only)
        except OSError:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Give up the file; using the ledger afterwards is an OSError."""
        with self._lock:
            os.close(self._fd)
            self._fd = -1

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among all processes and threads; files may come and go only inside."""
        with self._lock:
            if self._fd < 0:
                raise OSError(errno.EBADF, "the size ledger was closed")
            lock_file(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                lock_file(self._fd, fcntl.LOCK_UN)

    def add(self, slot: int, size_bytes: int) -> None:
        """Note that the slot's files grew by `size_bytes` (or shrank).  Call while locked."""
        known, changes = self._slot(slot)
        if known != UNKNOWN:
            known = max(0, known + size_bytes)
        self._write(slot, known, changes + 1)

    def changes(self, slot: int) -> int:
        """The number to give to `settle` after counting."""
        return self._slot(slot)[1]

    def settle(self, slot: int, size_bytes: int, changes: int) -> bool:
        """Record a count that began when the slot had `changes`; False, and nothing done, if it changed since."""
        with self.locked():
            if self._slot(slot)[1] != changes:
                return False
            self._write(slot, size_bytes, changes)
            return True

    def forget(self) -> None:
        """Take nothing for known: everything will be counted again."""
        with self.locked():
            self._start(UNKNOWN)

    def total_bytes(self) -> int | None:
        """What the directory holds; estimated from the slots that are counted, None while none is."""
        known = [size for size in self._sizes() if size != UNKNOWN]
        if not known:
            return None
        return sum(known) * SLOTS // len(known)  # keys are hashes: all slots are alike

    def uncounted(self) -> list[int]:
        """The slots whose sizes nobody knows."""
        return [slot for slot, size in enumerate(self._sizes()) if size == UNKNOWN]

    def is_current(self, root: str) -> bool:
        """Whether our file is still the one in the directory: somebody may have emptied the cache by hand."""
        try:
            there = os.stat(f"{root}/{LEDGER_NAME}")
        except OSError:
            return False
        ours = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _sizes(self) -> "array[int]":
        numbers = array("Q")
        data = os.pread(self._fd, SLOTS * _SLOT.size, _HEADER.size)
        if len(data) != SLOTS * _SLOT.size:
            return array("Q", [UNKNOWN] * SLOTS)
        numbers.frombytes(data)
        return numbers[::2]

    def _slot(self, slot: int) -> tuple[int, int]:
        data = os.pread(self._fd, _SLOT.size, _HEADER.size + slot * _SLOT.size)
        if len(data) != _SLOT.size:  # somebody cut the file short: begin anew, and count again
            self._start(UNKNOWN)
            return UNKNOWN, 0
        size, changes = _SLOT.unpack(data)
        return size, changes

    def _write(self, slot: int, size_bytes: int, changes: int) -> None:
        os.pwrite(self._fd, _SLOT.pack(size_bytes, changes % 2**64), _HEADER.size + slot * _SLOT.size)

    def _check(self, root: str, *, read_only: bool) -> None:
        with self.locked():
            if self._is_sound():
                return
            if read_only:
                raise OSError(errno.EINVAL, "not a size ledger", f"{root}/{LEDGER_NAME}")
            self._start(0 if _is_unused(root) else UNKNOWN)

    def _is_sound(self) -> bool:
        data = os.pread(self._fd, _LEDGER_BYTES + 1, 0)
        return len(data) == _LEDGER_BYTES and _HEADER.unpack_from(data)[:2] == (MAGIC, LEDGER_VERSION)

    def _start(self, size_bytes: int) -> None:
        data = _HEADER.pack(MAGIC, LEDGER_VERSION, 0) + _SLOT.pack(size_bytes, 0) * SLOTS
        os.ftruncate(self._fd, len(data))
        os.pwrite(self._fd, data, 0)


def _is_unused(root: str) -> bool:
    """Whether no cached file can be there: no folder of a kind, nor one named by a digit."""
    with os.scandir(root) as found:
        return not any(entry.name == "preprocessor" or len(entry.name) == 1 for entry in found)
