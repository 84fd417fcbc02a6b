"""Run a compiler under observation, judge what it gave, and keep it.

Owns: the command that is run, the checks between a successful run and a stored entry, the manifest's new variant.
Must not know: how a result is found, what the observer does.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from sccache.entry import pack
from sccache.errors import StorageError
from sccache.hashing import time_macros
from sccache.hashing.files import FileMemory
from sccache.model import Diagnostics, ProducedFile
from sccache.preprocessor_cache.manifest import Variant
from sccache.protocol.messages import STATUS_NOT_STARTED
from sccache.stages import observation, observed_inputs, recording
from sccache.stages.bench import Bench
from sccache.stages.hands import Command, Ran
from sccache.stages.observed_environment import rows
from sccache.stages.observed_inputs import Found
from sccache.stages.observed_job import TEXT_ROLES, ObservedJob, bound_to
from sccache.stages.outputs import Stamp, stamp_of_file
from sccache.stages.places import Visit
from sccache.stages.recipes import Scratch, is_on_terminal, remove
from sccache.stages.recording import Observed
from sccache.storage.base import Kind
from sccache.storage.levels import Put, Update

log = logging.getLogger(__name__)

MAX_DIAGNOSTICS = 8  # contexts (coloured or not, widths) kept in one entry

Unobserved = Callable[[ObservedJob, FileMemory, int], Found | str]
"""What is known of a run that was not observed: of job, files and start."""


class Attempt(Struct, frozen=True):
    """A run that is about to begin."""

    job: ObservedJob
    command: Command
    report: str
    """Where the observer writes; empty where nothing can be observed here."""
    before: Mapping[str, Stamp | None]
    visit: Visit
    start_ns: int


class Kept(Struct, frozen=True):
    """A run whose result may be kept."""

    job: ObservedJob
    files: tuple[ProducedFile, ...]
    diagnostics: Diagnostics
    observed: Observed
    bound_to: bytes
    """Digest of the directories that the result names."""


def begin(job: ObservedJob, scratch: Scratch, *, streamed: bool = False) -> Attempt:
    """The command, and what stands at its outputs' places before it.  `streamed`: who called sees messages while it runs."""
    observer = observation.observer()
    program = job.program
    on_terminal = is_on_terminal(job.request)
    streamed = streamed and not on_terminal
    report = scratch.path(".seen") if observer else ""
    if observer:
        words = (report, observer.shim, program.path, program.name, *program.args)
        command = Command(observer.program, words, is_compile=True, scratch=(report,), on_terminal=on_terminal, streamed=streamed)
    else:
        command = Command(program.path, program.args, is_compile=True, on_terminal=on_terminal, streamed=streamed, name=program.name)
    before = {output.path: stamp_of_file(job.path(output.path)) for output in job.outputs}
    return Attempt(job, command, report, before, job.places.enter(job.output_paths()), time.time_ns())


def end(attempt: Attempt) -> None:
    """What was needed for the run is needed no more."""
    attempt.job.places.leave(attempt.visit)
    if attempt.report:
        remove(attempt.report)


async def collect(attempt: Attempt, ran: Ran, bench: Bench, unobserved: Unobserved) -> Kept | str:
    """What a successful run gave, ready to be kept; or the reason why it is not."""
    return await asyncio.to_thread(_collect, attempt, ran, bench.files, unobserved)


