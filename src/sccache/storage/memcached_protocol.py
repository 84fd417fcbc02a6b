"""Memcached's binary protocol: requests as bytes, replies out of bytes.

    <packet> ::= <header> <extras> <key> <value>
    <header> ::= magic:u8 opcode:u8 key_length:u16 extras_length:u8 data_type:u8 status:u16 body_length:u32 opaque:u32 cas:u64

All numbers are big-endian; body_length counts extras, key and value.  In a request `status` is 0 (the virtual bucket).
Sources: memcached's doc/protocol-binary.xml (draft-stone-memcache-binary-01) and its wiki page SASLAuthProtocol.
Owns: packets, keys, times of expiry, what may be believed of a reply.  Must not know: sockets, asyncio, errors of storage.
"""

import hashlib
import io
from enum import IntEnum
from struct import Struct as Layout
from urllib.parse import quote

from msgspec import Struct

from sccache.errors import ProtocolError

HEADER = Layout(">BBHBBHIIQ")
REQUEST, RESPONSE = 0x80, 0x81
MAX_KEY_BYTES = 250
MAX_VALUE_BYTES = 1 << 30
"""Memcached's own largest `-I` is 1024 MB."""
MAX_HEAD_BYTES = 64
"""Most bytes before the value in a reply to what we ask: the header and the four bytes of flags of GET; a little more is tolerated."""
SCRATCH_BYTES = 64 << 10
"""A reply up to this length takes one read."""

RELATIVE_LIMIT_S = 60 * 60 * 24 * 30
"""Longer times are taken for seconds since 1970 (doc/protocol.txt, "Expiration times")."""
LATEST_TIME_S = (1 << 31) - 1
"""What a server that counts in 32 signed bits still understands."""

OPAQUE_MARK = 0x0D0A << 16
"""The upper half of every opaque is CR LF.  A server that speaks only the text protocol would wait for the end of the line for ever;
so it gets one, and answers ERROR."""


class Opcode(IntEnum):
    """What we ask."""

    GET = 0x00
    SET = 0x01
    NOOP = 0x0A
    SASL_AUTH = 0x21


class Status(IntEnum):
    """Answers that mean something to us; 8 is the older number of AUTH_ERROR."""

    OK = 0x00
    NOT_FOUND = 0x01
    TOO_LARGE = 0x03
    INVALID = 0x04
    NOT_STORED = 0x05
    OLD_AUTH_ERROR = 0x08
    AUTH_ERROR = 0x20
    AUTH_CONTINUE = 0x21
    UNKNOWN_COMMAND = 0x81
    OUT_OF_MEMORY = 0x82
    NOT_SUPPORTED = 0x83
    INTERNAL_ERROR = 0x84
    BUSY = 0x85
    TEMPORARY_FAILURE = 0x86


class Reply(Struct, frozen=True):
    """A whole reply; `value` is an object, or the server's words for a failure."""

    status: int
    value: bytes


def make_opaque(number: int) -> int:
    """The mark that the reply to a connection's request `number` must bear."""
    return OPAQUE_MARK | (number & 0xFFFF)


def encode_get(key: bytes, opaque: int) -> bytes:
    """Ask for an object."""
    return _head(Opcode.GET, key, b"", 0, opaque)


def encode_set(key: bytes, value_length: int, expires: int, opaque: int) -> bytes:
    """All of a SET but the value, which must follow; `expires` as the protocol has it (see `expiry`)."""
    return _head(Opcode.SET, key, bytes(4) + expires.to_bytes(4, "big"), value_length, opaque)


def encode_noop(opaque: int) -> bytes:
    """Ask for nothing: whether one may ask."""
    return _head(Opcode.NOOP, b"", b"", 0, opaque)


def encode_plain(username: bytes, password: bytes, opaque: int) -> bytes:
    """Authenticate by SASL PLAIN (RFC 4616): no identity, NUL, user name, NUL, password."""
    value = b"\0" + username + b"\0" + password
    return _head(Opcode.SASL_AUTH, b"PLAIN", b"", len(value), opaque) + value


