"""Split a cl or clang-cl command line into options with their values, and positional words.

Owns: Word, Table and the splitting.  Must not know: what any single option is for.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from msgspec import Struct

from sccache.compilers.arguments import Takes
from sccache.compilers.options import clang_cl, msvc
from sccache.compilers.options.msvc import Option, Role
from sccache.model import CannotCache


class Word(Struct, frozen=True):
    """One option with its value; a positional word has no name."""

    spelled: tuple[str, ...]
    name: str = ""
    value: str = ""
    role: Role = Role.KEY

    @property
    def key(self) -> tuple[str, ...]:
        """The option in one spelling: `/` as prefix, the value joined unless that would make another option of it."""
        if not self.name:
            return self.spelled
        joined = self.name + self.value
        return (joined,) if len(self.spelled) == 1 or len(self.name) == 2 else (self.name, self.value)


class Table:
    """Rows by name; the longest name that fits a word wins."""

    def __init__(self, *groups: Iterable[Option]) -> None:
        """Later groups replace rows of earlier ones; doubles inside one group are an error."""
        self.rows: dict[str, Option] = {}
        for group in groups:
            rows = list(group)
            if len({row.name for row in rows}) != len(rows):
                raise ValueError(f"option table: twice in one group: {[row.name for row in rows]}")
            self.rows.update((row.name, row) for row in rows)
        self._longest = max(map(len, self.rows))

    def find(self, word: str) -> Option | None:
        """The row for a word with one of the prefixes, or None."""
        either = "/" + word[1:]
        for length in range(min(len(word), self._longest), 1, -1):
            for name in dict.fromkeys((word[:length], either[:length])):
                row = self.rows.get(name)
                if row is not None and (length == len(word) or row.takes in (Takes.JOINED, Takes.EITHER)):
                    return row
        return None


@cache
def table(*, clang: bool) -> Table:
    """The options of clang-cl or of cl, checked when first used."""
    return Table(msvc.SHARED, clang_cl.DRIVER, clang_cl.CORE) if clang else Table(msvc.SHARED, msvc.CL)


def split(words: Sequence[str], *, clang: bool) -> tuple[Word, ...] | CannotCache:
    """All words in order; behind `--`, which only clang-cl knows, all are positional."""
    found: list[Word] = []
    rows = table(clang=clang)
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if clang and word == "--":
            return (*found, *(Word((rest,)) for rest in reversed(waiting)))
        row = rows.find(word) if word[:1] in ("-", "/") else None
        if row is None:
            found.append(_unknown(word, clang=clang))
        elif row.takes is Takes.NEXT or (row.takes is Takes.EITHER and len(word) == len(row.name)):
            if not waiting:
                return CannotCache("argument parse", word)
            value = waiting.pop()
            found.append(Word((word, value), row.name, value, row.role))
        else:
            found.append(Word((word,), row.name, word[len(row.name) :], row.role))
    return tuple(found)


def _unknown(word: str, *, clang: bool) -> Word:
    """Cl ignores, with a warning, whatever looks like an option; for clang-cl a word with `/` is then a path."""
    is_option = word[:1] == "-" or (word[:1] == "/" and not clang)
    if not is_option or word == "-":
        return Word((word,))
    return Word((word,), word if clang else "/" + word[1:])
