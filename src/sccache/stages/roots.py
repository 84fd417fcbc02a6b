"""The directories whose position must not matter, as one job sees them.

Owns: marking paths, arguments and text for keys; taking marks back for this checkout.  Must not know: jobs, storage.
"""

import mmap
from collections.abc import Sequence

from sccache.hashing import basedirs

_STORED_MARKER = "\1base\1"  # entries join names by NUL, so the marker of keys cannot stand in them


class Roots:
    """Base directories, and which of them is this job's home."""

    __slots__ = ("_home", "roots")

    def __init__(self, roots: Sequence[str], source: str, cwd: str) -> None:
        self.roots = basedirs.normalised(roots)
        """Longest first, without trailing slash; empty when nothing is to be marked."""
        self._home = basedirs.root_of(source, self.roots) or basedirs.root_of(cwd, self.roots)

    @property
    def home(self) -> tuple[str, ...]:
        """The base directory that this job's source is in, if it is in one."""
        return (self._home,) if self._home else ()

    def path(self, path: str) -> str:
        """A path for a key."""
        return basedirs.mark_path(path, self.roots) if self.roots else path

    def arguments(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """Arguments for a key."""
        return tuple(basedirs.mark_argument(argument, self.roots) for argument in arguments) if self.roots else arguments

    def text(self, data: bytes | mmap.mmap) -> bytes | mmap.mmap:
        """Preprocessed text for a key."""
        return basedirs.mark_text(bytes(data), self.roots) if self.roots else data

    def occur_in(self, data: bytes) -> bool:
        """Whether the bytes name one of the directories."""
        return bool(self.roots) and basedirs.find_roots(data, self.roots)

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
