"""The compiler as our child: its streams, signals and result.

Owns: running a command and being replaced by one.  Must not know: what the daemon wants.  Twin of native/launcher_run.c.
The native launcher also asks the kernel to end the child when the launcher is killed outright; Python cannot.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import time

from sccache.errors import SccacheError
from sccache.launcher_parts.terminal import Channel, Stream, Terminal
from sccache.protocol import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from sccache.protocol.blocking import Connection

INLINE_STREAM = 64 << 10
FORWARD_AFTER_S = 0.1  # see native/launcher_run.c
_CHUNK = 64 << 10
_READS_IN_PASSING, _READS_AT_THE_END = 16, 512  # the end is more than a channel holds; see native/launcher_run.c
_FATAL = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
_IGNORED_BY_PYTHON = [signal.Signals[name] for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]


class Command:
    """What to run, and how (bits of Run.flags)."""

    def __init__(self, flags: int, path: bytes | None, argv: Sequence[bytes], env: Mapping[bytes, bytes]) -> None:
        self.flags = flags
        self.path = path
        self.argv = list(argv)
        self.env = env


class Result:
    """A finished child: its status as in Ran, its captured streams (-1: not captured)."""

    def __init__(self, out: int, err: int) -> None:
        self.status = messages.STATUS_NOT_STARTED
        self.duration_ns = 0
        self.killed_by = 0
        self.daemon_lost = False
        self.channel: Channel | None = None
        self.is_streamed = False
        self.nobody_reads = False
        self._err_size = 0  # bytes that came through the channel
        self._err_shown = 0  # bytes that our caller has already
        self._out = out
        self._err = err

    def redirections(self) -> list[tuple[int, int]]:
        """Pairs of a file that captures and the stream that it captures."""
        err = self.channel.theirs if self.channel else self._err
        return [(fd, to) for fd, to in ((self._out, 1), (err, 2)) if fd >= 0]

    def drain(self, reads: int = _READS_IN_PASSING) -> bool:
        """Keep what came through the channel; False when nothing can come any more."""
        for _ in range(reads):
            chunk = self.channel.read() if self.channel else b""
            if not chunk:
                return chunk is None
            if write_all(self._err, chunk):
                self._err_size += len(chunk)
            else:
                self.daemon_lost = True  # no memory for it: the daemon must not keep a part
        return True

    @property
    def is_behind(self) -> bool:
        """Something is kept that our caller should have."""
        return self.is_streamed and not self.nobody_reads and self._err_shown < self._err_size

    def show(self) -> None:
        """Pass on what is kept, as far as our caller takes it now: a slow reader holds up neither the compiler nor us.

        If nobody reads any more, the compile goes on to its end; what is left kills us in the replay.
        """
        while self.is_behind:
            room = select.poll()
            room.register(2, select.POLLOUT)
            if not room.poll(0):
                return
            try:
                self._err_shown += os.write(2, _read_at(self._err, select.PIPE_BUF, self._err_shown))  # a pipe with room takes so much
            except BlockingIOError:
                return
            except OSError:
                self.nobody_reads = True

    def write_out(self) -> None:
        """Write what was captured to our own streams."""
        for captured, fd, seen in ((self._out, 1, 0), (self._err, 2, self._err_shown)):
            at = seen
            while captured >= 0 and (chunk := _read_at(captured, _CHUNK, at)):
                if not write_all(fd, chunk):
                    break
                at += len(chunk)

    def encode(self, *, descriptors: bool) -> tuple[bytes, list[int]]:
        """Make the Ran; small streams go as bytes, large ones as descriptors where those can be passed."""
        flags = 0
        fds: list[int] = []
        streams: list[bytes] = []
        for captured, flag in ((self._out, messages.RAN_STDOUT_FD), (self._err, messages.RAN_STDERR_FD)):
            size = os.fstat(captured).st_size if captured >= 0 else 0
            if size > INLINE_STREAM and descriptors:
                flags |= flag
                fds.append(captured)
                streams.append(b"")
            else:
                streams.append(_read_at(captured, size, 0) if size else b"")
        return messages.encode_ran(messages.Ran(self.status, flags, self.duration_ns, streams[0], streams[1])), fds

    def close(self) -> None:
        """Give the captured streams up."""
        for fd in (self._out, self._err):
            if fd >= 0:
                os.close(fd)
        self._out = self._err = -1


def run(command: Command, connection: Connection) -> Result:
    """Run a command to its end while listening to the daemon."""
    result = Result(
        _unlinked_file() if command.flags & messages.RUN_CAPTURE_STDOUT else -1,
        _unlinked_file() if command.flags & (messages.RUN_CAPTURE_STDERR | messages.RUN_STREAM_STDERR) else -1,
    )
    if command.path is None:
        return result
    started = time.monotonic_ns()
    if os.name == "nt":
        result.status = _run_on_windows(command, result)
    elif command.flags & (messages.RUN_ON_TERMINAL | messages.RUN_STREAM_STDERR):
        _run_through_channel(command, connection, result)
    else:
        _run_and_listen(command, connection, result)
    result.duration_ns = time.monotonic_ns() - started
    return result


def _run_through_channel(command: Command, connection: Connection, result: Result) -> None:
    try:
        channel = Terminal() if command.flags & messages.RUN_ON_TERMINAL else Stream()
    except OSError:
        return  # not started: then the command runs on the caller's own
    result.channel = channel
    result.is_streamed = bool(command.flags & messages.RUN_STREAM_STDERR)
    try:
        _run_and_listen(command, connection, result)
    finally:
        channel.close()
        result.channel = None


def _run_and_listen(command: Command, connection: Connection, result: Result) -> None:
    wake_read, wake_write = os.pipe()
    for fd in (wake_read, wake_write):
        os.set_blocking(fd, False)
    caught: list[int] = []
    broken_pipe = (signal.SIGPIPE,) if result.is_streamed else ()
    before = {number: signal.getsignal(number) for number in (*_FATAL, signal.SIGCHLD, *broken_pipe)}
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    try:
        for number, disposition in before.items():
            if number == signal.SIGCHLD:
                signal.signal(number, lambda *_: None)
            elif number in broken_pipe:
                signal.signal(number, signal.SIG_IGN)  # while the compiler works; see Result.show
            elif disposition != signal.SIG_IGN:
                signal.signal(number, lambda got, _frame: caught.append(got))
        defaults = [number for number, was in before.items() if was != signal.SIG_IGN] + _IGNORED_BY_PYTHON
        pid = _spawn(command, result, defaults)
        if result.channel:
            result.channel.close_theirs()
        if pid:
            result.status = _wait_for(pid, wake_read, caught, connection, result)
            result.drain(_READS_AT_THE_END)
            result.show()
        result.killed_by = caught[-1] if caught else 0
    finally:
        for number, disposition in before.items():
            signal.signal(number, disposition)
        signal.set_wakeup_fd(-1)
        os.close(wake_read)
        os.close(wake_write)


def _spawn(command: Command, result: Result, default_signals: Sequence[int]) -> int:
    """Start the child; 0 if that is impossible."""
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
    if command.flags & messages.RUN_NO_STDIN:
        actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
    actions += [(os.POSIX_SPAWN_DUP2, fd, to) for fd, to in result.redirections()]
    path = command.path or b""
    for program, words in ((path, command.argv), (b"/bin/sh", [b"sh", path, *command.argv[1:]])):
        try:
            return os.posix_spawn(program, words, command.env, file_actions=actions, setsigdef=default_signals)
        except OSError as e:
            if e.errno != errno.ENOEXEC:  # a script without #!: sh runs it, as shells and execvp do
                return 0
    return 0


def _wait_for(pid: int, wake: int, caught: list[int], connection: Connection, result: Result) -> int:
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(connection, select.POLLIN)
    if result.channel:
        poll.register(result.channel.ours, select.POLLIN)
    is_reader_awaited = False
    forward_at = 0.0
    while True:
        gone, waited = os.waitpid(pid, os.WNOHANG)
        if gone:
            return os.waitstatus_to_exitcode(waited)
        timeout_ms = None
        if caught and forward_at >= 0:
            # Python does not tell who sent a signal; a terminal's own reaches the child as well, and it then dies by itself.
            forward_at = forward_at or time.monotonic() + FORWARD_AFTER_S
            timeout_ms = (forward_at - time.monotonic()) * 1000
            if timeout_ms <= 0:
                os.kill(pid, caught[-1])
                forward_at, timeout_ms = -1.0, None
        if result.is_behind != is_reader_awaited:
            is_reader_awaited = result.is_behind
            if is_reader_awaited:
                poll.register(2, select.POLLOUT)
            else:
                poll.unregister(2)
        for fd, _event in poll.poll(timeout_ms):
            if fd != 2 and not _is_open(fd, wake, connection, result):
                poll.unregister(fd)
        result.show()


def _is_open(fd: int, wake: int, connection: Connection, result: Result) -> bool:
    """Take what came; False when nothing more can come from there."""
    if fd == wake:
        _drain(wake)
        return True
    if result.channel and fd == result.channel.ours:
        return result.drain()
    if _only_keep_alives(connection):
        return True
    result.daemon_lost = True  # what the child does is still wanted; see launcher.py
    return False


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 64):
            pass
    except BlockingIOError:
        return


def _only_keep_alives(connection: Connection) -> bool:
    """While our child runs the daemon may only say that it lives."""
    try:
        while (body := connection.receive_nowait()) is not None:
            if not isinstance(messages.parse_reply(body), messages.KeepAlive):
                return False
    except SccacheError:
        return False
    return True


def _run_on_windows(command: Command, result: Result) -> int:
    import subprocess

    redirected = {to: fd for fd, to in result.redirections()}
    try:
        return subprocess.call(
            [os.fsdecode(word) for word in command.argv],
            executable=os.fsdecode(command.path or b""),
            env={os.fsdecode(key): os.fsdecode(value) for key, value in command.env.items()},
            stdin=subprocess.DEVNULL if command.flags & messages.RUN_NO_STDIN else None,
            stdout=redirected.get(1),
            stderr=redirected.get(2),
        )
    except OSError:
        return messages.STATUS_NOT_STARTED


def hand_over(path: bytes, argv: Sequence[bytes], env: Mapping[bytes, bytes]) -> NoReturn:
    """Be replaced by a command; raises OSError if that is impossible."""
    if os.name == "nt":
        sys.exit(_run_on_windows(Command(0, path, argv, env), Result(-1, -1)))
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(path, list(argv), env)
    except OSError as e:
        if e.errno != errno.ENOEXEC:
            raise
        os.execve(b"/bin/sh", [b"sh", path, *argv[1:]], env)


def default_signals() -> None:
    """Die of Ctrl-C and of a closed pipe as other programs do, instead of raising exceptions."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)


