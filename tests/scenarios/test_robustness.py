"""Whatever happens to the daemon, the disk and the entries: the build gets what the compiler gives."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from arena import ANY, HIT, Arena, World, needs, scenario
from arena.world import is_alive, wait_until

BOTH = ("gcc", "clang")
CODE = '#include "v.h"\nint f(int n) { int unused; return n * V; }\n'


def _project(w: World) -> tuple[str, ...]:
    w.write("a.c", CODE)
    w.write("v.h", "#define V 3\n")
    return ("-Wall", "-g", "-MD", "-c", "a.c", "-o", "a.o")


def _damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flip":
        for at in range(0, len(data), 7):
            data[at] ^= 0x55
    elif how == "flip one in the middle" and data:
        data[len(data) // 2] ^= 1
    elif how == "flip the last" and data:
        data[-1] ^= 0x80
    elif how == "truncate":
        del data[len(data) // 2 :]
    elif how == "empty":
        data.clear()
    elif how == "append":
        data += b"tail"
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["flip", "flip one in the middle", "flip the last", "truncate", "empty", "append"])
@pytest.mark.parametrize("restart", [False, True], ids=["running daemon", "new daemon"])
def test_corrupt_all_entries(arena: Arena, how: str, restart: bool) -> None:
    """Every file of the cache damaged: recompiled, never a failure or garbage; and it recovers."""
    needs("gcc")

    def steps(w: World) -> None:
        options = _project(w)
        w.run("gcc", *options)
        w.run("gcc", *options, expect=HIT)
        if restart:
            w.stop_daemon()
        for path in w.cache_files():
            _damage(path, how)
        for name in ("a.o", "a.d"):
            w.remove(name)
        w.run("gcc", *options)
        w.run("gcc", *options)
        w.run("gcc", *options, expect=HIT)

    arena.play(steps)


@scenario(*BOTH)
def test_cache_directory_removed(w: World, cc: str) -> None:
    """The whole cache directory vanishes under a running daemon."""
    options = _project(w)
    w.run(cc, *options)
    for path in w.cache_files():
        path.unlink(missing_ok=True)  # temporary files come and go
    w.run(cc, *options)
    w.run(cc, *options)


@scenario("gcc")
def test_cache_files_become_directories(w: World) -> None:
    """Entries replaced by directories, dangling symlinks and unreadable files."""
    options = _project(w)
    w.run("gcc", *options)
    w.stop_daemon()
    for number, path in enumerate(w.cache_files()):
        path.unlink()
        if number % 2:
            path.mkdir()
        else:
            path.symlink_to("/nonexistent")
    w.run("gcc", *options)
    w.run("gcc", *options)


@scenario(*BOTH)
def test_daemon_killed_between(w: World, cc: str) -> None:
    """kill -9 between two compiles: the next one works, and hits."""
    options = _project(w)
    w.run(cc, *options, expect=ANY)
    if w.product:
        w.product.settled_counts(w.environment())
    w.kill_daemon()
    w.run(cc, *options)
    w.kill_daemon()
    w.run(cc, *options)
    w.run(cc, *options, expect=HIT)


@scenario("gcc")
def test_daemon_killed_during_compile(w: World) -> None:
    """kill -9 while the compiler runs: the object is there, exit code and diagnostics are the compiler's."""
    options = _project(w)
    _slow_compiler(w, 'case "$*" in *a.c*) : > reached; while [ ! -e go ]; do sleep 0.01; done;; esac')
    w.remove("go")
    w.run("bin/gcc", "-c", "none.c")  # the compiler is known now
    _compile_and_kill(w, options)
    w.remove("go")
    w.script("bin/gcc", 'exec /usr/bin/gcc "$@"')
    w.run("bin/gcc", *options)


@scenario("gcc")
def test_daemon_killed_while_probing(w: World) -> None:
    """kill -9 while the daemon finds out what compiler this is."""
    options = _project(w)
    _slow_compiler(w, ": > reached; while [ ! -e go ]; do sleep 0.01; done")
    w.remove("go")
    _compile_and_kill(w, options)


def _slow_compiler(w: World, wait: str) -> None:
    w.script("bin/gcc", f'{wait}\nexec /usr/bin/gcc "$@"')
    w.write("go", "")


