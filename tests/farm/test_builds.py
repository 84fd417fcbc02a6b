"""Builds of real things on a farm of three workers and two clients: objects, messages and depfiles are those of a local build."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.farm.harness.farm import Client, Farm, until
from tests.farm.harness.units import Units, differing
from tests.projects import fetch
from tests.projects.rust_workspace import make
from tests.projects.test_rust_workspace import Workspace, expect_same

Z3_PARTS = ("util",)
"""About 50 units of C++ in 25 s of one core."""


@pytest.fixture
def client(farm: Farm) -> Client:
    """With an empty cache."""
    farm.clients["c1"].forget()
    return farm.clients["c1"]


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_units(farm, client, compiler):
    """Debug information, warnings, depfiles and an error: all as compiled here, most of it on workers."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}, which is not installed")
    units = Units(farm.network.folder / compiler, 12)
    plain = units.build(client, cached=False, compiler=compiler)
    assert differing(plain, units.build(client, cached=True, compiler=compiler)) == {}
    counted = client.counted()
    assert counted.errors == 0, (counted, client.troubles())
    assert counted.remote > 0
    again = units.build(client, cached=True, compiler=compiler)
    assert differing(plain, again) == {}
    assert client.counted().remote == counted.remote  # what came from workers is a hit now
    broken = Units(farm.network.folder / "broken", 1, broken=True)
    wrong = broken.build(client, cached=False, compiler=compiler)
    assert wrong["broken"].status == 1
    assert differing(wrong, broken.build(client, cached=True, compiler=compiler)) == {}


def _cached_toolchains(farm: Farm) -> dict[str, list[str]]:
    found = {}
    for name, worker in farm.workers.items():
        entries = (worker.folder / "kept" / "cache" / "tc").iterdir()
        found[name] = sorted(path.name for path in entries if re.fullmatch("[0-9a-f]{64}", path.name))
    return found


def test_toolchain_is_uploaded_once(farm, client):
    """Two clients with many jobs at once, one that has forgotten its package: one archive on each worker, the same on all."""
    for worker in farm.workers.values():
        worker.program.kill()
        subprocess.run(["rm", "-rf", str(worker.folder / "kept")], check=True, timeout=60)
    farm.start()
    units = Units(farm.network.folder / "once", 10)
    plain = units.build(client, cached=False)
    other = Units(farm.network.folder / "once-more", 10)
    second = farm.clients["c2"]
    other_plain = other.build(second, cached=False)
    runs = [units.start(client, cached=True, jobs=10), other.start(second, cached=True, jobs=10)]
    assert differing(plain, runs[0].results()) == {}
    assert differing(other_plain, runs[1].results()) == {}
    before = _cached_toolchains(farm)
    assert {len(names) for names in before.values()} <= {0, 1}, before
    client.stop()
    shutil.rmtree(client.home / "dist")
    client.forget()
    assert differing(plain, units.build(client, cached=True)) == {}
    assert client.counted().errors == 0, client.troubles()
    names = {name for found in (before, _cached_toolchains(farm)) for names in found.values() for name in names}
    assert len(names) == 1, names


def _objects(build: Path) -> dict[str, str]:
    found = [path for path in build.rglob("*.o") if "CompilerId" not in str(path) and "CMakeTmp" not in str(path)]
    return {str(path.relative_to(build)): hashlib.blake2b(path.read_bytes()).hexdigest() for path in sorted(found)}


def test_cpp_project(farm, client):
    """Part of z3, by cmake and ninja, with debug information."""
    try:
        source = fetch.unpack(fetch.Z3, farm.network.folder / "z3")
    except fetch.FetchError as why:
        pytest.skip(str(why))
    build = source.parent / "build"

    def run(*words: str) -> None:
        done = client.run(words, source, {"TMPDIR": "/tmp"})
        assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])

    def built(launcher: str) -> dict[str, str]:
        shutil.rmtree(build, ignore_errors=True)
        front = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}"] if launcher else []
        flags = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_COMPILER=g++", "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g"]
        run("cmake", "-G", "Ninja", "-S", str(source), "-B", str(build), *fetch.Z3.options, *front, *flags)
        run("ninja", "-j8", "-C", str(build), *Z3_PARTS)
        return _objects(build)

    plain = built("")
    client.stop()
    client.forget()
    assert built(str(client.command)) == plain
    counted = client.counted()
    assert counted.errors == 0, (counted, client.troubles())
    assert counted.remote > len(plain) / 3, counted
    assert len(counted.compiles) > 1, counted


def test_cargo_workspace(farm, client):
    """Libraries, macros, build scripts, programs: every file below `target` and every message."""
    if os.geteuid() != 0 and not os.access(os.path.expanduser("~/.cargo"), os.R_OK):
        pytest.skip("needs cargo")
    try:
        workspace = Workspace(farm.network.folder / "rust", make.environment(client.home))
    except make.NotPossibleError as why:
        pytest.skip(str(why))
    command = ("build", "--workspace")
    plain = workspace.cargo(*command)
    workspace.clean()
    assert client.run([client.command, "--start-server"]).returncode == 0
    workspace.env |= {name: value for name, value in client.env.items() if name.startswith("SCCACHE_")}
    workspace.env |= {"RUSTC_WRAPPER": str(client.command)}
    expect_same({"build": workspace.cargo(*command)}, {"build": plain}, "on the farm")
    counted = client.counted()
    assert counted.errors == 0, (counted, client.troubles())
    assert counted.remote > 10, counted


def test_everything_is_at_rest_afterwards(farm):
    """No job is left, neither with the scheduler nor with a worker."""
    until(lambda: farm.status()["in_progress"] == 0, "the scheduler has no job")
    until(lambda: sum(farm.running(name) for name in farm.workers) == 0, "workers have no jobs")
    assert farm.status()["waiting"] == 0
