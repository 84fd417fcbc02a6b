"""The bodies of a run, as the worker reads and writes them: the client's half is the other end."""

import random
from pathlib import Path

import msgspec
import pytest
import zstandard
from blake3 import blake3
from tests.unit.dist.test_job_checks import job

from sccache.dist import body, client_body
from sccache.dist.body import Request, TooLargeError, answer_pieces
from sccache.dist.messages import Failed, File, JobHeader, Missing, OutputFile, Result
from sccache.dist.room import Room
from sccache.errors import ProtocolError


def digest(data: bytes) -> bytes:
    return blake3(data).digest()


DATAS = [b"hello", b"", random.Random(1).randbytes(3_000_000), b"x" * 5_000_000]


def with_contents(tmp_path: Path, datas: list[bytes]) -> tuple[JobHeader, dict[bytes, str]]:
    """A job that sends all of them."""
    paths = {}
    for number, data in enumerate(datas):
        (tmp_path / str(number)).write_bytes(data)
        paths[digest(data)] = str(tmp_path / str(number))
    files = tuple(File(b"/f%d" % number, digest(data), len(data)) for number, data in enumerate(datas))
    return job(files=files, sent=tuple(digest(data) for data in datas)), paths


def raw(header: JobHeader, *contents: bytes) -> bytes:
    """A body by hand."""
    packed = zstandard.compress(msgspec.msgpack.encode(header))
    return len(packed).to_bytes(4, "little") + packed + zstandard.compress(b"".join(contents))


def received(request: Request) -> list[bytes]:
    found = []
    for name, size, pieces in request.contents():
        data = b"".join(pieces)
        assert (digest(data), len(data)) == (name, size)
        found.append(data)
    return found


@pytest.mark.parametrize("length", [1, 7, 1 << 16])
def test_what_a_client_sends(tmp_path, length):
    """Arrives, in whatever pieces."""
    datas = DATAS[:2] if length < 10 else DATAS
    header, paths = with_contents(tmp_path, datas)
    whole = b"".join(client_body.job_pieces(header, paths))
    request = Request(str(tmp_path), Room(1 << 30))
    for start in range(0, len(whole), length):
        request.feed(whole[start : start + length])
    assert request.header == header
    assert received(request) == datas
    request.close()


def test_long_bodies_are_no_names_on_disk(tmp_path):
    """And their space is given back."""
    header, paths = with_contents(tmp_path, DATAS)
    spool = tmp_path / "spool"
    spool.mkdir()
    request = Request(str(spool), Room(1 << 30))
    for piece in client_body.job_pieces(header, paths):
        request.feed(piece)
    assert list(spool.iterdir()) == []
    request.close()


def test_nothing_sent(tmp_path):
    """Everything is there already."""
    request = Request(str(tmp_path), Room(1 << 30))
    request.feed(raw(job(sent=())))
    assert received(request) == []
    request.close()


def test_cut_off_before_the_header(tmp_path):
    """Refused in every place."""
    whole = raw(job(sent=()))
    packed = int.from_bytes(whole[:4], "little")
    for end in (0, 3, 4, 10, packed + 3):
        request = Request(str(tmp_path), Room(1 << 30))
        request.feed(whole[:end])
        with pytest.raises(ProtocolError, match="cut off"):
            received(request)
        request.close()


def fed(tmp_path: Path, data: bytes) -> Request:
    request = Request(str(tmp_path), Room(1 << 30))
    request.feed(data)
    return request


HELLO = job(files=(File(b"/a", digest(b"hello"), 5),), sent=(digest(b"hello"),))


@pytest.mark.parametrize(
    "data",
    [
        raw(HELLO, b"hell"), raw(HELLO, b"hello!"), raw(HELLO)[:-3],
        raw(HELLO, b"hello")[: -len(zstandard.compress(b"hello"))] + b"no zstd at all",
    ],
)  # fmt: skip
def test_contents_that_are_not_as_announced(tmp_path, data):
    """Too short, too long, cut off, no zstd."""
    request = fed(tmp_path, data)
    with pytest.raises(ProtocolError):
        received(request)
    request.close()


