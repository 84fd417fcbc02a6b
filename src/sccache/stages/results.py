"""Judge what a compile gave, and keep it.

Nothing is kept of a compile whose inputs changed under it, whose outputs are not all there, or whose result holds the time.

Owns: the checks between a successful compile and a stored entry, the entry's key, the manifest's new variant.
Must not know: how a result is found.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from msgspec import Struct

from sccache.compilers.quotes import points_elsewhere
from sccache.entry import pack
from sccache.errors import StorageError
from sccache.hashing import time_macros
from sccache.hashing.files import FileMemory
from sccache.hashing.keys import KeyBuilder
from sccache.model import Diagnostics
from sccache.stages import inputs as inputs_stage
from sccache.stages import outputs, recording
from sccache.stages.bench import Bench
from sccache.stages.hands import Ran
from sccache.stages.inputs import Inputs
from sccache.stages.job import Job
from sccache.stages.outputs import Produced, Stamp
from sccache.stages.places import Visit
from sccache.stages.recipes import Preprocessed, Recipe, remove
from sccache.stages.recording import Observed
from sccache.storage.base import Kind
from sccache.storage.levels import Put, Update

log = logging.getLogger(__name__)

MAX_DIAGNOSTICS = 8  # contexts (terminal or not, languages) kept in one entry
BIG_OUTPUT_BYTES = 8 << 20  # beyond it reading takes milliseconds: done in a thread


class Attempt(Struct, frozen=True):
    """A compile about to run."""

    job: Job
    text: Preprocessed | None
    before: Mapping[str, Stamp | None]
    visit: Visit


class Kept(Struct, frozen=True):
    """A compile whose result may be kept."""

    job: Job
    key: str
    produced: Produced
    diagnostics: Diagnostics
    bound: bool
    """The result names this checkout's directories."""
    observed: Observed | None
    """What a manifest needs to vouch for the result; None if none may."""


def begin(job: Job, text: Preprocessed | None) -> Attempt:
    """Note what stands at the outputs' places before the compile."""
    return Attempt(job, text, outputs.stamps(job), job.places.enter(job.output_paths()))


def end(attempt: Attempt) -> None:
    """The outputs were read, or are of no interest any more."""
    attempt.job.places.leave(attempt.visit)


async def collect(attempt: Attempt, recipe: Recipe, ran: Ran, bench: Bench) -> Kept | str:
    """What a successful compile gave, ready to be kept; or the reason why it is not."""
    try:
        return await asyncio.to_thread(_collect, attempt, recipe, ran, bench)
    finally:
        for path in (recipe.depfile, recipe.assembler_depfile):
            if path:
                remove(path)


def _collect(attempt: Attempt, recipe: Recipe, ran: Ran, bench: Bench) -> Kept | str:
    job, files = attempt.job, bench.files
    payloads = _payloads(job, recipe)
    found = None if payloads is None else _inputs(attempt, recipe, payloads, files)
    if found is None or payloads is None:
        return "inputs unknown"
    objection = _objection(attempt, recipe, found, files)
    produced = None if objection else outputs.read(job, attempt.before, () if _uses_precompiled(found) else found.names)
    if produced is None or not attempt.visit.alone:
        return objection or ("output missing" if attempt.visit.alone else "output written twice at a time")
    return _judge(attempt, _Seen(found, payloads, produced, _diagnostics(job, ran), _start_ns(attempt, recipe)), bench)


class _Seen(Struct, frozen=True):
    """What a compile read, wrote and said."""

    found: Inputs
    payloads: tuple[str, ...]
    produced: Produced
    diagnostics: Diagnostics
    start_ns: int


def _judge(attempt: Attempt, seen: _Seen, bench: Bench) -> Kept | str:
    """Look at what the outputs and messages hold."""
    job, found, produced, diagnostics = attempt.job, seen.found, seen.produced, seen.diagnostics
    if not job.preprocessor.ignore_time_macros and _holds_the_time(job, found, produced, seen.start_ns):
        return "time macro"
    if job.driver.family == "gcc" and points_elsewhere(diagnostics.stderr, lambda name: job.path(name) in found.facts):
        return "inputs unknown"
    bound = bool(job.roots.roots) and (_may_compute_with_roots(attempt) or produced.contains(job, diagnostics))
    observed = recording.observe(job, found, bench, seen.start_ns)
    key = _key(attempt, found, seen.payloads, observed)
    return "inputs unknown" if key is None else Kept(job, key, produced, diagnostics, bound, observed)


