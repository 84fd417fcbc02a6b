"""Both launchers, and a daemon that follows a script: the launchers' side of the protocol is what is tested here."""

import array
import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from sccache.protocol import messages
from sccache.protocol.address import from_env
from sccache.protocol.framing import FrameBuffer
from sccache.protocol.version import VERSION_TEXT

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
"""No test comes near it; a launcher that hangs fails its test instead of stopping the run."""


class Peer:
    """The daemon's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.fds: list[int] = []
        self._buffer = FrameBuffer()
        message = messages.parse_request(self.body())
        assert isinstance(message, messages.CompileMessage)
        self.compile = message

    def body(self) -> bytes:
        while (body := self._buffer.take()) is None:
            data, control, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_SPACE(16))
            for _level, _kind, fds in control:
                self.fds += array.array("i", fds[: len(fds) - len(fds) % 4]).tolist()
            if not data:
                raise EOFError
            self._buffer.feed(data)
        return body

    def send(self, frame: bytes) -> None:
        self.socket.sendall(frame)

    def ask(
        self, flags: int, *argv: str | bytes, executable: bytes = b"", env: tuple[bytes, ...] = (), scratch: tuple[bytes, ...] = ()
    ) -> None:
        self.send(messages.encode_run(messages.Run(flags, executable, [os.fsencode(a) for a in argv], env, scratch)))

    def ran(self) -> messages.Ran:
        """The next Ran, with the streams that came as descriptors put in."""
        message = messages.parse_request(self.body())
        assert isinstance(message, messages.Ran)
        assert len(self.fds) == message.fd_count
        streams = [message.stdout, message.stderr]
        for i, flag in enumerate((messages.RAN_STDOUT_FD, messages.RAN_STDERR_FD)):
            if message.flags & flag:
                fd = self.fds.pop(0)
                streams[i] = os.pread(fd, os.fstat(fd).st_size, 0)
                os.close(fd)
        return messages.Ran(message.status, message.flags, message.duration_ns, *streams)

    def run(self, flags: int, *argv: str | bytes, **more: object) -> messages.Ran:
        self.ask(flags, *argv, **more)  # type: ignore[arg-type]
        return self.ran()

    def hung_up(self) -> bool:
        try:
            self.body()
        except (EOFError, ConnectionResetError):
            return True
        return False


Script = Callable[[Peer], None]


class ScriptedDaemon:
    """Listens, and follows one script per connection, in order; the last one repeats."""

    def __init__(self, address: str, *scripts: Script) -> None:
        self.address = address
        self.scripts = list(scripts)
        self.connections = 0
        self.failures: list[BaseException] = []
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listener.bind(os.fsencode(self.address))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self) -> None:
        threads = []
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                break
            sock.settimeout(LIMIT_S)
            thread = threading.Thread(target=self._talk, args=(sock,), daemon=True)
            threads.append(thread)
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)

    def _talk(self, sock: socket.socket) -> None:
        with sock:
            try:
                peer = Peer(sock)
                script = self.scripts[min(self.connections, len(self.scripts) - 1)]
                self.connections += 1
                script(peer)
            except EOFError:
                return  # the launcher only looked whether somebody is there, or was killed
            except BaseException as e:  # noqa: BLE001  # shown by the test that waits for us
                self.failures.append(e)

    def stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if not self.address.startswith("\0"):
            Path(self.address).unlink(missing_ok=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop_listening()
        self._thread.join(LIMIT_S)
        if self.failures and error is None:
            raise self.failures[0]


class Launcher:
    """An installed launcher: a directory with `sccache`, `sccache-dist` and `sccache-python`."""

    def __init__(self, kind: str, bin_dir: Path, tmp: Path) -> None:
        self.kind = kind
        self.bin = bin_dir
        self.tmp = tmp
        self.program = bin_dir / "sccache"
        self.address = str(tmp / "sock")
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SCCACHE", "PYTHON"))},
            "SCCACHE_SERVER_UDS": self.address,
            "SCCACHE_LAUNCHER_DEADLINE_MS": str(LIMIT_S * 1000),
        }

    def daemon(self, *scripts: Script) -> ScriptedDaemon:
        return ScriptedDaemon(self.address, *scripts)

    def start(
        self, *argv: str | bytes, program: Path | None = None, env: dict[str, str] | None = None, **options: object
    ) -> "subprocess.Popen[bytes]":
        defaults: dict[str, object] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.tmp}
        command = [program or self.program, *argv]
        return subprocess.Popen(command, env=self.env | (env or {}), **(defaults | options))  # type: ignore[call-overload,no-any-return]

    def run(self, *argv: str | bytes, input_: bytes | None = None, **options: object) -> "subprocess.CompletedProcess[bytes]":
        if input_ is not None:
            options["stdin"] = subprocess.PIPE
        process = self.start(*argv, **options)  # type: ignore[arg-type]
        try:
            out, err = process.communicate(input_, timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def script(self, name: str, text: str, interpreter: str = "#!/bin/sh") -> str:
        """Write a small program (a compiler, say) and give its path."""
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{interpreter}\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def use_interpreter(self, python: str) -> None:
        """Let the Python launcher run with another interpreter."""
        text = self.program.read_text().split("\n", 1)[1]
        self.program.unlink()
        self.script("bin/sccache", text, interpreter=f"#!{python}")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories `c` (without libc where that works), `c-libc` and `python`, each with an installed launcher."""
    base = tmp_path_factory.mktemp("installed")
    spec = importlib.util.spec_from_file_location("native_compile", ROOT / "native" / "compile.py")
    assert spec is not None
    assert spec.loader is not None
    native = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(native)
    for name, without_libc in (("c", True), ("c-libc", False)):
        (base / name).mkdir()
        native.compile_launcher(base / name / "sccache", VERSION_TEXT.decode(), without_libc=without_libc)
    (base / "python").mkdir()
    (base / "python" / "sccache").write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[0] = {str(ROOT / 'src')!r}\nfrom sccache.launcher import main\nmain()\n"
    )
    (base / "python" / "sccache").chmod(0o755)
    return base


@pytest.fixture(params=["c", "c-libc", "python"])
def launcher(request: pytest.FixtureRequest, installed: Path) -> Iterator[Launcher]:
    """One of the launchers in a short-named directory of its own (a socket's path has at most 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="scl-") as tmp:
        bin_dir = Path(tmp, "bin")
        bin_dir.mkdir()
        os.link(installed / request.param / "sccache", bin_dir / "sccache")
        os.link(installed / request.param / "sccache", bin_dir / "sccache-dist")
        one = Launcher(request.param, bin_dir, Path(tmp))
        one.script("bin/sccache-python", "exit 1")
        yield one
        address = from_env({"SCCACHE_SERVER_UDS": one.address})
        for path in (address.lock_path, address.failed_path, address.silent_path):
            Path(path).unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a test that waits for ever."""
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(2 * LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
