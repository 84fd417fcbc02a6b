"""What waits to be sent: bounds, bursts, files, flushing, losses."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.unit.storage.fakes import FakeBackend, error, for_ever

from sccache.config.schema import RemoteLimits
from sccache.errors import StorageError, Trouble
from sccache.storage.base import Kind, object_name
from sccache.storage.remote import Remote
from sccache.storage.uploads import WORKERS, Uploads
from sccache.storage.writes import Put, Update

Outcomes = list[StorageError | None]


def key(number: int) -> str:
    return f"{number:064x}"


def uploads(backend: FakeBackend, folder: str = "", memory: int = 1000, spool: int = 1000) -> Uploads:
    return Uploads(Remote(backend, RemoteLimits()), folder, memory_bytes=memory, spool_bytes=spool)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


class Gate:
    """Holds requests until it is opened."""

    def __init__(self, backend: FakeBackend, requests: int = 10_000) -> None:
        self._event = asyncio.Event()
        backend.faults = [self._wait] * requests

    async def _wait(self) -> None:
        await self._event.wait()

    def open(self) -> None:
        self._event.set()


def test_a_burst_is_sent_completely() -> None:
    """Five thousand results, never more than a few requests at a time."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        queue = uploads(backend, memory=1 << 20)
        for number in range(5000):
            await queue.submit([Put(key(number), Kind.ENTRY, b"x" * 100)], lambda e, _: outcomes.append(e))
        await queue.flush(60)
        assert outcomes == [None] * 5000
        assert len(backend.objects) == 5000
        assert not queue.has_pending()
        assert queue.notes() == []

    run(test)


def test_requests_at_a_time_are_bounded() -> None:
    """So are connections."""

    async def test() -> None:
        backend = FakeBackend()
        gate = Gate(backend)
        queue = uploads(backend)
        for number in range(50):
            await queue.submit([Put(key(number), Kind.ENTRY, b"x")], lambda *_: None)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(backend.written) == WORKERS
        gate.open()
        await queue.flush(60)
        assert len(backend.objects) == 50

    run(test)


def test_what_waits_can_be_had() -> None:
    """A result is a hit before it is sent; afterwards the service has it."""

    async def test() -> None:
        backend = FakeBackend()
        gate = Gate(backend)
        queue = uploads(backend)
        await queue.submit([Put(key(1), Kind.ENTRY, b"blob")], lambda *_: None)
        assert await queue.waiting(key(1), Kind.ENTRY) == b"blob"
        assert await queue.waiting(key(1), Kind.MANIFEST) is None
        gate.open()
        await queue.flush(60)
        assert await queue.waiting(key(1), Kind.ENTRY) is None

    run(test)


def test_beyond_memory_results_wait_in_files(tmp_path: Path) -> None:
    """They are sent all the same, can be had meanwhile, and leave no file."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        gate = Gate(backend)
        queue = uploads(backend, str(tmp_path), memory=250, spool=10_000)
        for number in range(10):
            await queue.submit([Put(key(number), Kind.ENTRY, b"%d" % number * 100)], lambda e, _: outcomes.append(e))
        assert len(os.listdir(tmp_path)) == 8
        assert await queue.waiting(key(9), Kind.ENTRY) == b"9" * 100
        gate.open()
        await queue.flush(60)
        assert outcomes == [None] * 10
        assert backend.objects[object_name(key(9), Kind.ENTRY)] == b"9" * 100
        assert os.listdir(tmp_path) == []

    run(test)


@pytest.mark.parametrize("has_folder", [True, False])
def test_beyond_all_bounds_results_are_lost_and_said_to_be(tmp_path: Path, has_folder: bool) -> None:
    """The build goes on; the loss is told to the writer and to the user."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        gate = Gate(backend)
        queue = uploads(backend, str(tmp_path) if has_folder else "", memory=100, spool=100)
        for number in range(4):
            await queue.submit([Put(key(number), Kind.ENTRY, b"x" * 100)], lambda e, _: outcomes.append(e))
        lost = 2 if has_folder else 3
        assert [str(e) for e in outcomes] == ["too much waits to be sent to fake"] * lost
        assert queue.notes() == [f"{lost} results of {lost * 100} bytes not sent to fake: too much waits to be sent to fake."]
        gate.open()
        await queue.flush(60)
        assert len(backend.objects) == 4 - lost
        await queue.submit([Put(key(9), Kind.ENTRY, b"x" * 100)], lambda e, _: outcomes.append(e))
        await queue.flush(60)
        assert outcomes[-1] is None, "the room is free again"

    run(test)


