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

from sccache.dist.messages import FILE_TIME_S
from sccache.errors import DamagedError

_NAME = re.compile(r"[0-9a-f]{64}(-x)?")
_TEMPORARY = "new-"


class Contents:
    """A store.  For several threads, one process."""

    def __init__(self, directory: str, max_bytes: int) -> None:
        """Finds what is there from before; what was being written then is deleted.  OSError."""
        self._directory, self._max_bytes = directory, max_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, int] = OrderedDict()
        """Digest → bytes of its files; least recently used first."""
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
            self._place(path, digest, is_executable=False)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise
        self._count(digest, size)

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
            with self._lock:
                self._total -= self._known.pop(digest, 0)
            raise KeyError(digest) from None

    def _make_twin(self, digest: bytes) -> None:
        descriptor, path = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._directory)
        os.close(descriptor)
        try:
            shutil.copyfile(self._path(digest), path)
            size = os.path.getsize(path)
            self._place(path, digest, is_executable=True)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise
        self._count(digest, size, is_more=True)

    def _place(self, path: str, digest: bytes, *, is_executable: bool) -> None:
        os.chmod(path, 0o555 if is_executable else 0o444)
        os.utime(path, (FILE_TIME_S, FILE_TIME_S))
        target = self._path(digest, is_executable)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        os.replace(path, target)

    def _count(self, digest: bytes, size: int, *, is_more: bool = False) -> None:
        with self._lock:
            before = self._known.pop(digest, 0)
            self._known[digest] = before + size if is_more else max(before, size)
            self._total += self._known[digest] - before
            gone = []
            while self._total > self._max_bytes and len(self._known) > 1:
                oldest, size = self._known.popitem(last=False)
                self._total -= size
                gone.append(oldest)
        for oldest in gone:
            for is_executable in (False, True):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path(oldest, is_executable))

    def _path(self, digest: bytes, is_executable: bool = False) -> str:  # noqa: FBT001, FBT002
        name = digest.hex()
        return os.path.join(self._directory, name[:2], name + ("-x" if is_executable else ""))

    def _scan(self) -> None:
        for entry in self._entries():
            if _NAME.fullmatch(entry.name):
                digest, size = bytes.fromhex(entry.name[:64]), entry.stat(follow_symlinks=False).st_size
                self._known[digest] = self._known.get(digest, 0) + size
                self._total += size
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
