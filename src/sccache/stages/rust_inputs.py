"""What is particular of the inputs of a Rust compile: crates, which are found by their hashes, and rustc's own list of what it read.

Owns: Crates, `declared`, RULES.  Must not know: keys, storage, how observing works.
"""

import os
import re
from collections.abc import Sequence

from sccache.compilers.observed import Rules
from sccache.compilers.options.rustc import FINDING_VARIABLES, HARMLESS_VARIABLES
from sccache.compilers.rust import RustArguments, depinfo
from sccache.hashing.files import FileMemory
from sccache.preprocessor_cache.manifest import Input
from sccache.stages.inputs import CLOCK_GRANULARITY_NS
from sccache.stages.observed_environment import Reads
from sccache.stages.observed_inputs import CHANGED, UNKNOWN, Found, are_text
from sccache.stages.observed_job import ObservedJob
from sccache.stages.rust_toolchains import RustDriver

UNOBSERVED_MACRO = "procedural macro not observed"
UNOBSERVED_LINK = "linker not observed"

RULES = Rules(
    tools=re.compile(
        r"(?:.*-)?(?:cc|gcc|g\+\+|c\+\+|clang|clang\+\+|gcc-ar|ar|as|ld|ld\.(?:bfd|gold|lld|mold)|collect2|lto-wrapper|lto1|rust-lld|lld|mold|wild|dlltool|strip|objcopy"
        r"|rust-objcopy|dwp|rust-dwp|llvm-dwp)(?:-[\d.]+)?"
    ),
    harmless=HARMLESS_VARIABLES,
    finding=FINDING_VARIABLES,
    clock="procedural macro reads the clock",
    network="procedural macro uses the network",
    writes="procedural macro writes files",
    replaces_links=True,
)
"""A linker and its kin are all that rustc runs of itself; everything else was run by a macro."""

_CRATE = re.compile(r"lib.+\.(?:rlib|rmeta|so|dylib)|.+\.dll")
_HASH = re.compile(r"-[^-]*$")
"""What cargo adds to a crate's name."""
_KNOWN_VARIABLES = ("RUSTC_LOG", "RUSTC_LOG_COLOR", "RUSTC_BOOTSTRAP", "RUST_TARGET_PATH", "SOURCE_DATE_EPOCH", "RUSTC_FORCE_RUSTC_VERSION")
"""What rustc reads of itself and does not list."""


class Crates:
    """Crates in the directories of `-L dependency=`: rustc picks one by the hash that its dependents recorded."""

    def __init__(self, parsed: RustArguments, cwd: str, sysroot: str) -> None:
        """`cwd`: what the arguments' names are relative to."""
        self._directories = {os.path.normpath(os.path.join(cwd, name)) for name in parsed.dependency_dirs}
        self._externs = {os.path.normpath(os.path.join(cwd, path)) for _, path in parsed.externs if path}
        self._sysroot = sysroot + "/" if sysroot else "\0"
        self._compiles = bool(parsed.source)
        self._depinfo = os.path.join(cwd, parsed.depinfo) if parsed.depinfo else ""

    def holds(self, directory: str) -> bool:
        """Whether crates are found by their hashes there."""
        return directory in self._directories

    def is_one(self, path: str) -> bool:
        """Whether this is named like a crate, in such a directory."""
        name = os.path.normpath(path)
        return _CRATE.fullmatch(os.path.basename(name)) is not None and self.holds(os.path.dirname(name))

    def is_system(self, path: str) -> bool:
        """Whether this is in the compiler's sysroot."""
        return (path + "/").startswith(self._sysroot)

    def ambiguous(self, found: Sequence[Input]) -> tuple[Input, ...]:
        """Of the crates that rustc found by itself, those of one name and several hashes."""
        stems = [(known, os.path.basename(known.path).rpartition(".")[0]) for known in found if known.path not in self._externs]
        hashes: dict[str, set[str]] = {}
        for _, stem in stems:
            hashes.setdefault(_HASH.sub("", stem), set()).add(stem)
        return tuple(known for known, stem in stems if len(hashes[_HASH.sub("", stem)]) > 1)

    def variables(self) -> tuple[str, ...] | None:
        """What `env!` read, by the dependency file."""
        listed = depinfo.read(self._depinfo) if self._depinfo else None
        if listed is not None:
            return tuple(name for name, _ in listed.env)
        return None if self._compiles else ()


def declared(parsed: RustArguments, driver: RustDriver, job: ObservedJob, files: FileMemory, start_ns: int) -> Found | str:
    """The inputs of a run that was not observed, by rustc's own list: only where no macro and no linker can have read more."""
    if parsed.links or parsed.native_libs or parsed.native_dirs:
        return UNOBSERVED_LINK
    if driver.inner or not driver.transparent or parsed.named_files:
        return UNKNOWN  # a script may read anything; a target's description may be found elsewhere next time
    crates = [path for _, path in parsed.externs if path]
    if any(map(_is_library, crates)) or any(_holds_libraries(job.path(name)) for name in parsed.crate_dirs):
        return UNOBSERVED_MACRO
    listed = depinfo.read(job.path(parsed.depinfo)) if parsed.depinfo else None
    names = tuple(name for name, _ in listed.env) if listed else ()
    if listed is None or not are_text(names):
        return UNKNOWN
    own = {job.path(name) for name in crates}
    paths = dict.fromkeys([*own, *map(job.path, (*listed.inputs, *parsed.argument_files))])
    found = []
    for path, facts in zip(paths, files.facts_many(list(paths)), strict=True):
        if facts is None or (max(facts.mtime_ns, facts.ctime_ns) + CLOCK_GRANULARITY_NS >= start_ns and path not in own):
            return CHANGED
        found.append(Input(path, facts.digest, facts.size, facts.mtime_ns, facts.ctime_ns))
    return Found(tuple(found), (), {}, (), Reads((*_KNOWN_VARIABLES, *names), (), names))


def _is_library(path: str) -> bool:
    return path.endswith((".so", ".dylib", ".dll"))


def _holds_libraries(directory: str) -> bool:
    try:
        return any(map(_is_library, os.listdir(directory)))
    except OSError:
        return False
