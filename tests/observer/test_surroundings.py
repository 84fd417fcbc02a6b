"""The observer in poor surroundings: old kernels, forbidden calls, full disks, other users, odd paths, signals ignored or frequent."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from sccache.stages.observation import read_report

LIMIT_S = 60
PYTHON = os.path.realpath(sys.executable)


def traced(watch, calls, injection, *argv, more=()):
    """Run under observation while strace lets calls of the observer fail; with "-f" as more, its child's too."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    prefix = ["strace", *more, "-o", str(watch.place.parent / "trace"), "-e", f"trace={calls}", "-e", f"inject={injection}"]
    done = subprocess.run([*prefix, *watch.command(argv)], cwd=watch.place, capture_output=True, timeout=LIMIT_S, check=False)
    if b"PTRACE" in done.stderr or "INJECTED" not in (watch.place.parent / "trace").read_text():
        pytest.skip("strace may not trace here")
    return done


def test_old_kernel(watch):
    """Linux 5.0 gives a listener that cannot let calls go on: it must not be asked for."""
    if not shutil.which("setarch"):
        pytest.skip("needs setarch, to give the kernel another name")
    command = ["setarch", "--uname-2.6", *watch.command(["/bin/sh", "-c", "echo ran; exit 3"])]
    done = subprocess.run(command, cwd=watch.place, capture_output=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"ran\n", b"")
    assert "listener" in read_report(str(watch.report)).trouble


def test_no_filter_allowed(watch):
    """A sandbox that forbids filters: the program runs, and the report says that nothing was seen."""
    done = traced(watch, "seccomp", "seccomp:error=EPERM", "/bin/sh", "-c", "echo ran; exit 3", more=["-f"])
    assert (done.returncode, done.stdout) == (3, b"ran\n")
    assert "listener" in read_report(str(watch.report)).trouble


def test_kernel_that_cannot_hold_signals(watch):
    """Before 5.19: as well, without that."""
    (watch.place / "file").write_text("x")
    done = traced(watch, "seccomp", "seccomp:error=EINVAL:when=1", "/bin/sh", "-c", "cat file; exit 3", more=["-f"])
    assert (done.returncode, done.stdout) == (3, b"x")
    assert f"{watch.place}/file" in {item.path for item in read_report(str(watch.report)).reads}


def test_kernel_that_cannot_wake_at_once(watch):
    """Before 6.6: as well, more slowly."""
    (watch.place / "file").write_text("x")
    done = traced(watch, "ioctl", "ioctl:error=ENOTTY:when=1", "/bin/sh", "-c", "cat file; exit 3")
    assert (done.returncode, done.stdout) == (3, b"x")
    assert f"{watch.place}/file" in {item.path for item in read_report(str(watch.report)).reads}


def test_no_descriptor_of_a_process(watch):
    """Old sandboxes forbid pidfd_open: the program's end is noticed all the same, also beside a child that is never quiet."""
    text = "(while [ ! -e go ]; do sleep 0.01; done; echo done > late) > /dev/null 2>&1 & exit 3"
    done = traced(watch, "pidfd_open", "pidfd_open:error=EPERM", "/bin/sh", "-c", text)
    (watch.place / "go").write_text("")
    assert done.returncode == 3
    assert read_report(str(watch.report)).unknown == ("a process outlived the program",)


def test_caller_that_ignores_the_end_of_children(watch):
    """Inherited, that would hide the exit code from us; the program has it as it would."""
    show = "import signal, sys; print(signal.getsignal(17) == signal.SIG_IGN); sys.exit(5)"
    ignore = "import os, signal, sys; signal.signal(17, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    command = [PYTHON, "-c", ignore, *watch.command([PYTHON, "-c", show])]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stdout) == (5, b"True\n")


def test_frequent_signals(watch, compiled):
    """Calls that wait with us are taken up again after a handler, as its flags ask."""
    program = compiled(
        "#include <fcntl.h>\n#include <signal.h>\n#include <sys/stat.h>\n#include <sys/time.h>\n#include <unistd.h>\n"
        "static void nothing(int number) { (void)number; }\n"
        "int main(void) { struct sigaction a = {.sa_handler = nothing, .sa_flags = SA_RESTART}; struct stat s;\n"
        "  struct itimerval often = {{0, 100}, {0, 100}}; sigaction(SIGALRM, &a, 0); setitimer(ITIMER_REAL, &often, 0);\n"
        '  for (int i = 0; i < 5000; i++) { int fd = open("/etc/passwd", O_RDONLY); if (fd < 0 || stat("/", &s)) return 1; close(fd); }\n'
        "  return 0; }",
        "-D_GNU_SOURCE",
    )
    assert watch.run(program).returncode == 0


