"""A program under observation ends as it would, gets what it would, and is never left hanging."""

import os
import signal
import subprocess
import sys
import time

import pytest

from sccache.stages.observation import read_report

PYTHON = os.path.realpath(sys.executable)
LIMIT_S = 60


def until(holds):
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_ignored_signal_stays_ignored(watch):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        done = watch.run(PYTHON, "-c", "import signal; print(signal.getsignal(1) == signal.SIG_IGN)")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done.stdout == b"True\n"


def test_killed_observer_lets_grandchildren_end(watch):
    """A linker that goes on for a moment gets errors, and does not wait for ever."""
    argv = watch.command(["/bin/sh", "-c", "(while cat x; do :; done) & echo $!; wait"])
    (watch.place / "x").write_text("")
    with subprocess.Popen(argv, cwd=watch.place, stdout=subprocess.PIPE) as process:
        grandchild = int(process.stdout.readline())
        process.kill()
        process.wait(LIMIT_S)
        until(lambda: is_gone(grandchild))


def test_busy_process_that_outlives_the_program(watch):
    """One that is never quiet: it is not waited for, it gets its answers, and the report says that it was not seen whole."""
    text = "(while [ ! -e go ]; do sleep 0.01; done; echo done > late) > /dev/null 2>&1 &"
    seen = watch.seen("/bin/sh", "-c", text)
    assert seen.unknown == ("a process outlived the program",)
    (watch.place / "go").write_text("")
    until((watch.place / "late").exists)


def test_descriptors(watch):
    """A job server's pipe is passed on; nothing of ours is, and closed ones stay closed."""
    text = "import os\nfor fd in range(3, 2000):\n try: print(os.readlink(f'/proc/self/fd/{fd}').split(':')[0])\n except OSError: pass"
    ends = os.pipe()
    try:
        done = watch.run(PYTHON, "-I", "-c", text, pass_fds=ends, shim=False)
    finally:
        for fd in ends:
            os.close(fd)
    assert done.stdout == b"pipe\npipe\n"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams(watch, closed):
    """Descriptors of ours must not become the program's streams."""
    (watch.place / "file").write_text("")
    line = '"$@" ' + closed
    program = ["/bin/sh", "-c", "cat file; ls -l /proc/$$/fd > list 2> /dev/null; exit 3"]
    command = ["/bin/sh", "-c", line, "sh", *watch.command(program)]
    done = subprocess.run(command, cwd=watch.place, timeout=LIMIT_S, check=False, capture_output=True)
    assert done.returncode == 3
    assert "socket" not in (watch.place / "list").read_text()
    assert read_report(str(watch.report)).trouble == ""


def test_full_disk(watch):
    """A report that could not be written to its end is not one."""
    argv = [watch.observer.program, "/dev/full", watch.observer.shim, "/bin/sh", "sh", "-c", "exit 4"]
    assert subprocess.run(argv, timeout=LIMIT_S, check=False).returncode == 4


def test_link_in_place_of_the_report_is_not_followed(watch):
    """Whoever may write beside it must not choose a file for us to empty."""
    victim = watch.place / "victim"
    victim.write_text("x")
    watch.report.symlink_to(victim)
    assert watch.run("/bin/sh", "-c", "exit 4").returncode == 4
    assert victim.read_text() == "x"


def test_thousands_of_files(watch):
    """The table of what is known grows."""
    text = "import os\nfor i in range(20000): os.path.exists(f'name{i}')"
    seen = watch.seen(PYTHON, "-I", "-S", "-c", text)
    assert {f"{watch.place}/name{number}" for number in range(20000)} <= set(seen.absent)
