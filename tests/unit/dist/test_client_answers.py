"""Answers that a client of a farm does not believe, and how it meets workers in trouble."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from tests.unit.dist.farm_fakes import (
    FAILED,
    FakeWorker,
    Handler,
    always,
    certificate,
    digest,
    framed,
    job,
    refused,
)
from tests.unit.dist.farm_world import LONG_S, RULES, SHORT_S, World, failure, play, says_nothing

from sccache.dist.client import Finished, Rules
from sccache.dist.client_worker import Deadlines
from sccache.dist.messages import Missing, OutputFile, Result

GOOD = framed(Result(status=0, stdout=b"", stderr=b"", outputs=(OutputFile(b"/w/x.o", 6, digest(b"INT X;")),)), b"INT X;")


def result(*outputs: OutputFile, contents: bytes = b"", stderr: bytes = b"") -> bytes:
    return framed(Result(status=0, stdout=b"", stderr=stderr, outputs=outputs), contents)


def output(path: bytes = b"/w/x.o", data: bytes = b"made", **more: object) -> OutputFile:
    return msgspec.structs.replace(OutputFile(path, len(data), digest(data)), **more)


BAD_ANSWERS = {
    "empty": (b"", "cut off"),
    "only signs of life": (b"....", "cut off"),
    "something else": (b"<html>", "starts with something else"),
    "cut in the length": (GOOD[:5], "cut off"),
    "cut in the header": (GOOD[:30], "cut off"),
    "cut in the outputs": (GOOD[:-4], "another than announced"),
    "no outputs": (result(output()), "another than announced"),
    "not zstd": (b"R\x04\0\0\0abcd", "garbled"),
    "not an answer": (b"R" + framed(Result(status=0, stdout=b"", stderr=b"", outputs=()))[3:5], "cut off"),
    "another content": (result(output(), contents=b"fake"), "another than announced"),
    "more contents": (result(output(), contents=b"madeup"), "more contents"),
    "an output that was not asked for": (result(output(b"/etc/passwd"), contents=b"made"), "not asked for"),
    "an output twice": (result(output(), output(), contents=b"mademade"), "not asked for"),
    "too much": (result(output(size=9 << 20), contents=b"made"), "outputs are too long"),
    "less than nothing": (result(output(size=-1), contents=b"made"), "outputs are too long"),
    "too long a message": (result(stderr=b"x" * (2 << 20)), "header is too long"),
    "nothing missing": (framed(Missing()), "nothing is missing"),
    "strange contents missing": (framed(Missing((b"?" * 32,))), "not of this job"),
    "one content missing twice": (framed(Missing((digest(b"int x;"),) * 2)), "not of this job"),
    "its own trouble": (FAILED, "could not run the command: the disk is full really"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_bad_answer_is_not_believed(tmp_path: Path, case: str) -> None:
    """The job goes to another worker; nothing of the answer gets anywhere."""
    body, words = BAD_ANSWERS[case]

    async def scene(world: World) -> None:
        bad, good = world.workers
        bad.before = [always(body)]
        world.scheduler.workers = [bad.named]
        reason = failure(await world.run())
        assert reason.startswith(f"worker {bad.address}: ")
        assert words in reason
        assert "nobody is left" in reason
        world.farm._avoided.clear()
        bad.before = [always(body)]
        world.scheduler.workers = [good.named, bad.named]
        outcomes = [await world.run() for _ in range(2)]
        assert all(isinstance(outcome, Finished) for outcome in outcomes)
        assert bad.before == []

    play(tmp_path, scene, FakeWorker("a"), FakeWorker("b"))


def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    """However long it goes on, only so much is held."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b".R\xff\xff\xff\x7f")
        for _ in range(64):  # a server that writes to a closed connection is not stopped by that
            await response.write(b"\0" * (1 << 20))
            await asyncio.sleep(0)
        return response

    async def scene(world: World) -> None:
        world.workers[0].before = [endless]
        assert "the answer is too long" in failure(await world.run())

    play(tmp_path, scene)


def test_outputs_below_a_directory(tmp_path: Path) -> None:
    """Names that were not known before are fine there, but none that leads out of it."""

    async def scene(world: World) -> None:
        header, contents = job(world.source)
        header = msgspec.structs.replace(header, output_directories=(b"/w/deps",))
        for path, is_fine in {b"/w/deps/a/b.o": True, b"/w/depsx": False, b"/w/deps/../x": False, b"/w/deps/": False}.items():
            world.workers[0].before = [always(result(output(path), contents=b"made"))]
            outcome = await world.farm.run(header, contents, world.packed)
            assert isinstance(outcome, Finished) == is_fine, path
            world.farm._avoided.clear()

    play(tmp_path, scene)


