"""Run rustc under observation, judge what it gave, and keep it.

Owns: the command that is run, the checks between a successful run and a stored entry, the manifest's new variant.
Must not know: how a result is found, what the observer does.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from sccache.compilers.rust import notices
from sccache.entry import pack
from sccache.errors import StorageError
from sccache.hashing.files import FileMemory
from sccache.model import Diagnostics, Output, ProducedFile
from sccache.preprocessor_cache.manifest import Variant
from sccache.protocol.messages import STATUS_NOT_STARTED
from sccache.stages import observation, recording, rust_inputs
from sccache.stages.bench import Bench
from sccache.stages.hands import Command, Ran
from sccache.stages.outputs import Stamp, stamp_of_file
from sccache.stages.places import Visit
from sccache.stages.recipes import Scratch, is_on_terminal, remove
from sccache.stages.recording import Observed
from sccache.stages.rust_environment import rows
from sccache.stages.rust_inputs import Found
from sccache.stages.rust_job import DEPINFO_ROLE, RustJob, bound_to
from sccache.storage.base import Kind
from sccache.storage.levels import Put, Update

log = logging.getLogger(__name__)

MAX_DIAGNOSTICS = 8  # contexts (coloured or not, widths) kept in one entry


class Attempt(Struct, frozen=True):
    """A run that is about to begin."""

    job: RustJob
    command: Command
    report: str
    """Where the observer writes; empty where nothing can be observed here."""
    before: Mapping[str, Stamp | None]
    visit: Visit
    start_ns: int


class Kept(Struct, frozen=True):
    """A run whose result may be kept."""

    job: RustJob
    files: tuple[ProducedFile, ...]
    diagnostics: Diagnostics
    observed: Observed
    bound_to: bytes
    """Digest of the directories that the result names."""


def begin(job: RustJob, scratch: Scratch) -> Attempt:
    """The command, and what stands at its outputs' places before it."""
    observer = observation.observer()
    args = ((job.driver.inner,) if job.driver.inner else ()) + job.driver.argv
    on_terminal = is_on_terminal(job.request)
    report = scratch.path(".seen") if observer else ""
    if observer:
        words = (report, observer.shim, job.driver.path, job.driver.name, *args)
        command = Command(observer.program, words, is_compile=True, scratch=(report,), on_terminal=on_terminal, streamed=not on_terminal)
    else:
        command = Command(job.driver.path, args, is_compile=True, on_terminal=on_terminal, streamed=not on_terminal, name=job.driver.name)
    before = {output.path: stamp_of_file(job.path(output.path)) for output in job.parsed.outputs}
    return Attempt(job, command, report, before, job.places.enter(job.output_paths()), time.time_ns())


def end(attempt: Attempt) -> None:
    """What was needed for the run is needed no more."""
    attempt.job.places.leave(attempt.visit)
    if attempt.report:
        remove(attempt.report)


async def collect(attempt: Attempt, ran: Ran, bench: Bench) -> Kept | str:
    """What a successful run gave, ready to be kept; or the reason why it is not."""
    return await asyncio.to_thread(_collect, attempt, ran, bench.files)


def _collect(attempt: Attempt, ran: Ran, files: FileMemory) -> Kept | str:
    job = attempt.job
    found = _found(attempt, files)
    if isinstance(found, str):
        return found
    if files.watch(job.watched(), job.watched_absences()) is None:
        return rust_inputs.CHANGED
    if notices.is_of_this_run(bytes(ran.stderr)):
        return "messages about one run"
    produced = _outputs(attempt)
    if produced is None or not attempt.visit.alone:
        return "output missing" if attempt.visit.alone else "output written twice at a time"
    diagnostics = _diagnostics(job, ran)
    texts = (diagnostics.stdout, diagnostics.stderr, *(file.data for file in produced))
    named = job.roots.names if job.parsed.hides_paths else _named(job, texts, found.asked)
    environment = rows(found.reads, job.request.env, job.roots, rust_inputs.sources(found.inputs, job.roots.names))
    observed = Observed(found.inputs, found.absent, attempt.start_ns, environment, found.listings, found.optional)
    return Kept(job, produced, diagnostics, observed, bound_to(named))


def _named(job: RustJob, texts: Sequence[bytes], asked: Sequence[str]) -> tuple[str, ...]:
    """The roots that a result names, or can have computed with: `file!()` begins as the command line names the source."""
    asked = [job.request.cwd if name.startswith("/proc/") and name.endswith("/cwd") else name for name in asked]
    named = {*job.roots.named_in(texts), *job.roots.named_in([os.fsencode(name) for name in (job.parsed.source, *asked)])}
    return tuple(root for root in job.roots.names if root in named or any(root.startswith(name.rstrip("/.") + "/") for name in asked))


