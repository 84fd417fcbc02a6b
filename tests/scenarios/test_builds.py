"""Whole builds: make, CMake, ninja; precompiled headers and modules; the scenarios of the original's system tests."""

import os
import shutil

import pytest
from arena import ANY, HIT, MISS, RECOMPILE, Arena, World, needs, scenario

BOTH = ("gcc", "clang")
MAKEFILE = """objects = a.o b.o c.o
prog: $(objects)
\t$(REALCC) $(objects) -o $@
%.o: %.c
\t$(CC) -MMD -MP -O1 -c $< -o $@
-include $(objects:.o=.d)
"""


def _project(w: World) -> None:
    w.write("Makefile", MAKEFILE)
    w.write("a.c", '#include "v.h"\nint b(void); int c(void);\nint main(void) { return b() + c() + V; }\n')
    w.write("b.c", '#include "v.h"\nint b(void) { return V; }\n')
    w.write("c.c", "int c(void) { return 3; }\n")
    w.write("v.h", "#define V 1\n")


def _make(w: World, cc: str, *goals: str) -> list[str]:
    """Run make; return what it ran, without the cache's name."""
    step = w.tool("make", *goals, env={"CC": f"{w.front}{cc}", "REALCC": cc, "MAKEFLAGS": None}, compare=False)
    assert step.exit_code == 0, step.stderr
    return step.stdout.decode().replace(w.front, "").splitlines()


def _newer(w: World, name: str) -> None:
    """Give a file the modification time of a later edit."""
    newest = max(p.stat().st_mtime_ns for p in w.root.iterdir())
    os.utime(w.path(name), ns=(newest + 10**9, newest + 10**9))


@pytest.mark.parametrize("cc", BOTH)
def test_make_reacts_after_hits_as_without_the_cache(arena: Arena, cc: str) -> None:
    """After a warm build, each edit rebuilds what it rebuilds without the cache, and nothing else."""
    needs(cc, "make")
    ran: list[list[list[str]]] = []
    for product in (None, arena.product):
        w = arena.world(product)
        _project(w)
        ran.append([_make(w, cc)])
        for name in ("a", "b", "c"):
            w.remove(f"{name}.o", f"{name}.d")
        ran[-1].append(_make(w, cc))
        ran[-1].append(_make(w, cc))
        w.write("v.h", "#define V 2\n")
        _newer(w, "v.h")
        ran[-1].append(_make(w, cc))
        w.write("v.h", "#define V 1\n")
        _newer(w, "v.h")
        ran[-1].append(_make(w, cc))
        _newer(w, "c.c")
        ran[-1].append(_make(w, cc, "-n"))
        w.remove("v.h")
        w.write("a.c", w.path("a.c").read_text().replace('#include "v.h"', "#define V 5"))
        w.write("b.c", "int b(void) { return 5; }\n")
        _newer(w, "a.c")
        _newer(w, "b.c")
        ran[-1].append(_make(w, cc))
        ran[-1].append([str(os.waitstatus_to_exitcode(os.system(f"cd {w.root} && ./prog")))])
        w.stop_daemon()
    assert ran[0] == ran[1]


@scenario("gcc", "clang", programs=["cmake", "ninja"])
def test_cmake_launcher(w: World, cc: str) -> None:
    """CMAKE_<LANG>_COMPILER_LAUNCHER with ninja: objects equal to the plain build's, second build all hits."""
    cxx = {"gcc": "g++", "clang": "clang++"}[cc]
    w.write(
        "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.16)\nproject(demo C CXX)\n"
        "add_library(lib STATIC a.c b.cpp)\ntarget_include_directories(lib PRIVATE inc)\n",
    )
    w.write("a.c", '#include "v.h"\nint a(void) { return V; }\n')
    w.write("b.cpp", '#include "v.h"\n#include <vector>\nint b() { return std::vector<int>(V).size(); }\n')
    w.write("inc/v.h", "#define V 4\n")
    launcher = w.front.strip()
    front = [f"-DCMAKE_{lang}_COMPILER_LAUNCHER={launcher}" for lang in ("C", "CXX")] if launcher else []
    for number in (1, 2):
        build = f"build{number}"
        shutil.rmtree(w.path("build"), ignore_errors=True)
        w.tool(
            "cmake",
            "-G",
            "Ninja",
            "-S",
            ".",
            "-B",
            "build",
            f"-DCMAKE_C_COMPILER={cc}",
            f"-DCMAKE_CXX_COMPILER={cxx}",
            *front,
            compare=False,
        )
        step = w.tool("cmake", "--build", "build", "-j1", compare=False, expect=MISS if number == 1 else HIT)
        if step.exit_code:
            w.complaints.append(f"{build}: {step.stdout!r}")
        for source in ("a.c.o", "b.cpp.o"):
            shutil.copy(w.path(f"build/CMakeFiles/lib.dir/{source}"), w.path(f"{source}.{number}"))
    shutil.rmtree(w.path("build"))
    w.tool("true")


