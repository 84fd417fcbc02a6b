"""Clients that wait for a place: each has its own line, and lines are served in turn, so that none is starved by one that asks for a lot.

Owns: whose turn it is, who is turned away when all is full, deadlines.  Must not know: workers, clocks.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from msgspec import Struct


class Waiting(Struct, frozen=True):
    """One request."""

    ticket: int
    """The shell's name for it."""
    client: str
    """Who asks: requests of one client stand in one line."""
    toolchain: str
    weight: int
    without: frozenset[str]
    since: float
    until: float


class Queue:
    """At most `limit` requests."""

    def __init__(self, limit: int) -> None:
        """Empty."""
        self._limit = limit
        self._all: dict[int, Waiting] = {}
        self._lines: OrderedDict[str, dict[int, Waiting]] = OrderedDict()
        """The client whose turn it is first."""
        self._deadlines: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._all.values())

    def add(self, waiting: Waiting) -> Waiting | None:
        """One more; gives the one that is to be turned away for it, if all was full: the last of the longest line, maybe itself."""
        line = self._lines.setdefault(waiting.client, {})
        line[waiting.ticket] = self._all[waiting.ticket] = waiting
        heappush(self._deadlines, (waiting.until, waiting.ticket))
        if len(self._all) <= self._limit:
            return None
        longest = max(self._lines.values(), key=len)
        if len(longest) == len(line):
            longest = line
        return self.remove(next(reversed(longest)))

    def remove(self, ticket: int) -> Waiting | None:
        """Served, or gone; None if it does not wait."""
        waiting = self._all.pop(ticket, None)
        if waiting is not None:
            line = self._lines[waiting.client]
            del line[ticket]
            if not line:
                del self._lines[waiting.client]
        return waiting

    def take(self, accepts: Callable[[Waiting], bool]) -> Waiting | None:
        """The next in turn of those that will do; its client goes to the end."""
        for client, line in self._lines.items():
            for waiting in line.values():
                if accepts(waiting):
                    self._lines.move_to_end(client)
                    return self.remove(waiting.ticket)
        return None

    def expired(self, now: float) -> Iterator[Waiting]:
        """Take out those whose time is over."""
        while self._deadlines and self._deadlines[0][0] <= now:
            waiting = self.remove(heappop(self._deadlines)[1])
            if waiting is not None:
                yield waiting
