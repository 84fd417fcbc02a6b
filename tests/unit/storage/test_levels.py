"""Several storages as one: order, backfill, policies, what is counted."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.unit.storage.fakes import KEY, OTHER, FakeBackend, error

from sccache.config.schema import RemoteLimits
from sccache.errors import DamagedError, StorageError, Trouble
from sccache.storage.base import Kind, object_name
from sccache.storage.disk import DiskStorage
from sccache.storage.level import Level, LocalLevel, RemoteLevel
from sccache.storage.levels import Absent, Found, Levels, Put, Update
from sccache.storage.remote import Remote
from sccache.storage.uploads import Uploads

ENTRY_NAME, MANIFEST_NAME = object_name(KEY, Kind.ENTRY), object_name(KEY, Kind.MANIFEST)
Outcomes = list[StorageError | None]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def far(backend: FakeBackend, *, read_only: bool = False) -> RemoteLevel:
    remote = Remote(backend, RemoteLimits(), read_only=read_only)
    return RemoteLevel(remote, Uploads(remote, ""))


def near(folder: Path, *, read_only: bool = False, size: int = 1 << 20) -> LocalLevel:
    return LocalLevel(DiskStorage(str(folder / "cache"), size, read_only=read_only), read_only=read_only)


def chain(*levels: Level, policy: str = "l0") -> Levels:
    return Levels(levels, is_chain=True, policy=policy)


def anything(blob: bytes) -> bytes:
    return blob


def good(blob: bytes) -> bytes | None:
    """Accepts what begins with `good`, finds `bad` damaged."""
    if blob.startswith(b"bad"):
        raise DamagedError("it is bad")
    return blob if blob.startswith(b"good") else None


def test_the_nearest_that_has_it_answers(tmp_path: Path) -> None:
    """Farther ones are not asked."""

    async def test() -> None:
        one, two = FakeBackend(), FakeBackend()
        one.objects[ENTRY_NAME] = b"one"
        two.objects[ENTRY_NAME] = b"two"
        levels = chain(near(tmp_path), far(one), far(two))
        assert await levels.find(KEY, Kind.ENTRY, anything) == Found(b"one", 1)
        assert two.reads == []
        assert [(level.hits, level.misses) for level in levels.levels_stats() or ()] == [(0, 1), (1, 0), (0, 0)]
        await levels.aclose(5)

    run(test)


def test_a_hit_fills_the_nearer_levels_without_fetching_twice(tmp_path: Path) -> None:
    """One read of the level that has it; then the disk answers at once."""

    async def test() -> None:
        one, two = FakeBackend(), FakeBackend()
        two.objects[ENTRY_NAME] = b"blob"
        levels = chain(near(tmp_path), far(one), far(two))
        await levels.find(KEY, Kind.ENTRY, anything)
        await levels.flush(60)
        assert two.reads == [ENTRY_NAME]
        assert one.objects == {ENTRY_NAME: b"blob"}
        assert levels.get_nowait(KEY, Kind.ENTRY) == b"blob"
        stats = levels.levels_stats() or []
        assert [(level.hits, level.backfills_from, level.backfills_to, level.writes) for level in stats] == [
            (1, 0, 1, 0),
            (0, 0, 1, 0),
            (1, 2, 0, 0),
        ]
        await levels.aclose(5)

    run(test)


def test_a_read_only_level_is_not_filled(tmp_path: Path) -> None:
    """Only itself is affected."""

    async def test() -> None:
        one, two = FakeBackend(), FakeBackend()
        two.objects[ENTRY_NAME] = b"blob"
        levels = chain(near(tmp_path), far(one, read_only=True), far(two))
        await levels.find(KEY, Kind.ENTRY, anything)
        await levels.keep([Put(OTHER, Kind.ENTRY, b"new")], lambda *_: None)
        await levels.flush(60)
        assert one.written == []
        assert levels.get_nowait(KEY, Kind.ENTRY) == b"blob"
        assert two.objects[object_name(OTHER, Kind.ENTRY)] == b"new"
        await levels.aclose(5)

    run(test)


def test_a_level_that_fails_is_passed_over(tmp_path: Path) -> None:
    """The next is asked; its trouble is told only when nobody had it."""

    async def test() -> None:
        one, two = FakeBackend(), FakeBackend()
        one.always = error(Trouble.DENIED)
        two.objects[ENTRY_NAME] = b"blob"
        levels = chain(near(tmp_path), far(one), far(two))
        assert await levels.find(KEY, Kind.ENTRY, anything) == Found(b"blob", 2)
        assert await levels.find(OTHER, Kind.ENTRY, anything) == Absent(trouble=Trouble.DENIED)
        await levels.aclose(5)

    run(test)


def test_what_is_not_accepted_is_looked_for_farther(tmp_path: Path) -> None:
    """Rejected blobs stay; damaged ones are dropped and replaced from farther away."""

    async def test() -> None:
        one, two = FakeBackend(), FakeBackend()
        one.objects[ENTRY_NAME] = b"bad"
        two.objects[ENTRY_NAME] = b"good"
        disk = near(tmp_path)
        levels = chain(disk, far(one), far(two))
        await disk.store([Put(KEY, Kind.ENTRY, b"useless")], lambda *_: None)
        assert await levels.find(KEY, Kind.ENTRY, good) == Found(b"good", 2)
        await levels.flush(60)
        assert one.objects[ENTRY_NAME] == b"good"
        assert disk.get_nowait(KEY, Kind.ENTRY) == b"good"
        await levels.aclose(5)

    run(test)


@pytest.mark.parametrize(("blob", "absent"), [(b"useless", Absent(rejected=True)), (b"bad", Absent(damaged=True))])
def test_why_nothing_was_found(blob: bytes, absent: Absent) -> None:
    """And a damaged blob is not asked for again until it was sent anew."""

    async def test() -> None:
        backend = FakeBackend()
        backend.objects[ENTRY_NAME] = blob
        levels = Levels([far(backend)])
        assert await levels.find(KEY, Kind.ENTRY, good) == absent
        reads = len(backend.reads)
        await levels.find(KEY, Kind.ENTRY, good)
        assert len(backend.reads) - reads == (0 if absent.damaged else 1)
        await levels.keep([Put(KEY, Kind.ENTRY, b"good")], lambda *_: None)
        await levels.flush(60)
        assert await levels.find(KEY, Kind.ENTRY, good) == Found(b"good", 0)
        await levels.aclose(5)

    run(test)


def test_damage_found_later_is_told_to_its_level(tmp_path: Path) -> None:
    """The next look goes past it."""

    async def test() -> None:
        one, two = FakeBackend(), FakeBackend()
        one.objects[ENTRY_NAME] = b"good but torn"
        two.objects[ENTRY_NAME] = b"good"
        levels = chain(far(one), far(two))
        found = await levels.find(KEY, Kind.ENTRY, good)
        assert found == Found(b"good but torn", 0)
        levels.drop(KEY, Kind.ENTRY, found.level)
        assert await levels.find(KEY, Kind.ENTRY, good) == Found(b"good", 1)
        await levels.aclose(5)

    run(test)


def test_manifests_are_merged_into_nearer_levels(tmp_path: Path) -> None:
    """What a nearer level knew is not lost."""

    async def test() -> None:
        backend = FakeBackend()
        backend.objects[MANIFEST_NAME] = b"good theirs"
        disk = near(tmp_path)
        levels = chain(disk, far(backend))
        await disk.store([Put(KEY, Kind.MANIFEST, b"ours")], lambda *_: None)
        assert await levels.find(KEY, Kind.MANIFEST, good, lambda had, found: found + b"+" + had) == Found(b"good theirs", 1)
        await levels.flush(60)
        assert disk.get_nowait(KEY, Kind.MANIFEST) == b"good theirs+ours"
        assert backend.objects[MANIFEST_NAME] == b"good theirs"
        assert all(level.hits == level.misses == level.backfills_to == 0 for level in levels.levels_stats() or ()), "entries are counted"
        await levels.aclose(5)

    run(test)


def test_a_known_manifest_costs_no_round_trip() -> None:
    """Read once, or written by us: it is in memory; what memory does not accept is asked for."""

    async def test() -> None:
        backend = FakeBackend()
        backend.objects[MANIFEST_NAME] = b"good one"
        levels = Levels([far(backend)])
        assert await levels.find(KEY, Kind.MANIFEST, good) == Found(b"good one", 0)
        assert await levels.find(KEY, Kind.MANIFEST, good) == Found(b"good one", 0)
        assert levels.get_nowait(KEY, Kind.MANIFEST) == b"good one"
        assert backend.reads == [MANIFEST_NAME]
        backend.objects[MANIFEST_NAME] = b"good two"
        assert await levels.find(KEY, Kind.MANIFEST, lambda blob: blob if b"two" in blob else None) == Found(b"good two", 0)
        await levels.keep([Update(OTHER, Kind.MANIFEST, lambda had: (had or b"") + b"good")], lambda *_: None)
        assert levels.get_nowait(OTHER, Kind.MANIFEST) == b"good", "before it is sent"
        levels.drop(KEY, Kind.MANIFEST)
        assert levels.get_nowait(KEY, Kind.MANIFEST) is None
        assert levels.get_nowait(KEY, Kind.ENTRY) is None
        await levels.aclose(5)

    run(test)


def test_updates_are_made_of_what_each_level_has(tmp_path: Path) -> None:
    """Levels may know different things."""

    async def test() -> None:
        backend = FakeBackend()
        backend.objects[MANIFEST_NAME] = b"far"
        disk = near(tmp_path)
        levels = chain(disk, far(backend))
        await levels.keep([Update(KEY, Kind.MANIFEST, lambda had: (had or b"") + b"+")], lambda *_: None)
        await levels.flush(60)
        assert disk.get_nowait(KEY, Kind.MANIFEST) == b"+"
        assert backend.objects[MANIFEST_NAME] == b"far+"
        assert [level.writes for level in levels.levels_stats() or ()] == [0, 0], "results are counted"
        await levels.aclose(5)

    run(test)


@pytest.mark.parametrize(
    ("policy", "near_works", "far_works", "failure"),
    [
        ("ignore", False, False, ""),
        ("ignore", True, True, ""),
        ("l0", True, False, ""),
        ("l0", False, True, "File too large"),
        ("l0", True, True, ""),
        ("all", True, False, "level 1: full"),
        ("all", False, True, "level 0: File too large"),
        ("all", True, True, ""),
    ],
)
def test_policies(tmp_path: Path, policy: str, near_works: bool, far_works: bool, failure: str) -> None:
    """Which failed writes count; it is told once, and every level has tried."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        backend.always = None if far_works else error(Trouble.DENIED, "full")
        levels = chain(near(tmp_path, size=1000 if near_works else 1), far(backend), policy=policy)
        await levels.keep([Put(KEY, Kind.ENTRY, b"blob")], lambda e, _: outcomes.append(e))
        await levels.flush(60)
        assert len(outcomes) == 1
        assert failure in str(outcomes[0] or "")
        assert bool(outcomes[0]) is bool(failure)
        stats = levels.levels_stats() or []
        assert [(level.writes, level.write_failures) for level in stats] == [
            (near_works, not near_works),
            (far_works, not far_works),
        ]
        assert (ENTRY_NAME in backend.objects) is far_works
        await levels.aclose(5)

    run(test)


