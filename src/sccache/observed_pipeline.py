"""One compile whose inputs are observed, from its job to the answer: the part of the road that all such families share.

    job ─▶ manifest ─▶ hit
           └▶ being compiled for another? ─▶ wait, manifest ─▶ hit
              └▶ run, observed ─▶ answer ─▶ store

Owns: the order of these stages and what each outcome counts as.  Must not know: languages, sockets, processes, how anything is stored.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import Struct

from sccache.model import CompileRequest, Diagnostics
from sccache.stages import lookup, observed_results
from sccache.stages.afterwards import count_trouble, keep_soon, not_kept
from sccache.stages.bench import Bench
from sccache.stages.distribution import Work
from sccache.stages.flights import Flight, Flights
from sccache.stages.hands import Answer, Command, Exec, Finish, Hands, Ran, Replay, StoreSoon
from sccache.stages.hot import HotRequests
from sccache.stages.observed_job import ObservedJob
from sccache.stages.observed_results import Attempt, Unobserved
from sccache.stages.recipes import Scratch, is_on_terminal

log = logging.getLogger(__name__)


BySteps = Callable[[Attempt, Hands, Scratch, Bench, StoreSoon], Awaitable[Ran | None]]


class Manner(Struct, frozen=True):
    """How a family's compiles are run."""

    unobserved: Unobserved
    """What is known of a run that could not be observed."""
    streamed: bool = False
    """Messages reach the caller while the compiler runs."""
    by_steps: BySteps | None = None
    """Does what a command would do in parts that are cached, too; None from it: run the command."""
    elsewhere: Callable[[Attempt], Work | str] | None = None
    """The compile for a farm; or why it cannot go there."""


class _Turn(Struct, frozen=True):
    """One job on its way from a miss to a result."""

    job: ObservedJob
    manner: Manner
    hands: Hands
    flight: Flight
    reason: str
    told: Mapping[str, tuple[Diagnostics, ...]] = {}


