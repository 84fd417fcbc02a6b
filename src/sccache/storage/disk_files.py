"""Which files of a cache directory are ours, and which of them go first when it is full.

    <root>/<k0>/<k1>/<key>                     entries
    <root>/preprocessor/<k0>/<k1>/<key>        manifests (sccache's had one more level: counted and evicted alike)
    <root>/.sccachetmp*                        files being written

Owns: this layout, the walk over it, choosing and deleting the least recently used.  Must not know: settings, blobs.

Only names of 64 hex digits are ever counted or deleted: a root that is a home directory by mistake loses nothing.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from sccache.storage.base import Kind
from sccache.storage.disk_ledger import SLOTS, Ledger

TEMPORARY_PREFIX = ".sccachetmp"
ABANDONED_AFTER_S = 3600.0
"""No writer takes so long: an older temporary file belongs to a process that was killed."""
LOCKED_FILES = 32
"""Most files deleted under one lock: about 0.3 ms."""
MAX_TIES = 20_000
"""Most files held in memory, those that fall in the same second as the oldest survivor."""
MAX_AGES = 10_000
_FIRST_SHIFT = 30  # 2**30 ns: ages are told apart by about a second
_KEY = re.compile("[0-9a-f]{64}").fullmatch
_LOG = logging.getLogger(__name__)


class CachedFile(Struct, frozen=True):
    """A file found in the cache."""

    path: str
    size_bytes: int
    mtime_ns: int


def files_of(root: str, slot: int) -> Iterator[CachedFile]:
    """Our files in a slot, in no order; what cannot be read is not there."""
    leaf = f"{slot >> 4:x}/{slot & 15:x}"
    for kind in Kind:
        yield from _files_below(f"{root}/{kind.value}{leaf}", depth=2)


def _files_below(folder: str, depth: int) -> Iterator[CachedFile]:
    try:
        found = os.scandir(folder)
    except OSError:
        return
    with found:
        for entry in found:
            try:
                if _KEY(entry.name) and entry.is_file(follow_symlinks=False):
                    info = entry.stat(follow_symlinks=False)
                    yield CachedFile(entry.path, info.st_size, info.st_mtime_ns)
                elif depth > 1 and len(entry.name) == 1 and entry.is_dir(follow_symlinks=False):
                    yield from _files_below(entry.path, depth - 1)
            except OSError:  # gone since it was listed
                continue


def count_slot(root: str, ledger: Ledger, slot: int) -> None:
    """Bring the ledger's slot up to what is there; if it keeps changing, the next round will do."""
    for _ in range(3):
        changes = ledger.changes(slot)
        if ledger.settle(slot, sum(file.size_bytes for file in files_of(root, slot)), changes):
            return


def delete_abandoned(root: str, now_s: float) -> None:
    """Remove temporary files of writers that were killed."""
    with os.scandir(root) as found:
        names = [entry.name for entry in found if entry.name.startswith(TEMPORARY_PREFIX)]
    for name in names:
        path = f"{root}/{name}"
        try:
            if os.lstat(path).st_mtime < now_s - ABANDONED_AFTER_S:
                os.unlink(path)
        except OSError as e:
            _LOG.debug("cannot remove %s: %s", path, e)


class Eviction:
    """One pass that deletes the least recently used files until at most `target_bytes` are left.

    Two walks over the directory and no list of it: the first adds up sizes by age, which gives the age from which files
    stay; the second deletes what is older.  Only files of just that age are compared one by one.
    """

    def __init__(self, root: str, ledger: Ledger, is_wanted: Callable[[str], bool], rest: Callable[[], bool]) -> None:
        """`is_wanted` tells a file just used; `rest` is called between slots and says whether to go on."""
        self._root = root
        self._ledger = ledger
        self._is_wanted = is_wanted
        self._rest = rest
        self.freed_bytes = 0
        self.failed = 0

    def run(self, target_bytes: int) -> None:
        """Do it; stops early when told to."""
        ages = self._ages()
        excess = (self._ledger.total_bytes() or 0) - target_bytes
        if excess <= 0 or ages is None:
            return
        ties: list[CachedFile] = []
        limit = ages.age_freeing(excess)
        for slot in range(SLOTS):
            older = []
            for file in files_of(self._root, slot):
                age = ages.age_of(file.mtime_ns)
                if age < limit:
                    older.append(file)
                elif age == limit and len(ties) < MAX_TIES:
                    ties.append(file)
            self._delete(slot, older)
            if not self._rest():
                return
        ties.sort(key=lambda file: file.mtime_ns)
        for file in ties:
            if self.freed_bytes >= excess:
                return
            self._delete(_slot_of_path(file.path), [file])

    def _ages(self) -> "_Ages | None":
        """The first walk; it counts each slot on the way."""
        ages = _Ages()
        for slot in range(SLOTS):
            changes = self._ledger.changes(slot)
            size_bytes = 0
            for file in files_of(self._root, slot):
                size_bytes += file.size_bytes
                ages.add(file.mtime_ns, file.size_bytes)
            self._ledger.settle(slot, size_bytes, changes)
            if not self._rest():
                return None
        return ages

    def _delete(self, slot: int, files: list[CachedFile]) -> None:
        for start in range(0, len(files), LOCKED_FILES):
            with self._ledger.locked():
                for file in files[start : start + LOCKED_FILES]:
                    self._delete_one(slot, file)

    def _delete_one(self, slot: int, file: CachedFile) -> None:
        if self._is_wanted(file.path):
            return
        try:
            now = os.lstat(file.path)
            if now.st_mtime_ns != file.mtime_ns:
                return  # used or replaced since the walk
            os.unlink(file.path)
        except FileNotFoundError:
            return
        except OSError as e:
            self.failed += 1
            _LOG.warning("cannot evict %s: %s", file.path, e)
            return
        self._ledger.add(slot, -now.st_size)
        self.freed_bytes += now.st_size


class _Ages:
    """Bytes by age; ages are whole seconds, or coarser where there are many."""

    def __init__(self) -> None:
        self._shift = _FIRST_SHIFT
        self._bytes: dict[int, int] = {}

    def age_of(self, mtime_ns: int) -> int:
        return mtime_ns >> self._shift

    def add(self, mtime_ns: int, size_bytes: int) -> None:
        age = mtime_ns >> self._shift
        self._bytes[age] = self._bytes.get(age, 0) + size_bytes
        if len(self._bytes) > MAX_AGES:
            while len(self._bytes) > MAX_AGES // 2:
                self._coarsen()

    def age_freeing(self, excess: int) -> int:
        """The age A such that deleting all that is older than A is not yet enough, and A as well is."""
        freed = 0
        for age in sorted(self._bytes):
            freed += self._bytes[age]
            if freed >= excess:
                return age
        return max(self._bytes, default=0) + 1

    def _coarsen(self) -> None:
        self._shift += 3
        old, self._bytes = self._bytes, {}
        for age, size_bytes in old.items():
            self._bytes[age >> 3] = self._bytes.get(age >> 3, 0) + size_bytes


def _slot_of_path(path: str) -> int:
    return int(path.rpartition("/")[2][:2], 16)
