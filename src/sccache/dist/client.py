"""A farm, seen by a client: a job goes in, what it made comes out, or the reason why it is to be done here.

    is there a place? ─ yes ─▶ worker ─ does it ─▶ Finished
          │ no                    └─ fails ─▶ once more, on another ─ fails ─▶ Unavailable
          └─▶ a core of this machine, or a place in the queue, whichever is sooner

Owns: Farm: the order in which things are tried, which workers are left alone for a while.  Must not know: compilers, bytes of the wire.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from sccache.config.schema import Config
from sccache.dist.client_body import Bounds, InputChangedError
from sccache.dist.client_scheduler import Limits, Scheduler, Trouble
from sccache.dist.client_worker import Deadlines, WorkerError, Workers
from sccache.dist.messages import Allocate, Granted, JobHeader, OutputFile, Refused, Result
from sccache.dist.placement import Placement

log = logging.getLogger(__name__)

TRIES = 2
"""Workers for one job."""
QUEUE_S = 30.0
"""Longest wait for a place; cores here are the sooner way mostly."""
AVOID_S = 30.0
"""How long a worker that was lost gets no job of this client."""


class Toolchain(Protocol):
    """What a farm has to know of a packed toolchain."""

    @property
    def id(self) -> str:
        """BLAKE3 of the archive, in hex."""

    @property
    def path(self) -> str:
        """The archive."""


class Finished(Struct, frozen=True):
    """The command ran to its end, well or not."""

    worker: str
    """`address:port`."""
    result: Result
    outputs: tuple[tuple[OutputFile, bytes], ...]
    """As the worker announced them, with contents that have these digests."""


class Unavailable(Struct, frozen=True):
    """It did not run; or nothing is known of how it ended."""

    reason: str
    """A sentence for the log."""
    is_failure: bool = True
    """Something broke; else there was only no place."""


class Rules(Struct, frozen=True):
    """What is waited for, and how much is accepted."""

    scheduler: Limits = Limits()
    worker: Deadlines = Deadlines()
    bounds: Bounds = Bounds()
    queue_s: float = QUEUE_S
    avoid_s: float = AVOID_S
    local_cores: int = 0
    """0: as many as this process may use."""


class Farm:
    """The farm that `dist.scheduler_url` names.  Made without I/O; used by one event loop, which it does not block."""

    def __init__(self, config: Config, rules: Rules | None = None) -> None:
        """Of `config` it is the `dist` section, and where tokens are kept."""
        self._rules = rules or Rules()
        self._scheduler = Scheduler(config, self._rules.scheduler)
        self._workers = Workers(self._rules.worker, self._rules.bounds)
        self._avoided: dict[str, float] = {}
        """Worker → until when."""
        self.placement = Placement(self._rules.local_cores or _cores(), time.monotonic)
        """To be told of compiles that run here."""

    def is_open(self) -> bool:
        """Whether it is worth the trouble to put a job together."""
        return self._scheduler.is_open()

    def note(self) -> str:
        """What is wrong with the scheduler, a sentence; empty if nothing is known to be."""
        return self._scheduler.trouble

    async def run(self, header: JobHeader, contents: Mapping[bytes, str], toolchain: Toolchain) -> Finished | Unavailable:
        """Run a job somewhere else.

        `contents` has a file for each digest of `header.files`, to be read when a worker lacks it; `header.sent` is of no account.
        A cancelled job is killed on its worker.
        """
        failures: list[str] = []
        failed: set[str] = set()
        for _ in range(TRIES):
            place = await self._place(toolchain.id, failed)
            if isinstance(place, Unavailable):
                # What went wrong before counts, not that there is no other place.
                return Unavailable("; ".join([*failures, place.reason])) if failures else place
            try:
                result, data = await self._workers.run(place, header, contents, toolchain.path)
            except InputChangedError as e:
                return Unavailable(f"{e} was changed while it was compiled", is_failure=False)
            except WorkerError as e:
                failed.add(place.worker)
                failures.append(f"worker {place.worker}: {e}")
                if e.is_lost:
                    self._avoided[place.worker] = time.monotonic() + self._rules.avoid_s
                log.debug("%s", failures[-1])
                continue
            self._avoided.pop(place.worker, None)
            return Finished(place.worker, result, tuple(zip(result.outputs, data, strict=True)))
        return Unavailable("; ".join(failures))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._scheduler.aclose()
        await self._workers.aclose()

    async def _place(self, toolchain: str, failed: set[str]) -> Granted | Unavailable:
        request = Allocate(toolchain, without=self._without(failed))
        if self.placement.running < self.placement.cores:
            answer = await self._scheduler.allocate(request)
            if not isinstance(answer, Refused):
                return _outcome(answer)
            if self.placement.take():
                return _outcome(answer)
        return await self._race(msgspec.structs.replace(request, wait_s=self._rules.queue_s))

    async def _race(self, request: Allocate) -> Granted | Unavailable:
        """Wait in the farm's queue and for a core here."""
        here = asyncio.Event()
        ticket = self.placement.wait(here.set)
        waiting = asyncio.ensure_future(here.wait())
        asking = asyncio.ensure_future(self._scheduler.allocate(request))
        is_here = False
        try:
            await asyncio.wait({waiting, asking}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return _outcome(asking.result())
            is_here = True
            return Unavailable("a core of this machine was free before a place in the farm", is_failure=False)
        finally:
            if not is_here:
                self.placement.leave(ticket)
            waiting.cancel()
            asking.cancel()

    def _without(self, failed: set[str]) -> tuple[str, ...]:
        now = time.monotonic()
        self._avoided = {worker: until for worker, until in self._avoided.items() if until > now}
        return tuple(sorted(failed | self._avoided.keys()))


def _outcome(answer: Granted | Refused | Trouble) -> Granted | Unavailable:
    match answer:
        case Refused(reason):
            return Unavailable(reason, is_failure=False)
        case Trouble(reason, is_failure):
            return Unavailable(reason, is_failure=is_failure)
    return answer


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
