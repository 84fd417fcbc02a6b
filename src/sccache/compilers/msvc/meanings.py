"""What an option of each role sets: one small function a role.

Owns: `take` and `finish`.  Must not know: destinations, how the result is put together.
"""

from collections.abc import Callable

from sccache.compilers import arguments
from sccache.compilers.arguments import MissingValue
from sccache.compilers.c_family import option_tables
from sccache.compilers.msvc.gathered import DEBUG_EMBEDDED, DEBUG_PDB, Gathered
from sccache.compilers.msvc.words import Word
from sccache.compilers.options import clang_cl
from sccache.compilers.options.msvc import Role
from sccache.model import Colour, NotCompilation

PDB_ADVICE = (
    "use /Z7 (CMake 3.25 or later: policy CMP0141 and CMAKE_MSVC_DEBUG_INFORMATION_FORMAT=Embedded), "
    "or /Fd with a file of its own for each object, called like the object"
)
_BACKEND_HARD = ("time-passes", "time-trace", "stats", "track-memory", "dump", "output", "file", "-dot-", "-view-", "-load")
_C = arguments.Role
_PLAIN = frozenset(
    {
        *(_C.PASS, _C.PREPROCESSOR, _C.FORCED_INCLUDE, _C.SEARCH, _C.WARNS_OF_SEARCH, _C.TARGET, _C.COMPILER_ONLY),
        *(_C.LINKER, _C.UNHASHED, _C.DEBUG_OFF, _C.CPU, _C.PCH_WITHOUT_TIMES),
    }
)
_RECORDING = frozenset({_C.DEBUG, _C.RECORDS_CWD, _C.RECORDS_COMMAND})
_READING = frozenset({_C.INPUT_FILE, _C.REMAPPING_FILE, _C.MODULE_FILE})
_DEPENDENCIES = frozenset({_C.DEP_ALL, _C.DEP_USER, _C.DEP_PATH, _C.DEP_TARGET, _C.DEP_QUOTED_TARGET, _C.DEP_PHONY})
_COLOURS = {_C.COLOUR_ALWAYS: Colour.ALWAYS, _C.COLOUR_NEVER: Colour.NEVER}


def take(gathered: Gathered, word: Word) -> None:
    """Note what one word of the command line says."""
    if not word.name:
        gathered.sources.append((word.value or word.spelled[0], ""))
        return
    if word.role in _KEYED:
        gathered.key_args += word.key
    action = ACTIONS.get(word.role)
    if action is not None:
        action(gathered, word)


def finish(gathered: Gathered) -> None:
    """Understand the words behind /clang:, which clang's driver reads as one command line behind all others."""
    found = option_tables("clang").driver.split(gathered.to_driver, double_dash=False)
    if isinstance(found, MissingValue):
        gathered.refuse("argument parse", found.name)
        return
    for argument in found:
        _take_clang(gathered, argument)


def _take_clang(gathered: Gathered, argument: arguments.Argument) -> None:
    role = argument.role
    if not argument.name:
        gathered.refuse("Can't handle Raw arguments with -Xclang", argument.value)
    elif role in _COLOURS:
        gathered.colour = _COLOURS[role]
    elif role not in _PLAIN | _RECORDING | _READING | _DEPENDENCIES:
        gathered.refuse(argument.name, f"/clang:{argument.name}")
    if role in (_C.DEP_ALL, _C.DEP_USER):
        gathered.dependencies = True
    elif role is _C.DEP_PATH:
        gathered.depfile = argument.value
    gathered.hides_paths |= argument.name.startswith(clang_cl.PACKS)
    gathered.native_cpu |= role is _C.CPU and argument.value.startswith("native")
    gathered.records_cwd |= role in _RECORDING


def _frontend(gathered: Gathered, word: Word) -> None:
    """A word for `clang -cc1`; values of its options are words too, so a single word tells only what it does by itself."""
    row = option_tables("clang").frontend.find(word.value)
    if row is not None and row.role not in _PLAIN | _RECORDING | _READING | {_C.DEP_QUOTED_TARGET, _C.DEP_TARGET, _C.DEP_PHONY}:
        gathered.refuse(row.name, f"-Xclang {word.value}")
    gathered.records_cwd |= row is not None and row.role in _RECORDING
    gathered.hides_paths |= word.value.startswith(clang_cl.PACKS)


def _backend(gathered: Gathered, word: Word) -> None:
    if any(part in word.value for part in _BACKEND_HARD):
        gathered.refuse(word.name, word.value)


def _tells(gathered: Gathered, word: Word) -> None:
    gathered.tells = gathered.tells or NotCompilation(word.spelled[0])


