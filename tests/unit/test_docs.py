"""The documentation against the code and against itself: links lead somewhere, names exist, every backend has its page."""

import re
from pathlib import Path

import pytest

from sccache import check_storage
from sccache.config.schema import SETTINGS
from sccache.errors import Trouble
from sccache.storage.factory import BACKENDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]\[]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"(?<![A-Z_])SCCACHE_[A-Z0-9_]*[A-Z0-9]")
PAGE_OF = {name: f"backends/{'github-actions' if name == 'gha' else name}.md" for name in BACKENDS}
VERDICTS = {check_storage.OK, check_storage.OK_READ_ONLY, *(trouble.value for trouble in Trouble)}
OF_DEVELOPERS = ("SCCACHE_TEST_", "SCCACHE_LAUNCHER_DEADLINE_MS")
"""Variables of the tests and of the launcher's build, which are no settings."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text()), re.MULTILINE)
    shown = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in shown}


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
    return [link for link in LINK.findall(text) if "://" not in link and not link.startswith("mailto:")]


def known_variables() -> set[str]:
    return {word for setting in SETTINGS for word in (setting.env, *setting.aliases) if word.startswith("SCCACHE_")}


def verdict_tables(page: Path) -> list[str]:
    """The first column of the tables whose heading is `verdict`."""
    words = []
    for table in re.findall(r"^\| verdict \|.*\n(?:\|.*\n?)+", page.read_text(), re.MULTILINE):
        words += [row.split("|")[1].strip().strip("`") for row in table.splitlines()[2:]]
    return [word for word in words if not word.startswith("(")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_and_anchors_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_variable_exists(page: Path) -> None:
    named = {variable for variable in VARIABLE.findall(page.read_text()) if not variable.startswith(OF_DEVELOPERS)}
    assert named <= known_variables()


@pytest.mark.parametrize("page", [page for page in PAGES if verdict_tables(page)], ids=name_of)
def test_every_verdict_exists(page: Path) -> None:
    assert set(verdict_tables(page)) <= VERDICTS


def test_some_verdicts_are_explained() -> None:
    assert set(verdict_tables(ROOT / "docs/troubleshooting.md")) >= VERDICTS - {Trouble.TOO_LARGE.value}


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_has_a_page_that_can_be_found(name: str) -> None:
    assert PAGE_OF[name] in links(ROOT / "docs/remote.md")
    assert f"docs/{PAGE_OF[name]}" in links(ROOT / "README.md")


@pytest.mark.parametrize("name", BACKENDS)
def test_every_setting_of_a_backend_is_explained(name: str) -> None:
    text = (ROOT / "docs" / PAGE_OF[name]).read_text() + (ROOT / "docs/settings.md").read_text()
    for setting in SETTINGS:
        if setting.name.startswith(f"cache.{name}."):
            assert f"`{setting.name.rpartition('.')[2]}`" in text
            assert f"`{setting.env}`" in text
