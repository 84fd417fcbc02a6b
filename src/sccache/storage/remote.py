"""A storage of a backend: what keeps a service that is slow, full, broken or gone out of the way of builds.

Owns: deadlines, retries, the circuit breakers, joined reads, limits, what is counted, hiding secrets.
Must not know: any backend, what is in a blob, other levels.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from msgspec import Struct

from sccache.config.schema import RemoteLimits
from sccache.errors import StorageError, Trouble
from sccache.stats import RemoteStats
from sccache.storage.base import CHECK_NAME, Access, Backend, Kind, object_name
from sccache.storage.breaker import ABOUT_THE_SERVER, OPENS_AFTER, Breaker, Permit
from sccache.storage.redaction import Redactor

log = logging.getLogger(__name__)

FIRST_CONTACT_S = 3.0  # the deadline of a service that never answered: it may not exist at all
READ_TRIES, WRITE_TRIES = 2, 3
RETRY_PAUSE_S = 0.1
CLOSE_DEADLINE_S = 5.0
DOUBTFUL_DENIALS = 20
"""Reads denied one after the other, after which it is found out whether anything may be read."""
SLOWEST_UPLOAD_BYTES_PER_S = 1 << 20
CHECK_BLOB = b"Hello, World!"
WORTH_A_RETRY = frozenset({Trouble.ERROR, Trouble.UNREACHABLE, Trouble.TIMED_OUT})
READS_OPEN_AFTER = {**OPENS_AFTER, Trouble.TIMED_OUT: 1}  # a compile has several reads, and waits for the first one only
WRITES_OPEN_AFTER = {**OPENS_AFTER, Trouble.DENIED: 3}
COUNTERS = {
    Trouble.DENIED: "denied",
    Trouble.RATE_LIMITED: "rate_limited",
    Trouble.TIMED_OUT: "timed_out",
    Trouble.UNREACHABLE: "unreachable",
}
"""Under which counter a failed read goes; all others are errors."""

T = TypeVar("T")


class Surroundings(Struct, frozen=True):
    """Time and chance, which tests bring along."""

    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class Remote:
    """Blobs in a remote service.  Making one does no I/O; all methods run in one event loop."""

    def __init__(
        self,
        backend: Backend,
        limits: RemoteLimits,
        *,
        read_only: bool = False,
        redact: Redactor | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._read_only = read_only
        self._redact = redact or Redactor(())
        self._around = surroundings or Surroundings()
        self._reads = Breaker(self._around.jitter, READS_OPEN_AFTER)
        self._writes = Breaker(self._around.jitter, WRITES_OPEN_AFTER)
        self._doubt: StorageError | None = None
        """Reading was denied where that may only mean that the object is not there."""
        self._flights: dict[str, asyncio.Task[bytes | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._denied_in_a_row = 0
        self._has_answered = False
        self.stats = RemoteStats(backend.type_name, backend.location())

    @property
    def type_name(self) -> str:
        """What levels call it."""
        return self._backend.type_name

    @property
    def is_writable(self) -> bool:
        """Whether the settings let us write; that the service does is another matter."""
        return not self._read_only

    @property
    def is_reading(self) -> bool:
        """Whether reads go to the service now."""
        return self._reads.is_closed

    def is_asked(self, key: str, kind: Kind) -> bool:
        """Whether a read of this object is under way."""
        return object_name(key, kind) in self._flights

    def location(self) -> str:
        """As the statistics show it."""
        return self._backend.location()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def get(self, key: str, kind: Kind) -> bytes | None:
        """The blob, None if there is none; callers that ask for the same at a time share one request."""
        name = object_name(key, kind)
        flight = self._flights.get(name)
        if flight is None:
            self._refuse_reads()
            flight = self._flights[name] = asyncio.get_running_loop().create_task(self._read(name))
            flight.add_done_callback(lambda done: self._landed(name, done))
        try:
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise StorageError(f"{self.type_name} is being closed") from None

    def _landed(self, name: str, flight: asyncio.Task[bytes | None]) -> None:
        self._flights.pop(name, None)
        if not flight.cancelled():
            flight.exception()  # if nobody waited for it any more, nobody needs to hear of it

    def _refuse_reads(self) -> None:
        """Raise where the service is left alone; when the pause is over, see in the background how it is."""
        if self._reads.is_closed:
            return
        permit = self._reads.permit(self._around.clock())
        if permit is not None:
            self._in_background(self._probe(permit))
        self.stats.skipped += 1
        raise _again(self._reads.reason)

    async def _probe(self, permit: Permit) -> None:
        with contextlib.suppress(StorageError):  # it is noted
            await self._attempt(lambda: self._backend.read(CHECK_NAME), self._first_deadline_s(), self._reads, permit)

    async def _read(self, name: str) -> bytes | None:
        try:
            blob = await self._tried(lambda: self._backend.read(name), READ_TRIES, self._first_deadline_s(), self._reads)
        except StorageError as e:
            counter = COUNTERS.get(e.trouble, "errors")
            setattr(self.stats, counter, getattr(self.stats, counter) + 1)
            raise
        if blob is None:
            self.stats.misses += 1
        else:
            self.stats.hits += 1
        return blob

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def put(self, key: str, kind: Kind, blob: bytes) -> None:
        """Keep `blob`; StorageError if it is not kept."""
        if self._read_only:
            raise StorageError("storage is read-only", Trouble.READ_ONLY)
        if len(blob) > self._limits.max_entry_bytes:
            raise StorageError(f"{len(blob)} bytes are more than SCCACHE_REMOTE_MAX_ENTRY_SIZE allows", Trouble.TOO_LARGE)
        permit = self._writes.permit(self._around.clock())
        if permit is None:
            self.stats.write_failures += 1
            raise _again(self._writes.reason)
        name = object_name(key, kind)
        deadline_s = self._limits.timeout_s + len(blob) / SLOWEST_UPLOAD_BYTES_PER_S
        try:
            await self._tried(lambda: self._backend.write(name, blob), WRITE_TRIES, deadline_s, self._writes, permit)
        except StorageError:
            self.stats.write_failures += 1
            raise
        self.stats.writes += 1

    def write_pause_s(self) -> float:
        """How long the service wants no writes because there were too many; 0 where it is about nothing else than that."""
        reason = self._writes.reason
        if reason is None or reason.trouble is not Trouble.RATE_LIMITED:
            return 0.0
        return self._writes.wait_s(self._around.clock())

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _tried(
        self, request: Callable[[], Awaitable[T]], tries: int, deadline_s: float, breaker: Breaker, permit: Permit | None = None
    ) -> T:
        """Make a request, again where that may help; a write has the deadline for each try, a read for all of them."""
        end_s = self._around.clock() + deadline_s * (tries if breaker is self._writes else 1)
        for left in range(tries - 1, -1, -1):
            try:
                return await self._attempt(request, min(deadline_s, end_s - self._around.clock()), breaker, permit)
            except StorageError as e:
                pause_s = RETRY_PAUSE_S * (tries - left) * (0.5 + self._around.jitter())
                is_useful = e.trouble in WORTH_A_RETRY and breaker.is_closed and self._around.clock() + pause_s < end_s
                if left == 0 or not is_useful:
                    raise
            await self._around.pause(pause_s)
        raise AssertionError(tries)

    async def _attempt(self, request: Callable[[], Awaitable[T]], deadline_s: float, breaker: Breaker, permit: Permit | None = None) -> T:
        permit = permit or breaker.ticket()
        try:
            async with asyncio.timeout(max(deadline_s, 0.0)):
                result = await request()
        except asyncio.CancelledError:
            if _is_cancelled():
                breaker.abandoned(permit)
                raise
            error = StorageError(f"a request to {self.type_name} was given up")  # by the library: nobody here wanted that
        except TimeoutError:
            error = StorageError(f"no answer from {self.type_name} in time", Trouble.TIMED_OUT)
        except StorageError as e:
            error = StorageError(self._redact(str(e)), e.trouble, retry_after_s=e.retry_after_s)
        except Exception as e:  # noqa: BLE001 -- a library's surprise must not reach a build
            error = StorageError(self._redact(f"{type(e).__name__}: {e}"))
        else:
            self._answered(breaker)
            return result
        self._failed(error, breaker, permit)
        raise error

    def _answered(self, breaker: Breaker) -> None:
        self._has_answered = True
        if breaker is self._reads:
            self._doubt, self._denied_in_a_row = None, 0
        other, reason = self._other(breaker), breaker.reason
        if breaker.succeeded():
            log.info("%s answers again", self.type_name)
        if other.reason is not None and (other.reason is reason or other.reason.trouble in ABOUT_THE_SERVER):
            other.succeeded()

    def _failed(self, error: StorageError, breaker: Breaker, permit: Permit) -> None:
        if error.trouble not in (*ABOUT_THE_SERVER, Trouble.TIMED_OUT):
            self._has_answered = True
        log.debug("%s: %s: %s", self.type_name, error.trouble.value, error)
        now_s = self._around.clock()
        if error.trouble is Trouble.DENIED and breaker is self._reads:
            self._denied_in_a_row += 1
            if self._denied_in_a_row == DOUBTFUL_DENIALS:
                self._in_background(self._confirm_denial())
        has_opened = breaker.failed(error, now_s, permit)
        if has_opened:
            log.warning("%s", self._sentence(breaker))
            is_silent = error.trouble is Trouble.TIMED_OUT and breaker is self._reads  # slow uploads say nothing about reads
            if is_silent or error.trouble in ABOUT_THE_SERVER:
                self._other(breaker).open(error, now_s)

    async def _confirm_denial(self) -> None:
        """Objects that are not there are denied, too, on S3: ask for one that is, unless nobody ever wrote it."""
        with contextlib.suppress(StorageError):  # another trouble is noted
            denied = await self._check_read()
            self._denied_in_a_row = 0
            if denied is not None and self._read_only:
                self._doubt = denied
            elif denied is not None:
                self._leave_alone(self._reads, denied)

    def _other(self, breaker: Breaker) -> Breaker:
        return self._writes if breaker is self._reads else self._reads

    def _first_deadline_s(self) -> float:
        return self._limits.timeout_s if self._has_answered else min(self._limits.timeout_s, FIRST_CONTACT_S)

    def _in_background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ── state ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def check(self) -> Access:
        """Read and, unless the settings say read-only, write a small object (reference 8.7); StorageError if not even reading works."""
        denied = await self._check_read()
        if self._read_only:
            if denied is not None:
                self._doubt = denied
                raise denied
            return Access.READ_ONLY
        refused = await self._check_write()
        # S3 denies a missing object to those who may not list the bucket; if it could be written it is not missing now.
        if denied is not None and (refused is not None or (denied := await self._check_read()) is not None):
            self._leave_alone(self._reads, denied)
            if refused is not None:
                self._leave_alone(self._writes, denied)
            raise denied
        if refused is not None and refused.trouble is Trouble.DENIED:
            self._leave_alone(self._writes, StorageError(str(refused), Trouble.READ_ONLY))
        return Access.READ_WRITE if refused is None else Access.READ_ONLY

    async def _check_read(self) -> StorageError | None:
        """Read the check's object; that it is denied may not mean much, any other failure is raised."""
        try:
            await self._attempt(lambda: self._backend.read(CHECK_NAME), self._first_deadline_s(), self._reads)
        except StorageError as e:
            if e.trouble is Trouble.DENIED:
                return e
            if e.trouble is not Trouble.RATE_LIMITED:
                raise
        return None

    async def _check_write(self) -> StorageError | None:
        """Write the check's object; why that did not work."""
        try:
            await self._attempt(lambda: self._backend.write(CHECK_NAME, CHECK_BLOB), self._limits.timeout_s, self._writes)
        except StorageError as e:
            return None if e.trouble is Trouble.RATE_LIMITED else e
        return None

    def _leave_alone(self, breaker: Breaker, error: StorageError) -> None:
        if breaker.open(error, self._around.clock()):
            log.warning("%s", self._sentence(breaker))

    def notes(self) -> list[str]:
        """Sentences for the user about what does not work now."""
        if not self._reads.is_closed:
            return [self._sentence(self._reads)]
        doubt = [] if self._doubt is None else [f"{self.type_name} may not be readable: {self._doubt.trouble.value} ({self._doubt})."]
        return doubt if self._writes.is_closed else [*doubt, self._sentence(self._writes)]

    def _sentence(self, breaker: Breaker) -> str:
        error = breaker.reason
        if error is None:
            return ""
        wait_s = breaker.wait_s(self._around.clock())
        wait = f"it is asked again in {wait_s:.0f} s" if wait_s >= 1 else "it is being asked again"
        if breaker is self._writes and error.trouble not in ABOUT_THE_SERVER:
            return f"{self.type_name} takes no new results now: {error.trouble.value} ({error}); {wait}."
        return f"{self.type_name} is not used now: {error.trouble.value} ({error}); {wait}."

    async def aclose(self) -> None:
        """End requests and close connections, within a deadline; never raises."""
        pending: list[asyncio.Task[Any]] = [*self._flights.values(), *self._tasks]
        for task in pending:
            task.cancel()
        closing = asyncio.get_running_loop().create_task(self._backend.aclose())
        await asyncio.wait([*pending, closing], timeout=min(self._limits.timeout_s, CLOSE_DEADLINE_S))
        if not closing.done():
            closing.cancel()
        elif not closing.cancelled() and (error := closing.exception()) is not None:
            log.debug("%s: closing: %s", self.type_name, self._redact(f"{type(error).__name__}: {error}"))


def _is_cancelled() -> bool:
    """Whether somebody cancelled us, rather than something that we wait for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _again(reason: StorageError | None) -> StorageError:
    """What was said before, without asking."""
    if reason is None:
        return StorageError("left alone for a while")
    return StorageError(str(reason), reason.trouble)
