"""A service that is slow, broken, gone or back again, behind Remote; time is told to it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from tests.unit.storage.fakes import KEY, OTHER, FakeBackend, error, for_ever

from sccache.config.schema import RemoteLimits
from sccache.errors import StorageError, Trouble
from sccache.storage.base import CHECK_NAME, Access, Kind, object_name
from sccache.storage.redaction import Redactor
from sccache.storage.remote import COUNTERS, DOUBTFUL_DENIALS, READ_TRIES, WRITE_TRIES, Remote, Surroundings

LIMITS = RemoteLimits(timeout_s=5.0, max_entry_bytes=100)
NAME = object_name(KEY, Kind.ENTRY)


class Clock:
    """Time that passes when it is told to, or when somebody pauses."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


def remote(backend: FakeBackend, clock: Clock | None = None, limits: RemoteLimits = LIMITS, *, read_only: bool = False) -> Remote:
    clock = clock or Clock()
    around = Surroundings(clock, lambda: 0.5, clock.pause)
    return Remote(backend, limits, read_only=read_only, redact=Redactor(["hunter22"]), surroundings=around)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_it_names_objects_as_sccache_does() -> None:
    """a/b/c/key, manifests below preprocessor/."""

    async def test() -> None:
        backend = FakeBackend()
        storage = remote(backend)
        await storage.put(KEY, Kind.ENTRY, b"entry")
        await storage.put(KEY, Kind.MANIFEST, b"manifest")
        assert backend.objects == {f"0/1/2/{KEY}": b"entry", f"preprocessor/0/1/2/{KEY}": b"manifest"}
        assert await storage.get(KEY, Kind.ENTRY) == b"entry"
        assert await storage.get(OTHER, Kind.ENTRY) is None
        assert (storage.stats.hits, storage.stats.misses, storage.stats.writes) == (1, 1, 2)

    run(test)


def test_identical_reads_share_one_request() -> None:
    """Also when the one that asked first is cancelled."""

    async def test() -> None:
        backend = FakeBackend()
        gate = asyncio.Event()

        async def wait() -> None:
            await gate.wait()

        backend.faults = [wait]
        backend.objects[NAME] = b"blob"
        storage = remote(backend)
        readers = [asyncio.create_task(storage.get(KEY, Kind.ENTRY)) for _ in range(8)]
        while not backend.reads:
            await asyncio.sleep(0)
        readers[0].cancel()
        gate.set()
        assert await asyncio.gather(*readers[1:]) == [b"blob"] * 7
        assert backend.reads == [NAME]
        assert await storage.get(KEY, Kind.ENTRY) == b"blob"
        assert backend.reads == [NAME, NAME], "what has landed is asked for anew"

    run(test)


@pytest.mark.parametrize("trouble", [Trouble.ERROR])
def test_a_read_is_tried_once_more(trouble: Trouble) -> None:
    """A server's own failure may pass."""

    async def test() -> None:
        backend = FakeBackend()
        backend.objects[NAME] = b"blob"
        backend.faults = [error(trouble)]
        assert await remote(backend).get(KEY, Kind.ENTRY) == b"blob"
        assert len(backend.reads) == READ_TRIES

    run(test)


@pytest.mark.parametrize("trouble", [Trouble.DENIED, Trouble.RATE_LIMITED, Trouble.UNREACHABLE, Trouble.WRONG_PLACE, Trouble.BAD_TLS])
def test_what_will_not_change_is_not_tried_again(trouble: Trouble) -> None:
    """Denied stays denied, a dead server dead."""

    async def test() -> None:
        backend = FakeBackend()
        backend.always = error(trouble)
        storage = remote(backend)
        with pytest.raises(StorageError) as caught:
            await storage.get(KEY, Kind.ENTRY)
        assert caught.value.trouble is trouble
        assert len(backend.reads) == 1
        assert getattr(storage.stats, COUNTERS.get(trouble, "errors")) == 1

    run(test)