def _compile_and_kill(w: World, options: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        w.compiler(w.path("bin/gcc"), *options), cwd=w.root, env=w.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(lambda: w.path("reached").exists() or process.poll() is not None, "the compiler runs")
    w.kill_daemon()
    w.write("go", "")
    out, err = process.communicate(timeout=120)
    w.remove("reached")
    w.run("true", compare=True) if not w.cached else w.tool("true", compare=True)
    last = w.steps[-1]
    w.steps[-1] = type(last)("the interrupted compile", process.returncode, out, err, last.tree)


@scenario("gcc")
def test_daemon_stopped_not_answering(w: World) -> None:
    """A daemon that hangs (SIGSTOP) does not hang the build."""
    options = _project(w)
    w.run("gcc", *options)
    pid = w.daemon_pid()
    if pid:
        os.kill(pid, signal.SIGSTOP)
    try:
        w.run("gcc", *options)
    finally:
        if pid:
            os.kill(pid, signal.SIGCONT)
    w.run("gcc", *options)


@scenario(*BOTH)
def test_cache_directory_is_a_file(w: World, cc: str) -> None:
    """The cache's path is a regular file: the build works."""
    (w.home / "cache").write_text("not a directory")
    options = _project(w)
    w.run(cc, *options)
    w.run(cc, *options)


@scenario("gcc")
def test_cache_directory_cannot_be_made(w: World) -> None:
    """The cache's parent is a file, /dev/null or a read-only place."""
    options = _project(w)
    for place in ("/dev/null/cache", "/proc/cache", "/sys/cache", ""):
        w.stop_daemon()
        w.env["SCCACHE_DIR"] = place
        w.env["CCACHE_DIR"] = place
        w.run("gcc", *options)
        w.run("gcc", *options)


@contextlib.contextmanager
def _small_disk(w: World, size: str) -> Iterator[None]:
    """Mount a small tmpfs as the cache directory."""
    if w.product is None:
        yield
        return
    folder = w.product.cache_dir(w.environment())
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs to mount a small tmpfs: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        w.stop_daemon()
        w.kill_daemon()
        subprocess.run(["umount", "-l", folder], check=True)


@scenario("gcc")
def test_disk_full(w: World) -> None:
    """A full disk: everything compiles, with the compiler's own exit codes and words."""
    with _small_disk(w, "64k"):
        for number in range(6):
            w.write(
                f"b{number}.c", f"char data_{number}[] = {{" + ",".join(str((n * 7919 + number * 31) % 251) for n in range(20000)) + "};\n"
            )
            for _ in range(2):
                w.run("gcc", "-c", f"b{number}.c", "-o", f"b{number}.o")


@scenario("gcc")
def test_output_disk_full(w: World) -> None:
    """No room for the object itself: the compiler's own failure; /dev/full says ENOSPC."""
    options = ("-c", "a.c", "-o", "/dev/full")
    _project(w)
    for _ in range(2):
        step = w.run("gcc", *options, compare=False)
        if step.exit_code == 0:
            w.complaints.append("writing to /dev/full succeeded")
    w.run("gcc", "-c", "a.c", "-o", "a.o")


@scenario("gcc")
def test_garbage_on_the_socket(w: World) -> None:
    """A peer that talks nonsense disturbs nobody."""
    options = _project(w)
    w.run("gcc", *options)
    if w.daemon_pid():
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\x00\x00\x00\x05\x02abcd", b"\x7f\xff\xff\xff", b""):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(w.env["SCCACHE_SERVER_UDS"])
                peer.sendall(garbage)
    w.run("gcc", *options, expect=HIT)


def _false_daemon(w: World, says: bytes) -> subprocess.Popen[bytes]:
    """Listen where the daemon would, answer every connection with `says`, and then keep it open."""
    code = (
        "import socket,sys\n"
        "s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(50); print('up', flush=True)\n"
        "keep=[]\n"
        "while True:\n c,_=s.accept(); keep.append(c); c.settimeout(5)\n"
        " try:\n  c.recv(100000); c.sendall(bytes.fromhex(sys.argv[2]))\n except OSError: pass\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, w.env["SCCACHE_SERVER_UDS"], says.hex()], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\0", b"\xff\xff\xff\xff\xff", b"\0\0\0\1\x81", b"\0\0\0\2\x99\0", b"\0\0\0\1\x85"]
)
def test_wrong_peer_on_the_socket(arena: Arena, says: bytes) -> None:
    """Another program or another version listens where the daemon should: the build works."""
    needs("gcc")

    def steps(w: World) -> None:
        options = _project(w)
        if w.product is None or not w.product.has_daemon:
            w.run("gcc", *options)
            return
        false = _false_daemon(w, says)
        try:
            w.run("gcc", *options)
        finally:
            false.kill()
            false.wait()
            assert false.stdout is not None
            false.stdout.close()

    arena.play(steps)


@scenario("gcc")
def test_socket_path_unusable(w: World) -> None:
    """The socket's directory does not exist, is read-only, or its path is too long."""
    options = _project(w)
    for place in ("/nonexistent/sock", "/proc/sock", "/tmp/" + "x" * 200, str(w.root / "a.c")):
        w.env["SCCACHE_SERVER_UDS"] = place
        w.run("gcc", *options)


