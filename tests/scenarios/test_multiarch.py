"""Several -arch, as Xcode's builds have them: Debian's clang compiles for Apple's processors, llvm-lipo makes one file of it."""

import shutil

import pytest
from arena import HIT, MISS, UNCACHED, World, scenario

TARGET = ("clang", "--target=x86_64-apple-darwin")
BOTH = (*TARGET, "-arch", "x86_64", "-arch", "arm64")
ON = {"SCCACHE_CACHE_MULTIARCH": "1"}


def lipo(w: World) -> dict[str, str]:
    """A search path with `lipo` in it."""
    found = shutil.which("lipo") or shutil.which("llvm-lipo-14") or shutil.which("llvm-lipo")
    if found is None:
        pytest.skip("needs lipo or llvm-lipo, which are not installed")
    w.symlink("bin/lipo", found)
    return {"PATH": f"{w.path('bin')}:/usr/bin:/bin"}


@scenario("clang")
def test_only_when_wanted(w: World) -> None:
    """Without the variable the compiler runs; with it the second one is a hit."""
    env = lipo(w)
    w.write("a.c", "int f(void) { return 1; }\n")
    words = (*BOTH, "-c", "a.c", "-o", "a.o")
    w.run(*words, expect=UNCACHED, env=env)
    w.run(*words, expect=MISS, env=env | ON)
    w.remove("a.o")
    w.run(*words, expect=HIT, env=env | ON)


@scenario("clang")
def test_each_architecture_has_its_text(w: World) -> None:
    """What only one of them reads is an input of the whole."""
    env = lipo(w) | ON
    w.write("a.c", '#ifdef __aarch64__\n#include "arm.h"\n#else\n#include "intel.h"\n#endif\nint f(void) { return V; }\n')
    w.write("arm.h", "#define V 1\n")
    w.write("intel.h", "#define V 2\n")
    words = (*BOTH, "-O1", "-g", "-MD", "-MF", "a.d", "-c", "a.c", "-o", "a.o")
    w.run(*words, expect=MISS, env=env)
    w.run(*words, expect=HIT, env=env)
    w.write("arm.h", "#define V 3\n")
    w.run(*words, expect=MISS, env=env)
    w.write("intel.h", "#define V 4\n")
    w.run(*words, expect=MISS, env=env)
    w.write("intel.h", "#define V 2\n")
    w.run(*words, expect=HIT, env=env)


@scenario("clang")
def test_architectures_are_told_apart(w: World) -> None:
    """One, the other, both, both in another order; one that is named twice is one."""
    env = lipo(w) | ON
    w.write("a.c", "int f(void) { return 1; }\n")
    intel, arm = ("-arch", "x86_64"), ("-arch", "arm64")
    for expect in (MISS, HIT):
        for arches in (intel, arm, (*intel, *arm), (*arm, *intel)):
            w.run(*TARGET, *arches, "-c", "a.c", "-o", "a.o", expect=expect, env=env)
    w.run(*TARGET, *intel, *intel, "-c", "a.c", "-o", "b.o", expect=MISS)
    w.run(*TARGET, *intel, *intel, "-c", "a.c", "-o", "b.o", expect=HIT)
    w.run(*BOTH, "-S", "a.c", "-o", "a.s", env=env)


@scenario("clang")
def test_objective_c(w: World) -> None:
    """With several architectures, too."""
    env = lipo(w) | ON
    w.write("a.m", "@interface A\n+ (int)f;\n@end\n@implementation A\n+ (int)f { return 1; }\n@end\n")
    words = (*BOTH, "-Wno-objc-root-class", "-c", "a.m", "-o", "a.o")
    w.run(*words, expect=MISS, env=env)
    w.run(*words, expect=HIT, env=env)
