"""cuda_steps.py: nvcc's steps one by one make what nvcc makes, and are taken from the cache where nothing that they read has changed."""

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from sccache.compilers import families
from sccache.config.load import load
from sccache.hashing.files import FileMemory
from sccache.model import CompileRequest, Output
from sccache.preprocessor_cache.absent import Listings
from sccache.preprocessor_cache.includes import IncludeMemory
from sccache.stages import cuda_steps, observation, observed_results
from sccache.stages.bench import Bench, Memories
from sccache.stages.family_job import unobserved
from sccache.stages.hands import Command, Ran
from sccache.stages.observed_job import ObservedJob, Program
from sccache.stages.observed_results import Kept
from sccache.stages.observed_roots import find
from sccache.stages.places import Places
from sccache.stages.recipes import Scratch
from sccache.stats import Stats
from sccache.storage.disk import DiskStorage
from sccache.storage.level import LocalLevel
from sccache.storage.levels import Levels

NVCC = shutil.which("nvcc") or ""
pytestmark = [
    pytest.mark.skipif(not NVCC, reason="no nvcc"),
    pytest.mark.skipif(observation.observer() is None, reason="no observer was built"),
]

ONE = ("-gencode", "arch=compute_80,code=sm_80")
TWO = (*ONE, "-gencode", "arch=compute_90,code=[sm_90,compute_90]")
SOURCE = """\
#include "scale.h"
#include <cstdio>
__constant__ float table[4];
__global__ void scale(float *x) { x[threadIdx.x] *= FACTOR + table[0] + sinf(x[0]); }
#ifndef __CUDA_ARCH__
int main() { scale<<<1, 1>>>(nullptr); std::printf("one\\n"); }
#endif
"""


class Machine:
    """A daemon's memories and a launcher, without either."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "work"
        self.place.mkdir()
        (self.place / "a.cu").write_text(SOURCE)
        (self.place / "scale.h").write_text("#define FACTOR 2.f\n")
        scratch = folder / "scratch"
        scratch.mkdir()
        self.scratch = Scratch(str(scratch))
        files = FileMemory(clock_ns=lambda: time.time_ns() + 60_000_000_000)
        self.stats = Stats()
        levels = Levels([LocalLevel(DiskStorage(str(folder / "cache"), 1 << 30), read_only=False)])
        config = load({"HOME": str(folder)})
        self.bench = Bench(config, levels, self.stats, Memories(files, IncludeMemory(), Listings(), Places()))
        self.kept: list[Coroutine[Any, Any, None]] = []
        self.ran: list[str] = []
        self.last: Ran | None = None

    async def run(self, command: Command) -> Ran:
        if command.executable == "/bin/sh":
            text = Path(command.args[0]).read_text()
            parts = re.findall(r"\S+/\d+\.sh", text)
            for content in (text, *(Path(part).read_text() for part in parts)):
                self.ran += re.findall(r"libsccache-observe.so \S*?(\w+\+*) ", content)
        start_ns = time.monotonic_ns()
        process = await asyncio.create_subprocess_exec(
            command.executable, *command.args, cwd=self.place, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        stdout, stderr = await process.communicate()
        return Ran(process.returncode or 0, time.monotonic_ns() - start_ns, stdout, stderr)

    def compile(self, *args: str, output: str = "a.o", env: Mapping[str, str] | None = None) -> Kept | str | None:
        """None: not by steps.  Then what would be kept of the whole, or why it would not."""
        self.ran.clear()
        return asyncio.run(self._compile(args, output, env or {}))

    def steps(self) -> list[str]:
        """Those of the last compile that are looked up and were run."""
        return [name for name in self.ran if name in {"cudafe++", "cicc", "ptxas"}]

    def plain(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        """nvcc itself."""
        return subprocess.run((NVCC, *args), cwd=self.place, check=True, capture_output=True)

    def compile_plainly(self, *args: str) -> Kept | str:
        """nvcc itself, observed."""

        async def main() -> Kept | str:
            attempt = observed_results.begin(self._job(args, "a.o", {}), self.scratch)
            try:
                return await observed_results.collect(attempt, await self.run(attempt.command), self.bench, unobserved)
            finally:
                observed_results.end(attempt)

        return asyncio.run(main())

    async def _compile(self, args: tuple[str, ...], output: str, env: Mapping[str, str]) -> Kept | str | None:
        job = self._job(args, output, env)
        attempt = observed_results.begin(job, self.scratch)
        try:
            self.last = ran = await cuda_steps.run(attempt, self, self.scratch, self.bench, self._store_soon)
            for work in self.kept:
                await work
            self.kept.clear()
            return None if ran is None or ran.status != 0 else await observed_results.collect(attempt, ran, self.bench, unobserved)
        finally:
            observed_results.end(attempt)

    def _store_soon(self, work: Coroutine[Any, Any, None]) -> bool:
        self.kept.append(work)
        return True

    def _job(self, args: tuple[str, ...], output: str, env: Mapping[str, str]) -> ObservedJob:
        facts = self.bench.files.facts(str(self.place / "a.cu"))
        assert facts is not None
        request = CompileRequest(("nvcc", *args), str(self.place), {**os.environ, **env}, 0o022)
        rules = families.rules_of(r"nvcc|cicc|ptxas|fatbinary|cudafe\+\+")
        return ObservedJob(
            request=request,
            label=output,
            names=("CUDA", "cuda [nvcc]"),
            program=Program(NVCC, "nvcc", args, (NVCC,), (), {}, transparent=True, made_by="nvcc"),
            rules=structs.replace(rules),
            sources=((str(self.place / "a.cu"), facts.digest),),
            spelled=("a.cu",),
            outputs=(Output("obj", output), Output("d", "a.d", required=False)),
            records=(("arguments", args),),
            extra=(),
            roots=find((), str(self.place), ""),
            places=self.bench.memories.places,
            preprocessor=self.bench.config.disk.preprocessor,
            context=b"",
            trail="",
        )


_TIME = re.compile(rb"Compile time = [\d.]+ ms")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_adding_an_architecture_compiles_only_that_one(machine: Machine) -> None:
    """Device code for the others, and the host's half, are as they were."""
    first = machine.compile(*ONE, "-c", "a.cu", "-o", "a.o")
    assert isinstance(first, Kept), first
    assert sorted(machine.ran) == ["cicc", "cudafe++", "fatbinary", "gcc", "gcc", "gcc", "ptxas"]
    second = machine.compile(*TWO, "-c", "a.cu", "-o", "a.o")
    assert isinstance(second, Kept), second
    assert sorted(machine.ran) == ["cicc", "fatbinary", "gcc", "gcc", "gcc", "gcc", "ptxas"]


