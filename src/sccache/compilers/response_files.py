r"""Expand @file arguments as gcc and clang do (GNU quoting).

    <file> ::= { <blank> | <word> }
    <word> ::= { char | "\" char | "'" { char | "\" char } "'" | '"' { char | "\" char } '"' }

libiberty's buildargv and LLVM's GNU tokenizer agree that a backslash escapes inside both kinds of quotes (kept by a test
against both compilers).  Names are relative to the working directory, also inside a file that was itself named by @.
Owns: quoting, nesting and its limits.  Must not know: options.
"""

from collections.abc import Callable, Sequence
from pathlib import PurePath

from msgspec import Struct

MAX_FILES = 200  # gcc gives up after 2,000 expansions; anything near that is a loop
MAX_WORDS = 500_000

_BLANK = frozenset(" \t\n\r")
_READ_DIFFERENTLY = ("\0", "\v", "\f", "\ufeff")
"""Characters on which libiberty and LLVM disagree; so they do on a backslash at the very end."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Expanded(Struct, frozen=True):
    """A command line without @file words, and the files that were read for it."""

    words: tuple[str, ...]
    files: tuple[str, ...]
    complete: bool
    """False: some @file could not be read, nests endlessly or is too long; its word is still there."""


def split_words(text: str) -> list[str]:
    """The words of a response file; an empty quoted word counts (gcc takes it for a file name)."""
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    characters = iter(text)
    for character in characters:
        if not quote and character in _BLANK:
            if word is not None:
                words.append("".join(word))
            word = None
            continue
        word = [] if word is None else word
        if character == "\\":
            word.append(next(characters, ""))
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            word.append(character)
    return words if word is None else [*words, "".join(word)]


def expand(words: Sequence[str], cwd: str, read: Callable[[str], bytes | None]) -> Expanded:
    """Replace each @file by the words in it, recursively; `read` gives None for what cannot be read."""
    if not any(word.startswith("@") for word in words):
        return Expanded(tuple(words), (), complete=True)
    waiting = list(reversed(words))
    done: list[str] = []
    files: list[str] = []
    complete = True
    while waiting:
        word = waiting.pop()
        content = _content(word, cwd, read, len(files)) if word.startswith("@") else None
        if content is None or len(waiting) > MAX_WORDS:
            complete = complete and not word.startswith("@")
            done.append(word)
            continue
        files.append(word[1:])
        waiting += reversed(split_words(content))
    return Expanded(tuple(done), tuple(dict.fromkeys(files)), complete)


def _content(word: str, cwd: str, read: Callable[[str], bytes | None], files_read: int) -> str | None:
    if len(word) < 2 or files_read >= MAX_FILES:
        return None
    raw = read(str(PurePath(cwd, word[1:])))
    if raw is None or raw.startswith(_UTF16):
        return None
    text = raw.decode("utf-8", "surrogateescape")
    odd = text.endswith("\\") or any(character in text for character in _READ_DIFFERENTLY)
    return None if odd else text
