"""C++20 modules of gcc and clang: an importer is compiled anew when what it imports is another, and comes from the cache when it is not."""

import shutil

from arena import ANY, HIT, MISS, RECOMPILE, UNCACHED, World, scenario

GCC = ("g++", "-std=c++20", "-fmodules-ts")
CLANG = ("clang++", "-std=c++20")


def interface(w: World, value: int = 1, name: str = "m.cpp") -> None:
    """A module whose value an importer compiles into its code."""
    w.write(name, f"export module m;\nexport inline int value() {{ return {value}; }}\n")


def importer(w: World) -> None:
    """Imports it."""
    w.write("b.cpp", "import m;\nint x = value();\n")


# -- gcc: modules in gcm.cache


@scenario("g++")
def test_gcc_cold_and_warm(w: World) -> None:
    """Interface and importer; the module itself comes back, too, whether it is still there or not."""
    interface(w)
    importer(w)
    make, use = (*GCC, "-c", "m.cpp", "-o", "m.o"), (*GCC, "-O1", "-c", "b.cpp", "-o", "b.o")
    w.run(*make, expect=MISS)
    w.run(*use, expect=MISS)
    w.run(*make, expect=HIT)
    w.run(*use, expect=HIT)
    shutil.rmtree(w.path("gcm.cache"))
    w.remove("m.o", "b.o")
    w.run(*make, expect=HIT)
    w.run(*use, expect=HIT)


@scenario("g++")
def test_gcc_interface_changes(w: World) -> None:
    """The importer's text stays; its object must not."""
    importer(w)
    make, use = (*GCC, "-c", "m.cpp", "-o", "m.o"), (*GCC, "-O1", "-c", "b.cpp", "-o", "b.o")
    for value, expect in ((1, MISS), (2, MISS), (1, HIT), (2, HIT)):
        interface(w, value)
        w.run(*make, expect=expect)
        w.run(*use, expect=expect)


@scenario("g++")
def test_gcc_chain(w: World) -> None:
    """A module that imports another: a change below reaches the importer of the upper one."""
    w.write("u.cpp", "export module u;\nexport import m;\nexport inline int twice() { return 2 * value(); }\n")
    w.write("c.cpp", "import u;\nint x = twice() + value();\n")
    for value in (1, 2):
        interface(w, value)
        for name in ("m", "u", "c"):
            w.run(*GCC, "-O1", "-c", f"{name}.cpp", "-o", f"{name}.o", expect=MISS)
        for name in ("m", "u", "c"):
            w.run(*GCC, "-O1", "-c", f"{name}.cpp", "-o", f"{name}.o", expect=HIT)
    w.remove("gcm.cache/m.gcm")
    w.run(*GCC, "-O1", "-c", "c.cpp", "-o", "c.o", expect=RECOMPILE)


@scenario("g++")
def test_gcc_partitions_and_implementation(w: World) -> None:
    """`export module m:part`, a unit that implements, a global fragment with a header."""
    w.write("h.h", "#define H 3\n")
    w.write("part.cpp", "export module m:part;\nexport int part();\n")
    w.write("m.cpp", 'module;\n#include "h.h"\nexport module m;\nexport import :part;\nexport inline int value() { return H; }\n')
    w.write("impl.cpp", "module m;\nint part() { return value(); }\n")
    w.write("b.cpp", "import m;\nint x = value() + part();\n")
    for expect in (MISS, HIT):
        for name in ("part", "m", "impl", "b"):
            w.run(*GCC, "-c", f"{name}.cpp", "-o", f"{name}.o", expect=expect)
    w.write("h.h", "#define H 4\n")
    for name in ("m", "impl", "b"):
        w.run(*GCC, "-c", f"{name}.cpp", "-o", f"{name}.o", expect=MISS)


@scenario("g++")
def test_gcc_dependency_file(w: World) -> None:
    """With the rules for modules that gcc adds."""
    interface(w)
    importer(w)
    for expect in (MISS, HIT):
        w.run(*GCC, "-MD", "-MF", "m.d", "-c", "m.cpp", "-o", "m.o", expect=expect)
        w.run(*GCC, "-MD", "-MF", "b.d", "-c", "b.cpp", "-o", "b.o", expect=expect)
        w.remove("m.d", "b.d")


