"""What a row of SETTINGS says.

Owns: the columns.  Must not know: the rows.
"""

from enum import Enum

from msgspec import Struct

from sccache.config.parse import Kind


class Scope(Enum):
    """Who heeds a setting, and when."""

    DAEMON = "daemon start"
    COMPILE = "each compile"
    CLIENT = "each command"
    STORAGE = "daemon start, each compile"


class Setting(Struct, frozen=True):
    """One setting."""

    name: str
    """Dotted path in the configuration file; empty where it is a variable only."""
    env: str
    """The environment variable; empty where it is in the file only."""
    kind: Kind
    default: object
    help: str
    scope: Scope = Scope.STORAGE
    field: str = ""
    """Dotted path in load.Config; empty for rows of remote storage, which are kept by name."""
    lenient: bool = False
    """A bad variable is a warning and counts as not set, as users of sccache know it; else it is an error."""
    aliases: tuple[str, ...] = ()
    """Other names of the field in the file, and of the variable (those in capitals)."""
    required: bool = False
    """A storage table without it is an error."""
    selects: bool = False
    """Setting this variable alone configures the storage."""
    secret: bool = False
    """Its value never appears in messages or logs."""
    ignored: bool = False
    """Read without complaint, for files written for other versions; has no effect."""
