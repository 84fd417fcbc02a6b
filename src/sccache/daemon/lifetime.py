r"""How a daemon comes to be: the command that starts it forks it, and waits until it says that it is ready.

    <report> ::= "ok\n" <address> | "in use\n" | "error\n" <reason>      ; through a pipe, ended by its closing

Owns: leaving the caller behind (session, descriptors, signals, directory, environment), readiness, the log's place.
Must not know: what the daemon does (server.run), how the command line words things.
"""

import contextlib
import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Never

from msgspec import Struct

from sccache.config.memory import ConfigMemory
from sccache.config.schema import Config
from sccache.daemon.claim import AddressInUseError, Claim, claim
from sccache.errors import DaemonError, SccacheError
from sccache.protocol.address import from_env
from sccache.util.limits import raise_limit

log = logging.getLogger(__name__)

NOT_FOR_THE_DAEMON = (
    "LD_PRELOAD", "DYLD_INSERT_LIBRARIES",  # fakeroot, rr, build interceptors: about the build, not about us
    "MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS", "GNUMAKEFLAGS", "NINJA_STATUS",  # a jobserver that will be gone
    "SCCACHE_START_SERVER", "SCCACHE_CLIENT_SIDE",
)  # fmt: skip
PRELOADS = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES")
DAEMON_UMASK = 0o077
STDERR_FD = 2
MAX_REPORT = 1 << 16
LOG_WITHOUT_CHOICE = "warn"  # what an error log gets when SCCACHE_LOG says nothing


class Origin(Enum):
    """Who starts a daemon."""

    USER = "user"
    """--start-server or a service: its settings are for all, and it must have the TCP port."""
    COMPILE = "compile"
    """A compile in passing: its settings are its own, and the unix socket is enough."""


class Ready(Struct, frozen=True):
    """A daemon listens at `address`."""

    address: str


class InUse(Struct, frozen=True):
    """The address has a daemon, or another program has the port."""


class Failed(Struct, frozen=True):
    """There is no daemon, because of `reason`."""

    reason: str


class NotYet(Struct, frozen=True):
    """The daemon was not ready in time; it may become so later."""


Start = Ready | InUse | Failed | NotYet


Run = Callable[[ConfigMemory, Claim, Callable[[], None]], None]
"""Be the daemon of a claimed address, call the function when ready, return when it is time to stop."""


def start_daemon(config: Config, env: Mapping[str, str], origin: Origin, run: Run | None = None) -> Start:
    """Start a daemon in the background and wait until it is ready; raises DaemonError where that cannot even be tried.

    `run` is daemon.server.run, which only the new process imports, unless a test brings another.
    """
    log_fd = open_error_log(config)
    report_fd, child_fd = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as e:
        raise DaemonError(f"failed to start server process: {e}") from e
    if pid == 0:
        _become_daemon(_Daemon(config, env, origin, run), child_fd, log_fd)
    os.close(child_fd)
    if log_fd is not None:
        os.close(log_fd)
    with contextlib.closing(os.fdopen(report_fd, "rb", buffering=0)) as pipe:
        return _wait_for_report(pipe.fileno(), config.startup_timeout_s)


def run_in_foreground(config: Config, env: Mapping[str, str], run: Run | None = None) -> None:
    """Be the daemon in this process until told to stop; raises SccacheError if that cannot be."""
    log_fd = open_error_log(config)
    if log_fd is not None:
        os.dup2(log_fd, STDERR_FD)
        os.close(log_fd)
    _forget_the_build(config)
    _serve(_Daemon(config, env, Origin.USER, run), os.getcwd(), _Report(None))


def open_error_log(config: Config) -> int | None:
    """Open SCCACHE_ERROR_LOG while its errors can still reach the user's terminal."""
    path = config.error_log
    if path is None:
        return None
    if not path:
        raise DaemonError("Cannot read variable 'SCCACHE_ERROR_LOG'")
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as e:
        raise DaemonError(f"Cannot open/write log file '{path}'") from e


def without_preloads(env: Mapping[str, str]) -> dict[str, str] | None:
    """The environment in which a command must run anew before it forks a daemon, or None if nothing is loaded into us."""
    if not any(env.get(name) for name in PRELOADS):
        return None
    return {name: value for name, value in env.items() if name not in PRELOADS}


# ── in the daemon ────────────────────────────────────────────────────────────────────────────────────────────────────


class _Daemon(Struct, frozen=True):
    config: Config
    env: Mapping[str, str]
    origin: Origin
    run: Run | None


