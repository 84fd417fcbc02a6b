"""What the pipeline asks of the launcher, and how a compile can end.

Owns: these values.  Must not know: sockets, compilers.
"""

import mmap
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from msgspec import Struct


class Command(Struct, frozen=True):
    """A command that the launcher runs as its own child, capturing both streams."""

    executable: str
    args: tuple[str, ...]
    """Arguments after the program's name."""
    is_compile: bool = False
    """The user's compile itself: its result stands even when the daemon is lost."""
    scratch: tuple[str, ...] = ()
    """Files that the launcher deletes when the daemon is lost."""
    environment: tuple[str, ...] = ()
    """Changes: `NAME=value` sets, `NAME` unsets."""
    on_terminal: bool = False
    """Capture stderr by a terminal that looks like the caller's: colours, links and widths are then the compiler's own choice."""
    streamed: bool = False
    """The caller sees stderr while the command runs, not only with the answer, which must then be Replay.  Only for the compile."""
    name: str = ""
    """argv[0]; the executable when empty."""


class Ran(Struct, frozen=True):
    """How a command ended."""

    status: int
    """Exit code, or minus the signal; NOT_STARTED where it could not be executed."""
    duration_ns: int
    stdout: bytes | mmap.mmap
    stderr: bytes | mmap.mmap


class Hands(Protocol):
    """The launcher, seen from the pipeline.  `run` raises LauncherGone when it is no longer there."""

    async def run(self, command: Command) -> Ran:
        """Run one command to its end; there is no deadline on a compiler."""
        ...

    async def gone(self) -> None:
        """Return once the launcher is no longer there; to be asked only while it waits for an answer."""
        ...


class LauncherGone(Exception):  # noqa: N818 (an event, not an error: the user pressed Ctrl-C)
    """The launcher closed its connection: nobody waits for an answer any more."""


class Finish(Struct, frozen=True):
    """The answer is these streams and this exit code; outputs are written."""

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""


class Replay(Struct, frozen=True):
    """The answer is what the last command gave."""


class Exec(Struct, frozen=True):
    """Run the command without us; an empty executable means exactly as the caller wrote it."""

    executable: str = ""
    argv: tuple[str, ...] = ()
    """Empty: as the caller wrote it."""


Answer = Finish | Replay | Exec

StoreSoon = Callable[[Coroutine[Any, Any, None]], bool]
"""Does the work after the answer; False where too much waits already: then it is closed without having begun."""
