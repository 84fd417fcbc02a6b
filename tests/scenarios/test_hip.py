"""HIP: hipcc and clang compile for the host and for GPUs in one command; no GPU is needed for that."""

import os
import shutil
from pathlib import Path

import pytest
from arena import ANY, HIT, MISS, RECOMPILE, UNCACHED, Arena, World, needs, scenario
from arena.needs import needs_hip

DATA = Path(__file__).parent / "data" / "hip"
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/amdgcn/bitcode")
ONE = "--offload-arch=gfx906"
TWO = "--offload-arch=gfx1030"
SMALL = """\
#include <hip/hip_runtime.h>
static __device__ int counter;
__global__ void twice(float *a) { a[threadIdx.x] *= 2.0f + counter; }
void launch(float *a) { twice<<<1, 32>>>(a); (void)hipMemcpyToSymbol(HIP_SYMBOL(counter), a, 4); }
"""
WITHOUT_HEADERS = """\
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
struct dim3 { unsigned x, y, z; };
int hipLaunchKernel(const void *kernel, dim3 blocks, dim3 threads, void **values, unsigned long bytes, void *stream);
static __device__ int counter;
#ifndef SCALE
#define SCALE 2.0f
#endif
__global__ void twice(float *a) { a[counter++] *= SCALE + a[1]; }
"""
"""With `-nogpuinc`: a fifth of the time, for tests of many compiles."""
COMPILERS = ("hipcc", "clang++-15")


def command(cc: str, *words: str) -> tuple[str, ...]:
    """A compile; Debian's clang has to be told where its libraries are, hipcc knows."""
    own = () if cc == "hipcc" else ("--rocm-path=/usr", f"--hip-device-lib-path={LIBRARIES}", "--hip-version=5.2.0")
    return (cc, *own, *words)


def sources(w: World) -> None:
    """A program of a few hundred lines."""
    needs_hip()
    for name in ("main.hip", "kernels.hpp"):
        w.write(name, (DATA / name).read_text())


def edit(w: World, name: str, old: str, new: str) -> None:
    """Change one place of a file."""
    text = w.path(name).read_text()
    assert old in text
    w.write(name, text.replace(old, new))


@scenario(*COMPILERS)
def test_cold_and_warm(w: World, cc: str) -> None:
    """The same object without a process, with its dependency file."""
    sources(w)
    words = command(cc, ONE, TWO, "-c", "main.hip", "-MD", "-MF", "o.d", "-o", "o.o")
    w.run(*words, expect=MISS)
    w.remove("o.o", "o.d")
    w.run(*words, expect=HIT)
    w.remove("o.o")
    w.run(*words, expect=HIT)


@scenario(*COMPILERS)
def test_edits(w: World, cc: str) -> None:
    """Of host code, device code, a header, a macro: compiled anew; taken back: found again."""
    sources(w)
    words = command(cc, ONE, "-c", "main.hip", "-o", "o.o")
    w.run(*words, expect=MISS)
    for name, old, new in (
        ("main.hip", '"first: %f\\n"', '"one: %f\\n"'),
        ("main.hip", "a * x[i] + y[i]", "a * x[i] - y[i]"),
        ("kernels.hpp", "#define SCALE 2.0f", "#define SCALE 3.0f"),
        ("kernels.hpp", "re * re + im * im", "im * im + 2 * re"),
    ):
        edit(w, name, old, new)
        w.run(*words, expect=MISS)
        edit(w, name, new, old)
        w.run(*words, expect=HIT)


@scenario(*COMPILERS)
def test_a_header_appears_before_the_one_that_was_used(w: World, cc: str) -> None:
    """What was looked for in vain is an input, too."""
    sources(w)
    w.mkdir("early")
    w.rename("kernels.hpp", "late.hpp")
    w.write("late/kernels.hpp", w.path("late.hpp").read_text())
    words = command(cc, ONE, "-Iearly", "-Ilate", "-c", "main.hip", "-o", "o.o")
    w.run(*words, expect=MISS)
    w.run(*words, expect=HIT)
    w.write("early/kernels.hpp", w.path("late.hpp").read_text().replace("2.0f", "5.0f"))
    w.run(*words, expect=MISS)


