"""The order in which the compiles of one directory used objects, so that they can be fetched ahead (docs/decisions/0014).

    <blob> ::= "SCTR" <version> <checksum> <key> <run>*    ; checksum: BLAKE3-256 of all that follows it
    <run>  ::= <count> <pair>*                             ; count: uint32 little-endian
    <pair> ::= <manifest's key> <entry's key>              ; 32 bytes each

A trail is a hint: who follows a wrong one fetches what nobody wants, and no look-up believes it.
Owns: the format (docs/formats/trail.md), its bounds, merging.  Must not know: who walks, where trails are kept.
"""

from collections.abc import Iterable, Mapping
from struct import Struct as Layout

from msgspec import Struct

from sccache.errors import DamagedError
from sccache.hashing.digest import DIGEST_SIZE_BYTES, digest

MAGIC = b"SCTR"
# 1: first.
VERSION = 1
MAX_PAIRS = 8192
MAX_RUNS = 8
LEAST_NEWS = 4
NEWS_SHARE = 16

_HEAD = MAGIC + bytes([VERSION])
_BODY_AT = len(_HEAD) + DIGEST_SIZE_BYTES
_PAIR_BYTES = 2 * DIGEST_SIZE_BYTES
_count = Layout("<I")
MAX_BYTES = _BODY_AT + DIGEST_SIZE_BYTES + MAX_RUNS * _count.size + MAX_PAIRS * _PAIR_BYTES

Pair = tuple[str, str]
"""A manifest's key and the key of the entry that it led to."""


class Trail(Struct, frozen=True):
    """What builds of one directory used, the last build first.  No manifest is in it twice."""

    runs: tuple[tuple[Pair, ...], ...] = ()
    """Each in order.  What follows one run's end is not likely to be the next one's start."""

    def lacks(self, run: Mapping[str, str]) -> bool:
        """Whether this run (manifest's key → entry's) has enough news to be worth a write: a few changed files are not."""
        known = {pair for old in self.runs for pair in old}
        news = sum(pair not in known for pair in run.items())
        return news >= max(LEAST_NEWS, max(map(len, self.runs), default=0) // NEWS_SHARE)

    def with_run(self, run: Mapping[str, str]) -> "Trail":
        """This run first; of others what it did not walk, unless that is so little that it is what has changed since."""
        rests = [(old, tuple(pair for pair in old if pair[0] not in run)) for old in self.runs]
        return Trail(_bounded((tuple(run.items()), *(rest for old, rest in rests if 4 * len(rest) > len(old)))))


def _bounded(runs: Iterable[tuple[Pair, ...]]) -> tuple[tuple[Pair, ...], ...]:
    kept: list[tuple[Pair, ...]] = []
    left = MAX_PAIRS
    for run in runs:
        if run and left and len(kept) < MAX_RUNS:
            kept.append(run[:left])
            left -= len(kept[-1])
    return tuple(kept)


def encode(trail: Trail, key: str) -> bytes:
    """Pack a trail that will be stored under `key`."""
    parts = [bytes.fromhex(key)]
    for run in trail.runs:
        parts.append(_count.pack(len(run)))
        parts.append(bytes.fromhex("".join(manifest + entry for manifest, entry in run)))
    body = b"".join(parts)
    return _HEAD + digest(body) + body


def decode(blob: bytes, key: str) -> Trail:
    """Unpack what was stored under `key`; DamagedError for anything else than whole and right bytes within the bounds."""
    if len(blob) > MAX_BYTES or not blob.startswith(_HEAD):
        raise DamagedError("not a trail")
    body = blob[_BODY_AT:]
    if digest(body) != blob[len(_HEAD) : _BODY_AT] or body[:DIGEST_SIZE_BYTES].hex() != key:
        raise DamagedError("a trail is damaged, or another's")
    runs: list[tuple[Pair, ...]] = []
    at = DIGEST_SIZE_BYTES
    while at < len(body):
        start = at + _count.size
        end = start + (_count.unpack_from(body, at)[0] * _PAIR_BYTES if start <= len(body) else 0)
        if not start < end <= len(body):
            raise DamagedError("a trail's run is not whole")
        keys = [body[place : place + DIGEST_SIZE_BYTES].hex() for place in range(start, end, DIGEST_SIZE_BYTES)]
        runs.append(tuple(zip(keys[::2], keys[1::2], strict=True)))
        at = end
    if sum(map(len, runs)) > MAX_PAIRS:
        raise DamagedError("a trail is too long")
    return Trail(tuple(runs))
