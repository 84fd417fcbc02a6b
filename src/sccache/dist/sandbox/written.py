"""What a build has written, in the upper directory of an overlay: read without trust.

Whoever ran in the sandbox chose every name, type and mode here.  So names are opened one component after the other, relative to a
directory that is open already, and a link, pipe or device is never followed or opened (openat(2), O_NOFOLLOW).  Removed files are
marked by devices with number 0 (kernel documentation, overlayfs), which are no regular files either.

Owns: reading and removing such a directory.  Must not know: how it came to be.
"""

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator, Sequence

from sccache.dist import removal
from sccache.dist.sandbox.base import Made, SandboxError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OUR_OWN = (".sccache", "proc", "dev")
"""Directories at the top that are the worker's own, whatever toolchain and tree have there."""
_OUR_OWN = frozenset(b"/" + name.encode() for name in OUR_OWN)
_PASSING = (b"/tmp",)
MAX_DEPTH = 200
MAX_ENTRIES = 100_000
"""Names that a build may leave: compilers write a handful, and a million takes minutes to delete."""


def read(top: str, paths: Sequence[bytes], below: Sequence[bytes], max_bytes: int) -> list[Made]:
    """The regular files at these paths, and below these directories; SandboxError if they are more than `max_bytes` together."""
    wanted = list(dict.fromkeys([*paths, *(path for place in below for path in _files_below(top, place))]))
    made: list[Made] = []
    for path in wanted:
        one = _read(top, path, max_bytes)
        if one is not None:
            max_bytes -= len(one.data)
            made.append(one)
    return made


def left(top: str, known: Sequence[bytes], max_names: int) -> tuple[bytes, ...]:
    """All names but these, directories, our own, and what is in /tmp; at most `max_names`."""
    expected = {*known}
    found: list[bytes] = []
    for path, _ in _walk(top):
        if path not in expected and not path.startswith(tuple(place + b"/" for place in _PASSING)):
            found.append(path)
            if len(found) == max_names:
                break
    return tuple(found)


def size_of(top: str) -> int:
    """Bytes of all files (apparent or on disk, whichever is less)."""
    total = 0
    for _, facts in _walk(top):
        total += min(facts.st_size, facts.st_blocks * 512)
    return total


def remove(top: str) -> None:
    """Delete it, whatever modes it has; all processes of the build have ended."""
    removal.remove(top)


def _read(top: str, path: bytes, max_bytes: int) -> Made | None:
    with _parent(top, path) as (directory, name):
        if directory is None:
            return None
        try:
            descriptor = os.open(name, _FILE, dir_fd=directory)
        except OSError:
            return None
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            return None
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if facts.st_size > max_bytes:
                raise SandboxError(f"{os.fsdecode(path)} and the other outputs are too large")
            data = file.read(facts.st_size + 1) or b""
            while len(data) < facts.st_size and (more := file.read(facts.st_size - len(data))):
                data += more
            return Made(path, data, bool(facts.st_mode & 0o111))


@contextlib.contextmanager
def _parent(top: str, path: bytes) -> Iterator[tuple[int | None, bytes]]:
    """The directory that a name is in, open, and the name's last component; None where a component is no directory."""
    *parts, name = [part for part in path.split(b"/") if part not in (b"", b".")]
    descriptor = os.open(top, _DIRECTORY)
    try:
        for part in parts:
            if part == b"..":
                yield None, name
                return
            try:
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            except OSError:
                yield None, name
                return
            os.close(descriptor)
            descriptor = inner
        yield descriptor, name
    finally:
        os.close(descriptor)


def _files_below(top: str, place: bytes) -> Iterator[bytes]:
    prefix = place.rstrip(b"/") + b"/"
    return (path for path, facts in _walk(top) if path.startswith(prefix) and stat.S_ISREG(facts.st_mode))


def _walk(top: str) -> Iterator[tuple[bytes, os.stat_result]]:
    """Everything but directories, with its name inside; our own places are left out.

    SandboxError where there is too much to look through.  A build that still runs may change everything meanwhile: what cannot be looked
    at is passed over.
    """
    try:
        directory = os.open(top, _DIRECTORY)
    except OSError:
        return
    yield from _walk_open(directory, b"", itertools.count(1))


def _walk_open(directory: int, inside: bytes, seen: Iterator[int]) -> Iterator[tuple[bytes, os.stat_result]]:
    deeper: list[bytes] = []
    try:
        with os.scandir(directory) as listing:
            for entry in listing:
                if next(seen) > MAX_ENTRIES:
                    raise SandboxError("it made too many files")
                path = inside + b"/" + os.fsencode(entry.name)
                if path in _OUR_OWN:
                    continue
                with contextlib.suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(facts.st_mode):
                        deeper.append(path)
                    else:
                        yield path, facts
        if deeper and inside.count(b"/") >= MAX_DEPTH:
            raise SandboxError("it made directories too deep")
        for path in deeper:
            try:
                below = os.open(path.rpartition(b"/")[2], _DIRECTORY, dir_fd=directory)
            except OSError:
                continue
            yield from _walk_open(below, path, seen)
    finally:
        os.close(directory)