OPTIONS = (
    *(("-O1",), ("-O0",), ("-g",), ("-DSCALE=4.0f",), ("-std=c++17",), ("-ffast-math",), ("-fgpu-flush-denormals-to-zero",)),
    *(
        ("-fgpu-rdc",),
        (TWO,),
        ("-mllvm", "-amdgpu-function-calls=true"),
        ("-Xarch_host", "-DSCALE=7"),
        ("-nogpulib", "--cuda-host-only"),
    ),
    *(("-Xarch_device", "-fno-exceptions"), ("--cuda-device-only",), ("-munsafe-fp-atomics",), ("-fvisibility=hidden",), ("-Wall",)),
)


@scenario(*COMPILERS)
def test_options_of_each_class(w: World, cc: str) -> None:
    """Each makes another result; the results are told apart."""
    needs_hip()
    w.write("a.hip", WITHOUT_HEADERS)
    words = command(cc, ONE, "-nogpuinc", "-c", "a.hip", "-o", "o.o")
    w.run(*words, expect=MISS)
    for option in OPTIONS:
        w.run(*words, *option, expect=MISS)
    for option in OPTIONS:
        w.run(*words, *option, expect=HIT)
    w.run(*words, expect=HIT)


FORMS = (
    *(("-c",), ("-S",), ("-c", "-emit-llvm"), ("-c", "--cuda-host-only"), ("-c", "-fgpu-rdc"), ("-c", "-g", "-gsplit-dwarf")),
    *(("-c", "--cuda-device-only"), ("-S", "--cuda-device-only"), ("-c", "-emit-llvm", "--cuda-device-only")),
    *(("-c", "--cuda-device-only", "--no-gpu-bundle-output"), ("-S", "--cuda-device-only", "--gpu-bundle-output")),
    *(("-c", "-fsave-optimization-record"), ("-c", "-MD"), ("-c", "--cuda-device-only", "-fgpu-rdc")),
)


@scenario(*COMPILERS)
def test_files_of_every_form(w: World, cc: str) -> None:
    """For two architectures, with the names that the compiler chooses: all of them come from the cache."""
    needs_hip()
    w.write("src/a.hip", WITHOUT_HEADERS)
    for form in FORMS:
        for expect in (MISS, HIT):
            for path in w.path(".").glob("a*"):
                path.unlink()
            w.run(*command(cc, ONE, TWO, "-nogpuinc", *form, "src/a.hip"), expect=expect)


@scenario(*COMPILERS)
def test_device_libraries_are_inputs(w: World, cc: str) -> None:
    """A library of another content makes another object; one that appears may."""
    needs_hip()
    shutil.copytree(LIBRARIES, w.path("lib"))
    w.write("a.hip", SMALL.replace("2.0f +", "sinf(a[1]) / a[2] +"))
    env = {"DEVICE_LIB_PATH": str(w.path("lib"))}
    words = (cc, *(() if cc == "hipcc" else ("--rocm-path=/usr", f"--hip-device-lib-path={w.path('lib')}", "--hip-version=5.2.0")))
    words = (*words, ONE, "-c", "a.hip", "-o", "o.o")
    w.run(*words, expect=MISS, env=env, compare=False)
    w.run(*words, expect=HIT, env=env)
    w.write("lib/oclc_finite_only_off.bc", (LIBRARIES / "oclc_finite_only_on.bc").read_bytes())
    w.run(*words, expect=MISS, env=env)
    w.write("lib/oclc_finite_only_off.bc", (LIBRARIES / "oclc_finite_only_off.bc").read_bytes())
    w.run(*words, expect=HIT, env=env)


