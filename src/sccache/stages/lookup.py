"""Find a result, and give it out.

Owns: the ways from a job to an entry (manifest, text), restoring.
Must not know: how a result is made, how many levels the storage has.
"""

import asyncio
import logging
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from sccache.entry import Entry, open_entry
from sccache.errors import DamagedError, SccacheError, Trouble
from sccache.hashing.files import FileMemory, Watch
from sccache.model import Diagnostics
from sccache.preprocessor_cache import difference, manifest, manifest_format
from sccache.stages.hands import Finish
from sccache.stages.job import Job
from sccache.stages.recipes import Preprocessed
from sccache.stages.task import Task
from sccache.storage.base import Kind
from sccache.storage.levels import Absent, Levels

log = logging.getLogger(__name__)

SMALL_ENTRY_BYTES = 1 << 20  # of files: writing more takes over 0.7 ms, done in a thread
MAX_RESTORES = 4  # copies of one entry that are tried, where level after level gives a damaged one

TROUBLES = {
    Trouble.TIMED_OUT: "storage timed out",
    Trouble.DENIED: "storage denied",
    Trouble.RATE_LIMITED: "storage rate limited",
    Trouble.UNREACHABLE: "storage unreachable",
}
OTHER_TROUBLE = "storage error"


class Hit(Struct, frozen=True):
    """An entry that answers the job."""

    key: str
    entry: Entry
    level: int
    """Of the storage: who gave it."""
    size_bytes: int
    """Of its files, decompressed: what it costs to write them."""
    watches: tuple[Watch, ...]
    """What must hold for this to be true again; empty when that cannot be told by watching (found by text)."""
    listings: tuple[tuple[str, bytes], ...] = ()
    """Directories and links that must be as recorded, too: no watch tells that."""


class Miss(Struct, frozen=True):
    """No entry, and why."""

    reason: str
    trouble: Trouble | None = None
    """What kept a storage from saying whether it has one."""
    damaged: bool = False
    """Something was there that cannot be trusted."""
    told: Mapping[str, tuple[Diagnostics, ...]] = {}
    """Messages in the entries that were of no use here, by key: the entry that replaces one keeps them."""


async def direct(job: Task, key: str, files: FileMemory, storage: Levels) -> Hit | Miss:
    """Find a result by the manifest under `key`: one round trip for it where it is not at hand, one for the entry."""
    if not job.is_direct():
        return Miss("direct mode off")

    def accept(blob: bytes) -> manifest.Match | None:
        return _variant_that_holds(job, manifest_format.decode(blob, job.home, key), files)

    def merge(near: bytes, far: bytes) -> bytes:
        return manifest_format.merge(near, far, job.home, key)

    found = await storage.find(key, Kind.MANIFEST, accept, merge)
    if isinstance(found, Absent):
        return _miss(found, "never seen", rejected="an input changed", damaged="damaged manifest")
    match = found.value
    storage.walked(job.trail_key, (key, match.variant.result_key), found.level)
    around = files.watch(job.watched(), job.watched_absences())
    if around is None:
        return Miss("a tool changed")
    watches = (match.watch, around) if job.is_watchable(match.variant) else ()
    hit = await load(job, match.variant.result_key, storage, watches)
    return msgspec.structs.replace(hit, listings=match.variant.listings) if isinstance(hit, Hit) and match.variant.listings else hit


def _miss(absent: Absent, otherwise: str, *, rejected: str, damaged: str) -> Miss:
    """A storage that could not be asked outranks what the others said: it may have had the result."""
    if absent.trouble is not None:
        return Miss(TROUBLES.get(absent.trouble, OTHER_TROUBLE), absent.trouble, absent.damaged)
    reason = rejected if absent.rejected else damaged if absent.damaged else otherwise
    return Miss(reason, damaged=absent.damaged)


def _variant_that_holds(job: Task, known: manifest.Manifest, files: FileMemory) -> manifest.Match | None:
    match = manifest.lookup(
        known,
        files,
        bound_to=job.checkouts(),
        stat_matches=job.preprocessor.file_stat_matches,
        use_ctime=job.preprocessor.use_ctime_for_stat,
        differences=job.differences,
    )
    if match is None and log.isEnabledFor(logging.DEBUG):
        for sentence in difference.describe(known, files, job.checkouts(), job.differences):
            log.debug("[%s]: %s", job.label, sentence)
    return match if match is not None and job.still_applies(match.variant, files) else None


async def by_text(job: Job, text: Preprocessed, storage: Levels) -> Hit | Miss:
    """Find a result by the preprocessed text."""
    key = job.text_key(text.parts, text.inputs.contents())
    if not job.roots.roots:
        return await load(job, key, storage, ())
    # Results that name their checkout have a key of their own: both are asked for at a time, which is one round trip.
    free, bound = await asyncio.gather(load(job, key, storage, ()), load(job, job.bound_key(key), storage, ()))
    if isinstance(free, Miss) and isinstance(bound, Miss):
        return msgspec.structs.replace(free, told={**free.told, **bound.told})
    return free if isinstance(free, Hit) else bound


async def load(job: Task, key: str, storage: Levels, watches: tuple[Watch, ...], *, damaged: bytes | None = None) -> Hit | Miss:
    """The entry of this key, from the first level whose copy opens and fits the job.

    `damaged`: a copy whose header is right and whose files are not; the same bytes are not taken from another level either.
    """
    told: dict[str, tuple[Diagnostics, ...]] = {}

    def accept(blob: bytes) -> Entry | None:
        if damaged is not None and blob == damaged:
            return None
        entry = open_entry(blob, key)
        if entry.diagnostics_for(job.context) is not None and job.can_restore(entry):
            return entry
        told[key] = entry.header.diagnostics
        return None

    found = await storage.find(key, Kind.ENTRY, accept)
    if isinstance(found, Absent):
        return msgspec.structs.replace(_miss(found, "entry gone", rejected="entry gone", damaged="damaged entry"), told=told)
    return Hit(key, found.value, found.level, found.value.size_bytes, watches)


async def restore(job: Task, hit: Hit, storage: Levels) -> Finish | None:
    """Write the hit's outputs; None when that is not possible (the caller compiles instead).

    A copy that turns out to be damaged is dropped where it came from, and the next level is asked.
    """
    for _ in range(MAX_RESTORES):
        try:
            if hit.size_bytes <= SMALL_ENTRY_BYTES:
                return restore_nowait(job, hit.entry)
            return await asyncio.to_thread(restore_nowait, job, hit.entry)
        except DamagedError as e:
            log.warning("[%s]: %s (level %d)", job.label, e, hit.level)
            storage.drop(hit.key, Kind.ENTRY, hit.level)
            damaged: bytes = hit.entry.payload.obj  # type: ignore[assignment]  # the blob that it is a part of
        except (SccacheError, OSError):
            return None
        again = await load(job, hit.key, storage, hit.watches, damaged=damaged)
        if isinstance(again, Miss):
            return None
        hit = msgspec.structs.replace(again, listings=hit.listings)
    return None


def restore_nowait(job: Task, entry: Entry) -> Finish | None:
    """As `restore`, at once; DamagedError where the entry is not what its header says, StorageError where a file cannot be written."""
    diagnostics = entry.diagnostics_for(job.context)
    if diagnostics is None:
        return None
    job.restore(entry)
    return Finish(0, *job.told(diagnostics))
