"""Objective-C and Objective-C++: clang for Linux and for Apple's systems, gcc where its compiler for them is installed."""

import subprocess
from pathlib import Path

import pytest
from arena import HIT, MISS, World, scenario
from arena.needs import needs
from arena.play import Arena

CLASS = """\
#import "a.h"
@implementation A
+ (int)value { return V; }
@end
"""
HEADER = """\
#define V 1
__attribute__((objc_root_class))
@interface A
+ (int)value;
@end
"""


def needs_objc(cc: str) -> None:
    """Skip where gcc has no compiler for the language."""
    if cc != "gcc":
        return
    said = subprocess.run(["gcc", "-print-prog-name=cc1obj"], capture_output=True, text=True, check=True, timeout=20)
    if not Path(said.stdout.strip()).is_file():
        pytest.skip("needs gcc's compiler for Objective-C (gobjc), which is not installed")


def sources(w: World, extension: str = "m") -> None:
    """A class and its header."""
    w.write("a.h", HEADER)
    w.write(f"a.{extension}", CLASS)


def _edits(w: World, words: tuple[str, ...], extension: str) -> None:
    """Cold, warm, an edited header, an edited source, both taken back."""
    sources(w, extension)
    w.run(*words, expect=MISS)
    w.remove("a.o")
    w.run(*words, expect=HIT)
    w.write("a.h", HEADER.replace("V 1", "V 2"))
    w.run(*words, expect=MISS)
    w.write(f"a.{extension}", CLASS.replace("return V", "return V + 1"))
    w.run(*words, expect=MISS)
    sources(w, extension)
    w.run(*words, expect=HIT)


@scenario("clang", "gcc")
def test_objective_c(w: World, cc: str) -> None:
    """A .m file."""
    needs_objc(cc)
    attributes = () if cc == "clang" else ("-D__attribute__(x)=",)
    _edits(w, (cc, *attributes, "-Wall", "-MD", "-MF", "a.d", "-c", "a.m", "-o", "a.o"), "m")


@scenario("clang", "clang++")
def test_objective_cxx(w: World, cc: str) -> None:
    """A .mm file."""
    _edits(w, (cc, "-O1", "-c", "a.mm", "-o", "a.o"), "mm")


@scenario("clang", "gcc")
def test_said_by_option(w: World, cc: str) -> None:
    """`-x objective-c` of a file of another name, beside the same file as C."""
    needs_objc(cc)
    w.write("a.c", "#ifdef __OBJC__\nint is_objective = 1;\n#else\nint is_objective = 0;\n#endif\n")
    for expect in (MISS, HIT):
        w.run(cc, "-x", "objective-c", "-c", "a.c", "-o", "a.o", expect=expect)
        w.run(cc, "-c", "a.c", "-o", "a.o", expect=expect)


@scenario("clang")
def test_options_of_the_language(w: World) -> None:
    """Each makes another object: reference counting, the runtime, exceptions, blocks, the target."""
    sources(w)
    options = (
        *(
            (),
            ("-fobjc-runtime=gnustep-2.0",),
            ("-fobjc-arc", "-fobjc-runtime=gnustep-2.0"),
            ("-fobjc-exceptions",),
            ("-fblocks",),
            ("-g",),
        ),
        *(("--target=arm64-apple-macosx11",), ("--target=x86_64-apple-macosx11",), ("-fobjc-nonfragile-abi", "-fno-objc-arc")),
    )
    for expect in (MISS, HIT):
        for words in options:
            w.run("clang", *words, "-c", "a.m", "-o", "a.o", expect=expect)


@scenario("clang")
def test_preprocessed_and_header(w: World) -> None:
    """`.mi` and `.mii`, and a precompiled header."""
    sources(w)
    w.tool("clang", "-E", "a.m", "-o", "b.mi")
    w.tool("clang", "-E", "-x", "objective-c++", "a.m", "-o", "b.mii")
    for expect in (MISS, HIT):
        w.run("clang", "-c", "b.mi", "-o", "b.o", expect=expect)
        w.run("clang", "-c", "b.mii", "-o", "b.o", expect=expect)
        w.run("clang", "-x", "objective-c-header", "a.h", "-o", "a.h.pch", expect=expect)


def test_names_in_the_statistics(arena: Arena) -> None:
    """Plainly they are C/C++, as sccache counts; in the advanced statistics they have their own names."""
    needs("clang")
    w = arena.cached_world()
    sources(w)
    w.write("a.mm", CLASS)
    w.run("clang", "-c", "a.m", "-o", "a.o", expect=MISS)
    w.run("clang", "-c", "a.mm", "-o", "a.o", expect=MISS)
    plain = w.run("--show-stats").stdout.decode()
    advanced = w.run("--show-adv-stats").stdout.decode()
    assert "Cache misses (C/C++)" in plain
    assert "Cache misses (objc [clang])" in advanced
    assert "Cache misses (objc++ [clang])" in advanced
