r"""Read and write make dependency files exactly as gcc and clang do.

    <depfile> ::= <targets> ":" { <blank> <name> } { <phony rule> }
    <name>    ::= make-quoted: `\ ` space, `\#` hash, `$$` dollar; backslashes before a quoted blank are doubled

Owns: the grammar and the two layouts (gcc wraps at 72 columns, clang at 75 with two blanks and an empty line before each
phony rule; both observed and kept by tests against the real compilers).  Must not know: files, caches.
"""

import re
from collections.abc import Sequence

from msgspec import Struct


class Layout(Struct, frozen=True):
    """How one compiler family lays a dependency file out."""

    width: int
    continuation: str
    before_phony: str
    indent: int


LAYOUTS = {
    "gcc": Layout(width=72, continuation=" \\\n ", before_phony="", indent=1),
    "clang": Layout(width=75, continuation=" \\\n  ", before_phony="\n", indent=2),
}

_WORD = re.compile(r"(?:\\[ #\\\t]|\\(?!\n)|\$\$|[^\s\\])+")
_UNUSUAL = "\\$\t\n\v\f\r"
"""A list without these is names between blanks, 20 times as fast to take apart as one with quoted names."""
_QUOTABLE = re.compile(r"(\\*)([ \t])|(\$)|(#)")


def quote(name: str) -> str:
    """Quote a file name for make, as -MQ and the dependency list do."""

    def replace(match: re.Match[str]) -> str:
        if match[2]:
            return match[1] * 2 + "\\" + match[2]
        return "$$" if match[3] else "\\#"

    return _QUOTABLE.sub(replace, name) if _QUOTABLE.search(name) else name


def unquote(word: str) -> str:
    """The file name behind one word of a dependency list."""
    if "\\" not in word and "$" not in word:
        return word
    word = re.sub(r"(\\*)\\([ \t])", lambda m: m[1][: len(m[1]) // 2] + m[2], word)
    return word.replace("\\#", "#").replace("$$", "$")


def parse(text: str) -> tuple[str, ...]:
    """The prerequisites of the first rule, in order, as file names; empty when the text is no rule."""
    end = text.find("\n")
    while end > 0 and text[end - 1] == "\\":
        end = text.find("\n", end + 1)
    rule = text[:end] if end >= 0 else text
    separator = re.search(r":(?=\s|$)", rule)
    if separator is None:
        return ()
    listed = rule[separator.end() :].replace("\\\n", " ")
    if not any(character in listed for character in _UNUSUAL):
        return tuple([name for name in listed.split(" ") if name])
    return tuple(unquote(word) for word in _WORD.findall(listed))


def render(family: str, targets: Sequence[str], names: Sequence[str], *, phony: bool) -> str:
    """The dependency file that `family` writes for these targets (already quoted) and prerequisites.

    The first prerequisite is the source: -MP makes no phony rule for it.
    """
    layout = LAYOUTS[family]
    joined = "\0".join(names)
    words = [quote(name) for name in names] if any(character in joined for character in " \t$#") else names
    text = [_rule_gcc(targets, words, layout) if family == "gcc" else _rule_clang(targets, names, layout)]
    if phony:
        text += [f"{layout.before_phony}{word}:\n" for word in words[1:]]
    return "".join(text)


def _rule_gcc(targets: Sequence[str], words: Sequence[str], layout: Layout) -> str:
    pieces: list[str] = []
    column = 0
    for position, word in enumerate([*targets, *words]):
        size = _size(word)
        if column:
            wraps = column + size > layout.width
            pieces.append(layout.continuation if wraps else " ")
            column = 1 if wraps else column + 1
        pieces.append(word)
        column += size
        if position == len(targets) - 1:
            pieces.append(":")
            column += 1
    return "".join(pieces) + "\n"


def _rule_clang(targets: Sequence[str], names: Sequence[str], layout: Layout) -> str:
    pieces: list[str] = []
    column = 0
    for target in targets:
        size = _size(target)
        if column == 0:
            column = size
        elif column + size + 2 > layout.width:
            column = size + 2
            pieces.append(layout.continuation)
        else:
            column += size + 1
            pieces.append(" ")
        pieces.append(target)
    pieces.append(":")
    column += 1
    for name in names:
        size = _size(name)  # clang measures the name before quoting it
        if column + size + 1 + 2 > layout.width:
            pieces.append(layout.continuation[:-1])
            column = 2
        pieces.append(" " + quote(name))
        column += size + 1
    return "".join(pieces) + "\n"


def _size(word: str) -> int:
    return len(word) if word.isascii() else len(word.encode("utf-8", "surrogateescape"))
