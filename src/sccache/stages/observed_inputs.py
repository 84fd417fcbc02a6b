"""Judge what an observed run read: what of it is an input, what is its own product, what must not be kept.

Not an input: what the run made itself (and whatever is below a directory that it made and removed again); its outputs as they
were before; the kernel's files that tell of the machine's processors and memory; and other names in directories where a compiler
finds libraries by what is in them (`Libraries`): there only the files that it opened count.

Owns: that judgement.  Must not know: keys, storage, languages, how observing works.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from sccache.compilers import scripts
from sccache.hashing import time_macros
from sccache.hashing.files import FileMemory
from sccache.hashing.listing import NO_DIRECTORY, PRESENT, leads_to, names_digest
from sccache.model import FileFacts
from sccache.preprocessor_cache.manifest import Input
from sccache.stages.observation import Observation, Seen
from sccache.stages.observed_environment import Reads
from sccache.stages.observed_job import ObservedJob, is_below

log = logging.getLogger(__name__)

_ELF = b"\x7fELF"

UNKNOWN = "inputs unknown"
CHANGED = "input changed during compile"
TIME_MACROS = "time macro"

_MACHINE = re.compile(
    r"/(?:proc/(?:self|thread-self|\d+)(?:/(?:exe|maps|cgroup|mountinfo|mounts|stat|statm|status|limits|comm|oom_score_adj"
    r"|task(?:/\d+(?:/comm)?)?|fd(?:/\d+)?))?|proc/(?:meminfo|stat|filesystems|sys/(?:vm|kernel)/.*)|sys/fs/cgroup(?:/.*)?|sys/devices/system/(?:cpu|node)(?:/.*)?"
    r"|sys/kernel/mm/transparent_hugepage(?:/.*)?|dev/(?:null|zero|tty|urandom|random|full|shm|pts/\d+|fd/[1-9]\d*|std(?:out|err)))"
)
"""What allocators, thread pools and terminals ask: nothing of it is in a result."""
_KERNEL = ("/proc/", "/sys/", "/dev/")
MAX_SOURCE_BYTES = 8 << 20
"""More than that is a program or data."""
_SYSTEM = ("/usr/", "/opt/", "/lib", "/etc/", "/bin/", "/proc/")
"""Where nobody writes sources of his own."""
_DATES = time_macros.TIME | time_macros.DATE | time_macros.TIMESTAMP
_TEMPORARY = frozenset(os.path.join("/", name) for name in ("tmp", "var/tmp", "usr/tmp"))
"""Where programs look for a place to write to."""


class Found(Struct, frozen=True):
    """What a run depended on."""

    inputs: tuple[Input, ...]
    optional: tuple[Input, ...]
    """Libraries of a name of which several were found: the compiler opens all and takes the one whose hash dependents recorded, so one
    that is not there now was left by another build, or the compile would fail."""
    absent: Mapping[str, tuple[str, ...]]
    listings: tuple[tuple[str, bytes], ...]
    reads: Reads
    asked: tuple[str, ...] = ()
    """Absolute paths whose real names a macro asked for: it may have computed with them."""
    further: tuple[str, ...] = ()
    """Outputs that the command line does not name."""


def judge(job: ObservedJob, seen: Observation, files: FileMemory, start_ns: int) -> Found | str:
    """The inputs of an observed run, or why its result must not be kept."""
    objection = _objection(job, seen)
    if objection:
        return objection
    places = _Places(job, seen)
    opened: dict[str, Seen | None] = {
        item.path: item
        for item in seen.looked
        if places.is_input(item) and not job.libraries.is_one(item.path) and not places.is_renewed(item.path)
    }
    opened |= {item.path: item for item in seen.reads if places.is_input(item)}
    opened |= {path: None for path in (*seen.executed, *seen.images) if path not in opened and not places.is_own(path)}
    inputs = _inputs(job, opened, files, start_ns)
    if isinstance(inputs, str):
        return inputs
    absent = _absences(job, seen, places)
    listings = _listings(seen, inputs, places)
    if absent is None or any(names == NO_DIRECTORY for _, names in listings):
        return CHANGED
    reads = _variables(job, seen)
    if isinstance(reads, str):
        return reads
    optional = job.libraries.ambiguous([known for known in inputs if job.libraries.is_one(known.path)])
    strict = tuple(known for known in inputs if known not in optional)
    if not are_text((*reads.tool, *reads.macros, *(reads.declared or ()))):
        return UNKNOWN
    return Found(strict, optional, absent, listings, reads, tuple(job.path(path) for path in seen.links), places.further())


def _listings(seen: Observation, inputs: Sequence[Input], places: "_Places") -> tuple[tuple[str, bytes], ...]:
    listings = [(path, names_digest(path)) for path in seen.listed if places.is_listing(path)]
    listings += [(path, PRESENT) for path in _lonely(seen, inputs, places)]
    listings += [(path, leads_to(path)) for path in seen.links if path.startswith("/") and not places.is_own(path)]
    return tuple(listings)


def _variables(job: ObservedJob, seen: Observation) -> Reads | str:
    """Which variables count; a program of which that cannot be told makes it all of them."""
    own = job.program.own
    programs = [path for path in seen.executed if path not in own]
    known, others, reads_clock = _scripts(job, [*programs, *(path for path in dict.fromkeys(own) if path in seen.executed)])
    others += [path for path in programs if path not in known and not _is_tool(job, path)]
    if reads_clock or (others and any(not _is_tool(job, path) for path in seen.tool_clocks if path not in own)):
        return job.rules.clock
    unfinished = [path for path in seen.unfinished if path in own]  # what it loaded, and whether that reads everything, is not known
    everything = bool(seen.whole_environment) or bool(others) or bool(unfinished)
    tool = {name for name in seen.tool_variables if name != "PATH" or programs}.union(*known.values())
    return Reads(tuple(sorted(tool)), seen.macro_variables, job.libraries.variables(), everything=everything)


def _scripts(job: ObservedJob, paths: Iterable[str]) -> tuple[dict[str, frozenset[str]], list[str], bool]:
    """Scripts with the variables that they can read; those of which that cannot be told; whether one tells itself the time."""
    known: dict[str, frozenset[str]] = {}
    unknown: list[str] = []
    reads_clock = False
    for path in paths:
        try:
            with open(path, "rb") as file:
                start = file.read(4)
                content = b"" if start == _ELF else start + file.read()
        except OSError:
            unknown.append(path)
            continue
        if not content:
            continue
        if path in job.program.own and job.rules.known_script is not None and job.rules.known_script.search(content):
            known[path] = frozenset()
            continue
        names = scripts.variables(path, content)
        if names is None:
            unknown.append(path)
        else:
            known[path] = names
        reads_clock = reads_clock or scripts.reads_clock(content)
    return known, unknown, reads_clock


def _is_tool(job: ObservedJob, path: str) -> bool:
    return job.rules.tools.fullmatch(os.path.basename(path)) is not None


def _objection(job: ObservedJob, seen: Observation) -> str:
    if seen.trouble or seen.unknown:
        return UNKNOWN
    if seen.network and not (job.rules.asks_licences and all(_is_tool(job, path) for path in seen.executed if path not in job.program.own)):
        return job.rules.network
    if seen.clocks:
        return job.rules.clock
    kernel = [item.path for item in (*seen.reads, *seen.looked) if item.path.startswith(_KERNEL)]
    known = ("/proc/cpuinfo",) if job.knows_processor else ()
    strange = [
        path for path in (*kernel, *seen.others) if path not in known and not _MACHINE.fullmatch(path) and not _is_job_server(job, path)
    ]
    if strange:
        log.debug("%s is no file whose content could be compared", strange[0])
        return UNKNOWN
    return job.rules.writes if _leaves_more(job, seen) else ""


def _leaves_more(job: ObservedJob, seen: Observation) -> bool:
    """Whether the run made or removed something beside its outputs, which a hit would not."""
    outputs = job.seen_outputs()
    before = {item.path: item.index for item in (*reversed(seen.looked), *reversed(seen.reads))}
    for path, index in seen.first_written.items():
        if path.startswith(_KERNEL) or path in outputs:
            continue
        if os.path.lexists(path):
            if not _is_foreseen(job, path, outputs) and not _is_litter(job, path, seen):
                log.debug("%s was written", path)
                return True
        elif before.get(path, index) < index:
            log.debug("%s was removed", path)
            return True
    return False


def _is_foreseen(job: ObservedJob, path: str, outputs: Iterable[str]) -> bool:
    """Whether this is a directory with outputs, or a file where further ones may be made."""
    if os.path.isdir(path):
        return any(output.startswith(path + "/") for output in (*outputs, *(place + "/" for place in job.made_in)))
    return is_below(os.path.normpath(path), job.made_in) and os.path.isfile(path) and not os.path.islink(path)


def _is_litter(job: ObservedJob, path: str, seen: Observation) -> bool:
    """Whether this was left behind in a directory for temporary files, under a name that nobody asked for: clang 15 does so for HIP."""
    if not job.rules.visits_temporary:
        return False
    tops = [f"{place}/{path[len(place) + 1 :].partition('/')[0]}" for place in _temporary(job) if path.startswith(place + "/")]
    return any(top in seen.first_written and not any(top in word for word in job.program.args) for top in tops)


def _temporary(job: ObservedJob) -> frozenset[str]:
    """Directories for temporary files."""
    own = {os.path.normpath(job.request.env[name]) for name in ("TMPDIR", "TMP", "TEMP") if job.request.env.get(name, "").startswith("/")}
    return _TEMPORARY | own


def _is_job_server(job: ObservedJob, path: str) -> bool:
    """Whether this is the pipe by which make shares its jobs: `--jobserver-auth=fifo:PATH`."""
    return any(path in job.request.env.get(name, "") for name in ("CARGO_MAKEFLAGS", "MAKEFLAGS", "MFLAGS"))


class _Places:
    """Where a run made or looked for its own."""

    def __init__(self, job: ObservedJob, seen: Observation) -> None:
        self._job = job
        self._first_written = seen.first_written
        self._outputs = job.seen_outputs()
        self._gone = {path for path in seen.written if not os.path.exists(path)}
        self._passing = _temporary(job)

    def further(self) -> tuple[str, ...]:
        """Outputs that no command line names."""
        written = dict.fromkeys(os.path.normpath(path) for path in self._first_written)
        made = [path for path in written if is_below(path, self._job.made_in) and path not in self._outputs]
        return tuple(path for path in made if os.path.isfile(path))

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

    def is_renewed(self, path: str) -> bool:
        """Whether the run put a further output there: what was there before makes no difference to a program that only looks."""
        return path in self._first_written and is_below(path, self._job.made_in)

    def is_lonely(self, path: str) -> bool:
        """Whether it matters that there is a directory, although nothing in it was read."""
        name = os.path.normpath(path)
        return self.is_listing(path) and name not in self._passing and name != self._job.request.cwd

    def is_listing(self, path: str) -> bool:
        """Whether the names in a directory matter."""
        if path.startswith(_KERNEL) or self.is_own(path):
            return False
        name = os.path.normpath(path)
        if name in self._passing and self._job.rules.visits_temporary:
            return False
        return not self._job.libraries.holds(name) and not self._job.libraries.is_system(name)


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


def _inputs(job: ObservedJob, opened: Mapping[str, Seen | None], files: FileMemory, start_ns: int) -> tuple[Input, ...] | str:
    """Facts of what was opened.  A file that was written after the start may have been written again just after it was read."""
    dates = _DATES if job.rules.sources_have_dates and not job.preprocessor.ignore_time_macros else 0
    found: list[Input] = []
    for (path, item), facts in zip(opened.items(), files.facts_many(list(opened)), strict=True):
        is_new = facts is not None and facts.mtime_ns >= start_ns and not job.libraries.is_one(path)
        if facts is None or is_new or (item is not None and not _is_same(item, facts)):
            log.debug("%s changed during the compile", path)
            return CHANGED
        if facts.time_macros & dates and item is not None and not _is_binary(path):
            log.debug("%s has a macro whose value is the time", path)
            return TIME_MACROS
        found.append(Input(path, facts.digest, facts.size, facts.mtime_ns, facts.ctime_ns))
    return TIME_MACROS if dates and _pastes_dates(found) else tuple(found)


def _pastes_dates(inputs: Iterable[Input]) -> bool:
    """Whether such a macro may be put together (`a ## b`) where no scan sees it; code for GPUs holds the time in no form that is found."""
    pastes = has_pieces = False
    for text in texts(known for known in inputs if not known.path.startswith(_SYSTEM) and known.size <= MAX_SOURCE_BYTES):
        if b"\0" not in text[:1024]:
            pastes = pastes or b"##" in text
            has_pieces = has_pieces or time_macros.PIECES.search(text) is not None
    return pastes and has_pieces


def _is_binary(path: str) -> bool:
    """Whether this is a program or a library, in which such words are only words."""
    try:
        with open(path, "rb") as file:
            return b"\0" in file.read(1024)
    except OSError:
        return False


def _is_same(item: Seen, facts: FileFacts) -> bool:
    return item.stamp[2:] == (facts.size, facts.mtime_ns, facts.ctime_ns)


def _absences(job: ObservedJob, seen: Observation, places: _Places) -> dict[str, tuple[str, ...]] | None:
    """Directory → names that were looked for in vain; None where one is there now."""
    absent: dict[str, set[str]] = {}
    for path in seen.absent:
        if path.startswith(_KERNEL) or places.is_own(path) or job.libraries.is_one(path):
            continue
        if os.path.lexists(path):
            log.debug("%s appeared during the compile", path)
            return None
        absent.setdefault(os.path.dirname(path) or "/", set()).add(os.path.basename(path) + "/")  # not even a directory
    return {place: tuple(sorted(names - {"/"})) for place, names in absent.items()}


def are_text(names: Iterable[str]) -> bool:
    """Whether names can be kept: a byte that is no text would not come back."""
    try:
        return "\0".join(names).encode() is not None
    except UnicodeEncodeError:
        return False


def spelled_names(job: ObservedJob, found: Found) -> tuple[str, ...]:
    """Words of the command line with names that what is compiled may compute with, though they stand in no output."""
    pattern = job.rules.asks_for_names
    if pattern is None:
        return job.spelled
    args = job.program.args
    if not job.roots.named_in([os.fsencode(word) for word in args]):
        return ()
    files = [known for known in found.inputs if is_below(known.path, job.roots.names)]
    if any(pattern.search(text) for text in texts(files)) or any(pattern.search(os.fsencode(word)) for word in args):
        return args
    finds = job.rules.finding_options
    own = {*job.spelled, *(output.path for output in job.outputs)}
    before = ("", *args)
    return tuple(
        word for word, last in zip(args, before, strict=False) if word not in own and not word.startswith(finds) and last not in finds
    )


def sources(paths: Sequence[Input], roots: Sequence[str]) -> Iterable[bytes]:
    """The contents of the Rust files among the inputs that are below a root."""
    return texts([known for known in paths if known.path.endswith(".rs") and is_below(known.path, roots)])


def texts(inputs: Iterable[Input]) -> Iterable[bytes]:
    """The contents of these files, those that can be read."""
    for known in inputs:
        try:
            with open(known.path, "rb") as file:
                yield file.read()
        except OSError:
            continue