def test_signal_blocked_by_the_caller(watch):
    """The program lets it in and dies of it: so do we."""
    text = "import os, signal; signal.pthread_sigmask(signal.SIG_SETMASK, ()); os.kill(os.getpid(), 15)"
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        assert watch.run(PYTHON, "-c", text).returncode == -signal.SIGTERM
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


@pytest.mark.parametrize("name", ["with space", "with:colon", "with//slashes"])
def test_odd_place_of_the_preloaded_part(watch, compiled, tmp_path, name):
    """LD_PRELOAD cannot quote: a virtual environment may be in such a place; no program may complain of it."""
    place = tmp_path / name
    place.mkdir(parents=True)
    shim = f"{tmp_path}/{name}/shim.so"
    shutil.copyfile(watch.observer.shim, shim)
    program = compiled('#include <stdlib.h>\nint main(void) { getenv("ASKED_FOR"); return 0; }')
    command = [watch.observer.program, str(watch.report), shim, "/bin/sh", "sh", "-c", f"{program}; exit 3"]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (3, b"")
    seen = read_report(str(watch.report))
    assert "ASKED_FOR" in seen.tool_variables
    assert program in seen.images
    assert seen.others == ()


def test_our_own_files_are_no_inputs(watch):
    """Else a result would be bound to the place where sccache is installed."""
    seen = watch.seen("/bin/cat", "/dev/null")
    names = {item.path for item in (*seen.reads, *seen.looked)} | set(seen.written)
    assert seen.images
    assert not {path for path in names if path in (watch.observer.shim, str(watch.report))}


@pytest.fixture
def tiny(tmp_path):
    place = tmp_path / "tiny"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs to mount a small tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(place):
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return filler


def test_disk_that_stays_full(watch, tiny):
    """The program is none the worse, and the report is of no use."""
    fill(tiny)
    watch.report = tiny / "report"
    assert watch.run("/bin/sh", "-c", "echo ran; exit 3").stdout == b"ran\n"
    assert "cut short" in read_report(str(watch.report)).trouble


def test_disk_that_was_full_for_a_while(watch, tiny):
    """What the preloaded part could not write then is missing: the report must not pass for a whole one."""
    filler = fill(tiny)
    watch.report = tiny / "report"
    watch.run("/bin/sh", "-c", f"cat /dev/null; rm {filler}")
    seen = read_report(str(watch.report))
    assert seen.unknown == ("a record of the preloaded part was lost",)


