"""What a compiler says on stderr reaches the caller while it works, once, and the daemon too (Run.flags 32)."""

import contextlib
import os
import pty
import select
import shutil
import signal
import socket
import subprocess

import pytest

from sccache.protocol import messages
from sccache.protocol.messages import RUN_CAPTURE_STDERR, RUN_CAPTURE_STDOUT, RUN_IS_COMPILE, RUN_ON_TERMINAL, RUN_STREAM_STDERR

STREAMED = RUN_CAPTURE_STDOUT | RUN_CAPTURE_STDERR | RUN_IS_COMPILE | RUN_STREAM_STDERR
MUCH = 3_000_000
LIMIT_S = 60


def _compile_and_replay(seen, *argv, flags=STREAMED):
    def script(peer):
        seen.append(peer.run(flags, *argv))
        peer.send(messages.encode_replay())

    return script


@pytest.fixture
def go(launcher):
    """A compiler that reads this pipe goes on when the test writes into it."""
    path = launcher.tmp / "go"
    os.mkfifo(path)
    return path


def test_heard_while_it_works(launcher, go):
    """Each piece comes when it is written, whole lines or not; stdout waits for the answer; nothing comes twice."""
    seen = []
    with launcher.daemon(_compile_and_replay(seen, "sh", "-c", "printf 'first\nhal' >&2; echo out; read x < go; echo f >&2; exit 3")):
        process = launcher.start("rustc")
        heard = b""
        while heard != b"first\nhal":
            heard += os.read(process.stderr.fileno(), 100)
        assert not select.select([process.stdout], [], [], 0)[0]
        go.write_text("\n")
        out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out, err) == (3, b"out\n", b"f\n")
    assert [(ran.status, ran.stdout, ran.stderr) for ran in seen] == [(3, b"out\n", b"first\nhalf\n")]