@pytest.mark.parametrize(("is_chain", "failure"), [(False, "Cannot write to a read-only cache"), (True, "")])
def test_nothing_to_write_to(tmp_path: Path, is_chain: bool, failure: str) -> None:
    """A read-only disk alone counts it as a failure (reference 8.5), a chain of read-only levels does not (9.12)."""

    async def test() -> None:
        outcomes = Outcomes()
        levels = Levels([near(tmp_path, read_only=True)], is_chain=is_chain)
        await levels.keep([Put(KEY, Kind.ENTRY, b"blob")], lambda e, _: outcomes.append(e))
        assert [str(e or "") for e in outcomes] == [failure]
        await levels.aclose(5)

    run(test)


def test_a_disk_alone_answers_without_waiting(tmp_path: Path) -> None:
    """`find` does not give the event loop away: no task, no thread."""
    disk = near(tmp_path)
    levels = Levels([disk])
    asyncio.run(disk.store([Put(KEY, Kind.ENTRY, b"blob")], lambda *_: None))
    looking = levels.find(KEY, Kind.ENTRY, anything)
    with pytest.raises(StopIteration) as ended:
        looking.send(None)
    assert ended.value.value == Found(b"blob", 0)
    asyncio.run(levels.aclose(5))


def test_what_the_statistics_show(tmp_path: Path) -> None:
    """Names, places, sizes, and that zeroing begins anew."""

    async def test() -> None:
        backend = FakeBackend()
        levels = chain(near(tmp_path), far(backend))
        assert levels.location() == "Multi-level (2 levels)"
        assert [level.name for level in levels.levels_stats() or ()] == ["L0 (disk)", "L1 (fake)"]
        assert [level.location for level in levels.levels_stats() or ()][1] == "fake, name: x, prefix: /"
        assert levels.max_bytes() == 1 << 20
        await levels.find(KEY, Kind.ENTRY, anything)
        assert (levels.remote_stats() or [])[0].misses == 1
        levels.zero_stats()
        assert (levels.remote_stats() or [])[0].misses == 0
        assert [level.misses for level in levels.levels_stats() or ()] == [0, 0]
        alone = Levels([far(backend)])
        assert alone.location() == "fake, name: x, prefix: /"
        assert alone.levels_stats() is None
        assert alone.used_bytes() is alone.max_bytes() is None
        assert Levels([near(tmp_path)]).remote_stats() is None
        await levels.aclose(5)

    run(test)
