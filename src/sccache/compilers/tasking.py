r"""Command lines of TASKING's VX toolsets.

    <option file> ::= { <blank> | <line end> | <word> }
    <word> ::= { char | '"' { char } '"' | "'" { char } "'" }    ; a backslash at the end of a line joins it with the next

Owns: `parse`, which program makes what, and this grammar.  Must not know: other families.
"""

import re
from collections.abc import Mapping

import msgspec

from sccache.compilers import simple_command
from sccache.compilers.observed import ParseResult
from sccache.compilers.options import taskingvx
from sccache.compilers.simple_command import Dialect

_WORD = re.compile(r"""(?:[^\s"']|"[^"\n]*"|'[^'\n]*')+""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([^"']+)""")


def split_file(text: str) -> list[str] | None:
    """The words of an option file; backslashes are parts of paths.  None where a quote does not end."""
    joined = re.sub(r"\\\r?\n", "", text)
    if re.search(r"\S", _WORD.sub("", joined)):
        return None
    return ["".join("".join(parts) for parts in _PART.findall(word)) for word in _WORD.findall(joined)]


CONTROL_PROGRAM = Dialect(
    name="taskingvx",
    rows=taskingvx.ROWS,
    languages=taskingvx.LANGUAGES,
    assembly_suffix=".src",
    unnamed=("{name}", "{source}"),
    depfile="{name}.d",
    option_files=frozenset({"-f", "--option-file", "--option-file="}),
    split_file=split_file,
    records_command=True,
)
COMPILER = msgspec.structs.replace(CONTROL_PROGRAM, always_makes=".src")
PLUSPLUS_COMPILER = msgspec.structs.replace(CONTROL_PROGRAM, assembly_suffix=".ic", always_makes=".ic")


def dialect_of(program: str) -> Dialect:
    """By its name: what it makes without being told."""
    name = program.rpartition("/")[2].removesuffix(".exe")
    if re.fullmatch(taskingvx.CONTROL_PROGRAMS, name):
        return CONTROL_PROGRAM
    if re.fullmatch(taskingvx.PLUSPLUS_COMPILERS, name):
        return PLUSPLUS_COMPILER
    return COMPILER if re.fullmatch(taskingvx.COMPILERS, name) else CONTROL_PROGRAM


def parse(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> ParseResult:
    """Understand one command line; argv[0] is the program as named, whose own variable has options that come first."""
    dialect = dialect_of(argv[0])
    variable = argv[0].rpartition("/")[2].removesuffix(".exe").upper() + "OPT"
    first = env.get(variable, "").split() if dialect is CONTROL_PROGRAM else []
    return simple_command.parse(dialect, (*first, *argv[1:]), cwd, env)
