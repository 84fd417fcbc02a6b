"""Judge what an observed rustc run read: what of it is an input, what is its own product, what must not be kept.

Not an input: what the run made itself (and whatever is below a directory that it made and removed again); its outputs as they
were before; the kernel's files that tell of the machine's processors and memory; and other names in the directories of `-L
dependency=`: there rustc picks a crate by the hash that its dependents recorded, so only the files that it opened count.

Owns: that judgement.  Must not know: keys, storage, how observing works.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from sccache.compilers.rust import depinfo
from sccache.hashing.files import FileMemory
from sccache.hashing.listing import NO_DIRECTORY, PRESENT, leads_to, names_digest
from sccache.model import FileFacts
from sccache.preprocessor_cache.manifest import Input
from sccache.stages.inputs import CLOCK_GRANULARITY_NS
from sccache.stages.observation import Observation, Seen
from sccache.stages.rust_environment import Reads
from sccache.stages.rust_job import RustJob

log = logging.getLogger(__name__)

UNKNOWN = "inputs unknown"
CHANGED = "input changed during compile"
CLOCK = "procedural macro reads the clock"
NETWORK = "procedural macro uses the network"
WRITES = "procedural macro writes files"
UNOBSERVED_MACRO = "procedural macro not observed"
UNOBSERVED_LINK = "linker not observed"

_MACHINE = re.compile(
    r"/(?:proc/(?:self|thread-self|\d+)(?:/(?:exe|maps|cgroup|mountinfo|mounts|stat|statm|status|limits|comm|oom_score_adj"
    r"|task(?:/\d+(?:/comm)?)?|fd(?:/\d+)?))?|proc/(?:meminfo|stat|filesystems|sys/(?:vm|kernel)/.*)|sys/fs/cgroup(?:/.*)?|sys/devices/system/(?:cpu|node)(?:/.*)?"
    r"|sys/kernel/mm/transparent_hugepage(?:/.*)?|dev/(?:null|zero|tty|urandom|random|full|shm|pts/\d+|fd/[1-9]\d*|std(?:out|err)))"
)
"""What allocators, thread pools and terminals ask: nothing of it is in a result."""
_CRATE = re.compile(r"lib.+\.(?:rlib|rmeta|so|dylib)|.+\.dll")
_HASH = re.compile(r"-[^-]*$")
"""What cargo adds to a crate's name."""
_KERNEL = ("/proc/", "/sys/", "/dev/")
LINKERS = re.compile(
    r"(?:.*-)?(?:cc|gcc|g\+\+|c\+\+|clang|clang\+\+|gcc-ar|ar|as|ld|ld\.(?:bfd|gold|lld|mold)|collect2|lto-wrapper|lto1|rust-lld|lld|mold|wild|dlltool|strip|objcopy"
    r"|rust-objcopy|dwp|rust-dwp|llvm-dwp)(?:-[\d.]+)?"
)
"""Programs that rustc runs of itself; they read no other variables than those that we see them read."""


_TEMPORARY = frozenset(os.path.join("/", name) for name in ("tmp", "var/tmp", "usr/tmp"))
"""Where programs look for a place to write to."""


class Found(Struct, frozen=True):
    """What a run depended on."""

    inputs: tuple[Input, ...]
    optional: tuple[Input, ...]
    """Crates of a name of which rustc found several: it opens all and takes the one whose hash the dependents recorded, so one that is
    not there now was left by another build, or the compile would fail."""
    absent: Mapping[str, tuple[str, ...]]
    listings: tuple[tuple[str, bytes], ...]
    reads: Reads
    asked: tuple[str, ...] = ()
    """Absolute paths whose real names a macro asked for: it may have computed with them."""


def judge(job: RustJob, seen: Observation, files: FileMemory, start_ns: int) -> Found | str:
    """The inputs of an observed run, or why its result must not be kept."""
    objection = _objection(job, seen)
    if objection:
        return objection
    places = _Places(job, seen)
    opened: dict[str, Seen | None] = {item.path: item for item in seen.looked if places.is_input(item) and not places.is_crate(item.path)}
    opened |= {item.path: item for item in seen.reads if places.is_input(item)}
    opened |= {path: None for path in (*seen.executed, *seen.images) if path not in opened and not places.is_own(path)}
    inputs = _inputs(opened, files, places, start_ns)
    if isinstance(inputs, str):
        return inputs
    absent = _absences(seen, places)
    listings = [(path, names_digest(path)) for path in seen.listed if places.is_listing(path)]
    listings += [(path, PRESENT) for path in _lonely(seen, inputs, places)]
    listings += [(path, leads_to(path)) for path in seen.links if path.startswith("/") and not places.is_own(path)]
    if absent is None or any(names == NO_DIRECTORY for _, names in listings):
        return CHANGED
    declared = depinfo.read(job.path(job.parsed.depinfo)) if job.parsed.depinfo else None
    variables = tuple(name for name, _ in declared.env) if declared else None if job.source else ()
    programs = [path for path in seen.executed if path not in (job.driver.path, job.driver.real, job.driver.inner)]
    others = [path for path in programs if not LINKERS.fullmatch(os.path.basename(path)) or _is_script(path)]
    if others and any(
        not LINKERS.fullmatch(os.path.basename(path)) for path in seen.tool_clocks if path not in (job.driver.path, job.driver.real)
    ):
        return CLOCK
    everything = bool(seen.whole_environment) or bool(others) or bool(_unfinished(job, seen))
    tool = tuple(name for name in seen.tool_variables if name != "PATH" or programs)
    reads = Reads(tool, seen.macro_variables, variables, everything=everything)
    optional = _ambiguous(job, [known for known in inputs if places.is_crate(known.path)])
    strict = tuple(known for known in inputs if known not in optional)
    if not _are_text((*reads.tool, *reads.macros, *(variables or ()))):
        return UNKNOWN
    return Found(strict, optional, absent, tuple(listings), reads, tuple(job.path(path) for path in seen.links))


