"""Tar archives, as much of them as toolchains need, written so that equal members give equal bytes.

Python's tarfile believes a header that announces an extended header of gigabytes, and its bytes may change with its version; here every
length has a bound, and an archive's name is the digest of its bytes.  Sources: POSIX.1-2017 pax "ustar Interchange Format" and "pax
Header Block"; GNU tar manual, "Basic Tar Format" (long names, base-256 numbers).

Owns: header blocks, long names, which kinds of members there are.  Must not know: compression, where members are written to.
"""

import enum
from collections.abc import Callable, Iterator

from msgspec import Struct

from sccache.errors import SccacheError

BLOCK_BYTES = 512
MAX_NAME_BYTES = 16 << 10
"""Longest name or link target: four times the kernel's PATH_MAX."""
MAX_EXTENDED_BYTES = 1 << 20
"""Longest extended header: names, and notes of other programs that are skipped."""
END = bytes(2 * BLOCK_BYTES)

_NAME, _MODE, _SIZE, _CHECKSUM, _TYPE = slice(0, 100), slice(100, 108), slice(124, 136), slice(148, 156), 156
_TARGET, _MAGIC, _PREFIX = slice(157, 257), slice(257, 262), slice(345, 500)
_SHORT_NAME_BYTES = 100
_LONG_NAME, _LONG_TARGET, _PAX, _PAX_FOR_ALL = b"L", b"K", b"x", b"g"
_LONG_MEMBER = b"././@LongLink"


class ArchiveError(SccacheError):
    """An archive cannot be used: it is damaged, too large, or holds what no toolchain may hold.  The message is a sentence."""


class Kind(enum.Enum):
    """What a member is; the value is its type flag."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    DIRECTORY = b"5"


_KINDS = {b"\0": Kind.FILE, b"7": Kind.FILE, **{kind.value: kind for kind in Kind}}


class Member(Struct, frozen=True):
    """A name in an archive; content follows if it is a file."""

    name: bytes
    """As written there."""
    kind: Kind
    size: int = 0
    executable: bool = False
    target: bytes = b""
    """Of a link."""


def header(member: Member) -> bytes:
    """The blocks before a member's content; no time, no owner, one of two modes."""
    long = b""
    for flag, value in ((_LONG_NAME, member.name), (_LONG_TARGET, member.target)):
        if len(value) > _SHORT_NAME_BYTES:
            long += _block(_LONG_MEMBER, flag, len(value) + 1, 0o644, b"") + value + bytes(padding(len(value) + 1) + 1)
    mode = 0o755 if member.executable or member.kind is Kind.DIRECTORY else 0o777 if member.kind is Kind.SYMLINK else 0o644
    return long + _block(member.name, member.kind.value, member.size, mode, member.target)


def padding(size: int) -> int:
    """How many zero bytes follow a content of `size` bytes."""
    return -size % BLOCK_BYTES


def _block(name: bytes, flag: bytes, size: int, mode: int, target: bytes) -> bytes:
    block = bytearray(BLOCK_BYTES)
    block[: min(len(name), _SHORT_NAME_BYTES)] = name[:_SHORT_NAME_BYTES]
    block[_MODE] = b"%07o\0" % mode
    block[108:124] = b"0000000\0" * 2
    block[_SIZE] = b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")
    block[136:148] = b"%011o\0" % 0
    block[_CHECKSUM] = b" " * 8
    block[_TYPE : _TYPE + 1] = flag
    block[_TARGET] = target[:_SHORT_NAME_BYTES].ljust(_SHORT_NAME_BYTES, b"\0")
    block[257:265] = b"ustar  \0"  # GNU's, whose long names these are
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return bytes(block)


