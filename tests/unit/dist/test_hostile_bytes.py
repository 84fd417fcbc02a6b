"""Everything that is read from the network, with bytes that nobody would send: the declared refusal and nothing else, within bounds.

Messages are changed in a few places after they were made, so that what is damaged is reached and not only the first check.
"""

import contextlib
import gzip
import io
import json
import lzma
import random
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.dist.farm_fakes import digest, framed
from tests.unit.dist.test_job_checks import job

from sccache.dist import job_checks, scheduler_checks
from sccache.dist.archive import ArchiveError, Limits, unpack
from sccache.dist.body import Request
from sccache.dist.client_body import Answer, Bounds, sentence_of
from sccache.dist.messages import Allocate, Failed, File, Heartbeat, Link, Missing, OutputFile, Report, Result
from sccache.dist.room import Room
from sccache.dist.tokens import JobClaims, TokenError, check_job_token, job_token
from sccache.errors import ProtocolError

MANY = settings(
    derandomize=True, database=None, max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DEEP = b"\x91" * 200_000
CONTENT = b"int x;\n" * 50
HEADER = job(
    files=(File(b"/home/me/src/a.c", digest(CONTENT), len(CONTENT)), File(b"/home/me/b.h", digest(b""), 0)),
    links=(Link(b"/home/me/l", b"../x"),), sent=(digest(CONTENT),),
)  # fmt: skip
HEADER_BYTES = msgspec.msgpack.encode(HEADER)

Change = tuple[int, int, bytes]
"""Where (of any number of bytes), how many go, what comes instead."""
changes = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 8), st.binary(max_size=8)), max_size=4)


def changed(data: bytes, by: list[Change]) -> bytes:
    """With these changes."""
    for place, gone, new in by:
        place %= len(data) + 1  # noqa: PLW2901
        data = data[:place] + new + data[place + gone :]
    return data


def body_of(header: bytes, contents: bytes) -> bytes:
    """A run's, of a header that is packed well."""
    packed = zstandard.compress(header)
    return len(packed).to_bytes(4, "little") + packed + contents


# -- jobs


def _header(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        job_checks.check(job_checks.decode(data))


@MANY
@given(changes)
def test_headers_that_were_changed(by: list[Change]) -> None:
    """A job that can be one, or ProtocolError."""
    _header(changed(HEADER_BYTES, by))


@MANY
@given(st.binary(max_size=300))
@example(DEEP)
@example(b"\x81\xa1x" + DEEP)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
def test_headers_of_anything(data: bytes) -> None:
    """Also deep ones, and ones that announce gigabytes."""
    _header(data)


def _fed(place: Path, data: bytes, step: int) -> int:
    """What of a body's contents is believed."""
    request = Request(str(place), Room(1 << 30))
    try:
        for start in range(0, len(data), step):
            request.feed(data[start : start + step])
        return sum(len(piece) for _, _, pieces in request.contents() for piece in pieces)
    except ProtocolError:
        return 0
    finally:
        request.close()


@MANY
@given(changes, changes, changes, st.integers(1, 500))
def test_bodies_that_were_changed(tmp_path: Path, inner: list[Change], packed: list[Change], whole: list[Change], step: int) -> None:
    """In the header, in the packed contents, anywhere; in whatever pieces it comes."""
    body = body_of(changed(HEADER_BYTES, inner), changed(zstandard.compress(CONTENT), packed))
    assert _fed(tmp_path, changed(body, whole), step) <= 1 << 20


@MANY
@given(st.binary(max_size=300), st.integers(1, 50))
def test_bodies_of_anything(tmp_path: Path, data: bytes, step: int) -> None:
    """Nearly none is one."""
    assert _fed(tmp_path, data, step) == 0


def _array(count: int, element: bytes) -> bytes:
    return b"\xdd" + struct.pack(">I", count) + element * count


SMALLEST = {
    "argv": b"\xc4\0", "environment": b"\x92\xc4\0\xc4\0", "directories": b"\xc4\0", "links": b"\x92\xc4\0\xc4\0",
    "files": b"\x93\xc4\0\xc4\0\0", "sent": b"\xc4\0", "outputs": b"\xc4\0", "output_directories": b"\xc4\0",
}  # fmt: skip


@pytest.mark.parametrize("field", SMALLEST)
def test_many_small_things_are_not_even_made(field: str) -> None:
    """A header of the size that is taken cannot cost a multiple of it in memory."""
    whole = msgspec.to_builtins(HEADER, builtin_types=(bytes,))
    del whole[field]
    entries = b"".join(msgspec.msgpack.encode(name) + msgspec.msgpack.encode(value) for name, value in whole.items())
    data = bytes([0x80 + len(whole) + 1]) + entries + msgspec.msgpack.encode(field) + _array(2_000_000, SMALLEST[field])
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="garbled"):
            job_checks.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