@pytest.mark.parametrize("turns", range(12))
def test_a_result_that_comes_as_the_workers_end_is_sent(turns: int) -> None:
    """In whatever turn of the event loop: all workers may have seen an empty queue and still be counted."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        gate = Gate(backend, WORKERS)
        queue = uploads(backend)
        for number in range(WORKERS):
            await queue.submit([Put(key(number), Kind.ENTRY, b"x")], lambda e, _: outcomes.append(e))
        while len(backend.written) < WORKERS:
            await asyncio.sleep(0)
        gate.open()
        for _ in range(turns):
            await asyncio.sleep(0)
        await queue.submit([Put(key(99), Kind.ENTRY, b"late")], lambda e, _: outcomes.append(e))
        await queue.flush(60)
        assert outcomes == [None] * (WORKERS + 1)
        assert backend.objects[object_name(key(99), Kind.ENTRY)] == b"late"

    run(test)


def test_an_update_changes_what_the_service_has() -> None:
    """In the order in which they were given."""

    async def test() -> None:
        backend = FakeBackend()
        backend.objects[object_name(key(1), Kind.MANIFEST)] = b"one"
        queue = uploads(backend)
        seen: list[bytes | None] = []

        def change(had: bytes | None) -> bytes | None:
            seen.append(had)
            assert backend.objects[object_name(key(7), Kind.ENTRY)] == b"entry", "the entry comes before what leads to it"
            return (had or b"") + b" two"

        await queue.submit([Put(key(7), Kind.ENTRY, b"entry"), Update(key(1), Kind.MANIFEST, change)], lambda *_: None)
        await queue.submit([Update(key(2), Kind.MANIFEST, lambda _: None)], lambda *_: None)
        await queue.flush(60)
        assert seen == [b"one"]
        assert backend.objects[object_name(key(1), Kind.MANIFEST)] == b"one two"
        assert object_name(key(2), Kind.MANIFEST) not in backend.objects

    run(test)


def test_a_flush_ends_at_its_deadline(tmp_path: Path) -> None:
    """What was not sent by then is lost, also what is half sent; nothing is left behind."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        backend.faults = [for_ever] * 100
        queue = uploads(backend, str(tmp_path), memory=150)
        for number in range(20):
            await queue.submit([Put(key(number), Kind.ENTRY, b"x" * 50)], lambda e, _: outcomes.append(e))
        await queue.flush(0.01)
        assert [str(e) for e in outcomes] == ["there was no time left to send it"] * 20
        assert not queue.has_pending()
        assert os.listdir(tmp_path) == []
        assert queue.notes() == ["20 results of 1000 bytes not sent to fake: there was no time left to send it."]

    run(test)


def test_a_dead_service_does_not_hold_up_the_end() -> None:
    """Each result fails at once after the first."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        backend.always = error(Trouble.UNREACHABLE, "connection refused")
        queue = uploads(backend, memory=1 << 20)
        for number in range(1000):
            await queue.submit([Put(key(number), Kind.ENTRY, b"x")], lambda e, _: outcomes.append(e))
        await queue.flush(60)
        assert len(outcomes) == 1000
        assert all(e is not None and e.trouble is Trouble.UNREACHABLE for e in outcomes)
        assert len(backend.written) <= WORKERS
        assert "connection refused" in queue.notes()[0]

    run(test)


def test_too_many_uploads_wait_for_the_service() -> None:
    """A rate limit delays results; it does not lose them."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        backend.faults = [error(Trouble.RATE_LIMITED, retry_after_s=0.0)]
        remote = Remote(backend, RemoteLimits())
        queue = Uploads(remote, "")
        await queue.submit([Put(key(1), Kind.ENTRY, b"blob")], lambda e, _: outcomes.append(e))
        await queue.flush(60)
        assert outcomes == [None]
        assert len(backend.objects) == 1

    run(test)


@pytest.mark.parametrize("trouble", [Trouble.TOO_LARGE])
def test_what_was_not_meant_to_be_sent_is_no_loss(trouble: Trouble) -> None:
    """The writer is told; the user is not alarmed."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        backend.faults = [error(trouble)]
        queue = uploads(backend)
        await queue.submit([Put(key(1), Kind.ENTRY, b"blob")], lambda e, _: outcomes.append(e))
        await queue.flush(60)
        assert [e and e.trouble for e in outcomes] == [trouble]
        assert queue.notes() == []

    run(test)


def test_a_file_that_vanished_is_a_loss_not_an_empty_result(tmp_path: Path) -> None:
    """Somebody emptied the directory."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        gate = Gate(backend)
        queue = uploads(backend, str(tmp_path), memory=0)
        for number in range(WORKERS + 1):
            await queue.submit([Put(key(number), Kind.ENTRY, b"x" * 10)], lambda e, _: outcomes.append(e))
        async with asyncio.timeout(30):
            while len(backend.written) < WORKERS:
                await asyncio.sleep(0.001)  # threads read files: looked for, with a deadline
        for path in tmp_path.iterdir():
            path.unlink()
        assert await queue.waiting(key(WORKERS), Kind.ENTRY) is None
        gate.open()
        await queue.flush(60)
        assert [str(e) for e in outcomes if e] == ["a result that waited in a file is gone"]
        assert b"" not in backend.objects.values()

    run(test)


def test_a_manifest_is_written_where_missing_objects_are_denied() -> None:
    """S3, for those who may not list the bucket."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        backend.faults = [error(Trouble.DENIED)]
        queue = uploads(backend)
        await queue.submit([Update(key(1), Kind.MANIFEST, lambda blob: (blob or b"") + b"new")], lambda e, _: outcomes.append(e))
        await queue.flush(60)
        assert outcomes == [None]
        assert list(backend.objects.values()) == [b"new"]

    run(test)


def test_a_torn_file_is_a_loss_not_a_torn_result(tmp_path: Path) -> None:
    """A full disk, somebody who cleans up."""

    async def test() -> None:
        backend, outcomes = FakeBackend(), Outcomes()
        gate = Gate(backend)
        queue = uploads(backend, str(tmp_path), memory=100)
        for number in range(WORKERS + 1):
            await queue.submit([Put(key(number), Kind.ENTRY, b"x" * 60)], lambda e, _: outcomes.append(e))
        for path in tmp_path.iterdir():
            os.truncate(path, 30)
        assert await queue.waiting(key(WORKERS), Kind.ENTRY) is None
        gate.open()
        await queue.flush(60)
        assert set(backend.objects.values()) == {b"x" * 60}
        assert queue.notes()
        queue.zero_stats()

    run(test)
