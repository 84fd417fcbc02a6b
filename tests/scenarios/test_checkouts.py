"""The same project in two checkouts: hits across them, and never the other's names or contents."""

import os
from pathlib import Path

import pytest
from arena import ANY, HIT, MISS, Arena, World, needs, scenario
from arena.world import Step

# Depend mode has no text that tells whether a directory on the command line went into the result, say as the length of __FILE__.
SHARED = ANY if os.environ.get("SCCACHE_TEST_MODE") == "depend" else HIT

BOTH = ("gcc", "clang")


def _checkout(w: World, name: str, value: str = "1") -> str:
    w.write(f"{name}/src/a.c", '#include "v.h"\nint value = V;\n')
    w.write(f"{name}/inc/v.h", f"#define V {value}\n")
    return name


NAMELESS = """\
namespace { __attribute__((used)) int inner() { return 1; } }
static int more() { return 2; }
int (*pointer)() = more;
"""


def _basedirs(w: World) -> dict[str, str]:
    return {"SCCACHE_BASEDIRS": f"{w.path('one')}:{w.path('two')}"}


@scenario(*BOTH)
def test_second_checkout_hits(w: World, cc: str) -> None:
    """Absolute paths below base directories: the second checkout hits, and its object is its own."""
    w.env.update(_basedirs(w))
    for name, expect in (("one", MISS), ("two", SHARED), ("one", HIT)):
        folder = w.path(_checkout(w, name))
        w.run(cc, f"-I{folder}/inc", "-c", f"{folder}/src/a.c", "-o", f"{folder}/a.o", cwd=name, expect=expect)


@scenario(*BOTH)
def test_second_checkout_relative_names(w: World, cc: str) -> None:
    """The same with relative names and the checkout as working directory."""
    w.env.update(_basedirs(w))
    for name, expect in (("one", MISS), ("two", HIT), ("one", HIT)):
        _checkout(w, name)
        w.run(cc, "-Iinc", "-c", "src/a.c", "-o", "a.o", cwd=name, expect=expect)


