"""The error tree: exceptions mean that something broke; what can be expected is a value (see model.py).

    SccacheError
    ├── ConfigError       bad option, setting, file or variable; the message names it and where it came from
    ├── ProtocolError     a peer sent bytes that do not follow protocol/
    ├── DamagedError      an entry or manifest that cannot be trusted; always ends as a miss
    ├── StorageError      a storage could not do what was asked (full, denied, unreachable)
    └── DaemonError       the daemon cannot be started, reached or stopped

Owns: the classes and their exit codes.  Must not know: anything else.
"""


class SccacheError(Exception):
    """Base of all errors that are shown to a user as `sccache: error: <message>`."""

    exit_code = 2


class ConfigError(SccacheError):
    """A setting cannot be used; the message names the setting, its source and its value."""


class ProtocolError(SccacheError):
    """A peer sent bytes that are not a message of this protocol version."""


class DamagedError(SccacheError):
    """Stored bytes failed verification; the reader treats this as a miss and drops them."""


class StorageError(SccacheError):
    """A storage refused or failed; never fails a build."""


class DaemonError(SccacheError):
    """The daemon cannot be started, reached or stopped."""
