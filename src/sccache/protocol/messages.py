"""The messages of one compile, as bytes; grammar in docs/formats/wire.md.

    <blob>    ::= uint32 length, bytes          <list> ::= <blob> of NUL-terminated strings
    <compile> ::= 01, u16 protocol, u16 terminals, u32 umask, u64 mount namespace, 6 x u32 lengths, six byte strings of those lengths:
                  version text, secret, executable, cwd, argv strings, environment strings
    <ran>     ::= 02, i32 status, u32 flags, u64 duration ns, <blob> stdout, <blob> stderr
    <control> ::= 10, u16 protocol, <blob> version text, <blob> secret, <blob> payload (protocol/control.py)
    <finish>  ::= 81, i32 exit code, u8 replay, <blob> stdout, <blob> stderr
    <exec>    ::= 82, <blob> executable, <list> argv, <list> environment changes
    <run>     ::= 83, u16 flags, <blob> executable, <list> argv, <list> environment changes, <list> scratch paths
    <keep-alive> ::= 84    <retire> ::= 85    <control-reply> ::= 90, <blob> payload

Every `encode_*` gives a whole frame; every `parse_*` takes a frame's body and raises only ProtocolError.
Owns: the order of fields and their limits.  Must not know: sockets, what a message makes anybody do.
"""

from __future__ import annotations

from struct import Struct

