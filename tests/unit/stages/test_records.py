"""records.py: what machines tell each other about compilers."""

import pytest

from sccache.compilers.detect import Identity
from sccache.errors import DamagedError
from sccache.stages import records
from sccache.stages.records import MAX_BROUGHT, MAX_MACHINES, DriverRecord, Toolchain

GCC = Identity("gcc", False, "12.2.0")


def toolchain(name: str) -> Toolchain:
    return Toolchain(name.encode(), (("/usr/bin/as", b"1" * 32),), {"/usr/local": [name]}, ("/q",), ("/usr/include",), (f"/{name}",), True)


def test_what_is_sealed_opens() -> None:
    """A driver's record, with the toolchains that come along."""
    blob = records.with_record(None, DriverRecord(GCC, (("k", toolchain("a")),)))
    assert blob is not None
    assert records.open_driver(blob) == DriverRecord(GCC, (("k", toolchain("a")),))


@pytest.mark.parametrize("damage", [lambda blob: blob[:-1], lambda blob: b"x" + blob[1:], lambda _: b"", lambda _: records.seal([1])])
def test_damage_is_noticed(damage) -> None:  # type: ignore[no-untyped-def]
    """Cut, changed, empty, or something else."""
    blob = damage(records.seal(DriverRecord(GCC)))
    with pytest.raises(DamagedError):
        records.open_driver(blob)
    with pytest.raises(DamagedError):
        records.open_toolchains(blob)
    assert records.with_identity(blob, GCC) == records.seal(DriverRecord(GCC))


def test_machines_that_differ_keep_their_own() -> None:
    """A toolchain whose optional directories are others stands beside the first, the last recorded first, a bounded number."""
    blob = None
    for number in range(MAX_MACHINES + 2):
        blob = records.with_toolchain(blob, toolchain(f"m{number}"))
    assert blob is not None
    known = [made.identity.decode() for made in records.open_toolchains(blob)]
    assert known == [f"m{number}" for number in range(MAX_MACHINES + 1, 1, -1)]
    again = records.with_toolchain(blob, toolchain("m5"))
    assert again is not None
    assert len(records.open_toolchains(again)) == MAX_MACHINES


def test_levels_are_merged() -> None:
    """The nearer level has both, what the farther one knew first; its own damage does not matter."""
    near, far = records.seal((toolchain("near"),)), records.seal((toolchain("far"),))
    assert records.open_toolchains(records.merge_toolchains(near, far)) == (toolchain("far"), toolchain("near"))
    assert records.open_toolchains(records.merge_toolchains(b"x", far)) == (toolchain("far"),)


def test_a_driver_brings_its_last_toolchains() -> None:
    """A bounded number; none of another version of it."""
    blob = records.with_identity(None, GCC)
    for number in range(MAX_BROUGHT + 1):
        blob = records.with_record(blob, DriverRecord(GCC, ((f"k{number}", toolchain("a")),)))
    assert blob is not None
    brought = [key for key, _ in records.open_driver(blob).toolchains]
    assert brought == [f"k{number}" for number in range(MAX_BROUGHT, 0, -1)]
    assert records.with_identity(blob, GCC) is None
    other = Identity("gcc", False, "13")
    assert records.with_identity(blob, other) == records.seal(DriverRecord(other))


def test_alike_toolchains_take_little_room() -> None:
    """So that a driver's record is one quick read."""
    files = tuple((f"/usr/lib/gcc/x86_64-linux-gnu/12/part{number}", bytes([number]) * 32) for number in range(40))
    made = [Toolchain(bytes([number]) * 32, files, {}, (), ("/usr/include",), (f"/src/{number}",)) for number in range(MAX_BROUGHT)]
    blob = records.with_record(None, DriverRecord(GCC, tuple((f"{number:064}", one) for number, one in enumerate(made))))
    assert blob is not None
    assert len(blob) < 16 << 10


def test_paths_that_are_no_text() -> None:
    """Such a compiler is asked by each daemon anew."""
    assert records.with_toolchain(None, toolchain("x")) is not None
    strange = Toolchain(b"", (("/\udcff", b""),), {}, (), (), ())
    assert records.with_toolchain(None, strange) is None
