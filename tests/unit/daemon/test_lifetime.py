"""lifetime.py: what a started daemon has left behind, and what the one who waits is told."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sccache.config.load import load
from sccache.config.memory import ConfigMemory
from sccache.config.schema import Config
from sccache.daemon.claim import AddressInUseError, Claim
from sccache.daemon.lifetime import Failed, InUse, NotYet, Origin, Ready, Start, start_daemon, without_preloads
from sccache.errors import DaemonError, StorageError

Ready_ = Callable[[], None]


class Place:
    """A place in which daemons of one test live."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = {"HOME": str(path), "SCCACHE_SERVER_UDS": str(path / "socket"), "SCCACHE_ERROR_LOG": str(path / "log")}

    @property
    def config(self) -> Config:
        return load(self.env, str(self.path))

    def start(self, run: Callable[[ConfigMemory, Claim, Ready_], None], origin: Origin = Origin.USER) -> Start:
        def noted(memory: ConfigMemory, claim: Claim, ready: Ready_) -> None:
            (self.path / "pid").write_text(str(os.getpid()))
            run(memory, claim, ready)

        return start_daemon(self.config, self.env, origin, noted)

    def wait_for_end(self) -> None:
        """Wait until the last daemon is gone; it is our child."""
        os.waitpid(int((self.path / "pid").read_text()), 0)

    def told(self) -> dict[str, object]:
        """What a daemon wrote down about itself."""
        told: dict[str, object] = json.loads((self.path / "told").read_text())
        return told


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def wait_for_one(claim: Claim) -> None:
    """Serve until somebody connects."""
    assert claim.unix is not None
    claim.unix.settimeout(20.0)
    claim.unix.accept()[0].close()


def end(place: Place) -> None:
    """Let the daemon go."""
    give_up_s = time.monotonic() + 120.0
    while not (place.path / "socket").exists() and time.monotonic() < give_up_s:
        os.sched_yield()  # a daemon that is late may not even listen yet
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20.0)
        _connect(caller, place.env["SCCACHE_SERVER_UDS"], give_up_s)
        caller.recv(1)
    place.wait_for_end()


def _connect(caller: socket.socket, path: str, give_up_s: float) -> None:
    while True:
        try:
            caller.connect(path)
        except ConnectionRefusedError:  # bound, not listening yet
            if time.monotonic() > give_up_s:
                raise
        else:
            return


def test_ready(place: Place):
    """Ready means: it can be reached."""

    def run(_memory: ConfigMemory, claim: Claim, ready: Ready_) -> None:
        ready()
        wait_for_one(claim)

    assert place.start(run) == Ready(place.env["SCCACHE_SERVER_UDS"])
    assert place.start(run) == InUse()
    end(place)


def test_leaves_caller_behind(place: Place, monkeypatch: pytest.MonkeyPatch):
    """Session, directory, mask, streams, descriptors, signals and the build's variables are not the caller's."""
    pipe = os.pipe()
    monkeypatch.setenv("MAKEFLAGS", f"--jobserver-auth={pipe[0]},{pipe[1]}")
    monkeypatch.setenv("LD_PRELOAD", "")
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def run(_memory: ConfigMemory, claim: Claim, ready: Ready_) -> None:
        (place.path / "told").write_text(
            json.dumps(
                {
                    "session": os.getsid(0) == os.getpid(),
                    "cwd": os.getcwd(),
                    "umask": os.umask(0),
                    "stdin": os.readlink("/proc/self/fd/0"),
                    "stdout": os.readlink("/proc/self/fd/1"),
                    "stderr": os.readlink("/proc/self/fd/2"),
                    "pipes": [fd for fd in os.listdir("/proc/self/fd") if "pipe" in _target(fd)],
                    "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
                    "left": [name for name in ("MAKEFLAGS", "LD_PRELOAD") if name in os.environ],
                }
            )
        )
        ready()
        wait_for_one(claim)

    try:
        assert isinstance(place.start(run), Ready)
    finally:
        signal.signal(signal.SIGTERM, before)
        for fd in pipe:
            os.close(fd)
    told = place.told()
    end(place)
    assert len(told.pop("pipes")) == 1  # type: ignore[arg-type] -- the one through which it reports
    assert told == {
        "session": True, "cwd": "/", "umask": 0o077, "stdin": "/dev/null", "stdout": "/dev/null",
        "stderr": str(place.path / "log"), "term": True, "left": [],
    }  # fmt: skip


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def test_error(place: Place):
    """An error before it is ready reaches the one who waits, with its causes."""

    def run(_memory: ConfigMemory, _claim: Claim, _ready: Ready_) -> None:
        raise StorageError("the cache cannot be used") from OSError("no space")

    assert place.start(run) == Failed("the cache cannot be used: no space")