def _may_compute_with_roots(attempt: Attempt) -> bool:
    """Whether a base directory's name may have gone into the result without standing in it (the length of __FILE__)."""
    return attempt.text.names_roots if attempt.text else attempt.job.spells_roots()


def _start_ns(attempt: Attempt, recipe: Recipe) -> int:
    """When the first input was read, at the earliest."""
    return attempt.text.start_ns if attempt.text else recipe.start_ns


def _objection(attempt: Attempt, recipe: Recipe, found: Inputs, files: FileMemory) -> str | None:
    """Why a compile that read these inputs must not be kept."""
    job, text = attempt.job, attempt.text
    changed = found.changed_since(_start_ns(attempt, recipe), preprocessed=text is not None)
    if changed or not _still_holds(job, found, files):
        return "input changed during compile"
    if _reads_unseen(job, text, recipe, found):
        return ".incbin"
    if text is None and found.has(inputs_stage.TIME_MACROS) and not job.preprocessor.ignore_time_macros:
        return "time macro"
    if text is None and job.parsed.mtimes_matter:
        return "inputs unknown"
    return None


def _reads_unseen(job: Job, text: Preprocessed | None, recipe: Recipe, found: Inputs) -> bool:
    """Whether an assembler that does not list its files may have read some."""
    if recipe.assembler_depfile or not job.parsed.assembles:
        return False
    if found.has(inputs_stage.ASSEMBLER_INCLUDES):
        return True
    return text.reads_unseen if text is not None else found.has_inline_assembler()


def _payloads(job: Job, recipe: Recipe) -> tuple[str, ...] | None:
    """Files that the assembler read beside what the compiler gave it (.incbin, .include).

    Its list also has the compiler's temporary assembly, gone by now, and the base name in the `.file` directive, which
    is an input only by chance.
    """
    if not recipe.assembler_depfile:
        return ()
    names = inputs_stage.read_depfile(recipe.assembler_depfile)
    if names is None:
        return None
    named = {os.path.basename(job.parsed.source)}
    if not job.parsed.needs_preprocessing:
        named |= inputs_stage.names_in_line_markers(job.source)
    source = os.path.normpath(job.source)
    return tuple(name for name in names if os.path.normpath(job.path(name)) != source and not _is_by_the_way(job, name, named))


def _is_by_the_way(job: Job, name: str, named: AbstractSet[str]) -> bool:
    is_temporary = name.endswith(".s") and os.path.basename(name).startswith("cc")
    return (is_temporary or name in named) and not os.path.exists(job.path(name))


def _inputs(attempt: Attempt, recipe: Recipe, payloads: tuple[str, ...], files: FileMemory) -> Inputs | None:
    job, text = attempt.job, attempt.text
    if text is not None:
        if not payloads:
            return text.inputs
        found = inputs_stage.collect(job, text.inputs.names, files, payloads)
        is_same = found is not None and all(found.facts.get(path) == facts for path, facts in text.inputs.facts.items())
        return found if is_same else None
    if not job.parsed.needs_preprocessing:
        return inputs_stage.collect(job, (job.parsed.source,), files, payloads)
    depfile = job.parsed.depfile
    if depfile is not None and not depfile.system_headers:
        return None  # -MMD leaves system headers out
    names = inputs_stage.read_depfile(recipe.depfile or job.path(depfile.path if depfile else ""))
    return None if not names else inputs_stage.collect(job, names, files, payloads)


def _still_holds(job: Job, found: Inputs, files: FileMemory) -> bool:
    """Whether every input and every tool is, after the compile, what it was when it was hashed."""
    if files.watch(job.watched(), job.watched_absences()) is None:
        return False
    return files.facts_many(list(found.facts)) == list(found.facts.values())


def _uses_precompiled(found: Inputs) -> bool:
    return len(found.facts) != len(set(found.names))


