"""Parts of an nvcc compile that are known are not made again: counted in the programs that are started, compared with nvcc itself."""

import re
import shutil
import subprocess
from collections import Counter

from arena import HIT, MISS, RECOMPILE, Arena, World, needs, scenario

NVCC = shutil.which("nvcc") or "nvcc"
SOURCE = """\
#include <cstdio>
#include "scale.h"
namespace { __device__ float seen; }
__global__ void scale(float *x) { seen = x[0]; x[threadIdx.x] *= FACTOR + sinf(x[1]); }
#ifndef __CUDA_ARCH__
void run(float *x) { scale<<<1, 32>>>(x); std::printf("one\\n"); }
#endif
"""
A80 = ("-gencode", "arch=compute_80,code=sm_80")
A90 = ("-gencode", "arch=compute_90,code=[sm_90,compute_90]")
DEVICE = {"cudafe++", "cicc", "ptxas"}


def _write(w: World) -> None:
    w.write("a.cu", SOURCE)
    w.write("scale.h", "#define FACTOR 2.f\n")


def _object(w: World, *options: str, expect: str) -> None:
    """A compile, and what of its object is no name of a temporary file."""
    w.run(NVCC, *options, "-c", "a.cu", "-o", "a.o", expect=expect)
    for section in (".text", ".rodata", ".nv_fatbin"):
        flag = f"{section}=alloc"
        w.tool("objcopy", "-O", "binary", "--set-section-flags", flag, "-j", section, "a.o", f"a{section}")
    w.tool("nm", "a.o")


@scenario(NVCC)
def test_lists_of_architectures(w: World) -> None:
    """One, then another beside it, then that one alone, in both orders."""
    _write(w)
    for options in (A80, (*A80, *A90), A90, (*A90, *A80), (*A80, *A90, "--threads", "3")):
        _object(w, *options, expect=RECOMPILE if options == A80 else "any")
    _object(w, *A80, *A90, expect=HIT)


@scenario(NVCC)
def test_edits(w: World) -> None:
    """Of host code, of device code, of a header, and back."""
    _write(w)
    _object(w, *A80, *A90, expect=RECOMPILE)
    for old, new in (("one", "two"), ("x[0]", "x[2]"), ("", "")):
        w.write("a.cu", SOURCE.replace(old, new))
        _object(w, *A80, *A90, expect="any")
    _object(w, *A80, *A90, expect=HIT)
    w.write("scale.h", "#define FACTOR 3.f\n")
    _object(w, *A80, *A90, expect="any")


@scenario(NVCC)
def test_kinds_of_results(w: World) -> None:
    """-ptx, -cubin, -fatbin, -c, -dc one after the other share what they can, and each is nvcc's."""
    _write(w)
    for mode, name in (("-ptx", "a.ptx"), ("-cubin", "a.cubin"), ("-fatbin", "a.fatbin"), ("-c", "a.o"), ("-dc", "a.o")):
        w.run(NVCC, "-arch=sm_80", mode, "a.cu", "-o", name, "-MD", "-MF", f"a{mode}.d")
        w.run(NVCC, "-arch=sm_80", mode, "a.cu", "-o", name, "-MD", "-MF", f"a{mode}.d", expect=HIT)


@scenario(NVCC)
def test_what_fails(w: World) -> None:
    """Errors of every step are nvcc's own, and so are warnings."""
    _write(w)
    _object(w, *A80, expect=RECOMPILE)
    for text in (
        '#error "no"\n',
        "float f( {\n",
        "__global__ void g() { undefined(); }\n",
        '__device__ void g() { asm("nonsense;"); }\n',
        "int f() { }\n",
    ):
        w.write("a.cu", SOURCE + text)
        w.run(NVCC, *A80, "-Xcompiler", "-Wall,-Wextra", "-c", "a.cu", "-o", "b.o")
        w.run(NVCC, *A80, "-Xcompiler", "-Wall,-Wextra", "-c", "a.cu", "-o", "b.o", tty=True)


def test_programs_that_are_started(arena: Arena) -> None:
    """A new architecture: one cicc and one ptxas.  One fewer: none.  Host code: cudafe++.  The same again: nothing at all."""
    needs(NVCC, "strace")
    w = arena.cached_world()
    _write(w)
    subprocess.run(w.compiler("--start-server"), env=w.environment(), capture_output=True, timeout=100, check=True)
    assert _started(w, *A80) >= Counter(["cudafe++", "cicc", "ptxas"])
    added = _started(w, *A80, *A90)
    assert {name: added[name] for name in DEVICE} == {"cudafe++": 0, "cicc": 1, "ptxas": 1}
    fewer = _started(w, *A90)
    assert {name: fewer[name] for name in DEVICE} == {"cudafe++": 0, "cicc": 0, "ptxas": 0}
    w.write("a.cu", SOURCE.replace("one", "two"))
    host = _started(w, *A80, *A90)
    assert {name: host[name] for name in DEVICE} == {"cudafe++": 1, "cicc": 0, "ptxas": 0}
    again = _started(w, *A80, *A90)
    assert sum(again.values()) == 1, "the launcher itself"
    assert not w.complaints


def _started(w: World, *options: str) -> Counter[str]:
    """Names of programs that a compile starts."""
    w.settle()
    trace = w.home / "trace"
    words = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-e",
        "trace=execve",
        "-o",
        str(trace),
        *w.compiler(NVCC, *options, "-c", "a.cu", "-o", "a.o"),
    ]
    subprocess.run(words, cwd=w.root, env=w.environment(), capture_output=True, timeout=100, check=True)
    assert w.product is not None
    w.product.settled_counts(w.environment())
    found = re.findall(r'^\d+ +execve\("[^"]*?([^"/]+)", .* = 0$', trace.read_text(), re.MULTILINE)
    return Counter(found)


@scenario(NVCC)
def test_an_output_that_is_a_link(w: World) -> None:
    """cicc writes PTX through it."""
    w.write("l.cu", "__global__ void k(float *a) { *a = 1; }\n")
    words = (NVCC, "-arch=sm_80", "-ptx", "l.cu", "-o", "l.ptx")
    w.run(*words, expect=MISS)
    w.remove("l.ptx")
    w.write("real.ptx", "old")
    w.symlink("l.ptx", "real.ptx")
    w.run(*words)
