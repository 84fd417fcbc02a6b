"""The native launcher's twin in Python: same behaviour, same tests, for systems without a C compiler and for Windows.

The daemon's hands: runs what the daemon says, knows nothing of caching.  If the daemon is not there, dies, talks nonsense
or stays silent, the compiler runs all the same: nothing of that is an error for the user.

Owns: which command this is, the conversation, what happens when the daemon is lost.
Must not know: msgspec, asyncio, logging, argparse, dataclasses: a test keeps this module quick to import.
"""

from __future__ import annotations

import os
import stat
import sys
from enum import Enum

from sccache.launcher_parts import child, programs, start, terminal
from sccache.protocol import blocking, messages
from sccache.protocol.address import from_env
from sccache.protocol.version import VERSION_TEXT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from sccache.protocol.address import Address

SILENT_AFTER_MS = 15_000
SILENT_COUNTS_S = 60.0  # a build of a thousand files must not wait for a hung daemon a thousand times
MAX_RUNS = 1024  # a daemon that asks for more goes round in circles; a command of 200 sources may need three for each
_ROLES = {"cli": "sccache.cli", "dist": "sccache.launcher_parts.dist"}
EXIT_NO_COMPILER = 2  # what sccache exits with when it cannot find the compiler (reference 3.5)


class _Outcome(Enum):
    """How a conversation ended that brought no answer."""

    LOST = 0
    RETIRED = 1


class _Launch:
    """One command on its way: what the caller asked for, and what must still be done when the daemon is lost."""

    def __init__(self, argv: list[bytes], executable: bytes = b"") -> None:
        self.argv = argv
        self.executable = executable
        self.deadline_s = _deadline_ms() / 1000
        self.patience_s = self.deadline_s
        self.compile: child.Result | None = None
        self.last: child.Result | None = None
        self.scratch: list[bytes] = []
        self.runs = 0

    def run(self) -> NoReturn:
        address = from_env(os.environ)
        is_suspect = start.is_stamped(address.silent_path, SILENT_COUNTS_S)
        self.patience_s = self.deadline_s / 15 if is_suspect else self.deadline_s
        try:
            connection = start.connect_or_start(address, self.patience_s)
            if self._converse(connection, address) is _Outcome.RETIRED:
                connection.close()
                self._converse(start.start(address, self.patience_s), address)
        except Exception as e:  # noqa: BLE001  # whatever it was, the compiler must run
            if isinstance(e, blocking.SilentDaemonError):
                start.stamp(address.silent_path)
            _note(str(e))
        self._remove_scratch()
        if self.compile is not None:
            _replay(self.compile)
        self._run_original()

    def _converse(self, connection: blocking.Connection, address: Address) -> _Outcome:
        """Do what the daemon says; returns when the daemon is of no use any more."""
        connection.send(self._compile_frame(connection.secret), self.patience_s)
        while True:
            reply = messages.parse_reply(connection.receive(self.patience_s))
            if self.patience_s < self.deadline_s:
                self.patience_s = self.deadline_s
                start.unstamp(address.silent_path)
            match reply:
                case messages.KeepAlive():
                    continue
                case messages.Retire():
                    return _Outcome.RETIRED if self.last is None else _Outcome.LOST
                case messages.Finish():
                    self._finish(reply)
                    return _Outcome.LOST
                case messages.Exec():
                    self._hand_over(reply)
                    return _Outcome.LOST
                case messages.Run():
                    if not self._run(reply, connection):
                        return _Outcome.LOST
                case _:
                    return _Outcome.LOST

    def _compile_frame(self, secret: bytes) -> bytes:
        terminals = sum(1 << fd for fd in range(3) if _is_terminal(fd)) | (messages.NO_INPUT if _lacks_input() else 0)
        terminals |= (terminal.columns() & messages.MAX_COLUMNS) << messages.COLUMNS_SHIFT
        return messages.encode_compile(
            messages.CompileMessage(
                VERSION_TEXT,
                secret,
                self.executable,
                os.fsencode(os.getcwd()),
                messages.join_list(self.argv),
                messages.join_list(key + b"=" + value for key, value in programs.environment().items()),
                terminals=terminals,
                umask=_umask(),
                mount_namespace=_mount_namespace(),
            )
        )

    def _finish(self, finish: messages.Finish) -> None:
        if not finish.replay:
            child.write_all(1, finish.stdout)
            child.write_all(2, finish.stderr)
            child.exit_as(finish.exit_code)
        if self.last is not None and self.last.status != messages.STATUS_NOT_STARTED:
            _replay(self.last)

    def _hand_over(self, message: messages.Exec) -> None:
        argv = message.argv or self.argv
        path = self._path_for(message.executable, argv)
        if path:
            child.hand_over(path, argv, programs.changed_environment(message.env_changes))

    def _run(self, run: messages.Run, connection: blocking.Connection) -> bool:
        """Run a command and report it; False when the daemon was lost meanwhile."""
        if self.runs == MAX_RUNS:
            return False
        self.runs += 1
        self.scratch += run.scratch
        if self.last is not None and self.last is not self.compile:
            self.last.close()
        env = programs.changed_environment(run.env_changes)
        self.last = child.run(child.Command(run.flags, self._path_for(run.executable, run.argv), run.argv, env), connection)
        if self.last.killed_by:
            self._remove_scratch()
            child.exit_as(-self.last.killed_by)
        if run.flags & messages.RUN_IS_COMPILE and self.last.status != messages.STATUS_NOT_STARTED:
            self.compile = self.last
        if self.last.daemon_lost:
            return False
        frame, fds = self.last.encode(descriptors=connection.passes_descriptors)
        connection.send(frame, self.deadline_s, fds)
        return True

    def _path_for(self, executable: bytes, argv: list[bytes]) -> bytes | None:
        """What to run.  A compiler behind a link to us runs under its own path: gcc looks for cc1 beside what argv[0] names."""
        if executable:
            return executable
        is_ours = bool(self.executable) and argv[0] == self.argv[0]
        path = self.executable if is_ours else programs.find(argv[0])
        if path and (is_ours or programs.leads_to_us(argv[0])):
            argv[0] = path
        return path

    def _run_original(self) -> NoReturn:
        path = self._path_for(b"", self.argv)
        if not path:
            _fail("cannot find the compiler", self.argv[0])
        try:
            child.hand_over(path, self.argv, programs.environment())
        except OSError as e:
            _fail("cannot run the compiler", path, e.strerror or str(e))

    def _remove_scratch(self) -> None:
        for path in self.scratch:
            try:
                os.unlink(path)
            except OSError:
                continue  # never made, or already taken away by the daemon


