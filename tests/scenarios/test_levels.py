"""Remote storage and several levels, as the daemon and its commands treat them.  What backends do is tested in tests/contracts."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arena import HIT, MISS, Arena, World, needs
from arena.products import Sccache
from arena.world import is_alive, wait_until
from tests.servers import webdav
from tests.servers.proxy import FaultProxy
from tests.servers.webdav import WebdavPlace

COMPILE = ("g++", "-Wall", "-c", "a.cc", "-o", "a.o")
SOURCE = "#include <vector>\nint f() { int unused; return std::vector<int>(3).size(); }\n"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[WebdavPlace]:
    """A remote storage: a strict server of Bazel's protocol."""
    with webdav.bazel(tmp_path) as server:
        yield server


@pytest.fixture
def w(arena: Arena) -> World:
    """A cached world of ours."""
    if not isinstance(arena.product, Sccache) or arena.product.name == "sccache":
        pytest.skip(f"our own promises; the product under test is {arena.product.name}")
    needs("g++")
    world = arena.cached_world()
    for name in ("SCCACHE_DEPEND", "SCCACHE_DIRECT"):  # SCCACHE_TEST_MODE: the promises here are direct mode's
        world.env.pop(name, None)
    world.write("a.cc", SOURCE)
    return world


def _command(w: World, *options: str) -> subprocess.CompletedProcess[str]:
    assert w.product is not None
    w._counts = None
    return subprocess.run(
        [str(w.product.command), *options], cwd=w.root, env=w.environment(), capture_output=True, text=True, timeout=100, check=False
    )


def _info(w: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_command(w, "--show-stats", "--stats-format=json").stdout)
    return found


def _new_machine(w: World) -> None:
    """Nothing of our own is left: no daemon, no cache, no statistics, no memory of files."""
    assert _command(w, "--stop-server").returncode == 0
    shutil.rmtree(w.env["SCCACHE_DIR"])


def _remote(w: World) -> dict[str, int]:
    (found,) = _info(w)["stats"]["remotes"]
    return found  # type: ignore[no-any-return]


def test_a_new_machine_runs_nothing(w: World, place: WebdavPlace) -> None:
    """With a warm remote a machine without any state starts no compiler, no preprocessor and no probe, in three round trips.

    The second hit has one, and so has the first of another output: its manifest is in memory.
    """
    needs("strace")
    w.env |= place.environment()
    made = w.run(*COMPILE, expect=MISS)
    thing = w.path("a.o").read_bytes()
    _new_machine(w)
    w.remove("a.o")
    w.settle()
    assert _command(w, "--start-server").returncode == 0
    trace = w.home / "trace"
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=execve", "-o", str(trace), *w.compiler(*COMPILE)],
        cwd=w.root, env=w.environment(), capture_output=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, made.stdout, made.stderr)
    assert w.path("a.o").read_bytes() == thing
    assert len(re.findall(r"^\d+ +execve\(", trace.read_text(), re.MULTILINE)) == 1, "the launcher itself"
    assert (_remote(w)["hits"], _remote(w)["misses"] <= 1) == (3, True), "and beside them the trail, which is not there"
    w.run(*COMPILE, expect=HIT)
    assert _remote(w)["hits"] == 4
    w.run(*COMPILE[:-1], "other.o", expect=HIT)
    assert _remote(w)["hits"] == 5
    assert _info(w)["stats"]["direct_hits"] == 3
    assert not w.complaints


def test_a_damaged_copy_is_passed_over(w: World, place: WebdavPlace) -> None:
    """The disk's copy of an object is damaged behind its header: the remote has a good one, and no compiler runs."""
    w.env |= {**place.environment(), "SCCACHE_MULTILEVEL_CHAIN": "disk,webdav"}
    w.run(*COMPILE, expect=MISS)
    _command(w, "--stop-server")
    thing = w.path("a.o").read_bytes()
    entries = [path for path in w.cache_files() if re.fullmatch("[0-9a-f]{64}", path.name) and "preprocessor" not in path.parts]
    (entry,) = entries
    data = bytearray(entry.read_bytes())
    data[-10] ^= 1
    entry.write_bytes(data)
    for _ in range(2):
        w.remove("a.o")
        w.run(*COMPILE, expect=HIT)
        assert w.path("a.o").read_bytes() == thing
    info = _info(w)
    assert info["cache_location"] == "Multi-level (2 levels)"
    assert [level["name"] for level in info["stats"]["multi_level"]] == ["L0 (disk)", "L1 (webdav)"]
    assert info["max_cache_size"] == 10 << 30
    assert not w.complaints


def test_what_waits_is_sent_when_told_to_end(w: World, place: WebdavPlace) -> None:
    """SIGTERM right after a compile, while the network is slow: the result is there afterwards."""
    with FaultProxy(place.address) as proxy:
        w.env |= place.environment(proxy.address)
        proxy.delay(0.1)
        w.run(*COMPILE)
        pid = w.daemon_pid()
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(pid), "the daemon has ended")
        proxy.pass_through()
        shutil.rmtree(w.env["SCCACHE_DIR"])
        w.run(*COMPILE, expect=HIT)
    assert not w.complaints