def _objection(job: RustJob, seen: Observation) -> str:
    if seen.trouble or seen.unknown:
        return UNKNOWN
    if seen.network:
        return NETWORK
    if seen.clocks:
        return CLOCK
    kernel = [item.path for item in (*seen.reads, *seen.looked) if item.path.startswith(_KERNEL)]
    strange = [path for path in (*kernel, *seen.others) if not _MACHINE.fullmatch(path) and not _is_job_server(job, path)]
    if strange:
        log.debug("%s is no file whose content could be compared", strange[0])
        return UNKNOWN
    return WRITES if _leaves_more(job, seen) else ""


def _leaves_more(job: RustJob, seen: Observation) -> bool:
    """Whether the run made or removed something beside its outputs, which a hit would not."""
    outputs = job.output_paths()
    before = {item.path: item.index for item in (*reversed(seen.looked), *reversed(seen.reads))}
    for path, index in seen.first_written.items():
        if path.startswith(_KERNEL) or path in outputs:
            continue
        if os.path.lexists(path):
            if not (os.path.isdir(path) and any(output.startswith(path + "/") for output in outputs)):
                log.debug("%s was written", path)
                return True
        elif before.get(path, index) < index:
            log.debug("%s was removed", path)
            return True
    return False


def _is_job_server(job: RustJob, path: str) -> bool:
    """Whether this is the pipe by which make shares its jobs: `--jobserver-auth=fifo:PATH`."""
    return any(path in job.request.env.get(name, "") for name in ("CARGO_MAKEFLAGS", "MAKEFLAGS", "MFLAGS"))


def _unfinished(job: RustJob, seen: Observation) -> list[str]:
    """Compilers whose end was not seen: what they loaded, and whether that reads everything, is not known."""
    return [path for path in seen.unfinished if path in (job.driver.path, job.driver.real)]


class _Places:
    """Where a run made or looked for its own."""

    def __init__(self, job: RustJob, seen: Observation) -> None:
        self._job = job
        self._first_written = seen.first_written
        self._outputs = set(job.output_paths())
        self._gone = {path for path in seen.written if not os.path.exists(path)}
        self._crates = {os.path.normpath(job.path(name)) for name in job.parsed.dependency_dirs}
        self._passing = {os.path.normpath(job.request.env.get(name, "")) for name in ("TMPDIR", "TMP", "TEMP")} | _TEMPORARY
        self._sysroot = job.driver.sysroot + "/" if job.driver.sysroot else "\0"

    def is_own(self, path: str) -> bool:
        """Whether the run made this, or what it is in."""
        if path in self._first_written or path in self._outputs:
            return True
        directory = os.path.dirname(path)
        while len(directory) > 1:
            if directory in self._gone:
                return True
            directory = os.path.dirname(directory)
        return False

    def is_input(self, item: Seen) -> bool:
        """Whether a file that was opened or looked at counts."""
        if item.path.startswith(_KERNEL) or item.path in self._outputs:
            return False
        written = self._first_written.get(item.path)
        if written is not None:
            return item.index < written
        return not self.is_own(item.path)

    def is_crate(self, path: str) -> bool:
        """Whether this is named like a crate, and in a directory where rustc finds crates by their hashes."""
        name = os.path.normpath(path)
        return _CRATE.fullmatch(os.path.basename(name)) is not None and os.path.dirname(name) in self._crates

    def is_lonely(self, path: str) -> bool:
        """Whether it matters that there is a directory, although nothing in it was read."""
        name = os.path.normpath(path)
        return self.is_listing(path) and name not in self._passing and name != self._job.request.cwd

    def is_listing(self, path: str) -> bool:
        """Whether the names in a directory matter."""
        if path.startswith(_KERNEL) or self.is_own(path):
            return False
        return os.path.normpath(path) not in self._crates and not (os.path.normpath(path) + "/").startswith(self._sysroot)


def _lonely(seen: Observation, inputs: Iterable[Input], places: _Places) -> list[str]:
    """Directories that were looked at and hold no input: that one holds some, the input's own row tells."""
    told: set[str] = set()
    for known in inputs:
        directory = os.path.dirname(known.path)
        while directory not in told:
            told.add(directory)
            directory = os.path.dirname(directory)
    return [
        path for path in seen.directories if not {path, os.path.normpath(path), os.path.realpath(path)} & told and places.is_lonely(path)
    ]


