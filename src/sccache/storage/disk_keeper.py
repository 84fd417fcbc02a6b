"""The housekeeping of a cache directory: one thread, off the hot path.

Owns: the thread, when it wakes, what it does in which order.  Must not know: how files are read and written.

It refreshes the modification time (the recency) of files that were used, counts what the ledger does not know or has not
verified for long, deletes what killed writers left, and evicts when the directory is too full.  It stays at normal
priority: a thread of low priority that holds the interpreter's lock would stop the daemon's hits on a busy machine.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable

from sccache.errors import StorageError
from sccache.storage.disk_files import Eviction, count_slot, delete_abandoned
from sccache.storage.disk_ledger import SLOTS, Ledger, lock_file

EVICTION_LOCK_NAME = ".sccache-evicting"
BATCH_S = 1.0
"""How long used files are gathered before their times are written."""
REST_S = 0.002
"""Between slots: leaves the disk and the interpreter to others."""
VERIFY_EVERY_S = 60.0
"""A slot in use is counted again so often: the whole directory in four hours, against crashes and other people's rm."""
TIDY_EVERY_S = 3600.0
RETRY_S = 30.0
"""After something failed: a read-only or broken disk is not asked every second."""
LOW_WATER = 0.9
"""Eviction goes down to this part of the size, so that it runs once for each tenth of the cache that is written."""
_LOG = logging.getLogger(__name__)


class Keeper:
    """Housekeeping for one DiskStorage."""

    def __init__(self, root: str, ledger: Callable[[], Ledger | None], max_size_bytes: Callable[[], int]) -> None:
        self._root = root
        self._ledger = ledger
        self._max_size_bytes = max_size_bytes
        self._used: dict[str, int] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._turn = threading.Lock()
        self._next_slot = 0
        self._verified_s = time.monotonic()
        self._tidied_s = float("-inf")
        self._evict_after_s = float("-inf")

    def note_use(self, path: str) -> None:
        """Remember that `path` was used now: costs less than a microsecond."""
        is_first = not self._used
        self._used[path] = time.time_ns()
        if is_first:
            self.wake()

    def wake(self) -> None:
        """There may be something to do."""
        if self._thread is None:
            self._start()
        self._wake.set()

    def close(self, deadline_s: float) -> None:
        """Stop within `deadline_s`; the last uses are still written."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(deadline_s)
        if self._turn.acquire(blocking=False):
            try:
                self._refresh_used()
            finally:
                self._turn.release()

    def work(self, rest: Callable[[], bool]) -> None:
        """One round of everything that is due; `rest` is called between slots and says whether to go on."""
        with self._turn:
            self._refresh_used()
            ledger = self._ledger()
            if ledger is None:
                return
            self._tidy()
            for slot in ledger.uncounted():
                count_slot(self._root, ledger, slot)
                if not rest():
                    return
            self._verify_one(ledger)
            self._evict(ledger, rest)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="sccache-disk-keeper", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._stop.wait(BATCH_S)
            self._wake.clear()
            try:
                self.work(self._rest)
            except (OSError, StorageError) as e:
                _LOG.warning("housekeeping of %s: %s", self._root, e)
                self._stop.wait(RETRY_S)

    def _refresh_used(self) -> None:
        while self._used:
            path, used_ns = self._used.popitem()
            try:
                os.utime(path, ns=(used_ns, used_ns), follow_symlinks=False)
            except OSError as e:  # evicted meanwhile, or not ours to touch
                _LOG.debug("cannot note the use of %s: %s", path, e)

    def _tidy(self) -> None:
        now_s = time.monotonic()
        if now_s - self._tidied_s >= TIDY_EVERY_S:
            self._tidied_s = now_s
            delete_abandoned(self._root, time.time())

    def _verify_one(self, ledger: Ledger) -> None:
        now_s = time.monotonic()
        if now_s - self._verified_s >= VERIFY_EVERY_S:
            self._verified_s = now_s
            count_slot(self._root, ledger, self._next_slot)
            self._next_slot = (self._next_slot + 1) % SLOTS

    def _evict(self, ledger: Ledger, rest: Callable[[], bool]) -> None:
        limit = self._max_size_bytes()
        if (ledger.total_bytes() or 0) <= limit or time.monotonic() < self._evict_after_s:
            return
        lock = os.open(f"{self._root}/{EVICTION_LOCK_NAME}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            lock_file(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process is at it
        else:
            eviction = Eviction(self._root, ledger, self._used.__contains__, rest)
            eviction.run(int(limit * LOW_WATER))
            _LOG.info("evicted %d bytes from %s", eviction.freed_bytes, self._root)
            if eviction.failed:
                self._evict_after_s = time.monotonic() + RETRY_S
        finally:
            os.close(lock)

    def _rest(self) -> bool:
        return not self._stop.wait(REST_S)