# -- answers


ANSWERS = [
    Missing((digest(CONTENT),), toolchain=True),
    Failed("no\nroom"),
    Result(status=0, stdout=b"out", stderr=b"", outputs=(OutputFile(b"/home/me/src/a.o", len(CONTENT), digest(CONTENT)),), left=(b"/x",)),
]


def _answered(data: bytes, step: int) -> None:
    answer = Answer(Bounds(header=1 << 20, outputs=1 << 20))
    with contextlib.suppress(ProtocolError):
        for start in range(0, len(data), step):
            answer.feed(data[start : start + step])
        found = answer.read(HEADER)
        assert found.contents in {(), (CONTENT,)}


@MANY
@given(st.sampled_from(ANSWERS), changes, changes, st.integers(1, 500))
def test_answers_that_were_changed(said: Missing | Failed | Result, inner: list[Change], whole: list[Change], step: int) -> None:
    """Contents are what the digests say, or it is refused."""
    packed = zstandard.compress(changed(msgspec.msgpack.encode(said), inner))
    data = b"..R" + len(packed).to_bytes(4, "little") + packed + zstandard.compress(CONTENT if isinstance(said, Result) else b"")
    _answered(changed(data, whole), step)


@MANY
@given(st.binary(max_size=300), st.integers(1, 50))
@example(framed(Failed("x"))[:3] + body_of(DEEP, b""), 1 << 20)
@example(b"R" + body_of(b"\x82\xa4type\xa6failed\xa1x" + DEEP, b""), 1 << 20)
@example(b"R" + body_of(bytes(64 << 20), b""), 1 << 20)
def test_answers_of_anything(data: bytes, step: int) -> None:
    """Deep ones and bombs among them."""
    _answered(data, step)


@MANY
@given(st.binary(max_size=100))
@example(b'{"error":' + b"[" * 100_000)
@example(b'{"error": ' + b"9" * 5000 + b"}")
@example(b'{"error": "\\ud800"}')
def test_sentences_of_anything(data: bytes) -> None:
    """One line, not long."""
    said = sentence_of(data)
    assert said.isprintable()
    assert len(said) < 400


# -- what the scheduler reads


SAID: list[tuple[Callable[[bytes], object], msgspec.Struct]] = [
    (scheduler_checks.allocate, Allocate("ab" * 32, 1.0, 30.0, ("192.0.2.1:80",))),
    (scheduler_checks.heartbeat, Heartbeat("nonce", 4, 5, "k" * 43, "ab" * 32, ("cd" * 16,), ("ab" * 32,))),
    (scheduler_checks.report, Report("nonce", ("cd" * 16,), ())),
]


