"""Disk, Redis and S3 behind each other, with real servers, while one of them dies and comes back under load."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arena import Arena, World, needs
from arena.products import Sccache
from tests.servers.redis import RedisPlace, redis_single
from tests.servers.s3 import S3Place, strict

FILES = 40
HEADER = "#pragma once\n#include <string>\ninline int length(const std::string &s) { return static_cast<int>(s.size()); }\n"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisPlace]:
    with redis_single(tmp_path / "redis") as place:
        yield place


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Place]:
    with strict(tmp_path / "s3") as place:
        yield place


@pytest.fixture
def w(arena: Arena, redis: RedisPlace, s3: S3Place) -> World:
    """A machine with all three levels and a project of many files."""
    if not isinstance(arena.product, Sccache) or arena.product.name == "sccache":
        pytest.skip(f"our own promises; the product under test is {arena.product.name}")
    needs("g++", "make")
    world = arena.cached_world({**redis.environment(), **s3.environment(), "SCCACHE_MULTILEVEL_CHAIN": "disk,redis,s3"})
    for name in ("SCCACHE_DEPEND", "SCCACHE_DIRECT"):
        world.env.pop(name, None)
    world.write("all.h", HEADER)
    for number in range(FILES):
        world.write(f"f{number}.cc", f'#include "all.h"\nint f{number}() {{ return length("{"x" * number}"); }}\n')
    objects = " ".join(f"f{number}.o" for number in range(FILES))
    world.write("Makefile", f"all: {objects}\n%.o: %.cc\n\t$(CXX) -O1 -Wall -c $< -o $@\nclean:\n\trm -f *.o\n")
    return world


def build(w: World, front: str = "") -> dict[str, bytes]:
    """All objects, made anew by four compiles at a time; a build that fails or hangs fails the test."""
    subprocess.run(["make", "-s", "clean"], cwd=w.root, env=w.environment(), check=True)
    done = subprocess.run(
        ["make", "-s", "-j4", f"CXX={front}g++"], cwd=w.root, env=w.environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {path.name: path.read_bytes() for path in sorted(w.root.glob("*.o"))}


def command(w: World, option: str, *more: str) -> str:
    """What one of the product's own commands prints."""
    assert w.product is not None
    argv = [str(w.product.command), option, *more]
    return subprocess.run(argv, cwd=w.root, env=w.environment(), capture_output=True, text=True, timeout=120, check=True).stdout


def end(w: World) -> str:
    """End the daemon when it has sent everything, and leave nothing local behind; what was said at the end."""
    said = command(w, "--stop-server")
    shutil.rmtree(w.env["SCCACHE_DIR"])
    return said


def stats(w: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(w, "--show-stats", "--stats-format=json"))["stats"]
    return found


def hits(found: dict[str, Any]) -> int:
    return sum(found["cache_hits"]["counts"].values())


def test_each_level_serves_the_next_machine(w: World, redis: RedisPlace) -> None:
    """From Redis while it has everything; from S3 when Redis has lost it all, and Redis and the disk are filled from there."""
    plain = build(w)
    assert build(w, w.front) == plain
    assert "not sent" not in end(w)
    assert build(w, w.front) == plain
    found = stats(w)
    assert [(level["name"], level["hits"], level["misses"]) for level in found["multi_level"]] == [
        ("L0 (disk)", 0, FILES), ("L1 (redis)", FILES, 0), ("L2 (s3)", 0, 0),
    ]  # fmt: skip
    assert hits(found) == FILES == found["direct_hits"]
    assert "not sent" not in end(w)
    redis.stop()
    redis.start()
    assert build(w, w.front) == plain
    found = stats(w)
    assert [level["hits"] for level in found["multi_level"]] == [0, 0, FILES]
    assert build(w, w.front) == plain
    assert stats(w)["multi_level"][0]["hits"] == FILES
    assert "not sent" not in end(w)
    assert build(w, w.front) == plain
    assert [level["hits"] for level in stats(w)["multi_level"]] == [0, FILES, 0], "Redis was filled from S3"


@pytest.mark.parametrize("expected_hits", [0, FILES])
def test_a_level_that_dies_and_comes_back_under_load(w: World, redis: RedisPlace, expected_hits: int) -> None:
    """Redis is killed in the middle of a cold, or a warm, build: right objects, hits from S3, and S3 has everything at the end."""
    plain = build(w)
    if expected_hits:
        build(w, w.front)
        end(w)
    killer = threading.Timer(0.3, redis.stop)
    killer.start()
    assert build(w, w.front) == plain
    killer.join()
    found = stats(w)
    assert hits(found) == expected_hits, found["miss_reasons"]
    assert found["compile_fails"] == 0
    assert "not sent to s3" not in end(w)
    redis.start()
    assert build(w, w.front) == plain
    assert hits(stats(w)) == FILES


def test_all_remotes_away(w: World, redis: RedisPlace, s3: S3Place) -> None:
    """The disk goes on as if it were alone, and the statistics say what is wrong."""
    plain = build(w)
    redis.stop()
    s3.stop()
    assert build(w, w.front) == plain
    assert build(w, w.front) == plain
    found = stats(w)
    assert found["multi_level"][0]["hits"] == FILES
    assert hits(found) == FILES
    shown = command(w, "--show-stats")
    assert "redis is not used now: unreachable" in shown
    assert "s3 is not used now: unreachable" in shown
