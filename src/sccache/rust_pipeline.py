"""One run of rustc: from the request to an observed job, or to the reason why it is none.

Owns: what of a Rust command is cached, and what each outcome counts as.  Must not know: sockets, processes, how anything is stored.
"""

import functools
import logging

import msgspec

from sccache.compilers import rust
from sccache.compilers.rust import RustArguments, RustQuery
from sccache.model import CannotCache, CompileRequest, NotCompilation, Terminal
from sccache.observed_pipeline import Manner, ObservedPipeline, plain_command
from sccache.stages import distributed_rust, rust_inputs, rust_job
from sccache.stages.bench import Bench
from sccache.stages.hands import Answer, Exec, Hands, StoreSoon
from sccache.stages.rust_toolchains import RustDriver, RustToolchains

log = logging.getLogger(__name__)


class RustPipeline:
    """Rust compiles for one configuration."""

    def __init__(self, bench: Bench, store_soon: StoreSoon, observed: ObservedPipeline) -> None:
        self._bench = bench
        self._stats = bench.stats
        self._toolchains = RustToolchains(bench.files, bench.storage, store_soon)
        self._observed = observed

    async def compile(self, request: CompileRequest, hands: Hands) -> Answer:
        """Answer one request whose command is rustc, or stands for it."""
        untouched = Exec(request.executable)
        driver = await self._toolchains.toolchain(request, hands)
        if driver is None:
            self._stats.count("requests_unsupported_compiler")
            return untouched
        parsed = rust.parse(driver.argv, request.cwd, request.env, cache_linked=self._bench.config.rust_cache_linked)
        match parsed:
            case RustArguments():
                self._stats.count("requests_executed")
                return await self._compile(request, driver, parsed, hands)
            case RustQuery():
                self._stats.count("requests_not_compile")
                return await self._ask(request, driver, parsed, hands)
            case NotCompilation(detail=detail):
                log.debug("%s: not a compilation: %s", " ".join(request.argv), detail)
                self._stats.count("requests_not_compile")
            case CannotCache(reason=reason, detail=detail):
                log.debug("%s: not cached: %s (%s)", " ".join(request.argv), reason, detail)
                self._stats.count_not_cached(reason)
        return untouched

    async def _compile(self, request: CompileRequest, driver: RustDriver, parsed: RustArguments, hands: Hands) -> Answer:
        job = None if "SCCACHE_NO_CACHE" in request.env else rust_job.make(request, driver, parsed, self._bench)
        if job is None:
            command = plain_command(request, request.executable or request.argv[0], request.argv[1:], streamed=True)
            return await self._observed.run_uncached(request, hands, command, counted="SCCACHE_NO_CACHE" not in request.env)
        elsewhere = functools.partial(distributed_rust.work, parsed=parsed, driver=driver, memories=self._bench.memories)
        return await self._observed.compile(job, msgspec.structs.replace(_manner(parsed, driver), elsewhere=elsewhere), hands)

    async def _ask(self, request: CompileRequest, driver: RustDriver, query: RustQuery, hands: Hands) -> Answer:
        """Questions of cargo to rustc: answered from the cache, and counted as what they are, no compiles."""
        if (query.reads_stdin and not request.terminal & Terminal.NO_INPUT) or "SCCACHE_NO_CACHE" in request.env:
            return Exec(request.executable)
        parsed = _as_arguments(query)
        job = rust_job.make(request, driver, parsed, self._bench)
        return Exec(request.executable) if job is None else await self._observed.ask(job, _manner(parsed, driver), hands)


def _manner(parsed: RustArguments, driver: RustDriver) -> Manner:
    return Manner(functools.partial(rust_inputs.declared, parsed, driver), streamed=True)


def _as_arguments(query: RustQuery) -> RustArguments:
    """A question as a compile that makes nothing."""
    return RustArguments(
        crate_name="(question)",
        source="",
        out_dir="",
        key_args=query.key_args,
        named_files=query.named_files,
        native_cpu=query.native_cpu,
    )