SAME = [
    ONE,
    TWO,
    (*TWO, "--threads", "2"),
    (*TWO, "-rdc=true"),
    ("-arch=sm_80", "-dlto"),
    (*ONE, "-g", "-G"),
    (*ONE, "-lineinfo", "-Xptxas", "-v", "-O3", "-use_fast_math"),
    (*ONE, "-ccbin", "g++", "-Xcompiler", "-Wall,-fPIC", '-DNAME="a b"', "-DF(x)=x"),
]


@pytest.mark.parametrize("options", SAME, ids=" ".join)
def test_the_object_is_nvccs(machine: Machine, options: tuple[str, ...]) -> None:
    """Byte for byte, but for names of temporary files: made, and made again of what is kept."""
    for _ in range(2):
        got = machine.compile(*options, "-c", "a.cu", "-o", "a.o")
        assert isinstance(got, Kept), got
        ours = _comparable(machine.place / "a.o", options)
        plain = machine.plain(*options, "-c", "a.cu", "-o", "a.o")
        assert ours == _comparable(machine.place / "a.o", options)
        assert _TIME.sub(b"", got.diagnostics.stderr) == _TIME.sub(b"", plain.stderr)
        assert got.diagnostics.stdout == plain.stdout
    assert machine.steps() == []


def _comparable(path: Path, options: tuple[str, ...]) -> dict[str, bytes]:
    """Sections of an object by name."""
    listed = subprocess.run(("objdump", "-h", "-w", path), check=True, capture_output=True, text=True).stdout
    sections = dict.fromkeys(re.findall(r"^ *\d+ (\S+) +\w+ .*CONTENTS", listed, re.MULTILINE))
    found = {"symbols": subprocess.run(("nm", path), check=True, capture_output=True).stdout}
    for name in sections:
        if name.startswith(".debug") or (name == ".nv_fatbin" and "-G" in options):  # they name the temporary files
            continue
        target = path.with_suffix(".section")
        subprocess.run(("objcopy", "-O", "binary", "--set-section-flags", f"{name}=alloc", "-j", name, path, target), check=True)
        found[name] = target.read_bytes()
        target.unlink()
    path.unlink()
    return found


