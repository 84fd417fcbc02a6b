"""How far to fetch ahead along a trail: little at first, twice as much with each guess that was right, less with each that was not.

Owns: that decision.  Must not know: time's source, requests, blobs.
"""

from sccache.storage.trail import Pair, Trail

FIRST_PAIRS = 4
MOST_PAIRS = 64
REPEAT_S = 30.0


class Window:
    """One trail, and where on it the build is."""

    def __init__(self, trail: Trail) -> None:
        self.size = FIRST_PAIRS
        """Pairs to be ahead."""
        self._pairs: list[Pair | None] = []
        self._places: dict[str, int] = {}
        self._seen_s: dict[int, float] = {}
        for run in trail.runs:
            for pair in run:
                for key in pair:
                    self._places.setdefault(key, len(self._pairs))
                self._pairs.append(pair)
            self._pairs.append(None)  # a run's end: nothing is guessed beyond it

    def passed(self, key: str, now_s: float) -> list[Pair]:
        """The build asks for this manifest or entry: what to fetch now, nearest first.

        What was passed or guessed within REPEAT_S is not guessed again: compiles do not come in exactly the same order.
        """
        place = self._places.get(key)
        if place is None:
            return []
        self.saw(key, now_s)
        guesses: list[Pair] = []
        for ahead in range(place + 1, min(place + 1 + self.size, len(self._pairs))):
            pair = self._pairs[ahead]
            if pair is None:
                break
            if now_s - self._seen_s.get(ahead, -REPEAT_S) >= REPEAT_S:
                self._seen_s[ahead] = now_s
                guesses.append(pair)
        return guesses

    def saw(self, key: str, now_s: float) -> None:
        """The build used this manifest or entry: it is not to be guessed."""
        place = self._places.get(key)
        if place is not None:
            self._seen_s[place] = now_s

    def expected(self, manifest: str) -> str | None:
        """The entry that this manifest led to the last time."""
        place = self._places.get(manifest)
        pair = None if place is None else self._pairs[place]
        return None if pair is None else pair[1]

    def right(self) -> None:
        """An entry that was guessed was asked for."""
        self.size = min(2 * self.size, MOST_PAIRS)

    def wrong(self) -> None:
        """A guess was of no use."""
        self.size = max(self.size // 2, 1)
