"""Compiles under way: who asks for the same waits for the one that has begun, instead of compiling beside it.

    begin ─▶ the compile, and the keeping of its result ─▶ land(kept) ─▶ all who waited look again, or compile at once

One waits once and for a bounded time, and nobody queues: a landing wakes all at a time.
Owns: who waits for whom.  Must not know: what is compiled, where it is kept.
"""

import asyncio
from types import TracebackType
from typing import Self

WAIT_LIMIT_S = 60.0  # as long as sccache waits for a look-up; a longer compile is better done twice than awaited
MAX_FRUITLESS = 4096


class Flight:
    """One compile under way.  Leaving its context lands it, unless the keeping of its result was begun: then that does."""

    def __init__(self, flights: "Flights", key: str) -> None:
        self._flights = flights
        self._key = key
        self._is_kept_later = False
        self.landed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._is_kept_later:
            self.land(kept=False)

    def keep_later(self) -> None:
        """Somebody else calls `land`, once the result is kept or known not to be."""
        self._is_kept_later = True

    def land(self, *, kept: bool) -> None:
        """Wake all who wait; a second time does nothing."""
        if not self.landed.done():
            self.landed.set_result(kept)
            self._flights.forget(self._key, self, kept=kept)


class Flights:
    """The compiles under way of one pipeline, by manifest key."""

    def __init__(self, wait_limit_s: float = WAIT_LIMIT_S) -> None:
        self._wait_limit_s = wait_limit_s
        self._flying: dict[str, Flight] = {}
        self._fruitless: dict[str, None] = {}
        """Keys for which waiting was of no use the last time: compiles that fail, or whose result cannot be kept."""

    def begin(self, key: str) -> Flight:
        """A compile begins; others wait for it unless they wait for another of the same key already."""
        flight = Flight(self, key)
        self._flying.setdefault(key, flight)
        return flight

    async def joined(self, key: str) -> bool:
        """Wait for the compile of this key, if one is under way; whether its result was kept."""
        flight = self._flying.get(key)
        if flight is None or key in self._fruitless:
            return False
        try:
            async with asyncio.timeout(self._wait_limit_s):
                return await asyncio.shield(flight.landed)  # its result is for all who wait: one who leaves must not cancel it
        except TimeoutError:
            return False

    def was_in_vain(self, key: str) -> None:
        """Waiting did not lead to a hit: let nobody wait for this key until a compile of it was kept again."""
        if len(self._fruitless) >= MAX_FRUITLESS:
            self._fruitless.clear()
        self._fruitless[key] = None

    def forget(self, key: str, flight: Flight, *, kept: bool) -> None:
        """A flight has landed."""
        if self._flying.get(key) is flight:
            del self._flying[key]
        if kept:
            self._fruitless.pop(key, None)
        else:
            self.was_in_vain(key)
