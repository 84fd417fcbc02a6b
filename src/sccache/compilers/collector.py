"""Gather what each option of one command line means: a method or a row for each role, no branches on options.

Owns: where an argument's words go (keys, preprocessor, search-path probe) and what else it sets.
Must not know: how the result is put together (c_family.py), names of side files (side_outputs.py).
"""

from collections.abc import Callable, Sequence
from enum import IntFlag

from msgspec import Struct

from sccache.compilers import pieces
from sccache.compilers.arguments import Argument, MissingValue, OptionTable, Role
from sccache.model import CannotCache, Colour


class To(IntFlag):
    """Which lists an argument's words go to."""

    NOWHERE = 0
    KEY = 1
    RESULT = 2
    PREPROCESS = 4
    SEARCH = 8
    NAME = 16
    """Only the option's name goes to both keys: its value is a path without influence."""


_KEYS = To.KEY | To.RESULT
_ALL = _KEYS | To.PREPROCESS
_EVERYWHERE = _ALL | To.SEARCH

DESTINATIONS: dict[Role, To] = {
    **dict.fromkeys(Role, To.NOWHERE),
    Role.PASS: _ALL,
    Role.PREPROCESSOR: _ALL,
    Role.FORCED_INCLUDE: _ALL,
    Role.SEARCH: To.KEY | To.PREPROCESS | To.SEARCH,
    Role.TARGET: _EVERYWHERE,
    Role.CPU: _EVERYWHERE,
    Role.TOOLCHAIN_FILE: _EVERYWHERE,
    Role.PLUSPLUS: _EVERYWHERE,
    Role.ARCH: _EVERYWHERE,
    Role.LINKER: _KEYS,
    Role.COMPILE: To.NAME,
    Role.ASSEMBLE: To.NAME,
    Role.PRECOMPILE: To.NAME,
    Role.LLVM_OUTPUT: To.NAME,
    Role.PCH_OUTPUT: To.NAME,
    Role.PCH_WITHOUT_TIMES: To.NAME,
    Role.DEBUG: _ALL,
    Role.DEBUG_OFF: _ALL,
    Role.RECORDS_CWD: _ALL,
    Role.RECORDS_COMMAND: _ALL,
    Role.COVERAGE_NOTES: _ALL,
    Role.NOTES_PATH: _KEYS,
    Role.PROFILE_GENERATE: _ALL,
    Role.PROFILE_USE: _ALL,
    Role.PROFILE_DIRECTORY: _ALL,
    Role.AUTO_PROFILE: _ALL,
    Role.PROFILE_INSTR_USE: _ALL,
    Role.PROFILE_PREFIX: _ALL,
    Role.SPLIT_DWARF: _ALL,
    Role.SPLIT_DWARF_KIND: _ALL,
    Role.STACK_USAGE: To.NAME,
    Role.CALLGRAPH: _KEYS,
    Role.OPT_RECORD: _KEYS,
    Role.OPT_RECORD_FORMAT: _KEYS,
    Role.OPT_RECORD_PATH: To.NAME,
    Role.OPT_INFO: _KEYS,
    Role.DUMP_BASE: _KEYS,
    Role.DUMP_EXT: _KEYS,
    Role.DUMP_DIR: _KEYS,
    Role.OUTPUT_FILE: To.NAME,
    Role.INPUT_FILE: _ALL,
    Role.REMAPPING_FILE: _ALL,
    Role.MODULE_FILE: _ALL,
    Role.MODULE_OUTPUT: To.NAME,
    Role.MODULE_OUTPUT_PATH: To.NAME,
    Role.LIST_FILE: _ALL,
    Role.TO_ASSEMBLER: _KEYS | To.SEARCH,
    Role.TO_ASSEMBLER_NEXT: _KEYS | To.SEARCH,
    Role.TO_BACKEND: _ALL,
    Role.NO_DIRECT: _ALL,
}


class Tables(Struct, frozen=True):
    """What a family knows for the driver, and behind -Xclang and -Wp,."""

    driver: OptionTable
    frontend: OptionTable
    preprocessor: OptionTable
    wp_dependencies: bool
    """`-Wp,-MD,FILE` is understood by the driver itself, and only alone (clang)."""


