"""A farm of fakes with its client, and the scenes that tests play in it.

Owns: the client's rules for tests.  Must not know: what is tested.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from tests.unit.dist.farm_fakes import FakeScheduler, FakeWorker, job

from sccache.dist.client import Farm, Finished, Rules, Unavailable
from sccache.dist.client_body import Bounds
from sccache.dist.client_scheduler import Limits
from sccache.dist.client_worker import Deadlines

LONG_S = 60.0
"""A deadline that no test reaches."""
SHORT_S = 0.1
"""One that a test waits for."""
RULES = Rules(Limits(LONG_S, LONG_S, LONG_S), Deadlines(LONG_S, LONG_S, LONG_S, LONG_S), Bounds(1 << 20, 8 << 20), LONG_S, LONG_S, 1)


@dataclass
class Packed:
    """A toolchain."""

    id: str = "0" * 64
    path: str = "/nowhere"


@dataclass
class World:
    """A farm with its client."""

    scheduler: FakeScheduler
    workers: list[FakeWorker]
    farm: Farm
    packed: Packed
    source: Path

    async def run(self, *files: Path) -> Finished | Unavailable:
        return await self.farm.run(*job(*(files or (self.source,)), toolchain=self.packed.id), self.packed)


@asynccontextmanager
async def a_farm(place: Path, *workers: FakeWorker, rules: Rules = RULES) -> AsyncIterator[World]:
    source = place / "x.c"
    source.write_text("int x;")
    scheduler = FakeScheduler()
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker.running())
        scheduler.workers = [worker.named for worker in workers]
        farm = Farm(await stack.enter_async_context(scheduler.running()), rules)
        stack.push_async_callback(farm.aclose)
        yield World(scheduler, list(workers), farm, Packed(), source)


def play(place: Path, scene: Callable[[World], Awaitable[None]], *workers: FakeWorker, rules: Rules = RULES) -> None:
    async def main() -> None:
        async with a_farm(place, *(workers or (FakeWorker(),)), rules=rules) as world, asyncio.timeout(LONG_S):
            await scene(world)

    asyncio.run(main())


def failure(outcome: Finished | Unavailable) -> str:
    assert isinstance(outcome, Unavailable)
    assert outcome.is_failure
    return outcome.reason


async def says_nothing(request: web.Request) -> web.StreamResponse:
    """Not even a sign of life."""
    await asyncio.Event().wait()
    raise AssertionError
