"""One compile, top to bottom.  READ SECOND (after model.py).

    request ─▶ driver ─▶ arguments ─▶ toolchain ─▶ manifest ─▶ hit
                                                   └▶ preprocess ─▶ text key ─▶ hit
                                                                    └▶ compile ─▶ answer ─▶ store

Every way out that is not a hit or a cached compile ends in running the compiler; nothing here may fail a build.
Owns: the order of the stages and what each outcome counts as.  Must not know: sockets, processes, how anything is stored.
"""

import logging
import time
from typing import assert_never

from sccache.compilers import c_family
from sccache.model import CannotCache, CompileRequest, NotCompilation, ParsedArguments
from sccache.stages import job as job_stage
from sccache.stages import lookup, recipes, results
from sccache.stages.bench import Bench
from sccache.stages.hands import Answer, Command, Exec, Finish, Hands, Ran, Replay
from sccache.stages.job import Job
from sccache.stages.toolchains import Driver, ForeignCompiler, Toolchains

log = logging.getLogger(__name__)


class Pipeline:
    """Compiles for one configuration; the daemon keeps one for each that its clients use."""

    def __init__(self, bench: Bench, scratch: recipes.Scratch) -> None:
        self._bench = bench
        self._files = bench.files
        self._stats = bench.stats
        self._scratch = scratch
        self._toolchains = Toolchains(bench.files, bench.storage, scratch.probe_source())
        self.hot = lookup.HotRequests(bench.files, bench.storage, bench.stats)

    async def compile(self, request: CompileRequest, hands: Hands, store: results.StoreSoon) -> Answer:
        """Answer one request; what is to be kept is handed to `store`, to be done after the answer."""
        self._stats.count("compile_requests")
        driver = await self._toolchains.driver(request, hands)
        if driver is None:
            return Exec()
        untouched = Exec(driver.path, () if driver.name == request.argv[0] else (driver.name, *request.argv[1:]))
        if isinstance(driver, ForeignCompiler):
            self._stats.count("requests_unsupported_compiler")
            return untouched
        parsed = c_family.parse(driver.family, request.argv, request.cwd, request.env, driver.plusplus)
        match parsed:
            case NotCompilation(detail=detail):
                log.debug("%s: not a compilation: %s", " ".join(request.argv), detail)
                self._stats.count("requests_not_compile")
                return untouched
            case CannotCache(reason=reason, detail=detail):
                log.debug("%s: not cached: %s (%s)", " ".join(request.argv), reason, detail)
                self._stats.count_not_cached(reason)
                return untouched
            case ParsedArguments():
                self._stats.count("requests_executed")
                return await self._compile_parsed(request, driver, parsed, hands, store)
            case never:
                assert_never(never)

    async def _compile_parsed(
        self, request: CompileRequest, driver: Driver, parsed: ParsedArguments, hands: Hands, store: results.StoreSoon
    ) -> Answer:
        if "SCCACHE_NO_CACHE" in request.env:
            return await self._run_uncached(request, driver, hands, counted_as=None)
        job = await self._make_job(request, driver, parsed, hands)
        if job is None:
            log.debug("[%s]: not cached: the source, or a file that an option names, cannot be read", parsed.output)
            return await self._run_uncached(request, driver, hands, counted_as="non_cacheable_compilations")
        if "SCCACHE_RECACHE" in request.env:
            return await self._miss(job, hands, store, "forced recache", None)
        found = lookup.direct(job, self._files, self._bench.storage)
        match found:
            case lookup.Hit():
                answer = await self._hit(job, found, direct=True)
                return answer or await self._miss(job, hands, store, "damaged entry", None)
            case lookup.Miss(reason=reason):
                if reason in ("damaged manifest", "damaged entry"):
                    self._stats.count("cache_read_errors")
                return await self._without_manifest(job, hands, store, reason)
            case never:
                assert_never(never)

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

    async def _without_manifest(self, job: Job, hands: Hands, store: results.StoreSoon, reason: str) -> Answer:
        if self._bench.config.depend_mode and lookup.is_direct(job) and recipes.can_depend(job):
            return await self._miss(job, hands, store, reason, None)
        text = await recipes.preprocess(job, hands, self._scratch, self._files)
        if text is None:  # the preprocessor refuses; the compiler may not, or will say why
            return await self._miss(job, hands, store, reason, None)
        found = lookup.by_text(job, text, self._bench.storage)
        if isinstance(found, lookup.Hit):
            answer = await self._hit(job, found, direct=False)
            if answer is not None:
                observed = await results.observe_hit(job, text, self._bench)
                if observed is not None:
                    store(results.record_hit(job, text, observed, found.key, self._bench))
                return answer
            reason = "damaged entry"
        return await self._miss(job, hands, store, reason, text)

    async def _hit(self, job: Job, hit: lookup.Hit, *, direct: bool) -> Finish | None:
        start = time.monotonic_ns()
        finish = await lookup.restore(job, hit, self._bench.storage)
        if finish is not None:
            language, advanced = job.statistics_names()
            self._stats.hit(language, advanced, time.monotonic_ns() - start, direct=direct)
            log.debug("[%s]: cache hit (%s)", job.parsed.output, "direct mode" if direct else "same preprocessed text")
            if direct:
                self.hot.remember(job, hit)
        return finish

    async def _miss(self, job: Job, hands: Hands, store: results.StoreSoon, reason: str, text: recipes.Preprocessed | None) -> Answer:
        recipe = recipes.compile_recipe(job, self._scratch, text)
        attempt = results.begin(job, text)
        try:
            return await self._compile_and_keep(attempt, recipe, hands, store, reason)
        finally:
            results.end(attempt)

    async def _compile_and_keep(
        self, attempt: results.Attempt, recipe: recipes.Recipe, hands: Hands, store: results.StoreSoon, reason: str
    ) -> Replay:
        job = attempt.job
        ran = await hands.run(recipe.command)
        language, advanced = job.statistics_names()
        log.debug("[%s]: cache miss (%s), compiled with status %d", job.parsed.output, reason, ran.status)
        if ran.status != 0:
            self._stats.compile_failed(ran.duration_ns)
            return Replay()
        kept = await results.collect(attempt, recipe, ran, self._bench)
        if isinstance(kept, str):
            log.debug("[%s]: the result is not kept: %s", job.parsed.output, kept)
            self._stats.compiled(ran.duration_ns)
            self._stats.count("non_cacheable_compilations")
            self._stats.not_cached[kept] = self._stats.not_cached.get(kept, 0) + 1
        else:
            if reason == "forced recache":
                self._stats.count("forced_recaches")
            if reason == "damaged entry":
                self._stats.count_language("cache_errors", language, advanced)
            self._stats.miss(language, advanced, ran.duration_ns, reason)
            store(results.keep(kept, self._bench))
        return Replay()

    async def _run_uncached(self, request: CompileRequest, driver: Driver, hands: Hands, *, counted_as: str | None) -> Answer:
        on_terminal = recipes.is_on_terminal(request)
        command = Command(driver.path, request.argv[1:], is_compile=True, on_terminal=on_terminal, name=driver.name)
        ran: Ran = await hands.run(command)
        if ran.status != 0:
            self._stats.compile_failed(ran.duration_ns)
        else:
            self._stats.compiled(ran.duration_ns)
            if counted_as:
                self._stats.count(counted_as)
        return Replay()
