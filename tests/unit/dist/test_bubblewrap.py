"""The sandbox, with the real bwrap: as root where the tests run as root, and rootless."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sccache.dist.sandbox.base import Bind, Build, Limits, SandboxError
from sccache.dist.sandbox.bubblewrap import ENTER, Bubblewrap, FinishedBuild

PROBE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <unistd.h>

extern char **environ;

static int is(const char *a, const char *b) { return strcmp(a, b) == 0; }

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *what = argv[i];
        char *arg = i + 1 < argc ? argv[i + 1] : "";
        if (is(what, "name")) printf("%s\n", argv[0]);
        else if (is(what, "env")) { for (char **e = environ; *e; e++) printf("%s\n", *e); }
        else if (is(what, "cwd")) { char b[4096]; printf("%s\n", getcwd(b, sizeof b)); }
        else if (is(what, "umask")) { mode_t m = umask(0); printf("%03o\n", m); umask(m); }
        else if (is(what, "exit")) { fflush(stdout); _exit(atoi(arg)); }
        else if (is(what, "die")) { fflush(stdout); signal(atoi(arg), SIG_DFL); kill(getpid(), atoi(arg)); pause(); }
        else if (is(what, "cat")) { int f = open(arg, O_RDONLY); if (f < 0) printf("%s: %s\n", arg, strerror(errno));
            else { char b[4096]; ssize_t n = read(f, b, sizeof b); fwrite(b, 1, n > 0 ? n : 0, stdout); close(f); } i++; }
        else if (is(what, "write")) { int f = open(arg, O_WRONLY | O_CREAT | O_TRUNC, 0666);
            if (f < 0) printf("%s: %s\n", arg, strerror(errno)); else { if (write(f, "made", 4) != 4) perror("write"); close(f); } i++; }
        else if (is(what, "chmod")) { printf("chmod %d\n", chmod(arg, 0666)); i++; }
        else if (is(what, "mode")) { chmod(arg, 0755); i++; }
        else if (is(what, "remove")) { printf("remove %d\n", remove(arg)); i++; }
        else if (is(what, "link")) { printf("link %d\n", symlink("/etc/passwd", arg)); i++; }
        else if (is(what, "fifo")) { printf("fifo %d\n", mkfifo(arg, 0666)); i++; }
        else if (is(what, "dir")) { printf("dir %d\n", mkdir(arg, 0777)); i++; }
        else if (is(what, "closed")) { printf("dir %d\n", mkdir(arg, 0000)); i++; }
        else if (is(what, "connect")) { int s = socket(AF_INET, SOCK_STREAM, 0); struct sockaddr_in a = {0}; a.sin_family = AF_INET;
            a.sin_port = htons(atoi(arg)); a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            printf("connect %d\n", connect(s, (void *)&a, sizeof a)); i++; }
        else if (is(what, "abstract")) { int s = socket(AF_UNIX, SOCK_STREAM, 0); struct sockaddr_un a = {0}; a.sun_family = AF_UNIX;
            strcpy(a.sun_path + 1, arg); printf("abstract %d\n", connect(s, (void *)&a, sizeof(sa_family_t) + 1 + strlen(arg))); i++; }
        else if (is(what, "kill")) { printf("kill %d\n", kill(atoi(arg), 0)); i++; }
        else if (is(what, "mount")) printf("mount %d\n", mount("none", "/tmp", "tmpfs", 0, 0));
        else if (is(what, "tty")) { struct winsize w = {0}; ioctl(2, TIOCGWINSZ, &w); fprintf(stderr, "%d %d\n", isatty(2), w.ws_col); }
        else if (is(what, "stdin")) { char c; printf("stdin %d\n", (int)read(0, &c, 1)); }
        else if (is(what, "err")) { fputs(arg, stderr); i++; }
        else if (is(what, "eat")) { size_t n = strtoull(arg, 0, 10); char *p = malloc(n); if (p) memset(p, 1, n); printf("eat %d\n", p
            != 0); i++; }
        else if (is(what, "fork")) { int n = 0; while (n < 2000) { pid_t p = fork(); if (p < 0) break; if (p == 0) { pause(); _exit(0);
            } n++; }
            printf("forked %s\n", n < 1000 ? "few" : "many"); }
        else if (is(what, "spill")) { signal(SIGXFSZ, SIG_IGN); int f = open(arg, O_WRONLY | O_CREAT, 0666); static char b[1 << 20];
            for (int k = 0; k < 4096; k++) if (write(f, b, sizeof b) < 0) break; i++; }
        else if (is(what, "spill-many")) { static char b[1 << 20]; for (int k = 0; k < 100000; k++) { char n[64]; sprintf(n, "/w/%d", k);
            int f = open(n, O_WRONLY | O_CREAT, 0666); if (write(f, b, sizeof b) < 0) break; close(f); } pause(); }
        else if (is(what, "shout")) { for (;;) if (puts("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") < 0) break; }
        else if (is(what, "daemon")) { if (fork() == 0) { setsid(); if (fork() == 0) { close(0); close(1); close(2); sleep(1000); }
            _exit(0); } }
        else if (is(what, "hang")) { fflush(stdout); sleep(1000); }
        fflush(stdout);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program that does what its arguments say."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    place = tmp_path_factory.mktemp("probe")
    (place / "probe.c").write_text(PROBE)
    subprocess.run(["gcc", "-static", "-O1", "-w", str(place / "probe.c"), "-o", str(place / "probe")], check=True)
    return place / "probe"


class World:
    """A worker's directories, a toolchain with one program, and a tree."""

    def __init__(self, top: Path, probe: Path, *, rootless: bool) -> None:
        self.top = top
        self.store = top / "store"
        self.tree = top / "tree"
        for name in ("store", "tree/w", "toolchain/bin", "tree/tmp"):
            (top / name).mkdir(parents=True)
        shutil.copy(probe, top / "toolchain/bin/probe")
        (self.store / "blob").write_bytes(b"content\n")
        (self.store / "blob").chmod(0o444)
        os.link(self.store / "blob", self.tree / "w/input")
        self.sandbox = Bubblewrap(str(top / "builds"), rootless=rootless)
        (top / "builds").mkdir(mode=0o700)

    def build(self, *words: str, **changes: object) -> Build:
        given: dict[str, object] = {
            "toolchain": str(self.top / "toolchain"),
            "tree": str(self.tree),
            "executable": b"/bin/probe",
            "argv": (b"probe", *map(os.fsencode, words)),
            "environment": (),
            "cwd": b"/w",
            "umask": 0o022,
            "limits": Limits(seconds=20),
        }
        return Build(**{**given, **changes})  # type: ignore[arg-type]

    def run(self, *words: str, **changes: object) -> FinishedBuild:
        return asyncio.run(self.sandbox.run(self.build(*words, **changes)))

    def says(self, *words: str, **changes: object) -> str:
        finished = self.run(*words, **changes)
        try:
            assert finished.outcome.trouble == ""
            return finished.outcome.stdout.decode()
        finally:
            finished.remove()

    def leftovers(self) -> list[str]:
        return os.listdir(self.top / "builds")


