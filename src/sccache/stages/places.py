"""Who is writing where: what two compiles wrote into one file at a time is nobody's result.

Owns: the visits to output paths that are going on now.  Must not know: what is written.
"""

import threading
from collections.abc import Iterable


class Visit:
    """One compile, or one hit, writing its outputs."""

    __slots__ = ("alone", "paths")

    def __init__(self, paths: tuple[str, ...]) -> None:
        self.paths = paths
        self.alone = True
        """Nobody else has written to any of the paths meanwhile."""


class Places:
    """All visits of a daemon; thread-safe, because large hits are written by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[str, list[Visit]] = {}

    def enter(self, paths: Iterable[str]) -> Visit:
        """Begin to write to these paths."""
        visit = Visit(tuple(paths))
        with self._lock:
            for path in visit.paths:
                others = self._busy.get(path)
                if others is None:
                    self._busy[path] = [visit]
                    continue
                visit.alone = False
                for other in others:
                    other.alone = False
                others.append(visit)
        return visit

    def leave(self, visit: Visit) -> None:
        """Have written; a second time does nothing."""
        with self._lock:
            for path in visit.paths:
                others = self._busy.get(path, [])
                if visit in others:
                    others.remove(visit)
                if not others:
                    self._busy.pop(path, None)