class _Report:
    """The pipe to the one who waits; only the first report counts, as the descriptor is another's after it."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def __call__(self, text: str) -> None:
        fd, self._fd = self._fd, None
        if fd is None:
            return
        with contextlib.suppress(OSError):  # the one who waited has gone
            os.write(fd, text.encode(errors="replace")[:MAX_REPORT])
        os.close(fd)


def _become_daemon(daemon: _Daemon, report_fd: int, log_fd: int | None) -> Never:
    """The forked child: leaves the caller behind, serves, and exits without ever returning into the caller's code."""
    code = 1
    report = _Report(report_fd)
    try:
        os.setsid()
        base_dir = os.getcwd()
        os.chdir("/")
        os.umask(DAEMON_UMASK)
        _leave_stdio(log_fd)
        _close_all_but(report_fd)
        _forget_the_build(daemon.config)
        _serve(daemon, base_dir, report)
        code = 0
    except AddressInUseError:
        report("in use\n")
    except SccacheError as e:
        report(f"error\n{_with_causes(e)}")
    except BaseException as e:  # noqa: BLE001 -- whatever it is, the one who waits shall read it
        report(f"error\n{type(e).__name__}: {e}")
        sys.excepthook(type(e), e, e.__traceback__)
    finally:
        os._exit(code)


def _serve(daemon: _Daemon, base_dir: str, report: _Report) -> None:
    _start_logging(daemon.config)
    address = from_env(daemon.env)
    by_user = daemon.origin is Origin.USER
    held = claim(address, port_must_be_free=by_user)
    try:
        settings = ConfigMemory(daemon.env, base_dir, keeps_settings=by_user)
        _log_start(settings.base)
        if by_user:
            _check_settings(settings.base)
        run = daemon.run or _real_run()
        run(settings, held, lambda: report(f"ok\n{address.display}"))
    finally:
        held.release()


def _log_start(config: Config) -> None:
    log.info("server has setup with %s", "ReadOnly" if config.disk.read_only else "ReadWrite")
    for sentence in config.warnings:
        log.warning("%s", sentence)


def _check_settings(config: Config) -> None:
    """Who starts a daemon explicitly learns at once that its storage cannot be; raises ConfigError.  No storage is asked anything."""
    if config.remotes or config.multilevel.chain:
        from sccache.storage import factory  # libraries for storages, not needed to find out that there is a daemon already

        factory.open_levels(config)


def _real_run() -> Run:
    from sccache.daemon import server  # most of the program; not needed to find out that there is a daemon already

    return server.run


def _leave_stdio(log_fd: int | None) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.dup2(null if log_fd is None else log_fd, STDERR_FD)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 -- for ever
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(STDERR_FD, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def _close_all_but(kept: int) -> None:
    """Pipes, locks and jobserver descriptors of a build must not be held by what outlives it."""
    try:
        found = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        found = list(range(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    for fd in found:
        if fd > STDERR_FD and fd != kept:
            with contextlib.suppress(OSError):  # the descriptor of the listing itself is gone already
                os.close(fd)


def _forget_the_build(config: Config) -> None:
    """Signals as in a fresh process, the build's own variables gone, limits as high as allowed."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGINT}:
        with contextlib.suppress(OSError, ValueError):  # some the system keeps for itself
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name in NOT_FOR_THE_DAEMON:
        os.environ.pop(name, None)
    raise_limit(resource.RLIMIT_NOFILE)
    if config.allow_core_dumps:
        raise_limit(resource.RLIMIT_CORE)
    else:  # a core has the credentials of storages in it
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _start_logging(config: Config) -> None:
    chosen = config.log if config.log is not None else LOG_WITHOUT_CHOICE if config.error_log else None
    if chosen is None or (not config.error_log and not config.no_daemon):
        return  # nobody could read it
    from sccache.util import logs

    logs.setup(chosen, milliseconds=config.log_millis)


def _with_causes(error: BaseException) -> str:
    text = str(error)
    while (cause := error.__cause__) is not None:
        text += f": {cause}"
        error = cause
    return text


# ── in the command that waits ────────────────────────────────────────────────────────────────────────────────────────


def _wait_for_report(fd: int, timeout_s: float) -> Start:
    deadline = time.monotonic() + timeout_s
    report = b""
    while True:
        readable, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return NotYet()
        data = os.read(fd, MAX_REPORT)
        if not data:
            return _read_report(report.decode())
        report += data


def _read_report(report: str) -> Start:
    kind, _, rest = report.partition("\n")
    match kind:
        case "ok":
            return Ready(rest)
        case "in use":
            return InUse()
        case "error":
            return Failed(rest)
        case _:
            return Failed("the server process ended without a word")