def _needs() -> None:
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        pytest.skip("bwrap is not installed")
    if not os.access(ENTER, os.X_OK):
        pytest.skip("sccache-enter is not built (scripts/build-native)")


@pytest.fixture(params=["root", "rootless"])
def world(request: pytest.FixtureRequest, tmp_path: Path, probe: Path) -> Iterator[World]:
    _needs()
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("only root can use overlays without user namespaces")
    world = World(tmp_path, probe, rootless=request.param == "rootless")
    try:
        asyncio.run(world.sandbox.check())
    except SandboxError as e:
        if request.param == "rootless":
            pytest.skip(f"no rootless sandbox here: {e}")
        raise
    assert world.leftovers() == []
    yield world
    assert world.leftovers() == []


def test_exactly_the_name_environment_directory_and_mask(world: World) -> None:
    """Nothing of the worker's: compilers record PWD, and act by argv[0]."""
    environment = ((b"A", b"1"), (b"PWD", b"/odd/name"))
    said = world.says(
        "name", "env", "cwd", "umask", argv=(b"fancy", b"name", b"env", b"cwd", b"umask"), environment=environment, umask=0o027
    )
    assert said.split() == ["fancy", "A=1", "PWD=/odd/name", "/w", "027"]
    assert world.says("env") == ""


@pytest.mark.parametrize("status", [0, 1, 7, 126, 127, 139, 255])
def test_exit_codes(world: World, status: int) -> None:
    """As they are: 139 is no signal."""
    finished = world.run("exit", str(status))
    finished.remove()
    assert finished.outcome.status == status


@pytest.mark.parametrize("number", [9, 11, 15])
def test_signals(world: World, number: int) -> None:
    """Told as what they are."""
    finished = world.run("die", str(number))
    finished.remove()
    assert finished.outcome.status == -number


