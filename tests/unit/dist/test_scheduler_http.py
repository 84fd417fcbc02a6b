"""The scheduler as clients and workers hear it: a real server, real connections."""

import asyncio
import logging

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.dist.scheduler_server import (
    CERTIFICATE,
    JOB_KEY,
    TOOLCHAIN,
    Asking,
    Clients,
    Workers,
    scheduler,
    with_scheduler,
)

from sccache.dist.messages import Allocate, Refused, Report
from sccache.dist.scheduler_http import Shell, run

# -- places


def test_a_place():
    """The client learns where, by which certificate, and with which token; the worker's end makes the place free."""

    async def test(it: Asking):
        answer = await it.heartbeat(toolchains=(TOOLCHAIN,))
        assert (answer.is_new, answer.interval_s) == (True, 5.0)
        place = await it.granted()
        assert (place.worker, place.certificate, place.has_toolchain) == ("127.0.0.1:1", CERTIFICATE, True)
        assert place.token == f"token of {place.job} sealed with {JOB_KEY[:4]}"
        assert len(place.job) == 32
        assert (await it.granted()).job != place.job
        assert isinstance(await it.allocate(), Refused)
        await it.report(started=(place.job,), finished=(place.job,))
        await it.granted()
        assert not (await it.heartbeat(running=())).is_new

    with_scheduler(test)


def test_waiting_for_a_place():
    """The answer comes when a job ends; nothing is polled."""

    async def test(it: Asking):
        await it.heartbeat(slots=1)
        first = await it.granted()
        second = asyncio.create_task(it.granted(wait_s=50.0))
        await it.until("sccache_scheduler_waiting", 1)
        assert not second.done()
        await it.report(finished=(first.job,))
        assert (await second).worker == first.worker

    with_scheduler(test)


def test_waiting_in_vain():
    """A sentence, and not an error."""

    async def test(it: Asking):
        await it.heartbeat(slots=0)
        said = await it.allocate(wait_s=0.01)
        assert said == Refused("No worker became free in time")

    with_scheduler(test)


def test_a_client_that_hangs_up_leaves_the_queue():
    """The place is for the next one."""

    async def test(it: Asking):
        await it.heartbeat(slots=1)
        first = await it.granted()
        gone = asyncio.create_task(it.allocate(wait_s=50.0))
        await it.until("sccache_scheduler_waiting", 1)
        gone.cancel()
        await it.until("sccache_scheduler_waiting", 0)
        await it.report(finished=(first.job,))
        assert it.shell.scheduler.status().in_progress == 0
        assert it.shell.scheduler.counts["left"] == 1

    with_scheduler(test)


def test_a_place_for_one_who_hung_up_at_that_moment():
    """Decided, but nobody is there to hear it: given to the next who waits."""
    tasks = []

    class Watched(Clients):
        async def check(self, token: str) -> None:
            tasks.append(asyncio.current_task())
            await super().check(token)

    async def test(it: Asking):
        await it.heartbeat(slots=1)
        first = await it.granted()
        gone = asyncio.create_task(it.allocate(wait_s=50.0))
        await it.until("sccache_scheduler_waiting", 1)
        last = asyncio.create_task(it.granted(wait_s=50.0))
        await it.until("sccache_scheduler_waiting", 2)
        it.shell.carry_out(it.shell.scheduler.report("127.0.0.1:1", Report("n", finished=(first.job,)), it.shell.now()))
        tasks[1].cancel()  # as the server does when the connection is lost; the decision is there, but the task has not run
        assert (await last).worker == first.worker
        assert it.shell.scheduler.counts["unclaimed"] == 1
        gone.cancel()

    with_scheduler(test, Shell(Watched(), Workers(), str))


def test_stopping_answers_those_who_wait():
    """A request under way is answered while the server stops; the one after is not accepted."""

    async def main():
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        shell = Shell(Clients(), Workers(), str)
        running = asyncio.create_task(run(shell, "127.0.0.1", 0, stop, ready.set_result))
        async with aiohttp.ClientSession() as session:
            it = Asking(await ready, shell, session)
            await it.heartbeat(slots=0)
            waiting = asyncio.create_task(it.allocate(wait_s=60.0))
            await it.until("sccache_scheduler_waiting", 1)
            stop.set()
            said = await waiting
            await running
            assert isinstance(said, Refused)
            assert "about to end" in said.reason
            with pytest.raises(aiohttp.ClientConnectionError):
                await it.allocate()

    asyncio.run(main())


