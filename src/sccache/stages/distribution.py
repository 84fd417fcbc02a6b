"""A compile on another machine, seen from the pipelines.

What is sent is a *work order*; what comes back is put where the compiler would have put it.  Any trouble, an exit code that is not 0
among it, means: compile here.  So a remote compile never decides that a build fails.

Owns: when a compile may go elsewhere, what is counted, writing outputs.  Must not know: languages, how a farm is reached.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from sccache.dist.messages import JobHeader
from sccache.stages.hands import Hands, LauncherGone, Ran
from sccache.stages.outputs import write_text_file
from sccache.stats import Stats
from sccache.util.output_files import write_file

if TYPE_CHECKING:  # what they import takes a quarter of a second, and most daemons have no farm
    from sccache.config.schema import Config
    from sccache.dist.client import Farm, Finished
    from sccache.dist.client_toolchains import ClientToolchains, NotDistributable, Packed

log = logging.getLogger(__name__)

ORDERS = 2
"""How often a compile is sent: the second time with what the first one was seen to lack."""
PACKING_DEADLINE_S = 60.0
"""A toolchain is packed once; who waits longer than that for it compiles here meanwhile."""

MAX_TOLD = 4_000
"""Bytes of the messages of a compile that failed elsewhere, for the log: who looks into it wants to know what it lacked there."""


class Compiler(Struct, frozen=True):
    """Which toolchain a command needs."""

    path: str
    family: str
    identity: bytes
    """Digest of what the compiler is."""


class Place(Struct, frozen=True):
    """Where an output belongs here."""

    path: str
    is_text: bool = False
    """Written through what is there, as compilers write lists of files; all else replaces it."""


class Again(Struct, frozen=True):
    """A result is of no use, but the next order will have what was missing."""

    reason: str


class WorkOrder(Struct, frozen=True):
    """A command with all that it reads."""

    header: JobHeader
    contents: Mapping[bytes, str]
    """Digest → a file that has this content."""
    places: Mapping[bytes, Place]
    """Output as the header names it → where it belongs, in the order in which to write."""
    required: tuple[bytes, ...] = ()
    """Outputs without which a success is none."""
    doubt: Callable[[Finished], str] | None = None
    """Why a success may not be what it would have been here; empty if there is no such reason.  Blocking."""
    accept: Callable[[bytes, tuple[bytes, ...]], bytes | str | Again] | None = None
    """Turns the observer's report, with what was left behind, into one of this machine, or says why the result is of no use here.
    Blocking."""
    lacked: Callable[[bytes], str | Again] | None = None
    """What a compile that failed there would have found here, by the observer's report; empty if nothing is known.  Blocking."""
    report: str = ""
    """Where that report belongs."""


class Work(Struct, frozen=True):
    """A compile that may go elsewhere."""

    label: str
    compiler: Compiler
    order: Callable[[Packed], WorkOrder | str]
    """Blocking: the order for a toolchain, or why there can be none.  OSError too means that there can be none."""
    umask: int


class _Trouble(Struct, frozen=True):
    """Why a result from elsewhere is not the answer."""

    reason: str
    is_failure: bool = True
    """Something that should have worked did not; else there was just no place, or it is nothing for a farm."""
    if_here_succeeds: bool = False
    """It is a failure only if the compile succeeds here."""
    again: bool = False
    """Another order may have more luck."""


