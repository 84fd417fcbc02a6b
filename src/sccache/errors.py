"""The error tree: exceptions mean that something broke; what can be expected is a value (see model.py).

    SccacheError
    ├── ConfigError       bad option, setting, file or variable; the message names it and where it came from
    ├── ProtocolError     a peer sent bytes that do not follow protocol/
    ├── DamagedError      an entry or manifest that cannot be trusted; always ends as a miss
    ├── StorageError      a storage could not do what was asked (full, denied, unreachable)
    └── DaemonError       the daemon cannot be started, reached or stopped

Owns: the classes and their exit codes, the ways in which a storage fails.  Must not know: anything else.
"""

from enum import Enum


class SccacheError(Exception):
    """Base of all errors that are shown to a user as `sccache: error: <message>`."""

    exit_code = 2


class ConfigError(SccacheError):
    """A setting cannot be used; the message names the setting, its source and its value."""


class ProtocolError(SccacheError):
    """A peer sent bytes that are not a message of this protocol version."""


class DamagedError(SccacheError):
    """Stored bytes failed verification; the reader treats this as a miss and drops them."""


class Trouble(Enum):
    """Why a storage did not do what it was asked; the value is what statistics and verdicts call it."""

    UNREACHABLE = "unreachable"
    """No connection: refused, unknown host, cut off.  Nothing was transferred."""
    TIMED_OUT = "timed out"
    DENIED = "denied"
    """Credentials are missing, wrong or expired, or do not allow this."""
    RATE_LIMITED = "rate limited"
    WRONG_PLACE = "wrong place"
    """The service answers, but has no such bucket, container, database or directory; or something else answers there."""
    BAD_TLS = "bad TLS"
    """The peer's certificate is not trusted, or it speaks no TLS."""
    READ_ONLY = "read-only"
    """Writing is switched off, by us or by the service."""
    TOO_LARGE = "too large"
    ERROR = "error"
    """Anything else: a server's own failure, an answer that makes no sense."""


class StorageError(SccacheError):
    """A storage refused or failed; never fails a build.  The message names no secret."""

    def __init__(self, message: str, trouble: Trouble = Trouble.ERROR, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.retry_after_s = retry_after_s
        """How long the service wants to be left alone, if it said so."""


class DaemonError(SccacheError):
    """The daemon cannot be started, reached or stopped."""