# -- what everybody may see


def test_status():
    """The three numbers that scripts know, and ours."""

    async def test(it: Asking):
        await it.heartbeat()
        await it.granted()
        old = await it.ask("GET", "/api/v1/scheduler/status")
        assert old.json == {"num_servers": 1, "num_cpus": 2, "in_progress": 1}
        new = await it.ask("GET", "/api/v2/status")
        assert new.json == {**old.json, "waiting": 0, "version": 2}
        assert new.headers["Content-Type"] == "application/json"

    with_scheduler(test)


def test_metrics():
    """As Prometheus reads them."""

    async def test(it: Asking):
        await it.heartbeat(toolchains=(TOOLCHAIN,))
        await it.granted()
        await it.ask("GET", "/nothing")
        answer = await it.ask("GET", "/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        found = {
            (sample.name.removeprefix("sccache_scheduler_"), *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
        }
        now = {name: found[name,] for name in ("workers", "cores", "jobs", "waiting", "toolchains")}
        assert now == {"workers": 1, "cores": 2, "jobs": 1, "waiting": 0, "toolchains": 1}
        assert found["events_total", "granted"] == 1
        assert found["events_total", "lost"] == 0
        assert found["requests_refused_total", "no_such_path"] == 1
        assert found["wait_seconds_count",] == 1

    with_scheduler(test)


def test_the_overview_is_made_once_a_second():
    """Asking often costs nothing."""

    async def test(it: Asking):
        first = await it.ask("GET", "/api/v2/overview")
        await it.heartbeat()
        assert (await it.ask("GET", "/api/v2/overview")).body == first.body
        it.shell._overview = (it.shell.now() - 1.0, first.body)
        assert (await it.ask("GET", "/api/v2/overview")).json["num_servers"] == 1

    with_scheduler(test)


def test_nothing_secret_is_seen_or_logged(caplog):
    """Not in what everybody may read, not in the most talkative log."""
    caplog.set_level(logging.DEBUG)

    async def test(it: Asking):
        await it.heartbeat()
        place = await it.granted()
        await it.ask("POST", "/api/v2/allocate", Allocate(TOOLCHAIN), "wrong-secret")
        texts = [caplog.text]
        for path in ("/", "/metrics", "/api/v2/status", "/api/v2/overview", "/api/v1/scheduler/status"):
            answer = await it.ask("GET", path)
            assert answer.status == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            texts.append(answer.body.decode())
        for secret in (JOB_KEY, place.token, place.job, "client-secret", "worker-secret", "wrong-secret"):
            assert [text for text in texts if secret in text] == []

    with_scheduler(test)


# -- time


def test_the_shell_tells_of_time():
    """A worker that fell silent is gone without anybody asking."""

    async def test(it: Asking):
        await it.heartbeat()
        it.shell.scheduler.fleet.workers["127.0.0.1:1"].silent_at = 0.0
        await it.until("sccache_scheduler_workers", 0)

    with_scheduler(test)


def test_an_address_that_is_taken():
    """OSError, and nothing is left running."""

    async def main():
        async with scheduler() as it:
            with pytest.raises(OSError, match="address"):
                await run(Shell(Clients(), Workers(), str), "127.0.0.1", it.port, asyncio.Event(), str)

    asyncio.run(main())


def test_many_at_once():
    """Three hundred wait; as places come free each gets one, and none gets two."""

    async def test(it: Asking):
        await it.heartbeat(cores=8, slots=8)
        jobs: list[str] = []

        async def one() -> None:
            place = await it.granted(wait_s=60.0)
            jobs.append(place.job)
            await it.report(started=(place.job,), finished=(place.job,))

        await asyncio.gather(*(one() for _ in range(300)))
        assert len(set(jobs)) == 300
        assert it.shell.scheduler.status().in_progress == 0

    with_scheduler(test)


def test_idle_connections():
    """Hundreds that say half a line keep nobody out."""

    async def test(it: Asking):
        await it.heartbeat()
        open_ones = [await asyncio.open_connection("127.0.0.1", it.port) for _ in range(200)]
        for _, writer in open_ones:
            writer.write(b"POST /api/v2/allo")
        await it.granted()
        for _, writer in open_ones:
            writer.close()

    with_scheduler(test)
