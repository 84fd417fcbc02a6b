"""Time a storage on a directory of many files: ready, first hit, first store, counting, evicting.

    python benchmarks/disk_million.py [--files 1000000] [--dir DIR] [--keep]

Files are hard links to a few thousand real ones, so that a million of them needs no disk space, only inodes' names.
"""

import argparse
import hashlib
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

from sccache.storage.base import Kind
from sccache.storage.disk import DiskStorage

SOURCES = 2_000


def key(number: int) -> str:
    """A key like those of the product."""
    return hashlib.blake2b(b"%d" % number, digest_size=32).hexdigest()


def fill(root: Path, count: int) -> None:
    """Make `count` names of 64 hex digits."""
    sources = root / "sources"
    sources.mkdir(parents=True)
    for number in range(SOURCES):
        (sources / str(number)).write_bytes(b"x" * 1000)
        os.utime(sources / str(number), (1_600_000_000 + number * 1000,) * 2)
    for slot in range(256):
        (root / f"{slot >> 4:x}" / f"{slot & 15:x}").mkdir(parents=True)
    for number in range(count):
        name = key(number)
        os.link(sources / str(number % SOURCES), root / name[0] / name[1] / name)


def timed(what: str, start: float) -> None:
    """One line of figures."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{what:44} {(time.perf_counter() - start) * 1e3:10.1f} ms   (peak memory {peak} MB)", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--dir", default=None)
    parser.add_argument("--keep", action="store_true", help="do not evict, do not delete the directory")
    options = parser.parse_args()
    root = Path(options.dir or tempfile.mkdtemp()) / "cache"
    if not root.exists():
        start = time.perf_counter()
        fill(root, options.files)
        timed(f"(making {options.files} files)", start)
    start = time.perf_counter()
    storage = DiskStorage(str(root), 1 << 50)
    size = storage.used_bytes()
    timed(f"ready; size {size}", start)
    start = time.perf_counter()
    assert storage.get_nowait(key(1), Kind.ENTRY) is not None
    timed("first hit", start)
    start = time.perf_counter()
    storage.put_nowait(key(-1), Kind.ENTRY, b"x" * 1000)
    timed("first store", start)
    start = time.perf_counter()
    storage.keep_house()
    timed(f"everything counted; size {storage.used_bytes()}", start)
    if not options.keep:
        storage.max_size_bytes = options.files * 950
        start = time.perf_counter()
        storage.keep_house()
        timed(f"evicted to 0.9 of 0.95; size {storage.used_bytes()}", start)
    storage.close()
    if not options.keep:
        shutil.rmtree(root.parent)


if __name__ == "__main__":
    main()
