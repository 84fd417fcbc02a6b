"""The records of protocol/messages.py.

Owns: their fields.  Must not know: bytes.
The classes are plain, not msgspec's: the Python launcher imports this module, and msgspec takes 21 ms to import.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing for this name would cost the launcher 7 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

RAN_STDOUT_FD, RAN_STDERR_FD = 1, 2
"""Bits of Ran.flags: that stream comes as a descriptor beside the frame (stdout's first), its blob is empty."""


class Message:
    """A plain value that compares and prints by its slots."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__slots__))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"


class CompileMessage(Message):
    """The launcher's first message: one compiler invocation; strings stay joined until somebody needs them."""

    __slots__ = ("argv_blob", "cwd", "env_blob", "executable", "mount_namespace", "secret", "terminals", "umask", "version")

    def __init__(  # noqa: PLR0913, PLR0917  # as many as the message has
        self,
        version: bytes,
        secret: bytes,
        executable: bytes,
        cwd: bytes,
        argv_blob: bytes,
        env_blob: bytes,
        *,
        terminals: int = 0,
        umask: int = 0o022,
        mount_namespace: int = 0,
    ) -> None:
        self.version = version
        self.secret = secret
        self.executable = executable
        self.cwd = cwd
        self.argv_blob = argv_blob
        self.env_blob = env_blob
        self.terminals = terminals
        self.umask = umask
        self.mount_namespace = mount_namespace


class OtherVersion(Message):
    """A Compile or Control of another protocol version; the right answer is RETIRE_FRAME."""

    __slots__ = ("protocol_version",)

    def __init__(self, protocol_version: int) -> None:
        self.protocol_version = protocol_version


class Ran(Message):
    """The launcher ran what the daemon asked for."""

    __slots__ = ("duration_ns", "flags", "status", "stderr", "stdout")

    def __init__(self, status: int, flags: int, duration_ns: int, stdout: bytes, stderr: bytes) -> None:
        self.status = status
        self.flags = flags
        self.duration_ns = duration_ns
        self.stdout = stdout
        self.stderr = stderr

    @property
    def fd_count(self) -> int:
        """How many descriptors must have come with the frame."""
        return (self.flags & RAN_STDOUT_FD) + ((self.flags & RAN_STDERR_FD) >> 1)


class Control(Message):
    """A question of the command line; `payload` belongs to protocol/control.py."""

    __slots__ = ("payload", "secret", "version")

    def __init__(self, version: bytes, secret: bytes, payload: bytes) -> None:
        self.version = version
        self.secret = secret
        self.payload = payload


class Finish(Message):
    """The launcher writes these bytes (or, replaying, what the last Run captured) and exits."""

    __slots__ = ("exit_code", "replay", "stderr", "stdout")

    def __init__(self, exit_code: int, replay: bool, stdout: bytes, stderr: bytes) -> None:  # noqa: FBT001  # a field
        self.exit_code = exit_code
        self.replay = replay
        self.stdout = stdout
        self.stderr = stderr


class Exec(Message):
    """The launcher replaces itself by this command; empty means the original one."""

    __slots__ = ("argv", "env_changes", "executable")

    def __init__(self, executable: bytes, argv: Sequence[bytes], env_changes: Sequence[bytes]) -> None:
        self.executable = executable
        self.argv = list(argv)
        self.env_changes = list(env_changes)


class Run(Message):
    """The launcher runs this as its child, then sends Ran."""

    __slots__ = ("argv", "env_changes", "executable", "flags", "scratch")

    def __init__(
        self, flags: int, executable: bytes, argv: Sequence[bytes], env_changes: Sequence[bytes], scratch: Sequence[bytes]
    ) -> None:
        self.flags = flags
        self.executable = executable
        self.argv = list(argv)
        self.env_changes = list(env_changes)
        self.scratch = list(scratch)


class KeepAlive(Message):
    """The daemon is at work; the launcher's patience starts anew."""

    __slots__: tuple[str, ...] = ()


class Retire(Message):
    """The daemon is of another version and drains; its socket is gone, start another."""

    __slots__: tuple[str, ...] = ()


class ControlReply(Message):
    """An answer to the command line; `payload` belongs to protocol/control.py."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


if TYPE_CHECKING:
    Request = CompileMessage | Ran | Control | OtherVersion
    Reply = Finish | Exec | Run | KeepAlive | Retire | ControlReply
