"""When files with the same content may be taken for one."""

import os
from pathlib import Path

import pytest

from sccache.hashing.files import FileMemory
from sccache.stages import twins

ONCE = "#pragma once\nint x;\n"


@pytest.fixture
def files() -> FileMemory:
    return FileMemory()


def may_be(files: FileMemory, inputs: list[Path], passed_over: list[Path]) -> bool:
    facts = dict(zip(map(str, inputs), files.facts_many([str(path) for path in inputs]), strict=True))
    known = {path: one for path, one in facts.items() if one is not None}
    assert len(known) == len(inputs)
    return twins.may_be_taken_for_one(known, [str(path) for path in passed_over], files)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("is_passed_over", [False, True])
@pytest.mark.parametrize(
    ("header", "source", "expected"),
    [
        (ONCE, "", True),
        ('_Pragma("once")\n', "", True),
        ("int x;\n", '#import "a/x.h"\n', True),
        ("int x;\n", '# \timport "a/x.h"\n', True),
        ("READ\n", '#define READ _Pragma("once")\n', True),
        ("int x;\n", "int important, onces, _once;\n", False),
        ("", "", False),
    ],
)
def test_twins(files, tmp_path, is_passed_over, header, source, expected):
    """Read twice, or once and passed over; only where something is read once."""
    one, two = write(tmp_path / "a/x.h", header), write(tmp_path / "b/x.h", header)
    main = write(tmp_path / "m.c", source + "//")
    assert may_be(files, [main, one] if is_passed_over else [main, one, two], [two] if is_passed_over else []) == expected


def test_no_twins(files, tmp_path):
    """Others of the same length, the same file spelled otherwise, one that is gone."""
    one, two = write(tmp_path / "a/x.h", ONCE), write(tmp_path / "b/x.h", ONCE.replace("x", "y"))
    assert not may_be(files, [one], [two, tmp_path / "b/../a/x.h", tmp_path / "gone.h"])
    assert not may_be(files, [one, tmp_path / "b/../a/x.h"], [])


@pytest.mark.parametrize(("link", "text", "expected"), [(os.link, "int x;", True), (os.symlink, "int x;", False), (os.symlink, ONCE, True)])
def test_links(files, tmp_path, link, text, expected):
    """Hard links are one file to clang however they are read; a symbolic link may become a file of its own."""
    one = write(tmp_path / "a.h", text)
    link(one, tmp_path / "b.h")
    assert may_be(files, [one, tmp_path / "b.h"], []) == expected
