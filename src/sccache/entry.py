"""A cache entry: everything that one successful compile left behind, in one blob.

    <entry>   ::= <prefix> <header> <payload>
    <prefix>  ::= magic:8 version:uint16 <reserved>:uint16 stored:uint32 size:uint32 digest:32      ; big-endian
    <header>  ::= `stored` bytes: msgpack of EntryHeader, as one zstd frame where stored < size
    <payload> ::= <chunk>*                          ; in the order of header.outputs and their chunks, nothing between or after
    <chunk>   ::= `stored` bytes: at most CHUNK_BYTES of an output, as one zstd frame where stored < size
    digest    ::= BLAKE3-256 of the prefix before it and of <header> as stored; the header has each chunk's digests

Owns: this format, its verification, restoring outputs.  Must not know: keys' meaning, storage, compilers, settings.

Every byte is covered by a digest that is checked before the byte is used: the header's when the entry is opened, a
chunk's just before it is written, so that big outputs are verified, decompressed and written by several threads.
A header never says where a file goes: it knows roles only.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from struct import Struct as Layout
from typing import NoReturn

import msgspec
from blake3 import blake3
from msgspec import Struct

from sccache.errors import DamagedError, StorageError
from sccache.model import Diagnostics, ProducedFile
from sccache.util.compression import compress, decompress
from sccache.util.output_files import OutputFile, write_all_at

MAGIC = b"sccentry"
# 1: first.
ENTRY_VERSION = 1
_PREFIX = Layout(">8sHHII")
_DIGEST_BYTES = 32
_HEADER_AT = _PREFIX.size + _DIGEST_BYTES

CHUNK_BYTES = 512 << 10
"""Measured on a 50 MB debug object: 512 KiB decompresses fastest, at 0.119 of the size against 0.118 for 1 MiB."""
PARALLEL_FROM_BYTES = 4 << 20
"""Below it, starting threads costs more than they win."""
MAX_THREADS = 4
"""Writing one file is serial in the kernel (its inode lock): four threads already keep it busy."""
MIN_COMPRESSED_BYTES = 1 << 10
MAX_HEADER_BYTES = 1 << 30
MAX_CONTEXTS = 16
"""Diagnostics contexts kept in an entry; more means that something random is in the context."""


class Chunk(Struct, frozen=True, array_like=True):
    """A part of an output: `stored` bytes of payload that are `size` bytes of the file."""

    stored: int
    size: int
    digest: bytes
    """BLAKE3-256 of the stored bytes."""
    content: bytes
    """BLAKE3-256 of the file's bytes; empty where these are the stored ones."""


class StoredOutput(Struct, frozen=True, array_like=True):
    """A file that the compile made."""

    role: str
    size: int
    executable: bool
    chunks: tuple[Chunk, ...]


class EntryHeader(Struct, frozen=True, array_like=True, dict=True):
    """All of an entry but its files' bytes."""

    key: str
    """The key it was stored under, if its writer said so: a blob found under another name is refused."""
    made_by: str
    bound_to: bytes
    """The base directory that the result names, empty if it names none."""
    outputs: tuple[StoredOutput, ...]
    absent: tuple[str, ...]
    """Roles that this compile could have produced and did not."""
    depends_joined: bytes
    diagnostics: tuple[Diagnostics, ...]

    @cached_property
    def depends(self) -> tuple[str, ...]:
        """The prerequisites for a dependency file, as the compiler spelled them."""
        return tuple(os.fsdecode(self.depends_joined).split("\0")[:-1])


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(EntryHeader)
_SILENT = b""
_NOTHING = memoryview(b"")


def pack(  # noqa: PLR0913, PLR0917  # one call site; the fields of the format
    outputs: Sequence[ProducedFile],
    diagnostics: Sequence[Diagnostics],
    depends: Sequence[str],
    made_by: str,
    bound_to: bytes,
    level: int,
    *,
    absent: Sequence[str] = (),
    key: str = "",
) -> bytes:
    """The blob of an entry; takes a millisecond for 300 KB, so big ones are packed in a thread."""
    stored: list[StoredOutput] = []
    payload: list[bytes | memoryview] = []
    for output in outputs:
        pieces = [_store(piece, level) for piece in _split(output.data)]
        payload.extend(piece for piece, _ in pieces)
        chunks = tuple(chunk for _, chunk in pieces)
        stored.append(StoredOutput(output.role, len(output.data), output.executable, chunks))
    joined = os.fsencode("".join(f"{name}\0" for name in depends))
    header = EntryHeader(key, made_by, bound_to, tuple(stored), tuple(absent), joined, tuple(diagnostics))
    return b"".join((*_seal(header, level), *payload))


