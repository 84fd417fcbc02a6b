"""Starting and stopping a server process for a test."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex((host, port)) == 0


class ServerProcess:
    """One program in the foreground, in a process group of its own, with its output in a file."""

    def __init__(self, argv: Sequence[str], folder: Path, ready: Callable[[], bool], env: Mapping[str, str] | None = None) -> None:
        self._argv = list(argv)
        self._folder = folder
        self._ready = ready
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / f"{Path(argv[0]).name}.log"

    def start(self) -> None:
        """Start it and wait until it is ready; RuntimeError with its output if it does not become so."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, cwd=self._folder, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{self._argv[0]} does not start:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)  # another process becomes ready: looked for, with a deadline

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the whole group; at once, unless another signal is given."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
