"""CUDA sources of a real project, LightGBM's learner: cold, warm, after edits, for one more architecture, as with plain nvcc.

An object of nvcc names its temporary files (`tmpxft_…`) in symbols of no use to a linker: those are stripped before objects are compared.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "scenarios")]

import fetch  # noqa: E402 -- the path above makes it importable
from arena.needs import needs  # noqa: E402
from arena.products import Sccache, chosen  # noqa: E402

SOURCES = ("src/cuda/cuda_algorithms.cu", "src/boosting/cuda/cuda_score_updater.cu", "src/io/cuda/cuda_tree.cu")
HEADER = "include/LightGBM/cuda/cuda_utils.hu"
FLAGS = (
    *("-O2", "-std=c++17", "-w", "-DUSE_CUDA", "-DMM_MALLOC", "-Iinclude", "-Iexternal_libs/eigen", "-Iexternal_libs/fmt/include"),
    *("-Iexternal_libs/fast_double_parser/include", "-Xcompiler=-fopenmp,-fPIC"),
)
ONE = ("-gencode=arch=compute_80,code=sm_80",)
TWO = (*ONE, "-gencode=arch=compute_90,code=sm_90")
Objects = Mapping[str, bytes]


class Kernels:
    """The unpacked project, compiled by ninja."""

    def __init__(self, source: Path, env: Mapping[str, str]) -> None:
        self.source, self.env = source, env

    def build(self, front: str, architectures: tuple[str, ...]) -> Objects:
        """Compile everything anew; the objects, stripped."""
        shutil.rmtree(self.source / "out", ignore_errors=True)
        rule = f"rule cuda\n  command = {front} nvcc $flags -MD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc\n"
        edges = [f"build out/{Path(name).stem}.o: cuda {name}\n  flags = {' '.join((*FLAGS, *architectures))}\n" for name in SOURCES]
        (self.source / "build.ninja").write_text(rule + "".join(edges))
        done = subprocess.run(
            ["ninja", "-j2"], cwd=self.source, env=dict(self.env), capture_output=True, text=True, check=False, timeout=900
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return {path.name: self._stripped(path) for path in sorted((self.source / "out").glob("*.o"))}

    def _stripped(self, path: Path) -> bytes:
        subprocess.run(["strip", "--strip-unneeded", "-o", f"{path}.stripped", path], check=True, timeout=60)
        return Path(f"{path}.stripped").read_bytes()

    def edit(self, text: str) -> None:
        """Append to a header that all include, for host and device."""
        with (self.source / HEADER).open("a") as file:
            file.write(text)


@pytest.fixture
def kernels() -> Iterator[Kernels]:
    """The project beside a home of its own."""
    needs("nvcc", "ninja", "strip")
    folder = Path(tempfile.mkdtemp(prefix="sc-"))
    product = chosen(folder / "bin")
    env = {**product.environment(folder), "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C"}
    try:
        try:
            source = fetch.unpack(fetch.LIGHTGBM, folder / "src")
        except fetch.FetchError as e:
            pytest.skip(str(e))
        yield Kernels(source, env)
    finally:
        product.stop(env)
        shutil.rmtree(folder)


def test_cuda_of_a_real_project(kernels: Kernels) -> None:
    """Objects equal plain nvcc's in every state; what was compiled before starts nothing, a new architecture only its own steps."""
    product = chosen(kernels.source.parent / "bin")
    assert isinstance(product, Sccache)
    front = str(product.command)
    edit = """
#ifndef EDITED
#define EDITED
#ifndef __CUDA_ARCH__
__attribute__((used)) static char edited[] = "host";
#endif
#endif
"""
    plain = kernels.build("", ONE)
    plain_two = kernels.build("", TWO)

    def counts() -> dict[str, dict[str, int]]:
        product.settled_counts(kernels.env)
        stats = product.stats(kernels.env)["stats"]
        return {kind: dict(stats[f"cache_{kind}"]["counts"]) for kind in ("hits", "misses")}

    assert kernels.build(front, ONE) == plain
    cold = counts()
    assert cold["hits"] == {}
    assert cold["misses"]["CUDA"] == len(SOURCES)
    assert kernels.build(front, ONE) == plain
    warm = counts()
    assert warm["misses"] == cold["misses"]
    assert warm["hits"] == {"CUDA": len(SOURCES)}

    assert kernels.build(front, TWO) == plain_two
    added = counts()
    assert added["misses"]["CUDA"] - warm["misses"]["CUDA"] == len(SOURCES)
    for step in ("PTX", "CUBIN"):  # one for the new architecture; the other's are there
        assert added["misses"][step] - warm["misses"][step] == len(SOURCES), step
        assert added["hits"][step] == len(SOURCES), step

    kernels.edit(edit)
    have = kernels.build(front, ONE)
    edited = counts()
    assert edited["misses"]["CUDA"] - added["misses"]["CUDA"] == len(SOURCES)
    assert have == kernels.build("", ONE)
    assert have != plain, "the edit makes no difference: this shows nothing"
    assert kernels.build(front, ONE) == have
    assert counts()["misses"] == edited["misses"]
