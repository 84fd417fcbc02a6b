"""Signals stop a compile at once, leave no process, and are seen by the caller as the compiler's own."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import time

import pytest

from sccache.protocol import messages
from sccache.protocol.messages import RUN_CAPTURE_STDERR, RUN_CAPTURE_STDOUT, RUN_IS_COMPILE

COMPILE = RUN_CAPTURE_STDOUT | RUN_CAPTURE_STDERR | RUN_IS_COMPILE
LIMIT_S = 20


def is_gone(pid):
    """True once the process has ended (a zombie whose parent is yet to look counts as ended)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_gone(pid):
    end = time.monotonic() + LIMIT_S
    while not is_gone(pid):
        assert time.monotonic() < end, f"process {pid} is still there"
        os.sched_yield()


class Running:
    """A launcher whose child waits for a signal; the child's pid is known and it is certainly up."""

    def __init__(self, launcher, script, **options):
        self.fifo = launcher.tmp / "fifo"
        os.mkfifo(self.fifo)
        self.command = launcher.script("cc", script.replace("UP", f"echo $$ > {self.fifo}"))
        self.peers = []
        self.hung_up = []
        self.scratch = launcher.tmp / "scratch"
        self.scratch.touch()
        self.daemon = launcher.daemon(self.talk)
        self.launcher = launcher
        self.options = options

    def talk(self, peer):
        peer.ask(COMPILE, self.command, scratch=(os.fsencode(self.scratch),))
        try:
            peer.ran()
        except EOFError:
            self.hung_up.append(True)
            return
        peer.send(messages.encode_replay())

    def __enter__(self):
        self.daemon.__enter__()
        self.process = self.launcher.start(self.command, **self.options)
        self.child = int(self.fifo.read_text())
        return self

    def __exit__(self, *error):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.child, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.daemon.__exit__(*error)


WAITS = "UP; exec sleep 1000"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_launcher_only(launcher, number):
    """The child gets it too; the launcher then dies of it; private files are gone and the daemon knows."""
    with Running(launcher, WAITS) as run:
        run.process.send_signal(number)
        assert run.process.wait(LIMIT_S) == -number
        assert is_gone(run.child)
        assert not run.scratch.exists()
    assert run.hung_up == [True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group(launcher, number):
    """What ninja does to a job: each process gets it once, and the compiler's own cleaning up is not disturbed."""
    on_signal = f"echo cleaned >> cleaned; trap - {number.value}; kill -{number.value} $$"
    script = f'trap "{on_signal}" {number.value}; UP; while :; do :; done'
    with Running(launcher, script, start_new_session=True) as run:
        os.killpg(run.process.pid, number)
        assert run.process.wait(LIMIT_S) == -number
        assert is_gone(run.child)
    assert (launcher.tmp / "cleaned").read_text() == "cleaned\n"


def test_ctrl_c_at_a_terminal(launcher):
    """The key itself."""
    ours, theirs = pty.openpty()

    def take_terminal():
        os.setsid()
        fcntl.ioctl(theirs, 0x540E, 0)  # TIOCSCTTY

    with Running(launcher, WAITS, stdin=theirs, preexec_fn=take_terminal) as run:
        os.write(ours, b"\x03")
        assert run.process.wait(LIMIT_S) == -signal.SIGINT
        wait_gone(run.child)
    os.close(ours)
    os.close(theirs)


def test_a_killed_launcher_takes_its_child_along(launcher):
    """SIGKILL cannot be caught; the kernel ends the child (the native launcher only)."""
    if launcher.kind == "python":
        pytest.skip("Python cannot ask the kernel for that without ctypes, which costs every start 10 ms")
    with Running(launcher, WAITS) as run:
        run.process.kill()
        wait_gone(run.child)


def test_a_child_that_dies_by_a_signal(launcher):
    """Somebody kills the compiler: the caller sees that signal."""
    with Running(launcher, WAITS) as run:
        os.kill(run.child, signal.SIGKILL)
        assert run.process.wait(LIMIT_S) == -signal.SIGKILL


def test_ignored_signals_stay_ignored(launcher):
    """Under nohup and in background jobs: what the caller ignores, launcher and compiler ignore."""

    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    script = "UP; read line; echo $line"
    with Running(launcher, script, preexec_fn=ignore, stdin=subprocess.PIPE) as run:
        for number in (signal.SIGHUP, signal.SIGINT):
            run.process.send_signal(number)
        out, _ = run.process.communicate(b"survived\n", timeout=LIMIT_S)
    assert (run.process.returncode, out) == (0, b"survived\n")


@pytest.mark.parametrize("how", ["run", "exec"])
def test_the_child_starts_with_the_callers_signals(launcher, how):
    """Dispositions and mask are as the compiler alone would have found them."""
    show = "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"

    def talk(peer):
        if how == "run":
            peer.run(COMPILE, "sh", "-c", show)
            peer.send(messages.encode_replay())
        else:
            peer.send(messages.encode_exec(argv=[b"sh", b"-c", show.encode()]))

    def caller():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])

    with launcher.daemon(talk):
        done = launcher.run("gcc", preexec_fn=caller)
    plain = subprocess.run(["sh", "-c", show], preexec_fn=caller, capture_output=True, check=True)
    assert standard_signals(done.stdout) == standard_signals(plain.stdout)


