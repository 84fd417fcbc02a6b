"""Fetching ahead: what is asked for, when, how much of it is held, and what it must never do."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.unit.storage.fakes import FakeBackend, error

from sccache.config.schema import RemoteLimits
from sccache.errors import DamagedError, StorageError, Trouble
from sccache.storage import ahead as ahead_module
from sccache.storage.ahead import KEEP_S, MAX_BESIDE, MAX_REQUESTS, Ahead
from sccache.storage.base import Kind, object_name
from sccache.storage.disk import DiskStorage
from sccache.storage.level import Level, LocalLevel, RemoteLevel
from sccache.storage.levels import Absent, Found, Levels, Put
from sccache.storage.remote import Remote, Surroundings
from sccache.storage.trail import MAX_PAIRS, Trail, decode, encode
from sccache.storage.trails import Trails
from sccache.storage.uploads import Uploads
from sccache.storage.window import FIRST_PAIRS, MOST_PAIRS

TRAIL = "ab" * 32


def manifest(number: int) -> str:
    return f"{number:063x}a"


def entry(number: int) -> str:
    return f"{number:063x}e"


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


class Server(FakeBackend):
    """Has the objects of a project, and the trail of a build; its requests can be held."""

    def __init__(self, count: int = 200, size: int = 10) -> None:
        super().__init__()
        for number in range(count):
            self.objects[object_name(manifest(number), Kind.MANIFEST)] = b"m" * size
            self.objects[object_name(entry(number), Kind.ENTRY)] = b"e" * size
        self.trail = Trail((tuple((manifest(number), entry(number)) for number in range(count)),))
        self.objects[object_name(TRAIL, Kind.MANIFEST)] = encode(self.trail, TRAIL)
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.most = 0

    async def read(self, name: str) -> bytes | None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
            return await super().read(name)
        finally:
            self.under_way -= 1

    def asked(self) -> list[tuple[str, int]]:
        """Manifests and entries that were read."""
        return [(name[-1], int(name[-64:-1], 16)) for name in self.reads if not name.endswith(TRAIL)]


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Scene:
    """One level that follows the trail."""

    def __init__(self, server: Server) -> None:
        self.server, self.clock = server, Clock()
        self.remote = Remote(server, RemoteLimits(), surroundings=Surroundings(pause=lambda _: asyncio.sleep(0)))
        self.ahead = Ahead(self.remote, lambda _key, _kind: False, self.clock)
        self.ahead.follow(TRAIL, server.trail, [])

    async def use(self, number: int) -> None:
        assert await self.ahead.get(manifest(number), Kind.MANIFEST)
        assert await self.ahead.get(entry(number), Kind.ENTRY)

    async def quiet(self) -> None:
        await quiet(self.server)


async def quiet(server: Server) -> None:
    """Until nothing is asked any more."""
    idle = 0
    while idle < 20:
        await asyncio.sleep(0)
        idle = idle + 1 if not server.under_way else 0


def guesses(*numbers: int) -> set[tuple[str, int]]:
    return {(letter, number) for number in numbers for letter in "ae"}


def test_one_compile_alone_fetches_four_pairs() -> None:
    """An edited file must not pull the project over the network."""

    async def test() -> None:
        scene = Scene(Server())
        await scene.use(10)
        await scene.quiet()
        assert set(scene.server.asked()) == guesses(*range(10, 11 + FIRST_PAIRS))
        await scene.use(10)
        await scene.quiet()
        assert len(scene.server.asked()) == 2 * (1 + FIRST_PAIRS) + 2, "its own two again, and no more"

    run(test)


def test_a_build_waits_for_its_first_objects_only() -> None:
    """Everything else is there when it is asked for, and asked for once."""

    async def test() -> None:
        scene = Scene(Server(200))
        for number in range(200):
            await scene.use(number)
            await scene.quiet()
        assert sorted(scene.server.asked()) == sorted(guesses(*range(200)))
        stats = scene.remote.stats
        assert (stats.hits, stats.fetched_ahead, stats.used_ahead) == (400, 398, 398)
        assert scene.server.most <= MAX_REQUESTS

    run(test)


def test_a_request_under_way_is_joined() -> None:
    """One who asks for it meanwhile shares it, and it is not kept for another."""

    async def test() -> None:
        scene = Scene(Server())
        await scene.use(0)
        await scene.quiet()
        scene.server.gate.clear()
        await scene.use(1)  # at hand: the window grows
        for _ in range(5):
            await asyncio.sleep(0)
        asked = asyncio.create_task(scene.ahead.get(manifest(5), Kind.MANIFEST))
        await asyncio.sleep(0)
        scene.server.gate.set()
        assert await asked == b"m" * 10
        assert scene.server.asked().count(("a", 5)) == 1
        await scene.ahead.get(manifest(5), Kind.MANIFEST)
        assert scene.server.asked().count(("a", 5)) == 2

    run(test)


def test_few_requests_beside_one_that_a_compile_waits_for() -> None:
    """What is fetched ahead leaves the network to what is wanted now."""

    async def test() -> None:
        scene = Scene(Server())
        for number in range(20):
            await scene.use(number)
            await scene.quiet()
        scene.server.gate.clear()
        scene.server.most = 0
        waits = asyncio.create_task(scene.ahead.get("f" * 64, Kind.ENTRY))
        await asyncio.sleep(0)
        scene.clock.now_s += 31
        scene.ahead.passed(manifest(100))
        for _ in range(20):
            await asyncio.sleep(0)
        assert scene.server.under_way == 1 + MAX_BESIDE
        scene.server.gate.set()
        assert await waits is None
        await scene.quiet()

    run(test)


def test_what_nobody_uses_is_dropped() -> None:
    """After a while, and then less is fetched ahead."""

    async def test() -> None:
        scene = Scene(Server())
        await scene.use(0)
        await scene.quiet()
        assert scene.ahead._held_bytes == 2 * FIRST_PAIRS * 10
        scene.clock.now_s += KEEP_S
        scene.ahead.drop_unused()
        assert scene.ahead._held_bytes == 0
        before = len(scene.server.reads)
        await scene.use(50)
        await scene.quiet()
        assert len(scene.server.reads) - before == 4, "its own, and one pair"

    run(test)


def test_an_entry_that_is_another_now_is_dropped() -> None:
    """A header has changed: the manifest names another entry than the last time."""

    async def test() -> None:
        scene = Scene(Server())
        await scene.use(0)
        await scene.quiet()
        scene.ahead.led_to(manifest(1), "f" * 64)
        assert scene.ahead._held_bytes == (2 * FIRST_PAIRS - 1) * 10
        assert [window.size for window in scene.ahead._windows.values()] == [FIRST_PAIRS // 2]

    run(test)


def test_held_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large results count like all others: what would be too much is not asked for, or not kept."""
    monkeypatch.setattr(ahead_module, "MAX_BYTES", 50 << 20)

    async def test() -> None:
        scene = Scene(Server(64, 8 << 20))
        for number in range(30):
            await scene.use(number)
            await scene.quiet()
            assert scene.ahead._held_bytes <= 50 << 20
            assert scene.ahead._held_bytes == sum(len(guess.blob or b"") for guess in scene.ahead._guesses.values())
        assert scene.remote.stats.used_ahead > 40

    run(test)


