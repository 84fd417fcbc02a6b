"""One run of rustc, top to bottom: the Rust side of pipeline.py.

    request ─▶ compiler ─▶ arguments ─▶ manifest ─▶ hit
                                        └▶ being compiled for another? ─▶ wait, manifest ─▶ hit
                                           └▶ run, observed ─▶ answer ─▶ store

Owns: the order of the stages and what each outcome counts as.  Must not know: sockets, processes, how anything is stored.
"""

import logging
import os
import time
from collections.abc import Mapping

from msgspec import Struct

from sccache.compilers import rust
from sccache.compilers.rust import RustArguments, RustQuery
from sccache.hashing.keys import KeyBuilder
from sccache.model import CannotCache, CompileRequest, Diagnostics, NotCompilation, Terminal
from sccache.stages import lookup, rust_results
from sccache.stages.afterwards import count_trouble, keep_soon, not_kept
from sccache.stages.bench import Bench
from sccache.stages.flights import Flight, Flights
from sccache.stages.hands import Answer, Command, Exec, Finish, Hands, Replay, StoreSoon
from sccache.stages.hot import HotRequests
from sccache.stages.recipes import Scratch, is_on_terminal
from sccache.stages.rust_job import RustJob, messages_context
from sccache.stages.rust_roots import find
from sccache.stages.rust_toolchains import RustDriver, RustToolchains

log = logging.getLogger(__name__)


class _Turn(Struct, frozen=True):
    """One job on its way from a miss to a result."""

    job: RustJob
    hands: Hands
    flight: Flight
    reason: str
    told: Mapping[str, tuple[Diagnostics, ...]] = {}


class RustPipeline:
    """Rust compiles for one configuration."""

    def __init__(self, bench: Bench, scratch: Scratch, store_soon: StoreSoon, hot: HotRequests) -> None:
        self._bench = bench
        self._stats = bench.stats
        self._scratch = scratch
        self._store_soon = store_soon
        self._toolchains = RustToolchains(bench.files, bench.storage, store_soon)
        self._flights = Flights()
        self._hot = hot

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
        job = None if "SCCACHE_NO_CACHE" in request.env else self._job(request, driver, parsed)
        if job is None:
            return await self._run_uncached(request, hands, counted="SCCACHE_NO_CACHE" not in request.env)
        key = job.manifest_key()
        if "SCCACHE_RECACHE" in request.env:
            with self._flights.begin(key) as flight:
                return await self._miss(_Turn(job, hands, flight, "forced recache"))
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
            return await self._miss(_Turn(job, hands, flight, found.reason, found.told))

    def _job(self, request: CompileRequest, driver: RustDriver, parsed: RustArguments) -> RustJob | None:
        source, content = "", b""
        if parsed.source:
            source = os.path.join(request.cwd, parsed.source)
            facts = self._bench.files.facts(source)
            if facts is None:
                return None
            content = facts.digest
        extra = _extra_files(request, self._bench)
        if extra is None:
            return None
        return RustJob(
            request=request,
            parsed=parsed,
            driver=driver,
            source=source,
            source_digest=content,
            extra=extra,
            roots=find(self._bench.config.basedirs, request.cwd, os.path.join(request.cwd, parsed.out_dir) if parsed.out_dir else ""),
            places=self._bench.memories.places,
            preprocessor=self._bench.config.disk.preprocessor,
            context=messages_context(request, parsed),
        )

    async def _hit(self, job: RustJob, hit: lookup.Hit) -> Finish | None:
        start = time.monotonic_ns()
        finish = await lookup.restore(job, hit, self._bench.storage)
        if finish is not None:
            self._stats.hit(*job.statistics_names(), time.monotonic_ns() - start, direct=True)
            log.debug("[%s]: cache hit (direct mode)", job.label)
            self._hot.remember(job, hit)
        return finish

    async def _miss(self, turn: _Turn) -> Answer:
        job, reason = turn.job, turn.reason
        attempt = rust_results.begin(job, self._scratch)
        try:
            ran = await turn.hands.run(attempt.command)
            if rust_results.is_unstarted(ran) and attempt.report:
                ran = await turn.hands.run(rust_results.without_observer(attempt))
            log.debug("[%s]: cache miss (%s), compiled with status %d", job.label, reason, ran.status)
            if ran.status != 0:
                self._stats.compile_failed(ran.duration_ns)
                return Replay()
            kept = await rust_results.collect(attempt, ran, self._bench)
        finally:
            rust_results.end(attempt)
        if isinstance(kept, str):
            log.debug("[%s]: the result is not kept: %s", job.label, kept)
            not_kept(self._stats, kept, ran.duration_ns)
            return Replay()
        if reason == "forced recache":
            self._stats.count("forced_recaches")
        if reason == "damaged entry":
            self._stats.count_language("cache_errors", *job.statistics_names())
        self._stats.miss(*job.statistics_names(), ran.duration_ns, reason)
        keep_soon(self._store_soon, rust_results.keep(kept, turn.told, self._bench), turn.flight)
        return Replay()

    async def _ask(self, request: CompileRequest, driver: RustDriver, query: RustQuery, hands: Hands) -> Answer:
        """Questions of cargo to rustc: answered from the cache, and counted as what they are, no compiles."""
        if (query.reads_stdin and not request.terminal & Terminal.NO_INPUT) or "SCCACHE_NO_CACHE" in request.env:
            return Exec(request.executable)
        job = self._job(request, driver, _as_arguments(query))
        if job is None:
            return Exec(request.executable)
        key = job.manifest_key()
        found = await lookup.direct(job, key, self._bench.files, self._bench.storage)
        if isinstance(found, lookup.Hit):
            finish = await lookup.restore(job, found, self._bench.storage)
            if finish is not None:
                return finish
        attempt = rust_results.begin(job, self._scratch)
        try:
            ran = await hands.run(attempt.command)
            if rust_results.is_unstarted(ran):
                return Exec(request.executable)
            kept = await rust_results.collect(attempt, ran, self._bench) if ran.status == 0 else "failed"
        finally:
            rust_results.end(attempt)
        if isinstance(kept, str):
            log.debug("%s: the answer is not kept: %s", " ".join(request.argv), kept)
        else:
            with self._flights.begin(key) as flight:
                keep_soon(self._store_soon, rust_results.keep(kept, {}, self._bench), flight)
        return Replay()

    async def _run_uncached(self, request: CompileRequest, hands: Hands, *, counted: bool) -> Answer:
        on_terminal = is_on_terminal(request)
        ran = await hands.run(
            Command(
                request.executable or request.argv[0], request.argv[1:], is_compile=True, on_terminal=on_terminal, streamed=not on_terminal
            )
        )
        if rust_results.is_unstarted(ran):
            return Exec(request.executable)
        if ran.status != 0:
            self._stats.compile_failed(ran.duration_ns)
        else:
            self._stats.compiled(ran.duration_ns)
            if counted:
                self._stats.count("non_cacheable_compilations")
        return Replay()


def _extra_files(request: CompileRequest, bench: Bench) -> bytes | None:
    """Digest of the files that SCCACHE_EXTRAFILES names; None where one cannot be read."""
    names = [name for name in request.env.get("SCCACHE_EXTRAFILES", "").split(":") if name]
    if not names:
        return b""
    key = KeyBuilder("extra files")
    for facts in bench.files.facts_many([os.path.join(request.cwd, name) for name in names]):
        if facts is None:
            return None
        key.add("file", facts.digest)
    return bytes.fromhex(key.key())


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
