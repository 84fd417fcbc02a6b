"""The directories whose position must not matter to an observed compile: where it works, and where cargo puts its products.

cargo compiles a workspace's crates in the workspace's root and a registry's crates in their own directories, and names the
target directory in arguments, dependency files, notices and OUT_DIR.  Both are replaced by markers in all that is compared or
kept as text; an output whose bytes name one of them is for this place only (docs/decisions/0006).

Owns: finding the two, marking paths, arguments, values and text, and undoing that.  Must not know: jobs, storage.
"""

import os
import re
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from sccache.hashing import basedirs

_MARKERS = ("\1home\1", "\1target\1")
_PLAIN = re.compile(r"/[\w./+@~-]*", re.ASCII)
"""A name that is written in the same way in JSON, in a dependency file and in a message."""
_TARGET_TAG = "CACHEDIR.TAG"
_MAX_LEVELS = 6
"""From target/<triple>/<profile>/build/<package>/<hash> up to target, and one to spare."""


class ObservedRoots(Struct, frozen=True):
    """Up to two directories: home, target."""

    names: tuple[str, ...]
    """In the order of their markers."""
    is_plain: bool

    def text(self, data: bytes) -> bytes:
        """Text to be kept; as it is where a marker could be mistaken."""
        if not self.names or not self.is_plain or b"\1" in data:
            return data
        return _pattern(self.names).sub(lambda found: self._marker_of(found.group()), data)

    def _marker_of(self, root: bytes) -> bytes:
        return _MARKERS[self.names.index(os.fsdecode(root))].encode()

    def local(self, data: bytes) -> bytes:
        """Kept text, as it reads here."""
        if b"\1" not in data or not self.is_plain:
            return data
        for root, marker in zip(self.names, _MARKERS, strict=False):
            data = data.replace(marker.encode(), os.fsencode(root))
        return data

    def word(self, value: str) -> str:
        """A path, argument or variable's value, for a key."""
        return os.fsdecode(_pattern(self.names).sub(lambda found: self._marker_of(found.group()), os.fsencode(value)))

    def words(self, values: Sequence[str]) -> tuple[str, ...]:
        """Several of them."""
        return tuple(self.word(value) for value in values) if self.names else tuple(values)

    def arguments(self, values: Sequence[str]) -> tuple[str, ...]:
        """Arguments of a C-like compiler, where a path may follow an option's letters: `-I/home/me`."""
        if not self.names:
            return tuple(values)
        joined = _pattern(self.names, joined=True)
        return tuple(
            os.fsdecode(joined.sub(lambda found: self._marker_of(found.group()), os.fsencode(value)))
            if value[:1] in "-/"
            else self.word(value)
            for value in values
        )

    def named_in(self, texts: Sequence[bytes]) -> tuple[str, ...]:
        """The directories that one of these names; an inner one's name holds the outer one's, which is then not a name of its own."""
        return tuple(root for root in self.names if any(_occurs(root, self.names, text) for text in texts))


def _occurs(root: str, names: Sequence[str], text: bytes) -> bool:
    wanted = os.fsencode(root)
    inner = [os.fsencode(name) for name in names if name.startswith(root + "/")]
    at = text.find(wanted)
    while at >= 0 and any(text.startswith(name, at) for name in inner):
        at = text.find(wanted, at + 1)
    return at >= 0


@lru_cache(maxsize=64)
def _pattern(names: tuple[str, ...], *, joined: bool = False) -> re.Pattern[bytes]:
    """Finds the directories where a path begins, as whole components; `joined`: also behind the letters of an option."""
    roots = sorted((os.fsencode(root) for root in names), key=len, reverse=True)
    before = rb"(?<![./+@~])" if joined else rb"(?<![\w./+@~-])"
    return re.compile(before + rb"(?:" + b"|".join(map(re.escape, roots)) + rb")(?![\w.+@~-])" if roots else rb"(?!)")


def find(settings: Sequence[str], cwd: str, out_dir: str) -> ObservedRoots:
    """The roots of a compile in `cwd` that writes to `out_dir` (absolute)."""
    home = basedirs.root_of(cwd, settings) or cwd.rstrip("/")
    target = _target_directory(out_dir) if out_dir else ""
    if not home:
        return ObservedRoots((), is_plain=True)
    names = (home, target) if target and target != home else (home,)
    return ObservedRoots(names, is_plain=all(_PLAIN.fullmatch(root) for root in names))


def _target_directory(out_dir: str) -> str:
    """The directory that cargo marked as its own; empty if there is none."""
    place = os.path.normpath(out_dir)
    for _ in range(_MAX_LEVELS):
        if len(place) <= 1:
            break
        if os.path.exists(os.path.join(place, _TARGET_TAG)):
            return place
        place = os.path.dirname(place)
    return ""