def test_stopping_says_what_was_lost(w: World, place: WebdavPlace) -> None:
    """A remote that says nothing any more: --stop-server waits for its deadlines and reports the results that it does not have."""
    with FaultProxy(place.address) as proxy:
        w.env |= {**place.environment(proxy.address), "SCCACHE_REMOTE_TIMEOUT": "1"}
        proxy.be_silent()
        assert w.run(*COMPILE).exit_code == 0
        stopped = _command(w, "--stop-server")
    assert stopped.returncode == 0
    assert re.search(r"^Note: .*not sent to webdav", stopped.stdout, re.MULTILINE)
    assert re.search(r"^Cache timeouts +[1-9]", stopped.stdout, re.MULTILINE)


def test_a_remote_that_is_gone(w: World, place: WebdavPlace) -> None:
    """Builds go on, the reason of the misses is named, and the statistics say what is wrong, without any secret."""
    w.env |= place.environment()
    place.stop()
    assert _command(w, "--start-server").returncode == 0
    w.run(*COMPILE, expect=MISS)
    info = _info(w)
    assert info["stats"]["miss_reasons"] == {"storage unreachable": 1}
    assert any("unreachable" in note for note in info["notes"])
    assert webdav.PASSWORD not in json.dumps(info, ensure_ascii=False)
    assert not w.complaints


def test_unusable_settings(w: World) -> None:
    """A compile whose storage cannot be uses the local disk, and the statistics say why; who starts a daemon with it is told."""
    w.env["SCCACHE_MULTILEVEL_CHAIN"] = "disk,floppy"
    w.run(*COMPILE, expect=MISS)
    w.run(*COMPILE, expect=HIT)
    info = _info(w)
    assert info["notes"] == ["Unknown cache level: 'floppy'; the local disk is used instead."]
    assert info["cache_location"].startswith("Local disk")
    _command(w, "--stop-server")
    started = _command(w, "--start-server")
    assert started.returncode == 2
    assert "Server startup failed: Unknown cache level: 'floppy'" in started.stderr
    assert not w.complaints


def test_check_storage(w: World, place: WebdavPlace) -> None:
    """One line a level with what is wrong; the exit code says whether all do what the settings ask."""
    w.env |= {**place.environment(), "SCCACHE_MULTILEVEL_CHAIN": "disk,webdav"}
    good = _command(w, "--check-storage")
    assert (good.returncode, re.findall(r" ms +(ok)$", good.stdout, re.MULTILINE)) == (0, ["ok", "ok"])
    assert w.cache_files() == [] or all(len(path.name) != 64 for path in w.cache_files()), "nothing stays on the disk"
    w.env["SCCACHE_WEBDAV_RW_MODE"] = "READ_ONLY"
    assert re.search(r"^L1 \(webdav\).* ms +- +ok, read-only$", _command(w, "--check-storage").stdout, re.MULTILINE)
    w.env["SCCACHE_WEBDAV_PASSWORD"] = "wr0ng"
    denied = _command(w, "--check-storage", "--stats-format", "json")
    found = json.loads(denied.stdout)
    assert (denied.returncode, found["usable"]) == (1, False)
    assert [level["verdict"] for level in found["levels"]] == ["ok", "denied"]
    assert "wr0ng" not in denied.stdout + denied.stderr
    place.stop()
    gone = _command(w, "--check-storage")
    assert gone.returncode == 1
    assert re.search(r"^L1 \(webdav\).* unreachable$", gone.stdout, re.MULTILINE)
    assert w.daemon_pid() is None, "no daemon is needed, nor started"


def test_identical_compiles_over_a_remote(w: World, place: WebdavPlace) -> None:
    """Eight at a time with nothing but a remote: one compiler, seven hits of what still waits to be sent or is there already."""
    w.env |= place.environment()
    slow = "template <int N> int g{n}() {{ return g{n}<N - 1>() ^ N; }}\ntemplate <> int g{n}<0>() {{ return 0; }}\n"
    slow += "int h{n}() {{ return g{n}<300>(); }}\n"
    w.write("a.cc", SOURCE + "".join(slow.format(n=n) for n in range(12)))
    w.settle()
    running = [
        subprocess.Popen(w.compiler(*COMPILE[:-1], f"a{n}.o"), cwd=w.root, env=w.environment(), stderr=subprocess.PIPE) for n in range(8)
    ]
    for process in running:
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0
        assert b"unused variable" in err
    stats = _info(w)["stats"]
    assert (stats["compilations"], stats["direct_hits"]) == (1, 7)
    assert len({w.path(f"a{n}.o").read_bytes() for n in range(8)}) == 1
