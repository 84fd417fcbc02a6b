"""One compile, top to bottom.  READ SECOND (after model.py).

    request ─▶ answered before? ─▶ hit
               └▶ rustc? ─▶ rust_pipeline ─▶ observed_pipeline
                  └▶ driver ─▶ arguments ─▶ of C, as the preprocessor tells what is read ─▶ c_pipeline
                                            └▶ of any other kind ─▶ observed_pipeline

Every way out that is not a hit or a cached compile ends in running the compiler; nothing here may fail a build.
Owns: which road a request takes.  Must not know: sockets, processes, how anything is stored.
"""

import logging
from typing import assert_never

import msgspec

from sccache.c_pipeline import CPipeline
from sccache.compilers import c_family, c_observed, families
from sccache.compilers.observed import ObservedArguments
from sccache.model import CannotCache, CompileRequest, NotCompilation, ParsedArguments
from sccache.observed_pipeline import Manner, ObservedPipeline, plain_command
from sccache.rust_pipeline import RustPipeline
from sccache.stages import cuda_steps, family_job, recipes
from sccache.stages.bench import Bench
from sccache.stages.hands import Answer, Exec, Hands, StoreSoon
from sccache.stages.hot import HotRequests
from sccache.stages.prefixes import Prefix, PrefixedHands
from sccache.stages.rust_toolchains import is_rust
from sccache.stages.several import SeveralSources
from sccache.stages.toolchains import Driver, OtherDriver, Toolchains

log = logging.getLogger(__name__)


class Pipeline:
    """Compiles for one configuration; the daemon keeps one for each that its clients use."""

    def __init__(self, bench: Bench, scratch: recipes.Scratch, store_soon: StoreSoon) -> None:
        self._bench = bench
        self._stats = bench.stats
        self._toolchains = Toolchains(bench.files, bench.storage, scratch.probe_source(), store_soon)
        self.hot = HotRequests(bench.files, bench.storage, bench.stats)
        self._observed = ObservedPipeline(bench, scratch, store_soon, self.hot)
        self._rust = RustPipeline(bench, store_soon, self._observed)
        self._c = CPipeline(bench, scratch, store_soon, self.hot, self._toolchains)
        self._several = SeveralSources(bench.stats, self.compile)

    async def compile(self, request: CompileRequest, hands: Hands) -> Answer:
        """Answer one request; what is to be kept is done after the answer."""
        finish = await self.hot.hit(request.identity)
        if finish is not None:
            return finish
        self._stats.count("compile_requests")
        if is_rust(request.argv, request.env, request.executable):
            return await self._rust.compile(request, hands)
        prefix = Prefix.find(request)
        return await (self._compile(request, hands) if prefix is None else self._compile_behind(prefix, hands))

    async def _compile(self, request: CompileRequest, hands: Hands) -> Answer:
        """A command of the C family, or one that we do not know."""
        driver = await self._toolchains.driver(request, hands)
        if driver is None:
            return Exec()
        untouched = Exec(driver.path, () if driver.name == request.argv[0] else (driver.name, *request.argv[1:]))
        parsed = _understand(request, driver)
        match parsed:
            case None:
                log.debug("%s: not cached: %s is no compiler that we know", " ".join(request.argv), driver.path)
                self._stats.count("requests_unsupported_compiler")
                return untouched
            case NotCompilation(detail=detail):
                log.debug("%s: not a compilation: %s", " ".join(request.argv), detail)
                self._stats.count("requests_not_compile")
                return untouched
            case CannotCache():
                return await self._several.answer(request, driver, parsed, untouched, hands) or self._refuse(request, parsed, untouched)
            case ObservedArguments():
                self._stats.count("requests_executed")
                return await self._compile_observed(request, driver, parsed, hands)
            case ParsedArguments():
                assert isinstance(driver, Driver)  # noqa: S101 -- only those are understood in this way
                self._stats.count("requests_executed")
                return await self._c.compile(request, driver, parsed, hands)
            case never:
                assert_never(never)

    async def _compile_behind(self, prefix: Prefix, hands: Hands) -> Answer:
        """A command that goes through another program: what is not a C compile is left to that."""
        driver = await self._toolchains.driver(prefix.request, hands)
        parsed = _understand(prefix.request, driver) if isinstance(driver, Driver) else None
        if isinstance(driver, Driver) and isinstance(parsed, ParsedArguments):
            self._stats.count("requests_executed")
            behind = msgspec.structs.replace(driver, through=prefix.programs)
            return await self._c.compile(prefix.request, behind, parsed, PrefixedHands(hands, prefix))
        log.debug("%s: not cached: behind %s is no single C compile", " ".join(prefix.request.argv), " ".join(prefix.words))
        match parsed:
            case NotCompilation():
                self._stats.count("requests_not_compile")
            case CannotCache(reason=reason):
                self._stats.count_not_cached(reason)
            case _:
                self._stats.count("requests_unsupported_compiler")
        return Exec()

    def _refuse(self, request: CompileRequest, refusal: CannotCache, untouched: Exec) -> Exec:
        log.debug("%s: not cached: %s (%s)", " ".join(request.argv), refusal.reason, refusal.detail)
        self._stats.count_not_cached(refusal.reason)
        return untouched

    async def _compile_observed(
        self, request: CompileRequest, driver: Driver | OtherDriver, parsed: ObservedArguments, hands: Hands
    ) -> Answer:
        is_wanted = "SCCACHE_NO_CACHE" not in request.env
        job = family_job.make(request, driver, parsed, self._bench) if is_wanted else None
        if job is None:
            log.debug("%s: not cached: a source, or a file that a setting names, cannot be read", parsed.sources)
            command = plain_command(request, driver.path, request.argv[1:], driver.name)
            return await self._observed.run_uncached(request, hands, command, counted=is_wanted)
        by_steps = cuda_steps.run if parsed.family == "nvcc" else None
        return await self._observed.compile(job, Manner(family_job.unobserved, by_steps=by_steps), hands)


def _understand(
    request: CompileRequest, driver: Driver | OtherDriver
) -> ParsedArguments | ObservedArguments | CannotCache | NotCompilation | None:
    """What the command line means; None where we do not know the program."""
    if isinstance(driver, OtherDriver):
        family = families.FAMILIES.get(driver.family)
        return family.parse(request.argv, request.cwd, request.env) if family is not None else None
    parsed = c_family.parse(driver.family, request.argv, request.cwd, request.env, driver.plusplus)
    if isinstance(parsed, ParsedArguments) and parsed.needs_observing:
        return c_observed.from_parsed(driver.family, parsed)
    return parsed
