"""A project built on a new machine: what its compiles need next is on its way before they ask (docs/decisions/0014)."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from arena import Arena, World, needs
from arena.products import Sccache

sys.path.append(str(Path(__file__).parents[2]))

from tests.servers import webdav
from tests.servers.proxy import FaultProxy
from tests.servers.webdav import WebdavPlace

UNITS = 24
DELAY_S = 0.02
"""In each direction: far more than anything on this machine takes, so that what is asked at a time is seen to be."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[WebdavPlace]:
    with webdav.nginx_basic(tmp_path) as server:
        yield server


@pytest.fixture
def w(arena: Arena) -> World:
    """A cached world of ours with a project in it."""
    if not isinstance(arena.product, Sccache) or arena.product.name == "sccache":
        pytest.skip(f"our own promises; the product under test is {arena.product.name}")
    needs("gcc")
    world = arena.cached_world()
    for name in ("SCCACHE_DEPEND", "SCCACHE_DIRECT"):  # SCCACHE_TEST_MODE: the promises here are direct mode's
        world.env.pop(name, None)
    world.write("all.h", "#pragma once\n#include <stddef.h>\n")
    for number in range(UNITS):
        world.write(f"u{number}.c", f'#include "all.h"\nsize_t f{number}(void) {{ return {number}; }}\n')
    return world


def _command(w: World, *options: str) -> str:
    assert w.product is not None
    done = subprocess.run(
        [str(w.product.command), *options], cwd=w.root, env=w.environment(), capture_output=True, text=True, timeout=100, check=True
    )
    return done.stdout


def _stats(w: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_command(w, "--show-stats", "--stats-format=json"))["stats"]
    return found


def _build(w: World, *numbers: int) -> dict[str, bytes]:
    """One compile after the other; the objects."""
    w.settle()
    for number in numbers:
        w.path(f"u{number}.o").unlink(missing_ok=True)
        command = w.compiler("gcc", "-O1", "-c", f"u{number}.c", "-o", f"u{number}.o")
        subprocess.run(command, cwd=w.root, env=w.environment(), check=True, timeout=100)
    return {f"u{number}.o": w.path(f"u{number}.o").read_bytes() for number in numbers}


def _new_machine(w: World, settings: Mapping[str, str]) -> None:
    """Nothing of our own is left but what the last one sent when it ended, and the daemon runs."""
    shutil.rmtree(w.env["SCCACHE_DIR"], ignore_errors=True)
    w.env |= settings
    _command(w, "--start-server")


def _trails(place: WebdavPlace) -> list[Path]:
    return [path for path in (place.folder / "data").rglob("*") if path.is_file() and path.read_bytes().startswith(b"SCTR")]


def _filled(w: World, place: WebdavPlace) -> dict[str, bytes]:
    """Everything is in the service."""
    w.env |= place.environment()
    objects = _build(w, *range(UNITS))
    _command(w, "--stop-server")
    assert len(_trails(place)) == 1
    return objects


def test_a_new_machine_does_not_wait_for_each_object(w: World, place: WebdavPlace) -> None:
    """Without the trail each hit has two round trips; with it all but the first few are at hand or under way.  Objects are the same."""
    objects = _filled(w, place)
    (trail,) = _trails(place)
    whole = trail.read_bytes()
    turns = {}
    with FaultProxy(place.address) as proxy:
        proxy.delay(DELAY_S)
        for name, blob in {"damaged": whole[:-1], "whole": whole}.items():
            trail.write_bytes(blob)
            _new_machine(w, place.environment(proxy.address))
            before = proxy.turns
            assert _build(w, *range(UNITS)) == objects
            turns[name] = proxy.turns - before
            stats = _stats(w)
            (remote,) = stats["remotes"]
            assert stats["direct_hits"] == UNITS
            assert remote["used_ahead"] == remote["fetched_ahead"]
            assert remote["used_ahead"] >= 2 * (UNITS - 2) if name == "whole" else remote["used_ahead"] == 0
            _command(w, "--stop-server")
    assert turns["damaged"] >= 2 * UNITS
    assert turns["whole"] <= UNITS


def test_one_file_alone_fetches_little(w: World, place: WebdavPlace) -> None:
    """An edit must not pull the project over the network: four pairs, however often."""
    _filled(w, place)
    _new_machine(w, place.environment())
    for _ in range(3):
        _build(w, 5)
    (remote,) = _stats(w)["remotes"]
    assert remote["fetched_ahead"] <= 8
    w.write("u5.c", '#include "all.h"\nsize_t f5(void) { return 500; }\n')
    _build(w, 5)
    assert _stats(w)["remotes"][0]["fetched_ahead"] <= 8
    _command(w, "--stop-server")
    assert len(_trails(place)) == 1


def test_a_checkout_elsewhere_follows_the_same_trail(w: World, place: WebdavPlace) -> None:
    """Base directories make the trail's name portable, as they do with all else."""
    w.env["SCCACHE_BASEDIRS"] = str(w.root)
    objects = _filled(w, place)
    elsewhere = w.root.with_name("elsewhere")
    shutil.copytree(w.root, elsewhere)
    w.root = elsewhere
    w.env["SCCACHE_BASEDIRS"] = str(elsewhere)
    _new_machine(w, {})
    assert _build(w, *range(UNITS)) == objects
    stats = _stats(w)
    assert stats["direct_hits"] == UNITS
    assert stats["remotes"][0]["used_ahead"] >= UNITS
