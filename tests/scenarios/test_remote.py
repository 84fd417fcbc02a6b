"""Results shared by machines through a remote storage: real compiles over every kind of server.

A machine is a world: a home, a cache directory and a daemon of its own.  The second one begins with none of the first's.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from arena import Arena
from arena.world import ANY, HIT, MISS, World

sys.path.append(str(Path(__file__).parents[2]))

PLACES = {
    "s3": "s3.strict",
    "s3-moto": "s3.moto",
    "s3-s3rver": "s3.s3rver",
    "redis": "redis.redis_single",
    "redis-acl": "redis.redis_acl",
    "redis-unix": "redis.redis_unix",
    "redis-cluster": "redis.redis_cluster",
    "memcached": "memcached.memcached_tcp",
    "memcached-sasl": "memcached.memcached_sasl",
    "gha-v1": "gha.gha_v1",
    "gha-v2": "gha.gha_v2",
    "gcs": "gcs.strict",
    "gcs-emulator": "gcs.emulator",
    "azure": "azurite.azurite",
    "azure-entra": "azurite.entra",
    "webdav-nginx": "webdav.nginx_basic",
    "webdav-apache": "webdav.apache_basic",
    "webdav-bazel": "webdav.bazel",
    "oss": "oss.oss",
    "cos": "cos.cos",
}
"""Each kind of server: its module in tests/servers and its context manager."""

SOURCES = {
    "main.c": '#include <stdio.h>\n#include "part.h"\nint main(void) { return puts(TEXT) < 0; }\n',
    "part.h": '#pragma once\n#define TEXT "a text"\nstatic int unused_here(void) { return 1; }\n',
}
COMPILE = ("gcc", "-g", "-O1", "-Wall", "-MMD", "-MF", "main.d", "-c", "main.c", "-o", "main.o")

Place = Any


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[Place]:
    module, _, function = PLACES[name].partition(".")
    with getattr(importlib.import_module(f"tests.servers.{module}"), function)(folder / "server") as place:
        yield place


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with running(request.param, tmp_path) as place:
        yield place


@pytest.fixture
def webdav(tmp_path: Path) -> Iterator[Place]:
    """One place whose objects are files that a test can look at and spoil."""
    with running("webdav-nginx", tmp_path) as place:
        yield place


class Machines:
    """Machines one after the other, at the same paths, with a compiler that writes down what it is started for."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._bin = arena.folder / "b"
        self._bin.mkdir()
        self._log = self._bin / "log"
        wrapper = self._bin / "gcc"
        wrapper.write_text(f'#!/bin/sh\necho "$*" >> {self._log}\nexec /usr/bin/gcc "$@"\n')
        wrapper.chmod(0o755)
        self._last: World | None = None

    def new(self, settings: Mapping[str, str]) -> World:
        """A machine with nothing but the sources; the one before has gone home, and what it had to upload is uploaded."""
        if self._last is not None:
            self._last.stop_daemon()
        world = self._arena.cached_world({**settings, "PATH": f"{self._bin}:/usr/bin:/bin"})
        self._last = world
        for name, text in SOURCES.items():
            world.write(name, text)
        self._log.write_text("")
        return world

    def compiles(self) -> list[str]:
        """What the compiler was started for with one of our sources, since the machine is new.

        Which programs it would run (-###) a script is asked each time.
        """
        return [line for line in self._log.read_text().splitlines() if "main.c" in line and "-###" not in line]


@pytest.fixture
def machines(arena: Arena) -> Machines:
    return Machines(arena)


def built(world: World, expect: str) -> dict[str, bytes]:
    """Compile; the outputs and what was said."""
    step = world.run(*COMPILE, expect=expect)
    assert step.exit_code == 0, step.stderr
    assert not world.complaints, world.complaints
    outputs = {name: world.path(name).read_bytes() for name in ("main.o", "main.d")}
    return {**outputs, "stdout": step.stdout, "stderr": step.stderr}


