"""Whatever becomes of the daemon, the caller gets what the compiler alone would have given."""

import os
import signal
import stat
import struct
import subprocess
import time
from pathlib import Path

import pytest

from sccache.protocol import messages
from sccache.protocol.address import from_env
from sccache.protocol.messages import RUN_CAPTURE_STDERR, RUN_CAPTURE_STDOUT, RUN_IS_COMPILE

BOTH = RUN_CAPTURE_STDOUT | RUN_CAPTURE_STDERR
COMPILE = BOTH | RUN_IS_COMPILE


@pytest.fixture
def compiler(launcher):
    """A compiler that leaves a line in `runs` whenever it runs."""
    return launcher.script("cc", 'echo run >> runs; echo "out $1"; echo "err $1" >&2; exit 3')


def runs(launcher):
    try:
        return len((launcher.tmp / "runs").read_text().splitlines())
    except FileNotFoundError:
        return 0


def plain(done):
    return (done.returncode, done.stdout, done.stderr) == (3, b"out x\n", b"err x\n")


def hang_up(_peer):
    """Close at once."""


def frame(body):
    return struct.pack(">I", len(body)) + body


GARBAGE = {
    "no frame": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "half a header": b"\0\0",
    "half a body": b"\0\0\0\x40\x81",
    "empty body": b"\0\0\0\0",
    "too long": b"\xff\xff\xff\xff" + b"x" * 100,
    "unknown type": frame(b"\x7f"),
    "short finish": frame(b"\x81\0\0"),
    "finish with a lying blob": frame(b"\x81\0\0\0\0\0\xff\xff\xff\xff"),
    "finish with a rest": messages.encode_finish(0)[:3] + b"\x0f" + messages.encode_finish(0)[4:] + b"!",
    "replay before any run": messages.encode_replay(),
    "exec without end of list": frame(b"\x82\0\0\0\0\0\0\0\x01x\0\0\0\0"),
    "exec with NUL in its path": frame(b"\x82\0\0\0\x02x\0\0\0\0\0\0\0\0\0"),
    "run without command": frame(b"\x83\0\0" + b"\0" * 16),
    "a request": messages.encode_ran(messages.Ran(0, 0, 0, b"", b"")),
    "control reply": messages.encode_control_reply(b"{}"),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_nonsense(launcher, compiler, what):
    """Bytes that are no message: the compiler runs, once, and nothing else is printed."""
    with launcher.daemon(lambda peer: peer.send(GARBAGE[what])):
        assert plain(launcher.run(compiler, "x"))
    assert runs(launcher) == 1


def test_hang_up_after_connecting(launcher, compiler):
    """A daemon that dies before it answers."""
    with launcher.daemon(hang_up):
        assert plain(launcher.run(compiler, "x"))


def test_silence(launcher, compiler):
    """A daemon that says nothing is given up after a while."""
    with launcher.daemon(lambda peer: peer.hung_up()):
        assert plain(launcher.run(compiler, "x", env={"SCCACHE_LAUNCHER_DEADLINE_MS": "50"}))


def test_a_hung_daemon_costs_a_build_little(launcher, compiler):
    """After one launcher waited in vain the next ones wait a fifteenth, until the daemon speaks again."""
    silent = Path(from_env(launcher.env).silent_path)
    Path(silent).parent.mkdir(mode=0o700, exist_ok=True)
    with launcher.daemon(lambda peer: peer.hung_up()):
        assert plain(launcher.run(compiler, "x", env={"SCCACHE_LAUNCHER_DEADLINE_MS": "30"}))
        assert silent.exists()
        started = time.monotonic()
        assert plain(launcher.run(compiler, "x", env={"SCCACHE_LAUNCHER_DEADLINE_MS": "15000"}))
        assert time.monotonic() - started < 15

    with launcher.daemon(lambda peer: peer.send(messages.KEEP_ALIVE_FRAME + messages.encode_exec())):
        assert plain(launcher.run(compiler, "x"))
    assert not silent.exists()


def test_a_directory_that_is_gone(launcher, compiler):
    """Without a working directory the daemon cannot help; the compiler decides what that means."""
    gone = launcher.tmp / "gone"
    gone.mkdir()
    marker = launcher.script("cc2", f"echo still runs; rmdir {gone} 2>/dev/null; exit 3")
    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(0))):
        process = launcher.start(marker, cwd=gone, preexec_fn=lambda: os.rmdir(gone))
        assert process.communicate(timeout=120)[0] == b"still runs\n"
    assert process.returncode == 3