def _too_hard(gathered: Gathered, word: Word) -> None:
    gathered.refuse(word.spelled[0][: len(word.name)], word.value)


def _compile(gathered: Gathered, _: Word) -> None:
    gathered.compiles = True


def _output(gathered: Gathered, word: Word) -> None:
    gathered.output = word.value


def _pdb(gathered: Gathered, word: Word) -> None:
    gathered.pdb = word.value


def _listing(gathered: Gathered, word: Word) -> None:
    gathered.listing = "cod" if "c" in word.value else "asm"


def _listing_path(gathered: Gathered, word: Word) -> None:
    gathered.listing = gathered.listing or "asm"
    gathered.listing_path = word.value


def _source_dependencies(gathered: Gathered, word: Word) -> None:
    gathered.source_dependencies = word.value


def _all_c(gathered: Gathered, _: Word) -> None:
    gathered.all_are = "c"


def _all_cxx(gathered: Gathered, _: Word) -> None:
    gathered.all_are = "c++"


def _source_c(gathered: Gathered, word: Word) -> None:
    gathered.sources.append((word.value, "c"))


def _source_cxx(gathered: Gathered, word: Word) -> None:
    gathered.sources.append((word.value, "c++"))


def _embedded(gathered: Gathered, _: Word) -> None:
    gathered.debug = DEBUG_EMBEDDED


def _debug_pdb(gathered: Gathered, _: Word) -> None:
    gathered.debug = DEBUG_EMBEDDED if gathered.clang else DEBUG_PDB  # clang-cl: /Zi is /Z7


def _debug_edit(gathered: Gathered, word: Word) -> None:
    gathered.refuse(word.spelled[0], f"edit and continue keeps its state in shared files: {PDB_ADVICE}")


def _pch_make(gathered: Gathered, word: Word) -> None:
    gathered.pch_made = word.value


def _pch_use(gathered: Gathered, word: Word) -> None:
    gathered.pch_used = word.value


def _pch_path(gathered: Gathered, word: Word) -> None:
    gathered.pch_path = word.value


def _pch_off(gathered: Gathered, _: Word) -> None:
    gathered.pch_off = True


def _packs(gathered: Gathered, _: Word) -> None:
    gathered.hides_paths = True


def _cpu(gathered: Gathered, word: Word) -> None:
    gathered.native_cpu |= word.value == "native"


def _variable(gathered: Gathered, word: Word) -> None:
    gathered.search_variables.append(word.value)


def _context(gathered: Gathered, word: Word) -> None:
    gathered.context_args += word.key


def _colour_always(gathered: Gathered, _: Word) -> None:
    gathered.colour = Colour.ALWAYS


def _colour_never(gathered: Gathered, _: Word) -> None:
    gathered.colour = Colour.NEVER


def _to_driver(gathered: Gathered, word: Word) -> None:
    gathered.to_driver.append(word.value)


_KEYED = frozenset(Role) - {
    *(Role.DROPPED, Role.CONTEXT, Role.OUTPUT, Role.SOURCE_C, Role.SOURCE_CXX, Role.LISTING_PATH, Role.COLOUR_ALWAYS),
    *(Role.COLOUR_NEVER, Role.SOURCE_DEPENDENCIES),
}
"""Roles whose words are part of the key as they stand."""

ACTIONS: dict[Role, Callable[[Gathered, Word], None]] = {
    Role.CONTEXT: _context,
    Role.COMPILE: _compile,
    Role.OUTPUT: _output,
    Role.PDB: _pdb,
    Role.LISTING: _listing,
    Role.LISTING_PATH: _listing_path,
    Role.SOURCE_DEPENDENCIES: _source_dependencies,
    Role.ALL_C: _all_c,
    Role.ALL_CXX: _all_cxx,
    Role.SOURCE_C: _source_c,
    Role.SOURCE_CXX: _source_cxx,
    Role.DEBUG_EMBEDDED: _embedded,
    Role.DEBUG_PDB: _debug_pdb,
    Role.DEBUG_EDIT: _debug_edit,
    Role.PCH_MAKE: _pch_make,
    Role.PCH_USE: _pch_use,
    Role.PCH_PATH: _pch_path,
    Role.PCH_OFF: _pch_off,
    Role.PACKS: _packs,
    Role.CPU: _cpu,
    Role.VARIABLE: _variable,
    Role.COLOUR_ALWAYS: _colour_always,
    Role.COLOUR_NEVER: _colour_never,
    Role.TO_DRIVER: _to_driver,
    Role.TO_FRONTEND: _frontend,
    Role.TO_BACKEND: _backend,
    Role.NOT_COMPILATION: _tells,
    Role.TOO_HARD: _too_hard,
}
