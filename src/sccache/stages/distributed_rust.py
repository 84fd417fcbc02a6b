"""A rustc compile for a farm: what it may read is guessed generously, from the crate's and the package's directories.

Owns: which rustc compiles may go elsewhere, what they may read.  Must not know: the wire, how a farm is reached, how reports are checked.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sccache.stages import distributed_observed, rust_variables
from sccache.stages.distributed_observed import Reach
from sccache.stages.distribution import Compiler, Work

if TYPE_CHECKING:
    from sccache.compilers.rust import RustArguments
    from sccache.stages.bench import Memories
    from sccache.stages.observed_job import ObservedJob
    from sccache.stages.observed_results import Attempt
    from sccache.stages.rust_toolchains import RustDriver

MAX_DEPTH = 12
MAX_PACKAGE_FILES = 2_000
"""Of a package with more, only the crate's own directory is sent, and the files beside Cargo.toml."""
_VARIABLES = re.compile(r"CARGO|CARGO_.*|RUST.*|OUT_DIR|TARGET|HOST|PROFILE|OPT_LEVEL|DEBUG|NUM_JOBS|DEP_.*|CLIPPY_.*")
_CRATE = re.compile(r"lib.+\.(?:rlib|rmeta|so|dylib)")
_BUILDS = "target"
"""cargo's directory, which may lie in the package's."""


def work(attempt: Attempt, parsed: RustArguments, driver: RustDriver, memories: Memories) -> Work | str:
    """This compile for a farm; or why it cannot go there."""
    if parsed.links:
        return "it links"
    if not driver.transparent or (driver.inner and os.path.realpath(driver.path) != driver.real):
        return "what is run is no plain rustc, but something that stands before it"
    if parsed.native_libs:
        return "native libraries are put into it"
    compiler = Compiler(driver.real, "rust", driver.identity)
    return distributed_observed.work(attempt, compiler, functools.partial(_reach, attempt.job, parsed, memories), memories)


def _reach(job: ObservedJob, parsed: RustArguments, memories: Memories) -> Reach:
    env = job.request.env
    package, out_dir = env.get("CARGO_MANIFEST_DIR", ""), env.get("OUT_DIR", "")
    files = [path for path, _ in (*job.sources, *job.extra)]
    files += [job.path(name) for name in (*parsed.named_files, *parsed.argument_files)]
    files += [job.path(path) for _, path in parsed.externs if path]
    whole: set[str] = set()
    source_dir = os.path.dirname(job.sources[0][0])
    for top in dict.fromkeys([package, out_dir, source_dir]):
        if os.path.isabs(top) and top not in ("/", os.path.expanduser("~")):
            found = list(itertools.islice(_all_below(top, whole, MAX_DEPTH), MAX_PACKAGE_FILES + 1))
            files += found if len(found) <= MAX_PACKAGE_FILES or top == source_dir else _plain_files(top)
    names = rust_variables.named(files, memories.files, memories.named_variables)
    for name in parsed.crate_dirs:
        files += _crates(job.path(name))
    directories = [job.path(name) for name in (*parsed.crate_dirs, *parsed.native_dirs, package, out_dir) if name]
    return Reach(files, directories, frozenset(whole), _VARIABLES, names)


def _plain_files(directory: str) -> Iterator[str]:
    with os.scandir(directory) as found:
        yield from sorted(entry.path for entry in found if entry.is_file())


def _all_below(top: str, whole: set[str], depth: int) -> Iterator[str]:
    """All files below a directory, which is then known whole; a build's own directories and hidden ones are left out."""
    with os.scandir(top) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    is_whole = True
    for entry in entries:
        if entry.is_file():
            yield entry.path
        elif entry.is_dir() and depth and entry.name != _BUILDS and not entry.name.startswith(".") and not entry.is_symlink():
            yield from _all_below(entry.path, whole, depth - 1)
        else:
            is_whole = False
    if is_whole:
        whole.add(top)


def _crates(directory: str) -> Iterator[str]:
    """Crates that rustc may find by their hashes; of those that are there twice the smaller form, which tells as much."""
    try:
        names = sorted(name for name in os.listdir(directory) if _CRATE.fullmatch(name))
    except FileNotFoundError:
        return
    known = set(names)
    for name in names:
        if not name.endswith(".rlib") or name[: -len(".rlib")] + ".rmeta" not in known:
            yield os.path.join(directory, name)