class Collector:
    """What a command line says, gathered argument by argument."""

    def __init__(self, tables: Tables) -> None:
        """The tables are those of one compiler family."""
        self.tables = tables
        self.key: list[str] = []
        self.result_key: list[str] = []
        self.preprocess: list[str] = []
        self.search: list[str] = []
        self.seen: set[Role] = set()
        self.values: dict[Role, str] = {}
        """The last value of each role."""
        self.sources: list[tuple[str, str]] = []
        """Positional words with the -x in force at each."""
        self.input_files: list[str] = []
        self.absent_files: list[str] = []
        self.toolchain_files: list[str] = []
        self.forced_includes: list[str] = []
        self.output_files: list[tuple[str, str]] = []
        self.targets: list[tuple[str, bool]] = []
        """-MT and -MQ values; True: to be quoted."""
        self.arches: set[str] = set()
        self.colour = Colour.AUTO
        self.debug_info = False
        self.optimisation = "0"
        self.split_dwarf = False
        self.too_hard: CannotCache | None = None
        self.too_hard_when_compiling: CannotCache | None = None
        self.frontend_words: list[str] = []
        self.preprocessor_words: list[str] = []
        self.assembler_words: list[str] = []
        self.profile_directory = ""
        self.preprocessor_depfile = ""
        """FILE of gcc's -Wp,-MD,FILE: wins over -MF, and its default target ignores -o."""

    def take(self, argument: Argument) -> None:
        """Gather one argument."""
        if not argument.name:
            self.sources.append((argument.value, self.values.get(Role.LANGUAGE, "none")))
            return
        self.seen.add(argument.role)
        self.values[argument.role] = argument.value
        destination = DESTINATIONS[argument.role]
        action = _ACTIONS.get(argument.role)
        if action is not None:
            action(self, argument)
        if destination:
            self.send(argument.words, argument.name, destination)

    def send(self, words: Sequence[str], name: str, destination: To) -> None:
        """Put an argument's words on the lists of its destination."""
        if destination & To.NAME:
            self.key.append(name)
            self.result_key.append(name)
        if destination & To.KEY:
            self.key += words
        if destination & To.RESULT:
            self.result_key += words
        if destination & To.PREPROCESS:
            self.preprocess += words
        if destination & To.SEARCH:
            self.search += words

    def refuse(self, reason: str, detail: str = "") -> None:
        """This compile is not cached; the first reason is the one that is counted."""
        if self.too_hard_when_compiling is None:
            self.too_hard_when_compiling = CannotCache(reason, detail)

    # One method for each role that does more than send its words somewhere.

    def _too_hard(self, argument: Argument) -> None:
        if self.too_hard is None:
            self.too_hard = CannotCache(argument.name, argument.value)

    def _refuse(self, argument: Argument) -> None:
        self.refuse(argument.name, argument.value)

    def _colour_when(self, argument: Argument) -> None:
        self.colour = _COLOURS.get(argument.value, Colour.AUTO)

    def _colour_always(self, _: Argument) -> None:
        self.colour = Colour.ALWAYS

    def _colour_never(self, _: Argument) -> None:
        self.colour = Colour.NEVER

    def _debug(self, _: Argument) -> None:
        self.debug_info = True

    def _debug_off(self, _: Argument) -> None:
        self.debug_info = False

    def _split_dwarf(self, _: Argument) -> None:
        self.split_dwarf = True
        self.debug_info = True

    def _split_dwarf_kind(self, argument: Argument) -> None:
        self.split_dwarf = argument.value != "single"
        self.debug_info = True

    def _target(self, argument: Argument) -> None:
        self.targets.append((argument.value, False))

    def _quoted_target(self, argument: Argument) -> None:
        self.targets.append((argument.value, True))

    def _input_file(self, argument: Argument) -> None:
        self.input_files.append(argument.value)

    def _module_file(self, argument: Argument) -> None:
        self.input_files.append(argument.value.rpartition("=")[2])

    def _list_file(self, argument: Argument) -> None:
        if argument.value not in _SECTION_KINDS:
            self.input_files.append(argument.value.removeprefix("list="))

    def _toolchain_file(self, argument: Argument) -> None:
        (self.input_files if "/" in argument.value else self.toolchain_files).append(argument.value)

    def _forced_include(self, argument: Argument) -> None:
        self.forced_includes.append(argument.value)

    def _output_file(self, argument: Argument) -> None:
        self.output_files.append((_FILE_ROLES[argument.name], argument.value))

    def _opt_info(self, argument: Argument) -> None:
        _, equals, path = argument.value.partition("=")
        if path:
            self.output_files.append(("opt-info", path))
        elif equals:
            self.refuse("-fopt-info")

    def _search(self, argument: Argument) -> None:
        if argument.value.endswith(".hmap"):
            self.input_files.append(argument.value)

    def _arch(self, argument: Argument) -> None:
        self.arches.add(argument.value)
        if len(self.arches) > 1:
            self.refuse("multiple different -arch, and SCCACHE_CACHE_MULTIARCH not set")

    def _backend(self, argument: Argument) -> None:
        if any(part in argument.value for part in _BACKEND_WRITES):
            self.refuse("-mllvm", argument.value)

    def _assembler(self, argument: Argument) -> None:
        self.assembler_words += argument.value.split(",") if argument.role is Role.TO_ASSEMBLER else [argument.value]

    def _preprocessor(self, argument: Argument) -> None:
        words = argument.value.split(",") if argument.role is Role.TO_PREPROCESSOR else [argument.value]
        if (
            not self.tables.wp_dependencies
            or argument.role is Role.TO_PREPROCESSOR_NEXT
            or words[0] not in _WP_DEPENDENCIES
        ):
            self.preprocessor_words += words
            return
        self.seen.add(_WP_DEPENDENCIES[words[0]])
        if len(words) > 2:  # noqa: PLR2004 -- clang 14 ignores the file name then
            self.refuse("-Wp", argument.value)
        elif len(words) > 1:
            self.values[Role.DEP_PATH] = words[1]

    def _profile_directory(self, argument: Argument) -> None:
        self.profile_directory = argument.value or self.profile_directory

    def _frontend(self, argument: Argument) -> None:
        self.frontend_words.append(argument.value)

    def finish(self) -> None:
        """Look at what was gathered for each of the programs behind the driver, now that it is complete."""
        self._finish_preprocessor()
        self._finish_frontend()
        found = pieces.assembler(self.assembler_words)
        self.debug_info = self.debug_info or found.debug_info
        if found.listing:
            self.output_files.append(("lst", found.listing))
        if found.refused:
            self.refuse(found.refused)

    def _finish_preprocessor(self) -> None:
        found = self.tables.preprocessor.split(self.preprocessor_words, double_dash=False)
        if isinstance(found, MissingValue):
            self.refuse("-Wp", found.name)
            return
        if (
            found
            and self.seen & {Role.DEP_ALL, Role.DEP_USER}
            and any(a.role in _WP_DEPENDENCIES.values() for a in found)
        ):
            self.refuse("-Wp", "dependencies asked for twice")
        for argument in found:
            if not argument.name or argument.role not in _BEHIND_WP:
                self.refuse("-Wp", argument.words[0])
            elif argument.role in _WP_DEPENDENCIES.values() and not self.tables.wp_dependencies:
                self.seen.add(argument.role)
                self.preprocessor_depfile = argument.value
            elif argument.role in (Role.DEP_TARGET, Role.DEP_QUOTED_TARGET) and not self.preprocessor_depfile:
                self.refuse("-Wp", "a target beside the driver's own")
            else:
                self._take_behind("-Xpreprocessor", argument)

    def _take_behind(self, prefix: str, argument: Argument) -> None:
        self.seen.add(argument.role)
        self.values[argument.role] = argument.value
        action = _ACTIONS.get(argument.role)
        if action is not None:
            action(self, argument)
        words = [part for word in argument.words for part in (prefix, word)]
        self.send(words, f"{prefix}={argument.name}", DESTINATIONS[argument.role])

    def _finish_frontend(self) -> None:
        found = self.tables.frontend.split(self.frontend_words, double_dash=False)
        if isinstance(found, MissingValue):
            self.refuse("argument parse", found.name)
            return
        previous = ""
        for argument in found:
            self._frontend_argument(argument, previous)
            previous = argument.name

    def _frontend_argument(self, argument: Argument, previous: str) -> None:
        if not argument.name:
            if not previous.startswith("-plugin-arg-"):
                self.refuse("Can't handle Raw arguments with -Xclang", argument.value)
            self.send(("-Xclang", argument.value), "", _ALL)
        elif argument.role is Role.PASS and argument.name not in self.tables.frontend.rows:
            self.refuse("Can't handle UnknownFlag arguments with -Xclang", argument.name)
        elif argument.role in _NOT_BEHIND_XCLANG:
            self.refuse(argument.name, argument.value)
        else:
            self._take_behind("-Xclang", argument)