def test_a_header_of_any_length_is_not_waited_for(tmp_path):
    """Refused by its first four bytes."""
    request = Request(str(tmp_path), Room(1 << 30))
    with pytest.raises(TooLargeError):
        request.feed((1 << 31).to_bytes(4, "little"))
    request.close()


def test_a_header_that_is_a_bomb(tmp_path, monkeypatch):
    """Not unpacked further than a header may be long."""
    monkeypatch.setattr(body, "MAX_HEADER_BYTES", 1 << 20)
    bomb = zstandard.compress(bytes(64 << 20))
    request = Request(str(tmp_path), Room(1 << 30))
    with pytest.raises(TooLargeError):
        request.feed(len(bomb).to_bytes(4, "little") + bomb)
    request.close()


def test_more_than_was_announced(tmp_path):
    """Refused as soon as it is more, even before it is unpacked."""
    request = fed(tmp_path, raw(HELLO))
    request.feed(bytes(1000))
    with pytest.raises(TooLargeError):
        request.feed(bytes(2 << 20))
    request.close()


def test_contents_that_are_a_bomb(tmp_path):
    """Unpacked as far as announced."""
    request = fed(tmp_path, raw(HELLO, bytes(64 << 20)))
    contents = request.contents()
    _, size, pieces = next(contents)
    assert sum(map(len, pieces)) == size == 5
    with pytest.raises(ProtocolError, match="more contents"):
        next(contents)
    request.close()


def test_a_window_that_is_too_large(tmp_path):
    """A client does not decide how much memory the worker takes."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = stream.compress(b"hello") + stream.flush()
    head = raw(HELLO)[: -len(zstandard.compress(b""))]
    request = fed(tmp_path, head + packed)
    with pytest.raises(ProtocolError, match="no zstd"):
        received(request)
    request.close()


FILES = tuple(OutputFile(b"/o%d" % number, len(data), digest(data)) for number, data in enumerate(DATAS))
ASKED = job(files=(File(b"/a", b"d" * 32, 5),), outputs=tuple(file.path for file in FILES), sent=())


@pytest.mark.parametrize("answer", [Failed("why"), Missing((b"d" * 32,), toolchain=True)])
@pytest.mark.parametrize("dots", [0, 3])
def test_answers_without_contents(answer, dots):
    """The client reads them after any number of signs of life."""
    got = read(b"." * dots + b"".join(answer_pieces(answer)))
    assert (got.answer, got.contents) == (answer, ())


def test_answers_with_contents():
    """In pieces that can be sent, each checked by the client."""
    result = Result(status=1, stdout=b"out", stderr=b"err", outputs=FILES)
    pieces = list(answer_pieces(result, DATAS))
    assert max(map(len, pieces)) < 4 << 20
    got = read(b"".join(pieces))
    assert got.answer == result
    assert list(got.contents) == DATAS


def read(data: bytes) -> client_body.Answered:
    answer = client_body.Answer()
    answer.feed(data)
    return answer.read(ASKED)


def test_bodies_together_have_so_much_room(tmp_path):
    """Who comes when it is full is refused like by a full disk; what is given back is the next one's."""
    header, paths = with_contents(tmp_path, DATAS)
    whole = b"".join(client_body.job_pieces(header, paths))
    room = Room(len(whole) + len(whole) // 2)
    first, second = Request(str(tmp_path), room), Request(str(tmp_path), room)
    first.feed(whole)
    with pytest.raises(OSError, match="too much is being received"):
        second.feed(whole)
    second.close()
    first.close()
    first.close()
    assert room.left_bytes == len(whole) + len(whole) // 2
    third = Request(str(tmp_path), room)
    third.feed(whole)
    assert received(third) == DATAS
    third.close()
