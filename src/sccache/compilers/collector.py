"""Read a command line argument by argument, and then what stands behind -Wp, -Wa, and -Xclang.

Owns: the order of that, and what may stand behind each.  Must not know: how the result is put together (c_command.py).
"""

from collections.abc import Sequence

from msgspec import Struct

from sccache.compilers import pieces
from sccache.compilers.arguments import Argument, MissingValue, OptionTable, Role
from sccache.compilers.destinations import ALL, DESTINATIONS, To
from sccache.compilers.gathered import Gathered
from sccache.compilers.meanings import ACTIONS, WP_DEPENDENCIES
from sccache.compilers.options.clang_offload import FOR_ONE_SIDE

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


class Tables(Struct, frozen=True):
    """What a family knows for the driver, and behind -Xclang and -Wp,."""

    driver: OptionTable
    frontend: OptionTable
    preprocessor: OptionTable
    wp_dependencies: bool
    """`-Wp,-MD,FILE` is understood by the driver itself, and only alone (clang)."""


class Collector(Gathered):
    """Fills Gathered."""

    def __init__(self, tables: Tables) -> None:
        """The tables are those of one compiler family."""
        super().__init__(wp_dependencies=tables.wp_dependencies)
        self.tables = tables

    def take(self, argument: Argument) -> None:
        """Gather one argument."""
        if not argument.name:
            self.sources.append((argument.value, self.values.get(Role.LANGUAGE, "none")))
            return
        self.seen.add(argument.role)
        self.values[argument.role] = argument.value
        if argument.value.startswith("@"):
            self.at_value = argument.words[0]
        destination = DESTINATIONS[argument.role]
        action = ACTIONS.get(argument.role)
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

    def finish(self) -> None:
        """Look at what was gathered for each of the programs behind the driver, now that it is complete."""
        self._finish_preprocessor()
        self._finish_frontend()
        self._finish_sides()
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
        if found and self.seen & {Role.DEP_ALL, Role.DEP_USER} and any(a.role in WP_DEPENDENCIES.values() for a in found):
            self.refuse("-Wp", "dependencies asked for twice")
        for argument in found:
            if not argument.name or argument.role not in _BEHIND_WP:
                self.refuse("-Wp", argument.words[0])
            elif argument.role in WP_DEPENDENCIES.values() and not self.wp_dependencies:
                self.seen.add(argument.role)
                self.preprocessor_depfile = argument.value
            elif argument.role in (Role.DEP_TARGET, Role.DEP_QUOTED_TARGET) and not self.preprocessor_depfile:
                self.refuse("-Wp", "a target beside the driver's own")
            else:
                self._take_behind("-Xpreprocessor", argument)

    def _take_behind(self, prefix: str, argument: Argument) -> None:
        self.seen.add(argument.role)
        self.values[argument.role] = argument.value
        action = ACTIONS.get(argument.role)
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

    def _finish_sides(self) -> None:
        """What is for the host's side or the device's alone says as little about files as it may."""
        for word in self.offload.one_side:
            row = self.tables.driver.find(word)
            role = row.role if row is not None else Role.PASS
            if role not in FOR_ONE_SIDE:
                self.refuse("-Xarch_", word)
            elif role is Role.CPU and row is not None:
                ACTIONS[role](self, Argument((word,), row.name, word[len(row.name) :], role))

    def _frontend_argument(self, argument: Argument, previous: str) -> None:
        if not argument.name:
            if not previous.startswith("-plugin-arg-"):
                self.refuse("Can't handle Raw arguments with -Xclang", argument.value)
            self.send(("-Xclang", argument.value), "", ALL)
        elif argument.role is Role.PASS and argument.name not in self.tables.frontend.rows:
            self.refuse("Can't handle UnknownFlag arguments with -Xclang", argument.name)
        elif argument.role in _NOT_BEHIND_XCLANG:
            self.refuse(argument.name, argument.value)
        else:
            self._take_behind("-Xclang", argument)