def test_unprivileged_user(watch, compiled):
    """No capabilities, no right to ask for them."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv, to become somebody else")
    program = compiled(
        '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { getenv("ASKED_FOR"); return !fopen("/etc/passwd", "r"); }'
    )
    with tempfile.TemporaryDirectory(prefix="sco-") as tmp:
        os.chmod(tmp, 0o777)
        mine = [shutil.copy(path, tmp) for path in (watch.observer.program, watch.observer.shim, program)]
        report = f"{tmp}/report"
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
        done = subprocess.run([*prefix, mine[0], report, mine[1], mine[2], "p"], cwd=tmp, capture_output=True, timeout=LIMIT_S, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        seen = read_report(report)
    assert seen.trouble == ""
    assert seen.unknown == ()
    assert "/etc/passwd" in {item.path for item in seen.reads}
    assert "ASKED_FOR" in seen.tool_variables


@pytest.mark.parametrize("start", ["vfork", "posix_spawn", "fork"])
def test_children_however_started(watch, compiled, start):
    """vfork's child shares our preloaded part's memory with its parent; both go on noting."""
    (watch.place / "file").write_text("x")
    how = {
        "vfork": 'p = vfork(); if (!p) { getenv("OF_CHILD"); execv("/bin/cat", child); _exit(1); }',
        "fork": 'p = fork(); if (!p) { getenv("OF_CHILD"); execv("/bin/cat", child); _exit(1); }',
        "posix_spawn": 'getenv("OF_CHILD"); if (posix_spawn(&p, "/bin/cat", 0, 0, child, environ)) return 1;',
    }[start]
    program = compiled(
        "#include <spawn.h>\n#include <stdlib.h>\n#include <sys/wait.h>\n#include <unistd.h>\nextern char **environ;\n"
        'int main(void) { char *child[] = {"cat", "file", 0}; pid_t p; int status = 1; ' + how + "\n"
        '  waitpid(p, &status, 0); getenv("OF_PARENT"); return status; }',
        "-D_GNU_SOURCE",
    )
    seen = watch.seen(program)
    assert {"OF_CHILD", "OF_PARENT"} <= set(seen.tool_variables)
    assert f"{watch.place}/file" in {item.path for item in seen.reads}
    assert program not in seen.unfinished


def test_script_and_its_interpreter(watch, compiled):
    """The kernel opens the interpreter without a call; a static one does not load the preloaded part either."""
    interpreter = compiled("int main(void) { return 0; }", "-static")
    script = watch.place / "script"
    script.write_text(f"#! {interpreter} -x\n")
    script.chmod(0o755)
    assert watch.seen(str(script)).executed == (str(script), interpreter)


def test_scripts_of_scripts(watch):
    """The kernel follows them, with spaces before the name and options behind it."""
    one, two = watch.place / "one", watch.place / "two"
    one.write_text("#!/bin/sh -e\ntrue\n")
    two.write_text(f"#!  {one} x\n")
    one.chmod(0o755)
    two.chmod(0o755)
    assert watch.seen(str(two)).executed[:3] == (str(two), str(one), "/bin/sh")


def test_script_with_a_relative_interpreter(watch):
    """It is another one in each directory; nobody writes that, and nothing is kept of it."""
    (watch.place / "sh").symlink_to("/bin/sh")
    script = watch.place / "script"
    script.write_text("#!./sh\ntrue\n")
    script.chmod(0o755)
    assert watch.seen(str(script)).unknown


def test_program_that_runs_itself_again(watch, compiled):
    """/proc/self is the program's, not the observer's."""
    program = compiled(
        '#include <unistd.h>\nint main(int n, char **v) { (void)v; char *again[] = {"p", "x", 0};\n'
        '  return n > 1 ? 0 : execv("/proc/self/exe", again); }'
    )
    assert set(watch.seen(program).executed) == {program}


def test_script_without_a_first_line(watch):
    """The kernel refuses it; a shell's caller would not notice."""
    script = watch.place / "script"
    script.write_text('echo "$@"; exit 0\n')
    script.chmod(0o755)
    assert watch.run(str(script), "a b", "c").stdout == b"a b c\n"
    assert watch.seen(str(script)).executed == (str(script), "/bin/sh")


def test_program_that_cannot_be_run(watch):
    """It is named."""
    done = watch.run("/etc/passwd")
    assert done.returncode == 127
    assert b"/etc/passwd" in done.stderr


def test_program_run_by_its_descriptor(watch, compiled):
    """It has no name to compare."""
    program = compiled(
        "#include <fcntl.h>\n#include <unistd.h>\nextern char **environ;\n"
        'int main(void) { char *argv[] = {"true", 0}; return fexecve(open("/bin/true", O_RDONLY), argv, environ); }',
        "-D_GNU_SOURCE",
    )
    assert watch.seen(program).unknown == ("a program run by its descriptor",)


def test_file_without_a_name(watch):
    """O_TMPFILE names the directory and changes nothing in it; linking it in makes a file."""
    text = (
        "import os\nfd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)\nos.write(fd, b'x')\n"
        "os.link(f'/proc/self/fd/{fd}', 'made', follow_symlinks=True, src_dir_fd=fd)"
    )
    (watch.place / "try").mkdir()
    try:
        os.close(os.open(watch.place / "try", os.O_TMPFILE | os.O_RDWR))
    except OSError:
        pytest.skip("this file system has no O_TMPFILE")
    seen = watch.seen(PYTHON, "-I", "-S", "-c", text)
    assert seen.written == (f"{watch.place}/made",)


def test_a_link_in_the_way(watch):
    """A file is noted by the name by which it was opened, with what it leads to; a link that leads nowhere is absent."""
    (watch.place / "real").write_text("12345")
    (watch.place / "link").symlink_to("real")
    (watch.place / "nowhere").symlink_to("gone")
    seen = watch.seen("/bin/sh", "-c", "cat link; cat nowhere || true")
    (item,) = (item for item in seen.reads if item.path == f"{watch.place}/link")
    assert item.stamp[1] == (watch.place / "real").stat().st_ino
    assert f"{watch.place}/nowhere" in seen.absent