@pytest.mark.parametrize("trouble", [Trouble.UNREACHABLE, Trouble.DENIED, Trouble.RATE_LIMITED, Trouble.TIMED_OUT])
def test_trouble_ends_it(trouble: Trouble) -> None:
    """One failed guess takes back those that wait; where the service is left alone nothing is guessed."""

    async def test() -> None:
        scene = Scene(Server())
        for number in range(10):
            await scene.use(number)
            await scene.quiet()
        scene.clock.now_s += 31
        scene.server.always = error(trouble)
        before = len(scene.server.reads)
        scene.ahead.passed(manifest(100))
        await scene.quiet()
        assert len(scene.server.reads) - before <= 2 * MAX_REQUESTS
        assert not scene.ahead._queue
        assert not scene.ahead._tasks
        before, skipped = len(scene.server.reads), scene.remote.stats.skipped
        scene.ahead.passed(manifest(150))
        await scene.quiet()
        assert scene.remote.stats.skipped == skipped
        if trouble is not Trouble.TIMED_OUT:
            assert len(scene.server.reads) == before

    run(test)


def test_a_failed_guess_is_nobodys_failure() -> None:
    """Who wants the object asks for it."""

    async def test() -> None:
        scene = Scene(Server())
        await scene.use(0)
        await scene.quiet()
        scene.ahead.forget(manifest(1), Kind.MANIFEST)
        scene.server.faults = [error(Trouble.DENIED)]
        scene.clock.now_s += 31
        scene.ahead.passed(manifest(0))
        await scene.quiet()
        await scene.use(1)

    run(test)


# ── with levels around ───────────────────────────────────────────────────────────────────────────────────────────────


def far(backend: FakeBackend, *, read_only: bool = False) -> RemoteLevel:
    remote = Remote(backend, RemoteLimits(), read_only=read_only)
    return RemoteLevel(remote, Uploads(remote, ""))


def near(folder: Path) -> LocalLevel:
    return LocalLevel(DiskStorage(str(folder / "cache"), 1 << 20), read_only=False)