@scenario(*BOTH)
def test_relative_I_header_differs(w: World, cc: str) -> None:
    """The headers of two checkouts differ: relative -Iinc means this checkout's (sccache#2863)."""
    w.env.update(_basedirs(w))
    for name, value in (("one", "1"), ("two", "2"), ("one", "1"), ("two", "2")):
        _checkout(w, name, value)
        w.run(cc, "-Iinc", "-c", "src/a.c", "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_depfile_points_home(w: World, cc: str) -> None:
    """A hit in the second checkout: its depfile names no file of the first."""
    w.env.update(_basedirs(w))
    for name, expect in (("one", MISS), ("two", SHARED)):
        folder = w.path(_checkout(w, name))
        w.run(cc, f"-I{folder}/inc", "-MD", "-MP", "-c", f"{folder}/src/a.c", "-o", f"{folder}/a.o", cwd=name, expect=expect)


@scenario(*BOTH)
def test_diagnostics_point_home(w: World, cc: str) -> None:
    """A warning replayed in the second checkout does not name the first."""
    w.env.update(_basedirs(w))
    for name in ("one", "two", "one"):
        w.write(f"{name}/a.c", "int f(void) { int unused; return 0; }\n")
        w.run(cc, "-Wall", "-c", str(w.path(f"{name}/a.c")), "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_debug_information_points_home(w: World, cc: str) -> None:
    """With -g each checkout's object names its own directory."""
    w.env.update(_basedirs(w))
    for name in ("one", "two", "one"):
        _checkout(w, name)
        w.run(cc, "-g", "-Iinc", "-c", "src/a.c", "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_debug_information_with_prefix_map_hits(w: World, cc: str) -> None:
    """-g with -fdebug-prefix-map (or -ffile-prefix-map) of the checkout: equal objects, so a hit."""
    w.env.update(_basedirs(w))
    for option in ("-fdebug-prefix-map", "-ffile-prefix-map"):
        for name, expect in (("one", MISS), ("two", SHARED)):
            folder = w.path(_checkout(w, name))
            w.run(cc, "-g", f"{option}={folder}=.", "-Iinc", "-c", "src/a.c", "-o", "a.o", cwd=name, expect=expect)


@scenario(*BOTH)
def test_FILE_macro_points_home(w: World, cc: str) -> None:
    """__FILE__ of an absolute source is each checkout's own; with -fmacro-prefix-map both are equal."""
    w.env.update(_basedirs(w))
    for name in ("one", "two", "one"):
        w.write(f"{name}/a.c", "const char *where = __FILE__;\n")
        w.run(cc, "-c", str(w.path(f"{name}/a.c")), "-o", "a.o", cwd=name)
    for name in ("one", "two", "one"):
        w.run(cc, f"-fmacro-prefix-map={w.path(name)}=.", "-c", str(w.path(f"{name}/a.c")), "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_assert_and_FILE_in_header(w: World, cc: str) -> None:
    """__FILE__ in an absolute header."""
    w.env.update(_basedirs(w))
    for name in ("one", "two", "one"):
        w.write(f"{name}/inc/v.h", "static inline const char *where(void) { return __FILE__; }\n")
        w.write(f"{name}/a.c", '#include "v.h"\nconst char *f(void) { return where(); }\n')
        w.run(cc, "-O1", f"-I{w.path(name)}/inc", "-c", "a.c", "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_coverage_points_home(w: World, cc: str) -> None:
    """--coverage embeds absolute paths."""
    w.env.update(_basedirs(w))
    for name in ("one", "two", "one"):
        _checkout(w, name)
        w.run(cc, "--coverage", "-Iinc", "-c", "src/a.c", "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_build_directory_inside_the_checkout(w: World, cc: str) -> None:
    """As CMake does it: build directory as working directory, absolute names, -MD -MT -MF."""
    w.env.update(_basedirs(w))
    for name, expect in (("one", MISS), ("two", SHARED), ("one", HIT)):
        folder = w.path(_checkout(w, name))
        w.mkdir(f"{name}/build/obj")
        w.run(
            cc, f"-I{folder}/inc", "-O2", "-MD", "-MT", "obj/a.c.o", "-MF", "obj/a.c.o.d", "-o", "obj/a.c.o", "-c", f"{folder}/src/a.c",
            cwd=f"{name}/build", expect=expect,
        )  # fmt: skip


@scenario(*BOTH)
def test_header_outside_any_base_directory(w: World, cc: str) -> None:
    """A header of neither checkout is one file for both."""
    w.env.update(_basedirs(w))
    w.write("common/c.h", "#define C 1\n")
    for value in ("1", "2"):
        w.write("common/c.h", f"#define C {value}\n")
        for name in ("one", "two"):
            w.write(f"{name}/a.c", "#include <c.h>\nint value = C;\n")
            w.run(cc, f"-I{w.path('common')}", "-c", "a.c", "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_one_base_directory_a_prefix_of_another_name(w: World, cc: str) -> None:
    """/x/one is a base directory, /x/one-more is not."""
    w.env["SCCACHE_BASEDIRS"] = str(w.path("one"))
    for name in ("one", "one-more", "one"):
        w.write(f"{name}/a.c", "const char *where = __FILE__;\n")
        w.run(cc, "-g", "-c", str(w.path(f"{name}/a.c")), "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_two_checkouts_without_base_directories(w: World, cc: str) -> None:
    """Without base directories: right."""
    for name, value in (("one", "1"), ("two", "2"), ("one", "1")):
        folder = w.path(_checkout(w, name, value))
        w.run(cc, "-g", "-MD", f"-I{folder}/inc", "-c", f"{folder}/src/a.c", "-o", "a.o", cwd=name)


@pytest.mark.parametrize("cc", BOTH)
def test_basedirs_add_no_misses(arena: Arena, cc: str) -> None:
    """The documented recipe: a small project with headers and __FILE__, second directory without any new miss."""
    needs(cc)
    w = arena.cached_world()
    w.env.update(_basedirs(w))

    def build(name: str, expect: str) -> list[Step]:
        folder = Path(name)
        for number in range(4):
            w.write(folder / "src" / f"f{number}.c", f'#include "v.h"\nint f{number}(void) {{ return V; }}\n'.encode())  # type: ignore[arg-type]
        w.write(folder / "inc" / "v.h", b"#define V 7\n")  # type: ignore[arg-type]
        base = w.path(name)
        return [w.run(cc, f"-I{base}/inc", "-O2", "-c", f"{base}/src/f{n}.c", "-o", f"f{n}.o", cwd=name, expect=expect) for n in range(4)]

    build("one", MISS)
    build("two", SHARED)
    assert not w.complaints


@scenario("clang")
def test_names_in_symbols_by_their_digests(w: World, cc: str) -> None:
    """Microsoft's unnamed namespaces, and unique names for what is internal: another checkout's symbols are others."""
    w.env.update(_basedirs(w))
    for option in ("--target=x86_64-pc-windows-msvc", "-funique-internal-linkage-names"):
        for place in ("one", "two"):
            w.write(f"{place}/n.cpp", NAMELESS)
            w.run(cc, option, "-c", f"{w.path(place)}/n.cpp", "-o", "n.o", cwd=place, expect=MISS)
            w.run(cc, option, "-c", f"{w.path(place)}/n.cpp", "-o", "n.o", cwd=place, expect=HIT)
