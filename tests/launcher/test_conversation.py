"""What the daemon says is what the launcher does."""

import contextlib
import fcntl
import os
import pty
import signal
import stat
import struct
import subprocess
import sys
import termios
import threading

import pytest

from sccache.protocol import messages
from sccache.protocol.address import from_env
from sccache.protocol.messages import (
    RUN_CAPTURE_STDERR,
    RUN_CAPTURE_STDOUT,
    RUN_IS_COMPILE,
    RUN_NO_STDIN,
    RUN_ON_TERMINAL,
    RUN_STREAM_STDERR,
)
from sccache.protocol.version import VERSION_TEXT

BOTH = RUN_CAPTURE_STDOUT | RUN_CAPTURE_STDERR
COMPILE = BOTH | RUN_IS_COMPILE
BIG = 5_000_000


def test_finish_gives_streams_and_exit_code(launcher):
    """A hit's streams and code come out exactly."""
    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(3, b"out\0\xff", b"err\n"))):
        done = launcher.run("gcc", "-c", "a.c")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\0\xff", b"err\n")


def test_compile_tells_all_about_the_caller(launcher):
    """argv, cwd, environment, umask, version and mount namespace reach the daemon."""
    seen = []

    def script(peer):
        seen.append(peer.compile)
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        launcher.run("gcc", "-c", b"\xff\xfe.c", "", env={"ODD": "\udcff="}, umask=0o027)
    (got,) = seen
    assert messages.split_list(got.argv_blob) == [b"gcc", b"-c", b"\xff\xfe.c", b""]
    assert got.cwd == os.fsencode(launcher.tmp)
    assert b"ODD=\xff=" in messages.split_list(got.env_blob)
    assert (got.umask, got.terminals, got.executable, got.secret) == (0o027, messages.NO_INPUT, b"", b"")
    assert got.version == VERSION_TEXT
    assert got.mount_namespace == os.stat("/proc/self/ns/mnt").st_ino


def test_terminals_are_told(launcher):
    """A stream that is a terminal is reported as one."""
    seen = []

    def script(peer):
        seen.append(peer.compile.terminals)
        peer.send(messages.encode_finish(0))

    ours, theirs = pty.openpty()
    with launcher.daemon(script):
        launcher.run("gcc", stderr=theirs)
    os.close(ours)
    os.close(theirs)
    assert seen == [messages.STDERR_IS_TERMINAL | messages.NO_INPUT]


def test_five_megabytes_on_each_stream(launcher):
    """Diagnostics of any size arrive whole."""
    out, err = os.urandom(BIG), os.urandom(BIG)
    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(0, out, err))):
        done = launcher.run("gcc")
    assert done.stdout == out
    assert done.stderr == err


def test_two_megabytes_of_arguments(launcher):
    """A command line near the system's limit reaches the daemon."""
    seen = []

    def script(peer):
        seen.append(len(messages.split_list(peer.compile.argv_blob)))
        peer.send(messages.encode_exec(argv=[b"true", *[b"x" * 100] * 15_000]))

    with launcher.daemon(script):
        done = launcher.run("gcc", *["-DX=" + "y" * 90] * 15_000)
    assert seen == [15_001]
    assert done.returncode == 0


def test_exec_runs_the_original_command(launcher):
    """Nothing is captured: the compiler has the caller's streams, arguments, environment and directory."""
    compiler = launcher.script("cc", 'cat; printf "%s|" "$0" "$@" "$PWD"; echo "$KEPT" >&2; exit 7')
    with launcher.daemon(lambda peer: peer.send(messages.encode_exec())):
        done = launcher.run(compiler, "a b", b"\xff", input_=b"in-", env={"KEPT": "kept"})
    assert done.stdout == b"in-" + os.fsencode(compiler) + b"|a b|\xff|" + os.fsencode(launcher.tmp) + b"|"
    assert (done.stderr, done.returncode) == (b"kept\n", 7)


def test_exec_of_another_command(launcher):
    """The daemon may name executable, argv and environment changes."""
    other = launcher.script("other", 'echo "$@" "${SET-unset}" "${GONE-unset}"')
    reply = messages.encode_exec(os.fsencode(other), [b"name", b"1", b"2"], [b"SET=a=b", b"GONE"])
    with launcher.daemon(lambda peer: peer.send(reply)):
        done = launcher.run("gcc", env={"GONE": "here", "SET": "old"})
    assert done.stdout == b"1 2 a=b unset\n"


def test_exec_finds_the_compiler_on_path(launcher):
    """An unresolved name is looked up as the caller's shell would."""
    launcher.script("tools/mycc", "echo mine")
    with launcher.daemon(lambda peer: peer.send(messages.encode_exec())):
        done = launcher.run("mycc", env={"PATH": f"/nonexistent:{launcher.tmp}/tools:/bin"})
    assert done.stdout == b"mine\n"