def test_a_command_that_failed_is_an_answer(tmp_path: Path) -> None:
    """What to make of it is not the farm's business."""

    async def scene(world: World) -> None:
        world.workers[0].before = [always(framed(Result(status=-11, stdout=b"", stderr=b"crash", outputs=())))]
        outcome = await world.run()
        assert isinstance(outcome, Finished)
        assert (outcome.result.status, outcome.result.stderr, outcome.outputs) == (-11, b"crash", ())

    play(tmp_path, scene)


async def dies(request: web.Request) -> web.StreamResponse:
    """A sign of life, and then the connection is cut."""
    await request.read()
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b".")
    assert request.transport is not None
    request.transport.abort()
    return response


async def falls_silent(request: web.Request) -> web.StreamResponse:
    """A sign of life, and no other."""
    await request.read()
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b".")
    await asyncio.Event().wait()
    return response


SILENCE = msgspec.structs.replace(RULES, worker=Deadlines(LONG_S, SHORT_S, LONG_S, LONG_S))


@pytest.mark.parametrize(
    ("trouble", "rules", "words"),
    [
        (dies, RULES, "the connection to it failed"),
        (falls_silent, SILENCE, "no sign of life"),
        (says_nothing, SILENCE, "no sign of life"),
    ],
)
def test_a_worker_that_is_lost_is_left_alone_for_a_while(tmp_path: Path, trouble: Handler, rules: Rules, words: str) -> None:
    """This job goes to another at once, the next ones do not go to it in the first place."""

    async def scene(world: World) -> None:
        lost, other = world.workers
        lost.before = [trouble]
        world.scheduler.workers = [lost.named]
        assert words in failure(await world.run())
        world.scheduler.workers = [lost.named, other.named]
        for _ in range(3):
            outcome = await world.run()
            assert isinstance(outcome, Finished)
            assert outcome.worker == other.address
        assert [asked.without for asked in world.scheduler.asked] == [(), (lost.address,), *[(lost.address,)] * 3]

    play(tmp_path, scene, FakeWorker("a"), FakeWorker("b"), rules=rules)


def test_a_worker_that_is_gone(tmp_path: Path) -> None:
    """The scheduler has not noticed yet; the job is done by another."""

    async def scene(world: World) -> None:
        gone = ("127.0.0.1:1", certificate("a")[1])
        world.scheduler.workers = [world.workers[0].named, gone]
        outcomes = [await world.run() for _ in range(3)]
        assert all(isinstance(outcome, Finished) for outcome in outcomes)
        assert [asked.without for asked in world.scheduler.asked] == [(), (gone[0],), (gone[0],), (gone[0],)]

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("named", "words"),
    [(certificate("b")[1], "another certificate"), ("no hex", "cannot be one"), ("00", "cannot be one")],
    ids=["another", "no hex", "too short"],
)
def test_a_worker_with_another_certificate_gets_nothing(tmp_path: Path, named: str, words: str) -> None:
    """Neither the job nor the token."""

    async def scene(world: World) -> None:
        worker = world.workers[0]
        world.scheduler.workers = [(worker.address, named)]
        assert words in failure(await world.run())
        assert worker.tokens == []

    play(tmp_path, scene)


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_a_worker_that_refuses_is_no_lost_one(tmp_path: Path, status: int) -> None:
    """It may be busy or about to end: this job goes elsewhere, others may come."""

    async def scene(world: World) -> None:
        world.workers[0].before = [refused(status, "go\raway")]
        assert f"it answers {status}: go away" in failure(await world.run())
        assert isinstance(await world.run(), Finished)

    play(tmp_path, scene)


def test_a_connection_that_was_closed_while_idle(tmp_path: Path) -> None:
    """The request is sent again on a new one: that is no trouble of the worker."""

    async def closes(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def scene(world: World) -> None:
        world.workers[0].before = [closes]
        assert isinstance(await world.run(), Finished)
        assert len(world.scheduler.asked) == 1
        world.workers[0].before = [closes, closes]
        assert "the connection to it failed" in failure(await world.run())

    play(tmp_path, scene)


def test_a_cancelled_job_is_killed_on_its_worker(tmp_path: Path) -> None:
    """The caller is gone: the worker sees the connection end."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def works(request: web.Request) -> web.StreamResponse:
        await request.read()
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async def scene(world: World) -> None:
        world.workers[0].before = [works]
        running = asyncio.ensure_future(world.run())
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await ended.wait()

    play(tmp_path, scene)


def test_a_job_without_end(tmp_path: Path) -> None:
    """A worker may be alive and never ready: at some time the compile is better done here."""

    async def works(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b".")
            await asyncio.sleep(0)
        return response

    async def scene(world: World) -> None:
        world.workers[0].before = [works]
        assert "still at it" in failure(await world.run())

    play(tmp_path, scene, rules=msgspec.structs.replace(RULES, worker=Deadlines(LONG_S, LONG_S, LONG_S, SHORT_S)))
