"""Case files under tests/cases/{diab,taskingvx,nvhpc}/: each command line is parsed and compared.  No such compiler is installed here.

<case>   ::= args (with the program's name), [env], <expect>
<expect> ::= any field of ObservedArguments | reason | not_compilation | absent fields are not compared
"""

import os
import random
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from sccache.compilers import diab, nvhpc, simple_command, tasking
from sccache.compilers.arguments import Option, OptionTable, Takes
from sccache.compilers.observed import ObservedArguments, ParseResult
from sccache.compilers.options import diab as diab_options
from sccache.compilers.options import nvhpc as nvhpc_options
from sccache.compilers.options import taskingvx as tasking_options
from sccache.compilers.simple_command import Dialect
from sccache.model import CannotCache, NotCompilation

CASES = Path(__file__).resolve().parents[2] / "cases"
Parse = Callable[[tuple[str, ...], str, Mapping[str, str]], ParseResult]
PARSERS: Mapping[str, Parse] = {"diab": diab.parse, "taskingvx": tasking.parse, "nvhpc": nvhpc.parse}
DIALECTS: Mapping[str, Dialect] = {"diab": diab.DIALECT, "taskingvx": tasking.CONTROL_PROGRAM, "nvhpc": nvhpc.DIALECT}
OPTIONS = {"diab": diab_options, "taskingvx": tasking_options, "nvhpc": nvhpc_options}
FILES = {
    "plain.opt": "-DX=1\n-Iinc -O2\n",
    "outer.opt": "@plain.opt -DY\n",
    "outer.tasking": "-f plain.opt -DY\n",
    "quoted.opt": "-DX=\"a b\" '-DY=c d'\n",
    "continued.opt": '-DA \\\n-DB "-IC:\\dir with\\inc"\n',
    "open.opt": '-DX="a\n',
    "loop.opt": "-@loop.opt\n",
    "loop.tasking": "-f loop.tasking\n",
    "ends.opt": "-o",
}


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """What a case says in words."""

    reason: str | None = None
    not_compilation: bool = False
    sources: list[str] | None = None
    outputs: list[str] | None = None
    """role=path, `?` behind an optional one."""
    key_args: list[str] | None = None
    colour: str | None = None
    native_cpu: bool | None = None
    hides_paths: bool | None = None
    statistics_name: str | None = None
    advanced_name: str | None = None


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One row of a case file."""

    args: list[str]
    expect: Expected
    env: dict[str, str] = {}


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    case: list[Case]


def cases(family: str) -> Iterator[tuple[str, Case]]:
    for path in sorted((CASES / family).glob("*.toml")):
        for position, case in enumerate(msgspec.convert(tomllib.loads(path.read_text()), CaseFile).case):
            yield f"{family}-{path.stem}-{position}-{' '.join(case.args)[:60]}", case


def every_case() -> Iterator[object]:
    for family in PARSERS:
        for name, case in cases(family):
            yield pytest.param(family, case, id=name)


def every_row() -> Iterator[object]:
    for family, dialect in DIALECTS.items():
        for row in dialect.rows:
            yield pytest.param(dialect, row, id=f"{family}{row.name}")


@pytest.mark.parametrize(("family", "case"), list(every_case()))
def test_a_command_line_means_what_the_case_says(family: str, case: Case, tmp_path: Path) -> None:
    """Parsing says what the case says."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    compare(PARSERS[family](tuple(case.args), str(tmp_path), case.env), case.expect)


def compare(parsed: ParseResult, expect: Expected) -> None:
    if isinstance(parsed, CannotCache):
        assert parsed.reason == expect.reason, parsed
        return
    if isinstance(parsed, NotCompilation):
        assert expect.not_compilation, parsed
        return
    assert (expect.reason, expect.not_compilation) == (None, False), parsed
    found = msgspec.to_builtins(parsed)
    found["outputs"] = [f"{output.role}={output.path}{'' if output.required else '?'}" for output in parsed.outputs]
    for name in Expected.__struct_fields__[2:]:
        wanted = getattr(expect, name)
        if wanted is not None:
            assert msgspec.json.decode(msgspec.json.encode(found[name])) == wanted, name


@pytest.mark.parametrize(("dialect", "row"), list(every_row()))
def test_every_row_reads_its_own_option(dialect: Dialect, row: Option) -> None:
    """No other row takes its words."""
    words = {
        Takes.NOTHING: [[row.name]],
        Takes.NEXT: [[row.name, "v"]],
        Takes.JOINED: [[row.name + "0v"]],
        Takes.EITHER: [[row.name, "v"], [row.name + "0v"]],
    }[row.takes]
    for spelled in words:
        found = OptionTable(dialect.rows).split(spelled, double_dash=False)
        assert isinstance(found, tuple)
        assert [(argument.name, argument.role) for argument in found] == [(row.name, row.role)]


