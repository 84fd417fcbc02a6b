"""The client's half of a run's bodies: a job goes out in pieces, a worker's answer comes in and is believed only after it was checked.

    request ::= length zstd(JobHeader) zstd(contents…)          answer ::= "."* "R" length zstd(JobAnswer) zstd(outputs…)

Owns: the bytes, their bounds and digests, what of others' words gets into logs.  Must not know: connections, threads: all of this
blocks.  docs/formats/dist.md
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping

import msgspec
from blake3 import blake3
from msgspec import Struct
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from sccache.dist.messages import JobAnswer, JobHeader, Missing, OutputFile, Result
from sccache.errors import ProtocolError
from sccache.hashing.digest import digest

LEVEL = 1
"""Of zstd: the client's cores are what a farm is short of, and headers go to a worker once."""
PIECE_BYTES = 256 << 10
READ_BYTES = 1 << 20
LENGTH_BYTES = 4
MAX_WINDOW_BYTES = 128 << 20
"""Most memory that a stream may ask for to be decompressed (zstd's own limit for what it calls long distances)."""
WAITING = b"."
READY = b"R"

MAX_TEXT = 300
"""Characters of another machine's sentence that are told further."""

_ANSWER = msgspec.msgpack.Decoder(JobAnswer)


class Bounds(Struct, frozen=True):
    """Most bytes of an answer that are accepted."""

    header: int = 64 << 20
    """With both streams and the observer's report; a worker bounds streams by itself."""
    outputs: int = 1 << 30
    """All together; longer than any entry of the cache may be."""


class InputChangedError(Exception):
    """A file no longer has the content that it is to be sent with; the message names it."""


class Answered(Struct, frozen=True):
    """A whole answer."""

    answer: JobAnswer
    contents: tuple[bytes, ...] = ()
    """Of Result.outputs, in that order."""


def job_pieces(header: JobHeader, contents: Mapping[bytes, str]) -> Iterator[bytes]:
    """The body of a request.  Raises InputChangedError; what was given until then is of no use."""
    packed = ZstdCompressor(level=LEVEL).compress(msgspec.msgpack.encode(header))
    piece = bytearray(len(packed).to_bytes(LENGTH_BYTES, "little") + packed)
    stream = ZstdCompressor(level=LEVEL).compressobj()
    sizes = {file.digest: file.size for file in header.files}
    for wanted in header.sent:
        for data in _content(contents[wanted], wanted, sizes[wanted]):
            piece += stream.compress(data)
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    piece += stream.flush()
    yield bytes(piece)


def sentence_of(body: bytes | bytearray) -> str:
    """What the body of a failure says, `{"error": …}`, to stand behind a status in one line of a log."""
    try:
        text = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "."
    return ": " + plain(str(text))


def plain(text: str) -> str:
    """Another machine's words, fit for a log."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TEXT])


def _content(path: str, wanted: bytes, size: int) -> Iterator[bytes]:
    """A file, while it is looked whether it still is the one that was meant."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputChangedError(path)
            hasher, left = blake3(), size
            while data := file.read(min(left + 1, READ_BYTES)):
                left -= len(data)
                if left < 0:
                    break
                hasher.update(data)
                yield data
            if left or hasher.digest() != wanted:
                raise InputChangedError(path)
    except OSError as e:
        raise InputChangedError(path) from e


class Answer:
    """Collects an answer; bytes that say no more than "I am still there" are dropped."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._data = bytearray()
        self._has_begun = False

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Some more; ProtocolError if that cannot become an answer."""
        if not self._has_begun:
            data = data.lstrip(WAITING)
            if not data:
                return
            if not data.startswith(READY):
                raise ProtocolError("the answer starts with something else")
            self._has_begun = True
            data = data[len(READY) :]
        self._data += data
        # What does not get smaller by zstd gets longer by less than this.
        if len(self._data) > self._bounds.header + self._bounds.outputs + READ_BYTES:
            raise ProtocolError("the answer is too long")

    def read(self, header: JobHeader) -> Answered:
        """The whole of it, as an answer to `header`; ProtocolError if it is none."""
        data = memoryview(self._data)
        end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
        if len(data) < end:
            raise ProtocolError("the answer is cut off")
        try:
            answer = _ANSWER.decode(_whole(data[LENGTH_BYTES:end], self._bounds.header))
            if isinstance(answer, Missing):
                _check_missing(answer, header)
            if not isinstance(answer, Result):
                return Answered(answer)
            _check_outputs(answer.outputs, header, self._bounds.outputs)
            return Answered(answer, tuple(_outputs(data[end:], answer.outputs)))
        except (ZstdError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
            raise ProtocolError(f"the answer is garbled: {e}") from e


def _whole(frame: memoryview, limit: int) -> bytes:
    """What is in a frame, however much it says that this is."""
    data = bytearray()
    with ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(frame, closefd=False) as reader:
        while piece := reader.read(READ_BYTES):
            data += piece
            if len(data) > limit:
                raise ProtocolError("the answer's header is too long")
    return bytes(data)


def _outputs(stream: memoryview, outputs: tuple[OutputFile, ...]) -> Iterator[bytes]:
    with ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(stream, closefd=False) as reader:
        for output in outputs:
            data = reader.read(output.size) if output.size else b""
            if len(data) != output.size or digest(data) != output.digest:
                raise ProtocolError(f"the content of {os.fsdecode(output.path)} is another than announced")
            yield data
        if reader.read(1):
            raise ProtocolError("the answer has more contents than outputs")


def _check_missing(missing: Missing, header: JobHeader) -> None:
    if not missing.toolchain and not missing.contents:
        raise ProtocolError("nothing is missing, and nothing was run")
    if not {file.digest for file in header.files}.issuperset(missing.contents) or len(set(missing.contents)) != len(missing.contents):
        raise ProtocolError("contents are asked for that are not of this job")


def _check_outputs(outputs: tuple[OutputFile, ...], header: JobHeader, limit: int) -> None:
    """Only what was asked for, each once, is ever written here."""
    if sum(output.size for output in outputs) > limit or any(output.size < 0 for output in outputs):
        raise ProtocolError("the outputs are too long")
    wanted, below = set(header.outputs), tuple(directory.rstrip(b"/") + b"/" for directory in header.output_directories)
    seen: set[bytes] = set()
    for output in outputs:
        is_plain = not {b"", b".", b".."} & set(output.path.split(b"/")[1:])
        if output.path in seen or not (output.path in wanted or (is_plain and output.path.startswith(below))):
            raise ProtocolError(f"an output came that was not asked for: {os.fsdecode(output.path)}")
        seen.add(output.path)
