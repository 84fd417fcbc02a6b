"""Dependency files are read and written as the real compilers write them."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.compilers import depfiles

NAMES = ["a.h", "with space.h", "hash#.h", "dollar$.h", "x" * 70 + ".h", "é.h", "two  spaces.h", "sub/b.h"]


@pytest.mark.parametrize("family", ["gcc", "clang"])
@pytest.mark.parametrize("phony", [False, True])
@pytest.mark.parametrize("targets", [("m.o",), ("a", "b" * 60, "c" * 40), ("t" * 80,)])
def test_written_as_the_compiler_writes(tmp_path: Path, family: str, phony: bool, targets: tuple[str, ...]) -> None:
    """What we render for a compiler's own list is what that compiler wrote, byte for byte."""
    (tmp_path / "sub").mkdir()
    for number, name in enumerate(NAMES):
        (tmp_path / name).write_text(f"int v{number};\n")
    (tmp_path / "m.c").write_text("".join(f'#include "{name}"\n' for name in NAMES))
    options = ["-MMD", "-MF", "m.d", *(["-MP"] if phony else [])]
    for target in targets:
        options += ["-MT", target]
    subprocess.run([family, "-c", "m.c", "-o", "m.o", *options], cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "m.d").read_text()
    names = depfiles.parse(text)
    assert sorted(names) == sorted(["m.c", *NAMES])
    assert depfiles.render(family, targets, names, phony=phony) == text


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """A broken dependency file gives some names or none, never an exception."""
    depfiles.parse(text)


@given(st.lists(st.text(alphabet="ab $#./é_-", min_size=1, max_size=30).filter(lambda s: s.strip() == s), min_size=1, max_size=20))
def test_names_come_back(names: list[str]) -> None:
    """Reading what was written gives the names again."""
    for family in ("gcc", "clang"):
        assert list(depfiles.parse(depfiles.render(family, ("t",), names, phony=False))) == names
