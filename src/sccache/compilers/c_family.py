"""Understand a gcc or clang command line: what it compiles, what it reads and writes, and what makes its result.

    parse ::= response files, split by the option table, gather by role, put together

Owns: `parse` and the rules that need the whole command line.  Must not know: requests, the daemon, keys' hashing.
I/O: reads response files.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sccache.compilers import environment, languages, response_files
from sccache.compilers.arguments import MissingValue, OptionTable, Role
from sccache.compilers.c_command import SIDE_FILES, Command
from sccache.compilers.collector import Collector, Tables
from sccache.compilers.options import clang, clang_offload, gcc
from sccache.model import CannotCache, NotCompilation, ParseResult

PREPROCESS_FLAGS: dict[str, tuple[str, ...]] = {
    "gcc": ("-E", "-fdirectives-only"),
    "clang": ("-E", "-frewrite-includes"),
}
"""Make a preprocessor output that keeps comments, columns and white space."""
MULTIARCH = "SCCACHE_CACHE_MULTIARCH"
"""Present where compiles for several -arch are to be cached."""
MAPPER = "CXX_MODULE_MAPPER"
"""gcc's variable for -fmodule-mapper=."""


@cache
def option_tables(family: str) -> Tables:
    """The tables of one family, checked when first used."""
    if family == "gcc":
        driver = OptionTable(gcc.ROWS, aliases=gcc.ALIASES)
        return Tables(driver, driver, OptionTable(gcc.ROWS, gcc.BEHIND_WP), wp_dependencies=False)
    driver = OptionTable(gcc.SHARED, clang.ROWS, clang_offload.ROWS)
    return Tables(driver, OptionTable(driver.rows.values(), clang.FRONTEND), driver, wp_dependencies=True)


def preprocess_flags(family: str) -> tuple[str, ...]:
    """Options that make a preprocessor run."""
    return PREPROCESS_FLAGS[family]


def parse(family: str, argv: tuple[str, ...], cwd: str, env: Mapping[str, str], plusplus: bool) -> ParseResult:  # noqa: FBT001 -- the plan's interface
    """Understand one command line; argv[0] is the compiler."""
    expanded = response_files.expand(argv[1:], cwd, read_file)
    tables = option_tables(family)
    arguments = tables.driver.split(expanded.words, double_dash=family == "clang")
    if isinstance(arguments, MissingValue):
        return CannotCache("argument parse", arguments.name)
    collector = Collector(tables)
    for argument in arguments:
        collector.take(argument)
    collector.finish()
    refusal = _refusal(collector, env, complete=expanded.complete)
    if refusal is not None:
        return refusal
    collector.input_files += expanded.files
    if family == "gcc" and MAPPER in env:
        collector.values.setdefault(Role.MODULE_MAPPER, env[MAPPER])
    return Command(family, collector, argv, cwd, plusplus=plusplus or Role.PLUSPLUS in collector.seen).parsed()


def read_file(path: str) -> bytes | None:
    """What a response file holds; None where there is no such file."""
    try:
        return Path(path).read_bytes() if Path(path).is_file() else None
    except OSError:
        return None


def _refusal(collector: Collector, env: Mapping[str, str], *, complete: bool) -> CannotCache | NotCompilation | None:
    """Why this command line is not cached, in the order in which sccache looks; None when it may be."""
    if Role.NOT_COMPILATION in collector.seen:
        return NotCompilation("tells only")
    unreadable = _unreadable(collector, complete=complete)
    if unreadable is not None:
        return unreadable
    if not (collector.seen & {Role.COMPILE, Role.ASSEMBLE, Role.PRECOMPILE} or _makes_header(collector)):
        return NotCompilation("no -c")
    return _option_refusal(collector, env) or _source_refusal(collector)


def _unreadable(collector: Collector, *, complete: bool) -> CannotCache | None:
    if not complete:
        return CannotCache("@")
    if collector.too_hard is None and any(source == "-" for source, _ in collector.sources):
        return CannotCache("-")
    return collector.too_hard


def _option_refusal(collector: Collector, env: Mapping[str, str]) -> CannotCache | None:
    if collector.at_value:
        return CannotCache("@", collector.at_value)
    writes = next((name for name in environment.FURTHER_FILES if name in env), None)
    if collector.too_hard_when_compiling is None and len(collector.arches) > 1 and MULTIARCH not in env:
        return CannotCache("multiple different -arch, and SCCACHE_CACHE_MULTIARCH not set", " ".join(sorted(collector.arches)))
    return collector.too_hard_when_compiling or (CannotCache(writes) if writes else None)


def _makes_header(collector: Collector) -> bool:
    """A header alone is precompiled without -c too, but then gcc names dep-file and side files differently: only without those."""
    if len(collector.sources) != 1 or collector.seen & SIDE_FILES:
        return False
    if collector.seen & {Role.DEP_ALL, Role.DEP_USER} and Role.DEP_PATH not in collector.seen:
        return False
    source, x = collector.sources[0]
    language = languages.from_file_name(source, "", plusplus=False) if x == "none" else languages.from_x(x)
    return language in languages.HEADERS


def _source_refusal(collector: Collector) -> CannotCache | None:
    sources = collector.sources
    if len(sources) > 1:
        return CannotCache("multiple input files", " ".join(source for source, _ in sources[1:]))
    if not sources:
        return CannotCache("no input file")
    output = collector.values.get(Role.OUTPUT)
    depfile = collector.preprocessor_depfile or collector.values.get(Role.DEP_PATH, "")
    if depfile == "-" or (depfile.startswith("/dev/") and depfile != "/dev/null"):
        return CannotCache("-MF", depfile)
    if output is not None and (output in ("", "-") or (output.startswith("/dev/") and output != "/dev/null")):
        return CannotCache("output to a special file", output)
    if sources[0][0].startswith("-"):
        return CannotCache("-", sources[0][0])
    return None
