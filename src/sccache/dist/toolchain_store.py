"""Toolchains that a worker has: archives come in, are believed when their digest is right, and stay as unpacked directories.

    <directory>/<64 digits>/      complete: unpacked elsewhere, then renamed          <directory>/new-…      being received

Owns: these directories, their number of bytes, who goes when there are too many; none that a build uses does.
Must not know: who sends them, what is in them, how they are unpacked (archive.py).
"""

import contextlib
import errno
import os
import re
import tempfile
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator

from blake3 import blake3

from sccache.dist import archive, removal
from sccache.dist.room import Room
from sccache.errors import DamagedError, StorageError, Trouble

_NAME = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = "new-"
ROOM = 2
"""How often max_bytes may be taken, by archives that come in, and by toolchains where builds use so many."""


class Toolchains:
    """A store.  For several threads, one process."""

    def __init__(self, directory: str, max_bytes: int) -> None:
        """Finds what is there from before.  OSError."""
        self._directory, self.max_bytes = directory, max_bytes
        self.room = Room(ROOM * max_bytes)
        """For archives that come in."""
        self._lock = threading.Lock()
        self._known: OrderedDict[str, int] = OrderedDict()
        """Id → bytes of its files; least recently used first."""
        self._leases: Counter[str] = Counter()
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for entry in list(os.scandir(directory)):
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                self._known[entry.name] = _size_of(entry.path)
            else:
                removal.remove(entry.path)

    def ids(self) -> tuple[str, ...]:
        """All that are here."""
        with self._lock:
            return tuple(self._known)

    def has(self, toolchain: str) -> bool:
        """Whether it is here."""
        return toolchain in self._known

    def receive(self, toolchain: str) -> "Receiving":
        """One comes in, under this id.  OSError."""
        return Receiving(self, toolchain, self._directory)

    @contextlib.contextmanager
    def lease(self, toolchain: str) -> Iterator[str]:
        """Its directory, which stays as long as it is used; KeyError if it is gone."""
        with self._lock:
            self._known.move_to_end(toolchain)
            self._leases[toolchain] += 1
        try:
            yield os.path.join(self._directory, toolchain)
        finally:
            with self._lock:
                self._leases[toolchain] -= 1

    def unpack(self, toolchain: str, path: str) -> None:
        """Take an archive whose digest was checked; DamagedError says why it is refused, OSError."""
        target = os.path.join(self._directory, toolchain)
        if self.has(toolchain):
            return
        try:
            size = archive.unpack(path, target, archive.Limits(size_bytes=self.max_bytes))
        except archive.ArchiveError as e:
            raise DamagedError(f"The toolchain is refused: {e}") from e
        with self._lock:
            in_use = sum(self._known[one] for one in self._leases if self._leases[one] and one in self._known)
            is_too_much = in_use + size > ROOM * self.max_bytes
            if not is_too_much:
                self._known[toolchain] = size
            gone = [toolchain] if is_too_much else self._too_many(toolchain)
        for one in gone:
            # What is half deleted when the worker is killed must not have the name of a toolchain.
            passing = tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._directory)
            with contextlib.suppress(OSError):
                os.rename(os.path.join(self._directory, one), os.path.join(passing, one))
            removal.remove(passing)
        if is_too_much:
            raise OSError(errno.ENOSPC, "builds use too many toolchains")

    def _too_many(self, but: str) -> list[str]:
        gone = []
        for one in list(self._known):
            if sum(self._known.values()) <= self.max_bytes:
                break
            if one != but and not self._leases[one]:
                del self._known[one]
                gone.append(one)
        return gone


class Receiving:
    """An archive that comes in."""

    def __init__(self, store: Toolchains, toolchain: str, directory: str) -> None:
        self._store, self._toolchain = store, toolchain
        descriptor, self._path = tempfile.mkstemp(prefix=_TEMPORARY, dir=directory)
        self._file = open(descriptor, "wb")  # noqa: SIM115 -- closed by discard
        self._hasher, self._size = blake3(), 0

    def write(self, data: bytes) -> None:
        """Some more; StorageError if it is larger than it may be, OSError if there is no room."""
        if self._size + len(data) > self._store.max_bytes:
            raise StorageError("The toolchain is larger than toolchain_cache_size", Trouble.TOO_LARGE)
        self._store.room.take(len(data))
        self._size += len(data)
        self._hasher.update(data)
        self._file.write(data)

    def finish(self) -> None:
        """That was all: check and unpack it; DamagedError, OSError."""
        self._file.close()
        if self._hasher.hexdigest() != self._toolchain:
            raise DamagedError("The toolchain is not what its name says")
        self._store.unpack(self._toolchain, self._path)

    def discard(self) -> None:
        """The archive is of no use any more, whether it was unpacked or not."""
        with contextlib.suppress(OSError):  # a full disk says so once more, about what was to be written yet
            self._file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._store.room.give_back(self._size)
        self._size = 0


def _size_of(directory: str) -> int:
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(directory) for name in names)
