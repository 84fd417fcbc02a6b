"""The option tables against themselves, and against the compilers of this machine."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sccache.compilers.arguments import Argument, MissingValue, Option, OptionTable, Role, Takes
from sccache.compilers.c_family import option_tables
from sccache.compilers.collector import DESTINATIONS

FAMILIES = ("gcc", "clang")
ROWS = [pytest.param(family, row, id=f"{family} {row.name}") for family in FAMILIES for row in option_tables(family).driver.rows.values()]
BATCH = 25


@pytest.mark.parametrize(("family", "row"), ROWS)
def test_every_row_reads_its_own_option(family: str, row: Option) -> None:
    """The longest name wins, so no row hides another; a value comes back as it was given."""
    table = option_tables(family).driver
    value = "v,=x"
    forms: dict[Takes, list[list[str]]] = {
        Takes.NOTHING: [[row.name]],
        Takes.NEXT: [[row.name, value]],
        Takes.JOINED: [[row.name + value]],
        Takes.EITHER: [[row.name, value], [row.name + value]],
    }
    for words in forms[row.takes]:
        expected = Argument(tuple(words), row.name, "" if row.takes is Takes.NOTHING else value, row.role)
        assert table.split([*words, "a.c"], double_dash=False) == (expected, Argument(("a.c",), "", "a.c", Role.PASS))


def test_every_role_has_a_destination() -> None:
    """A new role cannot be forgotten where words are sent to keys."""
    assert DESTINATIONS.keys() == set(Role)


def test_a_table_refuses_doubles() -> None:
    """Two rows of one name would be an accident."""
    row = Option("-a", Takes.NOTHING, Role.PASS)
    with pytest.raises(ValueError, match="-a"):
        OptionTable([row, row])


def test_a_missing_value_is_told() -> None:
    """`gcc -c a.c -o` is no command line."""
    assert option_tables("gcc").driver.split(["-c", "a.c", "-o"], double_dash=False) == MissingValue("-o")


@pytest.mark.parametrize("family", FAMILIES)
def test_which_options_take_the_next_word(family: str, tmp_path: Path) -> None:
    """For every option that this machine's compiler knows, the table agrees with it on whether the next word is its value."""
    if shutil.which(family) is None:
        pytest.skip(f"{family} is not installed")
    table = option_tables(family).driver
    names = sorted({*known_options(family), *table.rows} - NOT_TRIED)
    wrong = {
        name: f"compiler {'takes' if taken else 'does not take'} a word"
        for name, taken in sweep(family, names, tmp_path).items()
        if taken is not takes_next(table, name)
    }
    assert {name: told for name, told in wrong.items() if name not in OTHER_PLATFORMS | WITH_AN_EMPTY_VALUE} == {}


NOT_TRIED = frozenset({"-wrapper", "-ivfsstatcache", "-x", "--language", "--language=", "--migrate"})
"""Options whose value, were it a source, would change how the sources after it are read; case files have these."""
WITH_AN_EMPTY_VALUE = frozenset({"-Xarch_", "-Xopenmp-target="})
"""These two take a joined word and the next one, and are never cached."""
OTHER_PLATFORMS = frozenset({"-arch", "-install_name", "-framework", "-index-store-path", "-V", "-b", "-G", "-dumpdir", "-Xoffload-linker"})
"""Options of Darwin, of other processors, of long ago or of later versions."""


def takes_next(table: OptionTable, name: str) -> bool:
    row = table.find(name) or table.find(table.canonical(name))
    return row is not None and (row.takes is Takes.NEXT or (row.takes is Takes.EITHER and row.name in (name, table.canonical(name))))


def known_options(family: str) -> set[str]:
    """What the compiler offers for completion; warnings take no words, and -fno-x is as -fx."""

    def ask(*words: str) -> list[str]:
        return subprocess.run([family, *words], capture_output=True, text=True, check=False).stdout.split("\n")

    if family == "gcc":
        found = {line.strip() for start in ("-", "--") for line in ask(f"--completion={start}")}
    else:
        found = {re.split(r"[\s<]", line.strip())[0] for line in (*ask("--autocomplete=-"), *ask("--help-hidden"))}
    plain = {name.partition("=")[0] + ("=" if "=" in name else "") for name in found if name.startswith("-")}
    dull = re.compile(
        r"-W(?!a|l|p)|--warn|-mno-|-fno-|--no-|-gno-|--machine|-O|--param=|-R|/|-m[^el]|--(?!.*(in|du|la|for|pre|out|ass|de|sys))"
    )
    return {name for name in plain if not dull.match(name)}


def sweep(family: str, names: Sequence[str], root: Path) -> dict[str, bool]:
    """Ask the driver what it would run; options that it refuses are left out."""
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    found: dict[str, bool] = {}
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda numbered: ask_driver(family, numbered[1], root / str(numbered[0])), enumerate(batches)):
            found |= answer
    return found


def ask_driver(family: str, names: Sequence[str], folder: Path) -> dict[str, bool]:
    """Each option stands before a source of its own; a source that is not compiled was the option's value."""
    folder.mkdir(exist_ok=True)
    sources = [f"z{number}q.c" for number in range(len(names))]
    for source in ("real.c", *sources):
        (folder / source).write_text("int x;\n")
    words = [word for pair in zip(names, sources, strict=True) for word in pair]
    ran = subprocess.run(
        [family, "-###", "-c", "real.c", *words], cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    compiled = set(re.findall(r'(?:"-main-file-name"|-dumpbase) "?(\w+\.c)', ran.stderr))
    if ran.returncode == 0 and "real.c" in compiled:
        return {name: source not in compiled for name, source in zip(names, sources, strict=True)}
    if len(names) == 1:
        return {}
    middle = len(names) // 2
    return joined(ask_driver(family, half, folder) for half in (names[:middle], names[middle:]))


def joined(parts: Iterable[dict[str, bool]]) -> dict[str, bool]:
    return {name: taken for part in parts for name, taken in part.items()}
