"""Contents of inputs that a worker keeps, by digest: a header is sent to it once, whoever compiles with it.

    <directory>/<2 digits>/<64 digits>[-x]      private; read-only; -x is a twin that may be executed, made when one is needed

Trees of jobs are hard links to these files, so modes and times are those that a job is to see, and nothing may ever write to one: trees
are lower layers of overlays.

Owns: these files, their number of bytes, who goes when there are too many.  Must not know: jobs, who sends.
"""

import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from blake3 import blake3
from msgspec import Struct, field

from sccache.dist.messages import FILE_TIME_S
from sccache.errors import DamagedError

_NAME = re.compile(r"[0-9a-f]{64}(-x)?")
_TEMPORARY = "new-"


class _Kept(Struct):
    size: int
    files: set[bool] = field(default_factory=set)
    """Which there are: the plain one (False), its executable twin (True)."""


class Contents:
    """A store.  For several threads, one process."""

    def __init__(self, directory: str, max_bytes: int) -> None:
        """Finds what is there from before; what was being written then is deleted.  OSError."""
        self._directory, self.max_bytes = directory, max_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Kept] = OrderedDict()
        """Least recently used first.  It and the files of these names change together, under the lock."""
        self._total = 0
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._scan()

    @property
    def total_bytes(self) -> int:
        """Of all that is kept."""
        return self._total

    def missing(self, digests: Iterable[bytes]) -> tuple[bytes, ...]:
        """Those that are not here, each once; the others count as just used."""
        lacking: dict[bytes, None] = {}
        with self._lock:
            for digest in digests:
                if digest in self._known:
                    self._known.move_to_end(digest)
                else:
                    lacking[digest] = None
        return tuple(lacking)

    def add(self, digest: bytes, size: int, pieces: Iterable[bytes]) -> None:
        """Keep a content; DamagedError if it is not what the digest says, OSError; then nothing is kept."""
        descriptor, path = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._directory)
        try:
            with open(descriptor, "wb") as file:
                hasher, written = blake3(), 0
                for piece in pieces:
                    hasher.update(piece)
                    written += file.write(piece)
            _check(written == size and hasher.digest() == digest)
            self._place(path, digest, size, is_executable=False)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    def link(self, digest: bytes, *, executable: bool, path: str) -> None:
        """Make `path` a name of this content, with the mode that it has in a tree; KeyError if it is gone."""
        try:
            try:
                os.link(self._path(digest, executable), path)
            except FileNotFoundError:
                if not executable:
                    raise
                self._make_twin(digest)
                os.link(self._path(digest, executable), path)
        except FileNotFoundError:
            self._forget(digest)
            raise KeyError(digest) from None

    def discard_if_damaged(self, digest: bytes, size: int) -> None:
        """A file of it was `size` bytes long: unless that is what was kept, it has to come again.

        What a client says about the size of a content is no reason to throw away another's.
        """
        with self._lock:
            if digest in self._known and self._known[digest].size != size:
                self._drop(digest)

    def _make_twin(self, digest: bytes) -> None:
        descriptor, path = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._directory)
        os.close(descriptor)
        try:
            shutil.copyfile(self._path(digest), path)
            self._place(path, digest, os.path.getsize(path), is_executable=True)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    def _place(self, path: str, digest: bytes, size: int, *, is_executable: bool) -> None:
        os.chmod(path, 0o555 if is_executable else 0o444)
        os.utime(path, (FILE_TIME_S, FILE_TIME_S))
        target = self._path(digest, is_executable)
        with self._lock:
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            if digest in self._known and self._known[digest].size != size:
                self._drop(digest)  # found at the start, and cut off: what has come now was checked
            if digest in self._known and os.path.exists(target):
                os.unlink(path)  # link() fails on a file that is replaced at that moment: its inode has no name any more
            else:
                os.replace(path, target)
            self._note(digest, size, is_executable=is_executable)
            while self._total > self.max_bytes and len(self._known) > 1:
                self._drop(next(iter(self._known)))

    def _note(self, digest: bytes, size: int, *, is_executable: bool) -> None:
        kept = self._known.setdefault(digest, _Kept(size))
        self._known.move_to_end(digest)
        if is_executable not in kept.files:
            kept.files.add(is_executable)
            self._total += size

    def _drop(self, digest: bytes) -> None:
        kept = self._known.pop(digest)
        for is_executable in kept.files:
            self._total -= kept.size
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(digest, is_executable))

    def _forget(self, digest: bytes) -> None:
        """Its file was not found: somebody deleted it, unless it was only pushed out, and has come again."""
        with self._lock:
            if digest in self._known and not os.path.exists(self._path(digest)):
                self._drop(digest)

    def _path(self, digest: bytes, is_executable: bool = False) -> str:  # noqa: FBT001, FBT002
        name = digest.hex()
        return os.path.join(self._directory, name[:2], name + ("-x" if is_executable else ""))

    def _scan(self) -> None:
        for entry in self._entries():
            if _NAME.fullmatch(entry.name):
                size = entry.stat(follow_symlinks=False).st_size
                self._note(bytes.fromhex(entry.name[:64]), size, is_executable=entry.name.endswith("-x"))
            elif entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        for outer in os.scandir(self._directory):
            if outer.is_dir(follow_symlinks=False):
                yield from os.scandir(outer.path)
            else:
                yield outer


def _check(is_right: bool) -> None:  # noqa: FBT001
    if not is_right:
        raise DamagedError("A content is not what its digest says")