def _heard(check: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(scheduler_checks.BodyError, scheduler_checks.VersionError):
        check(data)


@MANY
@given(st.sampled_from(SAID), changes)
def test_words_to_the_scheduler_that_were_changed(said: tuple[Callable[[bytes], object], msgspec.Struct], by: list[Change]) -> None:
    """One of its two refusals."""
    _heard(said[0], changed(msgspec.json.encode(said[1]), by))


@MANY
@given(st.sampled_from([check for check, _ in SAID]), st.binary(max_size=100))
@example(scheduler_checks.allocate, b"[" * 100_000)
@example(scheduler_checks.heartbeat, b'{"x":' * 100_000)
@example(scheduler_checks.report, b'{"nonce":"\\ud800"}')
def test_words_to_the_scheduler_of_anything(check: Callable[[bytes], object], data: bytes) -> None:
    """As well."""
    _heard(check, data)


KEY = b"k" * 32
TOKEN = job_token(KEY, JobClaims("1" * 32, "worker:1", "ab" * 32), 4e9).encode()


@MANY
@given(changes)
def test_tokens_that_were_changed(by: list[Change]) -> None:
    """None but the one that was made is good."""
    token = changed(TOKEN, by).decode("latin-1")
    try:
        claims = check_job_token(token, KEY, "1" * 32, "worker:1")
    except TokenError:
        return
    assert claims == JobClaims("1" * 32, "worker:1", "ab" * 32)


# -- archives


def _tar(form: int) -> bytes:
    out = io.BytesIO()
    longer = 20 if form == tarfile.USTAR_FORMAT else 40
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, kind, target in (
            ("bin", tarfile.DIRTYPE, ""), ("bin/cc", tarfile.REGTYPE, ""), ("bin/" + "long" * longer, tarfile.REGTYPE, ""),
            ("bin/c++", tarfile.LNKTYPE, "bin/cc"), ("lib", tarfile.SYMTYPE, "usr/lib"),
            ("l2", tarfile.SYMTYPE, "/" + "x/" * longer),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, target, 0o755
            member.size = len(CONTENT) if kind == tarfile.REGTYPE else 0
            if form == tarfile.PAX_FORMAT:
                member.pax_headers = {"comment": "none"}
            archive.addfile(member, io.BytesIO(CONTENT))
    return out.getvalue()


TARS = [_tar(form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)]
PACKERS: list[Callable[[bytes], bytes]] = [bytes, zstandard.compress, gzip.compress, lzma.compress]
LIMITS = Limits(members=100, size_bytes=1 << 20, depth=20)


def _resealed(data: bytes) -> bytes:
    """With the checksum of each block as it should be: so what a header says is looked at."""
    out = bytearray(data)
    for start in range(0, len(out) - 511, 512):
        if out[start + 257 : start + 262] == b"ustar":
            out[start + 148 : start + 156] = b" " * 8
            out[start + 148 : start + 156] = b"%06o\0 " % sum(out[start : start + 512])
    return bytes(out)


def _unpacked(place: Path, data: bytes) -> None:
    """It is refused, and nothing is left; or all of it is below its directory, of a sort that it may be, and small."""
    path, directory = place / "archive", place / "unpacked" / "here"
    path.write_bytes(data)
    directory.parent.mkdir(exist_ok=True)
    try:
        unpack(str(path), str(directory), LIMITS)
    except ArchiveError:
        assert list(directory.parent.iterdir()) == []
        return
    found = list(directory.rglob("*"))
    assert sum(one.lstat().st_size for one in found if one.is_file() and not one.is_symlink()) <= 2 << 20
    for one in sorted(found, reverse=True):
        assert one.is_symlink() or one.is_file() or one.is_dir()
        one.rmdir() if one.is_dir() and not one.is_symlink() else one.unlink()
    directory.rmdir()


@MANY
@given(st.sampled_from(TARS), st.sampled_from(PACKERS), changes, st.booleans(), changes)
def test_archives_that_were_changed(
    tmp_path: Path, tar: bytes, pack: Callable[[bytes], bytes], inner: list[Change], is_resealed: bool, whole: list[Change]
) -> None:  # fmt: skip
    """In the tar, with checksums that are right or not, and in what packs it."""
    tar = changed(tar, inner)
    _unpacked(tmp_path, changed(pack(_resealed(tar) if is_resealed else tar), whole))
    assert {one.name for one in tmp_path.iterdir()} == {"archive", "unpacked"}


@MANY
@given(st.integers(0, 1 << 32), st.sampled_from(TARS))
def test_headers_of_members_that_were_changed(tmp_path: Path, seed: int, tar: bytes) -> None:
    """Bytes within fields, so that blocks stay where they are: sizes, types, names, links."""
    chance = random.Random(seed)
    data = bytearray(tar)
    starts = [start for start in range(0, len(data), 512) if data[start + 257 : start + 262] == b"ustar"]
    for _ in range(chance.randint(1, 5)):
        start, (first, last) = chance.choice(starts), chance.choice([(0, 100), (100, 108), (124, 136), (156, 157), (157, 257), (345, 500)])
        data[start + chance.randrange(first, last)] = chance.choice([*b"\0/.01257xgLKS\x80\xff", chance.randrange(256)])
    _unpacked(tmp_path, _resealed(bytes(data)))
    assert {one.name for one in tmp_path.iterdir()} == {"archive", "unpacked"}


def test_a_sentence_may_be_any_json() -> None:
    """What is no text is shown as it is."""
    assert sentence_of(json.dumps({"error": ["x"]}).encode()) == ": ['x']"