def _ambiguous(job: RustJob, crates: Sequence[Input]) -> tuple[Input, ...]:
    """Of the crates that rustc found by itself, those of one name and several hashes."""
    externs = {os.path.normpath(job.path(path)) for _, path in job.parsed.externs if path}
    found = [(known, os.path.basename(known.path).rpartition(".")[0]) for known in crates if known.path not in externs]
    stems: dict[str, set[str]] = {}
    for _, stem in found:
        stems.setdefault(_HASH.sub("", stem), set()).add(stem)
    return tuple(known for known, stem in found if len(stems[_HASH.sub("", stem)]) > 1)


def _inputs(opened: Mapping[str, Seen | None], files: FileMemory, places: _Places, start_ns: int) -> tuple[Input, ...] | str:
    """Facts of what was opened.  A file that was written after the start may have been written again just after it was read."""
    found: list[Input] = []
    for (path, item), facts in zip(opened.items(), files.facts_many(list(opened)), strict=True):
        is_new = facts is not None and facts.mtime_ns >= start_ns and not places.is_crate(path)
        if facts is None or is_new or (item is not None and not _is_same(item, facts)):
            log.debug("%s changed during the compile", path)
            return CHANGED
        found.append(Input(path, facts.digest, facts.size, facts.mtime_ns, facts.ctime_ns))
    return tuple(found)


def _is_same(item: Seen, facts: FileFacts) -> bool:
    return item.stamp[2:] == (facts.size, facts.mtime_ns, facts.ctime_ns)


def _absences(seen: Observation, places: _Places) -> dict[str, tuple[str, ...]] | None:
    """Directory → names that were looked for in vain; None where one is there now."""
    absent: dict[str, set[str]] = {}
    for path in seen.absent:
        if path.startswith(_KERNEL) or places.is_own(path) or places.is_crate(path):
            continue
        if os.path.lexists(path):
            log.debug("%s appeared during the compile", path)
            return None
        absent.setdefault(os.path.dirname(path) or "/", set()).add(os.path.basename(path) + "/")  # not even a directory
    return {place: tuple(sorted(names - {"/"})) for place, names in absent.items()}


def declared(job: RustJob, files: FileMemory, start_ns: int) -> Found | str:
    """The inputs of a run that was not observed, by rustc's own list: only where no macro and no linker can have read more."""
    if job.parsed.links or job.parsed.native_libs or job.parsed.native_dirs:
        return UNOBSERVED_LINK
    if job.driver.inner or not job.driver.transparent or job.parsed.named_files:
        return UNKNOWN  # a script may read anything; a target's description may be found elsewhere next time
    crates = [path for _, path in job.parsed.externs if path]
    if any(map(_is_library, crates)) or any(_holds_libraries(job.path(name)) for name in job.parsed.crate_dirs):
        return UNOBSERVED_MACRO
    listed = depinfo.read(job.path(job.parsed.depinfo)) if job.parsed.depinfo else None
    names = tuple(name for name, _ in listed.env) if listed else ()
    if listed is None or not _are_text(names):
        return UNKNOWN
    own = {job.path(name) for name in crates}
    paths = dict.fromkeys([*own, *map(job.path, (*listed.inputs, *job.parsed.argument_files))])
    found = []
    for path, facts in zip(paths, files.facts_many(list(paths)), strict=True):
        if facts is None or (max(facts.mtime_ns, facts.ctime_ns) + CLOCK_GRANULARITY_NS >= start_ns and path not in own):
            return CHANGED
        found.append(Input(path, facts.digest, facts.size, facts.mtime_ns, facts.ctime_ns))
    return Found(tuple(found), (), {}, (), Reads((*KNOWN_VARIABLES, *names), (), names))


KNOWN_VARIABLES = ("RUSTC_LOG", "RUSTC_LOG_COLOR", "RUSTC_BOOTSTRAP", "RUST_TARGET_PATH", "SOURCE_DATE_EPOCH", "RUSTC_FORCE_RUSTC_VERSION")
"""What rustc reads of itself and does not list."""


def _is_script(path: str) -> bool:
    """Whether a program is run by another one, which reads variables by itself."""
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _is_library(path: str) -> bool:
    return path.endswith((".so", ".dylib", ".dll"))


def _holds_libraries(directory: str) -> bool:
    try:
        return any(map(_is_library, os.listdir(directory)))
    except OSError:
        return False


def _are_text(names: Iterable[str]) -> bool:
    """Whether names can be kept: a byte that is no text would not come back."""
    try:
        return "\0".join(names).encode() is not None
    except UnicodeEncodeError:
        return False


def sources(paths: Sequence[Input], roots: Sequence[str]) -> Iterable[bytes]:
    """The contents of the Rust files among the inputs that are below a root."""
    prefixes = tuple(root + "/" for root in roots)
    for known in paths:
        if known.path.endswith(".rs") and known.path.startswith(prefixes):
            try:
                with open(known.path, "rb") as file:
                    yield file.read()
            except OSError:
                return