@pytest.mark.parametrize(("option", "output"), [("-ptx", "a.ptx"), ("-cubin", "sub/b.cubin"), ("-fatbin", "a.fatbin")])
def test_device_code_alone(machine: Machine, option: str, output: str) -> None:
    """-ptx, -cubin and -fatbin; ptxas' work serves -c too."""
    (machine.place / "sub").mkdir()
    assert isinstance(machine.compile("-arch=sm_80", option, "a.cu", "-o", output, output=output), Kept)
    ours = (machine.place / output).read_bytes()
    machine.plain("-arch=sm_80", option, "a.cu", "-o", output)
    assert ours == (machine.place / output).read_bytes()
    assert isinstance(machine.compile("-arch=sm_80", "-c", "a.cu", "-o", "a.o"), Kept)
    assert ("ptxas" in machine.steps()) == (option == "-ptx")


@pytest.mark.parametrize(
    "options",
    [("-MD",), ("-MMD", "-MP", "-MT", "that"), ("-MD", "-MF", "a.d", "-Iinc", "-isystem", "sys"), ("-MD", "-ccbin", "clang++")],
    ids=" ".join,
)
def test_the_dependency_file_is_nvccs(machine: Machine, options: tuple[str, ...]) -> None:
    """It is made of the texts, which are made in any case."""
    for name in ("inc/ninety.h", "sys/system.h"):
        (machine.place / name).parent.mkdir()
        (machine.place / name).write_text("")
    source = '#if __CUDA_ARCH__ == 900\n#include "inc/ninety.h"\n#endif\n#include "sys/system.h"\n#line 7 "other.y"\n' + SOURCE
    (machine.place / "a.cu").write_text(source)
    got = machine.compile(*TWO, *options, "-c", "a.cu", "-o", "a.o")
    assert isinstance(got, Kept), got
    ours = (machine.place / "a.d").read_bytes()
    machine.plain(*TWO, *options, "-c", "a.cu", "-o", "a.o")
    assert ours == (machine.place / "a.d").read_bytes()


def test_host_code_is_compiled_alone(machine: Machine) -> None:
    """What only the host's text has changes no device code, and the object has it."""
    machine.compile(*TWO, "-c", "a.cu", "-o", "a.o")
    (machine.place / "a.cu").write_text(SOURCE.replace("one", "two"))
    assert isinstance(machine.compile(*TWO, "-c", "a.cu", "-o", "a.o"), Kept)
    assert machine.steps() == ["cudafe++"]
    ours = _comparable(machine.place / "a.o", ())
    machine.plain(*TWO, "-c", "a.cu", "-o", "a.o")
    assert ours == _comparable(machine.place / "a.o", ())


@pytest.mark.parametrize("unnamed", [False, True])
def test_another_place(machine: Machine, unnamed: bool) -> None:
    """Names that differ between modules are made of the source's place: what has one serves there only, what has none anywhere."""
    if unnamed:
        (machine.place / "a.cu").write_text(
            SOURCE.replace("__global__", "namespace { __device__ int own; }\n__global__").replace("table[0]", "own")
        )
    here = machine.compile(*ONE, "-c", "a.cu", "-o", "a.o")
    assert isinstance(here, Kept), here
    assert bool(here.bound_to) == unnamed
    machine.place = machine.place.rename(machine.place.parent / "elsewhere")
    there = machine.compile(*ONE, "-c", "a.cu", "-o", "a.o")
    assert isinstance(there, Kept), there
    assert machine.steps() == (["cudafe++", "cicc", "ptxas"] if unnamed else ["cudafe++"])
    assert (here.bound_to == there.bound_to) != unnamed
    ours = _comparable(machine.place / "a.o", ())
    machine.plain(*ONE, "-c", "a.cu", "-o", "a.o")
    assert ours == _comparable(machine.place / "a.o", ())


def test_a_module_without_a_name(machine: Machine) -> None:
    """Nothing in it has a name for others: nvcc gives it another identity each time, so that two objects of it can be linked together."""
    (machine.place / "a.cu").write_text(
        "namespace { __global__ void own(float *x) { *x = 1; } struct R { R() { own<<<1, 1>>>(nullptr); } } r; }\n"
    )
    for _ in range(2):
        assert isinstance(machine.compile(*ONE, "-c", "a.cu", "-o", "a.o"), Kept)
        assert machine.steps() == ["cudafe++", "cicc", "ptxas"]


