"""The circuit breaker: when a storage that fails is left alone, and when it is asked again.  Pure: time is told to it.

    closed ── failures enough for their kind ──▶ open ── the pause is over: one request as probe ──▶ closed, or open for twice as long

Owns: how many failures of each kind are enough, how long pauses are.  Must not know: clocks, storages.
"""

from collections.abc import Callable

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
    Trouble.DENIED: 20,  # a reader of S3 who may not list the bucket is told 403 of each object that is not there
}
"""Failures in a row, counted together, after which the storage is left alone; what is not here says nothing about the storage."""
ABOUT_THE_SERVER = frozenset({Trouble.UNREACHABLE, Trouble.BAD_TLS, Trouble.WRONG_PLACE})
"""Troubles that reads and writes have in common."""


class Breaker:
    """One direction (reads, or writes) of one storage."""

    def __init__(self, jitter: Callable[[], float], opens_after: dict[Trouble, int] | None = None) -> None:
        """`jitter` gives numbers from 0 to 1: many machines must not come back at one moment."""
        self._jitter = jitter
        self._opens_after = OPENS_AFTER | (opens_after or {})
        self._in_a_row = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until_s: float | None = None
        self._is_probing = False
        self.reason: StorageError | None = None
        """Why it is open."""

    @property
    def is_closed(self) -> bool:
        """Whether requests go through."""
        return self._open_until_s is None

    def permits(self, now_s: float) -> bool:
        """Whether a request may be made; after the pause a single one may, whose outcome decides."""
        if self._open_until_s is None:
            return True
        if self._is_probing or now_s < self._open_until_s:
            return False
        self._is_probing = True
        return True

    def wait_s(self, now_s: float) -> float:
        """How long until a request may be made."""
        return 0.0 if self._open_until_s is None else max(self._open_until_s - now_s, 0.0)

    def succeeded(self) -> bool:
        """A request did; True if that closed the circuit."""
        was_open = self._open_until_s is not None
        self._open_until_s, self._is_probing, self._in_a_row, self._pause_s, self.reason = None, False, 0, FIRST_PAUSE_S, None
        return was_open

    def abandoned(self) -> None:
        """A request ended without telling anything about the storage (cancelled)."""
        self._is_probing = False

    def failed(self, error: StorageError, now_s: float) -> bool:
        """A request did; True if that opened the circuit."""
        limit = self._opens_after.get(error.trouble)
        if limit is None:
            self.abandoned()
            return False
        was_open = self._open_until_s is not None
        self._in_a_row += 1
        if not was_open and self._in_a_row < limit:
            return False
        if was_open and not self._is_probing and now_s < (self._open_until_s or 0.0):
            return False  # a request from before it opened
        self._is_probing = False
        self.reason = error
        self._open_until_s = now_s + self._next_pause_s(error)
        return not was_open

    def _next_pause_s(self, error: StorageError) -> float:
        if error.trouble is Trouble.RATE_LIMITED:
            wanted = RATE_LIMIT_PAUSE_S if error.retry_after_s is None else error.retry_after_s
            return min(wanted, LONGEST_RATE_LIMIT_S) + self._jitter()
        if error.trouble in (Trouble.DENIED, Trouble.READ_ONLY):
            return DENIED_PAUSE_S
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s * (0.5 + self._jitter() / 2)
