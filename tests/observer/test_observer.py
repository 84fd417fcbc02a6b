"""The observer with real programs: what it reports, and that it never stands in the way."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sccache.stages.observation import Observation, read_report

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the observer is Linux's")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The observer and what it preloads, made from this tree."""
    sys.path.insert(0, str(ROOT / "native"))
    try:
        import compile as native
    finally:
        sys.path.pop(0)
    place = tmp_path_factory.mktemp("observer")
    made = place / "sccache-observe", place / "libsccache-observe.so"
    native.compile_observer(*made)
    return made


class Watched:
    """Runs commands under the observer."""

    def __init__(self, built: tuple[Path, Path], place: Path) -> None:
        self.program, self.shim = built
        self.place = place
        self.report = place / "report"

    def command(self, *words: str) -> list[str]:
        return [str(self.program), str(self.report), str(self.shim), words[0], *words]

    def run(self, *words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(self.command(*words), cwd=self.place, capture_output=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]

    def seen(self, *words: str) -> Observation:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        found = read_report(str(self.report))
        assert not found.trouble, found.trouble
        return found

    def sh(self, script: str) -> Observation:
        return self.seen("/bin/sh", "-c", script)

    def path(self, name: str) -> str:
        return str(self.place / name)

    def program_of(self, source: str, *flags: str) -> str:
        (self.place / "p.c").write_text(source)
        subprocess.run(["gcc", "-o", "p", "p.c", *flags], cwd=self.place, check=True)
        return self.path("p")


@pytest.fixture
def watched(built: tuple[Path, Path], tmp_path: Path) -> Watched:
    return Watched(built, tmp_path)


def test_files(watched: Watched) -> None:
    """Read, looked at, missing, listed, written: relative names too, also after changing the directory."""
    for name in ("read", "looked"):
        (watched.place / name).write_text("x")
    (watched.place / "dir").mkdir()
    seen = watched.sh(
        "cat read >made; test -e looked; test -e missing; cd dir; ls . >/dev/null; cat ../read >/dev/null; ls nothing 2>&1 || true"
    )
    assert watched.path("read") in {item.path for item in seen.reads}
    assert watched.path("dir/../read") in {item.path for item in seen.reads}
    assert watched.path("looked") in {item.path for item in seen.looked}
    assert {watched.path("missing"), watched.path("dir/nothing")} <= set(seen.absent)
    assert watched.path("dir") in seen.listed
    assert watched.path("made") in seen.written
    assert any(path.endswith("/cat") for path in seen.executed)


def test_a_stamp_is_the_files(watched: Watched) -> None:
    """As stat tells it."""
    path = watched.place / "read"
    path.write_text("12345")
    (item,) = (item for item in watched.sh("cat read").reads if item.path == str(path))
    info = path.stat()
    assert item.stamp == (info.st_dev, info.st_ino, 5, info.st_mtime_ns, info.st_ctime_ns)


def test_variables_of_the_program_and_its_children(watched: Watched) -> None:
    """What a program asks for by itself."""
    program = watched.program_of(
        '#include <stdlib.h>\nint main(void) { getenv("ASKED_FOR"); secure_getenv("THIS_TOO"); return 0; }\n', "-D_GNU_SOURCE"
    )
    seen = watched.sh(f"{program}; true")
    assert {"ASKED_FOR", "THIS_TOO"} <= set(seen.tool_variables)
    assert program in seen.images
    assert program not in seen.unfinished


def test_a_static_program(watched: Watched) -> None:
    """Its files are seen; that its variables are not shows in the images."""
    (watched.place / "data").write_text("x")
    program = watched.program_of('#include <stdio.h>\nint main(void) { return !fopen("data", "r"); }\n', "-static")
    seen = watched.seen(program)
    assert watched.path("data") in {item.path for item in seen.reads}
    assert program not in seen.images


def test_a_call_past_libc(watched: Watched) -> None:
    """No wrapper can be passed by."""
    (watched.place / "data").write_text("x")
    source = (
        "#include <unistd.h>\n#include <sys/syscall.h>\n#include <fcntl.h>\n"
        'int main(void) { return syscall(SYS_openat, AT_FDCWD, "data", 0) < 0; }\n'
    )
    assert watched.path("data") in {item.path for item in watched.seen(watched.program_of(source)).reads}


def test_connections(watched: Watched) -> None:
    """Whatever comes of them."""
    source = (
        "#include <arpa/inet.h>\n#include <sys/socket.h>\nint main(void) { struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = 1};"
        " a.sin_addr.s_addr = htonl(INADDR_LOOPBACK); connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&a, sizeof a); return 0; }\n"
    )
    assert watched.seen(watched.program_of(source)).network


def test_links_lead_to_what_is_read(watched: Watched) -> None:
    """The target of a link that is made, and the file that gets another name."""
    for name in ("hard", "soft"):
        (watched.place / name).write_text("x")
    seen = watched.sh("ln hard a; ln -s soft b; cat a b >/dev/null; rm a b")
    assert {watched.path("hard"), watched.path("soft")} <= {item.path for item in (*seen.reads, *seen.looked)}


def test_many_threads(watched: Watched) -> None:
    """Sixteen threads with a thousand opens each."""
    source = (
        "#include <fcntl.h>\n#include <pthread.h>\n#include <stdio.h>\n#include <unistd.h>\n"
        "static void *run(void *n) { char name[64]; for (int i = 0; i < 1000; i++) {"
        ' snprintf(name, 64, "f%ld-%d", (long)n, i); close(open(name, O_RDONLY)); } return 0; }\n'
        "int main(void) { pthread_t t[16]; for (long i = 0; i < 16; i++) pthread_create(&t[i], 0, run, (void *)i);"
        " for (int i = 0; i < 16; i++) pthread_join(t[i], 0); return 0; }\n"
    )
    seen = watched.seen(watched.program_of(source, "-pthread"))
    assert {watched.path(f"f{thread}-{i}") for thread in range(16) for i in range(1000)} <= set(seen.absent)


@pytest.mark.parametrize("code", [0, 1, 101, 255])
def test_exit_codes(watched: Watched, code: int) -> None:
    """As the program's."""
    assert watched.run("/bin/sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_death_by_a_signal(watched: Watched, number: int) -> None:
    """Our caller sees the same signal."""
    assert watched.run("/bin/sh", "-c", f"kill -{number} $$").returncode == -number


def test_streams_and_descriptors_are_the_callers(watched: Watched) -> None:
    """Stdin, both outputs and any other descriptor: make's job server."""
    read, write = os.pipe()
    script = f"import os, sys; os.write({write}, b'token'); sys.stdout.write(sys.stdin.read()); sys.stderr.write('error')"
    done = watched.run(sys.executable, "-c", script, input=b"text", pass_fds=[write])
    assert (done.stdout, done.stderr) == (b"text", b"error")
    assert os.read(read, 100) == b"token"
    os.close(read)
    os.close(write)


def test_a_megabyte_of_arguments(watched: Watched) -> None:
    """In pieces that Linux takes."""
    words = ["x" * 100_000] * 10
    assert watched.run("/bin/sh", "-c", "echo $#", "sh", *words).stdout == b"10\n"


def test_a_program_that_is_not_there(watched: Watched) -> None:
    """Says so, with the shell's code."""
    done = watched.run("/no/such/program")
    assert done.returncode == 127
    assert b"/no/such/program" in done.stderr


def test_a_report_that_cannot_be_written(watched: Watched) -> None:
    """The program runs all the same."""
    watched.report = watched.place / "missing" / "report"
    assert watched.run("/bin/echo", "x").stdout == b"x\n"
    assert read_report(str(watched.report)).trouble


def test_an_observer_under_an_observer(watched: Watched) -> None:
    """The kernel gives one listener: the inner program runs unobserved and its report says so."""
    inner = Watched((watched.program, watched.shim), watched.place)
    inner.report = watched.place / "inner"
    done = watched.run(*inner.command("/bin/echo", "x"))
    assert done.stdout == b"x\n"
    assert "listener" in read_report(str(inner.report)).trouble


def test_what_outlives_the_program(watched: Watched) -> None:
    """Nobody waits for it, it goes on working, and the report says that it is there."""
    script = "(while [ ! -e go ]; do sleep 0.05; done; cat /etc/passwd >survived) >/dev/null 2>&1 & exit 0"
    done = subprocess.run(watched.command("/bin/sh", "-c", script), cwd=watched.place, timeout=60, check=False)
    assert done.returncode == 0
    assert read_report(str(watched.report)).unknown
    (watched.place / "go").touch()
    for _ in range(600):
        if (watched.place / "survived").exists() and (watched.place / "survived").stat().st_size:
            return
        time.sleep(0.1)
    pytest.fail("what was left behind could not go on")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_go_on_to_the_program(watched: Watched, number: int) -> None:
    """One that is sent to us alone; the program cleans up."""
    script = "trap 'echo caught; exit 7' TERM INT; echo ready; while :; do sleep 0.05; done"
    child = subprocess.Popen(watched.command("/bin/sh", "-c", script), cwd=watched.place, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(number)
    assert child.wait(60) == 7
    assert b"caught" in child.stdout.read()
    child.stdout.close()


def test_a_killed_observer_takes_the_program_along(watched: Watched) -> None:
    """Without us its calls would fail."""
    child = subprocess.Popen(watched.command("/bin/sh", "-c", "echo $$; exec sleep 60"), cwd=watched.place, stdout=subprocess.PIPE)
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    child.kill()
    child.wait(60)
    child.stdout.close()
    for _ in range(600):
        if not os.path.exists(f"/proc/{pid}") or "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
            return
        time.sleep(0.05)
    pytest.fail("the program lives on")
