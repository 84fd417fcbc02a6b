"""Time a local hit's storage part: open, verify, restore, by object size.

    python benchmarks/entry_disk.py [OBJECT…] [--dir DIR]

Without OBJECT it takes slices of this interpreter's own binary, which compress worse than objects with debug
information: give real .o files for figures that mean something.  All figures are the best of five rounds.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sccache.entry import open_entry, pack
from sccache.model import Diagnostics, ProducedFile
from sccache.storage.base import Kind
from sccache.storage.disk import DiskStorage

SIZES = (10_000, 100_000, 1_000_000, 50_000_000)
DEPENDS = [f"/usr/include/c++/12/bits/header_{number}.h" for number in range(300)]
ROUNDS = 5


def best_us(work: Callable[[], object], size: int) -> float:
    """Microseconds of one call, the best of some rounds."""
    count = max(2, min(300, 30_000_000 // (size + 1)))
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, (time.perf_counter() - start) / count)
    return best * 1e6


def measure(name: str, data: bytes, folder: str, storage: DiskStorage) -> None:
    """One line of figures for an object."""
    key = hashlib.sha256(name.encode()).hexdigest()
    start = time.perf_counter()
    blob = pack([ProducedFile("obj", data)], [Diagnostics(b"", b"", b"")], DEPENDS, "benchmark", b"", 3)
    pack_us = (time.perf_counter() - start) * 1e6
    storage.put_nowait(key, Kind.ENTRY, blob)
    target = f"{folder}/restored.o"

    def read() -> bytes:
        found = storage.get_nowait(key, Kind.ENTRY)
        assert found is not None
        return found

    def restore() -> None:
        open_entry(blob).write("obj", target, 0o644)

    def hit() -> None:
        if os.path.exists(target):
            os.unlink(target)
        entry = open_entry(read())
        _ = entry.header.depends
        entry.write("obj", target, 0o644)

    read_us, open_us = best_us(read, len(data)), best_us(lambda: open_entry(blob), 0)
    restore_us, hit_us = best_us(restore, len(data)), best_us(hit, len(data))
    copy_us = best_us(lambda: shutil.copyfile(target, target + ".copy"), len(data))
    print(
        f"{name[-28:]:28} {len(data):10} {len(blob) / len(data):6.2f} {pack_us:10.0f} {read_us:8.1f} {open_us:8.1f}"
        f" {restore_us:10.1f} {hit_us:10.1f} {copy_us:10.1f}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("objects", nargs="*", type=Path)
    parser.add_argument("--dir", default=None, help="where to work (its file system is what is measured)")
    options = parser.parse_args()
    own = Path(sys.executable).resolve().read_bytes() + Path(os.__file__).read_bytes()
    own = own * (SIZES[-1] // len(own) + 1)
    samples = [(str(path), path.read_bytes()) for path in options.objects] or [(f"slice {size}", own[:size]) for size in SIZES]
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        storage = DiskStorage(f"{folder}/cache", 4 << 30)
        columns = [("ratio", 6), ("pack us", 10), ("read us", 8), ("open us", 8), ("restore us", 10), ("hit us", 10), ("copy us", 10)]
        print(f"{'object':28} {'bytes':>10}", *(f"{name:>{width}}" for name, width in columns))
        for name, data in samples:
            measure(name, data, folder, storage)
        storage.close()


if __name__ == "__main__":
    main()
