"""Every reason that the statistics can show is explained in the documentation."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sccache.compilers.arguments import Role
from sccache.compilers.c_family import option_tables
from sccache.stages.family_job import NOT_OBSERVED
from sccache.stages.lookup import OTHER_TROUBLE, TROUBLES
from sccache.stages.observed_inputs import CHANGED, TIME_MACROS, UNKNOWN
from sccache.stages.rust_inputs import UNOBSERVED_LINK, UNOBSERVED_MACRO
from sccache.stats_text import LABELLED

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "sccache"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
NAMED_AFTER_THE_OPTION = (Role.TOO_HARD, Role.TOO_HARD_WHEN_COMPILING)
REASON_COMES_FIRST = ("CannotCache", "refuse")


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.name, ast.parse(path.read_text(encoding="utf-8"))


def _texts(node: ast.AST) -> Iterator[str]:
    """The string constants that an expression can be."""
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _texts(value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""


def miss_reasons() -> set[str]:
    """What pipeline and look-up say: `Miss("…")`, `_miss(…, "…", rejected="…")`, `_Turn(…, "…")`, `reason="…"`, and what storages do."""
    found: set[str] = {*TROUBLES.values(), OTHER_TROUBLE}
    for _, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) in ("Miss", "_miss", "_Turn"):
                found.update(text for argument in (*node.args, *(word.value for word in node.keywords)) for text in _texts(argument))
            elif isinstance(node, ast.keyword) and node.arg == "reason":
                found.update(_texts(node.value))
    return found


def refusals() -> set[str]:
    """What the understanding of command lines says by itself; other reasons are the option's or the variable's name."""
    found: set[str] = set()
    for _, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) in REASON_COMES_FIRST and node.args:
                found.update(_texts(node.args[0]))
    return found


def objections() -> set[str]:
    """What results.py and its kin return instead of a result, and the reasons in the rules of families."""
    found: set[str] = {NOT_OBSERVED, CHANGED, UNKNOWN, TIME_MACROS, UNOBSERVED_LINK, UNOBSERVED_MACRO}
    for name, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Return) and node.value is not None and name in ("results.py", "observed_results.py"):
                found.update(_texts(node.value))
            elif isinstance(node, ast.Call) and _called(node) == "Rules":
                found.update(text for word in node.keywords if word.arg in ("clock", "network", "writes") for text in _texts(word.value))
    return found


@pytest.mark.parametrize("reasons", [miss_reasons, refusals, objections])
def test_every_reason_is_explained(reasons) -> None:  # type: ignore[no-untyped-def]
    """Each is found in the source, and stands in a table of docs/troubleshooting.md."""
    found = reasons()
    assert len(found) >= 5, "the source says its reasons in another way now"
    explained = {name for line in PAGE.splitlines() if line.startswith("| `") for name in re.findall(r"`([^`]+)`", line.split(" | ")[0])}
    assert found <= explained


@pytest.mark.parametrize("family", ["gcc", "clang"])
def test_every_option_that_is_not_cached_is_listed(family: str) -> None:
    """An option's name is its reason: docs/compilers has them all."""
    page = (ROOT / "docs" / "compilers" / f"{family}.md").read_text(encoding="utf-8")
    listed = {name.split(" ")[0].rstrip("…") for name in re.findall(r"`([^`\n]+)`", page)}
    rows = option_tables(family).driver.rows
    assert {row.name for row in rows.values() if row.role in NAMED_AFTER_THE_OPTION} <= listed


def test_every_line_of_the_statistics_is_explained() -> None:
    """Each counter's label stands in the page."""
    assert [row.label for row, _ in LABELLED if f"`{row.label}`" not in PAGE] == []
