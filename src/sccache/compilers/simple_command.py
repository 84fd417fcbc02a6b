"""Understand a command line by a table alone: for compilers whose compiles are observed.

    parse ::= words and option files, split by the option table, gather by role, put together

Several sources are one compile with several outputs.  What a family has of its own is data, a `Dialect`.  A file that such a compiler
makes and that is not foreseen here only costs the hit: the observer sees it, and the result is not kept.
Owns: Dialect and `parse`.  Must not know: any single option, observing.
I/O: reads option files.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path, PurePath

from msgspec import Struct

from sccache.compilers.arguments import Argument, MissingValue, Option, OptionTable, Role
from sccache.compilers.observed import ObservedArguments, ParseResult
from sccache.model import CannotCache, Colour, NotCompilation, Output

MAX_DEPTH = 25  # TASKING's own limit for option files in option files; the others name none

_SOURCE, _OUTPUT, _DEPFILE = "<source>", "<output>", "<dependency file>"
"""What stands in the key for these names: compilers write their command lines into results, so that the order counts."""
_COLOURS = {Role.COLOUR_ALWAYS: Colour.ALWAYS, Role.COLOUR_NEVER: Colour.NEVER}
_COLOUR_WORDS = {"always": Colour.ALWAYS, "never": Colour.NEVER, "auto": Colour.AUTO}
_NAMED = {Role.OUTPUT: _OUTPUT, Role.DEP_PATH: _DEPFILE}
_THIS_MACHINE = ("native", "host")
_STATISTICS = {"assembler": "Assembler", "assemblerToPreprocess": "Assembler", "cuda": "CUDA"}


class Dialect(Struct, frozen=True, kw_only=True):
    """What a family's command lines are like.

    Names of files are templates: {name} is the source's name without directory and extension, {source} its path without
    extension, {output} the main output's path without extension.
    """

    name: str
    rows: tuple[Option, ...]
    languages: Mapping[str, str]
    """Extension → language, as the statistics call it."""
    said: Mapping[str, str] = {}
    """Value of the option that names a language → language."""
    keywords: frozenset[str] = frozenset()
    """Words that are no sources: values that some option may have or not."""
    object_suffix: str = ".o"
    assembly_suffix: str = ".s"
    always_makes: str = ""
    """Suffix of what is made where no option says what; empty: then it links."""
    unnamed: tuple[str, ...] = ("{name}",)
    """Where the main output goes without a name; where there are several, one of them is made."""
    depfile: str = "{output}.d"
    """Where a dependency file goes without a name."""
    further: Mapping[str, tuple[str, str]] = {}
    """Option → role and template of a file that it may leave."""
    option_files: frozenset[str] = frozenset()
    """Options whose value names a file with further words."""
    at_files: bool = False
    """`@file` has further words, too."""
    variables_first: bool = False
    """The name of an option file may be that of a variable."""
    split_file: Callable[[str], list[str] | None] = str.split
    """The words of an option file; None where nobody is sure."""
    unreadable: str = "@"
    """Why a command with an option file that cannot be read is not cached."""
    records_command: bool = False
    """The command line, as it was written, is in the output."""
    native_unless_told: bool = False
    """Without an option for it, code is made for this machine's processor."""
    packs: tuple[str, ...] = ()
    """Beginnings of words after which text is in the object in a form that cannot be searched."""


