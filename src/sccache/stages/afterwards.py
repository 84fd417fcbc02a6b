"""What every pipeline does around a compile: keeping after the answer, counting why a storage did not tell.

Owns: these two.  Must not know: languages.
"""

from collections.abc import Coroutine
from typing import Any

from sccache.errors import Trouble
from sccache.stages.flights import Flight
from sccache.stages.hands import StoreSoon
from sccache.stages.lookup import Miss
from sccache.stats import Stats


def keep_soon(store_soon: StoreSoon, work: Coroutine[Any, Any, None], flight: Flight) -> None:
    """Have something kept after the answer; who waits for it is told when it can be found."""

    async def keep() -> None:
        try:
            await work
            flight.land(kept=True)
        finally:
            flight.land(kept=False)

    if store_soon(keep()):
        flight.keep_later()
    else:
        work.close()


def count_trouble(stats: Stats, miss: Miss) -> None:
    """Count that a storage failed, if it did."""
    if miss.trouble is Trouble.TIMED_OUT:
        stats.count("cache_timeouts")
    elif miss.trouble is not None or miss.damaged:
        stats.count("cache_read_errors")


def not_kept(stats: Stats, reason: str, compile_ns: int) -> None:
    """Count a compile that succeeded and whose result must not be kept."""
    stats.compiled(compile_ns)
    stats.count("non_cacheable_compilations")
    stats.not_cached[reason] = stats.not_cached.get(reason, 0) + 1