def test_much_is_said(launcher):
    """More than any pipe holds, to the last byte, for caller and daemon."""
    seen = []
    code = f"import sys; sys.stderr.write('0123456789abcde\\n' * {MUCH // 16}); sys.stderr.flush(); sys.exit(1)"
    with launcher.daemon(_compile_and_replay(seen, "python3", "-c", code)):
        done = launcher.run("rustc")
    assert done.returncode == 1
    assert done.stderr == seen[0].stderr == b"0123456789abcde\n" * (MUCH // 16)


def test_the_last_words(launcher):
    """What is written just before the end is never lost."""
    seen = []

    def script(peer):
        seen.extend(peer.run(STREAMED, "sh", "-c", f"echo {i} >&2").stderr for i in range(40))
        peer.send(messages.encode_replay())

    with launcher.daemon(script):
        done = launcher.run("rustc")
    assert seen == [b"%d\n" % i for i in range(40)]
    assert done.stderr == b"".join(seen)


@pytest.mark.parametrize("blocks", [True, False])
def test_a_caller_that_reads_late(launcher, blocks):
    """The compiler need not wait for it, and it misses nothing."""
    read, write = os.pipe()
    os.set_blocking(write, blocks)
    seen = []
    told, tell = os.pipe()

    def script(peer):
        seen.append(peer.run(STREAMED, "sh", "-c", f"yes | head -c {MUCH} >&2; exit 5"))
        os.write(tell, b"ran")
        peer.send(messages.encode_replay())

    with launcher.daemon(script):
        process = launcher.start("rustc", stderr=write)
        os.close(write)
        assert os.read(told, 3) == b"ran"  # all of it, though nobody has read anything
        with open(read, "rb") as file:
            heard = file.read()
        assert process.wait(LIMIT_S) == 5
        process.communicate()
    assert heard == seen[0].stderr == b"y\n" * (MUCH // 2)
    for fd in (told, tell):
        os.close(fd)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_nobody_reads(launcher, go, when):
    """The compile ends by itself and the daemon has all of it; then we die as other programs do who write there."""
    read, write = os.pipe()
    seen = []
    if when == "before":
        os.close(read)
    with launcher.daemon(_compile_and_replay(seen, "sh", "-c", "echo one >&2; read x < go; echo two >&2; exit 4")):
        process = launcher.start("rustc", stderr=write)
        os.close(write)
        if when == "meanwhile":
            assert os.read(read, 100) == b"one\n"
            os.close(read)
        go.write_text("\n")
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == -signal.SIGPIPE
    assert [(ran.status, ran.stderr) for ran in seen] == [(4, b"one\ntwo\n")]


def test_the_compiler_may_die_of_a_closed_pipe(launcher):
    """We ignore SIGPIPE for a while; the compiler finds it as the caller had it."""
    seen = []
    show = "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"
    with launcher.daemon(_compile_and_replay(seen, "sh", "-c", show)):
        launcher.run("rustc")
    plain = subprocess.run(["sh", "-c", show], capture_output=True, check=True).stdout
    ignored = [int(line.split()[1], 16) >> (signal.SIGPIPE - 1) & 1 for line in (seen[0].stdout + plain).splitlines() if b"Ign" in line]
    assert ignored == [0, 0]


def test_a_closed_stderr(launcher):
    """The daemon has what nobody else can see."""
    seen = []
    with launcher.daemon(_compile_and_replay(seen, "sh", "-c", "echo out; echo err >&2; exit 4")):
        done = launcher.run("rustc", preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout, done.stderr) == (4, b"out\n", b"")
    assert [(ran.stdout, ran.stderr) for ran in seen] == [(b"out\n", b"err\n")]


def test_both_streams_in_one_pipe(launcher):
    """2>&1: what stdout holds follows at the end."""
    read, write = os.pipe()
    with launcher.daemon(_compile_and_replay([], "sh", "-c", "echo out; echo err >&2")):
        process = launcher.start("rustc", stdout=write, stderr=write)
        os.close(write)
        with open(read, "rb") as file:
            assert file.read() == b"err\nout\n"
        assert process.wait(LIMIT_S) == 0


def test_the_daemon_is_lost_meanwhile(launcher, go):
    """The compile goes on; its words are not repeated."""

    def script(peer):
        peer.ask(STREAMED, "sh", "-c", "echo run >> runs; echo one >&2; read x < go; echo two >&2; echo out; exit 6")
        peer.socket.shutdown(socket.SHUT_RDWR)

    with launcher.daemon(script):
        process = launcher.start("rustc")
        assert os.read(process.stderr.fileno(), 100) == b"one\n"
        go.write_text("\n")
        out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out, err) == (6, b"out\n", b"two\n")
    assert (launcher.tmp / "runs").read_text() == "run\n"


@pytest.mark.parametrize("last_words", [b"", b"\0\0\0\1\x99", messages.encode_finish(0)[:5]], ids=["gone", "nonsense", "torn"])
def test_the_daemon_is_lost_afterwards(launcher, last_words):
    """As when it had answered."""

    def script(peer):
        peer.run(STREAMED, "sh", "-c", "echo err >&2; echo out; exit 6")
        peer.send(last_words)

    with launcher.daemon(script):
        done = launcher.run("rustc")
    assert (done.returncode, done.stdout, done.stderr) == (6, b"out\n", b"err\n")


def test_a_command_before_and_after(launcher):
    """What others say that run for the daemon is not passed on."""
    both = RUN_CAPTURE_STDOUT | RUN_CAPTURE_STDERR

    def script(peer):
        assert peer.run(both, "sh", "-c", "echo before >&2").stderr == b"before\n"
        assert peer.run(STREAMED, "sh", "-c", "echo err >&2").stderr == b"err\n"
        assert peer.run(both, "sh", "-c", "echo after >&2").stderr == b"after\n"
        peer.send(messages.encode_finish(0, b"answer"))

    with launcher.daemon(script):
        done = launcher.run("rustc")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"answer", b"err\n")


