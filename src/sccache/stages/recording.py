"""Let a manifest vouch for a result: what must hold for it to be right again.

Owns: observing that before the answer, recording it after.  Must not know: how a result is made or stored.
The order matters: once the launcher has its answer the build goes on, and may remove what the compile only looked for.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from sccache.errors import DamagedError
from sccache.preprocessor_cache import manifest, manifest_format
from sccache.stages import inputs as inputs_stage
from sccache.stages import twins
from sccache.stages.bench import Bench
from sccache.stages.inputs import Inputs
from sccache.stages.job import Job
from sccache.stages.task import Task
from sccache.storage.base import Kind
from sccache.storage.levels import Update


class Observed(Struct, frozen=True):
    """The circumstances of one compile."""

    inputs: tuple[manifest.Input, ...]
    absent: Mapping[str, tuple[str, ...]]
    start_ns: int
    environment: Sequence[tuple[str, str]] = ()
    listings: Sequence[tuple[str, bytes]] = ()
    optional: Sequence[manifest.Input] = ()


def observe(job: Job, found: Inputs, bench: Bench, start_ns: int) -> Observed | None:
    """What the compile read and looked for; None when direct mode cannot or must not be used."""
    if not job.is_direct():
        return None
    if found.has(inputs_stage.TIME_MACROS) and not job.preprocessor.ignore_time_macros:
        return None
    around = inputs_stage.surroundings(job, found, bench.memories, start_ns)
    if around is None or twins.may_be_taken_for_one(found.facts, around.passed_over, bench.files):
        return None
    checked = inputs_stage.without_system_headers(job, found.facts) if job.preprocessor.skip_system_headers else found.facts
    inputs = [manifest.Input(path, facts.digest, facts.size, facts.mtime_ns, facts.ctime_ns) for path, facts in checked.items()]
    for path in around.present:
        facts = bench.files.facts(path)
        if facts is None:
            return None
        inputs.append(manifest.Input(path, facts.digest, facts.size, facts.mtime_ns, facts.ctime_ns))
    absent = inputs_stage.payload_absences(job, found)
    for place, names in around.absent.items():
        absent[place] = (*absent.get(place, ()), *names)
    return Observed(tuple(inputs), absent, start_ns)


def update(job: Task, observed: Observed, key: str, bound_to: bytes) -> Update:
    """The change that adds a variant which leads to the result `key`; `bound_to`: digest of the directories that it names."""
    name = job.manifest_key()
    variant = manifest.Variant(
        inputs=observed.inputs,
        absent=observed.absent,
        result_key=key,
        bound_to=bound_to,
        created=observed.start_ns // 1_000_000_000,
        environment=tuple(observed.environment),
        listings=tuple(observed.listings),
        optional=tuple(observed.optional),
    )

    def change(blob: bytes | None) -> bytes | None:
        try:
            known = manifest_format.decode(blob, job.home, name) if blob is not None else manifest.Manifest()
        except DamagedError:
            known = manifest.Manifest()
        return manifest_format.encode(known.with_variant(variant), job.home, name) or None  # too large: as it was

    return Update(name, Kind.MANIFEST, change)