def _holds_the_time(job: Job, found: Inputs, produced: Produced, start_ns: int) -> bool:
    """Back-stop for time macros pasted from pieces: does an output contain the present time or date?"""
    start = datetime.fromtimestamp(start_ns / 1e9, UTC).astimezone()
    end = datetime.now(UTC).astimezone()
    is_clock_read = "SOURCE_DATE_EPOCH" not in job.request.env  # __TIMESTAMP__ is the file's in any case
    if is_clock_read and any(time_macros.expansions_in(file.data, start, end) for file in produced.files):
        return True
    stamps = {facts.mtime_ns // 1_000_000_000 for facts in found.facts.values()}
    return any(time_macros.timestamps_in(file.data, stamps) for file in produced.files)


def _diagnostics(job: Job, ran: Ran) -> Diagnostics:
    stdout, stderr = bytes(ran.stdout), bytes(ran.stderr)
    return Diagnostics(job.context if stdout or stderr else b"", stdout, stderr)


def _key(attempt: Attempt, found: Inputs, payloads: tuple[str, ...], observed: Observed | None) -> str | None:
    """The entry's key; None where nothing tells this compile from another."""
    job, text = attempt.job, attempt.text
    if text is None:
        if observed is None:
            return None
        return job.inputs_key({known.path: known.digest for known in observed.inputs}, observed.absent)
    key = job.text_key(text.parts, text.inputs.contents())
    if not payloads:
        return key
    builder = KeyBuilder("payloads").add("text", key)  # the text does not hold them: found by manifest only
    for name in payloads:
        builder.add(name, found.facts[job.path(name)].digest)
    return builder.key()


async def keep(kept: Kept, told: Mapping[str, tuple[Diagnostics, ...]], bench: Bench) -> None:
    """Store the entry, then the manifest that leads to it; returns once the next look-up finds them.

    `told`: messages of the entries that did not answer this compile, by key.
    """
    start = time.monotonic_ns()
    writes = await asyncio.to_thread(_writes, kept, told, bench)
    packing_ns = time.monotonic_ns() - start

    def done(error: StorageError | None, duration_ns: int) -> None:
        if error is None:
            bench.stats.stored(packing_ns + duration_ns)
        else:
            log.warning("Error executing cache write: %s", error)
            bench.stats.count("cache_write_errors")

    await bench.storage.keep(writes, done)
    if kept.observed is not None:
        bench.storage.walked(kept.job.trail_key, (writes[1].key, writes[0].key), None)


def _writes(kept: Kept, told: Mapping[str, tuple[Diagnostics, ...]], bench: Bench) -> list[Put | Update]:
    job = kept.job
    key = job.bound_key(kept.key) if kept.bound else kept.key
    blob = pack(
        kept.produced.files,
        _with_earlier(kept.diagnostics, told.get(key, ())),
        depends=job.roots.portable(kept.produced.depends),
        made_by=f"{job.driver.family} {job.driver.version}",
        bound_to=b"",
        level=bench.config.zstd_level,
        key=key,
    )
    writes: list[Put | Update] = [Put(key, Kind.ENTRY, blob)]
    if kept.observed is not None:
        writes.append(recording.update(job, kept.observed, key, job.checkout() if kept.bound else b""))
    return writes


def _with_earlier(diagnostics: Diagnostics, earlier: Sequence[Diagnostics]) -> list[Diagnostics]:
    """The new diagnostics, and those that the entry had under other contexts."""
    if not diagnostics.context:
        return [diagnostics]
    others = [item for item in earlier if item.context and item.context != diagnostics.context]
    return [diagnostics, *others][:MAX_DIAGNOSTICS]


async def observe_hit(job: Job, text: Preprocessed, bench: Bench) -> Observed | None:
    """After a hit by text: what a manifest needs to find it next time."""
    if text.inputs.changed_since(text.start_ns, preprocessed=True):
        return None
    return await asyncio.to_thread(recording.observe, job, text.inputs, bench, text.start_ns)


async def record_hit(job: Job, text: Preprocessed, observed: Observed, key: str, bench: Bench) -> None:
    """Let a manifest find a result that was found by text."""
    plain = job.text_key(text.parts, text.inputs.contents())

    def done(error: StorageError | None, _: int) -> None:
        if error is not None:
            log.warning("a manifest was not stored: %s", error)

    write = recording.update(job, observed, key, job.checkout() if key != plain else b"")
    await bench.storage.keep([write], done)
    bench.storage.walked(job.trail_key, (write.key, key), None)