def test_a_script_without_interpreter_line_runs(launcher):
    """Sh runs it, as with execvp."""
    path = launcher.script("cc", "", interpreter='echo "plain $1"')
    with launcher.daemon(lambda peer: peer.send(messages.encode_exec())):
        assert launcher.run(path, "x").stdout == b"plain x\n"

    def script(peer):
        assert peer.run(BOTH, path, "y").stdout == b"plain y\n"
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        assert launcher.run(path).returncode == 0


def test_run_captures_and_reports(launcher):
    """A Run's streams and status go to the daemon, not to the caller."""
    seen = []

    def script(peer):
        seen.append(peer.run(BOTH, "sh", "-c", "echo out; echo err >&2; exit 5"))
        peer.send(messages.encode_finish(1, b"answer"))

    with launcher.daemon(script):
        done = launcher.run("gcc")
    (ran,) = seen
    assert (ran.status, ran.flags, ran.stdout, ran.stderr) == (5, 0, b"out\n", b"err\n")
    assert 0 < ran.duration_ns < 30_000_000_000
    assert (done.returncode, done.stdout, done.stderr) == (1, b"answer", b"")


def test_big_streams_come_as_descriptors(launcher):
    """More than 64 KiB travels as a file, the small stream beside it as bytes."""
    seen = []

    def script(peer):
        seen.append(peer.run(BOTH, "sh", "-c", f"head -c {BIG} /dev/zero >&2; echo small"))
        seen.append(peer.run(BOTH, "sh", "-c", f"head -c {BIG} /dev/zero | tee /dev/stderr"))
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        assert launcher.run("gcc").returncode == 0
    assert [(ran.flags, len(ran.stdout), len(ran.stderr)) for ran in seen] == [
        (messages.RAN_STDERR_FD, 6, BIG),
        (messages.RAN_STDOUT_FD | messages.RAN_STDERR_FD, BIG, BIG),
    ]


def test_run_without_capture_uses_the_callers_streams(launcher):
    """Uncaptured streams are the caller's own."""

    def script(peer):
        ran = peer.run(RUN_CAPTURE_STDERR, "sh", "-c", "cat; echo err >&2")
        peer.send(messages.encode_finish(0, stderr=ran.stderr.upper()))

    with launcher.daemon(script):
        done = launcher.run("gcc", input_=b"from stdin\n")
    assert (done.stdout, done.stderr) == (b"from stdin\n", b"ERR\n")


def test_run_without_stdin(launcher):
    """A preprocessor run must not eat the input of the compile that may follow."""

    def script(peer):
        assert peer.run(BOTH | RUN_NO_STDIN, "cat").stdout == b""
        assert peer.run(BOTH, "cat").stdout == b"source"
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        assert launcher.run("gcc", input_=b"source").returncode == 0


def test_run_with_changed_environment(launcher):
    """Changes are for that run only."""

    def script(peer):
        ran = peer.run(BOTH, "sh", "-c", 'echo "$A ${B-unset} $AB"', env=(b"A=1", b"B"))
        assert ran.stdout == b"1 unset kept\n"
        assert peer.run(BOTH, "sh", "-c", 'echo "$A $B"').stdout == b"0 0\n"
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        assert launcher.run("gcc", env={"A": "0", "B": "0", "AB": "kept"}).returncode == 0


def test_run_of_something_that_does_not_exist(launcher):
    """The daemon learns that it could not be started, and goes on."""

    def script(peer):
        assert peer.run(BOTH, "no-such-program").status == messages.STATUS_NOT_STARTED
        assert peer.run(BOTH, "x", executable=b"/no/such").status == messages.STATUS_NOT_STARTED
        peer.send(messages.encode_finish(9))

    with launcher.daemon(script):
        assert launcher.run("gcc").returncode == 9


def test_replay(launcher):
    """The compile's own streams and status, without sending them back and forth."""

    def script(peer):
        peer.run(BOTH, "sh", "-c", "echo not this one")
        peer.run(COMPILE, "sh", "-c", f"head -c {BIG} /dev/zero; echo diagnostics >&2; exit 4")
        peer.send(messages.encode_replay())

    with launcher.daemon(script):
        done = launcher.run("gcc")
    assert (done.returncode, len(done.stdout), done.stderr) == (4, BIG, b"diagnostics\n")


def test_replay_of_a_killed_compile(launcher):
    """The caller sees the compiler die of its signal."""

    def script(peer):
        assert peer.run(COMPILE, "sh", "-c", "echo last words; kill -SEGV $$").status == -11
        peer.send(messages.encode_replay())

    with launcher.daemon(script):
        done = launcher.run("gcc")
    assert (done.returncode, done.stdout) == (-11, b"last words\n")