def add_diagnostics(blob: bytes, diagnostics: Diagnostics, level: int) -> bytes:
    """The same entry with the text for one more context; its files are taken over as they are."""
    entry = open_entry(blob)
    others = [known for known in entry.header.diagnostics if known.context != diagnostics.context]
    kept = (*others[-(MAX_CONTEXTS - 1) :], diagnostics)
    header = msgspec.structs.replace(entry.header, diagnostics=kept)
    return b"".join((*_seal(header, level), entry.payload))


def open_entry(blob: bytes, key: str = "") -> "Entry":
    """Check and read the header; DamagedError unless `blob` is an entry (and, if both are known, that of `key`)."""
    if len(blob) < _HEADER_AT:
        _damaged("shorter than its prefix")
    magic, version, _, stored, size = _PREFIX.unpack_from(blob)
    if magic != MAGIC or version != ENTRY_VERSION:
        _damaged("not an entry of this version")
    view = memoryview(blob)
    end = _HEADER_AT + stored
    if not (stored <= size <= MAX_HEADER_BYTES) or end > len(blob):
        _damaged("header longer than the entry")
    checksum = blake3(view[: _PREFIX.size])
    checksum.update(view[_HEADER_AT:end])
    if checksum.digest() != view[_PREFIX.size : _HEADER_AT]:
        _damaged("header checksum")
    try:
        header = _DECODER.decode(_restored(view[_HEADER_AT:end], size))
    except (msgspec.MsgspecError, ValueError) as e:  # only a writer's fault can bring us here
        _damaged(str(e))
    if key and header.key and key != header.key:
        _damaged(f"stored for {header.key}")
    return Entry(header, view[end:])


class Entry:
    """An opened entry.  Its header is verified; its files are verified as they are read or written."""

    def __init__(self, header: EntryHeader, payload: memoryview) -> None:
        self.header = header
        self.payload = payload
        self._places: dict[str, tuple[StoredOutput, int]] = {}
        offset = 0
        for output in header.outputs:
            self._places[output.role] = (output, offset)
            size = 0
            for chunk in output.chunks:
                if not 0 <= chunk.stored <= chunk.size <= CHUNK_BYTES:
                    _damaged("impossible chunk")
                offset += chunk.stored
                size += chunk.size
            if size != output.size:
                _damaged(f"{output.role} is not as long as its chunks")
        if offset != len(payload):
            _damaged("payload cut short" if offset > len(payload) else "bytes after the payload")

    @property
    def size_bytes(self) -> int:
        """How many bytes its files have: large ones are better written in a thread."""
        return sum(output.size for output in self.header.outputs)

    def roles(self) -> tuple[str, ...]:
        """The roles of all files in it."""
        return tuple(output.role for output in self.header.outputs)

    def has(self, role: str) -> bool:
        """Whether the compile made this output."""
        return role in self._places

    def is_executable(self, role: str) -> bool:
        """Whether the compiler left it executable."""
        return self._place(role)[0].executable

    def diagnostics_for(self, context: bytes) -> Diagnostics | None:
        """What a compile in `context` would print; None if this entry has not seen one."""
        for known in self.header.diagnostics:
            if known.context in (context, _SILENT):
                return known
        return None

    def read(self, role: str) -> bytes:
        """The whole output; DamagedError if it is not there or not as it was stored."""
        return b"".join(_verified(chunk, view) for chunk, view in self._chunks(role))

    def write(self, role: str, path: str, mode: int) -> None:
        """Make `path` this output, with exactly `mode`; DamagedError or StorageError, and then no partial file."""
        output, _ = self._place(role)
        try:
            target = OutputFile(path, mode)
            if _is_there(output, target):
                return
            with target as file:
                if file.fd >= 0:
                    _for_all(_restore, file.fd, _with_offsets(self._chunks(role)), output.size)
        except OSError as e:
            msg = f"cannot write {path}: {e.strerror or e}"
            raise StorageError(msg) from e

    def _place(self, role: str) -> tuple[StoredOutput, int]:
        place = self._places.get(role)
        if place is None:
            _damaged(f"no {role} in this entry")
        return place

    def _chunks(self, role: str) -> list[tuple[Chunk, memoryview]]:
        output, offset = self._place(role)
        chunks = []
        for chunk in output.chunks:
            chunks.append((chunk, self.payload[offset : offset + chunk.stored]))
            offset += chunk.stored
        return chunks


