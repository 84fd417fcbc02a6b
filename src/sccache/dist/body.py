"""The worker's half of a run's bodies: a request is kept in a file until it is whole, an answer goes out in pieces.

    request ::= length zstd(JobHeader) zstd(contents…)          answer ::= "."* "R" length zstd(JobAnswer) zstd(outputs…)

Nothing is decompressed beyond what was announced, and nothing announced is believed beyond the bounds.

Owns: the bytes, their bounds.  Must not know: connections, where contents are kept: all of this blocks.  docs/formats/dist.md
"""

import contextlib
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

import msgspec
from zstandard import ZstdCompressor, ZstdDecompressionReader, ZstdDecompressor, ZstdError

from sccache.dist import job_checks
from sccache.dist.client_body import LENGTH_BYTES, MAX_WINDOW_BYTES, PIECE_BYTES, READ_BYTES, READY
from sccache.dist.messages import JobAnswer, JobHeader
from sccache.dist.room import Room
from sccache.errors import ProtocolError

LEVEL = 1
MAX_PACKED_HEADER_BYTES = 16 << 20
MAX_HEADER_BYTES = 64 << 20
MAX_BODY_BYTES = job_checks.MAX_CONTENT_BYTES + MAX_PACKED_HEADER_BYTES + (64 << 20)
IN_MEMORY_BYTES = 1 << 20
SLACK_BYTES = 1 << 20
"""What does not get smaller by zstd gets longer by less than this and a hundredth."""


class TooLargeError(ProtocolError):
    """A body is longer than it may be."""


class Request:
    """A request's body, as it comes in."""

    def __init__(self, directory: str, room: Room) -> None:
        """Long bodies are kept in a nameless file in `directory`; all together have `room`."""
        self._room, self._taken = room, 0
        self._front = bytearray()
        self._rest: IO[bytes] = SpooledTemporaryFile(IN_MEMORY_BYTES, dir=directory)  # noqa: SIM115 -- closed by close()
        self._left = 0
        self.header: JobHeader | None = None
        """As soon as it is there, checked."""

    def close(self) -> None:
        """Give its space back."""
        with contextlib.suppress(OSError):  # a full disk says so once more, about what was to be written yet
            self._rest.close()
        self._room.give_back(self._taken)
        self._taken = 0

    def feed(self, data: bytes) -> None:
        """Some more; ProtocolError if it cannot become a request, OSError if there is no room.  Blocking where a body is long."""
        if self.header is None:
            self._front += data
            data = self._head()
        if len(data) > self._left:
            raise TooLargeError("The contents are longer than announced")
        self._left -= len(data)
        self._room.take(len(data))
        self._taken += len(data)
        self._rest.write(data)

    def contents(self) -> Iterator[tuple[bytes, int, Iterator[bytes]]]:
        """Digest, size and content of all that was sent; a content has to be read before the next.  ProtocolError."""
        if self.header is None:
            raise ProtocolError("The job is cut off")
        if not self.header.sent:
            return
        sizes = {file.digest: file.size for file in self.header.files}
        self._rest.seek(0)
        with ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(self._rest, closefd=False) as reader:
            for digest in self.header.sent:
                yield digest, sizes[digest], _pieces(reader, sizes[digest])
            if _read(reader, 1):
                raise ProtocolError("There are more contents than announced")

    def _head(self) -> bytes:
        """Read the header if it is there; gives what came after it."""
        if len(self._front) < LENGTH_BYTES:
            return b""
        length = int.from_bytes(self._front[:LENGTH_BYTES], "little")
        if length > MAX_PACKED_HEADER_BYTES:
            raise TooLargeError("The job's header is too long")
        end = LENGTH_BYTES + length
        if len(self._front) < end:
            return b""
        self.header = job_checks.decode(_whole(bytes(self._front[LENGTH_BYTES:end])))
        sizes = {file.digest: file.size for file in self.header.files}
        announced = sum(sizes[digest] for digest in self.header.sent)
        self._left = announced + announced // 100 + SLACK_BYTES
        rest, self._front = bytes(self._front[end:]), bytearray()
        return rest


def answer_pieces(answer: JobAnswer, outputs: Iterable[bytes] = ()) -> Iterator[bytes]:
    """An answer with its contents, without what was sent to say that the worker lives."""
    packed = ZstdCompressor(level=LEVEL).compress(msgspec.msgpack.encode(answer))
    piece = bytearray(READY + len(packed).to_bytes(LENGTH_BYTES, "little") + packed)
    stream = ZstdCompressor(level=LEVEL).compressobj()
    for data in outputs:
        view = memoryview(data)
        for start in range(0, len(view), READ_BYTES):
            piece += stream.compress(view[start : start + READ_BYTES])
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    piece += stream.flush()
    yield bytes(piece)


def _whole(frame: bytes) -> bytes:
    data = bytearray()
    with ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(frame) as reader:
        while piece := _read(reader, READ_BYTES):
            data += piece
            if len(data) > MAX_HEADER_BYTES:
                raise TooLargeError("The job's header is too long")
    return bytes(data)


def _pieces(reader: ZstdDecompressionReader, size: int) -> Iterator[bytes]:
    while size:
        piece = _read(reader, min(size, READ_BYTES))
        if not piece:
            raise ProtocolError("The contents are cut off")
        size -= len(piece)
        yield piece


def _read(reader: ZstdDecompressionReader, size: int) -> bytes:
    try:
        return reader.read(size)
    except ZstdError as e:
        raise ProtocolError(f"The body is no zstd: {e}") from None