@scenario("gcc")
def test_broken_configuration(w: World) -> None:
    """A configuration nobody can read does not stop a compile."""
    options = _project(w)
    w.write("bad.toml", "this is = [ not toml\n")
    for env in ({"SCCACHE_CONF": str(w.path("bad.toml"))}, {"SCCACHE_CACHE_SIZE": "lots"}, {"SCCACHE_DIRECT": "perhaps"}):
        w.stop_daemon()
        w.run("gcc", *options, env=env)


@scenario("gcc")
def test_read_only_source_tree(w: World) -> None:
    """An object directory without write permission: the compiler's failure (root may write anywhere: then a success)."""
    _project(w)
    w.mkdir("ro").chmod(0o555)
    for _ in range(2):
        w.run("gcc", "-c", "a.c", "-o", "ro/a.o")
    w.path("ro").chmod(0o755)


def _runs_of(w: World) -> list[int]:
    """Processes whose working directory is the scenario's tree."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "cwd") == str(w.root) and is_alive(int(entry.name)):
                    found.append(int(entry.name))
    return found


@pytest.mark.parametrize("how", ["SIGINT to the group", "SIGTERM to the launcher", "SIGHUP to the group", "SIGKILL to the launcher"])
def test_interrupted(arena: Arena, how: str) -> None:
    """Ctrl-C stops a compile at once, leaves no process and no half-written object; the daemon lives on."""
    needs("gcc")
    w = arena.cached_world()
    w.write("a.c", "int x;\n")
    w.run("gcc", "-c", "a.c", "-o", "warm.o", compare=False)
    w.script("slow/gcc", 'case "$*" in *a.c*) : > reached; exec sleep 60;; esac\nexec /usr/bin/gcc "$@"')
    w.write("go", "")
    process = subprocess.Popen(
        w.compiler(w.path("slow/gcc"), "-c", "a.c", "-o", "a.o"), cwd=w.root, env=w.environment(), process_group=0,
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: w.path("reached").exists(), "the compiler runs")
    number = getattr(signal, how.split(maxsplit=1)[0])
    (os.killpg if "group" in how else os.kill)(process.pid, number)
    status = process.wait(50)
    assert status in (-number, 128 + number)
    if how == "SIGKILL to the launcher":  # nobody can clean up after that; the compiler itself would go on, too
        for pid in _runs_of(w):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not _runs_of(w), "no process is left")
    assert not w.path("a.o").exists()
    assert sorted(p.name for p in w.root.iterdir()) == ["a.c", "go", "reached", "slow", "warm.o"]
    w.script("slow/gcc", 'exec /usr/bin/gcc "$@"')
    assert w.run(w.path("slow/gcc"), "-c", "a.c", "-o", "a.o").exit_code == 0


def test_interrupted_real_compile(arena: Arena) -> None:
    """The same with a real compiler at work: no half-written object, no temporary file."""
    needs("g++")
    w = arena.cached_world()
    w.write("a.cpp", '#include <regex>\n#include <map>\nstd::regex r("a"); int f(const char *s) { return std::regex_match(s, r); }\n')
    process = subprocess.Popen(
        w.compiler("g++", "-O3", "-c", "a.cpp", "-o", "a.o"), cwd=w.root, env=w.environment(), process_group=0, stdin=subprocess.DEVNULL
    )
    wait_until(lambda: any(b"cc1plus" in _command_line(pid) for pid in _runs_of(w)), "cc1plus runs")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(50) in (-signal.SIGINT, 130)
    wait_until(lambda: not _runs_of(w), "no process is left")
    assert [p.name for p in w.root.iterdir()] == ["a.cpp"]
    wait_until(lambda: not list((w.home / "tmp").iterdir()), "TMPDIR is empty")


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_compiler_killed_by_a_signal(arena: Arena) -> None:
    """A compiler that dies of a signal: a failure as without the cache, nothing stored."""
    needs("gcc")
    w = arena.cached_world()
    w.write("a.c", "int x;\n")
    w.script("bin/gcc", 'case "$*" in *a.c*) kill -SEGV $$;; esac\nexec /usr/bin/gcc "$@"')
    assert w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o").exit_code in (-signal.SIGSEGV, 128 + signal.SIGSEGV)
    w.script("bin/gcc", 'exec /usr/bin/gcc "$@"')
    assert w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o").exit_code == 0


def test_runtime_directory_of_another_user_is_not_used(arena: Arena) -> None:
    """A socket directory that others can write to is not trusted; the build works."""
    needs("gcc")
    w = arena.cached_world()
    del w.env["SCCACHE_SERVER_UDS"]
    w.env["SCCACHE_SERVER_PORT"] = str(_free_port())
    w.write("a.c", "int x;\n")
    assert w.run("gcc", "-c", "a.c", "-o", "a.o").exit_code == 0
    folder = Path(f"/tmp/sccache-{os.getuid()}")
    if folder.exists():
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    w.stop_daemon()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
