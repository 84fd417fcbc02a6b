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

    async def _compile(self, args: tuple[str, ...], output: str, env: Mapping[str, str]) -> Kept | str | None:
        job = self._job(args, output, env)
        attempt = observed_results.begin(job, self.scratch)
        try:
            ran = await cuda_steps.run(attempt, self, self.scratch, self.bench, self._store_soon)
            for work in self.kept:
                await work
            self.kept.clear()
            return None if ran is None else await observed_results.collect(attempt, ran, self.bench, unobserved)
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
            extra=b"",
            roots=find((), str(self.place), ""),
            places=self.bench.memories.places,
            preprocessor=self.bench.config.disk.preprocessor,
            context=b"",
            trail="",
        )


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
