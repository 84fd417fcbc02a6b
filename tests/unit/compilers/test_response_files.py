"""Response files are read as the compilers read them."""

import itertools
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sccache.compilers.response_files import MAX_FILES, expand, split_words

TEXTS = [
    "-DV=plain",
    "-DV=a\\ b",
    "'-DV=a b'",
    '"-DV=a b"',
    '-DV="a b"c',
    "-DV='a\\\\b'",
    "-DV='a\\'b'",
    '-DV="a\\"b"',
    "-DV=a\\\\b",
    "-DV=a\\'b",
    "'-DV='\"a\"'b'c",
    "\t-DV=1\r\n-DV=2 -DV=3\n\n",
    "-DV=unclosed' quote",
]


def nothing(_: str) -> bytes | None:
    return None


@pytest.mark.parametrize("family", ["gcc", "clang"])
@pytest.mark.parametrize("text", TEXTS)
def test_quoting_is_that_of_the_compiler(family: str, text: str, tmp_path: Path) -> None:
    """What our reader finds is what the compiler proper is given."""
    if shutil.which(family) is None:
        pytest.skip(f"{family} is not installed")
    (tmp_path / "a.c").write_text("int x;\n")
    (tmp_path / "rsp").write_text(text, newline="")
    ran = subprocess.run([family, "-###", "-c", "a.c", "@rsp"], cwd=tmp_path, capture_output=True, text=True, check=False)
    command = shlex.split(next(line for line in ran.stderr.split("\n") if "cc1" in line and "a.c" in line))
    given = [word for before, word in itertools.pairwise(command) if before == "-D"]
    assert [word.removeprefix("-D") for word in split_words(text)] == given


def test_files_nest_relative_to_the_working_directory() -> None:
    """`@dir/a` that says `@b` means `b` in the working directory, for both families."""
    files = {"/w/dir/a": b"-O2 @b", "/w/b": b"-DX"}
    found = expand(["-c", "@dir/a", "a.c"], "/w", files.get)
    assert found.words == ("-c", "-O2", "-DX", "a.c")
    assert found.files == ("dir/a", "b")
    assert found.complete


def test_an_unreadable_file_stays_a_word() -> None:
    """The compiler takes it for an input of that name; we say so."""
    assert expand(["@none"], "/", nothing).words == ("@none",)
    assert not expand(["@none"], "/", nothing).complete


@pytest.mark.parametrize("content", [b"a\fb", b"a\vb", b"a\0b", b"a\\", b"\xff\xfea\0", b"\xef\xbb\xbfa"])
def test_what_the_compilers_read_differently_is_left_to_them(content: bytes) -> None:
    """Such a file counts as unreadable, and the compile runs uncached."""
    assert not expand(["@a"], "/", lambda _: content).complete


def test_an_empty_quoted_word_counts() -> None:
    """It is an argument, an odd one, which gcc takes for a file."""
    assert split_words("a '' b\"\"") == ["a", "", "b"]


def test_a_file_that_names_itself_ends() -> None:
    """Nesting is bounded."""
    found = expand(["@a"], "/", lambda _: b"x @a")
    assert not found.complete
    assert len(found.words) == MAX_FILES + 1


def test_a_file_that_doubles_itself_ends() -> None:
    """So is the number of words."""
    assert not expand(["@a"], "/", lambda _: b"@a @a").complete


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8).filter(lambda word: "\0" not in word)))
def test_quoted_words_come_back(words: list[str]) -> None:
    """Whatever a build tool quotes with backslashes is read back as it was."""
    text = " ".join("".join("\\" + character for character in word) for word in words)
    assert split_words(text) == words


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """No content raises."""
    split_words(text)
