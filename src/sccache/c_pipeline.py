"""One C or C++ compile, top to bottom: its inputs are known by its preprocessor.

    command ─▶ toolchain ─▶ manifest ─▶ hit
                            └▶ being compiled for another? ─▶ wait, manifest ─▶ hit
                               └▶ preprocess ─▶ text key ─▶ hit
                                                └▶ compile ─▶ answer ─▶ store

Every way out that is not a hit or a cached compile ends in running the compiler; nothing here may fail a build.
Owns: the order of the stages and what each outcome counts as.  Must not know: sockets, processes, how anything is stored.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec import Struct

from sccache.model import CompileRequest, Diagnostics, ParsedArguments
from sccache.observed_pipeline import plain_command
from sccache.stages import distributed_c, lookup, recipes, results
from sccache.stages import job as job_stage
from sccache.stages.afterwards import count_trouble, keep_soon, not_kept
from sccache.stages.bench import Bench
from sccache.stages.distribution import Work
from sccache.stages.flights import Flight, Flights
from sccache.stages.hands import Answer, Finish, Hands, Ran, Replay, StoreSoon
from sccache.stages.hot import HotRequests
from sccache.stages.job import Job
from sccache.stages.toolchains import Driver, Toolchains

log = logging.getLogger(__name__)


class _Turn(Struct, frozen=True):
    """One job on its way from a miss to a result."""

    job: Job
    hands: Hands
    flight: Flight
    """What others wait for that ask for the same."""
    reason: str
    """Why it was not found so far."""
    told: Mapping[str, tuple[Diagnostics, ...]] = {}
    """Messages of the entries that it would replace."""
    is_counted: bool = False
    """That a storage failed is counted: once for each compile."""


class CPipeline:
    """C-family compiles for one configuration."""

    def __init__(self, bench: Bench, scratch: recipes.Scratch, store_soon: StoreSoon, hot: HotRequests, toolchains: Toolchains) -> None:
        self._bench = bench
        self._files = bench.files
        self._stats = bench.stats
        self._scratch = scratch
        self._store_soon = store_soon
        self._toolchains = toolchains
        self._flights = Flights()
        self._hot = hot

    async def compile(self, request: CompileRequest, driver: Driver, parsed: ParsedArguments, hands: Hands) -> Answer:
        """Answer one request that can be cached."""
        if "SCCACHE_NO_CACHE" in request.env:
            return await self._run_uncached(request, driver, hands, counted_as=None)
        job = await self._make_job(request, driver, parsed, hands)
        if job is None:
            log.debug("[%s]: not cached: the source, or a file that an option names, cannot be read", parsed.output)
            return await self._run_uncached(request, driver, hands, counted_as="non_cacheable_compilations")
        key = job.manifest_key()
        if "SCCACHE_RECACHE" in request.env:
            with self._flights.begin(key) as flight:
                turn = _Turn(job, hands, flight, "forced recache")
                text = await recipes.preprocess(job, hands, self._scratch, self._files) if self._bench.distribution else None
                return await self._miss(turn, text)
        found = await lookup.direct(job, key, self._files, self._bench.storage)
        if isinstance(found, lookup.Miss) and job.is_direct() and await self._flights.joined(key):
            found = await lookup.direct(job, key, self._files, self._bench.storage)
            if isinstance(found, lookup.Miss):
                self._flights.was_in_vain(key)
        if isinstance(found, lookup.Hit):
            answer = await self._hit(job, found, direct=True)
            if answer is not None:
                return answer
            found = lookup.Miss("damaged entry")
        count_trouble(self._stats, found)
        with self._flights.begin(key) as flight:
            return await self._without_manifest(
                _Turn(job, hands, flight, found.reason, found.told, found.trouble is not None or found.damaged)
            )

    async def _make_job(self, request: CompileRequest, driver: Driver, parsed: ParsedArguments, hands: Hands) -> Job | None:
        toolchain = await self._toolchains.toolchain(driver, parsed, request, hands)
        if toolchain is None:
            return None
        return job_stage.make(
            request=request,
            parsed=parsed,
            driver=driver,
            toolchain=toolchain,
            config=self._bench.config,
            memories=self._bench.memories,
        )

    async def _without_manifest(self, turn: _Turn) -> Answer:
        job = turn.job
        if self._bench.config.depend_mode and job.is_direct() and recipes.can_depend(job):
            is_for_farm = self._bench.distribution is not None and self._bench.distribution.is_open()
            foreseen = await asyncio.to_thread(distributed_c.foresee, job, self._bench.memories) if is_for_farm else None
            if foreseen is not None or not is_for_farm:  # else only the preprocessor can tell what to send
                return await self._miss(turn, None, foreseen)
        text = await recipes.preprocess(job, turn.hands, self._scratch, self._files)
        if text is None:  # the preprocessor refuses; the compiler may not, or will say why
            return await self._miss(turn, None)
        found = await lookup.by_text(job, text, self._bench.storage)
        if isinstance(found, lookup.Hit):
            answer = await self._hit(job, found, direct=False)
            if answer is not None:
                observed = await results.observe_hit(job, text, self._bench)
                if observed is not None:
                    keep_soon(self._store_soon, results.record_hit(job, text, observed, found.key, self._bench), turn.flight)
                return answer
            return await self._miss(msgspec.structs.replace(turn, reason="damaged entry"), text)
        if not turn.is_counted:
            count_trouble(self._stats, found)
        reason = found.reason if found.trouble or found.damaged else turn.reason
        return await self._miss(msgspec.structs.replace(turn, reason=reason, told={**turn.told, **found.told}), text)

    async def _hit(self, job: Job, hit: lookup.Hit, *, direct: bool) -> Finish | None:
        start = time.monotonic_ns()
        finish = await lookup.restore(job, hit, self._bench.storage)
        if finish is not None:
            language, advanced = job.statistics_names()
            self._stats.hit(language, advanced, time.monotonic_ns() - start, direct=direct)
            log.debug("[%s]: cache hit (%s)", job.parsed.output, "direct mode" if direct else "same preprocessed text")
            if direct:
                self._hot.remember(job, hit)
        return finish

    async def _miss(self, turn: _Turn, text: recipes.Preprocessed | None, foreseen: distributed_c.Reading | None = None) -> Answer:
        recipe = recipes.compile_recipe(turn.job, self._scratch, text)
        attempt = results.begin(turn.job, text)
        try:
            reading = foreseen if text is None else distributed_c.told(text)
            return await self._compile_and_keep(attempt, recipe, turn, reading)
        finally:
            results.end(attempt)

    async def _compile_and_keep(
        self, attempt: results.Attempt, recipe: recipes.Recipe, turn: _Turn, reading: distributed_c.Reading | None
    ) -> Answer:
        job, reason = turn.job, turn.reason
        ran, is_remote = await self._run(recipe, turn, reading)
        answer = Finish(ran.status, bytes(ran.stdout), bytes(ran.stderr)) if is_remote else Replay()
        language, advanced = job.statistics_names()
        log.debug("[%s]: cache miss (%s), compiled with status %d", job.parsed.output, reason, ran.status)
        if ran.status != 0:
            self._stats.compile_failed(ran.duration_ns)
            return Replay()
        kept = await results.collect(attempt, recipe, ran, self._bench)
        if isinstance(kept, str):
            log.debug("[%s]: the result is not kept: %s", job.parsed.output, kept)
            not_kept(self._stats, kept, ran.duration_ns)
        else:
            if reason == "forced recache":
                self._stats.count("forced_recaches")
            if reason == "damaged entry":
                self._stats.count_language("cache_errors", language, advanced)
            self._stats.miss(language, advanced, ran.duration_ns, reason)
            keep_soon(self._store_soon, results.keep(kept, turn.told, self._bench), turn.flight)
        return answer

    async def _run(self, recipe: recipes.Recipe, turn: _Turn, reading: distributed_c.Reading | None) -> tuple[Ran, bool]:
        """Compile, here or elsewhere; whether it was elsewhere."""
        job, distribution = turn.job, self._bench.distribution

        async def here() -> Ran:
            return await turn.hands.run(recipe.command)

        if distribution is None or reading is None:
            return await here(), False
        objection = distributed_c.objection(job, reading)
        if objection:
            log.debug("[%s]: compiled here: %s", job.parsed.output, objection)
            return await here(), False
        order = partial(distributed_c.order, job, reading, recipe, self._bench.memories)
        return await distribution.run(Work(job.parsed.output, distributed_c.compiler(job), order, job.request.umask), here, turn.hands)

    async def _run_uncached(self, request: CompileRequest, driver: Driver, hands: Hands, *, counted_as: str | None) -> Answer:
        ran: Ran = await hands.run(plain_command(request, driver.path, request.argv[1:], driver.name))
        if ran.status != 0:
            self._stats.compile_failed(ran.duration_ns)
        else:
            self._stats.compiled(ran.duration_ns)
            if counted_as:
                self._stats.count(counted_as)
        return Replay()