@scenario("hipcc")
def test_variables_of_hipcc(w: World) -> None:
    """A script's reading is not seen: those that it knows are in the key; others are not."""
    needs_hip()
    w.write("a.hip", SMALL)
    words = (*command("hipcc"), ONE, "-c", "a.hip", "-o", "o.o")
    w.run(*words, expect=MISS)
    w.run(*words, expect=HIT, env={"BUILD_NUMBER": "17"})
    for name, value in (
        ("HIPCC_COMPILE_FLAGS_APPEND", "-O1"),
        ("HIPCC_COMPILE_FLAGS_APPEND", "-O1 '-DX=a b'"),
        ("HIPCC_VERBOSE", "1"),
        ("HIP_CLANG_HCC_COMPAT_MODE", "1"),
    ):
        w.run(*words, expect=MISS, env={name: value})
        w.run(*words, expect=HIT, env={name: value})
    w.run(*words, expect=HIT)
    w.run(*words, expect=UNCACHED, env={"HIPCC_COMPILE_FLAGS_APPEND": "-DX=$(echo 1)"})
    w.run(*words, expect=UNCACHED, env={"HIPCC_COMPILE_FLAGS_APPEND": "-save-temps"}, compare=False)


@scenario("hipcc")
def test_parts_of_hipcc_are_inputs(w: World) -> None:
    """hipcc of another tree, whose modules change; a file of settings that appears beside it."""
    needs_hip()
    for name in ("hipcc", "hipcc.pl", "hipvars.pm"):
        w.write(f"rocm/bin/{name}", Path("/usr/bin", name).read_text(), mode=0o755)
    w.write("a.hip", SMALL)
    env = {"ROCM_PATH": "/usr", "HIP_CLANG_PATH": "/usr/bin", "DEVICE_LIB_PATH": str(LIBRARIES)}
    words = (w.path("rocm/bin/hipcc"), ONE, "-c", "a.hip", "-o", "o.o")
    w.run(*words, expect=MISS, env=env)
    w.run(*words, expect=HIT, env=env)
    edit(w, "rocm/bin/hipcc.pl", '" -O3"', '" -O1"')
    w.run(*words, expect=MISS, env=env)
    edit(w, "rocm/bin/hipvars.pm", '$HIP_BASE_VERSION_MINOR = "2"', '$HIP_BASE_VERSION_MINOR = "1"')
    w.run(*words, expect=MISS, env=env)
    w.run(*words, expect=HIT, env=env)
    w.write("rocm/bin/.hipVersion", "HIP_VERSION_MAJOR=4\nHIP_VERSION_MINOR=4\n")
    w.run(*words, expect=MISS, env=env)
    w.remove("rocm/bin/.hipVersion")
    w.run(*words, expect=HIT, env=env)


@scenario("hipcc")
def test_a_script_named_hipcc(w: World) -> None:
    """What it reads of the environment is not what hipcc's own script reads."""
    needs_hip()
    w.write("a.hip", SMALL)
    w.script("bin/hipcc", 'exec /usr/bin/hipcc $SITE_FLAGS "$@"')
    words = (w.path("bin/hipcc"), ONE, "-c", "a.hip", "-o", "o.o")
    for flags, expect in (("-O1", RECOMPILE), ("-O0", RECOMPILE), ("-O1", ANY), ("-O2", RECOMPILE)):
        w.run(*words, env={"SITE_FLAGS": flags}, expect=expect)


@scenario(*COMPILERS)
def test_response_file(w: World, cc: str) -> None:
    """Options in a file, which hipcc copies to a place of a random name."""
    needs_hip()
    w.write("a.hip", SMALL)
    w.write("args.rsp", "-O2 -DX=1\n")
    words = command(cc, ONE, "@args.rsp", "-c", "a.hip", "-o", "o.o")
    w.run(*words, expect=MISS)
    w.run(*words, expect=HIT)
    w.write("args.rsp", "-O1 -DX=1\n")
    w.run(*words, expect=MISS)


