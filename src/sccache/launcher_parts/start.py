"""Get a daemon: one launcher of many starts it, the others wait; every wait has an end, failing is remembered for a while.

Owns: the election.  Must not know: what is said to the daemon.  Twin of native/launcher_start.c.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from sccache.errors import DaemonError
from sccache.launcher_parts import programs
from sccache.protocol import blocking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sccache.protocol.address import Address

START_S = 30.0
LOCK_S = 35.0
POLL_S = 0.01
FAILED_COUNTS_S = 10.0


def connect_or_start(address: Address, timeout_s: float) -> blocking.Connection:
    """Connect; start a daemon if there is none."""
    try:
        return blocking.connect(address, timeout_s)
    except blocking.NoDaemonError:
        return start(address, timeout_s)


def start(address: Address, timeout_s: float) -> blocking.Connection:
    """Connect to a daemon that we or another launcher started; DaemonError if there is none in the end."""
    if not blocking.make_private_dir(address.runtime_dir):
        raise DaemonError(f"{address.runtime_dir} cannot be used")
    if _failed_just_now(address):
        raise DaemonError("the daemon could not be started a moment ago")
    lock = _lock(address)
    try:
        try:
            return blocking.connect(address, timeout_s)
        except blocking.NoDaemonError:
            return _start_locked(address, timeout_s)
    finally:
        os.close(lock)


def _start_locked(address: Address, timeout_s: float) -> blocking.Connection:
    if _failed_just_now(address):
        raise DaemonError("the daemon could not be started a moment ago")
    started = False
    try:
        started = _run_start_command()
        connection = blocking.connect(address, timeout_s)
    except DaemonError:
        started = False
        raise
    finally:
        if not started:
            stamp(address.failed_path)
    return connection


def _failed_just_now(address: Address) -> bool:
    return is_stamped(address.failed_path, FAILED_COUNTS_S)


def is_stamped(path: str, for_s: float) -> bool:
    """Tell whether a launcher left this stamp a moment ago."""
    try:
        return abs(time.time() - os.lstat(path).st_mtime) < for_s
    except OSError:
        return False


def stamp(path: str) -> None:
    """Tell other launchers what this one has met."""
    if not blocking.is_private_dir(os.path.dirname(path)):
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        os.write(fd, b"\n")
        os.close(fd)
    except OSError:
        return  # a full disk: the next launcher tries again, which is all that is lost


def unstamp(path: str) -> None:
    """Take a stamp back."""
    try:
        os.unlink(path)
    except OSError:
        return  # somebody else was quicker


def _lock(address: Address) -> int:
    fd = os.open(address.lock_path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    if os.name == "nt":
        return fd  # several launchers may start a daemon there; all but one find the port taken
    import fcntl

    def try_lock() -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    if not _wait_until(try_lock, LOCK_S):
        os.close(fd)
        raise DaemonError("another launcher starts a daemon for ever")
    return fd


def _run_start_command() -> bool:
    python = programs.python_beside_us()
    if os.name == "nt" or python is None:
        return _run_start_command_elsewhere()
    pid = os.fork()
    if pid == 0:
        _become_start_command(python)
    result: list[int] = []

    def is_gone() -> bool:
        gone, waited = os.waitpid(pid, os.WNOHANG)
        if gone:
            result.append(waited)
        return bool(gone)

    if _wait_until(is_gone, START_S):
        return result == [0]
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def _become_start_command(python: bytes) -> None:
    """In the forked child.  A daemon outlives this build step: it must hold none of its pipes, locks and jobserver descriptors."""
    try:
        os.setsid()  # Ctrl-C stops this build, not the daemon that others will use
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), 1 << 16))
        os.execve(python, [b"sccache-python", b"cli", b"--start-server-for-compile"], programs.python_environment())
    finally:
        os._exit(127)


def _run_start_command_elsewhere() -> bool:
    import subprocess

    code = "import sys; from sccache.cli import main; sys.exit(main(['--start-server-for-compile']))"
    null = subprocess.DEVNULL
    try:
        return (
            subprocess.run([sys.executable, "-c", code], stdin=null, stdout=null, stderr=null, timeout=START_S, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _wait_until(is_so: Callable[[], bool], timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
    return True