def _head(opcode: Opcode, key: bytes, extras: bytes, value_length: int, opaque: int) -> bytes:
    length = len(extras) + len(key) + value_length
    return HEADER.pack(REQUEST, opcode, len(key), len(extras), 0, 0, length, opaque, 0) + extras + key


def encode_key(prefix: str, name: str) -> bytes:
    """Percent-encoded as sccache does it; what would be too long for memcached is replaced by its digest.

    The digest's form begins with a character that the other form never has.
    """
    key = quote(f"{prefix}/{name}" if prefix else name, safe="/-_.!~*'()").encode()
    return key if len(key) <= MAX_KEY_BYTES else b"sha256:" + hashlib.sha256(key).hexdigest().encode()


def expiry(lifetime_s: int, now_s: float) -> int:
    """`lifetime_s` from now (0: for ever) as the protocol has it; later than it can say is for ever."""
    if lifetime_s <= RELATIVE_LIMIT_S:
        return lifetime_s
    moment = int(now_s) + lifetime_s
    return moment if moment <= LATEST_TIME_S else 0


class ReplyReader:
    """Puts one reply together.  Bytes are received into `buffer()`, then told by `advance`; a long value is written once only."""

    def __init__(self) -> None:
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._filled = 0
        self._value: io.BytesIO | None = None
        self._view = self._lent = memoryview(b"")
        self._status = 0

    @property
    def is_empty(self) -> bool:
        """Nothing of a reply came yet."""
        return not self._filled

    def buffer(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        self._lent = self._view[self._filled :] if self._value is not None else self._scratch[self._filled :]
        return self._lent

    def advance(self, count: int, opcode: Opcode, opaque: int) -> Reply | None:
        """`count` bytes came: the reply if it is complete.  ProtocolError if this is no reply to the request `opaque`."""
        self._filled += count
        if self._value is None:
            if self._filled < HEADER.size:
                self._check_magic()
                return None
            if (reply := self._open(opcode, opaque)) is not None:
                return reply
        if self._value is None or self._filled < len(self._view):
            return None
        holder = self._value
        self.close()
        return Reply(self._status, holder.getvalue())  # not copied: nothing else refers to the buffer

    def close(self) -> None:
        """Forget what came.  Whoever received into `buffer()` is done with it; as long as it was lent, `getvalue` would copy."""
        self._lent.release()
        self._view.release()
        self._view = self._lent = memoryview(b"")
        self._value, self._filled = None, 0

    def _check_magic(self) -> None:
        if self._filled and self._scratch[0] != RESPONSE:
            raise ProtocolError("the server does not speak memcached's binary protocol (it must not be limited to the text protocol)")

    def _open(self, opcode: Opcode, opaque: int) -> Reply | None:
        """The header is there: look at all of it before a length is believed."""
        self._check_magic()
        _, code, key_length, extras_length, data_type, status, length, mark, _ = HEADER.unpack_from(self._scratch)
        if code != opcode or mark != opaque or data_type != 0:
            raise ProtocolError("an answer to another request")
        head = HEADER.size + extras_length + key_length
        value_length = HEADER.size + length - head
        if head > MAX_HEAD_BYTES or not 0 <= value_length <= MAX_VALUE_BYTES:
            raise ProtocolError("an answer with impossible lengths")
        if self._filled < head:
            return None
        if self._filled > head + value_length:
            raise ProtocolError("more bytes than the answer has")
        part = self._scratch[head : self._filled]
        if len(part) == value_length:
            self._filled = 0
            return Reply(status, bytes(part))
        self._status = status
        self._value = io.BytesIO(bytes(value_length))  # zero pages: a wrong length costs no memory before the bytes come
        self._view = self._value.getbuffer()
        self._view[: len(part)] = part
        self._filled = len(part)
        return None