def test_silence_after_a_keep_alive_and_half_a_frame(launcher, compiler):
    """Bytes that never become a message do not count for ever."""

    def script(peer):
        peer.send(messages.KEEP_ALIVE_FRAME + messages.encode_finish(0)[:7])
        peer.hung_up()

    with launcher.daemon(script):
        assert plain(launcher.run(compiler, "x", env={"SCCACHE_LAUNCHER_DEADLINE_MS": "50"}))


def test_lost_after_a_preprocessor_run(launcher, compiler):
    """What a helper command printed is forgotten; the compiler runs; its private files are removed."""
    scratch = launcher.tmp / "scratch"

    def script(peer):
        peer.run(BOTH, "sh", "-c", "echo preprocessed; touch scratch", scratch=(os.fsencode(scratch), b"/no/such"))

    with launcher.daemon(script):
        assert plain(launcher.run(compiler, "x"))
    assert not scratch.exists()
    assert runs(launcher) == 1


def test_lost_after_the_compile(launcher, compiler):
    """The compile's result is passed on; it does not run again."""
    scratch = launcher.tmp / "scratch"
    scratch.touch()
    with launcher.daemon(lambda peer: peer.run(COMPILE, compiler, "x", scratch=(os.fsencode(scratch),)) and None):
        assert plain(launcher.run(compiler, "x"))
    assert runs(launcher) == 1
    assert not scratch.exists()


def test_nonsense_after_the_compile(launcher, compiler):
    """As when the daemon dies."""

    def script(peer):
        peer.run(COMPILE, compiler, "x")
        peer.send(frame(b"\x99"))

    with launcher.daemon(script):
        assert plain(launcher.run(compiler, "x"))
    assert runs(launcher) == 1


def test_lost_after_something_that_followed_the_compile(launcher, compiler):
    """The compile's result counts, not the later command's."""

    def script(peer):
        peer.run(COMPILE, compiler, "x")
        peer.run(BOTH, "sh", "-c", "echo later")

    with launcher.daemon(script):
        assert plain(launcher.run(compiler, "x"))


@pytest.mark.parametrize("last_words", [b"", b"\0\0", frame(b"\x81")], ids=["eof", "half a frame", "wrong message"])
def test_lost_while_compiling(launcher, last_words):
    """The compile under way is waited for and is the answer."""
    compiler = launcher.script("cc", 'echo run >> runs; read line; echo "got $line"; exit 3')
    gone = []

    def script(peer):
        peer.ask(COMPILE, compiler)
        peer.send(last_words)
        gone.append(True)

    with launcher.daemon(script) as daemon:
        process = launcher.start(compiler, stdin=subprocess.PIPE)
        while not gone:
            assert process.poll() is None
        daemon.stop_listening()
        out, err = process.communicate(b"more\n", timeout=120)
    assert (process.returncode, out, err) == (3, b"got more\n", b"")
    assert runs(launcher) == 1


def test_lost_while_preprocessing(launcher, compiler):
    """A helper under way comes to its end, then the compiler runs."""

    def script(peer):
        peer.ask(BOTH, "sh", "-c", "echo helper > helper")

    with launcher.daemon(script):
        assert plain(launcher.run(compiler, "x"))
    assert (launcher.tmp / "helper").exists()
    assert runs(launcher) == 1


def test_compile_that_could_not_start_then_lost(launcher, compiler):
    """Without a compile there is no result to pass on: the original command runs."""
    with launcher.daemon(lambda peer: peer.run(COMPILE, "x", executable=b"/no/such") and None):
        assert plain(launcher.run(compiler, "x"))