_NOT_BEHIND_XCLANG = frozenset(
    (
        *(
            Role.COMPILE,
            Role.ASSEMBLE,
            Role.OUTPUT,
            Role.LANGUAGE,
            Role.PRECOMPILE,
            Role.SPLIT_DWARF,
            Role.SPLIT_DWARF_KIND,
        ),
        *(Role.PROFILE_GENERATE, Role.COVERAGE_NOTES, Role.NOTES_PATH, Role.MODULE_OUTPUT, Role.MODULE_OUTPUT_PATH),
        *(Role.TO_FRONTEND, Role.TO_ASSEMBLER, Role.TO_PREPROCESSOR, Role.DEP_ALL, Role.DEP_USER, Role.DEP_PATH),
        *(Role.DEP_TARGET, Role.DEP_QUOTED_TARGET, Role.DEP_PHONY, Role.TO_ASSEMBLER_NEXT, Role.TO_PREPROCESSOR_NEXT),
        *(Role.NOT_COMPILATION, Role.LLVM_OUTPUT),
    )
)

_BEHIND_WP = frozenset(
    (
        *(Role.PASS, Role.PREPROCESSOR, Role.FORCED_INCLUDE, Role.SEARCH, Role.TARGET, Role.NO_DIRECT, Role.INPUT_FILE),
        *(
            Role.DEP_ALL,
            Role.DEP_USER,
            Role.DEP_TARGET,
            Role.DEP_QUOTED_TARGET,
            Role.DEP_PHONY,
            Role.DEBUG,
            Role.DEBUG_OFF,
        ),
    )
)
_WP_DEPENDENCIES = {"-MD": Role.DEP_ALL, "-MMD": Role.DEP_USER}
_COLOURS = {"": Colour.ALWAYS, "always": Colour.ALWAYS, "never": Colour.NEVER}
_SECTION_KINDS = frozenset(("all", "labels", "none"))
_BACKEND_WRITES = ("time", "dump", "output", "file", "dot-", "view-", "stats", "path", "-o")
_FILE_ROLES = {"-aux-info": "aux-info", "--serialize-diagnostics": "dia", "-serialize-diagnostics": "dia"}

