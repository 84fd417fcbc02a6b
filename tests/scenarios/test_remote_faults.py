"""A real Redis that dies, freezes, is full or refuses, under parallel builds: right objects, and the reason told."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from arena import Arena, World, needs
from arena.products import Sccache
from tests.servers import redis
from tests.servers.process import free_port
from tests.servers.proxy import FaultProxy
from tests.servers.redis import PASSWORD, WRONG, RedisPlace

FILES = 24
TIMEOUT_S = 1
PATIENCE_S = 100.0  # of a test, not a promise: a hang is found, a slow machine forgiven


@pytest.fixture
def place(tmp_path: Path) -> Iterator[RedisPlace]:
    """One redis-server with a password."""
    with redis.redis_single(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def w(arena: Arena) -> World:
    """A project of many small files, and the objects that the compiler alone makes of them."""
    if not isinstance(arena.product, Sccache) or arena.product.name == "sccache":
        pytest.skip(f"our own promises; the product under test is {arena.product.name}")
    needs("gcc", "make")
    world = arena.cached_world({"SCCACHE_REMOTE_TIMEOUT": str(TIMEOUT_S)})
    for name in ("SCCACHE_DEPEND", "SCCACHE_DIRECT"):
        world.env.pop(name, None)
    world.write("common.h", "#include <stdio.h>\n#include <stdlib.h>\n")
    for number in range(FILES):
        world.write(f"f{number}.c", f'#include "common.h"\nint f{number}(void) {{ int unused; return printf("%d", {number}); }}\n')
    objects = " ".join(f"f{number}.o" for number in range(FILES))
    world.write("Makefile", f"all: {objects}\n%.o: %.c\n\t$(FRONT)gcc -Wall -O1 -c $< -o $@\nclean:\n\trm -f *.o\n")
    return world


def _make(w: World, front: str) -> tuple[dict[str, bytes], int]:
    """Build all from nothing; the objects, and how many warnings were told."""
    for path in w.root.glob("*.o"):
        path.unlink()
    done = subprocess.run(
        ["make", "-j8", f"FRONT={front}"], cwd=w.root, env=w.environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in w.root.glob("*.o")}, done.stderr.count("unused variable")


def _command(w: World, *options: str) -> subprocess.CompletedProcess[str]:
    assert w.product is not None
    return subprocess.run(
        [str(w.product.command), *options],
        cwd=w.root, env=w.environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def _info(w: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_command(w, "--show-stats", "--stats-format=json").stdout)
    return found


def _new_machine(w: World) -> str:
    """The daemon ends, and what it kept besides the remote storage is gone; what it said at its end."""
    stopped = _command(w, "--stop-server")
    assert stopped.returncode == 0, stopped.stderr
    shutil.rmtree(w.env["SCCACHE_DIR"], ignore_errors=True)
    return stopped.stdout


def _count(info: dict[str, Any], name: str) -> int:
    return sum(info["stats"][name]["counts"].values())


def _frozen(place: RedisPlace) -> Callable[[], None]:
    process = place.servers[0]._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    return lambda: os.kill(process.pid, signal.SIGCONT)


def _dead(place: RedisPlace) -> Callable[[], None]:
    place.stop()
    return place.start


@pytest.mark.parametrize("strike", [_dead, _frozen])
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_server_that_goes_away(w: World, place: RedisPlace, strike: Callable[[RedisPlace], Callable[[], None]], when: str) -> None:
    """Killed or frozen, before a build or in the middle of one: the build is right and the reason told; then it is used again."""
    plain = _make(w, "")
    w.env |= place.environment()
    assert _make(w, w.front) == plain
    _new_machine(w)
    repair: list[Callable[[], None]] = []
    if when == "before":
        repair.append(strike(place))
    else:
        assert _command(w, "--start-server").returncode == 0
        striking = threading.Thread(target=lambda: (_wait_for_objects(w, 3), repair.append(strike(place))))
        striking.start()
    try:
        assert _make(w, w.front) == plain
        if when == "during":
            striking.join(PATIENCE_S)
            assert _make(w, w.front) == plain
        info = _info(w)
        assert _count(info, "cache_hits") + _count(info, "cache_misses") == FILES * (2 if when == "during" else 1)
        assert sum(info["stats"]["miss_reasons"].values()) == _count(info, "cache_misses")
        assert any("redis" in note for note in info["notes"]), info
        assert PASSWORD not in json.dumps(info)
        _new_machine(w)
    finally:
        for undo in repair:
            undo()
    assert _make(w, w.front) == plain
    _new_machine(w)
    assert _make(w, w.front) == plain
    assert _count(_info(w), "cache_misses") == 0


def _wait_for_objects(w: World, count: int) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while len(list(w.root.glob("*.o"))) < count and time.monotonic() < end_s:
        time.sleep(0.001)  # make is at work


def test_a_wrong_password(w: World, place: RedisPlace) -> None:
    """Said from the start, without the password; the build is right."""
    plain = _make(w, "")
    w.env |= {**place.environment(), "SCCACHE_REDIS_PASSWORD": WRONG}
    assert _make(w, w.front) == plain
    info = _info(w)
    assert [note for note in info["notes"] if note.startswith("redis is not used now: denied")], info
    assert info["stats"]["miss_reasons"] == {"storage denied": FILES}
    assert WRONG not in json.dumps(info)
    assert WRONG not in _new_machine(w)


@contextlib.contextmanager
def _configured(folder: Path, *options: str) -> Iterator[dict[str, str]]:
    port = free_port()
    server = redis.server(folder, port, *options)
    server.start()
    try:
        yield {"SCCACHE_REDIS_ENDPOINT": f"redis://127.0.0.1:{port}"}
    finally:
        server.stop()


def test_a_server_that_is_full(w: World, tmp_path: Path) -> None:
    """Builds are right; that results were not kept is counted and said."""
    plain = _make(w, "")
    with _configured(tmp_path / "full", "--maxmemory", "1kb", "--maxmemory-policy", "noeviction") as variables:
        w.env |= variables
        assert _make(w, w.front) == plain
        stopped = _new_machine(w)
        assert "Note: " in stopped
        assert _make(w, w.front) == plain
        assert _count(_info(w), "cache_misses") == FILES
        _new_machine(w)


def test_a_replica(w: World, place: RedisPlace, tmp_path: Path) -> None:
    """A server that may only be read gives what the other one has; nothing new is sent, and that is said."""
    plain = _make(w, "")
    variables = dict(place.environment())
    w.env |= variables
    assert _make(w, w.front) == plain
    _new_machine(w)
    port = place.address[1]
    options = ("--replicaof", f"127.0.0.1 {port}", "--masterauth", PASSWORD, "--requirepass", PASSWORD)
    with _configured(tmp_path / "replica", *options) as replica:
        w.env |= {**variables, **replica}
        _wait_for_replica(replica, w)
        assert _make(w, w.front) == plain
        info = _info(w)
        assert _count(info, "cache_misses") == 0, info
        assert any("takes no new results" in note for note in info["notes"]), info
        _new_machine(w)


def _wait_for_replica(variables: dict[str, str], w: World) -> None:
    port = variables["SCCACHE_REDIS_ENDPOINT"].rpartition(":")[2]
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        argv = ["redis-cli", "-p", port, "-a", PASSWORD, "--no-auth-warning", "info", "replication"]
        told = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=w.root).stdout
        if "master_link_status:up" in told:
            return
        time.sleep(0.05)
    raise AssertionError("the replica does not follow")


@pytest.mark.parametrize("fault", ["cut_after", "flip_after"])
def test_answers_that_are_torn_or_changed(w: World, place: RedisPlace, fault: str) -> None:
    """Each answer is cut or changed at some byte: never a wrong object."""
    plain = _make(w, "")
    with FaultProxy(place.address) as proxy:
        w.env |= place.environment(proxy.address)
        assert _make(w, w.front) == plain
        for at in (0, 20, 300, 900):
            _new_machine(w)
            getattr(proxy, fault)(at)
            assert _make(w, w.front) == plain
            proxy.pass_through()
        _new_machine(w)
        assert _make(w, w.front) == plain
        _new_machine(w)
