"""Connections of the `redis` library that send a big value without copies of it.

Owns: in which pieces a command is sent.  Must not know: commands, addresses, pools.
Imports the library (150 ms): imported when a Redis is first asked.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

PIECE_BYTES = 256 << 10
"""More than a usual result; a few of these are what a connection holds besides the value itself."""

# The library's classes are mixed with ours; for the type checker the mixin is one of them.
if TYPE_CHECKING:
    Base = AbstractConnection
else:
    Base = object


class _InPieces(Base):
    """asyncio joins the buffers of a command and keeps a copy of what the socket does not take at once: thrice a value of 100 MB."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002 -- the library's
        """As the library, but big buffers piece by piece, waiting for each; ConnectionError if it ends in between."""
        if isinstance(command, bytes | str):
            await super().send_packed_command(command, check_health)
            return
        buffers = list(command)
        if sum(map(len, buffers)) <= PIECE_BYTES:
            await super().send_packed_command(buffers, check_health)
            return
        is_first = True
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), PIECE_BYTES):
                if not is_first and not self.is_connected:
                    # The library would connect anew, and the rest of a value would be taken for a command.
                    raise RedisConnectionError("the connection was closed while a value was being sent")
                await super().send_packed_command([cast("bytes", view[start : start + PIECE_BYTES])], check_health and is_first)
                is_first = False


class TcpConnection(_InPieces, Connection):
    """Over TCP."""


class TlsConnection(_InPieces, SSLConnection):
    """Over TLS."""


class UnixConnection(_InPieces, UnixDomainSocketConnection):
    """Over a unix socket."""