def test_second_machine_compiles_nothing(machines, place):
    """Neither the compiler nor the preprocessor is started for what another machine has compiled; the outputs are the same."""
    first = built(machines.new(place.environment()), MISS)
    assert machines.compiles()
    second = machines.new(place.environment())
    assert built(second, HIT) == first
    assert machines.compiles() == []


def test_another_input_is_another_result(machines, place):
    """A header that differs on the second machine is noticed there; the third gets whichever it has."""
    first = built(machines.new(place.environment()), MISS)
    second = machines.new(place.environment())
    second.write("part.h", SOURCES["part.h"].replace("a text", "another text"))
    changed = built(second, MISS)
    assert changed["main.o"] != first["main.o"]
    third = machines.new(place.environment())
    assert built(third, HIT) == first
    third.write("part.h", SOURCES["part.h"].replace("a text", "another text"))
    assert built(third, HIT) == changed
    assert machines.compiles() == []


def test_read_only_machine(machines, place):
    """It takes results and leaves none."""
    table = "S3" if place.backend == "s3" else place.backend.upper()
    read_only = {**place.environment(), f"SCCACHE_{table}_RW_MODE": "READ_ONLY"}
    built(machines.new(read_only), MISS)
    first = built(machines.new(place.environment()), MISS)
    assert built(machines.new(read_only), HIT) == first
    assert machines.compiles() == []


def test_server_that_is_away(machines, place):
    """Builds go on without it, and with it again when it is back."""
    world = machines.new(place.environment())
    first = built(world, MISS)
    world.stop_daemon()
    place.stop()
    try:
        without = machines.new(place.environment())
        assert built(without, MISS) == first
        assert built(without, MISS) == first
    finally:
        place.start()
    back = machines.new(place.environment())
    assert built(back, ANY) == first
    back.stop_daemon()
    assert built(machines.new(place.environment()), HIT) == first


@pytest.mark.parametrize("damage", [lambda blob: blob[:-7], lambda blob: blob[:200] + b"\xff" + blob[201:], lambda _: b""])
def test_damaged_results_are_replaced(machines, webdav, damage):
    """A spoiled entry is never used: the compile runs, and leaves a good one."""
    first = built(machines.new(webdav.environment()), MISS)
    machines.new(webdav.environment())  # the first has uploaded all
    entries = [path for path in objects(webdav) if "preprocessor" not in path.parts]
    for path in entries:
        path.write_bytes(damage(path.read_bytes()))
    assert built(machines.new(webdav.environment()), MISS) == first
    assert machines.compiles()
    assert built(machines.new(webdav.environment()), HIT) == first
    assert machines.compiles() == []


def test_damaged_manifests_are_replaced(machines, webdav):
    """A spoiled manifest is a manifest that is not there."""
    first = built(machines.new(webdav.environment()), MISS)
    machines.new(webdav.environment())
    for path in objects(webdav):
        if "preprocessor" in path.parts:
            path.write_bytes(path.read_bytes()[:-3] + b"\0\0\0")
    assert built(machines.new(webdav.environment()), ANY) == first
    assert built(machines.new(webdav.environment()), HIT) == first
    assert machines.compiles() == []


def test_chain_fills_the_disk(machines, webdav):
    """With a disk before it, a result comes over the network once; then the server is not needed."""
    chain = {**webdav.environment(), "SCCACHE_MULTILEVEL_CHAIN": "disk,webdav"}
    first = built(machines.new(chain), MISS)
    second = machines.new(chain)
    assert built(second, HIT) == first
    second.stop_daemon()
    webdav.stop()
    assert built(second, HIT) == first
    assert machines.compiles() == []
    webdav.start()


def test_daemon_that_is_killed_loses_at_most_its_uploads(machines, webdav):
    """What another machine finds after a crash is right or absent."""
    world = machines.new(webdav.environment())
    first = built(world, MISS)
    world.kill_daemon()
    assert built(machines.new(webdav.environment()), ANY) == first


def objects(place: Place) -> list[Path]:
    """The files of nginx's store."""
    found = [path for path in (place.folder / "data").rglob("*") if path.is_file() and path.name != ".sccache_check"]
    assert found
    return found
