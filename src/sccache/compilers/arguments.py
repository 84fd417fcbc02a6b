"""The table engine: split a command line into options with their values, and positional words.

    <word> is matched by the longest option name that fits it; an option that takes no joined value fits only whole words.

Owns: Option, Takes, Role, OptionTable and the splitting.  Must not know: what any single option is for.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto

from msgspec import Struct


class Takes(Enum):
    """How an option's value is attached."""

    NOTHING = auto()
    """`-c`."""
    NEXT = auto()
    """The following word, always: `-aux-info FILE`."""
    JOINED = auto()
    """The rest of the word, maybe empty: `-std=c11`."""
    EITHER = auto()
    """The rest of the word, or the following word when nothing is left: `-Idir`, `-I dir`."""


class Role(Enum):
    """What an option means to a cache.  c_family.py has one row for each."""

    PASS = auto()
    """Changes the result or the diagnostics; nothing else is known of it."""
    PREPROCESSOR = auto()
    """Changes the preprocessed text (macros, forced includes, dialect of the preprocessor)."""
    FORCED_INCLUDE = auto()
    """Names a header that is included first."""
    SEARCH = auto()
    """Changes only where headers are searched."""
    WARNS_OF_SEARCH = auto()
    """Diagnostics depend on the search directories themselves."""
    TARGET = auto()
    """Changes code generation and perhaps header directories or the programs run."""
    CPU = auto()
    """Like TARGET; the value `native` makes this machine's processor an input."""
    COMPILER_ONLY = auto()
    """Like PASS, but the preprocessor run can do without it, or refuses it."""
    LINKER = auto()
    """Concerns linking alone; still hashed, because a driver may warn of it."""
    UNHASHED = auto()
    """Provably without effect on outputs and diagnostics."""
    COMPILE = auto()
    ASSEMBLE = auto()
    """-S: stop at assembly text."""
    PRECOMPILE = auto()
    """Stop at a module interface (--precompile)."""
    LLVM_OUTPUT = auto()
    """-emit-llvm: the output is bitcode or IR text."""
    PCH_OUTPUT = auto()
    """-emit-pch."""
    PCH_WITHOUT_TIMES = auto()
    """The PCH does not record its inputs' modification times."""
    OUTPUT = auto()
    LANGUAGE = auto()
    PLUSPLUS = auto()
    """--driver-mode=g++."""
    DEP_ALL = auto()
    """-MD."""
    DEP_USER = auto()
    """-MMD; wins over -MD in both families, wherever it stands."""
    DEP_PATH = auto()
    DEP_TARGET = auto()
    DEP_QUOTED_TARGET = auto()
    DEP_PHONY = auto()
    COLOUR_WHEN = auto()
    COLOUR_ALWAYS = auto()
    COLOUR_NEVER = auto()
    DEBUG = auto()
    """Puts debug information, and with it the working directory, into the object."""
    DEBUG_OFF = auto()
    RECORDS_CWD = auto()
    """The object holds the working directory for another reason than -g."""
    RECORDS_COMMAND = auto()
    """The object holds the whole command line."""
    COVERAGE_NOTES = auto()
    """A .gcno file is written, and the object names it."""
    NOTES_PATH = auto()
    """Names the .gcno file (-fprofile-note=)."""
    PROFILE_GENERATE = auto()
    """The object names its future profile file, after its own path."""
    PROFILE_USE = auto()
    """Reads a profile: a file, a directory, or by default something in the working directory."""
    PROFILE_INSTR_USE = auto()
    """clang -fprofile-instr-use=FILE: never a directory."""
    PROFILE_DIRECTORY = auto()
    PROFILE_PREFIX = auto()
    AUTO_PROFILE = auto()
    SPLIT_DWARF = auto()
    SPLIT_DWARF_KIND = auto()
    STACK_USAGE = auto()
    CALLGRAPH = auto()
    OPT_RECORD = auto()
    OPT_RECORD_FORMAT = auto()
    OPT_RECORD_PATH = auto()
    OPT_INFO = auto()
    """-fopt-info…[=FILE]."""
    DUMP_BASE = auto()
    DUMP_EXT = auto()
    DUMP_DIR = auto()
    OUTPUT_FILE = auto()
    """The value names another file that is written."""
    INPUT_FILE = auto()
    """The value names a file whose content changes the result."""
    REMAPPING_FILE = auto()
    """Like INPUT_FILE, and it redirects other files, so that a dep-file cannot be trusted."""
    PLUGIN = auto()
    """gcc's -fplugin=: a file, or the short name of one in the compiler's own directory."""
    LIBRARY = auto()
    """Names a shared library for the dynamic loader: only a path says which file that is."""
    TOOLCHAIN_FILE = auto()
    """Names a file that the compiler may look up in its own directories."""
    MODULE_FILE = auto()
    """[NAME=]FILE: a compiled module that is read."""
    MODULES = auto()
    """C++ modules are understood, or searched for: what is imported only the compile tells."""
    MODULE_MAPPER = auto()
    """Names what says where modules are."""
    DEPS_FORMAT = auto()
    """What is imported and made is written to one more file."""
    MODULE_OUTPUT = auto()
    MODULE_OUTPUT_PATH = auto()
    LIST_FILE = auto()
    """`list=FILE` or a keyword or a file (-fbasic-block-sections=)."""
    TO_ASSEMBLER = auto()
    """-Wa,a,b."""
    TO_ASSEMBLER_NEXT = auto()
    TO_PREPROCESSOR = auto()
    """-Wp,a,b."""
    TO_PREPROCESSOR_NEXT = auto()
    TO_FRONTEND = auto()
    """-Xclang."""
    TO_BACKEND = auto()
    """-mllvm."""
    ARCH = auto()
    """-arch: several make one file for all."""
    OFFLOAD = auto()
    """Concerns code for GPUs: in sources of other languages that is OpenMP's."""
    OFFLOAD_ARCH = auto()
    """Names an architecture of GPUs, or takes one away."""
    OFFLOAD_FORM = auto()
    """Which sides are compiled and how many files that makes; the last of a kind wins."""
    OFFLOAD_JOBS = auto()
    """How many programs may run at once."""
    TO_ONE_SIDE = auto()
    """The value is an option for the host's side or for the device's alone (-Xarch_host)."""
    NO_DIRECT = auto()
    """Reads files that no dep-file lists."""
    TOO_HARD = auto()
    """Not cached; the reason is the option's name."""
    TOO_HARD_WHEN_COMPILING = auto()
    """Like TOO_HARD where something is compiled; a linker run with it is no compilation."""
    NOT_COMPILATION = auto()
    """The compiler only tells something."""


