"""Notes about included files (/showIncludes) among messages: found in any language, taken out, made again for another directory.

    <note> ::= <prefix> { " " } <path> <line end>      ; one blank more for each level

The prefix is a sentence in the compiler's language (`Note: including file:`, `Hinweis: Einlesen der Datei:`), so it is learned from
a run over a file whose only header is known.
Owns: this grammar.  Must not know: who runs the compiler.
"""

import os
from collections.abc import Callable, Mapping

from msgspec import Struct


class Note(Struct, frozen=True):
    """One line of the messages; no note where path is empty."""

    text: bytes
    """The line, or what stands before the path."""
    path: bytes = b""
    end: bytes = b""


def learn_prefix(messages: bytes, header: str, exists: Callable[[bytes], bool]) -> bytes:
    """The prefix, from messages of a compile that includes `header`; empty where no line names it.

    Blanks may be in the prefix as in the path: the longest prefix behind which stands the name of a file is taken.
    """
    name = os.fsencode(header)
    for line in messages.splitlines():
        if not line.endswith(name):
            continue
        blank = line.rfind(b" ")
        while blank > 0:
            if exists(line[blank + 1 :]):
                return line[: blank + 1].rstrip(b" ")
            blank = line.rfind(b" ", 0, blank)
    return b""


def split(messages: bytes, prefix: bytes) -> tuple[Note, ...]:
    """All lines in order; put together again they are the messages."""
    found = []
    for line in messages.splitlines(keepends=True):
        text = line.rstrip(b"\r\n")
        path = text[len(prefix) :].lstrip(b" ")
        if not prefix or not text.startswith(prefix) or not path:
            found.append(Note(line))
        else:
            found.append(Note(text[: len(text) - len(path)], path, line[len(text) :]))
    return tuple(found)


def join(notes: tuple[Note, ...], names: Mapping[bytes, bytes] | None = None) -> bytes:
    """The messages again, with other names for paths where `names` has them."""
    names = names or {}
    return b"".join(note.text + names.get(note.path, note.path) + note.end for note in notes)


def without(notes: tuple[Note, ...]) -> bytes:
    """The messages alone."""
    return b"".join(note.text for note in notes if not note.path)
