"""Make of one gcc or clang command with several sources as many commands with one source each.

    gcc OPTIONS -c a.c b.c   =   gcc OPTIONS -c a.c; gcc OPTIONS -c b.c

That holds while each source has files of its own: with `-o` it is an error, with one `-MF` for all the last source wins, and an object
that holds the whole command line would name one source only.  Such commands, and those with a part that is not cached, stay whole.
Owns: which commands can be divided, and how.  Must not know: what is done with the parts.
I/O: reads response files, looks whether sources and profiles exist.
"""

import os
from collections.abc import Mapping, Sequence

from sccache.compilers import c_family, response_files
from sccache.compilers.arguments import Argument, MissingValue, Role
from sccache.compilers.observed import ObservedArguments
from sccache.model import CannotCache, ParsedArguments, ParseResult

MAX_SOURCES = 200
"""Each may need several runs, and the launcher allows a thousand for one command."""

_SHARED = frozenset(
    (
        *(Role.OUTPUT, Role.DEP_PATH, Role.OUTPUT_FILE, Role.NOTES_PATH, Role.OPT_RECORD_PATH, Role.MODULE_OUTPUT_PATH),
        *(Role.DUMP_BASE, Role.DUMP_EXT, Role.DUMP_DIR, Role.RECORDS_COMMAND),
    )
)
"""Options that give all sources one file, or make files or contents that depend on the other sources."""

Commands = tuple[tuple[str, ...], ...]


def split(family: str, argv: tuple[str, ...], cwd: str, env: Mapping[str, str], plusplus: bool) -> Commands:  # noqa: FBT001 -- as c_family.parse
    """The commands that do the same as this one, in its order; none where it cannot be divided."""
    expanded = response_files.expand(argv[1:], cwd, c_family.read_file)
    arguments = c_family.option_tables(family).driver.split(expanded.words, double_dash=family == "clang")
    if isinstance(arguments, MissingValue) or not expanded.complete or any(one.role in _SHARED for one in arguments):
        return ()
    sources = [position for position, one in enumerate(arguments) if not one.name]
    if not 1 < len(sources) <= MAX_SOURCES or any(arguments[at].value.startswith("-") for at in sources):
        return ()
    if any(one.role is Role.LANGUAGE for one in arguments[sources[-1] :]):
        return ()  # the compiler says that it has no effect, once
    parts = tuple((argv[0], *_words(arguments, at)) for at in sources)
    return parts if are_separate([c_family.parse(family, part, cwd, env, plusplus) for part in parts], cwd) else ()


def _words(arguments: Sequence[Argument], source: int) -> list[str]:
    """One source with all options; of `-x` those that stand before it."""
    words: list[str] = []
    for position, one in enumerate(arguments):
        is_wanted = position == source if not one.name else one.role is not Role.LANGUAGE or position < source
        if is_wanted:
            words += one.words
    return words


def are_separate(parts: Sequence[ParseResult | ObservedArguments], cwd: str) -> bool:
    """Whether all parts can be cached, every source is there, and no part writes what another reads or writes.

    clang looks for all sources before it compiles the first one.
    """
    if _is_mixed(parts):
        return False
    sources: list[str] = []
    written: list[str] = []
    for part in parts:
        match part:
            case ParsedArguments(made_in=()):
                sources.append(part.source)
                written += [output.path for output in part.outputs] + ([part.depfile.path] if part.depfile else [])
            case ObservedArguments(made_in=(), continued=()):
                sources += part.sources
                written += [output.path for output in part.outputs]
            case _:
                return False
    read = {os.path.realpath(os.path.join(cwd, path)) for path in sources}
    made = {os.path.realpath(os.path.join(cwd, path)) for path in written}
    return all(map(os.path.isfile, read)) and len(made) == len(written) and not read & made


def _is_mixed(parts: Sequence[ParseResult | ObservedArguments]) -> bool:
    """Whether clang compiles some of them for GPUs, and others not: for which ones is decided for the whole command."""
    parsed = [part for part in parts if isinstance(part, ParsedArguments)]
    return any(part.needs_observing for part in parsed) and len({part.language for part in parsed}) > 1


def is_refused_for_this(refusal: CannotCache) -> bool:
    """Whether having several sources is all that speaks against the command."""
    return refusal.reason == "multiple input files"