def test_outputs_are_read(world: World) -> None:
    """Those that were made or changed; inputs that were not are none, and absent ones are passed over."""
    (world.tree / "w/old").write_text("old")
    finished = world.run("write", "/w/new", "mode", "/w/new", "write", "/w/old")
    made = finished.read([b"/w/new", b"/w/old", b"/w/input", b"/w/absent"], [], 1000)
    assert [(one.path, one.data, one.executable) for one in made] == [(b"/w/new", b"made", True), (b"/w/old", b"made", False)]
    assert finished.left([b"/w/new"], 10) == (b"/w/old",)
    with pytest.raises(SandboxError, match="too large"):
        finished.read([b"/w/new", b"/w/old"], [], 7)
    finished.remove()
    assert (world.tree / "w/old").read_text() == "old"


def test_outputs_below_a_directory(world: World) -> None:
    """Wherever they are in it."""
    finished = world.run("dir", "/w/a", "dir", "/w/a/b", "write", "/w/a/b/c", "write", "/w/d", "write", "/tmp/e")
    assert [one.path for one in finished.read([], [b"/w/a"], 1000)] == [b"/w/a/b/c"]
    assert finished.left([], 10) in ((b"/w/d", b"/w/a/b/c"), (b"/w/a/b/c", b"/w/d"))
    finished.remove()


def test_the_store_cannot_be_changed(world: World) -> None:
    """Inputs are hard links to it; what a build does to them happens to copies."""
    before = os.stat(world.store / "blob")
    finished = world.run("chmod", "/w/input", "write", "/w/input", "cat", "/w/input", "remove", "/w/input")
    assert finished.outcome.stdout.decode().splitlines()[0] == "chmod 0"
    assert "made" in finished.outcome.stdout.decode()
    assert finished.left([], 10) == (b"/w/input",)
    finished.remove()
    after = os.stat(world.store / "blob")
    assert (world.store / "blob").read_bytes() == b"content\n"
    assert (before.st_mode, before.st_mtime_ns, before.st_nlink) == (after.st_mode, after.st_mtime_ns, after.st_nlink)
    assert (world.tree / "w/input").exists()


def test_nothing_else_can_be_seen(world: World) -> None:
    """Neither files of the host, nor of the worker, nor its processes."""
    (world.top / "hidden").write_text("secret")
    said = world.says(
        "cat",
        "/etc/shadow",
        "cat",
        f"{world.top}/hidden",
        "cat",
        f"/proc/{os.getpid()}/environ",
        "cat",
        "/proc/1/root/etc/passwd",
        "kill",
        str(os.getpid()),
    )
    assert "secret" not in said
    assert "root:" not in said
    assert "kill -1" in said


def test_no_network(world: World) -> None:
    """Not the host's loopback, nor its abstract sockets."""
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as named:
        server.bind(("127.0.0.1", 0))
        server.listen()
        named.bind(f"\0sccache-test-{os.getpid()}")
        named.listen()
        said = world.says("connect", str(server.getsockname()[1]), "abstract", f"sccache-test-{os.getpid()}")
    assert said.split() == ["connect", "-1", "abstract", "-1"]


def test_no_mounts(world: World) -> None:
    """It has no capability, in no namespace."""
    assert world.says("mount") == "mount -1\n"


def test_what_is_no_file_is_no_output(world: World) -> None:
    """Links, pipes and directories where outputs are expected, and links on the way to them."""
    finished = world.run("link", "/w/a", "fifo", "/w/b", "dir", "/w/c", "closed", "/w/d", "link", "/w/e")
    assert finished.read([b"/w/a", b"/w/b", b"/w/c", b"/w/e/passwd", b"/w/../../../etc/passwd", b"/w/d/x"], [b"/w"], 1 << 20) == []
    finished.remove()


def test_streams(world: World) -> None:
    """Stdin is empty; stdout and stderr are kept apart."""
    finished = world.run("stdin", "err", "trouble")
    finished.remove()
    assert (finished.outcome.stdout, finished.outcome.stderr) == (b"stdin 0\n", b"trouble")


def test_a_terminal_of_a_width(world: World) -> None:
    """Messages are coloured and wrapped as where the user sits; what is written to it is not changed."""
    finished = world.run("tty", "err", "a\nb\r\n", columns=97)
    finished.remove()
    assert finished.outcome.stderr == b"1 97\na\nb\r\n"
    plain = world.run("tty")
    plain.remove()
    assert plain.outcome.stderr == b"0 0\n"


