"""Manifests as bytes; the grammar stands in manifest.py.

Measured: a C++ compile with 330 inputs and 2,500 absent names in 140 directories takes 17 KB; decoding 0.3 ms.
Owns: packing and unpacking.  Must not know: files, which variant applies.
"""

import os
import struct
from collections.abc import Mapping, Sequence
from struct import Struct as Layout

import msgspec
import zstandard
from msgspec import Struct

from sccache.errors import DamagedError
from sccache.hashing.digest import DIGEST_SIZE_BYTES, digest
from sccache.preprocessor_cache.manifest import Input, Manifest, Variant

MAGIC = b"SCMF"
# 1: first.
VERSION = 1
MAX_MANIFEST_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 32 << 20

_HEAD = MAGIC + bytes([VERSION])
_BODY_AT = len(_HEAD) + DIGEST_SIZE_BYTES
_row = Layout(f"<I{DIGEST_SIZE_BYTES}s3q")


class _PackedVariant(Struct, array_like=True):
    rows: bytes
    directories: bytes
    result_key: str
    bound_to: bytes
    created: int
    environment: list[tuple[str, str]] = []
    listings: list[tuple[int, bytes]] = []
    optional: bytes = b""


class _Payload(Struct, array_like=True):
    key: str
    paths: bytes
    rows: bytes
    names: bytes
    lists: list[bytes]
    variants: list[_PackedVariant]


_decoder = msgspec.msgpack.Decoder(_Payload)


def encode(manifest: Manifest, roots: Sequence[str] = (), key: str = "") -> bytes:
    """Pack a manifest; without its oldest variants if it is too large, b"" if even one is.

    `roots`: base directories; a path below one is stored by its number, so it is found below that one in another checkout.
    `key`: what it will be stored under; `decode` refuses it under another.
    """
    variants = manifest.variants
    while variants:
        packed = zstandard.ZstdCompressor(level=1).compress(_Packer(roots).payload(key, variants))
        if len(packed) + _BODY_AT <= MAX_MANIFEST_BYTES:
            return _HEAD + digest(packed) + packed
        variants = variants[: len(variants) // 2]
    return b""


def decode(data: bytes, roots: Sequence[str] = (), key: str = "") -> Manifest:
    """Unpack a manifest; DamagedError for anything that `encode` of this version did not make.

    A variant with a path below a base directory that is not among `roots` cannot apply here and is left out.
    """
    if data[: len(_HEAD)] != _HEAD or data[len(_HEAD) : _BODY_AT] != digest(data[_BODY_AT:]):
        raise DamagedError("not a manifest, or of another version, or damaged")
    try:
        payload = _decoder.decode(zstandard.ZstdDecompressor().decompress(data[_BODY_AT:], max_output_size=MAX_PAYLOAD_BYTES))
        if payload.key and key and payload.key != key:
            raise DamagedError(f"manifest of {payload.key} under {key}")
        return _unpacked(payload, roots)
    except (zstandard.ZstdError, msgspec.DecodeError, struct.error, IndexError, ValueError) as e:
        raise DamagedError(f"manifest: {e}") from e


def merge(near: bytes, far: bytes, roots: Sequence[str] = (), key: str = "") -> bytes:
    """What the nearer of two levels shall have when the farther one knew better: the variants of both."""
    known = decode(far, roots, key)
    try:
        known = known.merged(decode(near, roots, key))
    except DamagedError:
        return far
    return encode(known, roots, key) or far


class _Packer:
    """Gives numbers to paths, names, lists and rows as variants come."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = sorted(enumerate(roots), key=lambda numbered: -len(numbered[1]))
        self._paths: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._rows: dict[bytes, int] = {}
        self._lists: dict[tuple[str, ...], int] = {}

    def payload(self, key: str, variants: Sequence[Variant]) -> bytes:
        packed = [self._variant(variant) for variant in variants]
        lists = [_u32s([self._names.setdefault(name, len(self._names)) for name in names]) for names in self._lists]
        paths = "\0".join([self._marked(path) for path in self._paths])
        return msgspec.msgpack.encode(
            _Payload(key, os.fsencode(paths), b"".join(self._rows), os.fsencode("\0".join(self._names)), lists, packed),
        )

    def _variant(self, variant: Variant) -> _PackedVariant:
        rows = [self._rows.setdefault(self._row(known), len(self._rows)) for known in variant.inputs]
        directories: list[int] = []
        for directory, names in variant.absent.items():
            directories += (self._path(directory), self._lists.setdefault(tuple(names), len(self._lists)))
        listings = [(self._path(path), names) for path, names in variant.listings]
        return _PackedVariant(
            _u32s(rows),
            _u32s(directories),
            variant.result_key,
            variant.bound_to,
            variant.created,
            list(variant.environment),
            listings,
            _u32s([self._rows.setdefault(self._row(known), len(self._rows)) for known in variant.optional]),
        )

    def _row(self, known: Input) -> bytes:
        return _row.pack(self._path(known.path), known.digest, known.size, known.mtime_ns, known.ctime_ns)

    def _path(self, path: str) -> int:
        return self._paths.setdefault(path, len(self._paths))

    def _marked(self, path: str) -> str:
        if not path.startswith("/") or "\0" in path:
            raise ValueError(f"not an absolute path: {path!r}")
        for number, root in self._roots:
            if path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/"):
                return f"{number}{path[len(root) :]}"
        return path


def _unpacked(payload: _Payload, roots: Sequence[str]) -> Manifest:
    paths = _paths(payload.paths, roots)
    rows = [
        None if (path := paths[number]) is None else Input(path, content, size, mtime_ns, ctime_ns)
        for number, content, size, mtime_ns, ctime_ns in _row.iter_unpack(payload.rows)
    ]
    names = os.fsdecode(payload.names).split("\0")
    lists = [tuple([names[number] for number in _numbers(packed)]) for packed in payload.lists]
    variants = [_variant(packed, rows, paths, lists) for packed in payload.variants]
    return Manifest(tuple([variant for variant in variants if variant is not None]))


def _paths(packed: bytes, roots: Sequence[str]) -> list[str | None]:
    return [path if path[:1] == "/" else _expanded(path, roots) for path in os.fsdecode(packed).split("\0")]


def _expanded(path: str, roots: Sequence[str]) -> str | None:
    number, slash, rest = path.partition("/")
    if not number.isdecimal() or int(number) >= len(roots):
        return None
    return f"{roots[int(number)]}{slash}{rest}"


def _variant(
    packed: _PackedVariant, rows: Sequence[Input | None], paths: Sequence[str | None], lists: Sequence[tuple[str, ...]]
) -> Variant | None:
    inputs = [rows[number] for number in _numbers(packed.rows)]
    pairs = iter(_numbers(packed.directories))
    absent: Mapping[str | None, tuple[str, ...]] = {paths[directory]: lists[names] for directory, names in zip(pairs, pairs, strict=True)}
    listings = tuple((paths[number], names) for number, names in packed.listings)
    optional = [rows[number] for number in _numbers(packed.optional)]
    if None in inputs or None in absent or None in optional or any(path is None for path, _ in listings):
        return None
    return Variant(  # no None is left
        tuple(inputs),  # type: ignore[arg-type]
        absent,  # type: ignore[arg-type]
        packed.result_key,
        packed.bound_to,
        packed.created,
        tuple(packed.environment),
        listings,  # type: ignore[arg-type]
        tuple(optional),  # type: ignore[arg-type]
    )


def _u32s(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _numbers(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 4}I", packed)