class Distribution:
    """One farm, and the local cores beside it."""

    def __init__(self, farm: Farm, toolchains: ClientToolchains, stats: Stats) -> None:
        self._farm = farm
        self._toolchains = toolchains
        self._stats = stats

    def note(self) -> str:
        """What is wrong with the farm just now, for who reads statistics; empty if nothing is."""
        return self._farm.note()

    def is_open(self) -> bool:
        """Whether the farm can be reached, as far as is known."""
        return self._farm.is_open()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._farm.aclose()

    async def run(self, work: Work, here: Callable[[], Awaitable[Ran]], hands: Hands) -> tuple[Ran, bool]:
        """Run a compile where there is a place; gives how it ended, and whether that was elsewhere: then its outputs are written."""
        outcome = await self._while_waited_for(work, hands)
        if isinstance(outcome, Ran):
            return outcome, True
        with self._farm.placement.local():
            ran = await here()
        self._tell(work, outcome, here_succeeds=ran.status == 0)
        return ran, False

    async def elsewhere(self, work: Work, hands: Hands) -> Ran | None:
        """Run a compile elsewhere, outputs and all, if there is a place; None: it is to be run here, and not told of."""
        outcome = await self._while_waited_for(work, hands)
        if isinstance(outcome, Ran):
            return outcome
        self._tell(work, outcome, here_succeeds=False)
        return None

    def _tell(self, work: Work, trouble: _Trouble, *, here_succeeds: bool) -> None:
        if trouble.is_failure and (here_succeeds or not trouble.if_here_succeeds):
            self._stats.count("dist_errors")
            log.warning("[%s]: Could not perform distributed compile, falling back to local: %s", work.label, trouble.reason)
        else:
            log.debug("[%s]: compiled here: %s", work.label, trouble.reason)

    async def _while_waited_for(self, work: Work, hands: Hands) -> Ran | _Trouble:
        """Run elsewhere; LauncherGone, and nothing runs there any more, when nobody waits for it."""
        running = asyncio.ensure_future(self._elsewhere(work))
        gone = asyncio.ensure_future(hands.gone())
        try:
            await asyncio.wait((running, gone), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
        except Exception:
            log.exception("[%s]: distributing it failed", work.label)
            return _Trouble("an error of our own, which the log has")
        finally:
            running.cancel()
            gone.cancel()
            await asyncio.gather(running, gone, return_exceptions=True)  # the next command needs the connection for itself
        raise LauncherGone

    async def _elsewhere(self, work: Work) -> Ran | _Trouble:
        from sccache.dist.client import Unavailable
        from sccache.dist.client_toolchains import NotDistributable

        start_ns = time.monotonic_ns()
        if not self._farm.is_open():
            return _Trouble("the farm is not reachable just now", is_failure=False)
        packed = await self._packed(work.compiler)
        if isinstance(packed, NotDistributable):
            return _Trouble(packed.reason, is_failure=False)
        trouble: _Trouble | None = None
        for _ in range(ORDERS):
            order = await asyncio.to_thread(_order, work, packed)
            if isinstance(order, str):
                return _Trouble(order, is_failure=False)
            outcome = await self._farm.run(order.header, order.contents, packed)
            if isinstance(outcome, Unavailable):
                return _Trouble(outcome.reason, is_failure=outcome.is_failure)
            trouble = await asyncio.to_thread(_take, order, outcome, ~work.umask)
            if trouble is None:
                self._stats.distributed(outcome.worker)
                log.debug("[%s]: compiled on %s", work.label, outcome.worker)
                return Ran(0, time.monotonic_ns() - start_ns, outcome.result.stdout, outcome.result.stderr)
            if not trouble.again:
                break
        return trouble or _Trouble("it was not tried")

    async def _packed(self, compiler: Compiler) -> Packed | NotDistributable:
        from sccache.dist.client_toolchains import NotDistributable

        packing = asyncio.ensure_future(asyncio.to_thread(self._toolchains.find, compiler.path, compiler.family, compiler.identity))
        try:
            return await asyncio.wait_for(asyncio.shield(packing), PACKING_DEADLINE_S)
        except TimeoutError:
            return NotDistributable("its toolchain is still being packed")


def _order(work: Work, packed: Packed) -> WorkOrder | str:
    try:
        order = work.order(packed)
    except OSError as e:
        return f"{e.filename}: {e.strerror}"
    if isinstance(order, str):
        return order
    return msgspec.structs.replace(order, header=msgspec.structs.replace(order.header, toolchain=packed.id))


def _take(order: WorkOrder, finished: Finished, mask: int) -> _Trouble | None:
    """Write what was made; the reason if it is not what was asked for."""
    result, on = finished.result, f"on {finished.worker} "
    if result.status != 0:
        return _failed(order, finished, on)
    made = {output.path for output, _ in finished.outputs}
    missing = [name for name in order.required if name not in made]
    if missing:
        return _Trouble(on + f"it made no {os.fsdecode(missing[0])}")
    doubt = order.doubt(finished) if order.doubt is not None else ""
    report = order.accept(result.report, result.left) if order.accept is not None and not doubt else b""
    if doubt or not isinstance(report, bytes):
        reason = report.reason if isinstance(report, Again) else doubt or str(report)
        return _Trouble(reason, is_failure=False, again=isinstance(report, Again))
    try:
        _put(order, finished, report, mask)
    except OSError as e:
        return _Trouble(f"an output cannot be written: {e}", is_failure=False)  # the compiler says why
    return None


def _failed(order: WorkOrder, finished: Finished, on: str) -> _Trouble:
    """It may be the compile's own error, or that of who guessed what it reads: the next order has more of that."""
    result = finished.result
    log.debug("%sit ended with status %d and said: %r", on, result.status, os.fsdecode(bytes(result.stderr[:MAX_TOLD])))
    lacked = order.lacked(result.report) if order.lacked is not None else ""
    if lacked:
        is_again = isinstance(lacked, Again)
        reason = lacked.reason if isinstance(lacked, Again) else lacked
        return _Trouble(f"{on}it ended with status {result.status}: {reason}", is_failure=False, again=is_again)
    return _Trouble(on + f"it ended with status {result.status}", if_here_succeeds=True)


def _put(order: WorkOrder, finished: Finished, report: bytes, mask: int) -> None:
    """Write the report and the outputs: lists of files first, what others wait for last."""
    if order.report:
        with open(order.report, "wb") as file:
            file.write(report)
    made = {output.path: (output, data) for output, data in finished.outputs}
    for name, place in order.places.items():
        if name in made:
            output, data = made[name]
            _write(place, data, (0o777 if output.executable else 0o666) & mask)


def _write(place: Place, data: bytes | memoryview, mode: int) -> None:
    if place.is_text:
        write_text_file(place.path, bytes(data), mode)
    else:
        write_file(place.path, mode, data)


def open_farm(config: Config, stats: Stats) -> Distribution:
    """The farm that these settings name; ConfigError with a sentence where they are not usable."""
    from sccache.dist.client import Farm
    from sccache.dist.client_toolchains import ClientToolchains

    return Distribution(Farm(config), ClientToolchains(config.dist), stats)