def test_not_started(launcher):
    """A command that is not there says nothing; the daemon goes on."""

    def script(peer):
        assert peer.run(STREAMED, "no-such-program").status == messages.STATUS_NOT_STARTED
        peer.send(messages.encode_finish(9))

    with launcher.daemon(script):
        assert launcher.run("rustc").returncode == 9


def test_a_grandchild_holds_the_pipe(launcher):
    """Nobody waits for it, whether it is silent or goes on talking."""
    seen = []
    for said in ("exec sleep 1000", "while :; do echo talk; done"):
        command = f"echo said >&2; sh -c 'echo $$ > pid; {said}' >&2 & while ! [ -s pid ]; do :; done"
        with launcher.daemon(_compile_and_replay(seen, "sh", "-c", command)):
            process = launcher.start("rustc", stderr=subprocess.PIPE)
            assert process.stderr.read(5) == b"said\n"
            process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0
        assert seen.pop().stderr.startswith(b"said\n")
        pid = launcher.tmp / "pid"
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)
        pid.unlink()


def test_a_child_that_closes_its_stderr(launcher):
    """It goes on; so do we, without turning in circles."""

    def script(peer):
        ran = peer.run(STREAMED, "sh", "-c", "echo said >&2; exec 2>&-; sleep 0.3; echo out")
        assert (ran.stdout, ran.stderr) == (b"out\n", b"said\n")
        used = peer.run(RUN_CAPTURE_STDOUT, "sh", "-c", "cut -d' ' -f14,15 /proc/$PPID/stat | tr ' ' +").stdout
        assert int(used.split(b"+")[0]) < 20
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        assert launcher.run("rustc").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_caller_reads_nothing(launcher, number):
    """A full pipe holds nobody who is told to end; the child ends too."""
    read, write = os.pipe()
    told, tell = os.pipe()
    command = f"yes | head -c {MUCH} >&2; echo $$ >&{tell}; exec sleep 1000"

    def script(peer):
        peer.ask(STREAMED, "bash", "-c", command)
        assert peer.hung_up()

    with launcher.daemon(script):
        process = launcher.start("rustc", stderr=write, pass_fds=(tell,))
        os.close(write)
        child = int(os.read(told, 20))
        process.send_signal(number)
        assert process.wait(LIMIT_S) == -number
        process.communicate()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    for fd in (read, told, tell):
        os.close(fd)


def test_what_was_said_before_a_signal(launcher):
    """The caller has it."""
    told, tell = os.pipe()

    def script(peer):
        peer.ask(STREAMED, "bash", "-c", f"echo said >&2; echo up >&{tell}; exec sleep 1000")
        assert peer.hung_up()

    with launcher.daemon(script):
        process = launcher.start("rustc", pass_fds=(tell,))
        assert os.read(told, 3) == b"up\n"
        process.terminate()
        assert process.communicate(timeout=LIMIT_S)[1] == b"said\n"
    for fd in (told, tell):
        os.close(fd)


def test_a_compiler_that_is_killed(launcher):
    """Its words and its signal reach the caller."""
    seen = []
    with launcher.daemon(_compile_and_replay(seen, "sh", "-c", "echo last words >&2; kill -SEGV $$")):
        done = launcher.run("rustc")
    assert (done.returncode, done.stderr) == (-11, b"last words\n")
    assert seen[0].status == -11


def test_on_a_terminal_and_streamed(launcher):
    """Both at once: it finds a terminal, and its words are passed on as they come."""
    seen = []
    ours, theirs = pty.openpty()
    flags = STREAMED | RUN_ON_TERMINAL
    with launcher.daemon(_compile_and_replay(seen, "sh", "-c", "[ -t 2 ] && echo terminal >&2; exit 2", flags=flags)):
        process = launcher.start("rustc", stderr=theirs)
        os.close(theirs)
        assert os.read(ours, 100) == b"terminal\r\n"
        process.communicate(timeout=LIMIT_S)
    os.close(ours)
    assert process.returncode == 2
    assert seen[0].stderr == b"terminal\n"