def test_lost_after_a_killed_compile(launcher):
    """The caller sees the signal."""
    compiler = launcher.script("cc", "kill -ABRT $$")
    with launcher.daemon(lambda peer: peer.run(COMPILE, compiler) and None):
        assert launcher.run(compiler).returncode == -signal.SIGABRT


def test_a_daemon_that_goes_round_in_circles(launcher, compiler):
    """After 1024 Runs the launcher has had enough."""

    def script(peer):
        for _ in range(1024):
            peer.run(BOTH, "/bin/true")
        peer.ask(BOTH, "/bin/true")
        assert peer.hung_up()

    with launcher.daemon(script):
        assert plain(launcher.run(compiler, "x"))


@pytest.mark.parametrize("code", [-500, -64, -(1 << 31) + 1])
def test_a_signal_that_does_not_exist(launcher, code):
    """Some failure, no message, no hanging."""
    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(code))):
        done = launcher.run("gcc")
    assert done.returncode != 0 or code == -(1 << 31) + 1
    assert (done.stdout, done.stderr) == (b"", b"")


def test_exec_of_a_missing_program(launcher, compiler):
    """A daemon that names a program that is not there cannot break the build."""
    with launcher.daemon(lambda peer: peer.send(messages.encode_exec(b"/no/such"))):
        assert plain(launcher.run(compiler, "x"))


def test_missing_compiler(launcher):
    """One sentence, and sccache's exit code."""
    with launcher.daemon(lambda peer: peer.send(messages.encode_exec())):
        done = launcher.run("no-such-compiler", "-c")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"sccache: error: cannot find the compiler `no-such-compiler`\n"


def test_compiler_that_cannot_run(launcher):
    """One sentence names it and says why."""
    path = launcher.tmp / "cc"
    path.write_text("")
    with launcher.daemon(hang_up):
        done = launcher.run(str(path))
    assert done.returncode == 2
    assert done.stderr == f"sccache: error: cannot run the compiler `{path}`: Permission denied\n".encode()


def test_notes_only_when_asked(launcher, compiler):
    """SCCACHE_LOG makes the launcher say that the daemon is lost."""
    with launcher.daemon(hang_up):
        done = launcher.run(compiler, "x", env={"SCCACHE_LOG": "info"})
    assert done.stderr.startswith(b"sccache: note: ")
    assert done.stderr.endswith(b"err x\n")


def system_python():
    """An interpreter that any user can execute."""
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        version = subprocess.run([path, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True, check=False)
        if version.stdout == b"True\n":
            return path
    pytest.skip("no Python that other users can execute")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user's runtime directory needs root to be made")


@needs_root
@pytest.mark.parametrize(
    ("mode", "owner", "is_link"), [(0o755, "its", False), (0o700, "root", False), (0o700, "its", True), (0o700, "its", False)]
)
def test_runtime_directory_must_be_private(launcher, compiler, mode, owner, is_link):
    """A directory that others could write or that is not ours is not used; the compiler runs."""
    if launcher.kind == "python":
        launcher.use_interpreter(system_python())
    uid = 100_000 + os.getpid()  # tests that run at the same time must not meet
    path = f"/tmp/sccache-{uid}"
    subprocess.run(["rm", "-rf", path, path + "-real"], check=True)
    real = path + "-real" if is_link else path
    os.mkdir(real)
    os.chmod(real, mode)
    os.chown(real, *[uid if owner == "its" else 0] * 2)
    if is_link:
        os.symlink(real, path)
    launcher.tmp.chmod(0o777)
    is_good = (mode, owner, is_link) == (0o700, "its", False)
    launcher.address = f"{real}/4999.sock"
    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(5))):
        os.chmod(launcher.address, 0o777)
        done = launcher.run(
            compiler, "x", user=uid, env={"SCCACHE_SERVER_UDS": "", "SCCACHE_SERVER_PORT": "4999"},
        )  # fmt: skip
    try:
        # The good directory's daemon runs as root, which is not that user: it is not believed either.
        assert plain(done)
        assert stat.S_IMODE(os.stat(real).st_mode) == mode
        assert is_good or not os.path.exists(f"{real}/4999.failed")
    finally:
        subprocess.run(["rm", "-rf", path, path + "-real"], check=True)