def test_a_write_is_tried_three_times() -> None:
    """With pauses that grow."""

    async def test() -> None:
        backend, clock = FakeBackend(), Clock()
        backend.faults = [error(Trouble.ERROR)] * (WRITE_TRIES - 1)
        storage = remote(backend, clock)
        await storage.put(KEY, Kind.ENTRY, b"blob")
        assert backend.objects == {NAME: b"blob"}
        assert len(backend.written) == WRITE_TRIES
        assert clock.pauses == sorted(clock.pauses)
        assert len(set(clock.pauses)) == WRITE_TRIES - 1

    run(test)


def test_a_silent_server_costs_the_deadline() -> None:
    """And is left alone then, without being asked."""

    async def test() -> None:
        backend = FakeBackend()
        backend.faults = [for_ever] * 10
        storage = remote(backend, limits=RemoteLimits(timeout_s=0.02))
        with pytest.raises(StorageError) as caught:
            await storage.get(KEY, Kind.ENTRY)
        assert caught.value.trouble is Trouble.TIMED_OUT
        asked = len(backend.reads)
        with pytest.raises(StorageError) as caught:
            await storage.get(KEY, Kind.ENTRY)
        assert caught.value.trouble is Trouble.TIMED_OUT, "the reason stays the reason"
        assert len(backend.reads) == asked
        assert storage.stats.skipped == 1
        assert "timed out" in storage.notes()[0]

    run(test)


def test_a_dead_server_is_asked_again_in_the_background() -> None:
    """No reader waits for the probe; when it succeeds, readers get answers again."""

    async def test() -> None:
        backend, clock = FakeBackend(), Clock()
        backend.objects[NAME] = b"blob"
        backend.faults = [error(Trouble.UNREACHABLE)]
        storage = remote(backend, clock)
        for _ in range(5):
            with pytest.raises(StorageError):
                await storage.get(KEY, Kind.ENTRY)
        assert backend.reads == [NAME]
        assert storage.notes()
        clock.now_s = 2.0
        with pytest.raises(StorageError):
            await storage.get(KEY, Kind.ENTRY)
        while storage.notes():
            await asyncio.sleep(0)
        assert backend.reads == [NAME, CHECK_NAME]
        assert await storage.get(KEY, Kind.ENTRY) == b"blob"

    run(test)


def test_a_dead_server_takes_no_writes_either() -> None:
    """Reads and writes learn from each other what is about the server."""

    async def test() -> None:
        backend, clock = FakeBackend(), Clock()
        backend.always = error(Trouble.UNREACHABLE)
        storage = remote(backend, clock)
        with pytest.raises(StorageError):
            await storage.get(KEY, Kind.ENTRY)
        with pytest.raises(StorageError):
            await storage.put(KEY, Kind.ENTRY, b"blob")
        assert backend.written == []
        backend.always, clock.now_s = None, 1.0
        await storage.put(KEY, Kind.ENTRY, b"blob")
        assert await storage.get(KEY, Kind.ENTRY) == b"blob", "the write's success speaks for reads"

    run(test)


def test_too_many_writes_do_not_stop_reads() -> None:
    """GitHub limits uploads, not downloads."""

    async def test() -> None:
        backend, clock = FakeBackend(), Clock()
        storage = remote(backend, clock)
        backend.faults = [error(Trouble.RATE_LIMITED, retry_after_s=30.0)]
        with pytest.raises(StorageError):
            await storage.put(KEY, Kind.ENTRY, b"blob")
        assert 30 <= storage.write_pause_s() <= 31
        assert await storage.get(KEY, Kind.ENTRY) is None
        clock.now_s = 31.0
        assert storage.write_pause_s() == 0
        await storage.put(KEY, Kind.ENTRY, b"blob")

    run(test)


def test_read_only_never_asks() -> None:
    """Nor does what is too large."""

    async def test() -> None:
        backend = FakeBackend()
        with pytest.raises(StorageError, match=r"^storage is read-only$"):
            await remote(backend, read_only=True).put(KEY, Kind.ENTRY, b"blob")
        with pytest.raises(StorageError) as caught:
            await remote(backend).put(KEY, Kind.ENTRY, b"x" * 101)
        assert caught.value.trouble is Trouble.TOO_LARGE
        assert backend.written == []
        assert remote(backend, read_only=True).is_writable is False

    run(test)


