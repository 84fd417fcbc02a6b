"""The daemon's life and the commands around it, as scripts use them."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from arena import ANY, HIT, MISS, UNCACHED, Arena, World, needs
from arena.products import Sccache
from arena.world import is_alive, wait_until


@pytest.fixture
def w(arena: Arena) -> World:
    """A cached world of ours (or of the original)."""
    if not isinstance(arena.product, Sccache):
        pytest.skip(f"commands of sccache; the product under test is {arena.product.name}")
    needs("gcc")
    world = arena.cached_world()
    world.write("a.c", "int x;\n")
    return world


COMPILE = ("gcc", "-c", "a.c", "-o", "a.o")


def _command(w: World, *options: str, env: dict[str, str | None] | None = None) -> subprocess.CompletedProcess[str]:
    assert w.product is not None
    w._counts = None
    return subprocess.run(
        [str(w.product.command), *options], cwd=w.root, env=w.environment(env), capture_output=True, text=True, timeout=60, check=False
    )


def _stats(w: World, env: dict[str, str | None] | None = None) -> dict[str, object]:
    done = _command(w, "--show-stats", "--stats-format=json", env=env)
    assert done.returncode == 0, done.stderr
    parsed: dict[str, object] = json.loads(done.stdout)["stats"]
    return parsed


def test_start_stop_show_zero(w: World) -> None:
    """The documented commands, their words and exit codes."""
    started = _command(w, "--start-server")
    assert started.returncode == 0
    assert "Starting the server..." in started.stdout
    assert w.run(*COMPILE, expect=MISS).exit_code == 0
    assert w.run(*COMPILE, expect=HIT).exit_code == 0
    shown = _command(w, "--show-stats")
    assert re.search(r"^Compile requests +2$", shown.stdout, re.MULTILINE)
    assert re.search(r"^Cache hits \(C/C\+\+\) +1$", shown.stdout, re.MULTILINE)
    assert re.search(r"^Cache hits rate +50\.00 %$", shown.stdout, re.MULTILINE)
    assert re.search(r"c \[gcc\]", _command(w, "--show-adv-stats").stdout)
    zeroed = _command(w, "--zero-stats")
    assert (zeroed.returncode, "Statistics zeroed." in zeroed.stderr) == (0, True)
    assert _stats(w)["compile_requests"] == 0
    stopped = _command(w, "--stop-server")
    assert stopped.returncode == 0
    assert "Stopping sccache server..." in stopped.stdout
    again = _command(w, "--stop-server")
    assert again.returncode == 2
    assert not w.complaints


def test_starting_twice_fails(w: World) -> None:
    """A second --start-server says that the address is in use."""
    assert _command(w, "--start-server").returncode == 0
    again = _command(w, "--start-server")
    assert again.returncode == 2
    assert "Server startup failed" in again.stderr


def test_stats_without_a_daemon(w: World) -> None:
    """--show-stats starts nothing."""
    assert _stats(w)["compile_requests"] == 0
    assert w.daemon_pid() is None
    assert _command(w, "--stop-server").returncode == 2


def test_statistics_survive_a_restart(w: World) -> None:
    """Counters go on after --stop-server; --zero-stats zeroes them."""
    w.run(*COMPILE, expect=MISS)
    assert _command(w, "--stop-server").returncode == 0
    w.run(*COMPILE, expect=ANY)
    counted = _stats(w)
    assert counted["compile_requests"] == 2
    assert counted["cache_hits"] == {"counts": {"C/C++": 1}, "adv_counts": {"c [gcc]": 1}}
    _command(w, "--zero-stats")
    _command(w, "--stop-server")
    assert _stats(w)["compile_requests"] == 0


def test_json_is_compact_and_complete(w: World) -> None:
    """Scripts match the text of the JSON."""
    w.run(*COMPILE)
    w.run(*COMPILE)
    text = _command(w, "--show-stats", "--stats-format=json").stdout
    assert '"cache_hits":{"counts":{"C/C++":1},"adv_counts":{"c [gcc]":1}}' in text
    whole = json.loads(text)
    assert list(whole) == ["stats", "cache_location", "cache_size", "max_cache_size", "use_preprocessor_cache_mode", "version", "basedirs"]
    assert whole["cache_location"].startswith("Local disk")
    assert whole["max_cache_size"] == 10 << 30


def test_configuration_changes_are_noticed(w: World) -> None:
    """A new cache size in the environment counts without a restart (the running daemon notices)."""
    w.run(*COMPILE)
    w.run(*COMPILE, env={"SCCACHE_CACHE_SIZE": "3G"})
    done = _command(w, "--show-stats", "--stats-format=json", env={"SCCACHE_CACHE_SIZE": "3G"})
    assert json.loads(done.stdout)["max_cache_size"] == 3 << 30


def test_cache_directory_changes_are_noticed(w: World) -> None:
    """Another SCCACHE_DIR is another cache."""
    w.run(*COMPILE, expect=MISS)
    env = {"SCCACHE_DIR": str(w.home / "other")}
    w.run(*COMPILE, env=env)
    w.run(*COMPILE, env=env)
    wait_until(lambda: any(p.is_file() for p in (w.home / "other").rglob("*")), "the other cache has entries")


def test_recache_and_no_cache(w: World) -> None:
    """SCCACHE_RECACHE stores anew, SCCACHE_NO_CACHE neither reads nor writes."""
    w.run(*COMPILE, expect=MISS)
    w.run(*COMPILE, env={"SCCACHE_RECACHE": "1"}, expect=MISS)
    stats = _stats(w)
    assert stats["forced_recaches"] == 1
    w.run(*COMPILE, env={"SCCACHE_NO_CACHE": "1"}, expect=UNCACHED)
    w.write("b.c", "int b;\n")
    w.run("gcc", "-c", "b.c", "-o", "b.o", env={"SCCACHE_NO_CACHE": "1"}, expect=UNCACHED)
    w.run("gcc", "-c", "b.c", "-o", "b.o", expect=MISS)
    w.run(*COMPILE, expect=HIT)
    assert not w.complaints


def test_direct_mode_off_for_one_request(w: World) -> None:
    """SCCACHE_DIRECT=false: the hit is found by preprocessing."""
    w.run(*COMPILE, expect=MISS)
    w.run(*COMPILE, env={"SCCACHE_DIRECT": "false"}, expect=HIT)
    w.write("c.c", "int c;\n")
    w.run("gcc", "-c", "c.c", "-o", "c.o", env={"SCCACHE_DIRECT": "false"}, expect=MISS)
    w.run("gcc", "-c", "c.c", "-o", "c.o", env={"SCCACHE_DIRECT": "false"}, expect=HIT)
    assert not w.complaints


def test_read_only_mode(w: World) -> None:
    """READ_ONLY never writes: cold it only misses; filled before, it hits."""
    read_only = {"SCCACHE_LOCAL_RW_MODE": "READ_ONLY"}
    w.run(*COMPILE, env=read_only)
    w.run(*COMPILE, env=read_only)
    assert _stats(w)["cache_hits"] == {"counts": {}, "adv_counts": {}}
    _command(w, "--stop-server")
    w.run(*COMPILE)
    _command(w, "--stop-server")
    before = {p: p.read_bytes() for p in w.cache_files() if "stat" not in p.name}
    w.run(*COMPILE, env=read_only)
    w.write("b.c", "int b;\n")
    w.run("gcc", "-c", "b.c", "-o", "b.o", env=read_only)
    _command(w, "--stop-server")
    entries = {p for p in w.cache_files() if p.stat().st_size > 0}
    assert {p for p in before if p in entries} == set(before)


def test_two_ports_are_isolated(arena: Arena) -> None:
    """The Jenkins recipe: jobs with different ports have their own daemon, cache and statistics."""
    if not isinstance(arena.product, Sccache):
        pytest.skip("commands of sccache")
    needs("gcc")
    w = arena.cached_world()
    w.write("a.c", "int x;\n")
    jobs = []
    for number in range(2):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        jobs.append({"SCCACHE_SERVER_UDS": None, "SCCACHE_SERVER_PORT": str(port), "SCCACHE_DIR": str(w.home / f"cache{number}")})
    try:
        for times, env in zip((1, 3), jobs, strict=True):
            for _ in range(times):
                assert w.run(*COMPILE, env=env).exit_code == 0
        assert [_stats(w, env)["compile_requests"] for env in jobs] == [1, 3]
    finally:
        stopped = [_command(w, "--stop-server", env=env).returncode for env in jobs]
    assert stopped == [0, 0]


def test_abstract_socket(w: World) -> None:
    r"""SCCACHE_SERVER_UDS=\x00name is an abstract socket."""
    w.env["SCCACHE_SERVER_UDS"] = f"\\x00sccache-test-{os.getpid()}-{w.root.parent.name}"
    w.run(*COMPILE, expect=MISS)
    w.run(*COMPILE, expect=HIT)
    assert w.daemon_pid() is not None
    assert _command(w, "--stop-server").returncode == 0
    assert not w.complaints


def test_idle_daemon_exits(w: World) -> None:
    """SCCACHE_IDLE_TIMEOUT: after that many idle seconds the daemon is gone; the next compile starts another."""
    w.env["SCCACHE_IDLE_TIMEOUT"] = "2"
    w.run(*COMPILE)
    pid = w.daemon_pid()
    assert pid is not None
    wait_until(lambda: not is_alive(pid), "the idle daemon has gone")
    assert w.run(*COMPILE).exit_code == 0


def test_foreground_daemon(w: World) -> None:
    """SCCACHE_START_SERVER=1 SCCACHE_NO_DAEMON=1 runs the daemon in this process."""
    assert w.product is not None
    env = w.environment({"SCCACHE_START_SERVER": "1", "SCCACHE_NO_DAEMON": "1"})
    with subprocess.Popen(
        [str(w.product.command)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            wait_until(lambda: w.daemon_pid() is not None, "the daemon listens")
            w.run(*COMPILE, expect=MISS)
            w.run(*COMPILE, expect=HIT)
            assert _command(w, "--stop-server").returncode == 0
            assert process.wait(120) == 0
        finally:
            process.kill()
    assert not w.complaints


def test_many_first_compiles_start_one_daemon(w: World) -> None:
    """Thirty compiles race to start the daemon: all work, one daemon remains."""
    running = [
        subprocess.Popen(w.compiler("gcc", "-c", "a.c", "-o", f"a{n}.o"), cwd=w.root, env=w.environment(), stderr=subprocess.PIPE)
        for n in range(30)
    ]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, b"")
    assert _stats(w)["compile_requests"] == 30, "a compile that raced to start the daemon went past it"
    pid = w.daemon_pid()
    assert pid is not None
    listed = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _has_environment(p, w.env["SCCACHE_SERVER_UDS"])]
    wait_until(lambda: [p for p in listed if is_alive(p)] in ([pid], []), "one daemon remains")


def _has_environment(process: Path, text: str) -> bool:
    try:
        return text.encode() in (process / "environ").read_bytes() and b"daemon" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def test_log_goes_to_stderr_and_file(w: World) -> None:
    """SCCACHE_LOG and SCCACHE_ERROR_LOG; milliseconds on request; an unusable log file is an error in plain words."""
    done = _command(w, "--show-stats", env={"SCCACHE_LOG": "debug"})
    assert done.returncode == 0
    log = w.home / "log.txt"
    assert (
        _command(w, "--start-server", env={"SCCACHE_ERROR_LOG": str(log), "SCCACHE_LOG": "debug", "SCCACHE_LOG_MILLIS": "1"}).returncode
        == 0
    )
    assert log.exists()
    w.run(*COMPILE)
    _command(w, "--stop-server")
    assert re.search(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", log.read_text())
    bad = _command(w, "--start-server", env={"SCCACHE_ERROR_LOG": "/nonexistent/log.txt"})
    assert bad.returncode == 2
    assert "Cannot open/write log file '/nonexistent/log.txt'" in bad.stderr


def test_usage_errors(w: World) -> None:
    """No command, two commands, an unknown option, a bad format: exit 2; --help and --version: 0."""
    for options in ((), ("--show-stats", "--zero-stats"), ("--no-such-option",), ("--show-stats", "--stats-format=xml"), ("-c", "a.c")):
        assert _command(w, *options).returncode == 2, options
    assert _command(w, "--version").stdout.startswith("sccache ")
    helped = _command(w, "--help")
    assert (helped.returncode, "--show-stats" in helped.stdout) == (0, True)


def test_masquerading_symlinks(w: World) -> None:
    """gcc -> sccache in a directory first on PATH: the real gcc behind it, cached."""
    assert w.product is not None
    for name in ("gcc", "g++", "clang"):
        w.symlink(f"links/{name}", str(w.product.command))
    path = {"PATH": f"{w.path('links')}:/usr/bin:/bin"}
    version = subprocess.run(["gcc", "--version"], env=w.environment(path), capture_output=True, timeout=60, check=True, cwd=w.root)
    assert version.stdout == subprocess.run(["/usr/bin/gcc", "--version"], capture_output=True, check=True).stdout
    w.tool(*COMPILE, env=path, expect=MISS)
    w.tool(*COMPILE, env=path, expect=HIT)
    w.tool(str(w.path("links/gcc")), *COMPILE[1:], env=path, expect=HIT)
    assert w.steps[-1].exit_code == 0
    assert not w.complaints


def test_wrapped_twice(w: World) -> None:
    """sccache sccache gcc, and sccache with a masqueraded gcc on PATH, end (no endless loop)."""
    assert w.product is not None
    w.symlink("links/gcc", str(w.product.command))
    path = {"PATH": f"{w.path('links')}:/usr/bin:/bin"}
    assert w.run("gcc", "-c", "a.c", "-o", "a.o", env=path).exit_code == 0
    w.run(str(w.product.command), "gcc", "-c", "a.c", "-o", "b.o")


def test_show_stats_is_quick(w: World) -> None:
    """--show-stats waits for nothing: builds poll it."""
    _command(w, "--start-server")
    times = []
    for _ in range(5):
        start = time.monotonic()
        _command(w, "--show-stats")
        times.append(time.monotonic() - start)
    assert min(times) < 2


def test_not_cached_reasons_are_named(w: World) -> None:
    """What passes through has a reason in the statistics."""
    w.run("gcc", "-E", "a.c")
    w.run("gcc", "a.o", "-o", "prog")
    w.run("gcc", "-c", "a.c", "a.c")
    stats = _stats(w)
    assert stats["not_cached"] or stats["requests_not_compile"]


SLOW = "".join(f"template <int N> struct S{n} {{ static int f(int x) {{ return S{n}<N - 1>::f(x * N) ^ x; }} }};\n"
               f"template <> struct S{n}<0> {{ static int f(int x) {{ return x; }} }};\nint f{n}(int x) {{ return S{n}<200>::f(x); }}\n"
               for n in range(12))  # fmt: skip
"""Takes a second or more, so that compiles started together meet."""


def _start_many(w: World, count: int, *options: str) -> list[subprocess.Popen[bytes]]:
    return [
        subprocess.Popen(
            w.compiler("g++", "-O1", "-c", "slow.cc", "-o", f"slow{n}.o", *options),
            cwd=w.root, env=w.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )
        for n in range(count)
    ]  # fmt: skip


def test_identical_compiles_are_done_once(w: World) -> None:
    """Eight at a time: one compiler, and the object in eight places, each with the messages."""
    w.env.pop("SCCACHE_DIRECT", None)  # without direct mode nothing tells that they are the same before they are preprocessed
    w.write("slow.cc", SLOW + "int unused() { int u; return 1; }\n")
    w.run("g++", "-O1", "-c", "-x", "c++", "/dev/null", "-o", "n.o")  # so that the compiler is known
    before = _stats(w)
    w.settle()
    for process in _start_many(w, 8, "-Wall"):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0
        assert b"unused variable" in err
    after = _stats(w)
    assert after["compilations"] == before["compilations"] + 1  # type: ignore[operator]
    assert after["direct_hits"] == before["direct_hits"] + 7  # type: ignore[operator]
    assert (
        subprocess.run(["g++", "-O1", "-Wall", "-c", "slow.cc", "-o", "plain.o"], cwd=w.root, check=True, capture_output=True).returncode
        == 0
    )
    assert {w.path(f"slow{n}.o").read_bytes() for n in range(8)} == {w.path("plain.o").read_bytes()}


def test_identical_compiles_that_fail(w: World) -> None:
    """Each has its own compiler and its own message; a second time nobody waits for another."""
    w.write("slow.cc", SLOW + "int broken( { }\n")
    for _ in range(2):
        w.settle()
        for process in _start_many(w, 8):
            _, err = process.communicate(timeout=120)
            assert process.returncode == 1
            assert b"slow.cc:" in err
            assert b"error:" in err
    assert _stats(w)["compile_fails"] == 16


def test_who_waits_survives_the_first(w: World) -> None:
    """The launcher whose compile others wait for is killed: they go on."""
    w.write("slow.cc", SLOW)
    w.settle()
    (first,) = _start_many(w, 1)
    wait_until(lambda: first.poll() is not None or _compiles_in(w.root), "the first compile runs")
    others = _start_many(w, 3)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    for process in others:
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, b"")
    assert w.path("slow2.o").stat().st_size > 0


def _compiles_in(directory: Path) -> bool:
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and b"cc1plus" in (process / "cmdline").read_bytes()
                and os.readlink(process / "cwd") == str(directory)
            ):
                return True
        except OSError:
            continue
    return False
