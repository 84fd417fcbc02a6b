"""How slowly a client may send to a worker, or take from it: who is slower has gone, and its place is another's.

Only time that is spent waiting for the client counts: a worker whose disk is slow blames nobody for it.

Owns: these bounds, reading a body within them.  Must not know: what is in a body.
"""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from msgspec import Struct

from sccache.dist.worker_counts import RefusedError


class Pace(Struct, frozen=True):
    """Least that is expected of a client."""

    silence_s: float = 30.0
    """Nothing comes, or is taken, for so long: it has gone."""
    grace_s: float = 60.0
    """From then on the average counts: one byte now and then would hold a place for ever."""
    bytes_per_s: float = 64 << 10
    """A link that is slower than half a megabit is no use to anybody on a farm."""
    most_s: float = 900.0
    """For a whole body, however fast it is."""

    def left_s(self, waited_s: float, count: int) -> float:
        """How much longer one who has brought `count` bytes may be waited for; not above 0: no longer."""
        average_s = self.grace_s + count / self.bytes_per_s - waited_s
        return min(self.silence_s, average_s, self.most_s - waited_s)

    def whole_s(self, count: int) -> float:
        """How long one may take for a body of `count` bytes that is there."""
        return min(self.grace_s + count / self.bytes_per_s, self.most_s)


class CutOffError(ConnectionError):
    """A request ended before its body did."""


def check_length(request: web.Request, limit: int) -> None:
    """RefusedError if more is announced than is taken."""
    if (request.content_length or 0) > limit:
        raise RefusedError(413, "too_large", f"The body is longer than the {limit} bytes that are taken")


async def pieces(request: web.Request, pace: Pace) -> AsyncIterator[bytes]:
    """A body; RefusedError if it comes too slowly, CutOffError."""
    waited_s, count = 0.0, 0
    now = asyncio.get_running_loop().time
    try:
        while True:
            since = now()
            async with asyncio.timeout(max(0.0, pace.left_s(waited_s, count))):
                data = await request.content.readany()
            if not data:
                return
            waited_s += now() - since
            count += len(data)
            yield data
    except TimeoutError:
        raise RefusedError(408, "slow", f"The body comes too slowly: {count} bytes so far") from None
    except (ConnectionError, web.RequestPayloadError) as e:
        raise CutOffError("the request was cut off") from e