_ACTIONS: dict[Role, Callable[[Collector, Argument], None]] = {
    Role.TOO_HARD: Collector._too_hard,
    Role.TOO_HARD_WHEN_COMPILING: Collector._refuse,
    Role.COLOUR_WHEN: Collector._colour_when,
    Role.COLOUR_ALWAYS: Collector._colour_always,
    Role.COLOUR_NEVER: Collector._colour_never,
    Role.DEBUG: Collector._debug,
    Role.DEBUG_OFF: Collector._debug_off,
    Role.SPLIT_DWARF: Collector._split_dwarf,
    Role.SPLIT_DWARF_KIND: Collector._split_dwarf_kind,
    Role.DEP_TARGET: Collector._target,
    Role.DEP_QUOTED_TARGET: Collector._quoted_target,
    Role.INPUT_FILE: Collector._input_file,
    Role.REMAPPING_FILE: Collector._input_file,
    Role.MODULE_FILE: Collector._module_file,
    Role.LIST_FILE: Collector._list_file,
    Role.TOOLCHAIN_FILE: Collector._toolchain_file,
    Role.FORCED_INCLUDE: Collector._forced_include,
    Role.OUTPUT_FILE: Collector._output_file,
    Role.OPT_INFO: Collector._opt_info,
    Role.SEARCH: Collector._search,
    Role.ARCH: Collector._arch,
    Role.TO_BACKEND: Collector._backend,
    Role.TO_ASSEMBLER: Collector._assembler,
    Role.TO_ASSEMBLER_NEXT: Collector._assembler,
    Role.TO_PREPROCESSOR: Collector._preprocessor,
    Role.TO_PREPROCESSOR_NEXT: Collector._preprocessor,
    Role.TO_FRONTEND: Collector._frontend,
    Role.PROFILE_USE: Collector._profile_directory,
    Role.PROFILE_DIRECTORY: Collector._profile_directory,
    Role.PROFILE_GENERATE: Collector._profile_directory,
    Role.PROFILE_INSTR_USE: Collector._input_file,
}
