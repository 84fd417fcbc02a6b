"""Keys of what is cached: BLAKE3 over typed, length-prefixed, named records.

    <key>      ::= hex(BLAKE3(<preimage>))
    <preimage> ::= "sccache key" <KEY_VERSION> <kind> <record>*
    <kind>     ::= <bytes>                                ; "result", "manifest", …: equal records of two kinds never collide
    <record>   ::= <type> <name> <value>
    <type>     ::= "t" | "b" | "d" | "n" | "l"            ; text, bytes, digest of long bytes, number, list of texts
    <name>     ::= <bytes>
    <value>    ::= <bytes>                                ; "l": <count> then that many <bytes>, all within one <bytes>
    <bytes>    ::= <length> byte*
    <length>, <count> ::= uint64 little-endian

The records are kept as a value, so that a miss can be explained: `encode_records`, `differences`.
Owns: what a key looks like.  Must not know: which records a compile needs (pipeline, compilers).
"""

import os
import struct
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from sccache.errors import DamagedError
from sccache.hashing.digest import digest, hex_digest

# Every key begins with it: raise it when what a key covers, or how, changes.
# 1: first.
KEY_VERSION = 1

LONG_VALUE_BYTES = 512
"""Longer byte values are recorded (and hashed) as their digest: preprocessed text must not be kept for `explain`."""

TEXT, BYTES, DIGEST, NUMBER, LIST = "t", "b", "d", "n", "l"

_u64 = struct.Struct("<Q").pack


class Record(Struct, frozen=True, array_like=True):
    """One named part of a key; `type` is a letter of the grammar, `value` its bytes."""

    type: str
    name: str
    value: bytes

    def shown(self) -> str:
        """The value for people."""
        match self.type:
            case "d":
                return f"content {self.value.hex()[:16]}"
            case "l":
                return repr(_items(self.value))
            case _:
                return repr(os.fsdecode(self.value))


class Difference(Struct, frozen=True):
    """A record that two keys do not share; None where only the other key has it."""

    name: str
    before: Record | None
    after: Record | None


class KeyBuilder:
    """Collects records, in an order that is part of the key."""

    __slots__ = ("_kind", "_records")

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._records: list[Record] = []

    def add(self, name: str, value: bytes | str | int | Sequence[str]) -> "KeyBuilder":
        """Add a record; bool counts as int.  Paths and arguments are `str` with surrogateescape."""
        match value:
            case str():
                record = Record(TEXT, name, os.fsencode(value))
            case int():
                record = Record(NUMBER, name, b"%d" % value)
            case bytes() | bytearray() | memoryview():
                record = _bytes_record(name, bytes(value))
            case _:
                record = Record(LIST, name, _list_value(value))
        self._records.append(record)
        return self

    def add_digest(self, name: str, content_digest: bytes) -> "KeyBuilder":
        """Add the digest of a content that was hashed elsewhere; the same as `add` of that content if it is long."""
        self._records.append(Record(DIGEST, name, content_digest))
        return self

    def records(self) -> tuple[Record, ...]:
        """What went in so far."""
        return tuple(self._records)

    def key(self) -> str:
        """The key: 64 hexadecimal digits."""
        return key_of(self._kind, self._records)


def key_of(kind: str, records: Iterable[Record]) -> str:
    """The key that these records make."""
    parts = [b"sccache key", _u64(KEY_VERSION), _prefixed(kind.encode())]
    for record in records:
        parts += (record.type.encode(), _prefixed(record.name.encode(errors="surrogateescape")), _prefixed(record.value))
    return hex_digest(b"".join(parts))


def encode_records(records: Sequence[Record]) -> bytes:
    """Pack records for storing."""
    return msgspec.msgpack.encode(records)


def decode_records(data: bytes) -> tuple[Record, ...]:
    """Unpack what `encode_records` made; DamagedError if it is something else."""
    try:
        return msgspec.msgpack.decode(data, type=tuple[Record, ...])
    except msgspec.DecodeError as e:
        raise DamagedError(f"key records: {e}") from e


def differences(before: Sequence[Record], after: Sequence[Record]) -> tuple[Difference, ...]:
    """The records by which two keys differ, in the order of `after`; a name used several times is compared by position."""
    old, new = _by_name(before), _by_name(after)
    names = list(dict.fromkeys([*new, *old]))
    return tuple(Difference(name[0], old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def _by_name(records: Sequence[Record]) -> dict[tuple[str, int], Record]:
    found: dict[tuple[str, int], Record] = {}
    seen: dict[str, int] = {}
    for record in records:
        nth = seen.get(record.name, 0)
        seen[record.name] = nth + 1
        found[record.name, nth] = record
    return found


def _bytes_record(name: str, value: bytes) -> Record:
    return Record(BYTES, name, value) if len(value) <= LONG_VALUE_BYTES else Record(DIGEST, name, digest(value))


def _list_value(items: Iterable[str]) -> bytes:
    encoded = [os.fsencode(item) for item in items]
    return _u64(len(encoded)) + b"".join([_prefixed(item) for item in encoded])


def _items(value: bytes) -> list[str]:
    items = []
    at = 8
    while at < len(value):
        end = at + 8 + int.from_bytes(value[at : at + 8], "little")
        items.append(os.fsdecode(value[at + 8 : end]))
        at = end
    return items


def _prefixed(value: bytes) -> bytes:
    return _u64(len(value)) + value
