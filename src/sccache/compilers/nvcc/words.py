r"""Split an nvcc command line into options with their values, and files.

    <word> ::= "--" LONG [ "=" VALUE ] | "-" SHORT [ "=" VALUE ]   ; or the value is the next word
             | "-" LETTER VALUE                                    ; -I -D -U -L -l -O -t
             | "-" <unknown>                                       ; the host compiler's, or an error
             | <file>                                              ; "-" is standard input
    <list> ::= <part> { ( "," | blank ) <part> }                   ; values for other tools; quotes and `\` hide commas and blanks

nvcc 13.0 splits the variables NVCC_PREPEND_FLAGS and NVCC_APPEND_FLAGS at blanks and tabs outside double quotes and leaves the quotes in
place; in a file of --options-file lines end words too, and the quotes are taken away.

Owns: this grammar.  Must not know: what an option is for.   I/O: reads options files.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cache

from msgspec import Struct

from sccache.compilers.options.nvcc import ROWS, Option, Role
from sccache.model import CannotCache

PREPENDED, APPENDED = "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"
_MAX_FILES = 200


class Word(Struct, frozen=True):
    """One option with its value, a file (no row, no dash), or an option that nvcc does not know (no row, a dash)."""

    text: str
    row: Option | None = None
    value: str = ""

    @property
    def name(self) -> str:
        """The option's one name."""
        return self.text if self.row is None else self.row.name

    @property
    def key(self) -> str:
        """The option as one word, in one spelling."""
        if self.row is None:
            return self.text
        return f"{self.name}={self.value}" if self.row.takes_value else self.name


@cache
def rows() -> dict[str, Option]:
    """The options by every spelling of their names."""
    found: dict[str, Option] = {}
    for row in ROWS:
        for name in (f"--{row.long}" if row.long else "", f"-{row.short}" if row.short else ""):
            if name in found:
                raise ValueError(f"nvcc's option table has {name} twice")
            if name:
                found[name] = row
    return found


def split(argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> tuple[Word, ...] | CannotCache:
    """All words in order, those of variables and options files in their places."""
    words = [*pieces(env.get(PREPENDED, ""), " \t", keep_quotes=True), *argv, *pieces(env.get(APPENDED, ""), " \t", keep_quotes=True)]
    waiting = list(reversed(words))
    found: list[Word] = []
    files = 0
    while waiting:
        word = _take(waiting)
        if isinstance(word, CannotCache):
            return word
        found.append(word)
        if word.row is None or word.row.role is not Role.OPTIONS_FILE:
            continue
        files += 1
        more = _of_files(word.value, cwd) if files < _MAX_FILES else None
        if more is None:
            return CannotCache("--options-file", word.value)
        waiting += reversed(more)
    return tuple(found)


def _take(waiting: list[str]) -> Word | CannotCache:
    """The next word, with its value where that is a word too."""
    word = waiting.pop()
    name, equals, value = word.partition("=")
    row = rows().get(name)
    if row is None or (equals and not row.takes_value):
        row = rows().get(word[:2])
        return Word(word, row, word[2:]) if row is not None and row.joins and len(word) > 2 else Word(word)
    if equals or not row.takes_value:
        return Word(word, row, value)
    return Word(word, row, waiting.pop()) if waiting else CannotCache("argument parse", word)


def _of_files(names: str, cwd: str) -> list[str] | None:
    """The words of options files; None where one cannot be read."""
    found: list[str] = []
    for name in pieces(names, ","):
        path = os.path.join(cwd, name)
        if not os.path.isfile(path):  # a pipe can be read once, and that is nvcc's
            return None
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                found += pieces(file.read(), " \t\r\n")
        except OSError:
            return None
    return found


def listed(value: str) -> list[str]:
    """The words that an option like -Xcompiler hands on."""
    return pieces(value, ", \t\n", quotes="\"'")


def pieces(text: str, separators: str, *, quotes: str = '"', keep_quotes: bool = False) -> list[str]:
    r"""The parts of a text; separators inside quotes and behind `\` do not count."""
    found: list[str] = []
    piece: list[str] | None = None
    quote = ""
    characters = iter(text)
    for character in characters:
        if not quote and character in separators:
            if piece is not None:
                found.append("".join(piece))
            piece = None
            continue
        piece = [] if piece is None else piece
        if character == quote or (not quote and character in quotes):
            quote = "" if quote else character
            piece += character if keep_quotes else ""
        elif character == "\\" and not keep_quotes:
            piece += next(characters, "")
        else:
            piece += character
    return found if piece is None else [*found, "".join(piece)]
