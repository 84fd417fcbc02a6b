"""A client of a farm that has no scheduler, or no place: when it asks, and when it does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from tests.unit.dist.farm_fakes import (
    always,
    answered,
    job,
    refused,
    said,
    settings,
)
from tests.unit.dist.farm_world import LONG_S, RULES, SHORT_S, Packed, World, failure, play, says_nothing

from sccache.config.schema import DistConfig
from sccache.dist import kept_tokens
from sccache.dist.client import Farm, Finished, Unavailable
from sccache.dist.client_scheduler import Limits
from sccache.dist.messages import Allocate, Refused, Result


def test_a_scheduler_that_is_down_is_left_alone(tmp_path: Path) -> None:
    """One failure is told, then nothing is tried for a while, and then one question tells whether it is back."""

    async def main() -> None:
        farm = Farm(settings(DistConfig("http://user:secret@127.0.0.1:1/")), RULES)
        source = tmp_path / "x.c"
        source.write_text("int x;")
        try:
            assert farm.is_open()
            assert farm.note() == ""
            reason = failure(await farm.run(*job(source), Packed()))
            assert reason == "The scheduler http://127.0.0.1:1 cannot be reached: Connection refused."
            assert not farm.is_open()
            assert farm.note() == reason
            assert await farm.run(*job(source), Packed()) == Unavailable(reason, is_failure=False)
            farm._scheduler._closed_until_s = 0.0
            assert farm.is_open()
            assert failure(await farm.run(*job(source), Packed())) == reason
            assert not farm.is_open()
        finally:
            await farm.aclose()

    asyncio.run(main())


def test_many_that_ask_at_once_are_one_failure(tmp_path: Path) -> None:
    """With -j200 the log has one line about a scheduler that is gone, not 200; the next time that it is gone it has another."""

    async def main() -> None:
        farm = Farm(settings(DistConfig("http://127.0.0.1:1/")), msgspec.structs.replace(RULES, local_cores=64))
        source = tmp_path / "x.c"
        source.write_text("int x;")
        try:
            for _ in range(2):
                outcomes = await asyncio.gather(*(farm.run(*job(source), Packed()) for _ in range(20)))
                reasons = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
                assert len(reasons) == 20
                assert [outcome.is_failure for outcome in reasons].count(True) == 1
                farm._scheduler._closed_until_s = 0.0
        finally:
            await farm.aclose()

    asyncio.run(main())


def test_whether_it_is_back_is_known_before_a_place_is_free(tmp_path: Path) -> None:
    """A compile that would wait in its queue opens the way for the others first."""
    waiting = asyncio.Event()

    async def queue(request: web.Request) -> web.StreamResponse:
        if msgspec.json.decode(await request.read(), type=Allocate).wait_s:
            waiting.set()
            await asyncio.Event().wait()
        return said(Refused("full"))

    async def scene(world: World) -> None:
        world.scheduler.answer = refused(404)
        failure(await world.run())
        world.farm._scheduler._closed_until_s = 0.0
        world.scheduler.answer = queue
        with world.farm.placement.local():  # the only core
            asking = asyncio.ensure_future(world.run())
            await waiting.wait()
            assert world.farm.is_open()
            assert world.farm.note() == ""
            asking.cancel()

    play(tmp_path, scene)


TROUBLES = {
    "token": (refused(401), "refuses the token (401): look at dist.auth in the configuration file."),
    "version": (refused(426, "this is version 3"), "answers 426: this is version 3"),
    "another service": (refused(404), "answers 404: no"),
    "not our JSON": (always(b"[]"), "gives an answer that is none: is it sccache-dist's?"),
    "endless": (always(b" " * (1 << 20)), "gives an endless answer"),
    "a redirect": (always(b"", 302), "answers 302."),
}


@pytest.mark.parametrize("case", TROUBLES)
def test_a_scheduler_that_does_not_want_us(tmp_path: Path, case: str) -> None:
    """A sentence says what to do; after the pause it is asked again, and then all is forgotten."""
    answer, words = TROUBLES[case]

    async def scene(world: World) -> None:
        world.scheduler.answer = answer
        assert words in failure(await world.run())
        assert words in world.farm.note()
        world.scheduler.answer = None
        world.farm._scheduler._closed_until_s = 0.0
        assert isinstance(await world.run(), Finished)
        assert world.farm.note() == ""
        assert world.farm.is_open()

    play(tmp_path, scene)


def test_a_scheduler_that_does_not_answer(tmp_path: Path) -> None:
    """A stopped process, or a cut link."""

    async def scene(world: World) -> None:
        world.scheduler.answer = says_nothing
        assert "does not answer" in failure(await world.run())

    play(tmp_path, scene, rules=msgspec.structs.replace(RULES, scheduler=Limits(LONG_S, LONG_S, SHORT_S)))


def test_only_one_asks_whether_it_is_back(tmp_path: Path) -> None:
    """A hundred compiles need not wait for the answer."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        asked.set()
        await go_on.wait()
        return said(Refused("full"))

    async def scene(world: World) -> None:
        world.scheduler.answer = refused(500)
        await world.run()
        world.scheduler.answer = slow
        world.farm._scheduler._closed_until_s = 0.0
        probe = asyncio.ensure_future(world.run())
        await asked.wait()
        assert not world.farm.is_open()
        outcome = await world.run()
        assert isinstance(outcome, Unavailable)
        assert not outcome.is_failure
        go_on.set()
        assert await probe == Unavailable("full", is_failure=False)
        assert world.farm.is_open()

    play(tmp_path, scene)