class _Gathered:
    """What the words have said; the last one about a thing counts."""

    def __init__(self, dialect: Dialect, cwd: str, env: Mapping[str, str]) -> None:
        self.dialect = dialect
        self._cwd = cwd
        self._env = env
        self.seen: set[Role] = set()
        self.values: dict[Role, str] = {}
        self.words: list[str] = []
        """All options, each as written."""
        self.sources: list[str] = []
        self.key_args: list[str] = []
        self.cpus: list[str] = []
        self.colour = Colour.AUTO
        self.refusals: dict[Role, CannotCache] = {}

    def take(self, words: Sequence[str], depth: int = 0) -> CannotCache | None:
        """Note what these words say; the reason where they cannot be understood."""
        arguments = _table(self.dialect.rows).split(words, double_dash=False)
        if isinstance(arguments, MissingValue):
            return CannotCache("argument parse", arguments.name)
        for argument in arguments:
            named = self._option_file(argument)
            if not named:
                if self.dialect.at_files and len(argument.words) > 1 and argument.value.startswith("@"):
                    return CannotCache("@", " ".join(argument.words))
                self._note(argument)
                continue
            inner = self._words_of(named) if depth < MAX_DEPTH else None
            if inner is None:
                return CannotCache(self.dialect.unreadable, named)
            if self.dialect.records_command:
                self.key_args += argument.words
            refusal = self.take(inner, depth + 1)
            if refusal is not None:
                return refusal
        return None

    def _option_file(self, argument: Argument) -> str:
        if argument.name:
            return argument.value if argument.name in self.dialect.option_files else ""
        return argument.value[1:] if self.dialect.at_files and argument.value.startswith("@") else ""

    def _words_of(self, name: str) -> list[str] | None:
        text = self._env.get(name) if self.dialect.variables_first else None
        if text is None:
            path = Path(self._cwd, name)
            try:
                text = path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else None
            except (OSError, ValueError):  # the latter of a name with a NUL, out of another file
                return None
        return None if text is None else self.dialect.split_file(text)

    def _note(self, argument: Argument) -> None:
        if not argument.name:
            is_source = argument.value not in self.dialect.keywords
            self.sources += [argument.value] if is_source else []
            self.key_args.append(_SOURCE if is_source else argument.value)
            return
        role = argument.role
        self.seen.add(role)
        self.words += argument.words
        if argument.value:
            self.values[role] = argument.value
        if role in (Role.TOO_HARD, Role.TOO_HARD_WHEN_COMPILING):
            self.refusals.setdefault(role, CannotCache(argument.name, " ".join(argument.words)))
        elif role is Role.CPU:
            self.cpus += argument.value.split(",")
        elif role in _COLOURS or role is Role.COLOUR_WHEN:
            self.colour = _COLOURS.get(role) or _COLOUR_WORDS.get(argument.value, Colour.AUTO)
            return
        if role is not Role.UNHASHED:
            self.key_args += (argument.name, _NAMED[role]) if role in _NAMED else argument.words