def standard_signals(status):
    """Signals 32 and 33 are glibc's own; its posix_spawn ignores them, which no program can tell."""
    return {line.split()[0]: int(line.split()[1], 16) & 0x7FFFFFFF for line in status.decode().splitlines()}


def test_a_stopped_launcher_goes_on(launcher):
    """Ctrl-Z and fg while the daemon works: no answer is lost."""
    go = launcher.tmp / "go"
    os.mkfifo(go)

    def talk(peer):
        go.write_text("connected")
        go.read_text()
        peer.send(messages.encode_finish(0, b"answer"))

    with launcher.daemon(talk):
        process = launcher.start("gcc")
        assert go.read_text() == "connected"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        process.send_signal(signal.SIGCONT)
        go.write_text("answer now")
        out, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (0, b"answer")


def test_closed_standard_streams(launcher):
    """With 0, 1 and 2 closed our own files must not take their numbers: nothing is written into the socket."""

    def close():
        for fd in range(3):
            os.close(fd)

    def talk(peer):
        ran = peer.run(COMPILE, "sh", "-c", "echo out; echo err >&2; exit 4")
        assert (ran.status, ran.stdout, ran.stderr) == (4, b"out\n", b"err\n")
        peer.send(messages.encode_replay())

    with launcher.daemon(talk):
        done = launcher.run("gcc", preexec_fn=close)
    assert (done.returncode, done.stdout, done.stderr) == (4, b"", b"")


@pytest.mark.parametrize("ignored", [False, True])
def test_nobody_reads_the_output(launcher, ignored):
    """A closed pipe kills as it kills other programs, or is ignored if the caller ignores SIGPIPE."""
    read, write = os.pipe()
    os.close(read)

    def pipe_signal():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN if ignored else signal.SIG_DFL)

    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(6, b"lost", b"seen"))):
        done = launcher.run("gcc", stdout=write, preexec_fn=pipe_signal)
    os.close(write)
    if ignored and launcher.kind != "python":
        assert (done.returncode, done.stderr) == (6, b"seen")
    else:  # Python forgets at its start whether SIGPIPE was ignored
        assert done.returncode == -signal.SIGPIPE


def test_slow_and_non_blocking_output(launcher):
    """A pipe that is full and non-blocking loses nothing."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    text = os.urandom(1_000_000)
    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(0, text))):
        process = launcher.start("gcc", stdout=write)
        os.close(write)
        got = b""
        while chunk := os.read(read, 1 << 16):
            got += chunk
            select.select([read], [], [], LIMIT_S)
        assert process.wait(LIMIT_S) == 0
        process.communicate()
    os.close(read)
    assert got == text