def _replay(result: child.Result) -> NoReturn:
    result.write_out()
    child.exit_as(result.status)


def _deadline_ms() -> int:
    text = os.environ.get("SCCACHE_LAUNCHER_DEADLINE_MS", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else SILENT_AFTER_MS


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _lacks_input() -> bool:
    """Tell whether nothing can be read from stdin: /dev/null (also where hold_stdio opened it) or an empty file."""
    try:
        stdin = os.fstat(0)
        if stat.S_ISREG(stdin.st_mode):
            return stdin.st_size == 0
        return stat.S_ISCHR(stdin.st_mode) and stdin.st_rdev == os.stat(os.devnull).st_rdev
    except OSError:
        return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _mount_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/mnt").st_ino
    except OSError:
        return 0


def _note(what: str) -> None:
    if os.environ.get("SCCACHE_LOG"):
        child.write_all(2, f"sccache: note: {what}; the compiler runs uncached\n".encode(errors="replace"))


def _fail(what: str, name: bytes, why: str = "") -> NoReturn:
    text = b"sccache: error: " + what.encode() + b" `" + name + b"`" + (b": " + why.encode() if why else b"") + b"\n"
    child.write_all(2, text)
    os._exit(EXIT_NO_COMPILER)


def _run_python(role: str, arguments: Sequence[bytes]) -> NoReturn:
    """Hand over to the command line; beside an installed launcher that is a program of its own, as for the native one."""
    python = programs.python_beside_us()
    words = [b"sccache-python", role.encode(), *arguments]
    if not python:
        python = os.fsencode(sys.executable)
        ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        code = f"import sys; sys.path[0] = {ours!r}; from {_ROLES[role]} import main; sys.exit(main(sys.argv[1:]))"
        words = [python, b"-c", os.fsencode(code), *arguments]
    try:
        child.hand_over(python, words, programs.python_environment())
    except OSError as e:
        _fail("cannot run", python, e.strerror or str(e))


def main() -> NoReturn:
    """Be the command that we were called as (reference 1.2)."""
    child.default_signals()
    child.hold_stdio()
    called = os.fsencode(sys.argv[0])
    arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
    name = os.path.basename(called)
    stem = os.path.splitext(name)[0].lower()
    if stem == b"sccache-dist":
        _run_python("dist", arguments)
    if os.environ.get("SCCACHE_START_SERVER") == "1":
        _run_python("cli", arguments)
    if stem == b"sccache":
        if not arguments or arguments[0].startswith(b"-"):
            _run_python("cli", arguments)
        _Launch(arguments).run()
    compiler = programs.find(name)
    if not compiler:
        _fail("cannot find the compiler", called, "only sccache itself has that name on PATH")
    _Launch([called, *arguments], compiler).run()


if __name__ == "__main__":
    main()
