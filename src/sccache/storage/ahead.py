"""Objects fetched before a compile asks for them, from one remote level (docs/decisions/0014).

A guess is an object that the trail says comes next.  It waits for its turn, then is under way, then is held in memory until it is
taken; one that nobody takes is dropped.  It is only ever a blob that the service gave: whoever takes it judges it as any other.
Owns: the bounds of guessing, what is held.  Must not know: trails' format, what is in a blob, other levels.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from sccache.errors import StorageError, Trouble
from sccache.storage.base import Kind
from sccache.storage.remote import Remote
from sccache.storage.trail import Trail
from sccache.storage.window import Window

MAX_REQUESTS = 16
MAX_BESIDE = 8  # requests, while a compile waits for something that was not guessed
MAX_GUESSES = 512
MAX_BYTES = 64 << 20  # of blobs that nobody has taken
KEEP_S = 60.0
DENIED_PAUSE_S = 60.0
MAX_WINDOWS = 64


class _Guess(Struct, eq=False):
    key: str
    kind: Kind
    window: Window
    made_s: float
    blob: bytes | None = None
    is_under_way: bool = False
    is_taken: bool = False
    """A compile wants it: it is not a guess any more."""


class Ahead:
    """The guesses at one level; all methods run in its event loop."""

    def __init__(self, remote: Remote, is_near: Callable[[str, Kind], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """`is_near` tells what need not be fetched."""
        self.is_near = is_near
        self._remote = remote
        self._clock = clock
        self._windows: dict[str, Window] = {}
        self._guesses: dict[tuple[str, Kind], _Guess] = {}
        self._queue: deque[_Guess] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held_bytes = 0
        self._usual_bytes = 64 << 10
        self._waiting = 0
        self._paused_until_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    # ── the build's way ──────────────────────────────────────────────────────────────────────────────────────────────

    def follow(self, name: str, trail: Trail, walked: Sequence[str]) -> None:
        """Guess along this trail from now on; `walked`: manifests that were used already, the last one last."""
        window = self._windows[name] = Window(trail)
        for key in walked:
            window.saw(key, self._clock())
        if len(self._windows) > MAX_WINDOWS:
            del self._windows[next(iter(self._windows))]
        for key in walked[-1:]:
            self.passed(key)

    async def get(self, key: str, kind: Kind) -> bytes | None:
        """As `Remote.get`, at once where it was guessed; a guess that is under way is joined."""
        if not self._windows:
            return await self._remote.get(key, kind)
        guess = self._guesses.get((key, kind))
        if guess is not None:
            self.forget(key, kind)
            guess.is_taken = True
            if kind is Kind.ENTRY:
                guess.window.right()
        self.passed(key)
        if guess is not None and guess.blob is not None:
            self._remote.stats.used_ahead += 1
            return guess.blob
        if guess is not None and guess.is_under_way:
            return await self._remote.get(key, kind)
        self._waiting += 1
        try:
            return await self._remote.get(key, kind)
        finally:
            self._waiting -= 1
            self._start()

    def passed(self, key: str) -> None:
        """The build is at this object: guess what comes next."""
        if self._remote.is_reading and self._clock() >= self._paused_until_s:
            for window in self._windows.values():
                for manifest, entry in window.passed(key, self._clock()):
                    self._guess(manifest, Kind.MANIFEST, window)
                    self._guess(entry, Kind.ENTRY, window)
        self._start()

    def led_to(self, manifest: str, entry: str) -> None:
        """This manifest leads to this entry now: another one that was guessed is of no use."""
        for window in self._windows.values():
            expected = window.expected(manifest)
            if expected is not None and expected != entry:
                self._give_up(self._guesses.get((expected, Kind.ENTRY)))

    def forget(self, key: str, kind: Kind) -> None:
        """The object changes, or is not to be given again."""
        guess = self._guesses.pop((key, kind), None)
        if guess is not None:
            self._held_bytes -= len(guess.blob or b"")

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _guess(self, key: str, kind: Kind, window: Window) -> None:
        if (key, kind) in self._guesses or len(self._guesses) >= MAX_GUESSES:
            return
        if self.is_near(key, kind) or self._remote.is_asked(key, kind):
            return
        guess = self._guesses[key, kind] = _Guess(key, kind, window, self._clock())
        self._queue.append(guess)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEEP_S, self._tick)

    def _start(self) -> None:
        while self._queue and self._has_room():
            guess = self._queue.popleft()
            if self._is_wanted(guess):
                guess.is_under_way = True
                task = asyncio.get_running_loop().create_task(self._fetch(guess))
                self._tasks.add(task)
                task.add_done_callback(self._ended)

    def _has_room(self) -> bool:
        most = MAX_BESIDE if self._waiting else MAX_REQUESTS
        return len(self._tasks) < most and self._held_bytes + (len(self._tasks) + 1) * self._usual_bytes <= MAX_BYTES

    def _is_wanted(self, guess: _Guess) -> bool:
        return self._guesses.get((guess.key, guess.kind)) is guess

    async def _fetch(self, guess: _Guess) -> None:
        if not self._remote.is_reading:
            self._give_up(guess)
            return
        try:
            blob = await self._remote.get(guess.key, guess.kind)
        except StorageError as e:
            if e.trouble is Trouble.DENIED:
                self._paused_until_s = self._clock() + DENIED_PAUSE_S
            self._give_up(guess)
            self._give_up_waiting()
            return
        if blob is None:
            self._give_up(guess)
            return
        self._remote.stats.fetched_ahead += 1
        self._usual_bytes = (7 * self._usual_bytes + len(blob)) // 8
        if guess.is_taken:
            self._remote.stats.used_ahead += 1
        elif self._held_bytes + len(blob) > MAX_BYTES:
            self._give_up(guess)
        elif self._is_wanted(guess):
            guess.blob = blob
            self._held_bytes += len(blob)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it cost nobody anything
            self._start()

    def _give_up(self, guess: _Guess | None) -> None:
        if guess is not None:
            guess.window.wrong()
            if self._is_wanted(guess):
                self.forget(guess.key, guess.kind)

    def _give_up_waiting(self) -> None:
        for guess in self._queue:
            if self._is_wanted(guess):
                self.forget(guess.key, guess.kind)
        self._queue.clear()

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tick(self) -> None:
        self._timer = None
        self.drop_unused()
        if self._guesses:
            self._timer = asyncio.get_running_loop().call_later(KEEP_S / 4, self._tick)

    def drop_unused(self) -> None:
        """Drop what nobody has asked for since KEEP_S."""
        limit_s = self._clock() - KEEP_S
        for guess in [guess for guess in self._guesses.values() if guess.made_s <= limit_s]:
            self._give_up(guess)
        self._start()

    async def aclose(self) -> None:
        """End all requests."""
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
