"""Notes about included files, in any language, and the words of response files."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sccache.compilers.msvc import includes
from sccache.compilers.msvc.response_files import split_words
from sccache.compilers.msvc.words import table
from sccache.compilers.options import clang_cl


@pytest.mark.parametrize("prefix", ["Note: including file:", "Hinweis: Einlesen der Datei:", "Remarque : inclusion du fichier :"])
def test_the_prefix_is_learned_in_any_language(prefix: str) -> None:
    """Blanks in the prefix do not matter, nor more blanks behind it."""
    messages = f"t.c\r\n{prefix}  C:\\x\\test.h\r\n".encode()
    assert includes.learn_prefix(messages, "test.h", lambda path: path == b"C:\\x\\test.h") == prefix.encode()


def test_no_line_no_prefix() -> None:
    """A compiler that says nothing has no prefix."""
    assert includes.learn_prefix(b"t.c\r\n", "test.h", lambda _: True) == b""


def test_notes_are_found_renamed_and_left_out() -> None:
    """What is put together again is what was taken apart, but for the names."""
    messages = b"a.c\r\nNote: including file: /old/a b.h\r\nNote: including file:  /old/c.h\r\nwarning\n"
    notes = includes.split(messages, b"Note: including file:")
    assert includes.join(notes) == messages
    assert includes.join(notes, {b"/old/c.h": b"/new/c.h"}) == messages.replace(b"/old/c.h", b"/new/c.h")
    assert includes.without(notes) == b"a.c\r\nwarning\n"


def test_the_real_clang_cl_is_understood(tmp_path: Path) -> None:
    """Prefix, nesting and paths of clang-cl's own notes."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed")
    (tmp_path / "t.c").write_text('#include "test.h"\n')
    (tmp_path / "test.h").write_text('#include "in.h"\n')
    (tmp_path / "in.h").write_text("")
    command = [clang, "--driver-mode=cl", "/c", "/showIncludes", "t.c"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    prefix = includes.learn_prefix(said, "test.h", lambda path: (tmp_path / path.decode()).exists())
    assert [Path(note.path.decode()).name for note in includes.split(said, prefix) if note.path] == ["test.h", "in.h"]


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
