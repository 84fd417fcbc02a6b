"""The names that a source or header may ask the preprocessor to look for.

Found in raw bytes, so a superset: comments, strings and conditions are not understood, line splices, digraphs and
trigraphs are.  A name that is made by a macro cannot be seen: the file is then `computed`.

Owns: the scanner and its memory by content.  Must not know: search directories, which names exist.
"""

import os
import re
import sys
from collections.abc import Iterator

from msgspec import Struct

from sccache.hashing.digest import digest
from sccache.hashing.source_text import BINARY, unspliced

MAX_REMEMBERED = 50_000
"""Contents whose names are remembered; 10,000 headers take 5 MB."""

# Atomic: tried in one way only, or a row of comments would take exponential time.
_BLANK = rb"(?:[ \t\v\f]|(?>/\*.*?\*/))*+"
_SPACE = rb"(?:\s|(?>/\*.*?\*/))*+"
# A name, or the first letter of the macro that makes it (in a comment, `#include` is often followed by neither).
_OPERAND = rb'(?:"([^"\n]+)"|<([^>\n]+)>|([A-Za-z_$\x80-\xff\\]))'
_DIRECTIVE = rb"%s(include_next|include|import|embed)(?!\w)%s%s" % (_BLANK, _BLANK, _OPERAND)
_LINE = re.compile(b"#" + _DIRECTIVE, re.DOTALL)
# A pattern of its own: one that begins with a letter is found four times as fast.
_DIGRAPH_LINE = re.compile(rb"(?:%:|\?\?=)" + _DIRECTIVE, re.DOTALL)
_PROBE = re.compile(
    rb"__has_(include_next|include|embed)(?:__)?\s*\(%(blank)s%(operand)s" % {b"blank": _SPACE, b"operand": _OPERAND},
    re.DOTALL,
)
# What a macro that names a header looks like where it is defined, or is handed to another: `#define X <a.h>`, `HAS(<a.h>)`.
_DEFINED = (
    re.compile(rb'define[ \t]+\w+[ \t]+(?:"([\w./+-]+)"|<([\w./+-]+)>)'),
    re.compile(rb'\((?:"([\w/+-]*[./][\w./+-]*)"|<([\w./+-]+)>)'),
)
_CONDITION = re.compile(rb"[ \t\v\f]*(?:#|%:|\?\?=)[ \t\v\f]*(?:el)?if\b")
_IDENTIFIER = re.compile(rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*")


class Includes(Struct, frozen=True):
    """Names by the way in which they are looked for, each once, as written."""

    quoted: tuple[str, ...] = ()
    """First beside the file that asks."""
    bracketed: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    """By `#include_next` or `__has_include_next`, which may look behind the first find."""
    embedded: tuple[str, ...] = ()
    """By `#embed` or `__has_embed`, quoted or not."""
    probed: tuple[str, ...] = ()
    """Those of the names that `__has_include` and the like ask about: whether they exist matters, included or not."""
    opaque: bool = False
    """A condition asks for a name that macros put together: nobody can tell for which."""
    computed: bool = False
    """Some name is made by a macro …"""
    defined: tuple[str, ...] = ()
    """… and these may be such names: they are of use only if some file of the compile is `computed`."""


def scan(data: bytes) -> Includes:
    """The names in a file's bytes.  A precompiled header asks for nothing more."""
    if data.startswith(BINARY):
        return Includes()
    text = unspliced(data)
    found: dict[str, set[bytes]] = {form: set() for form in ("quoted", "bracketed", "next", "embedded", "probed")}
    computed = opaque = False
    for pattern in _patterns(text):
        for match in pattern.finditer(text):
            how, quoted, bracketed, macro = match.groups()
            if macro:
                computed = computed or pattern is _PROBE or _may_begin_directive(text, match.start())
                opaque = opaque or (pattern is _PROBE and _is_opaque(text, match))
            else:
                found[_form(how, b"" if quoted is None else b'"')].add(quoted or bracketed)
                if pattern is _PROBE:
                    found["probed"].add(quoted or bracketed)
    defined = {quoted or bracketed for pattern in _DEFINED for quoted, bracketed in pattern.findall(text)}
    return Includes(
        quoted=_names(found["quoted"]),
        bracketed=_names(found["bracketed"]),
        next=_names(found["next"]),
        embedded=_names(found["embedded"]),
        probed=_names(found["probed"]),
        computed=computed,
        opaque=opaque,
        defined=_names(defined),
    )


class IncludeMemory:
    """`scan` by content digest: 300 headers cost 20 ms the first time and are shared by all later compiles."""

    def __init__(self, max_remembered: int = MAX_REMEMBERED) -> None:
        self._known: dict[bytes, Includes] = {}
        self._max = max_remembered

    def includes(self, path: str, content_digest: bytes) -> Includes | None:
        """The names in a file that has this content; None if it no longer has."""
        known = self._known.get(content_digest)
        if known is None:
            data = _read(path)
            if data is None or digest(data) != content_digest:
                return None
            if len(self._known) >= self._max:
                self._known.clear()
            known = self._known[content_digest] = scan(data)
        return known


def _patterns(text: bytes) -> Iterator[re.Pattern[bytes]]:
    yield _LINE
    if b"__has_" in text:
        yield _PROBE
    if b"%:" in text or b"??=" in text:
        yield _DIGRAPH_LINE


def _may_begin_directive(text: bytes, at: int) -> bool:
    """Is there only white space or the end of a comment before it?  Prose says "you should #include this file"."""
    before = text[text.rfind(b"\n", 0, at) + 1 : at]
    return not before.strip() or b"*/" in before


def _is_opaque(text: bytes, match: re.Match[bytes]) -> bool:
    """Does a condition ask `__has_include` for what a macro call gives, or a macro that is no plain name?"""
    line = text[text.rfind(b"\n", 0, match.start()) + 1 : match.start()]
    if not _CONDITION.match(line):
        return False  # a macro of its own (`#define HAS(x) __has_include(x)`): names stand where that one is used
    operand = _IDENTIFIER.match(text, match.start(4))
    if operand is None:
        return True
    if text[operand.end() : operand.end() + 64].lstrip().startswith(b"("):
        return True
    definition = re.search(rb"define[ \t]+%s[ \t]+(\S)" % re.escape(operand.group()), text)
    return definition is not None and definition[1] not in (b'"', b"<")


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _names(found: set[bytes]) -> tuple[str, ...]:
    # Interned: the same few thousand names come up in every header and manifest.
    return tuple(sorted(sys.intern(os.fsdecode(name)) for name in found))


def _form(how: bytes, quote: bytes) -> str:
    if how == b"include_next":
        return "next"
    if how == b"embed":
        return "embedded"
    return "quoted" if quote else "bracketed"
