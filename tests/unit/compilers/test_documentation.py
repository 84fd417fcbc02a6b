"""docs/compilers/ tells what the option tables do."""

from pathlib import Path

import pytest

from sccache.compilers.arguments import Role
from sccache.compilers.c_family import option_tables

DOCS = Path(__file__).resolve().parents[3] / "docs/compilers"
TOLD = {
    *(Role.TOO_HARD, Role.TOO_HARD_WHEN_COMPILING, Role.NOT_COMPILATION, Role.RECORDS_COMMAND, Role.INPUT_FILE, Role.REMAPPING_FILE),
    *(
        Role.MODULE_FILE,
        Role.LIST_FILE,
        Role.TOOLCHAIN_FILE,
        Role.PLUGIN,
        Role.LIBRARY,
        Role.PROFILE_USE,
        Role.PROFILE_INSTR_USE,
        Role.AUTO_PROFILE,
    ),
}


@pytest.mark.parametrize("family", ["gcc", "clang"])
def test_every_option_that_is_refused_or_names_an_input_is_documented(family: str) -> None:
    """A user can find out why a compile is not cached, and what a hit depends on."""
    text = (DOCS / f"{family}.md").read_text()
    rows = option_tables(family).driver.rows.values()
    assert [row.name for row in rows if row.role in TOLD and f"`{row.name}" not in text] == []
