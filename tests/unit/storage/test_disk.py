"""Local disk: layout, sizes, failure, read-only."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.util.test_output_files import file_size_limit

from sccache.errors import StorageError
from sccache.storage.base import Kind
from sccache.storage.disk import DiskStorage

PLENTY = 1 << 30


def key(number: int) -> str:
    """A key like those of the product."""
    return hashlib.sha256(b"%d" % number).hexdigest()


def cached_files(root: Path) -> dict[str, int]:
    """Names and sizes of what is cached, by looking."""
    found = (Path(folder, name) for folder, _, names in os.walk(root) for name in names if len(name) == 64)
    return {str(path.relative_to(root)): path.stat().st_size for path in found}


def age(root: Path, numbers: list[int], at_s: float) -> None:
    """Make files look as if last used at `at_s`."""
    for number in numbers:
        name = key(number)
        os.utime(root / name[0] / name[1] / name, (at_s, at_s))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def storage(root: Path) -> Iterator[DiskStorage]:
    disk = DiskStorage(str(root), PLENTY)
    yield disk
    disk.close()


def test_files_are_where_users_know_them(root: Path, storage: DiskStorage) -> None:
    """Two levels of one digit, manifests in their own folder."""
    name = "ab" + "0" * 62
    storage.put_nowait(name, Kind.ENTRY, b"entry")
    storage.put_nowait(name, Kind.MANIFEST, b"manifest")
    assert cached_files(root) == {f"a/b/{name}": 5, f"preprocessor/a/b/{name}": 8}


def test_an_idle_storage_makes_no_directory(root: Path, storage: DiskStorage) -> None:
    """Looking, asking for the size and stopping leave no trace."""
    assert storage.get_nowait(key(1), Kind.ENTRY) is None
    assert storage.used_bytes() is None
    storage.drop(key(1), Kind.ENTRY)
    storage.keep_house()
    storage.close()
    assert not root.exists()


def test_location_is_quoted(tmp_path: Path) -> None:
    """As sccache prints it, whatever bytes the path has."""
    assert DiskStorage("/a/b c", 1).location() == 'Local disk: "/a/b c"'
    assert DiskStorage('/a"b\\\n', 1).location() == 'Local disk: "/a\\"b\\\\\\n"'
    assert DiskStorage("/caf\udce9/é", 1).location() == 'Local disk: "/caf\\xe9/é"'


def test_nothing_but_the_blobs_is_left(root: Path, storage: DiskStorage) -> None:
    """No temporary file stays after a put."""
    for number in range(20):
        storage.put_nowait(key(number), Kind.ENTRY, b"x" * number)
    assert not [name for name in os.listdir(root) if name.startswith(".sccachetmp")]


def test_size_is_exact(root: Path, storage: DiskStorage) -> None:
    """Puts, replacements and drops, of both kinds, are counted to the byte."""
    for number in range(300):
        kind = Kind.MANIFEST if number % 3 else Kind.ENTRY
        storage.put_nowait(key(number % 200), kind, b"x" * (number * 7))
        if number % 5 == 0:
            storage.drop(key(number // 2), kind)
    assert storage.used_bytes() == sum(cached_files(root).values())


def test_exactly_full_is_allowed(storage: DiskStorage, root: Path) -> None:
    """20 of 20 bytes stay."""
    storage.max_size_bytes = 20
    storage.put_nowait(key(1), Kind.ENTRY, b"0" * 10)
    storage.put_nowait(key(2), Kind.ENTRY, b"0" * 10)
    storage.keep_house()
    assert len(cached_files(root)) == 2


def test_the_oldest_goes_first(storage: DiskStorage, root: Path) -> None:
    """A third file of 10 bytes pushes the first out of 25."""
    storage.max_size_bytes = 25
    for number in (1, 2, 3):
        storage.put_nowait(key(number), Kind.ENTRY, b"0" * 10)
        age(root, [number], 1_000_000_000 + number / 100)
    storage.keep_house()
    assert [storage.get_nowait(key(number), Kind.ENTRY) is not None for number in (1, 2, 3)] == [False, True, True]


def test_use_keeps_a_file(storage: DiskStorage, root: Path) -> None:
    """What was read lately survives what was not, in this process and after a restart."""
    for number in range(10):
        storage.put_nowait(key(number), Kind.ENTRY, b"0" * 10)
    age(root, list(range(10)), 1_000_000_000)
    for number in (0, 5):
        storage.get_nowait(key(number), Kind.ENTRY)
    storage.close()
    again = DiskStorage(str(root), 25)
    again.keep_house()
    assert {name[4:] for name in cached_files(root)} == {key(0), key(5)}
    again.close()


def test_eviction_follows_age_over_years(storage: DiskStorage, root: Path) -> None:
    """Whatever the spread of ages, what goes is older than what stays; down to the low-water mark, no further."""
    for number in range(200):
        storage.put_nowait(key(number), Kind.ENTRY, b"0" * 100)
        age(root, [number], 1_000_000_000 + (number * 7919 % 200) * 1000)
    storage.max_size_bytes = 10_000
    storage.keep_house()
    assert storage.used_bytes() == 9_000
    stayed = {number * 7919 % 200 for number in range(200) if storage.get_nowait(key(number), Kind.ENTRY) is not None}
    assert stayed == set(range(110, 200))


def test_too_large_a_blob_is_refused(storage: DiskStorage, root: Path) -> None:
    """A blob larger than the whole cache would push out everything and then itself."""
    storage.max_size_bytes = 10
    with pytest.raises(StorageError, match="File too large"):
        storage.put_nowait(key(1), Kind.ENTRY, b"0" * 11)
    assert not root.exists()


def test_a_size_of_zero_is_legal(storage: DiskStorage, root: Path) -> None:
    """Every put is refused, and what was there goes."""
    storage.put_nowait(key(1), Kind.ENTRY, b"old")
    storage.max_size_bytes = 0
    with pytest.raises(StorageError, match="File too large"):
        storage.put_nowait(key(2), Kind.ENTRY, b"0")
    storage.keep_house()
    assert cached_files(root) == {}
    assert storage.used_bytes() == 0


def test_foreign_files_are_neither_counted_nor_deleted(storage: DiskStorage, root: Path) -> None:
    """A root that is somebody's home by mistake loses nothing."""
    (root / "a" / "b").mkdir(parents=True)
    precious = [root / "a" / "b" / "thesis.tex", root / "notes", root / "a" / "b" / ("A" * 64)]
    for path in precious:
        path.write_bytes(b"x" * 1000)
    storage.max_size_bytes = 100
    for number in range(20):
        storage.put_nowait(key(number), Kind.ENTRY, b"x" * 50)
    storage.keep_house()
    assert all(path.exists() for path in precious)
    assert (storage.used_bytes() or 0) <= 100


