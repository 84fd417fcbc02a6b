"""Find every input of a compile: what it read, and what it would have read had it been there.

Owns: reading dependency files, precompiled headers lying beside headers, the variant that a manifest records.
Must not know: keys, storage, how commands are run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from sccache.compilers import depfiles, toolchain
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.model import FileFacts
from sccache.preprocessor_cache.absent import Compile, LookedFor, SearchPath, looked_for
from sccache.preprocessor_cache.includes import Includes
from sccache.preprocessor_cache.manifest import Variant
from sccache.preprocessor_cache.reachable import reachable
from sccache.stages.bench import Memories

if TYPE_CHECKING:  # jobs use what is here
    from sccache.stages.job import Job

TIME_MACROS = 7  # FileFacts.time_macros: __TIME__ | __DATE__ | __TIMESTAMP__
ASSEMBLER_INCLUDES = 8
INLINE_ASSEMBLER = 32
SYSTEM = "/usr/"  # the C library's headers rename symbols by asm, all of them without reading files
PRECOMPILED = {"gcc": (".gch",), "clang": (".gch", ".pch")}
_UNNAMED = {"gcc": ("stdc-predef.h",)}
"""What a compiler includes though no file names it: the GCC manual, "C++ Dialect Options" and others do not say so, `-v` and `-M` do."""
CLOCK_GRANULARITY_NS = 20_000_000  # a kernel tick is at most 10 ms; twice that for safety
_LINE_MARKER = re.compile(rb'^#(?:[ \t]*line)?[ \t]+\d+[ \t]+"([^"\n]*)"', re.MULTILINE)


class Inputs(Struct, frozen=True):
    """What a compile read."""

    names: tuple[str, ...]
    """As the compiler spelled them, in its order; the source is first."""
    payloads: tuple[str, ...]
    """What the assembler read beside them, as it names them."""
    facts: Mapping[str, FileFacts]
    """Absolute path → content, of every file read, headers' precompiled forms included."""

    def has(self, bits: int) -> bool:
        """Whether any input contains text of these kinds."""
        return any(facts.time_macros & bits for facts in self.facts.values())

    def has_inline_assembler(self) -> bool:
        """Whether a file that is not the system's contains inline assembler."""
        return any(facts.time_macros & INLINE_ASSEMBLER for path, facts in self.facts.items() if not path.startswith(SYSTEM))

    def changed_since(self, start_ns: int, *, preprocessed: bool) -> bool:
        """Whether an input was written after this moment (wall clock).

        Files carry the time of the last tick: one written just after the moment may seem older.  When the content was
        hashed before the compile and compared after it, that shows by itself; when it was hashed only after, files so
        close to the moment are not trusted.
        """
        limit = start_ns if preprocessed else start_ns - CLOCK_GRANULARITY_NS
        return any(facts.mtime_ns >= limit or facts.ctime_ns >= limit for facts in self.facts.values())

    def times(self, *, without: str = "") -> bytes:
        """Digest of the inputs' names and modification times, for outputs that record them."""
        lines = (f"{path}\0{facts.mtime_ns}" for path, facts in sorted(self.facts.items()) if path != without)
        return digest("\n".join(lines).encode("utf-8", "surrogateescape"))

    def contents(self) -> dict[str, bytes]:
        """Absolute path → digest."""
        return {path: facts.digest for path, facts in self.facts.items()}


def are_times_compared(job: Job, paths: Iterable[str]) -> bool:
    """Whether the compiler compares its headers' times with those in a precompiled header, and refuses: clang."""
    if job.driver.family != "clang":
        return False
    return "-include-pch" in job.parsed.key_args or any(path.endswith(PRECOMPILED["clang"]) for path in paths)


def times_hold(job: Job, variant: Variant, files: FileMemory) -> bool:
    """Whether all inputs but the source have the recorded modification times."""
    headers = [known for known in variant.inputs if known.path != job.source]
    facts = files.facts_many([known.path for known in headers])
    return all(have is not None and have.mtime_ns == known.mtime_ns for have, known in zip(facts, headers, strict=True))


def read_depfile(path: str) -> tuple[str, ...] | None:
    """The names in a dependency file; None when it is not there."""
    try:
        with open(path, "rb") as file:
            return depfiles.parse(os.fsdecode(file.read()))
    except OSError:
        return None


def names_in_line_markers(source: str) -> set[str]:
    """Base names of the files that a preprocessed source says it was made of."""
    try:
        with open(source, "rb") as file:
            return {os.path.basename(os.fsdecode(name)) for name in _LINE_MARKER.findall(file.read())}
    except OSError:
        return set()