def parse(dialect: Dialect, words: Sequence[str], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand one command line; `words` are without the compiler."""
    found = _Gathered(dialect, cwd, env)
    refusal = found.take(words)
    if Role.NOT_COMPILATION in found.seen:
        return NotCompilation("tells only")
    refusal = refusal or found.refusals.get(Role.TOO_HARD)
    if refusal is not None:
        return refusal
    suffix = _suffix(found)
    if not suffix:
        return NotCompilation("no -c")
    return found.refusals.get(Role.TOO_HARD_WHEN_COMPILING) or _compile(found, suffix, cwd)


@cache
def _table(rows: tuple[Option, ...]) -> OptionTable:
    """Checked when first used."""
    return OptionTable(rows)


def _suffix(found: _Gathered) -> str:
    """Of what is made: assembly where it stops there, whatever else is said."""
    if Role.ASSEMBLE in found.seen:
        return found.dialect.assembly_suffix
    return found.dialect.object_suffix if Role.COMPILE in found.seen else found.dialect.always_makes


def _compile(found: _Gathered, suffix: str, cwd: str) -> ParseResult:
    if not found.sources:
        return CannotCache("no input file")
    if "-" in found.sources:
        return CannotCache("-", "standard input")
    languages = [_language(found, source) for source in found.sources]
    unknown = next((language for language in languages if isinstance(language, CannotCache)), None)
    if len(languages) > 1 and (unknown or Role.OUTPUT in found.seen or _named_depfile(found)):
        return CannotCache("multiple input files", " ".join(found.sources[1:]))
    if unknown is not None:
        return unknown
    outputs = tuple(output for number, source in enumerate(found.sources, 1) for output in _outputs(found, source, suffix, number))
    return _refused_outputs(found, outputs, cwd) or _arguments(found, {str(language) for language in languages}, outputs)


def _language(found: _Gathered, source: str) -> str | CannotCache:
    said = found.values.get(Role.LANGUAGE)
    if said is not None:
        return found.dialect.said.get(said) or CannotCache("-x", said)
    name, _, extension = source.rpartition("/")[2].rpartition(".")
    language = found.dialect.languages.get(extension, "") if name else ""
    if language == "c" and Role.PLUSPLUS in found.seen:
        return "c++"
    return language or CannotCache("unknown source language", source)


def _outputs(found: _Gathered, source: str, suffix: str, number: int) -> tuple[Output, ...]:
    """What one source gives, main output first; roles tell apart what several sources give."""
    dialect = found.dialect
    path = _without_extension(source)
    named = found.values.get(Role.OUTPUT)
    names = {"name": path.rpartition("/")[2], "source": path, "output": _without_extension(named) if named else ""}
    mains = [named] if named else list(dict.fromkeys(template.format(**names) + suffix for template in dialect.unnamed))
    names["output"] = names["output"] or _without_extension(mains[0])
    role = "asm" if suffix == dialect.assembly_suffix else "obj"
    made = [(role if main == mains[0] else f"{role} elsewhere", main) for main in mains]
    if Role.DEP_ALL in found.seen or Role.DEP_USER in found.seen:
        made.append(("d", _named_depfile(found) or dialect.depfile.format(**names)))
    made += [(kind, template.format(**names)) for word, (kind, template) in dialect.further.items() if word in found.words]
    # not required: an option's value may have the list of dependencies printed, and one of several mains is made
    return tuple(
        Output(kind if number == 1 else f"{kind} {number}", path, required=len(mains) == 1 and path == mains[0]) for kind, path in made
    )


def _named_depfile(found: _Gathered) -> str:
    return found.values.get(Role.DEP_PATH) or found.values.get(Role.DEP_ALL, "")


def _without_extension(path: str) -> str:
    directory, slash, name = path.rpartition("/")
    stem, _, _ = name.rpartition(".")
    return f"{directory}{slash}{stem or name}"


def _is_special(path: str) -> bool:
    return path == "-" or (path.startswith("/dev/") and path != "/dev/null")


def _refused_outputs(found: _Gathered, outputs: tuple[Output, ...], cwd: str) -> CannotCache | None:
    paths = [str(PurePath(cwd, output.path)) for output in outputs]
    if any(_is_special(output.path) for output in outputs):
        return CannotCache("output to a special file", found.values.get(Role.OUTPUT, ""))
    if len(set(paths)) < len(paths):
        return CannotCache("two outputs in one file", " ".join(paths))
    if any(str(PurePath(cwd, source)) in paths for source in found.sources):
        return CannotCache("output is the source", " ".join(found.sources))
    return None


def _arguments(found: _Gathered, languages: AbstractSet[str], outputs: tuple[Output, ...]) -> ObservedArguments:
    dialect = found.dialect
    language = max(languages)  # c++ of c and c++
    native = any(cpu.startswith(_THIS_MACHINE) for cpu in found.cpus) or (dialect.native_unless_told and not found.cpus)
    return ObservedArguments(
        family=dialect.name,
        sources=tuple(found.sources),
        outputs=outputs,
        key_args=tuple(found.key_args),
        colour=found.colour,
        native_cpu=native,
        hides_paths="cuda" in languages or any(word.startswith(dialect.packs) for word in found.words),
        statistics_name=_STATISTICS.get(language, "C/C++"),
        advanced_name=f"{language} [{dialect.name}]",
    )
