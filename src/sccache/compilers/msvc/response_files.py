r"""Expand @file arguments and the variables CL and _CL_ as cl and clang-cl do (Windows quoting).

    <text> ::= { <blank> | <word> }          ; a line end is a blank
    <word> ::= { char | <quoted> | { "\" } }
    2n backslashes before a quote are n backslashes, and the quote begins or ends a quoted part; 2n+1 are n backslashes and a quote
    sign that counts as text; `""` inside a quoted part is a quote sign; other backslashes are themselves.

A file with a byte order mark is UTF-8 or UTF-16 (of either order), any other Windows-1252 for cl (reference 5.9), bytes for clang-cl.
Owns: quoting, encodings, how far files are expanded.  Must not know: options.
"""

import codecs
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

from msgspec import Struct

MAX_FILES = 200
_BLANK = frozenset(" \t\r\n\0")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Expanded(Struct, frozen=True):
    """A command line without @file words, and the files that were read for it."""

    words: tuple[str, ...]
    files: tuple[str, ...]
    unreadable: str = ""
    """An @word whose file could not be read."""


def split_words(text: str) -> list[str]:
    """The words of a command line or a response file."""
    words: list[str] = []
    word: list[str] | None = None
    quoted = False
    position, end = 0, len(text)
    while position < end:
        character = text[position]
        if not quoted and character in _BLANK:
            if word is not None:
                words.append("".join(word))
            word, position = None, position + 1
            continue
        word = [] if word is None else word
        start = position
        while position < end and text[position] == "\\":
            position += 1
        slashes = position - start
        if position == end or text[position] != '"':
            word.append("\\" * slashes if slashes else character)
            position += 0 if slashes else 1
            continue
        word.append("\\" * (slashes // 2))
        if slashes % 2:
            word.append('"')
        elif quoted and text[position + 1 : position + 2] == '"':
            word.append('"')
            position += 1
        else:
            quoted = not quoted
        position += 1
    return words if word is None else [*words, "".join(word)]


def decode(raw: bytes, *, clang: bool) -> str | None:
    """The text of a response file; None where a byte order mark promises what does not follow."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            try:
                return raw[len(mark) :].decode(encoding)
            except UnicodeDecodeError:
                return None
    return raw.decode("utf-8", "surrogateescape") if clang else raw.decode("cp1252", "replace")


def with_variables(words: Sequence[str], env: Mapping[str, str]) -> tuple[str, ...]:
    """The whole command line: CL stands before, _CL_ behind it; there the first `#` of a word means `=`."""
    return (*_variable(env, "CL"), *words, *_variable(env, "_CL_"))


def _variable(env: Mapping[str, str], name: str) -> list[str]:
    return [word.replace("#", "=", 1) for word in split_words(env.get(name, ""))]


def expand(words: Sequence[str], cwd: str, *, clang: bool, read: Callable[[str], bytes | None] | None = None) -> Expanded:
    """Replace each @file by its words; cl does not look for further files in them, clang-cl does."""
    waiting = [(word, True) for word in reversed(words)]
    done: list[str] = []
    files: list[str] = []
    while waiting:
        word, may_expand = waiting.pop()
        if not word.startswith("@") or not may_expand:
            done.append(word)
            continue
        raw = (read or read_file)(str(PurePath(cwd, word[1:]))) if len(word) > 1 and len(files) < MAX_FILES else None
        text = None if raw is None else decode(raw, clang=clang)
        if text is None:
            return Expanded(tuple(words), tuple(files), word)
        files.append(word[1:])
        waiting += [(inner, clang) for inner in reversed(split_words(text))]
    return Expanded(tuple(done), tuple(dict.fromkeys(files)))


def read_file(path: str) -> bytes | None:
    """A regular file's content, or None."""
    try:
        return Path(path).read_bytes() if Path(path).is_file() else None
    except OSError:
        return None


def is_directory(path: str) -> bool:
    """Whether there is a directory of this name."""
    return Path(path).is_dir()