def hold_stdio() -> None:
    """Take the numbers of standard streams that the caller closed, so that no socket gets them; a command run by us finds them closed."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, and not inherited


def write_all(fd: int, data: bytes) -> bool:
    """Write everything, also to a non-blocking or slow stream; False when nobody can read it."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])  # the compiler itself would have blocked or lost output here
        except OSError:
            return False
    return True


def exit_as(status: int) -> NoReturn:
    """Exit as the child did; by the same signal if one killed it, so that our parent sees what it would have seen."""
    if status < 0 and os.name != "nt":
        _die_of(-status)
    os._exit(status & 0xFF if status >= 0 else 128 - status & 0xFF)


def _die_of(number: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the compiler has left its core; ours would overwrite it
    try:
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    except (OSError, ValueError):
        return  # no such signal


def _unlinked_file() -> int:
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("stream")
        except OSError:
            pass  # a kernel or sandbox without it; a file will do
    import tempfile

    fd, path = tempfile.mkstemp(prefix="sccache-stream-")
    if os.name == "nt":
        return fd  # an open file cannot be unlinked there; the system's cleaning takes it
    os.unlink(path)
    return fd


def _read_at(fd: int, size: int, at: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, at)
    os.lseek(fd, at, os.SEEK_SET)
    return os.read(fd, size)