@pytest.mark.parametrize(
    ("faults", "read_only", "access", "writes"),
    [
        ([], False, Access.READ_WRITE, 1),
        ([], True, Access.READ_ONLY, 0),
        ([error(Trouble.RATE_LIMITED)], True, Access.READ_ONLY, 0),
        ([lambda: asyncio.sleep(0), error(Trouble.DENIED)], False, Access.READ_ONLY, 1),
        ([lambda: asyncio.sleep(0), error(Trouble.ERROR)], False, Access.READ_ONLY, 1),
        ([lambda: asyncio.sleep(0), error(Trouble.RATE_LIMITED)], False, Access.READ_WRITE, 1),
    ],
)
def test_check(faults: list[Exception], read_only: bool, access: Access, writes: int) -> None:
    """What reference 8.7 says of each outcome."""

    async def test() -> None:
        backend = FakeBackend()
        backend.faults = list(faults)
        assert await remote(backend, read_only=read_only).check() is access
        assert backend.reads == [CHECK_NAME]
        assert backend.written == [CHECK_NAME] * writes

    run(test)


def test_after_a_denied_check_nothing_is_sent_and_reads_go_on() -> None:
    """A pull request's credentials may only read."""

    async def test() -> None:
        backend = FakeBackend()
        backend.faults = [lambda: asyncio.sleep(0), error(Trouble.DENIED)]
        storage = remote(backend)
        await storage.check()
        with pytest.raises(StorageError) as caught:
            await storage.put(KEY, Kind.ENTRY, b"blob")
        assert caught.value.trouble is Trouble.READ_ONLY
        assert backend.written == [CHECK_NAME]
        assert await storage.get(KEY, Kind.ENTRY) is None
        assert "takes no new results" in storage.notes()[0]

    run(test)


def test_a_surprise_of_a_library_is_a_storage_error_without_secrets() -> None:
    """Whatever it is."""

    async def test() -> None:
        backend = FakeBackend()
        backend.always = ValueError("redis://me:hunter22@host/?sig=abc said hunter22\nand more")
        with pytest.raises(StorageError) as caught:
            await remote(backend).get(KEY, Kind.ENTRY)
        assert "hunter22" not in str(caught.value)
        assert "abc" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is None

    run(test)


def test_closing_ends_what_is_under_way() -> None:
    """And closes the backend."""

    async def test() -> None:
        backend = FakeBackend()
        backend.faults = [for_ever]
        storage = remote(backend)
        reader = asyncio.create_task(storage.get(KEY, Kind.ENTRY))
        while not backend.reads:
            await asyncio.sleep(0)
        await storage.aclose()
        with pytest.raises(StorageError):  # nobody cancelled the reader
            await reader
        assert backend.is_closed

    run(test)


def test_closing_has_a_deadline_and_never_fails() -> None:
    """A backend that hangs, one that fails, a request that does not let itself be cancelled."""

    async def test() -> None:
        class Hanging(FakeBackend):
            async def aclose(self) -> None:
                await for_ever()

        class Failing(FakeBackend):
            async def aclose(self) -> None:
                raise OSError("hunter22")

        async def stubborn() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await for_ever()
            await gate.wait()

        gate = asyncio.Event()
        limits = RemoteLimits(timeout_s=0.05)
        backend = Hanging()
        backend.faults = [stubborn]
        storage = remote(backend, limits=limits)
        reader = asyncio.create_task(storage.get(KEY, Kind.ENTRY))
        while not backend.reads:
            await asyncio.sleep(0)
        await storage.aclose()
        gate.set()
        await asyncio.gather(reader, return_exceptions=True)
        await remote(Failing()).aclose()

    run(test)


def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    """A library whose own task was cancelled must not cancel the compile."""

    async def test() -> None:
        backend = FakeBackend()
        backend.objects[NAME] = b"blob"

        async def cancelled() -> None:
            raise asyncio.CancelledError

        backend.faults = [cancelled]
        storage = remote(backend)
        assert await storage.get(KEY, Kind.ENTRY) == b"blob", "tried once more"
        backend.faults = [cancelled] * 9
        with pytest.raises(StorageError):
            await storage.get(KEY, Kind.ENTRY)

    run(test)


