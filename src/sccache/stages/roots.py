"""The directories whose position must not matter, as one job sees them.

A job has a *home*, the base directory that its source is in, and perhaps another that it works in (a build tree).  Each has a
marker of its own, and other base directories have none: a header of another checkout is not the header of this one.

Owns: marking paths, arguments and text for keys; taking marks back for this checkout.  Must not know: jobs, storage.
"""

import mmap
from collections.abc import Sequence

from sccache.hashing import basedirs

_STORED_MARKER = "\1base\1"  # entries join names by NUL, so the marker of keys cannot stand in them
_WORKING_MARKER = "\0work\0"


class Roots:
    """Base directories, and which of them is this job's home."""

    __slots__ = ("_home", "_marked")

    def __init__(self, roots: Sequence[str], source: str, cwd: str) -> None:
        known = basedirs.normalised(roots)
        working = basedirs.root_of(cwd, known)
        self._home = basedirs.root_of(source, known) or working
        markers = {self._home: basedirs.MARKER, **({working: _WORKING_MARKER} if working != self._home else {})}
        longest_first = basedirs.normalised([root for root in markers if root])
        self._marked = [(root, markers[root]) for root in longest_first]
        """So that of two nested ones the inner is found first."""

    @property
    def roots(self) -> tuple[str, ...]:
        """The directories that are marked; empty when nothing is."""
        return tuple(root for root, _ in self._marked)

    @property
    def home(self) -> tuple[str, ...]:
        """The base directory that this job's source is in, if it is in one."""
        return (self._home,) if self._home else ()

    def path(self, path: str) -> str:
        """A path for a key."""
        for root, marker in self._marked:
            path = basedirs.mark_path(path, (root,), marker)
        return path

    def arguments(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """Arguments for a key."""
        for root, marker in self._marked:
            arguments = tuple(basedirs.mark_argument(argument, (root,), marker) for argument in arguments)
        return arguments

    def text(self, data: bytes | mmap.mmap) -> bytes | mmap.mmap:
        """Preprocessed text for a key."""
        for root, marker in self._marked:
            data = basedirs.mark_text(bytes(data), (root,), marker)
        return data

    def occur_in(self, data: bytes) -> bool:
        """Whether the bytes name one of the directories."""
        return bool(self._marked) and basedirs.find_roots(data, self.roots)

    def portable(self, names: Sequence[str]) -> tuple[str, ...]:
        """File names to be stored: those below the job's home are marked, and only those."""
        if self._home is None:
            return tuple(names)
        return tuple(basedirs.mark_path(name, (self._home,)).replace(basedirs.MARKER, _STORED_MARKER, 1) for name in names)

    def local(self, names: Sequence[str]) -> tuple[str, ...]:
        """Stored file names, as this checkout has them."""
        if self._home is None:
            return tuple(names)
        return tuple(name.replace(_STORED_MARKER, self._home, 1) for name in names)