def _found(attempt: Attempt, files: FileMemory) -> Found | str:
    job = attempt.job
    if attempt.report:
        seen = observation.read_report(attempt.report)
        if not seen.trouble:
            return rust_inputs.judge(job, seen, files, attempt.start_ns)
        log.debug("[%s]: not observed: %s", job.label, seen.trouble)
    return rust_inputs.declared(job, files, attempt.start_ns)


def _outputs(attempt: Attempt) -> tuple[ProducedFile, ...] | None:
    """The files that this run made; None where one is missing."""
    job = attempt.job
    files: list[ProducedFile] = []
    for output in job.parsed.outputs:
        path = job.path(output.path)
        after = stamp_of_file(path)
        if after is None or after == attempt.before[output.path]:
            if output.required:
                return None
            continue
        produced = _read(job, output, path)
        if produced is None:
            return None
        files.append(produced)
    return tuple(files)


def _read(job: RustJob, output: Output, path: str) -> ProducedFile | None:
    try:
        with open(path, "rb", buffering=0) as file:
            is_executable = bool(os.fstat(file.fileno()).st_mode & 0o111)
            data = file.readall()
    except OSError:
        return None
    return ProducedFile(output.role, job.roots.text(data) if output.role == DEPINFO_ROLE else data, is_executable)


def _diagnostics(job: RustJob, ran: Ran) -> Diagnostics:
    """What was said, roots marked; where that was nothing but notices of outputs, they are made anew for who asks."""
    stdout, stderr = bytes(ran.stdout), bytes(ran.stderr)
    if not stderr or (job.parsed.has_artifacts and notices.is_only(stderr, job.parsed)):
        return Diagnostics(b"" if not stdout else job.context, stdout, b"")
    return Diagnostics(job.context, stdout, job.roots.text(stderr))


async def keep(kept: Kept, told: Mapping[str, tuple[Diagnostics, ...]], bench: Bench) -> None:
    """Store the entry, then the manifest that leads to it; returns once the next look-up finds them."""
    start = time.monotonic_ns()
    writes = await asyncio.to_thread(_writes, kept, told, bench.config.zstd_level)
    packing_ns = time.monotonic_ns() - start

    def done(error: StorageError | None, duration_ns: int) -> None:
        if error is None:
            if kept.job.source:  # answers to questions are no compiles
                bench.stats.stored(packing_ns + duration_ns)
        else:
            log.warning("Error executing cache write: %s", error)
            bench.stats.count("cache_write_errors")

    await bench.storage.keep(writes, done)
    bench.storage.walked(kept.job.trail_key, (writes[1].key, writes[0].key), None)


def _writes(kept: Kept, told: Mapping[str, tuple[Diagnostics, ...]], level: int) -> list[Put | Update]:
    job = kept.job
    key = job.result_key(_variant(kept))
    blob = pack(
        kept.files,
        _with_earlier(kept.diagnostics, told.get(key, ())),
        depends=(),
        made_by=f"rustc {job.driver.version}",
        bound_to=b"",
        level=level,
        key=key,
    )
    return [Put(key, Kind.ENTRY, blob), recording.update(job, kept.observed, key, kept.bound_to)]


def _variant(kept: Kept) -> Variant:
    observed = kept.observed
    return Variant(
        inputs=observed.inputs,
        absent=observed.absent,
        result_key="",
        bound_to=kept.bound_to,
        optional=tuple(observed.optional),
        environment=tuple(observed.environment),
        listings=tuple(observed.listings),
    )


def _with_earlier(diagnostics: Diagnostics, earlier: Sequence[Diagnostics]) -> list[Diagnostics]:
    """The new diagnostics, and those that the entry had under other contexts."""
    if not diagnostics.context:
        return [diagnostics]
    others = [item for item in earlier if item.context and item.context != diagnostics.context]
    return [diagnostics, *others][:MAX_DIAGNOSTICS]


def is_unstarted(ran: Ran) -> bool:
    """Whether the command could not be executed at all."""
    return ran.status == STATUS_NOT_STARTED


def without_observer(attempt: Attempt) -> Command:
    """The same run, plain."""
    words = attempt.command.args
    _, _, program, name, *args = words
    return msgspec.structs.replace(attempt.command, executable=program, args=tuple(args), name=name, scratch=())
