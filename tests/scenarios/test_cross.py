"""Compilers for other machines, by the names that distributions and vendors give them."""

from arena import HIT, MISS, RECOMPILE, UNCACHED, World, needs, scenario

CROSS = ("aarch64-linux-gnu-gcc", "arm-none-eabi-gcc", "arm-none-eabi-g++")
NAMED = ("x86_64-linux-gnu-gcc-12", "x86_64-linux-gnu-g++-12", "gcc-12", "g++-12", "c99-gcc", "c89-gcc", "cc", "c++", *CROSS)
MACHINE = {"aarch64-linux-gnu-gcc": b"\xb7\0", "arm-none-eabi-gcc": b"\x28\0", "arm-none-eabi-g++": b"\x28\0"}
"""e_machine of an ELF header, at byte 18."""

SOURCE = '#include "v.h"\nint f(int n) { int s = 0; while (n-- > 0) s += n * V; return s; }\n'


@scenario(*NAMED)
def test_by_its_name(w: World, cc: str) -> None:
    """Detected by asking, whatever it is called: a miss, a hit, a miss when a header changes, and a hit again when it is as before."""
    w.write("a.c", SOURCE)
    w.write("v.h", "#define V 3\n")
    command = (cc, "-O2", "-MD", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.remove("a.o", "a.d")
    w.run(*command, expect=HIT)
    if cc in MACHINE:
        assert w.path("a.o").read_bytes()[18:20] == MACHINE[cc]
    w.write("v.h", "#define V 4\n")
    w.run(*command, expect=MISS)
    w.write("v.h", "#define V 3\n")
    w.run(*command, expect=HIT)


@scenario("gcc", programs=CROSS)
def test_targets_do_not_mix(w: World) -> None:
    """The same source, options and output: each compiler gets its own object."""
    w.write("a.c", "long f(long n) { return n * 2; }\n")
    for expect in (MISS, HIT):
        for compiler in ("gcc", *CROSS):
            w.run(compiler, "-O2", "-c", "a.c", "-o", "a.o", expect=expect)


@scenario("arm-none-eabi-gcc")
def test_options_of_the_target(w: World) -> None:
    """-mcpu and its kin change code; -specs names a file of the toolchain."""
    w.write("a.c", SOURCE)
    w.write("v.h", "#define V 3\n")
    for expect in (MISS, HIT):
        for options in (("-mcpu=cortex-m0",), ("-mcpu=cortex-m4", "-mthumb"), ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard")):
            w.run("arm-none-eabi-gcc", "-O2", *options, "-c", "a.c", "-o", "a.o", expect=expect)


@scenario(*CROSS)
def test_assembler_source(w: World, cc: str) -> None:
    """.S by the cross assembler, with a header and a payload."""
    w.write("a.S", '#include "v.h"\n.data\n.long V\n.incbin "data.bin"\n')
    w.write("v.h", "#define V 1\n")
    w.write("data.bin", "one\n")
    w.run(cc, "-c", "a.S", "-o", "a.o", expect=MISS)
    w.write("data.bin", "two\n")
    w.run(cc, "-c", "a.S", "-o", "a.o", expect=RECOMPILE)
    w.write("v.h", "#define V 2\n")
    w.run(cc, "-c", "a.S", "-o", "a.o", expect=RECOMPILE)


@scenario("aarch64-linux-gnu-gcc")
def test_under_a_name_that_says_nothing(w: World) -> None:
    """A link called after a product: identity is the real tool's, and a retargeted link is another compiler."""
    needs("gcc")
    w.write("a.c", "long f(long n) { return n * 2; }\n")
    command = (str(w.path("bin/board42")), "-O2", "-c", "a.c", "-o", "a.o")
    for target in ("/usr/bin/aarch64-linux-gnu-gcc", "/usr/bin/gcc"):
        w.symlink("bin/board42", target)
        w.run(*command, expect=MISS)
        w.run(*command, expect=HIT)
    w.symlink("bin/board42", "/usr/bin/aarch64-linux-gnu-gcc")
    w.run(*command, expect=HIT)


@scenario(*CROSS)
def test_errors_and_warnings(w: World, cc: str) -> None:
    """They come as from the compiler; a failure is not kept."""
    w.write("bad.c", "int f( { }\n")
    w.write("odd.c", "int f(int n) { int unused; return n; }\n")
    for _ in range(2):
        w.run(cc, "-c", "bad.c", "-o", "bad.o", expect=RECOMPILE)
    w.run(cc, "-Wall", "-c", "odd.c", "-o", "odd.o", expect=MISS)
    w.run(cc, "-Wall", "-c", "odd.c", "-o", "odd.o", expect=HIT)


@scenario(*CROSS)
def test_what_is_no_compile(w: World, cc: str) -> None:
    """Questions and links pass through."""
    w.write("a.c", "int f(void) { return 0; }\n")
    w.run(cc, "--version", expect=UNCACHED)
    w.run(cc, "-dumpmachine", expect=UNCACHED)
    w.run(cc, "-nostdlib", "-r", "a.c", "-o", "all.o", expect=RECOMPILE)


@scenario("clang")
def test_clang_for_another_target(w: World) -> None:
    """One driver for all machines: --target and the name by which it is called."""
    w.write("a.c", "long f(long n) { return n * 2; }\n")
    w.symlink("bin/aarch64-linux-gnu-clang", "/usr/bin/clang")
    for expect in (MISS, HIT):
        w.run("clang", "--target=aarch64-linux-gnu", "-O2", "-c", "a.c", "-o", "a.o", expect=expect)
        w.run("clang", "--target=arm-none-eabi", "-O2", "-c", "a.c", "-o", "a.o", expect=expect)
        w.run("clang", "-O2", "-c", "a.c", "-o", "a.o", expect=expect)
    w.run(str(w.path("bin/aarch64-linux-gnu-clang")), "-O2", "-c", "a.c", "-o", "a.o", expect=MISS)
    w.run(str(w.path("bin/aarch64-linux-gnu-clang")), "-O2", "-c", "a.c", "-o", "a.o", expect=HIT)
