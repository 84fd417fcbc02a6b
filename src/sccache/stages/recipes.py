"""The commands that the launcher is asked to run for one compile.

Owns: what is added to the user's command line and why, private files for it.
Must not know: keys, storage, statistics.
"""

import itertools
import os
import time

from msgspec import Struct

from sccache.compilers import c_family
from sccache.compilers.detect import PROBE_SOURCE
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.model import Colour, CompileRequest, Language, ParsedArguments
from sccache.stages import inputs as inputs_stage
from sccache.stages.hands import Command, Hands
from sccache.stages.inputs import Inputs
from sccache.stages.job import Job, wants_colour


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

    text: bytes
    """Digest of the text, base directories removed."""
    also: tuple[bytes, ...]
    """Digests that must join the text's in the key: expanded time macros, precompiled headers."""
    inputs: Inputs
    start_ns: int
    """Wall clock before anything was read."""


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


def can_depend(job: Job) -> bool:
    """Whether the compile's own dependency file can name every input."""
    depfile = job.parsed.depfile
    return depfile is None or depfile.system_headers


def colour_arguments(family: str, parsed: ParsedArguments, request: CompileRequest) -> tuple[str, ...]:
    """The option that makes captured diagnostics look as they would on the caller's terminal."""
    if parsed.colour is not Colour.AUTO or not wants_colour(parsed, request):
        return ()
    return (c_family.COLOUR_FLAG[family],)


async def preprocess(job: Job, hands: Hands, scratch: Scratch, files: FileMemory) -> Preprocessed | None:
    """Run the preprocessor and collect what it read; None when it fails or names what cannot be read."""
    start_ns = time.time_ns()
    if not job.parsed.needs_preprocessing:
        found = inputs_stage.collect(job, (job.parsed.source,), files)
        return None if found is None else Preprocessed(job.source_facts.digest, (), found, start_ns)
    flags = ("-E",) if job.parsed.language in _EXPANDED else c_family.preprocess_flags(job.driver.family)
    depfile = scratch.path(".d")
    try:
        text = await _text(job, (*flags, "-MD", "-MF", depfile), hands, (depfile,))
        names = inputs_stage.read_depfile(depfile)
    finally:
        remove(depfile)
    if text is None or names is None:
        return None
    found = inputs_stage.collect(job, names, files)
    if found is None:
        return None
    also = [facts.digest for path, facts in found.facts.items() if path.endswith((".gch", ".pch")) or ".gch/" in path]
    if job.parsed.mtimes_matter:
        also.append(found.times())
    if found.has(inputs_stage.TIME_MACROS) and flags != ("-E",) and not job.preprocessor.ignore_time_macros:
        expanded = await _text(job, ("-E",), hands, ())
        if expanded is None:
            return None
        also.append(expanded)
    return Preprocessed(text, tuple(also), found, start_ns)


async def _text(job: Job, flags: tuple[str, ...], hands: Hands, scratch: tuple[str, ...]) -> bytes | None:
    args = (*job.parsed.preprocess_args, *flags, job.parsed.source)
    ran = await hands.run(Command(job.driver.path, args, scratch=scratch, name=job.request.argv[0]))
    if ran.status != 0:
        return None
    return digest(memoryview(job.roots.text(ran.stdout)))


def compile_recipe(job: Job, scratch: Scratch, text: Preprocessed | None) -> Recipe:
    """The user's command line, as it is, with private dependency files and the caller's colours."""
    added: list[str] = list(colour_arguments(job.driver.family, job.parsed, job.request))
    depfile = ""
    if text is None and job.parsed.needs_preprocessing and job.parsed.depfile is None:
        depfile = scratch.path(".d")
        added += ["-MD", "-MF", depfile]
    assembler_depfile = ""
    if job.parsed.assembles and job.driver.family == "gcc":
        assembler_depfile = scratch.path(".as.d")
        added.append(f"-Wa,--MD,{assembler_depfile}")
    private = tuple(path for path in (depfile, assembler_depfile) if path)
    args = (*job.request.argv[1:], *added)
    command = Command(job.driver.path, args, is_compile=True, scratch=private, name=job.request.argv[0])
    return Recipe(command, depfile, assembler_depfile, time.time_ns())


def remove(path: str) -> None:
    """Delete a private file; that it is not there is fine."""
    try:
        os.unlink(path)
    except OSError:
        return