from sccache.errors import ProtocolError
from sccache.protocol.framing import HEADER_SIZE, MAX_FRAME, frame
from sccache.protocol.records import (
    RAN_STDERR_FD,
    RAN_STDOUT_FD,
    CompileMessage,
    Control,
    ControlReply,
    Exec,
    Finish,
    KeepAlive,
    Message,
    OtherVersion,
    Ran,
    Retire,
    Run,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sccache.protocol.records import Reply, Request

__all__ = [  # the records are read from here; what this file defines itself needs no listing
    "RAN_STDERR_FD",
    "RAN_STDOUT_FD",
    "CompileMessage",
    "Control",
    "ControlReply",
    "Exec",
    "Finish",
    "KeepAlive",
    "Message",
    "OtherVersion",
    "Ran",
    "Retire",
    "Run",
]

# 1: first.
# 2: no input on stdin is told (one bit more in Compile.terminals); stderr passed on while a command runs (Run.flags 32).
PROTOCOL_VERSION = 2

COMPILE, RAN, CONTROL = 0x01, 0x02, 0x10
FINISH, EXEC, RUN, KEEP_ALIVE, RETIRE, CONTROL_REPLY = 0x81, 0x82, 0x83, 0x84, 0x85, 0x90

STDIN_IS_TERMINAL, STDOUT_IS_TERMINAL, STDERR_IS_TERMINAL, NO_INPUT = 1, 2, 4, 8
"""Bits of Compile.terminals; the same as model.Terminal."""

COLUMNS_SHIFT, MAX_COLUMNS = 4, 0xFFF
"""Above them in Compile.terminals: the terminal's width."""

RUN_CAPTURE_STDOUT, RUN_CAPTURE_STDERR, RUN_NO_STDIN, RUN_IS_COMPILE, RUN_ON_TERMINAL, RUN_STREAM_STDERR = 1, 2, 4, 8, 16, 32
"""Bits of Run.flags."""

STATUS_NOT_STARTED = -1000
"""Ran.status of a command that could not be executed."""

_COMPILE_HEADER = Struct(">BHHIQ6I")
_RAN_HEADER = Struct(">BiIQ")
_FINISH_HEADER = Struct(">BiB")
_RUN_HEADER = Struct(">BH")
_VERSIONED = Struct(">BH")
_LENGTH = Struct(">I")
_FINISHED_FRAME = Struct(">IBiBI")


# --- pieces --------------------------------------------------------------------------------------------------------


def join_list(strings: Iterable[bytes]) -> bytes:
    """Make NUL-terminated strings of `strings`."""
    parts = list(strings)
    joined = b"\0".join([*parts, b""]) if parts else b""
    if joined.count(b"\0") != len(parts):
        raise ProtocolError("a string to be sent contains a NUL byte")
    return joined


def split_list(blob: bytes) -> list[bytes]:
    """Undo `join_list`."""
    if not blob:
        return []
    if blob[-1] != 0:
        raise ProtocolError("a list of strings does not end in NUL")
    return blob[:-1].split(b"\0")


def _blob(data: bytes) -> bytes:
    if len(data) > MAX_FRAME:
        raise ProtocolError(f"a field of {len(data)} bytes cannot be sent")
    return _LENGTH.pack(len(data)) + data


def _list(strings: Iterable[bytes]) -> bytes:
    return _blob(join_list(strings))


class _Reader:
    """Takes fields off a body; any lack or rest is a ProtocolError."""

    __slots__ = ("_at", "_body")

    def __init__(self, body: bytes, at: int) -> None:
        self._body = body
        self._at = at

    def blob(self) -> bytes:
        start = self._at + 4
        if start > len(self._body):
            raise ProtocolError("a message ends inside a length")
        end = start + int.from_bytes(self._body[self._at : start], "big")
        if end > len(self._body):
            raise ProtocolError("a message ends inside a field")
        self._at = end
        return self._body[start:end]

    def strings(self) -> list[bytes]:
        return split_list(self.blob())

    def text(self) -> bytes:
        blob = self.blob()
        if b"\0" in blob:
            raise ProtocolError("a path contains a NUL byte")
        return blob

    def end(self) -> None:
        if self._at != len(self._body):
            raise ProtocolError(f"{len(self._body) - self._at} bytes follow the end of a message")


def _header(layout: Struct, kind: int, body: bytes) -> tuple[int, ...]:
    if len(body) < layout.size or body[0] != kind:
        raise ProtocolError(f"not a whole message of type {kind:#04x}")
    return layout.unpack_from(body)


# --- what the launcher and the command line say ------------------------------------------------------------------------


def encode_compile(message: CompileMessage) -> bytes:
    """Make the frame of a Compile."""
    m = message
    parts = (m.version, m.secret, m.executable, m.cwd, m.argv_blob, m.env_blob)
    header = _COMPILE_HEADER.pack(COMPILE, PROTOCOL_VERSION, m.terminals, m.umask, m.mount_namespace, *(len(part) for part in parts))
    return frame(b"".join((header, *parts)))


def parse_compile(body: bytes) -> CompileMessage | OtherVersion:
    """Read a Compile; argv and environment are checked for their form but not split."""
    if len(body) >= _VERSIONED.size and body[0] == COMPILE and (other := _other_version(body)):
        return other
    if len(body) < _COMPILE_HEADER.size or body[0] != COMPILE:
        raise ProtocolError("not a whole Compile message")
    _, _, terminals, umask, namespace, n1, n2, n3, n4, n5, n6 = _COMPILE_HEADER.unpack_from(body)
    a = _COMPILE_HEADER.size + n1
    b = a + n2
    c = b + n3
    d = c + n4
    e = d + n5
    if e + n6 != len(body):
        raise ProtocolError("the lengths in a Compile message do not add up")
    argv_blob, env_blob = body[d:e], body[e:]
    if not argv_blob or argv_blob[-1] or (env_blob and env_blob[-1]) or 0 in body[b:d]:
        raise ProtocolError("a Compile message's strings are not terminated as they must be")
    return CompileMessage(
        body[_COMPILE_HEADER.size : a], body[a:b], body[b:c], body[c:d], argv_blob, env_blob,
        terminals=terminals, umask=umask, mount_namespace=namespace,
    )  # fmt: skip


def encode_ran(ran: Ran) -> bytes:
    """Make the frame of a Ran."""
    return frame(_RAN_HEADER.pack(RAN, ran.status, ran.flags, ran.duration_ns) + _blob(ran.stdout) + _blob(ran.stderr))


def parse_ran(body: bytes) -> Ran:
    """Read a Ran."""
    _, status, flags, duration_ns = _header(_RAN_HEADER, RAN, body)
    reader = _Reader(body, _RAN_HEADER.size)
    stdout, stderr = reader.blob(), reader.blob()
    reader.end()
    if (flags & RAN_STDOUT_FD and stdout) or (flags & RAN_STDERR_FD and stderr) or flags > (RAN_STDOUT_FD | RAN_STDERR_FD):
        raise ProtocolError("a Ran message has a stream twice or unknown flags")
    return Ran(status, flags, duration_ns, stdout, stderr)


def encode_control(control: Control) -> bytes:
    """Make the frame of a Control."""
    head = _VERSIONED.pack(CONTROL, PROTOCOL_VERSION)
    return frame(head + _blob(control.version) + _blob(control.secret) + _blob(control.payload))


def parse_control(body: bytes) -> Control | OtherVersion:
    """Read a Control."""
    _header(_VERSIONED, CONTROL, body)
    if other := _other_version(body):
        return other
    reader = _Reader(body, _VERSIONED.size)
    control = Control(reader.blob(), reader.blob(), reader.blob())
    reader.end()
    return control


def _other_version(body: bytes) -> OtherVersion | None:
    """Type and protocol version stand first in every version of the protocol, so that peers can part in peace."""
    version: int = _VERSIONED.unpack_from(body)[1]
    return None if version == PROTOCOL_VERSION else OtherVersion(version)


def parse_request(body: bytes) -> Request:
    """Read whatever a daemon may receive."""
    kind = body[0] if body else 0
    if kind == COMPILE:
        return parse_compile(body)
    if kind == RAN:
        return parse_ran(body)
    if kind == CONTROL:
        return parse_control(body)
    raise ProtocolError(f"no request has type {kind:#04x}")


# --- what the daemon says ------------------------------------------------------------------------------------------------

KEEP_ALIVE_FRAME = frame(bytes([KEEP_ALIVE]))
RETIRE_FRAME = frame(bytes([RETIRE]))


def encode_finish(exit_code: int, stdout: bytes = b"", stderr: bytes = b"") -> bytes:
    """Make the frame that ends a compile with these streams."""
    size = _FINISHED_FRAME.size - HEADER_SIZE + len(stdout) + 4 + len(stderr)
    if size > MAX_FRAME:
        raise ProtocolError(f"a message of {size} bytes cannot be sent")
    head = _FINISHED_FRAME.pack(size, FINISH, exit_code, 0, len(stdout))
    return b"".join((head, stdout, _LENGTH.pack(len(stderr)), stderr))


def encode_replay() -> bytes:
    """Make the frame that ends a compile with what the last Run captured, and its status."""
    return frame(_FINISH_HEADER.pack(FINISH, 0, 1) + _blob(b"") + _blob(b""))


def encode_exec(executable: bytes = b"", argv: Sequence[bytes] = (), env_changes: Sequence[bytes] = ()) -> bytes:
    """Make the frame that hands the command over to the compiler; by default unchanged."""
    return frame(bytes([EXEC]) + _blob(executable) + _list(argv) + _list(env_changes))


def encode_run(run: Run) -> bytes:
    """Make the frame that asks the launcher to run a command."""
    head = _RUN_HEADER.pack(RUN, run.flags)
    return frame(head + _blob(run.executable) + _list(run.argv) + _list(run.env_changes) + _list(run.scratch))


def encode_control_reply(payload: bytes) -> bytes:
    """Make the frame of a ControlReply."""
    return frame(bytes([CONTROL_REPLY]) + _blob(payload))


def parse_finish(body: bytes) -> Finish:
    """Read a Finish."""
    _, exit_code, replay = _header(_FINISH_HEADER, FINISH, body)
    reader = _Reader(body, _FINISH_HEADER.size)
    stdout, stderr = reader.blob(), reader.blob()
    reader.end()
    if replay > 1 or (replay and (stdout or stderr)):
        raise ProtocolError("a Finish message both replays and brings streams")
    return Finish(exit_code, bool(replay), stdout, stderr)


def parse_exec(body: bytes) -> Exec:
    """Read an Exec."""
    reader = _Reader(body, 1)
    message = Exec(reader.text(), reader.strings(), reader.strings())
    reader.end()
    return message


def parse_run(body: bytes) -> Run:
    """Read a Run."""
    _, flags = _header(_RUN_HEADER, RUN, body)
    reader = _Reader(body, _RUN_HEADER.size)
    run = Run(flags, reader.text(), reader.strings(), reader.strings(), reader.strings())
    reader.end()
    if not run.argv:
        raise ProtocolError("a Run message has no command")
    return run


def parse_reply(body: bytes) -> Reply:
    """Read whatever a launcher or command line may receive."""
    kind = body[0] if body else 0
    if kind == FINISH:
        return parse_finish(body)
    if kind == EXEC:
        return parse_exec(body)
    if kind == RUN:
        return parse_run(body)
    if kind == CONTROL_REPLY:
        reader = _Reader(body, 1)
        reply = ControlReply(reader.blob())
        reader.end()
        return reply
    if body == KEEP_ALIVE_FRAME[HEADER_SIZE:]:
        return KeepAlive()
    if body == RETIRE_FRAME[HEADER_SIZE:]:
        return Retire()
    raise ProtocolError(f"no reply has type {kind:#04x}")
