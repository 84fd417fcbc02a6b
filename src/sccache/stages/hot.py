"""Requests answered before, by their bytes: the whole way to a hit is one check of files and one read.

Owns: that memory.  Must not know: how a request is understood.
"""

import logging
import time
from collections import OrderedDict

from msgspec import Struct

from sccache.entry import open_entry
from sccache.errors import DamagedError, SccacheError
from sccache.hashing.files import FileMemory, Watch
from sccache.hashing.listing import still_holds
from sccache.stages import lookup
from sccache.stages.hands import Finish
from sccache.stages.task import Task
from sccache.stats import Stats
from sccache.storage.base import Kind
from sccache.storage.levels import Levels

log = logging.getLogger(__name__)

MAX_HOT_REQUESTS = 10_000  # of 14 KB each, for a file with 330 headers


class _Hot(Struct, frozen=True):
    job: Task
    key: str
    watches: tuple[Watch, ...]
    listings: tuple[tuple[str, bytes], ...]
    names: tuple[str, str]
    is_small: bool


class HotRequests:
    """The requests that one pipeline answered from the cache, and how."""

    def __init__(self, files: FileMemory, storage: Levels, stats: Stats) -> None:
        self._files = files
        self._storage = storage
        self._stats = stats
        self._known: OrderedDict[tuple[object, ...], _Hot] = OrderedDict()

    def remember(self, job: Task, hit: lookup.Hit) -> None:
        """Keep the way to this hit, if it can be checked by files alone."""
        if not hit.watches or not job.is_transparent:
            return
        is_small = hit.size_bytes <= lookup.SMALL_ENTRY_BYTES
        self._known[job.request.identity] = _Hot(job, hit.key, hit.watches, hit.listings, job.statistics_names(), is_small)
        if len(self._known) > MAX_HOT_REQUESTS:
            self._known.popitem(last=False)

    def hit_nowait(self, identity: tuple[object, ...]) -> Finish | None:
        """The answer to a request answered before, if everything still holds, it is small and the nearest level has it."""
        hot = self._known.get(identity)
        if hot is None or not hot.is_small:
            return None
        start = time.monotonic_ns()
        blob = self._storage.get_nowait(hot.key, Kind.ENTRY)
        if blob is None or not self._holds(identity, hot):
            return None
        try:
            finish = lookup.restore_nowait(hot.job, open_entry(blob, hot.key))
        except DamagedError:
            self._storage.drop(hot.key, Kind.ENTRY)
            return None
        except (SccacheError, OSError):
            return None
        if finish is not None:
            self._count(hot, start)
        return finish

    async def hit(self, identity: tuple[object, ...]) -> Finish | None:
        """The answer to a request answered before, if everything still holds: at most one round trip."""
        hot = self._known.get(identity)
        if hot is None or not self._holds(identity, hot):
            return None
        start = time.monotonic_ns()
        found = await lookup.load(hot.job, hot.key, self._storage, hot.watches)
        finish = None if isinstance(found, lookup.Miss) else await lookup.restore(hot.job, found, self._storage)
        if finish is not None:
            self._count(hot, start)
        return finish

    def _holds(self, identity: tuple[object, ...], hot: _Hot) -> bool:
        if all(self._files.holds(watch) for watch in hot.watches) and all(still_holds(path, recorded) for path, recorded in hot.listings):
            return True
        self._known.pop(identity, None)
        return False

    def _count(self, hot: _Hot, start_ns: int) -> None:
        self._stats.count("compile_requests")
        self._stats.count("requests_executed")
        self._stats.hit(*hot.names, time.monotonic_ns() - start_ns, direct=True)
        log.debug("[%s]: cache hit (seen before)", hot.job.label)