def collect(job: Job, names: Sequence[str], files: FileMemory, extra: Sequence[str] = ()) -> Inputs | None:
    """Facts of everything a dependency file names; None when one of them cannot be read (it is gone, or not a file)."""
    facts: dict[str, FileFacts] = {job.source: job.source_facts}
    made = {job.path(output.path) for output in job.parsed.outputs}
    paths = [path for path in dict.fromkeys([job.path(name) for name in (*names, *extra)]) if path != job.source]
    for path, found in zip(paths, files.facts_many(paths), strict=True):
        if found is None:
            return None
        facts[path] = found
    for path in list(facts):
        for precompiled in _precompiled(path, PRECOMPILED[job.driver.family]):
            if precompiled in made:
                continue
            found = files.facts(precompiled)
            if found is None:
                return None
            facts[precompiled] = found
    return Inputs(tuple(names), tuple(extra), facts)


def _precompiled(path: str, suffixes: tuple[str, ...]) -> list[str]:
    """Precompiled forms beside a header, which the compiler may take instead of it (gcc: a file or a directory of them)."""
    found: list[str] = []
    for suffix in suffixes:
        candidate = path + suffix
        if not os.path.lexists(candidate):
            continue
        if os.path.isdir(candidate):
            found += [entry.path for entry in os.scandir(candidate)]
        else:
            found.append(candidate)
    return found


def without_system_headers(job: Job, facts: Mapping[str, FileFacts]) -> dict[str, FileFacts]:
    """The inputs that are not below a directory which the compiler searches of itself, or by -isystem and its kin."""
    words = job.parsed.search_args
    users = [*toolchain.values("-I", words), *toolchain.values("-iquote", words), *job.request.env.get("CPATH", "").split(":")]
    named = {os.path.normpath(job.path(name)) for name in users}
    searched = {os.path.normpath(job.path(name)) for name in (*job.toolchain.quote, *job.toolchain.bracket)}

    def is_system(path: str) -> bool:
        directory = os.path.dirname(os.path.normpath(path))
        while directory not in searched and directory not in named and len(directory) > 1:
            directory = os.path.dirname(directory)
        return directory in searched and directory not in named

    return {path: found for path, found in facts.items() if path == job.source or not is_system(path)}


def surroundings(job: Job, inputs: Inputs, memories: Memories, started_ns: int) -> LookedFor | None:
    """What else must stay as it is for this compile to read the same again; None when that cannot be told."""
    asked = []
    for path, facts in inputs.facts.items():
        names = memories.includes.includes(path, facts.digest)
        if names is None:
            return None
        asked.append((path, names))
    return looked_for(_as_compile(job, asked, started_ns), memories.listings)


def may_be_read(job: Job, memories: Memories) -> Inputs | None:
    """All that this compile may read, found without a preprocessor: more than it will; None where that cannot be told."""
    names = memories.includes.includes(job.source, job.source_facts.digest)
    if names is None:
        return None

    def includes(paths: Sequence[str]) -> list[Includes | None]:
        found = memories.files.facts_many(paths)
        return [memories.includes.includes(path, facts.digest) if facts else None for path, facts in zip(paths, found, strict=True)]

    compiled = _as_compile(job, [(job.source, names)], 0)
    paths = reachable(compiled, _UNNAMED.get(job.driver.family, ()), includes, memories.listings)
    return None if paths is None else collect(job, paths, memories.files)


def _as_compile(job: Job, inputs: Sequence[tuple[str, Includes]], started_ns: int) -> Compile:
    gcc = job.driver.family == "gcc"
    return Compile(
        cwd=job.request.cwd,
        search=SearchPath(
            quote=job.toolchain.quote,
            # A missing directory may have any rank: all names must stay absent from it.
            bracket=(*job.toolchain.missing, *job.toolchain.bracket),
        ),
        inputs=inputs,
        forced=job.parsed.forced_includes,
        arguments=job.parsed.compile_args,
        precompiled=PRECOMPILED[job.driver.family],
        source_may_use_precompiled=gcc,
        started_ns=started_ns,
    )


def payload_absences(job: Job, inputs: Inputs) -> dict[str, tuple[str, ...]]:
    """Places where the assembler would have found a payload before the one it read: it looks along the -I path too."""
    cwd = job.request.cwd
    places = [cwd, *(job.path(name) for name in (*job.toolchain.bracket, *job.toolchain.missing))]
    absent: dict[str, set[str]] = {}
    for payload in inputs.payloads:
        path = job.path(payload)
        spellings = {payload, *(os.path.relpath(path, place) for place in places if path.startswith(place + "/"))}
        for place in places:
            for spelling in spellings:
                candidate = os.path.join(place, spelling)
                if not os.path.exists(candidate):
                    absent.setdefault(os.path.dirname(candidate), set()).add(os.path.basename(candidate))
    return {place: tuple(sorted(names)) for place, names in absent.items()}