_Place = tuple[int, Chunk, memoryview]


def _with_offsets(chunks: Iterable[tuple[Chunk, memoryview]]) -> list[_Place]:
    """Each chunk with its place in the file."""
    places = []
    offset = 0
    for chunk, view in chunks:
        places.append((offset, chunk, view))
        offset += chunk.size
    return places


def _is_there(output: StoredOutput, target: OutputFile) -> bool:
    """Whether the target is this very file; then it only gets a new time, a third of the cost of writing it again."""
    fd = target.open_if_like(output.size)
    if fd < 0:
        return False
    try:
        if not _for_all(_holds, fd, _with_offsets((chunk, _NOTHING) for chunk in output.chunks), output.size):
            return False
        os.utime(fd)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _restore(fd: int, place: _Place) -> bool:
    """Write a chunk to its place."""
    offset, chunk, view = place
    write_all_at(fd, _verified(chunk, view), offset)
    return True


def _holds(fd: int, place: _Place) -> bool:
    """Whether the file has this chunk at its place."""
    offset, chunk, _ = place
    return blake3(os.pread(fd, chunk.size, offset)).digest() == (chunk.content or chunk.digest)


def _for_all(work: Callable[[int, _Place], bool], fd: int, places: list[_Place], size: int) -> bool:
    """Do `work` for each place, with several threads where it is much; whether all of it gave True."""
    if size < PARALLEL_FROM_BYTES:
        return all(work(fd, place) for place in places)
    queue = iter(places)  # a list's iterator may be shared by threads, unlike a generator
    failures: list[Exception | None] = []

    def run() -> None:
        try:
            while not failures and (place := next(queue, None)) is not None:
                if not work(fd, place):
                    failures.append(None)
        except (DamagedError, OSError, MemoryError) as e:
            failures.append(e)

    helpers = [threading.Thread(target=run, name="sccache-restore") for _ in range(min(MAX_THREADS, os.cpu_count() or 1) - 1)]
    for helper in helpers:
        helper.start()
    run()
    for helper in helpers:
        helper.join()
    for failure in failures:
        if failure is not None:
            raise failure
    return not failures


def _split(data: bytes) -> list[memoryview]:
    view = memoryview(data)
    return [view[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]


def _store(piece: memoryview, level: int) -> tuple[bytes | memoryview, Chunk]:
    stored = _smaller(piece, level)
    content = b"" if stored is piece else blake3(piece).digest()
    return stored, Chunk(len(stored), len(piece), blake3(stored).digest(), content)


def _smaller(data: bytes | memoryview, level: int) -> bytes | memoryview:
    """Compressed where that saves an eighth: less is not worth the time that each hit would pay."""
    if len(data) < MIN_COMPRESSED_BYTES:
        return data
    frame = compress(data, level)
    return frame if len(frame) <= len(data) - len(data) // 8 else data


def _seal(header: EntryHeader, level: int) -> tuple[bytes, bytes, bytes | memoryview]:
    """Prefix, digest and header as they are stored."""
    plain = _ENCODER.encode(header)
    stored = _smaller(plain, level)
    prefix = _PREFIX.pack(MAGIC, ENTRY_VERSION, 0, len(stored), len(plain))
    checksum = blake3(prefix)
    checksum.update(stored)
    return prefix, checksum.digest(), stored


def _verified(chunk: Chunk, stored: memoryview) -> bytes | memoryview:
    """The chunk's part of the file, after checking the stored bytes."""
    if blake3(stored).digest() != chunk.digest:
        _damaged("chunk checksum")
    try:
        return _restored(stored, chunk.size)
    except ValueError as e:
        _damaged(str(e))


def _restored(stored: memoryview, size: int) -> bytes | memoryview:
    return stored if len(stored) == size else decompress(stored, size)


def _damaged(why: str) -> NoReturn:
    msg = f"damaged entry: {why}"
    raise DamagedError(msg)
