"""Understand a gcc or clang command line: what it compiles, what it reads and writes, and what makes its result.

    parse ::= response files, split by the option table, gather by role, put together

Owns: `parse` and the rules that need the whole command line.  Must not know: requests, the daemon, keys' hashing.
I/O: reads response files; looks whether a profile exists.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sccache.compilers import depfiles, languages, response_files, side_outputs
from sccache.compilers.arguments import MissingValue, OptionTable, Role
from sccache.compilers.collector import Collector
from sccache.compilers.options import clang, gcc
from sccache.compilers.side_outputs import Naming
from sccache.model import CannotCache, Depfile, Language, NotCompilation, Output, ParsedArguments, ParseResult

PREPROCESS_FLAGS: dict[str, tuple[str, ...]] = {
    "gcc": ("-E", "-fdirectives-only"),
    "clang": ("-E", "-frewrite-includes"),
}
"""Make a preprocessor output that keeps comments, columns and white space."""

COLOUR_FLAG = {"gcc": "-fdiagnostics-color=always", "clang": "-fcolor-diagnostics"}

_ENVIRONMENT_WRITES = (
    "DEPENDENCIES_OUTPUT",
    "SUNPRO_DEPENDENCIES",
    "CCC_OVERRIDE_OPTIONS",
    "CC_PRINT_OPTIONS",
    "CC_PRINT_HEADERS",
    "CC_LOG_DIAGNOSTICS",
    "CC_PRINT_PROC_STAT",
)
"""Variables that make a driver write further files or change its command line."""


@cache
def option_table(family: str) -> OptionTable:
    """The table of one family, checked when first used."""
    if family == "gcc":
        return OptionTable(gcc.ROWS, aliases=gcc.ALIASES)
    shared = [row for row in gcc.ROWS if row.name not in clang.GCC_ONLY]
    return OptionTable(shared, clang.ROWS)


@cache
def frontend_table(family: str) -> OptionTable:
    """What may stand behind -Xclang."""
    return OptionTable(option_table(family).rows.values(), clang.FRONTEND)


def preprocess_flags(family: str) -> tuple[str, ...]:
    """Options that make a preprocessor run."""
    return PREPROCESS_FLAGS[family]


def parse(family: str, argv: tuple[str, ...], cwd: str, env: Mapping[str, str], plusplus: bool) -> ParseResult:  # noqa: FBT001
    """Understand one command line; argv[0] is the compiler."""
    expanded = response_files.expand(argv[1:], cwd, _read)
    table = option_table(family)
    arguments = table.split(expanded.words, double_dash=family == "clang")
    if isinstance(arguments, MissingValue):
        return CannotCache("argument parse", arguments.name)
    collector = Collector(table, frontend_table(family))
    for argument in arguments:
        collector.take(argument)
    collector.finish()
    refusal = _refusal(collector, env, complete=expanded.complete)
    if refusal is not None:
        return refusal
    collector.input_files += expanded.files
    return _Command(family, collector, argv, cwd, plusplus=plusplus or Role.PLUSPLUS in collector.seen).parsed()


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if Path(path).is_file() else None
    except OSError:
        return None


def _refusal(collector: Collector, env: Mapping[str, str], *, complete: bool) -> CannotCache | NotCompilation | None:
    """Why this command line is not cached, in the order in which sccache looks; None when it may be."""
    seen = collector.seen
    if Role.NOT_COMPILATION in seen:
        return NotCompilation("tells only")
    if not complete:
        return CannotCache("@")
    if collector.too_hard is not None:
        return collector.too_hard
    if any(source == "-" for source, _ in collector.sources):
        return CannotCache("-")
    if not seen & {Role.COMPILE, Role.ASSEMBLE, Role.PRECOMPILE}:
        return NotCompilation("no -c")
    if any(value.startswith("@") for role, value in collector.values.items() if role in _PATH_ROLES):
        return CannotCache("@")
    if collector.too_hard_when_compiling is not None:
        return collector.too_hard_when_compiling
    for name in _ENVIRONMENT_WRITES:
        if name in env:
            return CannotCache(name)
    return _source_refusal(collector)


_PATH_ROLES = frozenset((Role.SEARCH, Role.FORCED_INCLUDE, Role.OUTPUT, Role.DEP_PATH, Role.TARGET, Role.INPUT_FILE))


def _source_refusal(collector: Collector) -> CannotCache | None:
    sources = collector.sources
    if len(sources) > 1:
        return CannotCache("multiple input files", " ".join(source for source, _ in sources[1:]))
    if not sources:
        return CannotCache("no input file")
    output = collector.values.get(Role.OUTPUT, "")
    if output == "-" or (output.startswith("/dev/") and output != "/dev/null"):
        return CannotCache("output to a special file", output)
    if sources[0][0].startswith("-"):
        return CannotCache("-", sources[0][0])
    return None


class _Command:
    """Put together what was gathered from one command line that has one source."""

    def __init__(self, family: str, collector: Collector, argv: tuple[str, ...], cwd: str, *, plusplus: bool) -> None:
        self.family = family
        self.collector = collector
        self.argv = argv
        self.cwd = cwd
        self.plusplus = plusplus
        self.source, self.x = collector.sources[0]
        values = collector.values
        self.naming = Naming(
            family=family,
            source=self.source,
            output=values.get(Role.OUTPUT, ""),
            assembly=Role.ASSEMBLE in collector.seen,
            dump_base=values.get(Role.DUMP_BASE),
            dump_extension=values.get(Role.DUMP_EXT),
            dump_directory=values.get(Role.DUMP_DIR),
        )

    def parsed(self) -> ParseResult:
        """The final value."""
        language = (
            languages.from_file_name(self.source, self.family, plusplus=self.plusplus)
            if self.x == "none"
            else languages.from_x(self.x)
        )
        if language is None:
            return CannotCache("unknown source language" if self.x == "none" else "-x", self.x)
        collector, seen = self.collector, self.collector.seen
        main = self._main_output(language)
        outputs = (main, *self._side_outputs(language))
        x_words = () if self.x == "none" else ("-x", self.x)
        records_command = Role.RECORDS_COMMAND in seen
        whole = self.argv[1:] if records_command else ()
        return ParsedArguments(
            language=language,
            plusplus=self.plusplus,
            source=self.source,
            output=main.path,
            outputs=outputs,
            depfile=self._depfile(language),
            key_args=(*collector.key, *x_words, *whole),
            result_key_args=(*collector.result_key, *x_words, *whole),
            preprocess_args=(*collector.preprocess, *x_words),
            compile_args=self.argv[1:],
            input_files=tuple(dict.fromkeys(collector.input_files)),
            toolchain_files=tuple(dict.fromkeys(collector.toolchain_files)),
            forced_includes=tuple(collector.forced_includes),
            colour=collector.colour,
            debug_info=collector.debug_info or bool(seen & _HOLDS_CWD),
            output_in_key=bool(seen & _HOLDS_OUTPUT_PATH),
            native_cpu=collector.values.get(Role.CPU) == "native",
            assembles=main.role == "obj",
            needs_preprocessing=languages.needs_preprocessing(language),
            direct_mode=not seen & {Role.NO_DIRECT, Role.REMAPPING_FILE},
            mtimes_matter=self.family == "clang" and main.role == "pch" and Role.PCH_WITHOUT_TIMES not in seen,
            search_args=tuple(collector.search),
        )

    def _main_output(self, language: Language) -> Output:
        seen = self.collector.seen
        header = language in languages.HEADERS and Role.ASSEMBLE not in seen
        is_pch = header or Role.PCH_OUTPUT in seen
        kind = "s" if Role.ASSEMBLE in seen else "o"
        if Role.LLVM_OUTPUT in seen:
            kind = "ll" if Role.ASSEMBLE in seen else "bc"
        if Role.PRECOMPILE in seen:
            kind = "pcm"
        default = side_outputs.default_main(self.naming, kind, header=header)
        return Output("pch" if is_pch else default.role, self.naming.output or default.path)

    def _side_outputs(self, language: Language) -> list[Output]:
        seen, values, naming = self.collector.seen, self.collector.values, self.naming
        found = [Output(role, path, required=False) for role, path in self.collector.output_files]
        if language in languages.ASSEMBLERS and self.family == "gcc" and not self.collector.split_dwarf:
            return found
        for role, name, suffix in _AUXILIARY:
            if role in seen:
                found.append(Output(name, side_outputs.auxiliary(naming, suffix), required=False))
        if Role.NOTES_PATH in seen:
            found.append(Output("notes", values[Role.NOTES_PATH], required=False))
        if self.collector.split_dwarf:
            found.append(Output("dwo", side_outputs.split_dwarf(naming), required=False))
        if seen & {Role.OPT_RECORD, Role.OPT_RECORD_FORMAT, Role.OPT_RECORD_PATH}:
            found.append(Output("opt-record", self._opt_record(), required=False))
        if Role.MODULE_OUTPUT_PATH in seen:
            found.append(Output("module", values[Role.MODULE_OUTPUT_PATH], required=False))
        elif Role.MODULE_OUTPUT in seen:
            found.append(Output("module", side_outputs.auxiliary(naming, ".pcm"), required=False))
        return found

    def _opt_record(self) -> str:
        if self.family == "gcc":
            return side_outputs.dump_name(self.naming, ".opt-record.json.gz")
        values = self.collector.values
        explicit = values.get(Role.OPT_RECORD_PATH)
        kind = values.get(Role.OPT_RECORD_FORMAT, "yaml")
        return explicit or side_outputs.auxiliary(self.naming, f".opt.{kind}")

    def _depfile(self, language: Language) -> Depfile | None:
        collector, seen = self.collector, self.collector.seen
        if not seen & {Role.DEP_ALL, Role.DEP_USER} or not languages.needs_preprocessing(language):
            return None
        targets = tuple(depfiles.quote(target) if quoted else target for target, quoted in collector.targets)
        default = self.naming.output or f"{side_outputs.stem(self.source)}.o"
        return Depfile(
            path=collector.values.get(Role.DEP_PATH) or side_outputs.depfile_path(self.naming),
            targets=targets or (depfiles.quote(default),),
            system_headers=Role.DEP_ALL in seen,
            phony=Role.DEP_PHONY in seen,
        )


_AUXILIARY = (
    (Role.COVERAGE_NOTES, "gcno", ".gcno"),
    (Role.STACK_USAGE, "su", ".su"),
    (Role.CALLGRAPH, "ci", ".ci"),
)
_HOLDS_OUTPUT_PATH = frozenset(
    (Role.COVERAGE_NOTES, Role.PROFILE_GENERATE, Role.SPLIT_DWARF, Role.SPLIT_DWARF_KIND, Role.RECORDS_COMMAND)
)
_HOLDS_CWD = frozenset((Role.COVERAGE_NOTES, Role.PROFILE_GENERATE, Role.RECORDS_CWD, Role.RECORDS_COMMAND))