def test_a_cache_of_sccache_is_taken_over(root: Path, storage: DiskStorage) -> None:
    """Its files count and are evicted like ours; its manifests lie one level deeper."""
    (root / "a" / "b").mkdir(parents=True)
    (root / "preprocessor" / "a" / "b" / "c").mkdir(parents=True)
    (root / "a" / "b" / ("ab" + "0" * 62)).write_bytes(b"PK" + b"z" * 98)
    (root / "preprocessor" / "a" / "b" / "c" / ("abc" + "0" * 61)).write_bytes(b"x" * 50)
    assert storage.used_bytes() is None
    storage.put_nowait(key(1), Kind.ENTRY, b"mine")
    storage.keep_house()
    assert storage.used_bytes() == 154
    storage.max_size_bytes = 10
    age(root, [1], time.time() + 100)
    storage.keep_house()
    assert list(cached_files(root).values()) == [4]


def test_a_lost_or_damaged_ledger_is_made_again(root: Path) -> None:
    """Sizes are honest again after one round of housekeeping."""
    for damage in (b"", b"garbage", None):
        disk = DiskStorage(str(root), PLENTY)
        for number in range(50):
            disk.put_nowait(key(number), Kind.ENTRY, b"x" * 100)
        disk.close()
        ledger = root / ".sccache-sizes"
        if damage is None:
            ledger.unlink()
        else:
            ledger.write_bytes(damage)
        disk = DiskStorage(str(root), PLENTY)
        disk.put_nowait(key(50), Kind.ENTRY, b"x" * 100)
        disk.keep_house()
        assert disk.used_bytes() == sum(cached_files(root).values()) == 5100
        disk.close()


def test_an_emptied_directory_is_noticed(root: Path, storage: DiskStorage) -> None:
    """Somebody else's `rm -rf` of the cache is a cache that begins anew, with the right size."""
    storage.put_nowait(key(1), Kind.ENTRY, b"x" * 1000)
    os.system(f"rm -rf '{root}'")
    assert storage.get_nowait(key(1), Kind.ENTRY) is None
    storage.put_nowait(key(2), Kind.ENTRY, b"x" * 10)
    assert storage.used_bytes() == 10
    assert storage.get_nowait(key(2), Kind.ENTRY) == b"x" * 10


def test_removed_files_are_misses_and_found_out(root: Path, storage: DiskStorage) -> None:
    """A file deleted behind our back is a miss; eviction and counting find the true size."""
    for number in range(10):
        storage.put_nowait(key(number), Kind.ENTRY, b"x" * 100)
    for number in range(5):
        name = key(number)
        (root / name[0] / name[1] / name).unlink()
    assert storage.get_nowait(key(1), Kind.ENTRY) is None
    storage.max_size_bytes = 900
    storage.keep_house()
    assert storage.used_bytes() == 500
    assert len(cached_files(root)) == 5


