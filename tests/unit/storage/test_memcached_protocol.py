"""Memcached's packets and addresses: round trips, replies of a hostile server, keys, times."""

import contextlib
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.errors import ConfigError, ProtocolError
from sccache.storage import memcached_protocol as protocol
from sccache.storage.memcached import MemcachedBackend
from sccache.storage.memcached_protocol import HEADER, MAX_KEY_BYTES, MAX_VALUE_BYTES, Opcode, Reply, ReplyReader, encode_key, expiry

OPAQUE = protocol.make_opaque(7)


def packet(value: bytes, *, extras: bytes = b"", opcode: int = 0, status: int = 0, opaque: int = OPAQUE, magic: int = 0x81) -> bytes:
    """A reply as memcached makes it."""
    return HEADER.pack(magic, opcode, 0, len(extras), 0, status, len(extras) + len(value), opaque, 9) + extras + value


def feed(reader: ReplyReader, data: bytes, sizes: list[int], opcode: Opcode = Opcode.GET) -> Reply | None:
    """Give `data` in parts of these sizes (then whatever fits), as a socket would."""
    at, turn = 0, 0
    while at < len(data):
        room = reader.buffer()
        assert len(room) > 0
        count = min(len(room), len(data) - at, sizes[turn] if turn < len(sizes) else len(room))
        turn += 1
        room[:count] = data[at : at + count]
        room.release()
        at += count
        reply = reader.advance(count, opcode, OPAQUE)
        if reply is not None:
            assert at == len(data)
            return reply
    return None