def test_no_descriptor_more(launcher):
    """The compiler has the descriptors that it would have had, and we keep none."""
    seen = []

    def script(peer):
        seen.extend(
            peer.run(STREAMED & ~RUN_IS_COMPILE, "sh", "-c", "ls /proc/self/fd | wc -l; ls /proc/$PPID/fd | wc -l").stdout for _ in range(5)
        )
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        launcher.run("rustc")
    plain = subprocess.run(["sh", "-c", "ls /proc/self/fd | wc -l"], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    assert {one.split(b"\n")[0] for one in seen} == {plain.stdout.strip()}
    assert len(set(seen)) == 1


INPUTS = {"null": True, "empty file": True, "closed": True, "file": False, "pipe": False, "terminal": False, "zero": False}


@pytest.mark.parametrize("what", INPUTS)
def test_no_input(launcher, what):
    """The daemon learns whether anything can be read from stdin."""
    seen = []
    (launcher.tmp / "file").write_text("text")
    (launcher.tmp / "empty file").touch()

    def script(peer):
        seen.append(peer.compile.terminals)
        peer.send(messages.encode_finish(0))

    fds = [*os.pipe(), *pty.openpty()]
    paths = {"null": os.devnull, "zero": "/dev/zero", "file": launcher.tmp / "file", "empty file": launcher.tmp / "empty file"}
    with launcher.daemon(script), open(paths.get(what, os.devnull)) as file:
        stdin = {"pipe": fds[0], "terminal": fds[3]}.get(what, file.fileno())
        launcher.run("rustc", stdin=stdin, preexec_fn=(lambda: os.close(0)) if what == "closed" else None)
    for fd in fds:
        os.close(fd)
    assert seen == [messages.NO_INPUT if INPUTS[what] else messages.STDIN_IS_TERMINAL if what == "terminal" else 0]


def test_cargo_starts_dependents_in_the_middle(launcher):
    """A library's compiler that does not end before the dependent's has begun: without the notice in time neither would go on."""
    if not shutil.which("cargo"):
        pytest.skip("cargo is not installed")
    for crate, more in (("a", ""), ("b", 'a = { path = "../a" }')):
        folder = launcher.tmp / crate
        (folder / "src").mkdir(parents=True)
        (folder / "src/lib.rs").touch()
        (folder / "Cargo.toml").write_text(f'[package]\nname = "{crate}"\nversion = "1.0.0"\nedition = "2021"\n[dependencies]\n{more}\n')
    begun = launcher.tmp / "begun"
    waiting = launcher.script(
        "waiting", f'"$@"; status=$?; for i in $(seq 2000); do [ -e {begun} ] && exit $status; sleep 0.02; done; exit 9'
    )
    crates = []

    def script(peer):
        argv = messages.split_list(peer.compile.argv_blob)
        if b"--crate-name" not in argv or b"-" in argv:
            peer.send(messages.encode_exec())
            return
        crate = argv[argv.index(b"--crate-name") + 1]
        crates.append((crate, peer.compile.terminals))
        if crate == b"b":
            begun.touch()
        peer.run(STREAMED, *((waiting, *argv) if crate == b"a" else argv))
        peer.send(messages.encode_replay())

    with launcher.daemon(script):
        env = {
            **launcher.env,
            "RUSTC_WRAPPER": str(launcher.program),
            "CARGO_TARGET_DIR": str(launcher.tmp / "target"),
            "CARGO_BUILD_JOBS": "2",
        }
        command = ["cargo", "build", "--offline", "--quiet"]
        done = subprocess.run(command, env=env, cwd=launcher.tmp / "b", capture_output=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert crates == [(b"a", messages.NO_INPUT), (b"b", messages.NO_INPUT)]
