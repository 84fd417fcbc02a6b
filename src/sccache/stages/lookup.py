"""Find a result, and give it out.

Owns: the ways from a job to an entry (manifest, text), restoring, and the memory of requests seen before.
Must not know: how a result is made.
"""

import asyncio
import logging
import time
from collections import OrderedDict

from msgspec import Struct

from sccache.entry import Entry, open_entry
from sccache.errors import DamagedError, SccacheError
from sccache.hashing.files import FileMemory, Watch
from sccache.preprocessor_cache import difference, manifest, manifest_format
from sccache.stages import outputs
from sccache.stages.hands import Finish
from sccache.stages.inputs import are_times_compared
from sccache.stages.job import Job
from sccache.stages.recipes import Preprocessed
from sccache.stats import Stats
from sccache.storage.disk import DiskStorage, Kind

log = logging.getLogger(__name__)

SMALL_ENTRY_BYTES = 1 << 20  # of files: writing more takes over 0.7 ms, done in a thread
MAX_HOT_REQUESTS = 10_000  # of 14 KB each, for a file with 330 headers


class Hit(Struct, frozen=True):
    """An entry that answers the job."""

    key: str
    entry: Entry
    size_bytes: int
    """Of its files, decompressed: what it costs to write them."""
    watches: tuple[Watch, ...]
    """What must hold for this to be true again; empty when that cannot be told by watching (found by text)."""


class Miss(Struct, frozen=True):
    """No entry, and why."""

    reason: str


def is_direct(job: Job) -> bool:
    """Whether direct mode may be used for this job."""
    wanted = job.preprocessor.use_preprocessor_cache_mode and job.parsed.direct_mode and not job.parsed.mtimes_matter
    return wanted and job.request.env.get("SCCACHE_DIRECT", "").lower() not in ("false", "off", "0")


def direct(job: Job, files: FileMemory, storage: DiskStorage) -> Hit | Miss:
    """Find a result by a manifest."""
    if not is_direct(job):
        return Miss("direct mode off")
    key = job.manifest_key()
    blob = storage.get_nowait(key, Kind.MANIFEST)
    if blob is None:
        return Miss("never seen")
    try:
        known = manifest_format.decode(blob, job.roots.home, key)
    except DamagedError:
        storage.drop(key, Kind.MANIFEST)
        return Miss("damaged manifest")
    match = _variant_that_holds(job, known, files)
    if match is None:
        return Miss("an input changed")
    around = files.watch(job.watched(), job.watched_absences())
    if around is None:
        return Miss("a tool changed")
    return _load(job, match.variant.result_key, storage, () if _goes_by_time(job, match.variant) else (match.watch, around))


def _variant_that_holds(job: Job, known: manifest.Manifest, files: FileMemory) -> manifest.Match | None:
    match = manifest.lookup(
        known,
        files,
        bound_to=job.checkout(),
        stat_matches=job.preprocessor.file_stat_matches,
        use_ctime=job.preprocessor.use_ctime_for_stat,
    )
    if match is None and log.isEnabledFor(logging.DEBUG):
        for sentence in difference.describe(known, files, job.checkout()):
            log.debug("[%s]: %s", job.parsed.output, sentence)
    if match is not None and _goes_by_time(job, match.variant) and not _times_hold(job, match.variant, files):
        return None
    return match


def _goes_by_time(job: Job, variant: manifest.Variant) -> bool:
    return are_times_compared(job, (known.path for known in variant.inputs))


def _times_hold(job: Job, variant: manifest.Variant, files: FileMemory) -> bool:
    headers = [known for known in variant.inputs if known.path != job.source]
    facts = files.facts_many([known.path for known in headers])
    return all(have is not None and have.mtime_ns == known.mtime_ns for have, known in zip(facts, headers, strict=True))


def by_text(job: Job, text: Preprocessed, storage: DiskStorage) -> Hit | None:
    """Find a result by the preprocessed text."""
    key = job.text_key(text.parts, text.inputs.contents())
    found = _load(job, key, storage, ())
    if isinstance(found, Miss) and job.roots.roots:
        found = _load(job, job.bound_key(key), storage, ())
    return found if isinstance(found, Hit) else None


def _load(job: Job, key: str, storage: DiskStorage, watches: tuple[Watch, ...]) -> Hit | Miss:
    blob = storage.get_nowait(key, Kind.ENTRY)
    if blob is None:
        return Miss("entry gone")
    try:
        entry = open_entry(blob, key)
    except DamagedError:
        storage.drop(key, Kind.ENTRY)
        return Miss("damaged entry")
    if entry.diagnostics_for(job.context) is None or not outputs.can_restore(job, entry):
        return Miss("entry gone")
    return Hit(key, entry, entry.size_bytes, watches)


async def restore(job: Job, hit: Hit, storage: DiskStorage) -> Finish | None:
    """Write the hit's outputs; None when that is not possible (the caller compiles instead)."""
    if hit.size_bytes <= SMALL_ENTRY_BYTES:
        return restore_nowait(job, hit, storage)
    return await asyncio.to_thread(restore_nowait, job, hit, storage)


def restore_nowait(job: Job, hit: Hit, storage: DiskStorage) -> Finish | None:
    """As `restore`, at once."""
    diagnostics = hit.entry.diagnostics_for(job.context)
    if diagnostics is None:
        return None
    try:
        outputs.restore(job, hit.entry)
    except DamagedError:
        storage.drop(hit.key, Kind.ENTRY)
        return None
    except (SccacheError, OSError):
        return None
    return Finish(0, diagnostics.stdout, diagnostics.stderr)


class _Hot(Struct, frozen=True):
    job: Job
    key: str
    watches: tuple[Watch, ...]
    names: tuple[str, str]


class HotRequests:
    """Requests answered before, by their bytes: the whole way to a hit is one check of files and one read."""

    def __init__(self, files: FileMemory, storage: DiskStorage, stats: Stats) -> None:
        self._files = files
        self._storage = storage
        self._stats = stats
        self._known: OrderedDict[tuple[object, ...], _Hot] = OrderedDict()

    def remember(self, job: Job, hit: Hit) -> None:
        """Keep the way to this hit, if it can be checked by files alone."""
        if not hit.watches or not job.driver.transparent or hit.size_bytes > SMALL_ENTRY_BYTES:
            return
        self._known[job.request.identity] = _Hot(job, hit.key, hit.watches, job.statistics_names())
        if len(self._known) > MAX_HOT_REQUESTS:
            self._known.popitem(last=False)

    def hit_nowait(self, identity: tuple[object, ...]) -> Finish | None:
        """The answer to a request answered before, if everything still holds and it is small."""
        hot = self._known.get(identity)
        if hot is None:
            return None
        start = time.monotonic_ns()
        if not all(self._files.holds(watch) for watch in hot.watches):
            del self._known[identity]
            return None
        blob = self._storage.get_nowait(hot.key, Kind.ENTRY)
        if blob is None:
            return None
        try:
            hit = Hit(hot.key, open_entry(blob, hot.key), len(blob), ())
        except DamagedError:
            self._storage.drop(hot.key, Kind.ENTRY)
            return None
        finish = restore_nowait(hot.job, hit, self._storage)
        if finish is not None:
            self._stats.count("compile_requests")
            self._stats.count("requests_executed")
            self._stats.hit(*hot.names, time.monotonic_ns() - start, direct=True)
            log.debug("[%s]: cache hit (seen before)", hot.job.parsed.output)
        return finish