@scenario("g++")
def test_gcc_mapper_file(w: World) -> None:
    """Modules where a file says; the file leads to another module: the importer is compiled anew."""
    _mapped(w, ("-fmodule-mapper=map",), {})


@scenario("g++")
def test_gcc_mapper_variable(w: World) -> None:
    """The same by gcc's variable."""
    _mapped(w, (), {"CXX_MODULE_MAPPER": "map"})


def _mapped(w: World, option: tuple[str, ...], env: dict[str, str]) -> None:
    importer(w)
    for value, place in ((1, "one"), (2, "two")):
        interface(w, value)
        w.mkdir(place)
        w.write("map", f"$root {place}\nm m.gcm\n")
        w.run(*GCC, *option, "-c", "m.cpp", "-o", "m.o", expect=MISS, env=env)
        w.run(*GCC, *option, "-O1", "-c", "b.cpp", "-o", "b.o", expect=MISS, env=env)
        w.run(*GCC, *option, "-O1", "-c", "b.cpp", "-o", "b.o", expect=HIT, env=env)
        w.remove(f"{place}/m.gcm")
        w.run(*GCC, *option, "-c", "m.cpp", "-o", "m.o", expect=HIT, env=env)
    w.write("map", "$root one\nm m.gcm\n")
    w.run(*GCC, *option, "-O1", "-c", "b.cpp", "-o", "b.o", expect=HIT, env=env)
    w.write("map", "$root none\nm m.gcm\n")
    w.run(*GCC, *option, "-O1", "-c", "b.cpp", "-o", "b.o", expect=RECOMPILE, env=env)


@scenario("g++")
def test_gcc_asks_a_program(w: World) -> None:
    """A mapper that is no file may say anything."""
    interface(w)
    w.run(*GCC, "-fmodule-mapper=|@g++-mapper-server", "-c", "m.cpp", "-o", "m.o", expect=UNCACHED)
    w.run(*GCC, "-c", "m.cpp", "-o", "m.o", expect=UNCACHED, env={"CXX_MODULE_MAPPER": "|@g++-mapper-server"})


@scenario("g++")
def test_gcc_header_units(w: World) -> None:
    """Made by the compiler alone; who imports one is cached, and compiled anew when it is another."""
    w.write("b.cpp", 'import "h.h";\nimport <cstddef>;\nint x = h() + sizeof(std::size_t);\n')
    w.run(*GCC, "-x", "c++-system-header", "cstddef", expect=UNCACHED)
    for value in (1, 2):
        w.write("h.h", f"inline int h() {{ return {value}; }}\n")
        w.run(*GCC, "-x", "c++-header", "h.h", expect=UNCACHED)
        w.run(*GCC, "-O1", "-c", "b.cpp", "-o", "b.o", expect=MISS)
        w.run(*GCC, "-O1", "-c", "b.cpp", "-o", "b.o", expect=HIT)


@scenario("g++")
def test_gcc_errors(w: World) -> None:
    """No such module; then there is one."""
    importer(w)
    w.run(*GCC, "-c", "b.cpp", "-o", "b.o", expect=ANY)
    interface(w)
    w.run(*GCC, "-c", "m.cpp", "-o", "m.o", expect=MISS)
    w.run(*GCC, "-c", "b.cpp", "-o", "b.o", expect=MISS)
    w.remove("gcm.cache/m.gcm")
    w.run(*GCC, "-c", "b.cpp", "-o", "b.o", expect=RECOMPILE)


# -- clang: modules that the command line names


@scenario("clang++", "clang++-15")
def test_clang_module_file(w: World, cc: str) -> None:
    """Interface, its object, importer; the module is removed and made again in between."""
    _interface_changes(w, cc, "-fmodule-file=m.pcm")


@scenario("clang++", "clang++-15")
def test_clang_named_module_file(w: World, cc: str) -> None:
    """The same by name and file."""
    _interface_changes(w, cc, "-fmodule-file=m=m.pcm")


@scenario("clang++", "clang++-15")
def test_clang_module_directory(w: World, cc: str) -> None:
    """The same by the directory."""
    _interface_changes(w, cc, "-fprebuilt-module-path=.")


