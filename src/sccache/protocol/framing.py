"""Split a byte stream into frames.

    <stream> ::= <frame>*
    <frame>  ::= <length> <body>
    <length> ::= uint32 big-endian    ; bytes in <body>, 1 .. MAX_FRAME

Owns: frame boundaries and their limits.  Must not know: sockets, asyncio, messages.
"""

from sccache.errors import ProtocolError

HEADER_SIZE = 4
MAX_FRAME = 1 << 30  # a compiler that prints a gigabyte is broken; so is a peer that says it did


def frame(body: bytes) -> bytes:
    """Put the length in front of `body`."""
    if not 0 < len(body) <= MAX_FRAME:
        raise ProtocolError(f"a message of {len(body)} bytes cannot be sent")
    return len(body).to_bytes(HEADER_SIZE, "big") + body


class FrameBuffer:
    """Collects received bytes and gives out whole bodies, in order."""

    __slots__ = ("_data", "_max_frame")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._data = bytearray()
        self._max_frame = max_frame

    def __len__(self) -> int:
        """Bytes received and not yet given out."""
        return len(self._data)

    def feed(self, data: bytes | memoryview) -> None:
        """Add bytes as they came from the peer."""
        self._data += data

    def take(self) -> bytes | None:
        """Return the next whole body, or None while it is incomplete."""
        data = self._data
        if len(data) < HEADER_SIZE:
            return None
        end = HEADER_SIZE + self._length(data)
        if len(data) < end:
            return None
        body = bytes(memoryview(data)[HEADER_SIZE:end])
        del data[:end]
        return body

    def missing(self) -> int:
        """Bytes that are still needed before `take` gives a body (0: it will give one now)."""
        if len(self._data) < HEADER_SIZE:
            return HEADER_SIZE - len(self._data)
        return max(0, HEADER_SIZE + self._length(self._data) - len(self._data))

    def _length(self, data: bytearray) -> int:
        length = int.from_bytes(data[:HEADER_SIZE], "big")
        if not 0 < length <= self._max_frame:
            raise ProtocolError(f"the peer announced a message of {length} bytes")
        return length