def _collect(attempt: Attempt, ran: Ran, files: FileMemory, unobserved: Unobserved) -> Kept | str:
    job = attempt.job
    found = _found(attempt, files, unobserved)
    if isinstance(found, str):
        return found
    if files.watch(job.watched(), job.watched_absences()) is None:
        return observed_inputs.CHANGED
    if job.messages.is_of_one_run(bytes(ran.stderr)):
        return "messages about one run"
    produced = _outputs(attempt, found.further)
    if isinstance(produced, str):
        return produced
    diagnostics = job.messages.kept(job, bytes(ran.stdout), bytes(ran.stderr))
    texts = (diagnostics.stdout, diagnostics.stderr, *(file.data for file in produced))
    if _holds_the_time(attempt, texts, {known.mtime_ns // 1_000_000_000 for known in found.inputs}):
        return observed_inputs.TIME_MACROS
    named = job.roots.names if job.hides_paths or _conceals(job, texts) else _named(job, texts, found)
    sources = observed_inputs.sources(found.inputs, job.roots.names)
    environment = rows(found.reads, job.request.env, job.roots, job.rules, sources)
    observed = Observed(found.inputs, found.absent, attempt.start_ns, environment, found.listings, found.optional)
    return Kept(job, produced, diagnostics, observed, bound_to(named))


def _holds_the_time(attempt: Attempt, texts: Sequence[bytes], stamps_s: AbstractSet[int]) -> bool:
    """Whether the time of the run, or a file's, is in what it made: a macro may be put together where no scan of sources sees it."""
    rules = attempt.job.rules
    if not rules.sources_have_dates or attempt.job.preprocessor.ignore_time_macros:
        return False
    if rules.remarks is not None:
        texts = [rules.remarks.sub(b"", text) for text in texts]
    start, end = datetime.fromtimestamp(attempt.start_ns / 1e9, UTC), datetime.now(UTC)
    return any(time_macros.expansions_in(text, start, end) or time_macros.timestamps_in(text, stamps_s) for text in texts)


def _conceals(job: ObservedJob, texts: Iterable[bytes]) -> bool:
    pattern = job.rules.conceals
    return pattern is not None and any(pattern.search(text) for text in texts)


def _named(job: ObservedJob, texts: Sequence[bytes], found: Found) -> tuple[str, ...]:
    """The roots that a result names, or can have computed with: `file!()` begins as the command line names the source."""
    asked = [job.request.cwd if name.startswith("/proc/") and name.endswith("/cwd") else name for name in found.asked]
    words = [os.fsencode(name) for name in (*observed_inputs.spelled_names(job, found), *asked)]
    named = {*job.roots.named_in(texts), *job.roots.named_in(words)}
    return tuple(root for root in job.roots.names if root in named or any(root.startswith(name.rstrip("/.") + "/") for name in asked))


def _found(attempt: Attempt, files: FileMemory, unobserved: Unobserved) -> Found | str:
    job = attempt.job
    if attempt.report:
        seen = observation.read_report(attempt.report)
        if not seen.trouble:
            return observed_inputs.judge(job, seen, files, attempt.start_ns)
        log.debug("[%s]: not observed: %s", job.label, seen.trouble)
    return unobserved(job, files, attempt.start_ns)


def _outputs(attempt: Attempt, further: Sequence[str]) -> tuple[ProducedFile, ...] | str:
    """The files that this run made; or the reason why they cannot be kept."""
    job = attempt.job
    if not attempt.visit.alone:
        return "output written twice at a time"
    if any(attempt.before[path] is not None for path in job.continued):
        return "output was there before"
    wanted: list[tuple[str, str]] = []
    for output in job.outputs:
        path = job.path(output.path)
        after = stamp_of_file(path)
        if after is not None and after != attempt.before[output.path]:
            wanted.append((output.role, path))
        elif output.required:
            return "output missing"
    wanted += [(job.further_role(path), path) for path in further]
    if not observed_inputs.are_text([role for role, _ in wanted]):
        return observed_inputs.UNKNOWN  # a name that no entry can hold
    try:
        return tuple(_read(job, role, path) for role, path in wanted)
    except OSError:
        return "output missing"


def _read(job: ObservedJob, role: str, path: str) -> ProducedFile:
    with open(path, "rb", buffering=0) as file:
        is_executable = bool(os.fstat(file.fileno()).st_mode & 0o111)
        data = file.readall()
    return ProducedFile(role, job.roots.text(data) if role in TEXT_ROLES else data, is_executable)


async def keep(kept: Kept, told: Mapping[str, tuple[Diagnostics, ...]], bench: Bench) -> None:
    """Store the entry, then the manifest that leads to it; returns once the next look-up finds them."""
    start = time.monotonic_ns()
    writes = await asyncio.to_thread(_writes, kept, told, bench.config.zstd_level)
    packing_ns = time.monotonic_ns() - start

    def done(error: StorageError | None, duration_ns: int) -> None:
        if error is None:
            if kept.job.sources:  # answers to questions are no compiles
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
        made_by=job.program.made_by,
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
