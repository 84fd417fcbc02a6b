"""The farms that a daemon sends compiles to, by the settings that they come from.

Owns: opening and closing them, what is told of settings that cannot be used.  Must not know: what is compiled.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from sccache.errors import ConfigError

if TYPE_CHECKING:  # what a farm needs takes a quarter of a second to import, and most daemons have none
    from sccache.config.schema import Config
    from sccache.stages.distribution import Distribution
    from sccache.stats import Stats

log = logging.getLogger(__name__)

CLOSE_DEADLINE_S = 5.0


class Farms:
    """One for each scheduler, with its settings, that any compile's settings name."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._opened: dict[bytes, Distribution | None] = {}
        self._notes: dict[bytes, str] = {}

    def get(self, config: Config) -> Distribution | None:
        """The farm of these settings; None where there is none, or where they cannot be used: `note` says why."""
        if config.dist.scheduler_url is None:
            return None
        key = _key(config)
        if key not in self._opened:
            self._opened[key] = self._open(config, key)
        return self._opened[key]

    def note(self, config: Config) -> str:
        """What is wrong with the farm of these settings just now, for the statistics; empty if nothing is."""
        farm = self._opened.get(_key(config))
        return self._notes.get(_key(config), "") or (farm.note() if farm is not None else "")

    async def aclose(self) -> None:
        """Close all connections."""
        farms = [farm for farm in self._opened.values() if farm is not None]
        self._opened.clear()
        for closing in asyncio.as_completed([asyncio.wait_for(farm.aclose(), CLOSE_DEADLINE_S) for farm in farms]):
            try:
                await closing
            except Exception:
                log.exception("a farm could not be closed")

    def _open(self, config: Config, key: bytes) -> Distribution | None:
        from sccache.stages import distribution

        try:
            return distribution.open_farm(config, self._stats)
        except (ConfigError, ImportError) as e:  # a library may be missing
            self._notes[key] = f"Compiles are not distributed: {e}"
            log.warning("%s", self._notes[key])
            return None


def _key(config: Config) -> bytes:
    return msgspec.json.encode((config.dist, config.cached_conf))