@pytest.mark.parametrize("tail", ["", "/below"])
def test_a_root_that_is_a_file_only_costs_hits(tmp_path: Path, tail: str) -> None:
    """Gets are misses, puts say why, nothing else happens."""
    (tmp_path / "cache").write_bytes(b"precious")
    storage = DiskStorage(f"{tmp_path}/cache{tail}", PLENTY)
    assert storage.get_nowait(key(1), Kind.ENTRY) is None
    with pytest.raises(StorageError, match="cannot write to"):
        storage.put_nowait(key(1), Kind.ENTRY, b"x")
    storage.drop(key(1), Kind.ENTRY)
    assert storage.used_bytes() is None
    storage.close()
    assert (tmp_path / "cache").read_bytes() == b"precious"


def test_a_full_disk_is_told_and_leaves_nothing(root: Path, storage: DiskStorage) -> None:
    """The put fails, its temporary file goes, the size stays honest."""
    storage.put_nowait(key(1), Kind.ENTRY, b"x")
    with file_size_limit(10_000), pytest.raises(StorageError, match="cannot write to"):
        storage.put_nowait(key(2), Kind.ENTRY, b"x" * 20_000)
    assert not [name for name in os.listdir(root) if name.startswith(".sccachetmp")]
    assert storage.used_bytes() == 1
    assert storage.get_nowait(key(2), Kind.ENTRY) is None


def test_read_only_changes_nothing(root: Path) -> None:
    """Hits are given out; not a file, a time or a ledger is written."""
    writer = DiskStorage(str(root), PLENTY)
    writer.put_nowait(key(1), Kind.ENTRY, b"blob")
    writer.close()
    age(root, [1], 1_000_000_000)
    before = [(path, path.lstat()) for path in sorted(root.rglob("*"))]
    reader = DiskStorage(str(root), 2, read_only=True)
    assert reader.get_nowait(key(1), Kind.ENTRY) == b"blob"
    with pytest.raises(StorageError, match="Cannot write to a read-only cache"):
        reader.put_nowait(key(2), Kind.ENTRY, b"x")
    reader.drop(key(1), Kind.ENTRY)
    reader.max_size_bytes = 1
    reader.keep_house()
    assert reader.used_bytes() == 4
    reader.close()
    after = [(path, path.lstat()) for path in sorted(root.rglob("*"))]
    assert [(path, info.st_mtime_ns, info.st_ctime_ns) for path, info in after] == [
        (path, info.st_mtime_ns, info.st_ctime_ns) for path, info in before
    ]


def test_abandoned_temporary_files_go_after_an_hour(root: Path, storage: DiskStorage) -> None:
    """Those of killed writers; younger ones may still be written to."""
    storage.put_nowait(key(1), Kind.ENTRY, b"x")
    old, young = root / ".sccachetmpdead-0", root / ".sccachetmpbeef-0"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 3700, time.time() - 3700))
    storage.keep_house()
    assert (old.exists(), young.exists()) == (False, True)


def test_a_file_that_cannot_be_unlinked_stops_nothing(root: Path, storage: DiskStorage) -> None:
    """A directory under a key's name stands for whatever refuses unlink: the rest is evicted."""
    name = key(1)
    (root / name[0] / name[1] / name).mkdir(parents=True)
    storage.max_size_bytes = 100
    for number in range(2, 12):
        storage.put_nowait(key(number), Kind.ENTRY, b"x" * 50)
    storage.keep_house()
    assert (storage.used_bytes() or 0) <= 100
    assert storage.get_nowait(name, Kind.ENTRY) is None


def test_threads_share_a_storage(storage: DiskStorage, root: Path) -> None:
    """Readers never see a torn blob, sizes stay exact."""
    torn: list[bytes] = []

    def work(number: int) -> None:
        for step in range(50):
            storage.put_nowait(key(step % 7), Kind.ENTRY, bytes([number]) * (1000 + number))
            blob = storage.get_nowait(key((step + 3) % 7), Kind.ENTRY)
            if blob is not None and len(set(blob)) != 1:
                torn.append(blob)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not torn
    assert storage.used_bytes() == sum(cached_files(root).values())


def test_a_closed_storage_fails_politely(storage: DiskStorage) -> None:
    """A thread that is late when the daemon stops gets a StorageError or a miss, nothing else; the blob is kept or not."""
    storage.put_nowait(key(1), Kind.ENTRY, b"x")
    ledger = storage._opened()
    storage.close()
    with pytest.raises(OSError, match="closed"), ledger.locked():
        pass
    assert storage.get_nowait(key(1), Kind.ENTRY) == b"x"
    storage.put_nowait(key(2), Kind.ENTRY, b"y")
    assert storage.used_bytes() == 2