def anything(blob: bytes) -> bytes:
    return blob


async def compile_with(levels: Levels, number: int, accept: Callable[[bytes], bytes | None] = anything) -> None:
    """As lookup.direct does it; returns when what it began in the background is done."""
    found = await levels.find(manifest(number), Kind.MANIFEST, accept)
    assert isinstance(found, Found)
    levels.walked(lambda: TRAIL, (manifest(number), entry(number)), found.level)
    assert isinstance(await levels.find(entry(number), Kind.ENTRY, anything), Found)
    while levels._tasks:
        await asyncio.wait(levels._tasks)


def test_a_cold_machine_reads_the_trail_once() -> None:
    """With the first manifest that came from the service."""

    async def test() -> None:
        server = Server(100)
        levels = Levels([far(server)])
        for number in range(100):
            await compile_with(levels, number)
            await quiet(server)
        assert len([name for name in server.reads if name.endswith(TRAIL)]) == 1
        assert len(server.asked()) <= 200 + 2, "each object once, but for those that were on their way with the trail"
        (stats,) = levels.remote_stats() or []
        assert stats.used_ahead >= 196
        await levels.aclose(5)
        assert server.written == [], "the build went the same way as the last one"

    run(test)


def test_hits_of_a_chain_are_counted_once_and_fill_the_disk(tmp_path: Path) -> None:
    """As if the level had answered just now."""

    async def test() -> None:
        server = Server(40)
        levels = Levels([near(tmp_path), far(server)], is_chain=True)
        for number in range(40):
            await compile_with(levels, number)
            await quiet(server)
        await levels.flush(5)
        stats = levels.levels_stats() or []
        assert [(level.hits, level.misses) for level in stats] == [(0, 40), (40, 0)]
        assert stats[1].backfills_from == stats[0].backfills_to == 40
        reads = len(server.reads)
        for number in range(40):
            await compile_with(levels, number)
        await quiet(server)
        assert len(server.reads) == reads, "the disk has all"
        await levels.aclose(5)

    run(test)


def test_what_the_disk_has_is_not_fetched(tmp_path: Path) -> None:
    """Neither manifests nor entries."""

    async def test() -> None:
        server = Server(40)
        disk = near(tmp_path)
        levels = Levels([disk, far(server)], is_chain=True)
        mine = [Put(key(number), kind, b"x") for number in (1, 3) for key, kind in ((manifest, Kind.MANIFEST), (entry, Kind.ENTRY))]
        await disk.store(mine, lambda _error, _ns: None)
        await compile_with(levels, 0)
        await quiet(server)
        assert set(server.asked()) == guesses(0, 2, 4)
        await levels.aclose(5)

    run(test)


def test_a_warm_disk_reads_no_trail(tmp_path: Path) -> None:
    """Where the disk answers, the service is not asked for anything."""

    async def test() -> None:
        server = Server(10)
        disk = near(tmp_path)
        levels = Levels([disk, far(server)], is_chain=True)
        await disk.store([Put(manifest(0), Kind.MANIFEST, b"x"), Put(entry(0), Kind.ENTRY, b"x")], lambda _error, _ns: None)
        await compile_with(levels, 0)
        await levels.aclose(5)
        assert server.reads == server.written == []

    run(test)


def test_a_blob_fetched_ahead_is_judged_like_any_other() -> None:
    """Damaged or of no use: the next level, or the compiler."""

    async def test() -> None:
        server = Server(10)
        levels = Levels([far(server)])
        await compile_with(levels, 0)
        await quiet(server)
        assert levels.remote_stats()[0].fetched_ahead  # type: ignore[index]

        def refuse(_: bytes) -> None:
            return None

        def complain(_: bytes) -> None:
            raise DamagedError("bad")

        assert await levels.find(entry(1), Kind.ENTRY, refuse) == Absent(rejected=True)
        assert await levels.find(entry(2), Kind.ENTRY, complain) == Absent(damaged=True)
        assert await levels.find(entry(2), Kind.ENTRY, anything) == Absent(), "not asked for again"
        await levels.aclose(5)

    run(test)


def test_what_is_stored_meanwhile_replaces_what_was_fetched() -> None:
    """A guess must not outlive what this daemon itself has written."""

    async def test() -> None:
        server = Server(10)
        levels = Levels([far(server)])
        await compile_with(levels, 0)
        await quiet(server)
        await levels.keep([Put(entry(1), Kind.ENTRY, b"new")], lambda _error, _ns: None)
        assert await levels.find(entry(1), Kind.ENTRY, anything) == Found(b"new", 0)
        await levels.flush(5)
        assert await levels.find(entry(1), Kind.ENTRY, anything) == Found(b"new", 0)
        await levels.aclose(5)

    run(test)