def _interface_changes(w: World, cc: str, by: str) -> None:
    importer(w)
    for value, expect in ((1, MISS), (2, MISS), (1, HIT), (2, HIT)):
        interface(w, value, "m.cppm")
        w.run(cc, *CLANG[1:], "--precompile", "m.cppm", "-o", "m.pcm", expect=expect)
        w.run(cc, *CLANG[1:], "-c", "m.pcm", "-o", "m.o", expect=expect)
        w.run(cc, *CLANG[1:], "-O1", by, "-c", "b.cpp", "-o", "b.o", expect=expect)
        w.run(cc, *CLANG[1:], "-O1", by, "-c", "b.cpp", "-o", "b.o", expect=HIT)
        w.remove("m.pcm", "m.o", "b.o")


@scenario("clang++")
def test_clang_chain(w: World) -> None:
    """A module below is another, the one above is not made anew: clang says so, and no old object hides it."""
    w.write("u.cppm", "export module u;\nimport m;\nexport inline int twice() { return 2 * value(); }\n")
    w.write("c.cpp", "import u;\nint x = twice();\n")
    make = (*CLANG, "--precompile", "m.cppm", "-o", "m.pcm")
    use = (*CLANG, "-O1", "-fmodule-file=u.pcm", "-c", "c.cpp", "-o", "c.o")
    interface(w, 1, "m.cppm")
    w.run(*make, expect=MISS)
    for expect in (MISS, HIT):
        w.run(*CLANG, "-fmodule-file=m.pcm", "--precompile", "u.cppm", "-o", "u.pcm", expect=expect)
        w.run(*use, expect=expect)
    w.write("m.cppm", "export module m;\nexport inline int value() { return 1; }\nexport inline int more() { return 17; }\n")
    w.run(*make, expect=MISS)
    w.run(*use, expect=RECOMPILE)
    w.run(*CLANG, "-fmodule-file=m.pcm", "--precompile", "u.cppm", "-o", "u.pcm", expect=MISS)
    w.run(*use, expect=MISS)


@scenario("clang++")
def test_clang_response_file(w: World) -> None:
    """As CMake writes them: which modules a source imports stands in its `.modmap`."""
    importer(w)
    for value in (1, 2):
        interface(w, value, "m.cpp")
        w.write("m.modmap", "-x c++-module\n")
        w.write("b.modmap", f"-fmodule-file=m=m{value}.pcm\n")
        w.run(*CLANG, "@m.modmap", "--precompile", "m.cpp", "-o", f"m{value}.pcm", expect=MISS)
        w.run(*CLANG, "-O1", "@b.modmap", "-MD", "-c", "b.cpp", "-o", "b.o", expect=MISS)
        w.run(*CLANG, "-O1", "@b.modmap", "-MD", "-c", "b.cpp", "-o", "b.o", expect=HIT)


@scenario("clang++")
def test_clang_prebuilt_path(w: World) -> None:
    """A module appears in an earlier directory."""
    importer(w)
    for value, place in ((1, "late"), (2, "early")):
        w.mkdir(place)
        interface(w, value, "m.cppm")
        w.run(*CLANG, "--precompile", "m.cppm", "-o", f"{place}/m.pcm", expect=MISS)
        paths = ("-fprebuilt-module-path=early", "-fprebuilt-module-path=late")
        w.run(*CLANG, "-O1", *paths, "-c", "b.cpp", "-o", "b.o", expect=MISS)
        w.run(*CLANG, "-O1", *paths, "-c", "b.cpp", "-o", "b.o", expect=HIT)


@scenario("clang++")
def test_clang_header_modules(w: World) -> None:
    """Made in a directory that the compiler continues: passed through."""
    w.write("m/module.modulemap", 'module m { header "v.h" export * }\n')
    w.write("a.cpp", "#include <v.h>\nint x = V;\n")
    for value in ("1", "2"):
        w.write("m/v.h", f"#define V {value}\n")
        for option in ("-fmodules", "-fcxx-modules"):
            cache = f"-fmodules-cache-path={w.home / 'cm'}"
            w.run("clang++", "-fmodules", option, cache, "-Im", "-c", "a.cpp", "-o", "a.o", expect=UNCACHED)
