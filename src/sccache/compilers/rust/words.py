r"""Split a rustc command line into options and sources, as rustc's own parser does.

    <word> ::= "@" <file>                       ; its lines take the word's place, as they are: no trimming, no quotes, no @ in it
             | "--" NAME [ "=" VALUE ]          ; or the value is the next word
             | "-" { LETTER } [ VALUE ]         ; letters without a value may be joined; the last one's value may be the next word
             | "--"                             ; all that follows are sources
             | <source>                         ; "-" is standard input

Seen with rustc 1.95: an empty line is an empty word (a source without a name), `\r\n` ends a line too, an unreadable file is
an error, an @ that stands where a value belongs is replaced as well.  `@shell:` files are quoted as a shell does, if -Z says so.

Owns: expanding @files, splitting.  Must not know: what an option is for.   I/O: reads @files.
"""

import os
from collections.abc import Sequence
from functools import cache

from msgspec import Struct

from sccache.compilers.options.rustc import ROWS, Option, Role
from sccache.model import CannotCache


class Word(Struct, frozen=True):
    """One option with its value, or a source (row None, name empty), or an option that no row knows (row None)."""

    name: str
    value: str
    row: Option | None = None


class Expanded(Struct, frozen=True):
    """A command line without @files, and which they were."""

    words: tuple[str, ...]
    files: tuple[str, ...]


@cache
def rows() -> dict[str, Option]:
    """The option table by name."""
    found = {row.name: row for row in ROWS}
    if len(found) != len(ROWS):
        raise ValueError("rustc's option table has a row twice")
    return found


def expand(argv: Sequence[str], cwd: str) -> Expanded | CannotCache:
    """Put the lines of @files in their places."""
    if not any(word.startswith("@") for word in argv):
        return Expanded(tuple(argv), ())
    words: list[str] = []
    files: list[str] = []
    for word in argv:
        if not word.startswith("@"):
            words.append(word)
            continue
        name = word[1:]
        lines = None if name.startswith("shell:") else _lines(os.path.join(cwd, name))
        if lines is None:
            return CannotCache("@", name)
        words += lines
        files.append(name)
    return Expanded(tuple(words), tuple(files))


def _lines(path: str) -> list[str] | None:
    """The file's lines as rustc sees them; None where it would stop with an error."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            lines = file.read().split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if not lines[-1]:
        lines.pop()
        return [line.removesuffix("\r") for line in lines]
    return [*(line.removesuffix("\r") for line in lines[:-1]), lines[-1]]


def split(words: Sequence[str]) -> tuple[Word, ...] | CannotCache:
    """All words, in order."""
    found: list[Word] = []
    position, end = 0, len(words)
    while position < end:
        word = words[position]
        position += 1
        following = words[position] if position < end else None
        if word == "--":
            found += [Word("", rest) for rest in words[position:]]
            break
        if len(word) < 2 or not word.startswith("-"):
            found.append(Word("", word))
            continue
        taken = _long(word, following) if word.startswith("--") else _letters(word, following)
        if isinstance(taken, CannotCache):
            return taken
        found += taken[0]
        position += taken[1]
    return tuple(found)


_Taken = tuple[list[Word], int]
"""Options, and how many of the following words belong to them."""


def _long(word: str, following: str | None) -> _Taken | CannotCache:
    name, equals, value = word.partition("=")
    row = rows().get(name)
    if row is None or not row.takes_value:
        return [Word(word if row is None else name, "", row)], 0
    if equals:
        return [Word(name, value, row)], 0
    return CannotCache("argument parse", name) if following is None else ([Word(name, following, row)], 1)


def _letters(word: str, following: str | None) -> _Taken | CannotCache:
    found: list[Word] = []
    for position, letter in enumerate(word[1:], 1):
        name = "-" + letter
        row = rows().get(name)
        if row is None:
            return CannotCache("argument parse", word)
        if not row.takes_value:
            found.append(Word(name, "", row))
            continue
        value = word[position + 1 :]
        if value:
            return [*found, Word(name, value, row)], 0
        if following is None:
            return CannotCache("argument parse", name)
        return [*found, Word(name, following, row)], 1
    return found, 0


def spelled(word: Word) -> str:
    """The option as one word, in one spelling."""
    if word.row is None or not word.row.takes_value:
        return word.name or word.value
    name = "-C" if word.row.role is Role.CODEGEN else word.name
    return f"{name}={word.value}" if name.startswith("--") else name + word.value