# -- precompiled headers


@scenario("gcc", "g++")
def test_gcc_precompiled_header(w: World, cc: str) -> None:
    """Made with -x c-header, used through -include; a changed macro inside it is seen (sccache#2562)."""
    language, ending = ("c-header", "c") if cc == "gcc" else ("c++-header", "cpp")
    w.write(f"a.{ending}", "int x = V;\n")
    for value in ("1", "2", "1"):
        w.write("pch.h", f"#define V {value}\n#include <stddef.h>\n")
        w.run(cc, "-x", language, "-c", "pch.h", "-o", "pch.h.gch", compare=False)
        w.run(cc, "-include", "pch.h", "-c", f"a.{ending}", "-o", "a.o", compare=False)
        w.path("keep").mkdir(exist_ok=True)
        shutil.copy(w.path("a.o"), w.path(f"keep/a{value}.o"))
    w.remove("pch.h.gch")
    w.tool("true")


@scenario("clang", "clang++")
def test_clang_precompiled_header(w: World, cc: str) -> None:
    """Made with -emit-pch, used through -include-pch."""
    language, ending = ("c-header", "c") if cc == "clang" else ("c++-header", "cpp")
    w.write(f"a.{ending}", "int x = V;\n")
    for value in ("1", "2", "1"):
        w.write("pch.h", f"#define V {value}\n#include <stddef.h>\n")
        w.run(cc, "-x", language, "pch.h", "-o", "pch.h.pch", compare=False)
        w.run(cc, "-include-pch", "pch.h.pch", "-c", f"a.{ending}", "-o", "a.o", compare=False)
        w.run(cc, "-Xclang", "-include-pch", "-Xclang", "pch.h.pch", "-MD", "-c", f"a.{ending}", "-o", "b.o", compare=False)
        w.path("keep").mkdir(exist_ok=True)
        for name in ("a", "b"):
            shutil.copy(w.path(f"{name}.o"), w.path(f"keep/{name}{value}.o"))
    w.remove("pch.h.pch")
    w.tool("true")


@scenario("gcc")
def test_gch_directory(w: World) -> None:
    """v.h.gch may be a directory of several; -Winvalid-pch tells of those that do not fit."""
    w.write("v.h", "#define V 1\n")
    w.write("a.c", '#include "v.h"\nint x = V;\n')
    w.mkdir("v.h.gch")
    w.tool("gcc", "-O0", "-x", "c-header", "v.h", "-o", "v.h.gch/O0", compare=False)
    for options in (("-O0",), ("-O2",), ("-O0", "-Winvalid-pch", "-DX"), ("-O2", "-Winvalid-pch")):
        w.run("gcc", *options, "-c", "a.c", "-o", "a.o", compare=False)
        w.run("gcc", *options, "-H", "-c", "a.c", "-o", "a.o", compare=False)
    shutil.rmtree(w.path("v.h.gch"))
    w.tool("true")


@scenario("gcc")
def test_gch_removed(w: World) -> None:
    """The .gch goes away, the header stays and says something else."""
    w.write("v.h", "#define V 1\n")
    w.write("a.c", '#include "v.h"\nint x = V;\n')
    w.tool("gcc", "-x", "c-header", "v.h", "-o", "v.h.gch", compare=False)
    w.run("gcc", "-c", "a.c", "-o", "a.o", compare=False)
    w.write("v.h", "#define V 2\n")
    w.run("gcc", "-c", "a.c", "-o", "a.o", compare=False)
    w.remove("v.h.gch")
    w.run("gcc", "-c", "a.c", "-o", "a.o")


# -- C++20 modules


@scenario("clang++")
def test_cxx20_module_bmi_changed(w: World) -> None:
    """A named module's interface is rebuilt, the importer's command line stays (sccache#2216)."""
    w.write("b.cpp", "import m;\nint x = value();\n")
    for value in ("1", "2", "1"):
        w.write("m.cppm", f"export module m;\nexport inline int value() {{ return {value}; }}\n")
        w.run("clang++", "-std=c++20", "--precompile", "-x", "c++-module", "m.cppm", "-o", "m.pcm", compare=False)
        w.run("clang++", "-std=c++20", "-O1", "-fmodule-file=m.pcm", "-c", "b.cpp", "-o", "b.o", compare=False)
        w.path("keep").mkdir(exist_ok=True)
        shutil.copy(w.path("b.o"), w.path(f"keep/b{value}.o"))
    w.run("clang++", "-std=c++20", "-fprebuilt-module-path=.", "-c", "b.cpp", "-o", "c.o", compare=False)
    w.remove("m.pcm")
    w.tool("true")


