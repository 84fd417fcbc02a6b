"""Where a compile goes when the farm has no place: to a core of this machine, or into the queue, whichever is sooner.  Pure.

    take ──▶ a local core is free: it is kept for this compile         wait ──▶ told as soon as one gets free
    local() ──▶ a local compile runs, on the core that was kept for it if there was one

Owns: counting local compiles, whose turn it is for a local core.  Must not know: the farm, what is compiled; the clock is given.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROMISE_S = 2.0
"""How long a core is kept for a compile that was told to run here: it starts at once, or never."""


class Placement:
    """The cores of this machine."""

    def __init__(self, cores: int, clock: Callable[[], float]) -> None:
        """`cores` compiles may run here beside those of a farm; `clock` gives seconds and never goes back."""
        self.cores = max(cores, 1)
        self._clock = clock
        self._running = 0
        self._promised: deque[float] = deque()
        """When each promise ends; the oldest first."""
        self._waiting: OrderedDict[int, Callable[[], None]] = OrderedDict()
        self._last_ticket = 0

    @property
    def running(self) -> int:
        """How many compiles run here, those that were told to, too."""
        now = self._clock()
        while self._promised and self._promised[0] <= now:
            self._promised.popleft()
        return self._running + len(self._promised)

    @contextmanager
    def local(self) -> Iterator[None]:
        """A compile runs here, whether there is a core for it or not."""
        if self._promised:
            self._promised.popleft()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._offer()

    def take(self) -> bool:
        """Keep a core for a compile that is to start now; False if none is free, or others wait for one."""
        if self._waiting or self.running >= self.cores:
            return False
        self._promise()
        return True

    def wait(self, told: Callable[[], None]) -> int:
        """Stand in line for a core; `told` is called once, when one is kept for this compile.  Gives a ticket to leave with."""
        self._last_ticket += 1
        self._waiting[self._last_ticket] = told
        self._offer()
        return self._last_ticket

    def leave(self, ticket: int) -> None:
        """It needs no core any more, though one may have been kept for it just now: that goes to the next."""
        if self._waiting.pop(ticket, None) is None and self._promised:
            self._promised.pop()
        self._offer()

    def _offer(self) -> None:
        while self._waiting and self.running < self.cores:
            _, told = self._waiting.popitem(last=False)
            self._promise()
            told()

    def _promise(self) -> None:
        self._promised.append(self._clock() + PROMISE_S)
