"""Words of response files, and rows of the option tables."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sccache.compilers.msvc.response_files import split_words
from sccache.compilers.msvc.words import table
from sccache.compilers.options import clang_cl, msvc


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("a  b\r\nc\t", ["a", "b", "c"]),
        ('"a b" c"d e"f', ["a b", "cd ef"]),
        ('""', [""]),
        (r"C:\x\ y", ["C:\\x\\", "y"]),
        (r'"C:\x\\" y', ["C:\\x\\", "y"]),
        (r"a\"b", ['a"b']),
        (r"a\\\"b", ['a\\"b']),
        ('"a""b"', ['a"b']),
    ],
)
def test_words_are_split_as_windows_does(text: str, words: list[str]) -> None:
    """Backslashes mean something before a quote alone."""
    assert split_words(text) == words


@pytest.mark.parametrize("clang", [True, False])
def test_each_row_is_found_by_its_name(clang: bool) -> None:
    """No row hides another."""
    rows = table(clang=clang).rows
    assert {name: rows[name] for name in rows} == {name: table(clang=clang).find(name) for name in rows}


def test_the_real_clang_cl_takes_no_flag_for_a_path(tmp_path: Path) -> None:
    """A word with `/` that clang-cl does not know is a second source; those in the table it does know."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed")
    (tmp_path / "t.c").write_text("int x;\n")
    command = [clang, "--driver-mode=cl", "/c", "t.c", "-Wno-everything", "-###", *clang_cl.FLAGS]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr
    assert "no such file" not in said


@pytest.mark.parametrize("name", [b"?g@?A0xA2CBD710@@YAHXZ", b"?g@?A0x341150F@@YAHXZ", b"??@4bf7ff4e6bad3f4f07e12cd2777456fd@"])
def test_digests_in_symbols_are_seen(name: bytes) -> None:
    """As clang-cl 14 wrote them; leading zeros are left out."""
    assert msvc.CONCEALS.search(name)


def test_other_symbols_hold_no_digest() -> None:
    """Operators and constructors have question marks, too."""
    assert not msvc.CONCEALS.search(b"??0A@@QEAA@XZ ??_7A@@6B@ ?f@@YAHXZ")