@scenario(*COMPILERS)
def test_several_sources(w: World, cc: str) -> None:
    """Each from the cache, also by itself."""
    needs_hip()
    for name in ("a.hip", "b.hip"):
        w.write(name, SMALL + f"int {name[0]}() {{ return 1; }}\n")
    w.run(*command(cc, ONE, "-c", "a.hip", "b.hip"), expect=MISS)
    w.remove("a.o", "b.o")
    w.run(*command(cc, ONE, "-c", "a.hip", "b.hip"), expect=HIT)
    w.run(*command(cc, ONE, "-c", "b.hip"), expect=HIT)


def test_openmp_for_gpus(arena: Arena, tmp_path: Path) -> None:
    """C whose loops are compiled for a device: watched as HIP is, counted as C.

    clang names kernels by the source's inode, so that static functions of the same name are apart: another inode is a miss.  The
    same two files are linked into all worlds, as objects could not be compared else.
    """
    needs("clang-15")
    needs_hip()
    sources = (tmp_path / "one.c", tmp_path / "two.c")
    for path in sources:
        path.write_text(
            '#include "v.h"\nvoid f(int *a, int n) {\n#pragma omp target teams distribute parallel for map(a[0:n])\n'
            "  for (int i = 0; i < n; i++) a[i] *= V;\n}\n"
        )
        os.utime(path, (1, 1))
    arena.play(lambda w: _openmp_for_gpus(w, *sources))


def _openmp_for_gpus(w: World, one: Path, two: Path) -> None:
    os.link(one, w.path("a.c"))
    w.write("v.h", "#define V 2\n")
    for target in (("-fopenmp-targets=x86_64-pc-linux-gnu",), (ONE, "-nogpulib")):
        words = ("clang-15", "-fopenmp", *target, "-c", "a.c", "-o", "a.o")
        w.run(*words, expect=MISS)
        w.run(*words, expect=HIT)
        w.write("v.h", "#define V 3\n")
        w.run(*words, expect=MISS)
        w.write("v.h", "#define V 2\n")
        w.run(*words, expect=HIT)
        _exchange(w, two)
        w.run(*words, expect=MISS)
        _exchange(w, one)
        w.run(*words, expect=HIT)


def _exchange(w: World, source: Path) -> None:
    w.remove("a.c")
    os.link(source, w.path("a.c"))


@scenario(*COMPILERS)
def test_times_in_sources(w: World, cc: str) -> None:
    """A date in code for the device is the clock's, too."""
    needs_hip()
    w.write("a.hip", SMALL + '__device__ const char when[] = __DATE__ " " __TIME__;\n')
    words = command(cc, ONE, "-c", "a.hip", "-o", "o.o")
    w.run(*words, expect=UNCACHED)
    w.run(*words, expect=UNCACHED, compare=False)


@scenario("hipcc")
def test_names_that_hipcc_takes_for_hip(w: World) -> None:
    """C++ is HIP unless a variable or -x says otherwise; C is C."""
    needs_hip()
    for name in ("a.cpp", "b.cc", "c.cu"):
        w.write(name, SMALL)
        w.run("hipcc", ONE, "-c", name, "-o", "o.o", expect=MISS)
        w.run("hipcc", ONE, "-c", name, "-o", "o.o", expect=HIT)
    w.write("d.cpp", "int x() { return 1; }\n")
    w.write("e.c", "int x(void) { return 1; }\n")
    for expect in (MISS, HIT):
        w.run("hipcc", ONE, "-c", "d.cpp", "-o", "o.o", expect=expect, env={"HIP_COMPILE_CXX_AS_HIP": "0"})
        w.run("hipcc", ONE, "-c", "-x", "c++", "d.cpp", "-o", "p.o", expect=expect)
        w.run("hipcc", ONE, "-c", "e.c", "-o", "q.o", expect=expect)
        w.run("hipcc", ONE, "--genco", "a.cpp", "-o", "a.hsaco", expect=expect)