values = st.one_of(st.binary(max_size=200), st.integers(0, 300_000).map(lambda count: bytes(range(256)) * (count // 256)))


@given(st.lists(st.tuples(values, st.lists(st.integers(1, 5000), max_size=30), st.sampled_from([0, 1, 3, 0x20])), min_size=1, max_size=4))
def test_a_reply_in_any_parts(replies: list[tuple[bytes, list[int], int]]) -> None:
    """However the network cuts it, it comes out whole; the reader serves one reply after the other."""
    reader = ReplyReader()
    for value, sizes, status in replies:
        assert feed(reader, packet(value, extras=b"\0\0\0\0", status=status), sizes) == Reply(status, value)
        assert reader.is_empty


def test_a_long_reply_is_in_memory_once() -> None:
    """Also while the one who received it still holds the last piece's buffer, as asyncio does."""
    size = 20_000_000
    data = memoryview(packet(bytes(size), extras=b"\0\0\0\0"))
    reader, at, reply = ReplyReader(), 0, None
    tracemalloc.start()
    try:
        while reply is None:
            room = reader.buffer()
            count = min(len(room), len(data) - at, 1_000_000)
            room[:count] = data[at : at + count]
            at += count
            reply = reader.advance(count, Opcode.GET, OPAQUE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(reply.value) == size
    assert peak < 1.2 * size


@given(values, st.integers(0, 400_000))
def test_a_reply_that_ends_early(value: bytes, count: int) -> None:
    """Is no reply."""
    whole = packet(value, extras=b"\0\0\0\0")
    assert feed(ReplyReader(), whole[: min(count, len(whole) - 1)], []) is None


@given(st.binary(min_size=1, max_size=400), st.lists(st.integers(1, 100), max_size=10))
def test_any_bytes(data: bytes, sizes: list[int]) -> None:
    """End as a ProtocolError or as an unfinished reply; a reply by chance does not happen without our mark."""
    reader = ReplyReader()
    with contextlib.suppress(ProtocolError):
        assert feed(reader, data, sizes) is None


@pytest.mark.parametrize(
    "data",
    [
        b"ERROR\r\n",
        b"E",
        packet(b"", magic=0x80),
        packet(b"", opcode=1),
        packet(b"", opaque=OPAQUE + 1),
        packet(b"") + b"x",
        HEADER.pack(0x81, 0, 0, 0, 0, 0, 0xFFFF_FFFF, OPAQUE, 0),
        HEADER.pack(0x81, 0, 0, 0, 0, 0, MAX_VALUE_BYTES + 1, OPAQUE, 0),
        HEADER.pack(0x81, 0, 0, 4, 0, 0, 3, OPAQUE, 0),
        HEADER.pack(0x81, 0, 0xFFFF, 0, 0, 0, 0xFFFF, OPAQUE, 0),
        HEADER.pack(0x81, 0, 0, 0, 1, 0, 0, OPAQUE, 0),
    ],
)
def test_a_reply_that_is_none(data: bytes) -> None:
    """Another protocol, another request's answer, too much, too long, lengths that contradict each other."""
    with pytest.raises(ProtocolError):
        feed(ReplyReader(), data, [])


def test_requests() -> None:
    """As the specification draws them."""
    assert protocol.encode_get(b"Hello", 0).hex() == "800000050000000000000005" + "00" * 12 + b"Hello".hex()
    head = protocol.encode_set(b"Hello", 5, 0x1234, 0)
    assert head.hex() == "8001000508000000" + "00000012" + "00" * 12 + "00000000" + "00001234" + b"Hello".hex()
    plain = protocol.encode_plain(b"me", b"pw", OPAQUE)
    assert plain[24:] == b"PLAIN\0me\0pw"
    assert struct.unpack(">BBH", plain[:4]) == (0x80, 0x21, 5)


@given(st.text(max_size=300), st.text(max_size=300))
def test_keys(prefix: str, name: str) -> None:
    """Any name makes a key that memcached takes: short, without spaces and control characters."""
    key = encode_key(prefix.encode(errors="replace").decode(), name.encode(errors="replace").decode())
    assert len(key) <= MAX_KEY_BYTES
    assert all(32 < byte < 127 for byte in key)


def test_the_key_of_an_entry() -> None:
    """Is its name, percent-encoded; a digest from 251 bytes on."""
    assert encode_key("", "a/b/c/abc") == b"a/b/c/abc"
    assert encode_key("my cache", "a/b") == b"my%20cache/a/b"
    assert encode_key("", "x" * 250) == b"x" * 250
    assert encode_key("", "x" * 251).startswith(b"sha256:")
    assert encode_key("", "x" * 251) != encode_key("", "x" * 252)


@pytest.mark.parametrize(
    ("lifetime_s", "sent"),
    [(0, 0), (1, 1), (2_592_000, 2_592_000), (2_592_001, 1_800_000_000 + 2_592_001), (4_000_000_000, 0)],
)
def test_times_of_expiry(lifetime_s: int, sent: int) -> None:
    """Up to 30 days as they are, then as a moment, and never rather than a moment that overflows."""
    assert expiry(lifetime_s, 1_800_000_000.7) == sent


def made(url: str, **more: Any) -> MemcachedBackend:
    return MemcachedBackend({"url": url, "key_prefix": "", "username": None, "password": None, "expiration": 86400, **more}, {})


@pytest.mark.parametrize(
    "url", ["127.0.0.1:11211", "tcp://cache.example.com:11211", "tcp://[::1]:11211", "unix:///run/m.sock", "TCP://h:1/"]
)
def test_addresses(url: str) -> None:
    """The forms of sccache, and IPv6."""
    made(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1", "must have a port"),
        ("tcp://cache.example.com", "must have a port"),
        ("tcp://h:0", "must have a port"),
        ("tcp://h:99999", "is not an address"),
        ("tcp://h:x", "is not an address"),
        ("tcp://me:secret@h:11211", "is not an address"),
        ("tcp://h:11211/path", "is not an address"),
        ("unix://relative", "absolute path"),
        ("http://h:11211", "must begin with"),
        ("", "is not an address"),
    ],
)
def test_addresses_that_are_none(url: str, words: str) -> None:
    """Are told with the setting's name, and without a password that may be inside."""
    with pytest.raises(ConfigError, match=words) as caught:
        made(url)
    assert "SCCACHE_MEMCACHED_ENDPOINT" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("prefix", "location"), [("", "memcached, name: memcached, prefix: /"), ("/a//b/", "memcached, name: memcached, prefix: /a/b/")]
)
def test_locations(prefix: str, location: str) -> None:
    """As sccache has them."""
    assert made("h:1", key_prefix=prefix).location() == location
