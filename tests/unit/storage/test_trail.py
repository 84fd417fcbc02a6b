"""Trails: what is worth writing, merging, and bytes that are not what they should be."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sccache.errors import DamagedError
from sccache.hashing.digest import digest
from sccache.storage.trail import MAX_BYTES, MAX_PAIRS, MAX_RUNS, Pair, Trail, decode, encode

NAME = "ab" * 32
SAMPLE = Path(__file__).parents[2] / "data" / "trail-1.bin"


def pairs(*numbers: int, result: int = 0) -> dict[str, str]:
    return {f"{number:064x}": f"{number + result:063x}e" for number in numbers}


def run(*numbers: int) -> tuple[Pair, ...]:
    return tuple(pairs(*numbers).items())


def test_what_is_packed_comes_back() -> None:
    """With several runs, and with none."""
    for trail in (Trail(), Trail((run(1, 2, 3), run(9)))):
        assert decode(encode(trail, NAME), NAME) == trail


def test_sample_of_format_1() -> None:
    """Reads for ever."""
    assert decode(SAMPLE.read_bytes(), NAME) == Trail((run(3, 1, 2), run(7, 8)))


def test_the_last_build_comes_first() -> None:
    """What it did not walk of an earlier one stays in order, unless that is so little that the sources have changed."""
    trail = Trail().with_run(pairs(*range(8)))
    assert trail.with_run(pairs(4, 2, 20)) == Trail((run(4, 2, 20), run(0, 1, 3, 5, 6, 7)))
    assert trail.with_run(pairs(*range(6), 20)) == Trail((run(*range(6), 20),))
    assert trail.with_run(pairs(*range(8), result=1)) == Trail((tuple(pairs(*range(8), result=1).items()),))


def test_two_projects_share_a_directory() -> None:
    """Checkouts at the same place below their base directories: neither makes the other forget."""
    trail = Trail().with_run(pairs(*range(100))).with_run(pairs(*range(1000, 1100)))
    assert trail == Trail((run(*range(1000, 1100)), run(*range(100))))
    assert not trail.lacks(pairs(*range(100)))


def test_few_news_are_not_written() -> None:
    """A file edited in a large project, or a directory with next to nothing in it."""
    trail = Trail().with_run(pairs(*range(160)))
    assert not trail.lacks(pairs(*range(150), *range(1000, 1009)))
    assert trail.lacks(pairs(*range(150), *range(1000, 1010)))
    assert trail.lacks(pairs(*range(160), result=1))
    assert not Trail().lacks(pairs(1, 2, 3))
    assert Trail().lacks(pairs(1, 2, 3, 4))
    assert not Trail().lacks({})


def test_bounds() -> None:
    """So many pairs and runs, the newest."""
    trail = Trail().with_run(pairs(*range(MAX_PAIRS - 10))).with_run(pairs(*range(10_000, 10_020)))
    assert [len(part) for part in trail.runs] == [20, MAX_PAIRS - 20]
    assert len(encode(trail, NAME)) <= MAX_BYTES
    for number in range(2 * MAX_RUNS):
        trail = trail.with_run(pairs(*range(20_000 + 10 * number, 20_004 + 10 * number)))
    assert len(trail.runs) == MAX_RUNS


def sealed(body: bytes) -> bytes:
    return b"SCTR\1" + digest(body) + body


HEAD = bytes.fromhex(NAME)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda blob: blob[:-1],
    "longer": lambda blob: blob + b"x",
    "flipped": lambda blob: blob[:60] + bytes([blob[60] ^ 1]) + blob[61:],
    "another format": lambda blob: b"SCMF" + blob[4:],
    "another version": lambda blob: blob[:4] + b"\2" + blob[5:],
    "another key": lambda _: encode(Trail((run(1),)), "cd" * 32),
    "no key": lambda _: sealed(b""),
    "a count without pairs": lambda _: sealed(HEAD + b"\1\0\0\0"),
    "half a count": lambda _: sealed(HEAD + b"\1\0"),
    "an empty run": lambda _: sealed(HEAD + b"\0\0\0\0"),
    "a run longer than the record": lambda _: sealed(HEAD + b"\xff\xff\xff\xff" + bytes(64)),
    "too many pairs": lambda _: sealed(HEAD + (MAX_PAIRS + 1).to_bytes(4, "little") + bytes(64 * (MAX_PAIRS + 1))),
    "huge": lambda _: sealed(HEAD + bytes(64 << 20)),
    "noise": lambda _: os.urandom(10_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_foreign_and_huge_records_are_refused(damage: str) -> None:
    """Whatever is wrong with the bytes, it is told by DamagedError and nothing else."""
    with pytest.raises(DamagedError):
        decode(DAMAGES[damage](encode(Trail((run(1, 2),)), NAME)), NAME)
