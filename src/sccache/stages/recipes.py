"""The commands that the launcher is asked to run for one compile.

Owns: what is added to the user's command line and why, private files for it.
Must not know: keys, storage, statistics.
"""

import itertools
import os
import re
import time

from msgspec import Struct

from sccache.compilers import c_family, inline_assembler
from sccache.compilers.detect import PROBE_SOURCE
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.model import CompileRequest, Language, Terminal
from sccache.stages import inputs as inputs_stage
from sccache.stages.hands import Command, Hands, Ran
from sccache.stages.inputs import Inputs
from sccache.stages.job import Job


class Scratch:
    """A private directory for the files that a compile needs beside its outputs."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._numbers = itertools.count(1)

    def path(self, suffix: str) -> str:
        """A name nobody else uses."""
        return os.path.join(self._directory, f"{next(self._numbers)}{suffix}")

    def probe_source(self) -> str:
        """The file whose preprocessing tells what a compiler is."""
        path = os.path.join(self._directory, "probe.c")
        with open(path, "w", encoding="ascii") as file:
            file.write(PROBE_SOURCE)
        return path


class Preprocessed(Struct, frozen=True):
    """What a preprocessor run told."""

    parts: tuple[bytes, ...]
    """Digests of the text (base directories marked) and of what else the run showed."""
    inputs: Inputs
    start_ns: int
    """Wall clock before anything was read."""
    names_roots: bool = False
    """A base directory is in the expanded text (__FILE__): what is computed from it shows in no output."""
    reads_unseen: bool = False
    """Inline assembler seems to read files, and this compiler does not tell which."""


class Recipe(Struct, frozen=True):
    """The compile itself, with the private files it writes for us."""

    command: Command
    depfile: str
    """Where the compiler lists the headers it read; empty if it does not."""
    assembler_depfile: str
    """Where the assembler lists its payloads; empty if it does not."""
    start_ns: int


_EXPANDED = frozenset({Language.ASSEMBLER_WITH_CPP})
"""Languages whose text is hashed after macro expansion: comments and columns reach nothing there."""


_FILE_MACRO = re.compile(rb"FILE__|FILE *##|## *_*FILE")
_BUILTIN_FILE = re.compile(rb"__builtin_FILE|__builtin_source_location")
_DIRECTIVES = re.compile(rb"^#[^\n]*", re.MULTILINE)


def can_depend(job: Job) -> bool:
    """Whether the compile's own dependency file can name every input."""
    depfile = job.parsed.depfile
    if depfile is None:
        return not job.parsed.records_command
    return depfile.system_headers


def is_on_terminal(request: CompileRequest) -> bool:
    """Whether the compile is to find a terminal on stderr, as it would without us."""
    return bool(request.terminal & Terminal.STDERR)


async def preprocess(job: Job, hands: Hands, scratch: Scratch, files: FileMemory) -> Preprocessed | None:
    """Run the preprocessor and collect what it read; None when it fails or names what cannot be read."""
    start_ns = time.time_ns()
    if not job.parsed.needs_preprocessing:
        found = inputs_stage.collect(job, (job.parsed.source,), files)
        return None if found is None else Preprocessed((job.source_facts.digest,), found, start_ns)
    raw = job.parsed.language not in _EXPANDED
    flags = c_family.preprocess_flags(job.driver.family) if raw else ("-E",)
    depfile = scratch.path(".d")
    try:
        ran = await _run(job, (*flags, "-MD", "-MF", depfile), hands, (depfile,))
        names = inputs_stage.read_depfile(depfile)
    finally:
        remove(depfile)
    if ran.status != 0 or names is None:
        return None
    found = inputs_stage.collect(job, names, files)
    if found is None:
        return None
    parts = [digest(memoryview(job.roots.text(ran.stdout))), digest(memoryview(ran.stderr))]
    if job.parsed.mtimes_matter:
        parts.append(found.times())
    elif inputs_stage.are_times_compared(job, found.facts):
        parts.append(found.times(without=job.source))
    reads_unseen = False
    names_roots = bool(job.roots.roots) and _names_roots(job, bytes(ran.stdout), is_expanded=not raw)
    if raw and (names_roots or _needs_expansion(job, found)):
        expanded = await _run(job, ("-E",), hands, ())
        if expanded.status != 0:
            return None
        parts.append(digest(memoryview(job.roots.text(expanded.stdout))))
        names_roots = names_roots and _names_roots(job, bytes(expanded.stdout), is_expanded=True)
        reads_unseen = not job.toolchain.assembler_tells and inline_assembler.may_read_files(bytes(expanded.stdout))
    return Preprocessed(tuple(parts), found, start_ns, names_roots, reads_unseen)


def _names_roots(job: Job, text: bytes, *, is_expanded: bool) -> bool:
    """Whether the program itself may see a base directory's name: by `__FILE__` and its kin, or in so many words."""
    if _BUILTIN_FILE.search(text):  # expanded by no preprocessor
        return job.roots.occur_in(text)
    if not is_expanded and _FILE_MACRO.search(text):
        return True
    return job.roots.occur_in(_DIRECTIVES.sub(b"", text))


def _needs_expansion(job: Job, found: Inputs) -> bool:
    """Whether raw text is not enough: time macros become visible by expansion, and so does inline assembler that lists no files."""
    if found.has(inputs_stage.TIME_MACROS) and not job.preprocessor.ignore_time_macros:
        return True
    return not job.toolchain.assembler_tells and found.has_inline_assembler()


async def _run(job: Job, flags: tuple[str, ...], hands: Hands, scratch: tuple[str, ...]) -> Ran:
    args = (*job.parsed.preprocess_args, *flags, job.parsed.source)
    return await hands.run(Command(job.driver.path, args, scratch=scratch, name=job.driver.name))


def compile_recipe(job: Job, scratch: Scratch, text: Preprocessed | None) -> Recipe:
    """The user's command line, as it is, with private dependency files."""
    added: list[str] = []
    depfile = ""
    if text is None and job.parsed.needs_preprocessing and job.parsed.depfile is None and not _mentions_dependencies(job):
        depfile = scratch.path(".d")
        added += ["-MD", "-MF", depfile]
    assembler_depfile = ""
    if job.parsed.assembles and job.toolchain.assembler_tells and not job.defers_code():
        assembler_depfile = scratch.path(".as.d")
        added.append(f"-Wa,--MD,{assembler_depfile}")
    private = tuple(path for path in (depfile, assembler_depfile) if path)
    args = (*job.request.argv[1:], *added)
    on_terminal = is_on_terminal(job.request)
    command = Command(job.driver.path, args, is_compile=True, scratch=private, on_terminal=on_terminal, name=job.driver.name)
    return Recipe(command, depfile, assembler_depfile, time.time_ns())


def _mentions_dependencies(job: Job) -> bool:
    """A stray -MT or -MF is an error without -MD: adding that would hide it."""
    return any(arg.startswith("-M") for arg in job.request.argv[1:])


def remove(path: str) -> None:
    """Delete a private file; that it is not there is fine."""
    try:
        os.unlink(path)
    except OSError:
        return