class Option(Struct, frozen=True):
    """One row of an option table."""

    name: str
    takes: Takes
    role: Role


class Argument(Struct, frozen=True):
    """One option with its value, or one positional word (name empty), or an option that no row knows (role PASS)."""

    words: tuple[str, ...]
    name: str
    value: str
    role: Role


class MissingValue(Struct, frozen=True):
    """The command line ends where an option wants its value."""

    name: str


class OptionTable:
    """Rows by name; the longest name that fits a word wins."""

    def __init__(self, *groups: Iterable[Option], aliases: Sequence[tuple[str, str]] = ()) -> None:
        """Later groups replace rows of earlier ones; doubles inside one group are an error."""
        self.rows: dict[str, Option] = {}
        self._aliases = tuple(aliases)
        for group in groups:
            self._add(group)
        self._longest = max(map(len, self.rows), default=0)

    def _add(self, group: Iterable[Option]) -> None:
        seen: set[str] = set()
        for row in group:
            if row.name in seen or not row.name.startswith(("-", "@", "/")):
                raise ValueError(f"option table: {row.name!r} is there twice or is not an option")
            seen.add(row.name)
            self.rows[row.name] = row

    def find(self, word: str) -> Option | None:
        """The row for a word, or None."""
        whole = self.rows.get(word)
        if whole is not None:
            return whole
        for length in range(min(len(word) - 1, self._longest), 0, -1):
            row = self.rows.get(word[:length])
            if row is not None and row.takes in (Takes.JOINED, Takes.EITHER):
                return row
        return None

    def canonical(self, word: str) -> str:
        """The spelling that the table knows for a word that it does not know as it stands (gcc's --NAME for -fNAME)."""
        for prefix, replacement in self._aliases:
            if word.startswith(prefix) and len(word) > len(prefix):
                return replacement + word[len(prefix) :]
        return word

    def split(self, words: Sequence[str], *, double_dash: bool) -> tuple[Argument, ...] | MissingValue:
        """All words of a command line, in order; after `--` (where that exists) everything is positional."""
        found: list[Argument] = []
        position, end = 0, len(words)
        while position < end:
            word = words[position]
            if double_dash and word == "--":
                found += [Argument((rest,), "", rest, Role.PASS) for rest in words[position + 1 :]]
                break
            if not word.startswith("-") or word == "-":
                found.append(Argument((word,), "", word, Role.PASS))
                position += 1
                continue
            following = words[position + 1] if position + 1 < end else None
            argument = self._argument(word, following)
            if isinstance(argument, MissingValue):
                return argument
            found.append(argument)
            position += len(argument.words)
        return tuple(found)

    def _argument(self, word: str, following: str | None) -> Argument | MissingValue:
        row, spelled = self.find(word), word
        if row is None:
            spelled = self.canonical(word)
            row = self.find(spelled)
        if row is None:
            return Argument((word,), word, "", Role.PASS)
        if row.takes is Takes.NEXT or (row.takes is Takes.EITHER and spelled == row.name):
            if following is None:
                return MissingValue(row.name)
            return Argument((word, following), row.name, following, row.role)
        return Argument((word,), row.name, spelled[len(row.name) :], row.role)
