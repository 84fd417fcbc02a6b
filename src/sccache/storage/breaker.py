"""The circuit breaker: when a storage that fails is left alone, and when it is asked again.  Pure: time is told to it.

    closed ── failures enough of a kind ──▶ open ── the pause is over: one request as probe ──▶ closed, or open for twice as long

Owns: how many failures of each kind are enough, how long pauses are.  Must not know: clocks, storages.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from msgspec import Struct

from sccache.errors import StorageError, Trouble

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
DENIED_PAUSE_S = 300.0  # credentials do not mend themselves; new ones in the environment make a new storage anyway
RATE_LIMIT_PAUSE_S = 5.0
LONGEST_RATE_LIMIT_S = 300.0
OPENS_AFTER = {
    Trouble.UNREACHABLE: 1,
    Trouble.BAD_TLS: 1,
    Trouble.WRONG_PLACE: 1,
    Trouble.RATE_LIMITED: 1,
    Trouble.READ_ONLY: 1,
    Trouble.TIMED_OUT: 2,
    Trouble.ERROR: 3,
}
"""Failures of one kind without a success between, after which the storage is left alone; other kinds say nothing about it.

Denied reads are not here: a reader of S3 who may not list the bucket is told 403 of each object that is not there."""
ABOUT_THE_SERVER = frozenset({Trouble.UNREACHABLE, Trouble.BAD_TLS, Trouble.WRONG_PLACE})
"""Troubles that reads and writes have in common."""


class Permit(Struct, frozen=True):
    """Leave to make a request."""

    epoch: int
    """Of the breaker when it was given: changes whenever the circuit opens, lets a probe through or closes."""


class Breaker:
    """One direction (reads, or writes) of one storage."""

    def __init__(self, jitter: Callable[[], float], opens_after: Mapping[Trouble, int] = OPENS_AFTER) -> None:
        """`jitter` gives numbers from 0 to 1: many machines must not come back at one moment."""
        self._jitter = jitter
        self._opens_after = opens_after
        self._counts: Counter[Trouble] = Counter()
        self._pause_s = FIRST_PAUSE_S
        self._open_until_s: float | None = None
        self._is_probing = False
        self._epoch = 0
        self.reason: StorageError | None = None
        """Why it is open."""

    @property
    def is_closed(self) -> bool:
        """Whether requests go through."""
        return self._open_until_s is None

    def permit(self, now_s: float) -> Permit | None:
        """Leave to make a request; after the pause a single one gets it, whose outcome decides."""
        if self._open_until_s is not None:
            if self._is_probing or now_s < self._open_until_s:
                return None
            self._is_probing = True
            self._epoch += 1
        return Permit(self._epoch)

    def ticket(self) -> Permit:
        """What a request holds that asked for no leave."""
        return Permit(self._epoch)

    def wait_s(self, now_s: float) -> float:
        """How long until a request may be made."""
        return 0.0 if self._open_until_s is None else max(self._open_until_s - now_s, 0.0)

    def succeeded(self) -> bool:
        """A request did, be it an old one; True if that closed the circuit."""
        self._counts.clear()
        if self._open_until_s is None:
            return False
        self._open_until_s, self._is_probing, self._pause_s, self.reason = None, False, FIRST_PAUSE_S, None
        self._epoch += 1
        return True

    def abandoned(self, permit: Permit) -> None:
        """A request ended without telling anything about the storage (cancelled)."""
        if permit.epoch == self._epoch:
            self._is_probing = False

    def failed(self, error: StorageError, now_s: float, permit: Permit) -> bool:
        """A request did; True if that opened the circuit.

        What becomes of a request from before the circuit opened or closed is of no interest, least of all as a probe's outcome.
        """
        if permit.epoch != self._epoch:
            return False
        if self._open_until_s is not None:
            if self._is_probing:
                self._open(error, now_s)
            return False
        self._counts[error.trouble] += 1
        limit = self._opens_after.get(error.trouble)
        return limit is not None and self._counts[error.trouble] >= limit and self.open(error, now_s)

    def open(self, error: StorageError, now_s: float) -> bool:
        """Leave the storage alone from now on; False if that is so already."""
        if self._open_until_s is not None:
            return False
        self._open(error, now_s)
        return True

    def _open(self, error: StorageError, now_s: float) -> None:
        self._is_probing = False
        self._epoch += 1
        self._counts.clear()
        self.reason = error
        self._open_until_s = now_s + self._next_pause_s(error)

    def _next_pause_s(self, error: StorageError) -> float:
        if error.trouble is Trouble.RATE_LIMITED:
            wanted = RATE_LIMIT_PAUSE_S if error.retry_after_s is None else error.retry_after_s
            return min(wanted, LONGEST_RATE_LIMIT_S) + self._jitter()
        if error.trouble in (Trouble.DENIED, Trouble.READ_ONLY):
            return DENIED_PAUSE_S
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s * (0.5 + self._jitter() / 2)