@pytest.mark.parametrize("family", PARSERS)
def test_every_row_has_a_case(family: str) -> None:
    """What a row does is written down somewhere."""
    rows = DIALECTS[family].rows
    table = OptionTable(rows)
    told: set[str] = set()
    for _, case in cases(family):
        told.update(row.name for word in case.args if (row := table.find(word)) is not None)
    assert {row.name for row in rows} - told == set()


@pytest.mark.parametrize("family", PARSERS)
def test_a_refusal_is_named_after_its_option_and_documented(family: str) -> None:
    """docs/compilers has every option that is not cached."""
    page = (CASES.parents[1] / "docs" / "compilers" / f"{'tasking' if family == 'taskingvx' else family}.md").read_text()
    refused = {row.name for row in DIALECTS[family].rows if row.role.name.startswith(("TOO_HARD", "NOT_COMPILATION"))}
    assert {name for name in refused if "`" + name.partition("=")[0] not in page} == set()


def test_where_the_words_of_a_key_come_from() -> None:
    """Names of source and output are no words of it, their places and all other words are."""
    one, other, moved, unknown = (
        parsed_nvhpc(line) for line in ("-c -O2 a.c -o a.o", "-c -O2 b.c -o x/b.o", "-c a.c -o a.o -O2", "-c -O2 -fnew a.c -o a.o")
    )
    assert one.key_args == other.key_args
    assert len({one.key_args, moved.key_args, unknown.key_args}) == 3


def parsed_nvhpc(line: str) -> ObservedArguments:
    parsed = nvhpc.parse(("nvc", *line.split()), "/", {})
    assert isinstance(parsed, ObservedArguments)
    return parsed


def test_option_files_have_an_end(tmp_path: Path) -> None:
    """One that names itself is given up, and a file of bytes that are no text is read."""
    (tmp_path / "bytes.opt").write_bytes(b"-DX=\xff\n")
    (tmp_path / "a.opt").write_text("@a.opt")
    refused = nvhpc.parse(("nvc", "-c", "a.c", "@a.opt"), str(tmp_path), {})
    assert refused == CannotCache("@", "a.opt")
    read = nvhpc.parse(("nvc", "-c", "a.c", "@bytes.opt"), str(tmp_path), {})
    assert isinstance(read, ObservedArguments)
    assert read.key_args[-1] == "-DX=\udcff"


def test_a_pipe_is_no_option_file(tmp_path: Path) -> None:
    """What is in it can be read once, and waiting for it would stop the daemon."""
    os.mkfifo(tmp_path / "pipe.opt")
    assert nvhpc.parse(("nvc", "-c", "a.c", "@pipe.opt"), str(tmp_path), {}) == CannotCache("@", "pipe.opt")


@pytest.mark.parametrize("family", PARSERS)
def test_any_words_have_a_meaning(family: str, tmp_path: Path) -> None:
    """Whatever is on a command line or in an option file, parsing ends with an answer."""
    (tmp_path / "odd.opt").write_bytes(b"-f a\0b -@a\0b @a\0b -o\xff {name}.c")
    odd = [
        "",
        "-",
        "@",
        "-@",
        "--",
        "-o",
        "=",
        "a.c",
        ".c",
        "/",
        "{source}.c",
        "@odd.opt",
        "-@odd.opt",
        "-fodd.opt",
        "@.",
        "-f.",
        "-@/dev/stdin",
        "f=x",
    ]
    words = [*odd, *(row.name for row in DIALECTS[family].rows)]
    chance = random.Random(family)
    for _ in range(3000):
        line = ("-c", *chance.choices(words, k=chance.randrange(6)))
        answer = PARSERS[family](("ctc", *line), str(tmp_path), {})
        assert isinstance(answer, ObservedArguments | CannotCache | NotCompilation), line


@pytest.mark.parametrize(
    ("family", "tools"),
    [
        ("diab", ["dcc", "dplus", "ctoa", "etoa", "reorder", "das", "dld", "dar"]),
        ("taskingvx", ["cctc", "ctc", "cptc", "astc", "ltc", "artc", "ccarm", "carm", "cparm", "cmcs", "c51"]),
        ("nvhpc", ["nvc", "nvc++", "cpp1", "cpp2", "opt", "llc", "acclnk", "fatbinary", "ptxas"]),
    ],
)
def test_tools_are_known_by_their_names(family: str, tools: list[str]) -> None:
    """And a shell or anybody's program is none of them."""
    pattern = re.compile(OPTIONS[family].TOOLS)
    assert [name for name in tools if not pattern.fullmatch(name)] == []
    assert not any(pattern.fullmatch(name) for name in ("sh", "python3", "gcc-helper", "cc", "tool"))


def test_a_dialect_with_a_row_twice_is_an_error() -> None:
    """The table checks itself."""
    row = diab.DIALECT.rows[0]
    twice = msgspec.structs.replace(diab.DIALECT, rows=(row, row))
    with pytest.raises(ValueError, match="twice"):
        simple_command.parse(twice, ("-c", "a.c"), "/", {})
