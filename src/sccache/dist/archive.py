"""Toolchain archives: tar and zstd, byte for byte the same for the same members, and unpacked without trust.

An archive's id is the BLAKE3 digest of its bytes.  Archives that people made by other means (path_override) may be compressed with gzip
or xz, or not at all.  Names in an archive are relative to the root directory of the sandbox; so are absolute targets of links in it.

libzstd cuts what it compresses into pieces of a fixed size for its threads, so the bytes do not depend on how many there are.

Owns: packing, unpacking, limits of both.  Must not know: compilers, who sent an archive.
"""

import errno
import gzip
import lzma
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, cast

from msgspec import Struct
from zstandard import ZstdCompressionParameters, ZstdCompressor, ZstdDecompressor, ZstdError

from sccache.dist import tar
from sccache.dist.tar import ArchiveError, Kind, Member, Reader
from sccache.hashing.digest import digest_stream

__all__ = ["ArchiveError", "Limits", "PackedMember", "digest_of", "names", "pack", "unpack"]

LEVEL = 3
"""Measured on clang 14 (110 MB) with four threads, CPU time: level 1: 0.23 s, 35.5 MB; 3: 0.39 s, 31.3 MB; 6: 1.0 s, 28.8 MB."""
JOB_BYTES = 8 << 20
"""What one thread compresses at a time.  A change changes every id."""
DIRECTORY_MODE = 0o755
MAX_WINDOW_BYTES = 128 << 20
"""A frame that needs a larger window to be read is refused."""
FREE_BYTES = 64 << 20
"""Up to this size a ratio of compression says nothing: a file of zeros is no attack."""

_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"


class Limits(Struct, frozen=True):
    """Most that an archive may unpack to."""

    members: int = 250_000
    """A Rust toolchain with its sources has 10,000."""
    size_bytes: int = 16 << 30
    ratio: int = 64
    """Unpacked bytes for each byte of the archive; toolchains have 3 to 6."""
    depth: int = 64
    """Directories in each other."""

    def content_bytes(self, packed_bytes: int) -> int:
        """Most that the files of an archive of that size may have."""
        return min(self.size_bytes, max(FREE_BYTES, packed_bytes * self.ratio))


class PackedMember(Struct, frozen=True):
    """What goes into an archive."""

    path: bytes
    """Absolute: where it is in the sandbox."""
    kind: Kind
    source: str = ""
    """The file here that has the content."""
    content: bytes = b""
    """Instead of a source."""
    executable: bool = False
    target: bytes = b""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def pack(members: Iterable[PackedMember], out: BinaryIO, threads: int = 0) -> None:
    """Write an archive; the order of `members` does not matter.  `threads` 0 means one for each core.

    OSError if a file cannot be read; ArchiveError if one changes meanwhile.
    """
    parameters = ZstdCompressionParameters.from_level(LEVEL, threads=threads or os.cpu_count() or 1, job_size=JOB_BYTES)
    with ZstdCompressor(compression_params=parameters).stream_writer(out, closefd=False) as stream:
        for member in sorted(members, key=lambda member: member.path):
            _write(member, cast("BinaryIO", stream))
        stream.write(tar.END)


def digest_of(path: str) -> str:
    """The id of an archive: BLAKE3 of its bytes, in hex."""
    with open(path, "rb", buffering=0) as file:
        return digest_stream(cast("BinaryIO", file)).hex()


def names(path: str) -> frozenset[str]:
    """All names in an archive, absolute; ArchiveError if it is none."""
    with _opened(path, Limits()) as reader:
        return frozenset("/" + os.fsdecode(b"/".join(_parts(member.name))) for member in reader)


def unpack(path: str, directory: str, limits: Limits | None = None) -> int:
    """Unpack an archive into a new directory, and give the bytes of its files; nothing is left of one that is refused.

    Nothing is ever written through a link, there is no device, no file has more rights than 0755.  ArchiveError says what is wrong with an
    archive; OSError comes from the file system, FileExistsError among it.  Blocking.
    """
    base, name = os.path.split(os.path.abspath(directory))
    if os.path.lexists(directory):
        raise FileExistsError(17, os.strerror(17), directory)
    staging = tempfile.mkdtemp(prefix=f".{name[:100]}-", dir=base)
    try:
        size = _Unpacking(staging, limits or Limits(), os.stat(path).st_size).run(path)
        os.chmod(staging, DIRECTORY_MODE)
        os.rename(staging, directory)
    except BaseException as e:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(e, OSError) and e.errno == errno.ENAMETOOLONG:
            raise ArchiveError("a name in it is longer than a file system takes") from e
        raise
    return size


