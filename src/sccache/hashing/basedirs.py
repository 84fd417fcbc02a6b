"""Base directories replaced by a marker, so that two checkouts have the same keys.

An occurrence counts where a path can begin: at the start of the text or after white space, `"` or `<` (in text); in an
argument also after `=`, `:`, `,`, `;`, a quote, or an option's letters (`-I/base/include`).  It must be a whole component; at one place the
longest base directory wins.  What the compiler sees is never changed.

Owns: where an occurrence begins and ends.  Must not know: keys, manifests, configuration.
"""

import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

MARKER = "\0base\0"
"""Stands for a base directory; NUL cannot be part of a path or argument."""

_BEFORE_IN_TEXT = frozenset(b' \t\n\v\f\r"<')
_BEFORE_IN_ARGUMENT = r"(?:^(?:--?[A-Za-z][\w-]*)?|(?<=[\s=:,;\"'<]))"
_AFTER_IN_ARGUMENT = r"(?=/|$|[\s=:,;\"'>])"


def normalised(roots: Iterable[str]) -> tuple[str, ...]:
    """Base directories without trailing slashes or doubles, longest first; `/` and empty ones are of no use and dropped."""
    return tuple(sorted({root.rstrip("/") for root in roots} - {""}, key=lambda root: (-len(root), root)))


def mark_text(data: bytes, roots: Sequence[str], marker: str = MARKER) -> bytes:
    """`data` with every base directory (and the slash after it) replaced by the marker."""
    found = _occurrences(data, normalised(roots)) if roots else []
    if not found:
        return data
    parts: list[bytes] = []
    at = 0
    for start, length in found:
        parts += (data[at:start], marker.encode(), b"/")
        at = start + length
    parts.append(data[at:])
    return b"".join(parts)


def mark_path(path: str, roots: Sequence[str], marker: str = MARKER) -> str:
    """An absolute path with its base directory, if it is in one, replaced by the marker."""
    for root in normalised(roots):
        if path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
            return marker + path[len(root) :]
    return path


def mark_argument(argument: str, roots: Sequence[str], marker: str = MARKER) -> str:
    """A command-line argument with the base directories in it replaced by the marker."""
    if not roots or "/" not in argument:
        return argument
    pattern = _argument_pattern(normalised(roots))
    return pattern.sub(lambda match: match.group()[: match.start(1) - match.start()] + marker, argument) if pattern else argument


def root_of(path: str, roots: Sequence[str]) -> str | None:
    """The longest base directory that holds `path`."""
    return next((root for root in normalised(roots) if path == root or path.startswith(root + "/")), None)


def find_roots(data: bytes, roots: Sequence[str]) -> bool:
    """Is any base directory's text anywhere in `data`?  Looser than marking, for bytes whose structure is unknown.

    Compressed data (`-gz` debug sections, LTO bytecode, PCH) hides paths: who stores such outputs must not rely on this.
    """
    return any(os.fsencode(root) in data for root in normalised(roots))


def _occurrences(data: bytes, roots: tuple[str, ...]) -> list[tuple[int, int]]:
    """(start, length) of what is to be replaced, in order, without overlaps."""
    found: list[tuple[int, int]] = []
    for root in roots:
        wanted = os.fsencode(root) + b"/"
        at = data.find(wanted)
        while at >= 0:
            if at == 0 or data[at - 1] in _BEFORE_IN_TEXT:
                found.append((at, len(wanted)))
            at = data.find(wanted, at + 1)
    found.sort(key=lambda place: (place[0], -place[1]))
    kept: list[tuple[int, int]] = []
    end = 0
    for start, length in found:
        if start >= end:
            kept.append((start, length))
            end = start + length
    return kept


@lru_cache(maxsize=64)
def _argument_pattern(roots: tuple[str, ...]) -> re.Pattern[str] | None:
    if not roots:
        return None
    return re.compile(f"{_BEFORE_IN_ARGUMENT}({'|'.join(map(re.escape, roots))}){_AFTER_IN_ARGUMENT}")
