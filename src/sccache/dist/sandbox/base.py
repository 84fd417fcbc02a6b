"""What a worker asks of a sandbox.

A build is a directory tree laid over an unpacked toolchain, and a command in it.  The command sees nothing else, reaches no network, and
can change neither tree nor toolchain: what it writes is kept apart, and read afterwards by who does not trust it.

Owns: these values.  Must not know: how a sandbox is made, jobs, tokens.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from sccache.errors import SccacheError


class SandboxError(SccacheError):
    """The sandbox cannot be made, or could not be; the command is not at fault."""


class Limits(Struct, frozen=True):
    """What a build may use."""

    seconds: float = 3600.0
    memory_bytes: int = 0
    """Of address space, for each process; 0: no limit."""
    output_bytes: int = 4 << 30
    """All that it writes, and each file of it."""
    stream_bytes: int = 64 << 20
    """Of stdout and of stderr."""
    processes: int = 1000


class Bind(Struct, frozen=True):
    """A file of the worker's that a build may read."""

    path: str
    inside: bytes


class Build(Struct, frozen=True, kw_only=True):
    """A command with its surroundings."""

    toolchain: str
    """Directory of the unpacked toolchain."""
    tree: str
    """Directory that is laid over it; files may be hard links to what must never change."""
    executable: bytes
    argv: tuple[bytes, ...]
    environment: tuple[tuple[bytes, bytes], ...]
    cwd: bytes
    umask: int
    columns: int = 0
    """Not 0: stderr is a terminal of this width."""
    binds: tuple[Bind, ...] = ()
    limits: Limits = Limits()


class Outcome(Struct, frozen=True):
    """How a build ended."""

    status: int
    """Exit code, or minus the signal."""
    stdout: bytes
    stderr: bytes
    wall_ns: int
    cpu_ns: int
    trouble: str = ""
    """Why it was ended from outside; the status then means nothing."""


class Made(Struct, frozen=True):
    """A file that a build has made or changed."""

    path: bytes
    """As seen inside."""
    data: bytes
    executable: bool


class Finished(Protocol):
    """A build that has ended, with what it wrote."""

    outcome: Outcome

    def read(self, paths: Sequence[bytes], below: Sequence[bytes], max_bytes: int) -> list[Made]:
        """Regular files at these paths, or anywhere below these directories, that the build made or changed; no link is followed.

        Others are passed over.  SandboxError where they are more than `max_bytes` together.  Blocking.
        """
        ...

    def left(self, known: Sequence[bytes], max_names: int) -> tuple[bytes, ...]:
        """Names of all else that it made, changed or removed, but directories and what is in /tmp.  Blocking."""
        ...

    def own(self, name: bytes, max_bytes: int) -> bytes:
        """What stands in the worker's own directory inside under this name: the observer's report; empty if nothing.  Blocking."""
        ...

    def remove(self) -> None:
        """Delete all that it wrote.  Blocking."""
        ...


class Sandbox(Protocol):
    """Runs builds, any number at a time."""

    async def check(self) -> None:
        """Try it; SandboxError with a sentence says what is missing."""
        ...

    async def run(self, build: Build) -> Finished:
        """Run a build to its end; cancelled, it is killed with all its processes.  SandboxError: it was not run."""
        ...