@scenario("hipcc")
def test_what_hipcc_passes_on(w: World) -> None:
    """Linking, telling, and compiles whose architecture the machine's GPU decides are hipcc's own business."""
    needs_hip()
    w.write("a.hip", SMALL)
    w.run("hipcc", ONE, "--version", expect=UNCACHED)
    w.run("hipcc", ONE, "-E", "a.hip", "-o", "a.i", expect=UNCACHED)
    w.run("hipcc", ONE, "-save-temps", "-c", "a.hip", "-o", "o.o", expect=UNCACHED, compare=False)
    w.run("hipcc", ONE, "-c", "missing.hip", "-o", "o.o", expect=RECOMPILE)
    w.write("wrong.hip", "__global__ void f() { return 1; }\n")
    w.run("hipcc", ONE, "-c", "wrong.hip", "-o", "o.o", expect=RECOMPILE)


@scenario("hipcc")
def test_messages(w: World) -> None:
    """Warnings of host and device come again."""
    needs_hip()
    w.write("a.hip", SMALL + "int unused(int x) { int y = 1; return x; }\n__global__ void g(int *p) { int z; *p = z; }\n")
    words = ("hipcc", ONE, "-Wall", "-c", "a.hip", "-o", "o.o")
    w.run(*words, expect=MISS)
    w.run(*words, expect=HIT)
    w.run(*words, expect=ANY, tty=True)
    w.run(*words, expect=HIT, tty=True)


def test_cmake_with_hipcc(arena: Arena) -> None:
    """hipcc as CMake's C++ compiler: HIP and plain C++ alike, again after all objects are gone."""
    needs("hipcc", "cmake", "ninja")
    needs_hip()
    w = arena.cached_world()
    w.write("main.cpp", (DATA / "main.hip").read_text())
    w.write("kernels.hpp", (DATA / "kernels.hpp").read_text())
    w.write("plain.cpp", "#include <vector>\nunsigned long f() { return std::vector<int>(3).size(); }\n")
    w.write("CMakeLists.txt", "cmake_minimum_required(VERSION 3.21)\nproject(p LANGUAGES CXX)\nadd_library(m OBJECT main.cpp plain.cpp)\n")
    options = ("-DCMAKE_CXX_COMPILER=hipcc", "-DCMAKE_CXX_FLAGS=--offload-arch=gfx906", f"-DCMAKE_CXX_COMPILER_LAUNCHER={w.front.strip()}")
    configured = w.tool("cmake", "-G", "Ninja", "-B", "b", *options, compare=False)
    assert configured.exit_code == 0, configured.stderr
    objects = []
    for expect in (MISS, HIT):
        built = w.tool("cmake", "--build", "b", compare=False, expect=expect)
        assert built.exit_code == 0, built.stdout
        found = sorted(w.path("b").rglob("*.o"))
        objects.append([path.read_bytes() for path in found])
        for path in found:
            path.unlink()
    assert len(objects[0]) == 2
    assert objects[0] == objects[1]
    assert w.complaints == []


@pytest.mark.parametrize("option", ["-O2", "-g", "-fgpu-rdc"])
def test_two_checkouts(arena: Arena, option: str) -> None:
    """Shared where nothing of a checkout's name is in the object; relocatable code names its symbols by a digest of that name."""
    needs("hipcc")
    needs_hip()
    w = arena.cached_world()
    w.env["SCCACHE_BASEDIRS"] = f"{w.path('one')}:{w.path('two')}"
    is_shared = option == "-O2"
    made: dict[str, bytes] = {}
    for name, expect in (("one", MISS), ("two", HIT if is_shared else MISS)):
        w.write(f"{name}/a.hip", SMALL)
        for again in (expect, HIT):
            w.run("hipcc", ONE, option, "-c", "a.hip", "-o", "o.o", cwd=name, expect=again)
            assert made.setdefault(name, w.path(f"{name}/o.o").read_bytes()) == w.path(f"{name}/o.o").read_bytes()
            w.remove(f"{name}/o.o")
    assert (made["one"] == made["two"]) == is_shared
    assert w.complaints == []