def test_a_trail_of_nonsense_costs_nothing_but_requests() -> None:
    """Damaged: ignored.  Of objects that are not there: guesses that fail."""

    async def test() -> None:
        for blob in (b"", b"nonsense" * 100, encode(Trail(((("f" * 64, "f" * 64),),)), "cd" * 32), bytes(8 << 20)):
            server = Server(10)
            server.objects[object_name(TRAIL, Kind.MANIFEST)] = blob
            levels = Levels([far(server)])
            for number in range(10):
                await compile_with(levels, number)
            assert len(server.asked()) == 20
            await levels.aclose(5)
        server = Server(10)
        gone = Trail((tuple((manifest(number), entry(number + 500 * (number > 0))) for number in range(10)),))
        server.objects[object_name(TRAIL, Kind.MANIFEST)] = encode(gone, TRAIL)
        levels = Levels([far(server)])
        for number in range(10):
            await compile_with(levels, number)
            await quiet(server)
        await levels.aclose(5)

    run(test)


# ── writing trails ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_build_writes_its_trail_at_the_end() -> None:
    """In the order of its compiles; a second one writes nothing, one of other sources does."""

    async def test() -> None:
        server = FakeBackend()
        name = object_name(TRAIL, Kind.MANIFEST)
        pairs = [(manifest(number), entry(number)) for number in (3, 1, 2, 9)]
        for _ in range(2):
            levels = Levels([far(server)])
            for pair in pairs:
                levels.walked(lambda: TRAIL, pair, None)
            await levels.aclose(5)
        assert decode(server.objects[name], TRAIL) == Trail((tuple(pairs),))
        assert server.written == [name]
        levels = Levels([far(server)])
        for number in range(20, 24):
            levels.walked(lambda: TRAIL, (manifest(number), entry(number)), None)
        await levels.aclose(5)
        assert len(decode(server.objects[name], TRAIL).runs) == 2

    run(test)


def test_a_build_writes_its_trail_when_it_is_quiet() -> None:
    """Not before, and without anybody asking for it."""

    async def test() -> None:
        server = FakeBackend()
        tasks: set[asyncio.Task[None]] = set()
        trails = Trails([far(server)], lambda work: tasks.add(asyncio.create_task(work)), quiet_s=0.01)
        for number in range(5):
            trails.walked(lambda: TRAIL, (manifest(number), entry(number)), None)
        assert server.reads == []
        while not server.written:
            await asyncio.sleep(0.001)

    run(test)


def test_a_few_compiles_write_and_ask_nothing() -> None:
    """An edit is no reason to rewrite a project's trail."""

    async def test() -> None:
        server = FakeBackend()
        levels = Levels([far(server)])
        for number in range(3):
            levels.walked(lambda: TRAIL, (manifest(number), entry(number)), None)
        await levels.aclose(5)
        assert server.reads == server.written == []

    run(test)


def test_a_reader_follows_and_writes_nothing() -> None:
    """Read-only is read-only."""

    async def test() -> None:
        server = Server(100)
        del server.objects[object_name(TRAIL, Kind.MANIFEST)]
        levels = Levels([far(server, read_only=True)])
        for number in range(50):
            await compile_with(levels, number)
        await levels.aclose(5)
        assert server.written == []

    run(test)


def test_a_huge_build_has_a_bounded_trail() -> None:
    """The first so many compiles."""

    async def test() -> None:
        server = FakeBackend()
        levels = Levels([far(server)])
        for number in range(MAX_PAIRS + 100):
            levels.walked(lambda: TRAIL, (manifest(number), entry(number)), None)
        await levels.aclose(5)
        (run_of_it,) = decode(server.objects[object_name(TRAIL, Kind.MANIFEST)], TRAIL).runs
        assert run_of_it[-1] == (manifest(MAX_PAIRS - 1), entry(MAX_PAIRS - 1))

    run(test)


def test_a_trail_that_cannot_be_stored_is_no_failure() -> None:
    """Nobody hears of it but the log."""

    async def test() -> None:
        server = FakeBackend()
        server.always = error(Trouble.ERROR)
        levels: list[Level] = [far(server)]
        storage = Levels(levels)
        for number in range(5):
            storage.walked(lambda: TRAIL, (manifest(number), entry(number)), None)
        await storage.aclose(0.5)
        with pytest.raises(StorageError):
            await levels[0].get(TRAIL, Kind.MANIFEST)  # type: ignore[union-attr, misc]

    run(test)


def test_the_numbers_fit_each_other() -> None:
    """All of the largest window may wait at a time."""
    assert ahead_module.MAX_GUESSES >= 2 * MOST_PAIRS