class _Unpacking:
    """One archive into one empty directory that nobody else writes to: what was made is known, so nothing needs to be looked at."""

    def __init__(self, root: str, limits: Limits, packed_bytes: int) -> None:
        self._root = os.fsencode(root)
        self._limits = limits
        self._most_bytes = limits.content_bytes(packed_bytes)
        self._made: dict[tuple[bytes, ...], Kind] = {(): Kind.DIRECTORY}
        self._members = 0
        self._size = 0

    def run(self, path: str) -> int:
        with _opened(path, self._limits) as reader:
            for member in reader:
                self._count(member)
                self._make(member, _parts(member.name), reader)
        return self._size

    def _count(self, member: Member) -> None:
        self._members += 1
        self._size += member.size
        if self._members > self._limits.members:
            raise ArchiveError(f"it has more than {self._limits.members} members")
        if self._size > self._most_bytes:
            raise ArchiveError(f"it unpacks to more than {self._most_bytes} bytes")

    def _make(self, member: Member, parts: tuple[bytes, ...], reader: Reader) -> None:
        known = self._made.get(parts)
        if member.kind is Kind.DIRECTORY:
            self._directory(parts)
            return
        if known is not None:
            raise ArchiveError(f"{_shown(parts)} is there twice")
        self._directory(parts[:-1])
        place = self._place(parts)
        if member.kind is Kind.FILE:
            _write_file(place, reader, executable=member.executable)
        elif member.kind is Kind.SYMLINK:
            os.symlink(_checked_target(member.target, parts), place)
        else:
            first = _parts(member.target)
            if self._made.get(first) is not Kind.FILE:
                raise ArchiveError(f"{_shown(parts)} is a hard link to {_shown(first)}, which is no file before it")
            os.link(self._place(first), place, follow_symlinks=False)
        self._made[parts] = Kind.SYMLINK if member.kind is Kind.SYMLINK else Kind.FILE

    def _directory(self, parts: tuple[bytes, ...]) -> None:
        """Make a directory and those above it; where there is a link or a file already, it is an attempt to get out."""
        if len(parts) > self._limits.depth:
            raise ArchiveError(f"{_shown(parts)} is too deep")
        known = self._made.get(parts)
        if known is Kind.DIRECTORY:
            return
        if known is not None:
            raise ArchiveError(f"{_shown(parts)} is a directory and something else")
        self._directory(parts[:-1])
        if len(self._made) > self._limits.members:
            raise ArchiveError(f"it has more than {self._limits.members} members")
        os.mkdir(self._place(parts))
        os.chmod(self._place(parts), DIRECTORY_MODE)
        self._made[parts] = Kind.DIRECTORY

    def _place(self, parts: tuple[bytes, ...]) -> bytes:
        return b"/".join((self._root, *parts))


def _write_file(place: bytes, reader: Reader, *, executable: bool) -> None:
    made = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(made, "wb", buffering=0) as file:
        for piece in reader.content():
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]
        os.fchmod(made, 0o755 if executable else 0o644)


def _parts(name: bytes) -> tuple[bytes, ...]:
    """A member's name in pieces; ArchiveError if it is not one below the root."""
    if name.startswith(b"/"):
        raise ArchiveError(f"the name {_shown((b'', name[1:]))} is absolute")
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts or b"\0" in name:
        raise ArchiveError(f"the name {_shown(parts)} leads elsewhere")
    return parts


def _checked_target(target: bytes, parts: tuple[bytes, ...]) -> bytes:
    """A link's target; ArchiveError if it climbs above the root, counted from where the link is."""
    height = 0 if target.startswith(b"/") else len(parts) - 1
    for part in target.split(b"/"):
        height += -1 if part == b".." else 0 if part in (b"", b".") else 1
        if height < 0:
            raise ArchiveError(f"{_shown(parts)} is a link that leads out of the archive")
    if not target or b"\0" in target:
        raise ArchiveError(f"{_shown(parts)} is a link to nothing")
    return target


def _shown(parts: Iterable[bytes]) -> str:
    return repr(b"/".join(parts)[:200].decode(errors="replace"))


def _write(member: PackedMember, stream: BinaryIO) -> None:
    name = member.path.strip(b"/") + (b"/" if member.kind is Kind.DIRECTORY else b"")
    _checked_target(member.target, _parts(name)) if member.kind is Kind.SYMLINK else None
    if member.kind is not Kind.FILE or not member.source:
        stream.write(tar.header(Member(name, member.kind, len(member.content), member.executable, member.target)))
        stream.write(member.content + bytes(tar.padding(len(member.content))))
        return
    with open(member.source, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        stream.write(tar.header(Member(name, Kind.FILE, size, member.executable)))
        left = size
        while left and (piece := file.read(min(left, 1 << 20))):
            stream.write(piece)
            left -= len(piece)
    if left:
        raise ArchiveError(f"{member.source} became shorter while it was packed")
    stream.write(bytes(tar.padding(size)))


@contextmanager
def _opened(path: str, limits: Limits) -> Iterator[Reader]:
    """The members of an archive; whatever a decompressor says about damaged data is an ArchiveError."""
    with open(path, "rb") as file:
        start = file.read(6)
        file.seek(0)
        most_bytes = limits.content_bytes(os.fstat(file.fileno()).st_size) + limits.members * 2 * tar.BLOCK_BYTES
        try:
            yield Reader(_decompressed(file, start).read, most_bytes)
        except (ZstdError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as e:
            raise ArchiveError(f"it is damaged: {e}") from e


def _decompressed(file: BinaryIO, start: bytes) -> _Readable:
    if start.startswith(_ZSTD):
        return cast("_Readable", ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(file, read_across_frames=True))
    if start.startswith(_GZIP):
        return cast("_Readable", gzip.GzipFile(fileobj=file))
    return _Xz(file) if start.startswith(_XZ) else file


class _Xz:
    """Reads xz with a bound on memory, which lzma.LZMAFile has none of."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=2 * MAX_WINDOW_BYTES)

    def read(self, size: int, /) -> bytes:
        while not self._decompressor.eof:
            data = self._file.read(1 << 16) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not data:
                return b""
            piece = self._decompressor.decompress(data, size)
            if piece:
                return piece
        return b""
