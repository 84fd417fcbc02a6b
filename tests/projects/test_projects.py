"""Real projects, built plain, cold, warm, after touch, an edit and git checkout: objects equal to the plain build's each time."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "scenarios")]

import fetch  # noqa: E402 -- the path above makes it importable
from arena.needs import needs  # noqa: E402
from arena.products import Counts, chosen  # noqa: E402
from arena.world import wait_until  # noqa: E402

Objects = Mapping[str, bytes]
LANGUAGE_FLAGS = {"libuv": ("-O2", "-g"), "z3": ("-O0",)}
EDITED = {"libuv": "src/uv-common.h", "z3": "src/util/rational.h"}
SECOND = {"libuv": "src/queue.h", "z3": "src/util/vector.h"}


class Build:
    """One source tree and its build directory, with or without the cache in front of the compiler."""

    def __init__(self, project: fetch.Project, source: Path, env: Mapping[str, str]) -> None:
        """`env` holds the cache's settings; they do not matter to the plain build."""
        self.project, self.source, self.env = project, source, env
        self.folder = source.parent / "build"

    def run(self, *argv: str) -> str:
        """Run a tool; its output is shown when it fails."""
        done = subprocess.run(argv, env=dict(self.env), cwd=self.source, capture_output=True, text=True, check=False, timeout=1500)
        assert done.returncode == 0, f"{argv}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def configure(self, launcher: str) -> None:
        """Start with an empty build directory."""
        shutil.rmtree(self.folder, ignore_errors=True)
        front = [f"-DCMAKE_{lang}_COMPILER_LAUNCHER={launcher}" for lang in ("C", "CXX")] if launcher else []
        flags = " ".join(LANGUAGE_FLAGS[self.project.name])
        self.run(
            "cmake", "-G", "Ninja", "-S", str(self.source), "-B", str(self.folder), *self.project.options, *front,
            "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_CXX_COMPILER=g++",
            f"-DCMAKE_C_FLAGS_DEBUG={flags}", f"-DCMAKE_CXX_FLAGS_DEBUG={flags}",
        )  # fmt: skip

    def objects(self) -> Objects:
        """Build, and read every object."""
        newest = time.time()
        wait_until(lambda: time.time() > newest + 0.03, "files just written are older than the file clock's granularity")
        self.run("ninja", "-C", str(self.folder), *self.project.targets)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(self._object_files())}

    def forget_objects(self) -> None:
        """Remove every object, not the configuration."""
        for path in self._object_files():
            path.unlink()

    def _object_files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*.o") if "CompilerId" not in str(path) and "CMakeTmp" not in str(path)]

    def newest_misses(self, count: int) -> list[str]:
        """What the daemon's log says of them: the reasons."""
        log = Path(self.env["SCCACHE_ERROR_LOG"])
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return [line for line in lines if "cache miss" in line][-count:]

    def touch(self) -> None:
        """Give every source and header a new modification time."""
        for path in self.source.rglob("*"):
            if path.suffix in {".c", ".cpp", ".h", ".cc"}:
                os.utime(path)

    def edit(self, name: str, text: str) -> None:
        """Append to a header, and leave no doubt that it is newer."""
        with (self.source / name).open("a") as file:
            file.write(text)

    def git(self, *words: str) -> str:
        """Run git as nobody in particular."""
        return self.run("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main", *words)


@pytest.fixture(params=["libuv", "z3"])
def place(request: pytest.FixtureRequest) -> Iterator[Build]:
    """The unpacked project with two commits, checked out at the first."""
    needs("cmake", "ninja", "git", "gcc", "g++")
    folder = Path(tempfile.mkdtemp(prefix="sc-"))
    project = fetch.PROJECTS[request.param]
    product = chosen(folder / "bin")
    log = {"SCCACHE_LOG": "debug", "SCCACHE_ERROR_LOG": str(folder / "log")}
    env = {**product.environment(folder), **log, "PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C"}
    try:
        try:
            source = fetch.unpack(project, folder / "src")
        except fetch.FetchError as e:
            pytest.skip(str(e))
        build = Build(project, source, env)
        build.git("init", "-q")
        build.git("add", "-A")
        build.git("commit", "-q", "-m", "first")
        build.git("tag", "first")
        build.edit(SECOND[project.name], _addition("second_revision"))
        build.git("commit", "-q", "-a", "-m", "second")
        build.git("tag", "second")
        build.git("checkout", "-q", "first")
        yield build
    finally:
        product.stop(env)
        shutil.rmtree(folder)


def _addition(name: str) -> str:
    """Text for the end of a header, which may lie outside its include guard."""
    return f"\n#ifndef ADDED_{name}\n#define ADDED_{name}\nstatic inline int {name}(void) {{ return 7; }}\n#endif\n"


def _differing(want: Objects, have: Objects) -> list[str]:
    return sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))


def test_real_project(place: Build, capsys: pytest.CaptureFixture[str]) -> None:
    """Every state's objects equal the plain build's; unchanged states are all hits."""
    product = chosen(place.source.parent / "bin")
    edit = _addition("edited_header")
    edited = EDITED[place.project.name]

    place.configure("")
    first = place.objects()
    place.edit(edited, edit)
    after_edit = place.objects()
    place.git("checkout", "-q", "--", ".")
    place.git("checkout", "-q", "second")
    second = place.objects()
    place.git("checkout", "-q", "first")

    place.configure(str(product.command))
    counts = product.settled_counts(place.env)

    def gained() -> tuple[int, int]:
        nonlocal counts
        before, counts = counts, product.settled_counts(place.env)
        return counts.hits - before.hits, counts.misses - before.misses

    def expect(state: str, want: Objects, *, only_hits: bool = False) -> None:
        have = place.objects()
        assert _differing(want, have) == [], state
        hits, misses = gained()
        with capsys.disabled():
            print(f"\n{place.project.name}: {state}: {len(have)} objects equal, {hits} hits, {misses} misses", end="")
        if only_hits and isinstance(counts, Counts):
            assert misses == 0, f"{state}: {place.newest_misses(misses)}"

    expect("cold", first)
    place.forget_objects()
    expect("warm", first, only_hits=True)
    place.touch()
    expect("touched", first, only_hits=True)
    place.edit(edited, edit)
    expect("header edited", after_edit)
    place.git("checkout", "-q", "--", ".")
    place.git("checkout", "-q", "second")
    expect("second revision", second)
    place.git("checkout", "-q", "first")
    expect("first revision again", first, only_hits=True)