class Reader:
    """The members of an archive, one after the other; contents that are not asked for are passed over."""

    def __init__(self, read: Callable[[int], bytes], most_bytes: int) -> None:
        """`read` gives at most so many bytes, none at the end only; more than `most_bytes` in all are refused."""
        self._read = read
        self._most_bytes = most_bytes
        self._left = 0
        """Bytes up to the next header."""
        self._content_left = 0

    def __iter__(self) -> Iterator[Member]:
        """Each member; ArchiveError where the bytes are no archive, or name a kind of file that no toolchain needs."""
        extended: dict[bytes, bytes] = {}
        while (block := self._next_block()) is not None:
            flag, size = block[_TYPE : _TYPE + 1], _number(block[_SIZE])
            if flag in (_LONG_NAME, _LONG_TARGET):
                key = b"path" if flag == _LONG_NAME else b"linkpath"
                extended[key] = self._note(size, MAX_NAME_BYTES).partition(b"\0")[0]
            elif flag == _PAX:
                extended.update(_pax_records(self._note(size, MAX_EXTENDED_BYTES)))
            elif flag == _PAX_FOR_ALL:
                self._note(size, MAX_EXTENDED_BYTES)  # of git archive: a comment
            else:
                yield self._member(block, flag, size, extended)
                extended = {}

    def content(self) -> Iterator[bytes]:
        """The content of the member that came last, in pieces."""
        while self._content_left:
            piece = self._some(min(self._content_left, 1 << 20))
            self._content_left -= len(piece)
            self._left -= len(piece)
            yield piece

    def _member(self, block: bytes, flag: bytes, size: int, extended: dict[bytes, bytes]) -> Member:
        name = extended.get(b"path") or _name(block)
        kind = _KINDS.get(flag)
        if kind is None or any(key.startswith(b"GNU.sparse") for key in extended):
            raise ArchiveError(f"{_shown(name)} is neither a file nor a directory nor a link")
        target = extended.get(b"linkpath") or _text(block[_TARGET])
        if max(len(name), len(target)) > MAX_NAME_BYTES:
            raise ArchiveError(f"the name {_shown(name)} is too long")
        if b"size" in extended:
            size = _decimal(extended[b"size"])
        if kind is Kind.FILE and name.endswith(b"/"):  # before there was a flag for directories
            kind = Kind.DIRECTORY
        size = size if kind is Kind.FILE else 0
        self._content_left, self._left = size, size + padding(size)
        return Member(name, kind, size, kind is Kind.FILE and bool(_number(block[_MODE]) & 0o111), target)

    def _note(self, size: int, most: int) -> bytes:
        if size > most:
            raise ArchiveError(f"a header of {size} bytes is too long")
        return self._exactly(size + padding(size))[:size]

    def _next_block(self) -> bytes | None:
        self._content_left = 0
        while self._left:
            self._left -= len(self._some(min(self._left, 1 << 20)))
        block = self._exactly(BLOCK_BYTES)
        if not any(block):
            return None
        if block[_MAGIC] not in (b"ustar", bytes(5)) or _number(block[_CHECKSUM]) != sum(block) - sum(block[_CHECKSUM]) + 8 * 32:
            raise ArchiveError("it is no tar archive, or damaged")
        return block

    def _exactly(self, count: int) -> bytes:
        pieces = []
        while count:
            pieces.append(self._some(count))
            count -= len(pieces[-1])
        return b"".join(pieces)

    def _some(self, most: int) -> bytes:
        piece = self._read(most)
        if not piece:
            raise ArchiveError("it ends too early")
        self._most_bytes -= len(piece)
        if self._most_bytes < 0:
            raise ArchiveError("it unpacks to too much for its size")
        return piece


def _name(block: bytes) -> bytes:
    prefix = _text(block[_PREFIX]) if block[257:263] == b"ustar\0" else b""
    return (prefix + b"/" if prefix else b"") + _text(block[_NAME])


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _no_number()
    digits = field.strip(b" \0")
    return int(digits, 8) if digits.translate(None, b"01234567") == b"" and digits else _no_number() if digits else 0


def _decimal(digits: bytes) -> int:
    return int(digits) if len(digits) <= 20 and digits.isdigit() else _no_number()


def _no_number() -> int:
    raise ArchiveError("it is no tar archive, or damaged")


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """`<length> <key>=<value>` and a line feed, one after the other; the length is that of the whole record."""
    records: dict[bytes, bytes] = {}
    while data:
        digits, space, _ = data[:21].partition(b" ")
        length = _decimal(digits) if space else 0
        key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if not equals or data[length - 1 : length] != b"\n":
            raise ArchiveError("an extended header is damaged")
        records[key], data = value, data[length:]
    return records


def _shown(name: bytes) -> str:
    return repr(name[:200].decode(errors="replace"))