def test_a_login_that_is_missing(tmp_path: Path) -> None:
    """The scheduler is not even asked; the sentence names the command."""

    async def scene(world: World) -> None:
        auth = {"type": "oauth2_implicit", "client_id": "x", "auth_url": "http://127.0.0.1:1/a"}
        farm = Farm(settings(DistConfig("http://127.0.0.1:1", auth), str(tmp_path / "cached")), RULES)
        assert "run `sccache --dist-auth`" in failure(await farm.run(*job(world.source), Packed()))
        await farm.aclose()

    play(tmp_path, scene)


def test_a_login_that_has_ended(tmp_path: Path) -> None:
    """A token that ran out in the middle of a build: told once, and a new login counts at once, not after the pause."""
    kept = str(tmp_path / "cached")
    auth = {"type": "oauth2_implicit", "client_id": "x", "auth_url": "http://127.0.0.1:1/a"}

    async def scene(world: World) -> None:
        async with serving_scheduler(world) as url:
            farm = Farm(settings(DistConfig(url, auth), kept), RULES)
            kept_tokens.save(kept, auth["auth_url"], "good")
            assert isinstance(await farm.run(*job(world.source, toolchain=world.packed.id), world.packed), Finished)
            world.scheduler.answer = refused(401)
            assert "(401): run `sccache --dist-auth`." in failure(await farm.run(*job(world.source), Packed()))
            assert not farm.is_open()
            assert not (await farm.run(*job(world.source), Packed())).is_failure
            world.scheduler.answer = None
            kept_tokens.save(kept, auth["auth_url"], "renewed")
            assert farm.is_open()
            assert isinstance(await farm.run(*job(world.source, toolchain=world.packed.id), world.packed), Finished)
            assert farm.note() == ""
            assert world.scheduler.tokens[-1] == "Bearer renewed"
            await farm.aclose()

    play(tmp_path, scene)


@asynccontextmanager
async def serving_scheduler(world: World) -> AsyncIterator[str]:
    """Another door to the same scheduler, for a client with settings of its own."""
    async with world.scheduler.running() as config:
        assert config.dist.scheduler_url is not None
        yield config.dist.scheduler_url


def test_a_full_farm_and_a_free_core(tmp_path: Path) -> None:
    """The compile is done here at once, which is no failure."""

    async def scene(world: World) -> None:
        world.scheduler.answer = always(msgspec.json.encode(Refused("full")))
        assert await world.run() == Unavailable("full", is_failure=False)
        assert [asked.wait_s for asked in world.scheduler.asked] == [0.0]
        assert world.farm.placement.running == 1

    play(tmp_path, scene)


def test_a_full_farm_and_no_free_core(tmp_path: Path) -> None:
    """It waits for both; the core is free first, and the question is taken back."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def queue(request: web.Request) -> web.StreamResponse:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        raise AssertionError

    async def scene(world: World) -> None:
        world.scheduler.answer = queue
        with world.farm.placement.local():
            running = asyncio.ensure_future(world.run())
            await asked.wait()
            assert not running.done()
        outcome = await running
        assert isinstance(outcome, Unavailable)
        assert not outcome.is_failure
        assert world.scheduler.asked[0].wait_s == LONG_S
        await left.wait()

    play(tmp_path, scene)


def test_a_place_in_the_farm_is_sooner(tmp_path: Path) -> None:
    """The core that gets free later is another's."""

    async def scene(world: World) -> None:
        with world.farm.placement.local():
            assert isinstance(await world.run(), Finished)
        assert world.farm.placement.running == 0

    play(tmp_path, scene)


def test_a_queue_that_is_full(tmp_path: Path) -> None:
    """Then there is no place anywhere, and the build tool decides how many run here."""

    async def scene(world: World) -> None:
        world.scheduler.answer = always(msgspec.json.encode(Refused("the queue is full")))
        with world.farm.placement.local():
            assert await world.run() == Unavailable("the queue is full", is_failure=False)

    play(tmp_path, scene)


def test_many_at_once(tmp_path: Path) -> None:
    """Jobs do not wait for each other."""
    wanted, come = 40, []
    all_there = asyncio.Event()

    async def works(request: web.Request) -> web.StreamResponse:
        await request.read()
        come.append(request)
        if len(come) == wanted:
            all_there.set()
        await all_there.wait()
        return answered(Result(status=0, stdout=b"", stderr=b"", outputs=()))

    async def scene(world: World) -> None:
        world.workers[0].before = [works] * wanted
        outcomes = await asyncio.gather(*(world.run() for _ in range(wanted)))
        assert all(isinstance(outcome, Finished) for outcome in outcomes)

    play(tmp_path, scene)
