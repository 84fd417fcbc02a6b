"""A worker's link to a scheduler that really runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from tests.unit.dist.scheduler_server import CERTIFICATE, JOB_KEY, Asking, scheduler

from sccache.dist.heartbeat import Limits, Link
from sccache.dist.messages import Heartbeat

ADDRESS = "127.0.0.1:4000"
TOKEN = f"worker-secret {ADDRESS}"
QUICK = Limits(retry_s=0.01, longest_retry_s=0.02)


class Worker:
    """What it would say."""

    def __init__(self) -> None:
        self.running: tuple[str, ...] = ()
        self.draining = False

    def beat(self) -> Heartbeat:
        return Heartbeat("nonce", 4, 4, JOB_KEY, CERTIFICATE, self.running, (), self.draining)


@contextlib.asynccontextmanager
async def linked(url: str, worker: Worker, token: str = TOKEN, limits: Limits = QUICK) -> AsyncIterator[Link]:
    link = Link(url, token, worker.beat, limits)
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait({task})
        await link.aclose()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


def run(test: Callable[[Asking], Any]) -> None:
    async def main() -> None:
        async with scheduler() as asking:
            await test(asking)

    asyncio.run(main())


def test_a_worker_becomes_known_and_takes_its_leave() -> None:
    """With its cores; and leaves at once, not by silence."""

    async def test(asking: Asking) -> None:
        async with linked(asking.url, Worker()) as link:
            assert link.trouble
            await link.known.wait()
            assert link.trouble == ""
            assert asking.shell.scheduler.status().num_cpus == 4
            await link.leave()
            assert asking.shell.scheduler.status().num_servers == 0

    run(test)


def test_what_begins_and_ends_is_told_at_once() -> None:
    """Long before the next heartbeat; the place is free again."""

    async def test(asking: Asking) -> None:
        async with linked(asking.url, Worker()) as link:
            await link.known.wait()
            granted = await asking.granted()
            link.report(started=[granted.job])
            await until(lambda: any(job.is_started for it in asking.shell.scheduler.fleet.workers.values() for job in it.jobs.values()))
            link.report(finished=[granted.job])
            await until(lambda: asking.shell.scheduler.counts["finished"] == 1)
            assert asking.shell.scheduler.status().in_progress == 0

    run(test)


def test_a_change_is_told_at_once() -> None:
    """A worker that drains gets no more jobs."""

    async def test(asking: Asking) -> None:
        worker = Worker()
        async with linked(asking.url, worker) as link:
            await link.known.wait()
            worker.draining, worker.running = True, ("0" * 32,)
            link.hasten()
            await until(lambda: all(it.is_draining for it in asking.shell.scheduler.fleet.workers.values()))

    run(test)


class Strange:
    """A scheduler that answers as a test wants."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []
        self.otherwise = 200, '{"is_new": true, "interval_s": 600}'
        self.asked: list[tuple[str, Any]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        """Before one of `answers`."""
        self.at_once = 0
        self.most_at_once = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked.append((request.path.rpartition("/")[2], await request.json()))
        await asyncio.sleep(0)
        self.at_once -= 1
        default = self.otherwise if self.asked[-1][0] == "heartbeat" else (204, "")
        if self.answers:
            self.meanwhile()
        status, text = self.answers.pop(0) if self.answers else default
        return web.Response(status=status, text=text or None, headers={"Location": "/elsewhere"} if status == 307 else {})


@contextlib.asynccontextmanager
async def strange() -> AsyncIterator[tuple[Strange, str]]:
    it = Strange()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", it.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield it, f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


ANSWERS = {
    "a refusal": (401, '{"error": "The token is not one of this scheduler"}', "answers 401: The token is not one"),
    "another version": (426, '{"error": "The scheduler speaks version 3"}', "answers 426: The scheduler speaks version 3"),
    "a redirect": (307, "", "answers 307."),
    "no JSON": (200, "<html>", "is it sccache-dist's?"),
    "an endless one": (200, " " * (1 << 20), "failed (ValueError)"),
    "escapes": (400, '{"error": "\\u001b[2J"}', "answers 400:  [2J"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_trouble_is_told_and_tried_again(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once, not at every try, and never with the token."""
    status, text, sentence = ANSWERS[name]

    async def main() -> None:
        async with strange() as (server, url):
            server.answers = [(status, text)] * 3
            async with linked(url, Worker()) as link:
                await until(lambda: sentence in link.trouble)
                await link.known.wait()
                assert len(server.asked) == 4

    asyncio.run(main())
    assert len([record for record in caplog.records if sentence in record.getMessage()]) == 1
    assert "worker-secret" not in caplog.text


def test_reports_outlive_a_scheduler_that_is_away() -> None:
    """They come after the next heartbeat, in one piece; requests never overlap."""

    async def main() -> None:
        async with strange() as (server, url):
            async with linked(url, Worker()) as link:
                await link.known.wait()
                server.answers = [(500, "")]
                server.meanwhile = lambda: link.report(finished=["a"])
                link.report(started=["a"])
                await until(lambda: len(server.asked) == 4)
            assert [what for what, _ in server.asked] == ["heartbeat", "report", "heartbeat", "report"]
            assert server.asked[-1][1] == {"nonce": "nonce", "started": ["a"], "finished": ["a"]}
            assert server.most_at_once == 1

    asyncio.run(main())


def test_nobody_there() -> None:
    """The sentence names the address; leaving ends all the same."""

    async def main() -> None:
        async with linked("http://127.0.0.1:9", Worker()) as link:
            await until(lambda: "cannot be reached" in link.trouble)
            await link.leave()

    asyncio.run(main())


def test_a_mistaken_interval_is_no_flood() -> None:
    """Nor silence for ever: it is moved into what makes sense."""

    async def main() -> None:
        async with strange() as (server, url):
            server.otherwise = 200, '{"is_new": true, "interval_s": -5}'
            async with linked(url, Worker()) as link:
                await until(lambda: len(server.asked) >= 2)
                assert link.trouble == ""

    asyncio.run(main())
