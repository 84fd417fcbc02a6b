"""What the command line asks the daemon, as JSON inside Control and ControlReply.

Owns: these records.  Must not know: sockets, how they are answered.
Kept apart from messages.py because it needs msgspec, which a launcher cannot afford to import.
"""

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder, encode

from sccache.errors import ProtocolError


class GetStats(Struct, frozen=True, tag=True):
    """Ask for the statistics; the reply is Stats."""

    advanced: bool = False


class ZeroStats(Struct, frozen=True, tag=True):
    """Set all counters to zero; the reply is Stats."""


class Shutdown(Struct, frozen=True, tag=True):
    """Finish what is under way, send what waits, and exit; the reply is Stats, once nothing is left to be lost."""


class Ping(Struct, frozen=True, tag=True):
    """Ask who is there; the reply is Pong."""


ControlRequest = GetStats | ZeroStats | Shutdown | Ping


class Stats(Struct, frozen=True, tag=True):
    """`info` is the JSON of a stats.ServerInfo."""

    info: Raw


class Pong(Struct, frozen=True, tag=True):
    """The daemon that answered."""

    pid: int
    version: str
    address: str = ""


class Failed(Struct, frozen=True, tag=True):
    """The request could not be answered; `message` is a sentence for the user."""

    message: str


ControlAnswer = Stats | Pong | Failed

_REQUEST: Decoder[ControlRequest] = Decoder(ControlRequest)
_ANSWER: Decoder[ControlAnswer] = Decoder(ControlAnswer)


def encode_request(request: ControlRequest) -> bytes:
    """Make a Control message's payload."""
    return encode(request)


def decode_request(payload: bytes) -> ControlRequest:
    """Read a Control message's payload."""
    try:
        return _REQUEST.decode(payload)
    except (DecodeError, RecursionError) as e:
        raise ProtocolError(f"not a control request: {e}") from e


def encode_answer(answer: ControlAnswer) -> bytes:
    """Make a ControlReply message's payload."""
    return encode(answer)


def decode_answer(payload: bytes) -> ControlAnswer:
    """Read a ControlReply message's payload."""
    try:
        return _ANSWER.decode(payload)
    except (DecodeError, RecursionError) as e:
        raise ProtocolError(f"not a control answer: {e}") from e