def test_bug(place: Place):
    """So does an error that nobody foresaw, and the log has the traceback."""

    def run(_memory: ConfigMemory, _claim: Claim, _ready: Ready_) -> None:
        raise ZeroDivisionError("oh")

    assert place.start(run) == Failed("ZeroDivisionError: oh")
    place.wait_for_end()
    assert "Traceback" in (place.path / "log").read_text()


def test_death(place: Place):
    """A daemon that dies without a word is a failure, at once."""

    def run(_memory: ConfigMemory, _claim: Claim, _ready: Ready_) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    assert place.start(run) == Failed("the server process ended without a word")


def test_late(place: Place):
    """The wait has an end; the daemon goes on."""
    (place.path / "c.toml").write_text("server_startup_timeout_ms = 30\n")
    place.env["SCCACHE_CONF"] = str(place.path / "c.toml")

    def run(_memory: ConfigMemory, claim: Claim, ready: Ready_) -> None:
        wait_for_one(claim)
        ready()

    assert place.start(run) == NotYet()
    end(place)


def test_errors_after_ready(place: Place):
    """Once ready has been said, the pipe's number may be another's: nothing more is written to it."""
    other = place.path / "other"

    def run(_memory: ConfigMemory, _claim: Claim, ready: Ready_) -> None:
        pipe = next(fd for fd in os.listdir("/proc/self/fd") if "pipe" in _target(fd))
        ready()
        os.dup2(os.open(other, os.O_WRONLY | os.O_CREAT), int(pipe))
        raise AddressInUseError

    assert isinstance(place.start(run), Ready)
    place.wait_for_end()
    assert other.read_bytes() == b""


def test_settings_by_origin(place: Place):
    """A daemon that a compile started keeps none of its settings for others."""
    place.env["SCCACHE_DIR"] = str(place.path / "mine")

    def run(memory: ConfigMemory, claim: Claim, ready: Ready_) -> None:
        (place.path / "told").write_text(json.dumps([memory.base.disk.dir, memory.get(b"").disk.dir]))
        ready()
        wait_for_one(claim)

    for origin, kept in ((Origin.USER, True), (Origin.COMPILE, False)):
        assert isinstance(place.start(run, origin), Ready)
        end(place)
        base, other = json.loads((place.path / "told").read_text())
        assert base == str(place.path / "mine")
        assert (other == base) is kept


def test_error_log(place: Place):
    """The error log is opened while the user can still be told; what the daemon says goes there."""
    place.env["SCCACHE_ERROR_LOG"] = str(place.path / "none" / "log")
    with pytest.raises(DaemonError, match=f"^Cannot open/write log file '{place.path}/none/log'$"):
        place.start(lambda *_: None)
    place.env["SCCACHE_ERROR_LOG"] = ""
    with pytest.raises(DaemonError, match=r"^Cannot read variable 'SCCACHE_ERROR_LOG'$"):
        place.start(lambda *_: None)


def test_preloads():
    """A command with something preloaded must run anew before it forks a daemon."""
    assert without_preloads({"PATH": "/bin", "LD_PRELOAD": ""}) is None
    assert without_preloads({"PATH": "/bin", "LD_PRELOAD": "/lib/x.so"}) == {"PATH": "/bin"}