@scenario("g++")
def test_gcc_modules(w: World) -> None:
    """g++ -fmodules-ts leaves gcm.cache; an interface that changes is seen by the importer."""
    w.write("b.cpp", "import m;\nint x = value();\n")
    for value in ("1", "2"):
        w.write("m.cpp", f"export module m;\nexport inline int value() {{ return {value}; }}\n")
        w.run("g++", "-std=c++20", "-fmodules-ts", "-c", "m.cpp", "-o", "m.o", compare=False)
        w.run("g++", "-std=c++20", "-fmodules-ts", "-O1", "-c", "b.cpp", "-o", "b.o", compare=False)
        if not w.path("gcm.cache/m.gcm").exists():
            w.complaints.append("no gcm.cache/m.gcm")
        shutil.copy(w.path("b.o"), w.path(f"b{value}.o"))
        shutil.rmtree(w.path("gcm.cache"))
    w.remove("b.o", "m.o")
    w.tool("true")


@scenario("clang")
def test_clang_header_modules(w: World) -> None:
    """-fmodules with a module map."""
    w.write("m/module.modulemap", 'module m { header "v.h" export * }\n')
    w.write("a.c", "#include <v.h>\nint x = V;\n")
    for value in ("1", "2"):
        w.write("m/v.h", f"#define V {value}\n")
        for _ in range(2):
            w.run("clang", "-fmodules", f"-fmodules-cache-path={w.home / 'modules'}", "-Im", "-c", "a.c", "-o", "a.o")


# -- the original's system tests


@scenario(*BOTH)
def test_basic_compile(w: World, cc: str) -> None:
    """Compile, remove, compile: a miss and a hit; then to /dev/null: a hit."""
    w.write("test.c", '#include <stdio.h>\nvoid foo() { puts("hello"); }\n')
    w.run(cc, "-c", "test.c", "-o", "test.o", expect=MISS)
    w.remove("test.o")
    w.run(cc, "-c", "test.c", "-o", "test.o", expect=HIT)


@scenario(*BOTH)
def test_compile_with_define(w: World, cc: str) -> None:
    """-D reaches the preprocessor and the compiler."""
    w.write("test.c", "#ifndef SCCACHE_TEST_DEFINE\n#error missing\n#endif\nint x;\n")
    w.run(cc, "-DSCCACHE_TEST_DEFINE", "-c", "test.c", "-o", "test.o")
    w.run(cc, "-c", "test.c", "-o", "test.o")


@scenario(*BOTH)
def test_depfiles_of_equal_sources(w: World, cc: str) -> None:
    """Two files of equal text have depfiles of their own."""
    for name in ("first", "second"):
        w.write(f"{name}.c", "int x;\n")
        w.run(cc, "-MD", "-MF", f"{name}.d", "-c", f"{name}.c", "-o", f"{name}.o")


@scenario(*BOTH)
def test_whitespace_alternatives(w: World, cc: str) -> None:
    """Equal tokens in another layout: right; a hit is welcome, not required."""
    w.write("test.c", "int f ( int a ) { return a + 1 ; }\n")
    w.write("alt.c", "int f(int a)\n{\n    return a + 1;\n}\n")
    w.run(cc, "-c", "test.c", "-o", "a.o")
    w.run(cc, "-c", "alt.c", "-o", "a.o", expect=ANY)


@scenario("gcc", "clang")
def test_assembler_sources_of_the_original(w: World, cc: str) -> None:
    """.s with -MD makes no depfile, .S does, .ii is cached without one."""
    w.write("a.s", ".data\n.long 1\n")
    w.write("b.S", ".data\n.long 2\n")
    w.write("c.ii", "int f() { return 3; }\n")
    for name in ("a.s", "b.S", "c.ii"):
        w.run(cc, "-MD", "-MF", f"{name}.d", "-c", name, "-o", f"{name}.o")
        w.run(cc, "-MD", "-MF", f"{name}.d", "-c", name, "-o", f"{name}.o", expect=HIT)
    w.run(cc, "-c", "a.s", "-o", "z.o", expect=ANY)


@scenario("g++", "clang++")
def test_module_map_response_file(w: World, cc: str) -> None:
    """CMake 4 passes @…modmap response files: read, not refused."""
    w.write("a.cpp", "int x;\n")
    w.write("a.cpp.o.modmap", "-O1\n")
    w.run(cc, "-std=c++20", "@a.cpp.o.modmap", "-c", "a.cpp", "-o", "a.o", expect=MISS)
    w.run(cc, "-std=c++20", "@a.cpp.o.modmap", "-c", "a.cpp", "-o", "a.o", expect=HIT)
    w.write("a.cpp.o.modmap", "-O2\n")
    w.run(cc, "-std=c++20", "@a.cpp.o.modmap", "-c", "a.cpp", "-o", "a.o", expect=RECOMPILE)