def test_keep_alives_reset_patience(launcher):
    """A daemon that says that it works is waited for, before, during and after a run."""

    def script(peer):
        for _ in range(3):
            peer.send(messages.KEEP_ALIVE_FRAME)
        peer.ask(COMPILE, "sh", "-c", "read line; echo $line")
        for byte in messages.KEEP_ALIVE_FRAME * 2:
            peer.send(bytes([byte]))
        assert peer.ran().stdout == b"go\n"
        peer.send(messages.KEEP_ALIVE_FRAME + messages.encode_finish(0, b"done"))

    with launcher.daemon(script):
        assert launcher.run("gcc", input_=b"go\n").stdout == b"done"


def test_umask_and_directory_are_the_callers(launcher):
    """A child of the launcher makes files as the compiler would have."""

    def script(peer):
        peer.run(COMPILE, "sh", "-c", "echo > made")
        peer.send(messages.encode_replay())

    with launcher.daemon(script):
        launcher.run("gcc", umask=0o037)
    assert stat.S_IMODE((launcher.tmp / "made").stat().st_mode) == 0o640


@pytest.mark.parametrize("how", ["exec", "run", "streamed"])
def test_the_jobserver_reaches_the_compiler(launcher, how):
    """Descriptors that make passed on stay open, and none of ours is added."""
    read, write = os.pipe()
    os.write(write, b"token\n")
    command = f"read token <&{read}; echo $token; ls /proc/self/fd | wc -w"

    def script(peer):
        if how == "exec":
            peer.send(messages.encode_exec(argv=[b"bash", b"-c", command.encode()]))
        else:
            peer.run(COMPILE | (RUN_STREAM_STDERR if how == "streamed" else 0), "bash", "-c", command)
            peer.send(messages.encode_replay())

    plain = subprocess.run(
        ["bash", "-c", command.replace(f"read token <&{read}", "token=token")],
        pass_fds=(read, write), stdin=subprocess.DEVNULL, capture_output=True, check=True,
    )  # fmt: skip
    with launcher.daemon(script):
        done = launcher.run("gcc", pass_fds=(read, write))
    os.close(read)
    os.close(write)
    assert done.stdout == plain.stdout


@pytest.mark.parametrize(
    "value",
    [r"\x00NAME", r"\x00NAME\x20tab\t\n\r\'\"\\", r"\x00NAME\xfF\x00x", "\\x00NAME \udcff", "DIR/s\udcffck", "DIR/\\x41"],
    ids=["plain", "escapes", "bytes", "raw byte", "odd path", "backslash path"],
)
def test_the_socket_is_where_the_address_says(launcher, value):
    """Abstract names and odd paths mean the same to both launchers and to protocol/address.py."""
    name = f"sccache-test-{os.getpid()}-{launcher.tmp.name}"
    value = value.replace("NAME", name).replace("DIR", str(launcher.tmp))
    launcher.address = from_env({"SCCACHE_SERVER_UDS": value}).socket
    with launcher.daemon(lambda peer: peer.send(messages.encode_finish(6))):
        assert launcher.run("gcc", env={"SCCACHE_SERVER_UDS": value}).returncode == 6


def test_a_frame_that_comes_byte_by_byte(launcher):
    """Nothing depends on how the stream is cut."""

    def script(peer):
        for byte in messages.KEEP_ALIVE_FRAME + messages.encode_finish(3, b"out"):
            peer.send(bytes([byte]))

    with launcher.daemon(script):
        done = launcher.run("gcc")
    assert (done.returncode, done.stdout) == (3, b"out")


def test_many_runs_leave_no_files_open(launcher):
    """Each Run's captured streams are given up when the next begins."""

    def script(peer):
        counts = {peer.run(BOTH, "sh", "-c", "ls /proc/$PPID/fd | wc -l").stdout for _ in range(10)}
        assert len(counts) == 1
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        assert launcher.run("gcc").returncode == 0


TERMINAL = BOTH | RUN_IS_COMPILE | RUN_ON_TERMINAL


def _on_terminal(launcher, *argv, columns=0, stdin_columns=0):
    """Run with a terminal on stderr (and on stdin); gives the exit code, stdout and what the terminal showed."""
    shown, pairs = [], [pty.openpty() for columns_ in (columns, stdin_columns) if columns_]
    for (_, theirs), columns_ in zip(pairs, (columns, stdin_columns), strict=False):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns_, 0, 0))

    def read():
        with contextlib.suppress(OSError):
            while chunk := os.read(pairs[0][0], 1 << 16):
                shown.append(chunk)

    stdin = pairs[1][1] if stdin_columns else subprocess.DEVNULL
    reader = threading.Thread(target=read)
    process = launcher.start(*argv, stdin=stdin, stderr=pairs[0][1])
    for _, theirs in pairs:
        os.close(theirs)
    reader.start()
    out, _ = process.communicate()
    reader.join()
    for ours, _ in pairs:
        os.close(ours)
    return process.returncode, out, b"".join(shown).replace(b"\r\n", b"\n")