def test_device_code_of_a_header(machine: Machine) -> None:
    """A header that the device code includes changes it."""
    machine.compile(*ONE, "-c", "a.cu", "-o", "a.o")
    (machine.place / "scale.h").write_text("#define FACTOR 3.f\n")
    assert isinstance(machine.compile(*ONE, "-c", "a.cu", "-o", "a.o"), Kept)
    assert machine.steps() == ["cudafe++", "cicc", "ptxas"]
    ours = _comparable(machine.place / "a.o", ())
    machine.plain(*ONE, "-c", "a.cu", "-o", "a.o")
    assert ours == _comparable(machine.place / "a.o", ())


def test_the_whole_depends_on_what_its_steps_read(machine: Machine) -> None:
    """The same as when nvcc itself is observed, whether the steps were run or taken from the cache."""
    first = machine.compile(*TWO, "-c", "a.cu", "-o", "a.o")
    second = machine.compile(*TWO, "-c", "a.cu", "-o", "a.o")
    assert machine.steps() == []
    plain = machine.compile_plainly(*TWO, "-c", "a.cu", "-o", "a.o")
    for got in (first, second):
        assert isinstance(got, Kept)
        assert isinstance(plain, Kept)
        assert _inputs(got) == _inputs(plain)
        assert got.observed.absent == {place: names for place, names in plain.observed.absent.items() if place not in {"/tmp", "/tmp/crt"}}
        assert set(got.observed.listings) == set(plain.observed.listings)
        assert set(got.observed.environment) == set(plain.observed.environment)


def _inputs(kept: Kept) -> dict[str, bytes]:
    """nvcc has a shell for each step."""
    return {known.path: known.digest for known in kept.observed.inputs if os.path.basename(known.path) not in {"sh", "dash"}}


@pytest.mark.parametrize(
    "args",
    [
        ("-c", "a.cu", "-o", "a.o", "--keep"),
        ("-v", "-c", "a.cu", "-o", "a.o"),
        ("-x", "c++", "-c", "a.cu", "-o", "a.o"),
        ("-E", "a.cu"),
        ("a.cu", "-o", "a.out"),
        ("-c", "a.cu", "a.cu"),
        ("-M", "a.cu"),
    ],
    ids=" ".join,
)
def test_not_by_steps(machine: Machine, args: tuple[str, ...]) -> None:
    """Then the user's own command is run."""
    assert machine.compile(*args) is None
    assert os.listdir(machine.scratch.path("x").rsplit("/", 1)[0]) == []


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ('#error "no"\n', []),
        ('#warning "so"\nfloat f( {\n', ["cudafe++"]),
        ("__global__ void g() { undefined(); }\n", ["cudafe++"]),
        ('#if __CUDA_ARCH__ == 800\n#error "no"\n#endif\n', None),
        ("#ifdef __CUDA_ARCH__\n__device__ void g() { undefined(); }\n#endif\n", None),
        ("#ifndef __CUDA_ARCH__\n#if 0\n#endif\nint g() { return __builtin_no_such(1); }\n#endif\n", ["cudafe++"]),
    ],
)
@pytest.mark.parametrize("option", ["-m64", "-MD", "-t3"])
def test_an_error_is_nvccs(machine: Machine, option: str, text: str, steps: list[str] | None) -> None:
    """Where nvcc would have ended, with what it would have said; None: that may not be known, then nvcc itself tells."""
    (machine.place / "a.cu").write_text(SOURCE + text)
    assert machine.compile(*ONE, option, "-c", "a.cu", "-o", "a.o") is None
    ours = sorted(path.name for path in machine.place.iterdir())
    plain = subprocess.run((NVCC, *ONE, option, "-c", "a.cu", "-o", "a.o"), cwd=machine.place, check=False, capture_output=True)
    assert plain.returncode
    if machine.last is not None:
        assert (machine.last.status, machine.last.stdout, machine.last.stderr) == (plain.returncode, plain.stdout, plain.stderr)
        assert ours == sorted(path.name for path in machine.place.iterdir())
    if option == "-t3":
        assert machine.last is None
    elif steps is not None:
        assert machine.last is not None
        assert machine.steps() == steps


def test_flags_of_the_environment(machine: Machine) -> None:
    """NVCC_APPEND_FLAGS count as words of the command."""
    assert machine.compile("-c", "a.cu", "-o", "a.o", env={"NVCC_APPEND_FLAGS": "--keep"}) is None
