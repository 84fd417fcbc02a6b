"""The trails of a daemon: notes which objects builds use, writes that down when they are quiet, and follows what others wrote.

Owns: when a trail is loaded, followed, written.  Must not know: what a directory is, how is guessed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct, field

from sccache.errors import DamagedError, StorageError
from sccache.storage import trail as trail_format
from sccache.storage.base import Kind
from sccache.storage.level import Level, RemoteLevel
from sccache.storage.trail import MAX_PAIRS, Pair, Trail
from sccache.storage.window import MOST_PAIRS
from sccache.storage.writes import Update

log = logging.getLogger(__name__)

QUIET_S = 5.0  # a build that used nothing for so long is taken to be over
MAX_DIRECTORIES = 256


class _Way(Struct, eq=False):
    """One directory."""

    run: dict[str, str] = field(default_factory=dict)
    """What the build has used so far: manifest's key → entry's."""
    known: Trail = Trail()
    """What is written down, as far as we know."""
    walked: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_PAIRS))
    """Manifests used lately."""
    is_loaded: bool = False


class Trails:
    """Those of one storage; all methods run in its event loop."""

    def __init__(self, levels: Sequence[Level], soon: Callable[[Coroutine[Any, Any, None]], None], quiet_s: float = QUIET_S) -> None:
        """`soon` does work in the background."""
        self._remotes = {number: level for number, level in enumerate(levels) if isinstance(level, RemoteLevel)}
        self._writable = [level for level in self._remotes.values() if level.is_writable]
        self._soon = soon
        self._quiet_s = quiet_s
        self._ways: dict[str, _Way] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._walked_s = 0.0

    def walked(self, name: Callable[[], str], pair: Pair, level: int | None) -> None:
        """A compile in the directory called `name()` uses this pair; `level` gave the manifest, None: the compile itself."""
        if not self._remotes or (level is not None and level not in self._remotes):
            return
        key = name()
        way = self._ways.get(key)
        if way is None:
            way = self._ways[key] = _Way()
            if len(self._ways) > MAX_DIRECTORIES:
                del self._ways[next(iter(self._ways))]
        way.walked.append(pair[0])
        if self._writable:
            self._note(way, pair)
        if level is None:
            return
        ahead = self._remotes[level].ahead
        ahead.led_to(*pair)
        if not way.is_loaded:
            way.is_loaded = True
            self._soon(self._load(key, way, self._remotes[level]))

    def _note(self, way: _Way, pair: Pair) -> None:
        if pair[0] in way.run or len(way.run) < MAX_PAIRS:
            way.run[pair[0]] = pair[1]
        loop = asyncio.get_running_loop()
        self._walked_s = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._quiet_s, self._look)

    async def _load(self, key: str, way: _Way, level: RemoteLevel) -> None:
        try:
            blob = await level.get(key, Kind.MANIFEST)
            if blob is None:
                return
            way.known = await asyncio.to_thread(trail_format.decode, blob, key)
        except (StorageError, DamagedError) as e:
            log.debug("no trail: %s", e)
            return
        level.ahead.follow(key, way.known, list(way.walked))

    def _look(self) -> None:
        """Write when the build is quiet; else look again when it may be."""
        loop = asyncio.get_running_loop()
        left_s = self._walked_s + self._quiet_s - loop.time()
        self._timer = loop.call_later(left_s, self._look) if left_s > 0 else None
        if self._timer is None:
            self._soon(self.write())

    async def write(self) -> None:
        """Have what builds used so far written down, where that is news."""
        for key, way in list(self._ways.items()):
            run, way.run = way.run, {}
            if way.known.lacks(run):
                way.known = way.known.with_run(run)
                for level in self._writable:
                    await level.store([Update(key, Kind.MANIFEST, _change(key, run))], _whatever_comes_of_it)

    def close(self) -> None:
        """Nothing is written from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _change(key: str, run: dict[str, str]) -> Callable[[bytes | None], bytes | None]:
    def change(blob: bytes | None) -> bytes | None:
        try:
            known = trail_format.decode(blob, key) if blob is not None else Trail()
        except DamagedError:
            known = Trail()
        return trail_format.encode(known.with_run(run), key) if known.lacks(run) else None

    return change


def _whatever_comes_of_it(error: StorageError | None, _: int) -> None:
    if error is not None:
        log.debug("a trail was not stored: %s", error)
