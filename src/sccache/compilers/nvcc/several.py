"""Make of one nvcc command with several sources as many commands with one source each.

Seen with nvcc 13.0: it compiles one source after the other, each with its own messages, and stops at the first that fails; a dependency
file without a name is each source's own.  Words from variables are added to every part again.
Owns: `split`.  Must not know: what is done with the parts.   I/O: looks whether the sources exist.
"""

from collections.abc import Mapping

from sccache.compilers.nvcc.command import parse
from sccache.compilers.nvcc.words import Word, rows
from sccache.compilers.nvcc.words import split as split_words
from sccache.compilers.options.nvcc import Role
from sccache.compilers.several import Commands, are_separate
from sccache.model import CannotCache

MAX_SOURCES = 60
"""Each may be compiled in a dozen steps."""


def split(argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> Commands:
    """The commands that do the same as this one, in its order; none where it cannot be divided."""
    words = split_words(argv[1:], cwd, {})
    if isinstance(words, CannotCache) or any(word.row is not None and word.row.role is Role.OPTIONS_FILE for word in words):
        return ()
    sources = [position for position, word in enumerate(words) if _is_file(word)]
    if not 1 < len(sources) <= MAX_SOURCES:
        return ()
    parts = tuple(
        (argv[0], *(part for position, word in enumerate(words) if position == at or not _is_file(word) for part in _spelled(word)))
        for at in sources
    )
    return parts if are_separate([parse(part, cwd, env) for part in parts], cwd) else ()


def _is_file(word: Word) -> bool:
    return word.row is None and (word.text == "-" or not word.text.startswith("-"))


def _spelled(word: Word) -> tuple[str, ...]:
    """The word, with its value where that is a word of its own."""
    is_apart = word.row is not None and word.row.takes_value and word.text in rows()
    return (word.text, word.value) if is_apart else (word.text,)