def test_a_wrong_password_is_told_from_the_start() -> None:
    """Nothing is asked in vain until the next probe; a right one then ends it."""

    async def test() -> None:
        backend, clock = FakeBackend(), Clock()
        backend.always = error(Trouble.DENIED, "wrong password")
        storage = remote(backend, clock)
        with pytest.raises(StorageError, match="wrong password"):
            await storage.check()
        assert storage.notes() == ["fake is not used now: denied (wrong password); it is asked again in 300 s."]
        asked = len(backend.reads)
        with pytest.raises(StorageError) as caught:
            await storage.get(KEY, Kind.ENTRY)
        assert caught.value.trouble is Trouble.DENIED
        assert len(backend.reads) == asked
        backend.always, clock.now_s = None, 301.0
        with pytest.raises(StorageError):
            await storage.get(KEY, Kind.ENTRY)
        while len(backend.reads) == asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await storage.get(KEY, Kind.ENTRY) is None
        assert storage.notes() == []

    run(test)


class Unlisted(FakeBackend):
    """S3 for those who may not list the bucket: an object that is not there is denied."""

    async def read(self, name: str) -> bytes | None:
        found = await super().read(name)
        if found is None:
            raise error(Trouble.DENIED, "403")
        return found


def test_objects_that_are_denied_because_they_are_not_there() -> None:
    """A cold cache is not switched off; who may write it finds out that reading works."""

    async def test() -> None:
        backend = Unlisted()
        storage = remote(backend)
        assert await storage.check() is Access.READ_WRITE
        for _ in range(3 * DOUBTFUL_DENIALS):
            with pytest.raises(StorageError):
                await storage.get(KEY, Kind.ENTRY)
        assert len([name for name in backend.reads if name == NAME]) == 3 * DOUBTFUL_DENIALS
        assert storage.notes() == []

    run(test)


def test_a_password_that_is_revoked_is_noticed() -> None:
    """After some denied reads the object that must be there is asked for."""

    async def test() -> None:
        backend = FakeBackend()
        storage = remote(backend)
        await storage.check()
        backend.always = error(Trouble.DENIED, "revoked")
        while not storage.notes():
            with pytest.raises(StorageError):
                await storage.get(KEY, Kind.ENTRY)
        assert storage.notes()[0].startswith("fake is not used now: denied (revoked)")
        assert DOUBTFUL_DENIALS <= storage.stats.denied < 2 * DOUBTFUL_DENIALS

    run(test)


def test_a_denied_reader_goes_on_and_says_so() -> None:
    """Read-only: nobody may have written the object that is asked for."""

    async def test() -> None:
        backend = Unlisted()
        backend.objects[NAME] = b"blob"
        storage = remote(backend, read_only=True)
        with pytest.raises(StorageError):
            await storage.check()
        assert storage.notes() == ["fake may not be readable: denied (403)."]
        assert await storage.get(KEY, Kind.ENTRY) == b"blob"
        assert storage.notes() == []

    run(test)


def test_each_try_of_a_write_has_a_deadline() -> None:
    """One that hangs does not use up the time of the next one."""

    async def test() -> None:
        backend = FakeBackend()
        backend.faults = [for_ever]
        storage = remote(backend, limits=RemoteLimits(timeout_s=0.05))
        await storage.put(KEY, Kind.ENTRY, b"blob")
        assert backend.written == [NAME, NAME]

    run(test)


def test_a_silent_server_gets_no_writes_and_slow_writes_stop_no_reads() -> None:
    """Reads are small: that they take too long is about the service."""

    async def test() -> None:
        backend = FakeBackend()
        storage = remote(backend, limits=RemoteLimits(timeout_s=0.05))
        backend.faults = [for_ever] * 2
        with pytest.raises(StorageError):
            await storage.put(KEY, Kind.ENTRY, b"blob")
        assert await storage.get(KEY, Kind.ENTRY) is None
        backend.faults = [for_ever] * 9
        silent = remote(backend, limits=RemoteLimits(timeout_s=0.05))
        for key in (KEY, OTHER):
            with pytest.raises(StorageError):
                await silent.get(key, Kind.ENTRY)
        written = len(backend.written)
        with pytest.raises(StorageError) as caught:
            await silent.put(KEY, Kind.ENTRY, b"blob")
        assert caught.value.trouble is Trouble.TIMED_OUT
        assert len(backend.written) == written

    run(test)
