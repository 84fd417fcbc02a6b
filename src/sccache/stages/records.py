"""What is known about compilers, as blobs that daemons and machines share.

    <blob>       ::= <checksum> zstd(<record>)          ; checksum: BLAKE3-256 of the frame
    <record>     ::= msgpack: DriverRecord | array of Toolchain
    driver's     under path and content of the driver: who it is, and the toolchains last used with it
    toolchains   under driver, options, directory and environment: one for each machine that differs in what it has installed

A driver's record brings the toolchains along, so that a new machine's first hit has one round trip for both (docs/decisions/0011).
A record never says that it holds: who reads it checks every file's content and every absent name.
Owns: the format, its bounds, merging.  Must not know: where records are kept, how compilers are asked.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
import zstandard
from msgspec import Struct

from sccache.compilers.detect import Identity
from sccache.errors import DamagedError
from sccache.hashing.digest import DIGEST_SIZE_BYTES, digest

MAX_MACHINES = 8
"""Toolchains under one key; they differ where machines have other optional directories, or another assembler."""
MAX_BROUGHT = 32
"""Toolchains in a driver's record: a project uses a handful of option sets, and alike ones compress well."""
MAX_RECORD_BYTES = 16 << 20


class Toolchain(Struct, frozen=True):
    """What a driver runs and searches under one set of options."""

    identity: bytes
    """Digest of the family, version and the content of every program, library and option file."""
    files: tuple[tuple[str, bytes], ...]
    absent: dict[str, list[str]]
    quote: tuple[str, ...]
    bracket: tuple[str, ...]
    missing: tuple[str, ...]
    """Header directories that do not exist."""
    assembler_tells: bool = False
    """The assembler can list the files that it reads (GNU as --MD)."""


class DriverRecord(Struct, frozen=True):
    """A driver's identity, and toolchains by key, the last used first."""

    identity: Identity
    toolchains: tuple[tuple[str, Toolchain], ...] = ()


Record = TypeVar("Record")
_Item = TypeVar("_Item")


def seal(record: object) -> bytes:
    """Bytes of a record with their checksum in front."""
    frame = zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(record))
    return digest(frame) + frame


def unseal(blob: bytes, kind: type[Record]) -> Record:
    """Undo `seal`; DamagedError for anything else than whole and right bytes."""
    frame = blob[DIGEST_SIZE_BYTES:]
    if digest(frame) != blob[:DIGEST_SIZE_BYTES]:
        raise DamagedError("a compiler's record is damaged")
    try:
        data = zstandard.ZstdDecompressor().decompress(frame, max_output_size=MAX_RECORD_BYTES)
        return msgspec.msgpack.decode(data, type=kind)
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError) as e:
        raise DamagedError(f"a compiler's record: {e}") from e


def open_driver(blob: bytes) -> DriverRecord:
    """A driver's record."""
    return unseal(blob, DriverRecord)


def open_toolchains(blob: bytes) -> tuple[Toolchain, ...]:
    """The toolchains under one key, the last recorded first."""
    return unseal(blob, tuple[Toolchain, ...])


def with_identity(blob: bytes | None, identity: Identity) -> bytes | None:
    """The driver's record after the driver was asked; None where that says nothing new."""
    known = _driver(blob)
    return None if known is not None and known.identity == identity else _sealed(DriverRecord(identity))


def with_record(blob: bytes | None, record: DriverRecord) -> bytes | None:
    """The driver's record with the toolchains of another one first."""
    known = _driver(blob)
    others = known.toolchains if known is not None and known.identity == record.identity else ()
    return _sealed(DriverRecord(record.identity, _first_of_each((*record.toolchains, *others), MAX_BROUGHT)))


def with_toolchain(blob: bytes | None, made: Toolchain) -> bytes | None:
    """The toolchains of one key with this one first."""
    return _sealed(_first_of_each((made, *_toolchains(blob)), MAX_MACHINES))


def merge_toolchains(near: bytes, far: bytes) -> bytes:
    """What the nearer level shall have when the farther one knew the toolchain that holds here."""
    return seal(_first_of_each((*_toolchains(far), *_toolchains(near)), MAX_MACHINES))


def _sealed(record: object) -> bytes | None:
    try:
        return seal(record)
    except UnicodeEncodeError:  # a path that is not text: then the driver is asked by each daemon anew
        return None


def _driver(blob: bytes | None) -> DriverRecord | None:
    try:
        return None if blob is None else open_driver(blob)
    except DamagedError:
        return None


def _toolchains(blob: bytes | None) -> Sequence[Toolchain]:
    try:
        return () if blob is None else open_toolchains(blob)
    except DamagedError:
        return ()


def _first_of_each(items: Iterable[_Item], most: int) -> tuple[_Item, ...]:
    kept: list[_Item] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return tuple(kept[:most])
