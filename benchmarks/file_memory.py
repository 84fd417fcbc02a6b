"""What checking the inputs of one C++ compile costs: `PYTHONPATH=src python benchmarks/file_memory.py [INPUTS]`.

300 headers of this machine, 836 names that must not appear in 56 directories of which 47 do not exist (as measured on a real
compile with 8 search directories).  Best of several runs, in microseconds.
"""

import glob
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable

from sccache.hashing import stamps
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.preprocessor_cache.includes import scan
from sccache.preprocessor_cache.manifest import Input, Manifest, Variant, lookup
from sccache.preprocessor_cache.manifest_format import decode, encode

try:
    from sccache._native import StampTable as NativeTable
except ImportError:
    NativeTable = None

HEADERS = ("/usr/include/c++/*/**/*", "/usr/include/**/*.h")
MISSING_DIRECTORIES, EXISTING_DIRECTORIES, NAMES_EACH = 47, 9, 15


def best_us(work: Callable[[], object], runs: int = 30) -> float:
    """Best time of one run."""
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def headers(count: int) -> list[str]:
    """Some headers of this machine."""
    found = itertools.chain.from_iterable(glob.iglob(pattern, recursive=True) for pattern in HEADERS)
    return list(itertools.islice(filter(os.path.isfile, found), count))


def absent(root: str) -> dict[str, tuple[str, ...]]:
    """Names that are nowhere."""
    names = tuple(f"no-such-header-{number}.h" for number in range(NAMES_EACH))
    existing = [os.path.join(root, f"include{number}") for number in range(EXISTING_DIRECTORIES)]
    for directory in existing:
        os.makedirs(directory, exist_ok=True)
        os.utime(directory, ns=(0, 0))
    missing = [f"{existing[number % EXISTING_DIRECTORIES]}/missing{number}" for number in range(MISSING_DIRECTORIES)]
    return dict.fromkeys([*existing, *missing], names)


def report(title: str, files: FileMemory, inputs: list[tuple[str, bytes]], wanted: dict[str, tuple[str, ...]]) -> None:
    """Print the figures of one kind of table."""
    watch = files.watch(inputs, wanted)
    assert watch is not None
    print(f"{title}: holds {best_us(lambda: files.holds(watch)):.0f}  "
          f"watch {best_us(lambda: files.watch(inputs, wanted)):.0f}  "
          f"facts_many {best_us(lambda: files.facts_many([path for path, _ in inputs])):.0f}")  # fmt: skip


def main(count: int) -> None:
    """Measure and print."""
    paths = headers(count)
    with tempfile.TemporaryDirectory() as root:
        wanted = absent(root)
        time.sleep(0.05)  # so that the new directories are settled
        files = FileMemory()
        start = time.perf_counter()
        facts = files.facts_many(paths)
        print(f"{len(paths)} inputs, {len(wanted)} directories; microseconds")
        print(f"first reading, hashing and scanning: {(time.perf_counter() - start) * 1e6:.0f}")
        contents = [(path, found.digest) for path, found in zip(paths, facts, strict=True) if found]
        report("Python", FileMemory(table=stamps.StampTable), contents, wanted)
        if NativeTable is not None:
            report("native", files, contents, wanted)
        inputs = tuple(Input(path, found.digest, found.size) for path, found in zip(paths, facts, strict=True) if found)
        manifest = Manifest((Variant(inputs, wanted, digest(b"").hex()),))
        data = encode(manifest)
        print(f"manifest: {len(data)} bytes  encode {best_us(lambda: encode(manifest)):.0f}  decode {best_us(lambda: decode(data)):.0f}  "
              f"lookup {best_us(lambda: lookup(manifest, files)):.0f}")  # fmt: skip
        texts = [open(path, "rb").read() for path in paths]  # noqa: SIM115
        print(f"scanning {sum(map(len, texts)) >> 10} KiB for includes: {best_us(lambda: [scan(text) for text in texts], 3):.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
