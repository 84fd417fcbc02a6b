"""What the pipeline sees of storage: one level or several, asked from near to far.

Owns: the order of looking, backfilling nearer levels, which failed writes count, statistics per level.
Must not know: what is in a blob (callers judge by `accept`), how a level keeps it.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from sccache.errors import DamagedError, StorageError, Trouble
from sccache.stats import LevelStats, RemoteStats
from sccache.storage.base import Kind
from sccache.storage.level import Level, LocalLevel, RemoteLevel
from sccache.storage.recent import Recent
from sccache.storage.trail import Pair
from sccache.storage.trails import Trails
from sccache.storage.writes import Done, Put, Update, Write

__all__ = ["Absent", "Found", "Levels", "Put", "Update"]

log = logging.getLogger(__name__)

MAX_BACKFILLS = 256  # under way at a time

T = TypeVar("T")
Accept = Callable[[bytes], T | None]
"""Looks at a blob: its value, None where it is of no use here; raises DamagedError."""
Merge = Callable[[bytes, bytes], bytes]
"""(what a nearer level has and was not accepted, what was) → what the nearer level shall have."""


class Found(Struct, Generic[T], frozen=True):
    """An accepted blob."""

    value: T
    level: int
    """Which to tell when damage shows later."""


class Absent(Struct, frozen=True):
    """No level had a blob that was accepted."""

    trouble: Trouble | None = None
    """Why the first level that failed did."""
    rejected: bool = False
    """Blobs were there, and none was accepted."""
    damaged: bool = False
    """A blob was there and was not as it was put."""


class Levels:
    """Storages from near to far.  `get_nowait`, `find` and `keep` run in one event loop."""

    def __init__(self, levels: Sequence[Level], *, is_chain: bool = False, policy: str = "l0") -> None:
        """`policy` says which failed writes are failures: `ignore`, `l0` or `all`."""
        self._levels = list(levels)
        self._is_chain = is_chain
        self._policy = policy
        self._nearest = levels[0] if levels and isinstance(levels[0], LocalLevel) else None
        self._recent = None if self._nearest else Recent()
        self._stats = [LevelStats(f"L{number} ({level.type_name})", level.location()) for number, level in enumerate(levels)]
        self._tasks: set[asyncio.Task[None]] = set()
        self._trails = Trails(levels, self._soon)
        for number, level in enumerate(levels):
            if isinstance(level, RemoteLevel):
                level.ahead.is_near = functools.partial(self._is_near, number)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def get_nowait(self, key: str, kind: Kind) -> bytes | None:
        """What the nearest level gives without waiting; None may only mean that it would have to be waited for."""
        if self._nearest is None:
            return self._recent.get(key) if self._recent is not None and kind is Kind.MANIFEST else None
        if not self._is_chain or kind is not Kind.ENTRY:
            return self._nearest.get_nowait(key, kind)
        start_ns = time.monotonic_ns()
        blob = self._nearest.get_nowait(key, kind)
        if blob is not None:  # an absent one is counted by whoever asks the other levels
            self._stats[0].hits += 1
            self._stats[0].hit_duration.add(time.monotonic_ns() - start_ns)
        return blob

    async def find(self, key: str, kind: Kind, accept: Accept[T], merge: Merge | None = None) -> Found[T] | Absent:
        """The first blob that is accepted, from near to far; nearer levels get it in the background."""
        if self._recent is not None and kind is Kind.MANIFEST and (value := self._accept_recent(key, accept)) is not None:
            return Found(value, 0)
        passed: list[bytes | None] = []
        trouble, rejected, damaged = None, False, False
        for number, level in enumerate(self._levels):
            start_ns = time.monotonic_ns()
            try:
                blob = level.get_nowait(key, kind) if isinstance(level, LocalLevel) else await level.get(key, kind)
            except StorageError as e:
                log.debug("%s: %s", level.type_name, e)
                trouble, blob = trouble or e.trouble, None
            duration_ns = time.monotonic_ns() - start_ns
            value = None
            try:
                value = None if blob is None else accept(blob)
            except DamagedError as e:
                log.warning("%s had a damaged object: %s", level.type_name, e)
                level.drop(key, kind)
                damaged, blob = True, None
            if value is not None and blob is not None:
                self._count(number, kind, duration_ns)
                self._found(number, Put(key, kind, blob), passed, merge)
                return Found(value, number)
            rejected = rejected or blob is not None
            passed.append(blob)
        self._count(None, kind, 0)
        return Absent(trouble, rejected, damaged)

    def _accept_recent(self, key: str, accept: Accept[T]) -> T | None:
        blob = self._recent.get(key) if self._recent is not None else None
        try:
            return None if blob is None else accept(blob)
        except DamagedError:
            self._forget(key)
            return None

    def _forget(self, key: str) -> None:
        if self._recent is not None:
            self._recent.drop(key)

    def _count(self, hit_at: int | None, kind: Kind, duration_ns: int) -> None:
        if kind is not Kind.ENTRY or not self._is_chain:
            return
        for stats in self._stats[:hit_at]:
            stats.misses += 1
        if hit_at is not None:
            self._stats[hit_at].hits += 1
            self._stats[hit_at].hit_duration.add(duration_ns)

    def _found(self, number: int, put: Put, passed: Sequence[bytes | None], merge: Merge | None) -> None:
        """Remember and hand on what level `number` had."""
        if self._recent is not None and put.kind is Kind.MANIFEST:
            self._recent.put(put.key, put.blob)
        for nearer, had in enumerate(passed):
            level = self._levels[nearer]
            if not level.is_writable:
                continue
            if len(self._tasks) >= MAX_BACKFILLS:
                return  # blobs must not pile up before a slow disk; the next hit comes again
            if put.kind is Kind.ENTRY:
                self._stats[number].backfills_from += 1
            write = put if merge is None or had is None else _merging(put, merge)
            self._soon(level.store([write], self._backfilled(nearer, put.kind)))

    def _backfilled(self, number: int, kind: Kind) -> Done:
        def done(error: StorageError | None, _: int) -> None:
            if error is not None:
                log.debug("a nearer level did not take what a farther one had: %s", error)
            elif kind is Kind.ENTRY:
                self._stats[number].backfills_to += 1

        return done

    def walked(self, trail: Callable[[], str], pair: Pair, level: int | None) -> None:
        """A compile uses this manifest and this entry: what followed them the last time on the trail `trail()` may be fetched ahead.

        `level` gave the manifest; None: the compile made it.
        """
        self._trails.walked(trail, pair, level)

    def _is_near(self, number: int, key: str, kind: Kind) -> bool:
        """Whether there is no need to ask level `number`."""
        if self._recent is not None and kind is Kind.MANIFEST and self._recent.get(key) is not None:
            return True
        return any(level.has(key, kind) for level in self._levels[: number + 1])

    def drop(self, key: str, kind: Kind, level: int = 0) -> None:
        """The blob that this level gave turned out to be damaged: it is not to give it again."""
        if kind is Kind.MANIFEST:
            self._forget(key)
        self._levels[level].drop(key, kind)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def keep(self, writes: Sequence[Write], done: Done) -> None:
        """Write on every level that may be written: local ones at once, remote ones by and by.

        `done` is called once, as soon as it is certain whether this counts as stored, with the error if it does not.
        """
        if self._recent is not None:
            for write in writes:
                if write.kind is Kind.MANIFEST:
                    self._recent.write(write)
        targets = [(number, level) for number, level in enumerate(self._levels) if level.is_writable]
        if not targets:
            done(None if self._is_chain else StorageError("Cannot write to a read-only cache", Trouble.READ_ONLY), 0)
            return
        outcome = _Outcome(self._policy, [number for number, _ in targets], done, is_chain=self._is_chain)
        for number, level in targets:
            await level.store(writes, self._stored(number, outcome, is_result=any(write.kind is Kind.ENTRY for write in writes)))

    def _stored(self, number: int, outcome: "_Outcome", *, is_result: bool) -> Done:
        """Only results are counted, not what is kept about compilers."""

        def done(error: StorageError | None, duration_ns: int) -> None:
            if not is_result:
                pass
            elif error is None:
                self._stats[number].writes += 1
                self._stats[number].write_duration.add(duration_ns)
            else:
                self._stats[number].write_failures += 1
            outcome.add(number, error, duration_ns)

        return done

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("work in the background failed", exc_info=error)

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def check_soon(self) -> None:
        """Find out in the background what can be done with each remote level, and log it."""
        for level in self._levels:
            if isinstance(level, RemoteLevel):
                self._soon(level.check())

    def location(self) -> str:
        """As the statistics show it."""
        return f"Multi-level ({len(self._levels)} levels)" if self._is_chain else self._levels[0].location()

    def used_bytes(self) -> int | None:
        """What the local levels hold; None where that is not known, or there is none."""
        known = [used for level in self._levels if (used := level.used_bytes()) is not None]
        return sum(known) if known else None

    def max_bytes(self) -> int | None:
        """What the local levels may hold; None where there is none."""
        known = [most for level in self._levels if (most := level.max_bytes()) is not None]
        return sum(known) if known else None

    def levels_stats(self) -> list[LevelStats] | None:
        """Counters per level of a chain."""
        return self._stats if self._is_chain else None

    def remote_stats(self) -> list[RemoteStats] | None:
        """Counters per remote storage."""
        return [level.stats for level in self._levels if isinstance(level, RemoteLevel)] or None

    def zero_stats(self) -> None:
        """Start counting again."""
        self._stats = [LevelStats(stats.name, stats.location) for stats in self._stats]
        for level in self._levels:
            level.zero_stats()

    def notes(self) -> list[str]:
        """Sentences for the user about what does not work, or was lost."""
        return [note for level in self._levels for note in level.notes()]

    def has_pending(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._tasks) or any(level.has_pending() for level in self._levels)

    async def flush(self, deadline_s: float) -> None:
        """Write all that waits; what is not written within the deadline is counted as lost."""
        start_s = time.monotonic()
        await self._trails.write()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=deadline_s)
        left_s = max(deadline_s - (time.monotonic() - start_s), 0.0)
        await asyncio.gather(*(level.flush(left_s) for level in self._levels))

    async def aclose(self, deadline_s: float) -> None:
        """Flush and close; nothing may be called after."""
        await self.flush(deadline_s)
        self._trails.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*(level.aclose() for level in self._levels))


def _merging(put: Put, merge: Merge) -> Update:
    """With what the level has by then, which others may have changed."""
    return Update(put.key, put.kind, lambda known: put.blob if known is None else merge(known, put.blob))


class _Outcome:
    """Collects what levels say of one write until the policy is satisfied."""

    def __init__(self, policy: str, numbers: Sequence[int], done: Done, *, is_chain: bool) -> None:
        self._done: Done | None = done
        self._is_chain = is_chain
        self._forgives = policy == "ignore"
        self._awaited = set(numbers) if policy == "all" else set(numbers[:1])

    def add(self, number: int, error: StorageError | None, duration_ns: int) -> None:
        """One level is done."""
        if self._done is None or number not in self._awaited:
            return
        if error is None:
            self._awaited.discard(number)
            if self._awaited:
                return
        done, self._done = self._done, None
        if error is not None and self._is_chain:
            error = StorageError(f"Failed to write to cache level {number}: {error}", error.trouble)
        done(None if self._forgives else error, duration_ns)