def test_time_is_limited(world: World) -> None:
    """The whole family is ended."""
    finished = world.run("daemon", "hang", limits=Limits(seconds=1))
    finished.remove()
    assert "longer than 1 seconds" in finished.outcome.trouble


def test_what_stays_in_the_background_is_ended(world: World) -> None:
    """Processes end with the command."""
    finished = world.run("daemon")
    finished.remove()
    assert finished.outcome.status == 0


def test_memory_is_limited(world: World) -> None:
    """More than that cannot be had."""
    limits = Limits(seconds=20, memory_bytes=256 << 20)
    assert world.says("eat", str(512 << 20), limits=limits) == "eat 0\n"
    assert world.says("eat", str(64 << 20), limits=limits) == "eat 1\n"


def test_processes_are_limited(world: World) -> None:
    """A fork bomb gets no further, or is ended."""
    finished = world.run("fork", "hang", limits=Limits(seconds=60, processes=50))
    finished.remove()
    assert "more than 50 processes" in finished.outcome.trouble or finished.outcome.stdout == b"forked few\n"


def test_a_file_is_limited(world: World) -> None:
    """It stops growing."""
    finished = world.run("spill", "/w/big", limits=Limits(seconds=20, output_bytes=8 << 20))
    with pytest.raises(SandboxError):
        finished.read([b"/w/big"], [], 1 << 20)
    finished.remove()


def test_all_files_together_are_limited(world: World) -> None:
    """It is ended."""
    finished = world.run("spill-many", limits=Limits(seconds=60, output_bytes=32 << 20))
    finished.remove()
    assert "wrote more than" in finished.outcome.trouble


def test_streams_are_limited(world: World) -> None:
    """It is ended."""
    finished = world.run("shout", limits=Limits(seconds=60, stream_bytes=1 << 20))
    finished.remove()
    assert "says too much" in finished.outcome.trouble


def test_a_cancelled_build_is_gone(world: World) -> None:
    """Its processes and its files."""

    async def cancelled() -> None:
        running = asyncio.ensure_future(world.sandbox.run(world.build("hang")))
        while not world.leftovers():
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())


def test_files_of_the_worker_can_be_bound(world: World, tmp_path: Path) -> None:
    """Such as the observer; they can be read, not written."""
    (tmp_path / "given").write_text("given")
    said = world.says("cat", "/.sccache/given", "write", "/.sccache/given", binds=(Bind(str(tmp_path / "given"), b"/.sccache/given"),))
    assert said.startswith("given")
    assert (tmp_path / "given").read_text() == "given"


def test_a_command_that_is_not_there(world: World) -> None:
    """Status 127 and a sentence, as from a shell."""
    finished = world.run(executable=b"/bin/nowhere")
    finished.remove()
    assert finished.outcome.status == 127
    assert b"cannot run /bin/nowhere" in finished.outcome.stderr


@pytest.mark.parametrize("name", [".sccache", "proc", "dev", "w"])
def test_a_toolchain_that_leads_outside(world: World, tmp_path: Path, name: str) -> None:
    """Links in it are the sandbox's: what builds the sandbox must not follow them on the host."""
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(world.tree / "w")
    (world.top / "toolchain" / name).symlink_to(outside)
    (tmp_path / "given").write_text("given")
    with contextlib.suppress(SandboxError):
        world.run("write", "/w/new", binds=(Bind(str(tmp_path / "given"), b"/.sccache/given"),), cwd=b"/").remove()
    assert list(outside.iterdir()) == []


def test_many_files(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than can be looked through are refused."""
    monkeypatch.setattr("sccache.dist.sandbox.written.MAX_ENTRIES", 5)
    finished = world.run(*(word for number in range(9) for word in ("write", f"/w/{number}")))
    with pytest.raises(SandboxError, match="too many"):
        finished.left([], 100)
    finished.remove()


def test_bad_words(world: World) -> None:
    """What could be read as something else is refused."""
    with pytest.raises(SandboxError):
        world.run("a\0b")
    with pytest.raises(SandboxError):
        world.run(environment=((b"a=b", b"c"),))


def test_a_missing_bwrap(tmp_path: Path) -> None:
    """A sentence."""
    _needs()
    sandbox = Bubblewrap(str(tmp_path), str(tmp_path / "no-bwrap"), rootless=os.geteuid() != 0)
    with pytest.raises(SandboxError, match=r"bubblewrap 0\.3\.0 or later is required"):
        asyncio.run(sandbox.check())