@pytest.mark.parametrize(("columns", "stdin_columns", "told"), [(90, 0, 90), (90, 70, 70)])
def test_the_width_of_the_terminal_is_told(launcher, columns, stdin_columns, told):
    """The daemon learns how wide the terminal is that a compiler would ask."""
    seen = []

    def script(peer):
        seen.append(peer.compile.terminals >> messages.COLUMNS_SHIFT)
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        _on_terminal(launcher, "gcc", columns=columns, stdin_columns=stdin_columns)
    assert seen == [told]


def test_a_command_that_is_to_find_a_terminal(launcher):
    """Its stderr is a terminal as wide as the caller's; what it writes there comes unchanged, once, when it is replayed."""
    seen = []
    code = "import os; t = os.get_terminal_size(2); os.write(2, b'%d\\n\\ta\\r\\x04\\x03\\xff' % t.columns); print(os.isatty(1))"

    def script(peer):
        seen.append(peer.run(TERMINAL, sys.executable, "-c", code))
        peer.send(messages.encode_replay())

    with launcher.daemon(script):
        status, out, shown = _on_terminal(launcher, "gcc", columns=77)
    assert seen[0].stderr == b"77\n\ta\r\x04\x03\xff"
    assert (status, out, shown) == (0, b"False\n", seen[0].stderr)


def test_much_is_said_on_a_terminal(launcher):
    """More than a terminal's buffer holds, up to the last byte before the end."""
    seen = []
    code = f"import sys; sys.stderr.write('0123456789abcde\\n' * {BIG // 16}); sys.stderr.flush(); sys.exit(3)"

    def script(peer):
        seen.append(peer.run(TERMINAL, sys.executable, "-c", code))
        peer.send(messages.encode_finish(3))

    with launcher.daemon(script):
        _on_terminal(launcher, "gcc", columns=80)
    assert (seen[0].status, seen[0].stderr) == (3, b"0123456789abcde\n" * (BIG // 16))


def test_the_last_words_on_a_terminal(launcher):
    """What is written just before the end is never lost."""

    def script(peer):
        for i in range(40):
            assert peer.run(TERMINAL, "sh", "-c", f"echo {i} >&2").stderr == b"%d\n" % i
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        status, _, _ = _on_terminal(launcher, "gcc", columns=80)
    assert status == 0


def test_a_child_that_closes_its_terminal(launcher):
    """It goes on; so do we, without turning in circles."""

    def script(peer):
        ran = peer.run(TERMINAL, "sh", "-c", "echo said >&2; exec 2>&-; sleep 0.3; echo out")
        assert (ran.stdout, ran.stderr) == (b"out\n", b"said\n")
        assert int(peer.run(BOTH, "sh", "-c", "cut -d' ' -f14,15 /proc/$PPID/stat | tr ' ' +").stdout.split(b"+")[0]) < 20
        peer.send(messages.encode_finish(0))

    with launcher.daemon(script):
        status, _, _ = _on_terminal(launcher, "gcc", columns=80)
    assert status == 0


def test_a_grandchild_holds_the_terminal(launcher):
    """Nobody waits for it."""

    def script(peer):
        assert peer.run(TERMINAL, "sh", "-c", "sleep 60 & echo $! >&2").status == 0
        peer.send(messages.encode_replay())

    with launcher.daemon(script):
        _, _, shown = _on_terminal(launcher, "gcc", columns=80)
    os.kill(int(shown), signal.SIGKILL)


@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"}, {"LANG": "C"}], ids=str)
def test_the_locale_is_the_callers(launcher, given):
    """A launcher in Python does not hand on the LC_CTYPE that Python makes up where the locale is C."""
    seen = []

    def script(peer):
        seen.append({entry for entry in messages.split_list(peer.compile.env_blob) if entry.startswith(b"L")})
        seen.append(set(peer.run(BOTH, "env").stdout.splitlines()) - {b""})
        peer.send(messages.encode_finish(0))

    launcher.env = {"PATH": os.environ["PATH"], "SCCACHE_SERVER_UDS": launcher.address, **given}
    with launcher.daemon(script):
        launcher.run("gcc")
    wanted = {os.fsencode(f"{name}={value}") for name, value in given.items()}
    assert seen[0] == wanted
    assert {entry for entry in seen[1] if entry.startswith(b"L")} == wanted
