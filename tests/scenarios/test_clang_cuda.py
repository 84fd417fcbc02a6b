"""CUDA with clang: clang, ptxas and fatbinary are the real ones, but for a stand-in before fatbinary.

Debian's clang knows CUDA up to 11.5 and calls fatbinary by options that CUDA 13's has not any more: tests/data/clang_cuda/fatbinary
translates them.  For the same reason the sources declare by themselves what they need of the toolkit's headers.
"""

from pathlib import Path

import pytest
from arena import HIT, MISS, RECOMPILE, UNCACHED, World, needs, scenario

TESTS = Path(__file__).parents[1]
TOOLKIT = Path("/usr/local/cuda-13.0")
ONE = "--cuda-gpu-arch=sm_75"
TWO = "--offload-arch=sm_80"
COMPILERS = ("clang++", "clang++-15")


def lay_out(w: World) -> None:
    """The sources, and a toolkit as clang wants it."""
    if not (TOOLKIT / "bin/ptxas").exists():
        pytest.skip(f"needs {TOOLKIT}, which is not installed")
    for name in ("main.cu", "kernels.h"):
        w.write(name, (TESTS / "scenarios/data/clang_cuda" / name).read_text())
    w.write("runtime.h", (TESTS / "data/clang_cuda/runtime.h").read_text())
    w.write("cuda/bin/fatbinary", (TESTS / "data/clang_cuda/fatbinary").read_text(), mode=0o755)
    w.write("cuda/include/cuda.h", "#define CUDA_VERSION 11000\n")
    w.symlink("cuda/bin/ptxas", str(TOOLKIT / "bin/ptxas"))
    w.mkdir("cuda/lib64")
    w.mkdir("cuda/nvvm/libdevice")


def command(w: World, cc: str, *words: str) -> tuple[str, ...]:
    """A compile with that toolkit."""
    return (cc, f"--cuda-path={w.path('cuda')}", "-nocudainc", "-nocudalib", *words)


@scenario(*COMPILERS)
def test_cold_warm_and_edits(w: World, cc: str) -> None:
    """The same object without a process; compiled anew after edits of host code, device code, a header; found again when undone."""
    lay_out(w)
    words = command(w, cc, ONE, TWO, "-c", "main.cu", "-MD", "-MF", "o.d", "-o", "o.o")
    w.run(*words, expect=MISS)
    w.remove("o.o", "o.d")
    w.run(*words, expect=HIT)
    for name, old, new in (
        ("main.cu", "a * x[i] + y[i]", "a * x[i] - y[i]"),
        ("main.cu", "return plan.count;", "return plan.blocks;"),
        ("kernels.h", "SCALE 2.0f", "SCALE 3.0f"),
    ):
        text = w.path(name).read_text()
        assert old in text
        w.write(name, text.replace(old, new))
        w.run(*words, expect=MISS)
        w.write(name, text)
        w.run(*words, expect=HIT)


OPTIONS = (
    *((TWO,), ("-O2",), ("-g",), ("-DSCALE=5.0f",), ("-fgpu-rdc",), ("--cuda-host-only",), ("-Xcuda-ptxas", "-O1"), ("-Xarch_host", "-DX")),
    *(
        ("-Xcuda-ptxas", "-v"),
        ("--no-cuda-include-ptx=all",),
        ("-fcuda-flush-denormals-to-zero",),
        ("-ffp-contract=off",),
        ("--cuda-device-only",),
    ),
)


@scenario("clang++")
def test_options_of_each_class(w: World, cc: str) -> None:
    """Each makes another result or other messages; they are told apart."""
    lay_out(w)
    words = command(w, cc, ONE, "-c", "main.cu", "-o", "o.o")
    w.run(*words, expect=MISS)
    for option in OPTIONS:
        w.run(*words, *option, expect=MISS)
    for option in OPTIONS:
        w.run(*words, *option, expect=HIT)


FORMS = (
    ("-c",),
    ("-S",),
    ("-c", "-emit-llvm"),
    ("-c", "--cuda-device-only"),
    ("-S", "--cuda-device-only"),
    ("-c", "-fsave-optimization-record"),
)


@scenario("clang++")
def test_files_of_every_form(w: World, cc: str) -> None:
    """For two architectures, with the names that clang chooses: all of them come from the cache."""
    lay_out(w)
    for form in FORMS:
        for expect in (MISS, HIT):
            for path in w.path(".").glob("main?*"):
                if path.suffix != ".cu":
                    path.unlink()
            w.run(*command(w, cc, ONE, TWO, *form, "main.cu"), expect=expect)


@scenario("clang++")
def test_the_toolkit_is_an_input(w: World, cc: str) -> None:
    """Another fatbinary, another ptxas, another version of CUDA."""
    lay_out(w)
    words = command(w, cc, ONE, "-c", "main.cu", "-o", "o.o")
    w.run(*words, expect=MISS)
    text = w.path("cuda/bin/fatbinary").read_text()
    w.write("cuda/bin/fatbinary", text.replace('"$@"\n', '--compress-all "$@"\n'), mode=0o755)
    w.run(*words, expect=MISS)
    w.write("cuda/bin/fatbinary", text, mode=0o755)
    w.run(*words, expect=HIT)
    w.write("cuda/include/cuda.h", "#define CUDA_VERSION 11020\n")
    w.run(*words, expect=MISS)
    w.remove("cuda/bin/ptxas")
    w.script("cuda/bin/ptxas", f'exec {TOOLKIT}/bin/ptxas -O0 "$@"')
    w.run(*words, expect=MISS)
    w.run(*words, expect=HIT)


@scenario("clang++")
def test_the_real_toolkit(w: World, cc: str) -> None:
    """Code for the device alone is all that clang 14 makes with CUDA 13; it warns of the version, every time."""
    needs(cc)
    lay_out(w)
    words = (cc, f"--cuda-path={TOOLKIT}", "-nocudainc", "-nocudalib", ONE, "-c", "main.cu", "--cuda-device-only", "-o", "o.cubin")
    w.run(*words, expect=MISS)
    w.run(*words, expect=HIT)
    w.run(*words, "-fgpu-rdc", expect=MISS)


@scenario("clang++")
def test_what_passes_through(w: World, cc: str) -> None:
    """What the machine's GPU decides, what leaves files of unknown names, and what fails."""
    lay_out(w)
    w.run(*command(w, cc, "--offload-arch=native", "-c", "main.cu"), expect=UNCACHED)
    w.run(*command(w, cc, "-S", "main.cu", "--cuda-device-only"), expect=UNCACHED)
    w.run(*command(w, cc, ONE, "-save-temps", "-c", "main.cu"), expect=UNCACHED, compare=False)
    w.run(*command(w, cc, ONE, TWO, "-S", "main.cu", "-o", "o.s"), expect=RECOMPILE)