class ObservedPipeline:
    """Observed compiles for one configuration."""

    def __init__(self, bench: Bench, scratch: Scratch, store_soon: StoreSoon, hot: HotRequests) -> None:
        self._bench = bench
        self._stats = bench.stats
        self._scratch = scratch
        self._store_soon = store_soon
        self._flights = Flights()
        self._hot = hot

    async def compile(self, job: ObservedJob, manner: Manner, hands: Hands) -> Answer:
        """Answer one request that can be cached."""
        key = job.manifest_key()
        if "SCCACHE_RECACHE" in job.request.env:
            with self._flights.begin(key) as flight:
                return await self._miss(_Turn(job, manner, hands, flight, "forced recache"))
        found = await lookup.direct(job, key, self._bench.files, self._bench.storage)
        if isinstance(found, lookup.Miss) and await self._flights.joined(key):
            found = await lookup.direct(job, key, self._bench.files, self._bench.storage)
            if isinstance(found, lookup.Miss):
                self._flights.was_in_vain(key)
        if isinstance(found, lookup.Hit):
            answer = await self._hit(job, found)
            if answer is not None:
                return answer
            found = lookup.Miss("damaged entry")
        count_trouble(self._stats, found)
        with self._flights.begin(key) as flight:
            return await self._miss(_Turn(job, manner, hands, flight, found.reason, found.told))

    async def ask(self, job: ObservedJob, manner: Manner, hands: Hands) -> Answer:
        """Answer a question to a compiler, which is no compile and not counted as one."""
        key = job.manifest_key()
        found = await lookup.direct(job, key, self._bench.files, self._bench.storage)
        if isinstance(found, lookup.Hit):
            finish = await lookup.restore(job, found, self._bench.storage)
            if finish is not None:
                return finish
        attempt = observed_results.begin(job, self._scratch, streamed=manner.streamed)
        try:
            ran = await hands.run(attempt.command)
            if observed_results.is_unstarted(ran):
                return Exec(job.request.executable)
            collected = await observed_results.collect(attempt, ran, self._bench, manner.unobserved) if ran.status == 0 else "failed"
        finally:
            observed_results.end(attempt)
        if isinstance(collected, str):
            log.debug("%s: the answer is not kept: %s", job.label, collected)
        else:
            with self._flights.begin(key) as flight:
                keep_soon(self._store_soon, observed_results.keep(collected, {}, self._bench), flight)
        return Replay()

    async def run_uncached(self, request: CompileRequest, hands: Hands, command: Command, *, counted: bool) -> Answer:
        """Run a compile that is not looked for."""
        ran = await hands.run(command)
        if observed_results.is_unstarted(ran):
            return Exec(request.executable)
        if ran.status != 0:
            self._stats.compile_failed(ran.duration_ns)
        else:
            self._stats.compiled(ran.duration_ns)
            if counted:
                self._stats.count("non_cacheable_compilations")
        return Replay()

    async def _hit(self, job: ObservedJob, hit: lookup.Hit) -> Finish | None:
        start = time.monotonic_ns()
        finish = await lookup.restore(job, hit, self._bench.storage)
        if finish is not None:
            self._stats.hit(*job.statistics_names(), time.monotonic_ns() - start, direct=True)
            log.debug("[%s]: cache hit (direct mode)", job.label)
            self._hot.remember(job, hit)
        return finish

    async def _miss(self, turn: _Turn) -> Answer:
        job, reason = turn.job, turn.reason
        attempt = observed_results.begin(job, self._scratch, streamed=turn.manner.streamed)
        try:
            ran, is_whole = await self._run(turn, attempt)
            answer = Replay() if not is_whole else Finish(0, bytes(ran.stdout), bytes(ran.stderr))
            log.debug("[%s]: cache miss (%s), compiled with status %d", job.label, reason, ran.status)
            if ran.status != 0:
                self._stats.compile_failed(ran.duration_ns)
                return Replay()
            done = attempt if turn.manner.by_steps is None or is_whole else _bound(attempt)
            kept = await observed_results.collect(done, ran, self._bench, turn.manner.unobserved)
        finally:
            observed_results.end(attempt)
        if isinstance(kept, str):
            log.debug("[%s]: the result is not kept: %s", job.label, kept)
            not_kept(self._stats, kept, ran.duration_ns)
            return answer
        if reason == "forced recache":
            self._stats.count("forced_recaches")
        if reason == "damaged entry":
            self._stats.count_language("cache_errors", *job.statistics_names())
        self._stats.miss(*job.statistics_names(), ran.duration_ns, reason)
        keep_soon(self._store_soon, observed_results.keep(kept, turn.told, self._bench), turn.flight)
        return answer

    async def _run(self, turn: _Turn, attempt: Attempt) -> tuple[Ran, bool]:
        """Compile; whether that was done for the launcher, by steps or elsewhere: then its answer is this, not its last command's."""
        by_steps = await self._by_steps(turn, attempt)
        if by_steps is not None:
            return by_steps, True

        async def here() -> Ran:
            ran = await turn.hands.run(attempt.command)
            if observed_results.is_unstarted(ran) and attempt.report:
                ran = await turn.hands.run(observed_results.without_observer(attempt))
            return ran

        distribution, elsewhere = self._bench.distribution, turn.manner.elsewhere
        if distribution is None or elsewhere is None:
            return await here(), False
        work = elsewhere(attempt)
        if isinstance(work, str):
            log.debug("[%s]: compiled here: %s", turn.job.label, work)
            return await here(), False
        return await distribution.run(work, here, turn.hands)

    async def _by_steps(self, turn: _Turn, attempt: Attempt) -> Ran | None:
        if turn.manner.by_steps is None or not attempt.report or "SCCACHE_RECACHE" in turn.job.request.env:
            return None
        return await turn.manner.by_steps(attempt, turn.hands, self._scratch, self._bench, self._store_soon)


def _bound(attempt: Attempt) -> Attempt:
    """The same for this checkout alone: a compile that was not done by steps does not tell whether it computed with its place."""
    return msgspec.structs.replace(attempt, job=msgspec.structs.replace(attempt.job, hides_paths=True))


def plain_command(request: CompileRequest, path: str, args: tuple[str, ...], name: str = "", *, streamed: bool = False) -> Command:
    """The user's own command, not observed."""
    on_terminal = is_on_terminal(request)
    return Command(path, args, is_compile=True, on_terminal=on_terminal, streamed=streamed and not on_terminal, name=name)
