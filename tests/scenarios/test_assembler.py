"""Assembler sources: .s, .S and .sx, by name and by -x; what .include and .incbin read is an input."""

from arena import HIT, MISS, RECOMPILE, UNCACHED, World, scenario
from arena.play import Arena

CCS = ("gcc", "clang")


@scenario(*CCS)
def test_every_spelling(w: World, cc: str) -> None:
    """By the file's name and by -x."""
    w.write("a.s", ".globl f\nf: nop\n")
    w.write("a.S", '#include "v.h"\n.globl f\nf: .long V\n')
    w.write("a.sx", '#include "v.h"\n.globl f\nf: .long V + 1\n')
    w.write("a.txt", ".globl g\ng: nop\n")
    w.write("v.h", "#define V 1\n")
    names = ("a.s", "a.S", "a.sx") if cc == "gcc" else ("a.s", "a.S")
    for expect in (MISS, HIT):
        for name in names:
            w.run(cc, "-c", name, "-o", "a.o", expect=expect)
        w.run(cc, "-x", "assembler", "-c", "a.txt", "-o", "b.o", expect=expect)
        w.run(cc, "-x", "assembler-with-cpp", "-DX", "-c", "a.txt", "-o", "b.o", expect=expect)
    w.write("v.h", "#define V 2\n")
    for name in names[1:]:
        w.run(cc, "-c", name, "-o", "a.o", expect=MISS)
    w.run(cc, "-x", "assembler-with-cpp", "-c", "a.sx", "-o", "a.o", expect=MISS)
    if cc == "clang":  # a file for the linker, it says
        w.run(cc, "-c", "a.sx", "-o", "a.o", expect=UNCACHED)


@scenario(*CCS)
def test_include_and_incbin(w: World, cc: str) -> None:
    """Files that the assembler itself reads, found through -I and -Wa,-I, too."""
    text = '.include "i.inc"\n.data\n.incbin "d.bin"\n'
    w.write("a.s", text)
    w.write("a.S", text)
    w.mkdir("dir")
    for name in ("a.s", "a.S"):
        for search in ("-Idir", "-Wa,-Idir"):
            for old in w.path("dir").iterdir():
                old.unlink()
            w.write("dir/i.inc", ".long 1\n")
            w.write("dir/d.bin", b"\x01\x02")
            words = (cc, search, "-c", name, "-o", "a.o")
            w.run(*words, expect=MISS)
            w.run(*words, expect=HIT)
            w.write("dir/d.bin", b"\x01\x03")
            w.run(*words, expect=MISS)
            w.write("dir/i.inc", ".long 2\n")
            w.run(*words, expect=MISS)
            w.write("dir/d.bin", b"\x01\x02")
            w.write("dir/i.inc", ".long 1\n")
            w.run(*words, expect=HIT)


@scenario(*CCS)
def test_an_earlier_file_appears(w: World, cc: str) -> None:
    """What was looked for in vain is found: another object."""
    w.write("a.s", '.data\n.incbin "d.bin"\n')
    w.mkdir("early")
    w.write("late/d.bin", b"\x01\x02")
    words = (cc, "-Wa,-Iearly", "-Wa,-Ilate", "-c", "a.s", "-o", "a.o")
    w.run(*words, expect=MISS)
    w.run(*words, expect=HIT)
    w.write("early/d.bin", b"\x03\x04")
    w.run(*words, expect=MISS)
    w.remove("early/d.bin")
    w.run(*words, expect=HIT)


@scenario(*CCS)
def test_nested(w: World, cc: str) -> None:
    """An included file that includes another, which holds a name built by a macro."""
    w.write("a.s", '.include "one.inc"\n')
    w.write("one.inc", '.include "two.inc"\n')
    w.write("two.inc", '.macro put name\n.incbin "\\name\\().bin"\n.endm\n.data\nput x\n')
    w.write("x.bin", b"1")
    w.run(cc, "-c", "a.s", "-o", "a.o", expect=MISS)
    w.run(cc, "-c", "a.s", "-o", "a.o", expect=HIT)
    w.write("x.bin", b"2")
    w.run(cc, "-c", "a.s", "-o", "a.o", expect=RECOMPILE)
    w.write("two.inc", ".data\n.long 1\n")
    w.run(cc, "-c", "a.s", "-o", "a.o", expect=MISS)


@scenario(*CCS)
def test_options(w: World, cc: str) -> None:
    """Debug information, symbols and processors that are defined for the assembler, a listing."""
    w.write("a.s", ".ifdef SYM\n.long SYM\n.endif\nnop\n")
    options: list[tuple[str, ...]] = [(), ("-g",), ("-Wa,--noexecstack",), ("-m32",)]
    if cc == "gcc":
        options += [("-Wa,--defsym,SYM=1",), ("-Wa,--defsym,SYM=2",), ("-Wa,-adhln=a.lst",), ("-Wa,-gdwarf-5",)]
    for expect in (MISS, HIT):
        for words in options:
            w.run(cc, *words, "-c", "a.s", "-o", "a.o", expect=expect)


@scenario(*CCS)
def test_dependency_files(w: World, cc: str) -> None:
    """.S has one, .s has none."""
    w.write("a.s", "nop\n")
    w.write("a.S", '#include "v.h"\nV\n')
    w.write("v.h", "#define V nop\n")
    for expect in (MISS, HIT):
        for name in ("a.s", "a.S"):
            w.run(cc, "-MD", "-MF", f"{name}.d", "-c", name, "-o", "a.o", expect=expect)
        w.remove("a.S.d")


@scenario(*CCS)
def test_errors_and_warnings(w: World, cc: str) -> None:
    """An error is told again; a warning comes from the cache."""
    w.write("bad.s", "no_such_instruction\n")
    w.write("warns.s", '.warning "careful"\nnop\n')
    for expect in (MISS, HIT):
        w.run(cc, "-c", "warns.s", "-o", "a.o", expect=expect)
        w.run(cc, "-c", "bad.s", "-o", "b.o", expect=RECOMPILE)


def test_names_in_the_statistics(arena: Arena) -> None:
    """Both are `Assembler`; the advanced statistics tell them apart."""
    w = arena.cached_world()
    w.write("a.s", "nop\n")
    w.write("a.S", "nop\n")
    w.run("gcc", "-c", "a.s", "-o", "a.o", expect=MISS)
    w.run("gcc", "-c", "a.S", "-o", "a.o", expect=MISS)
    plain = w.run("--show-stats").stdout.decode()
    advanced = w.run("--show-adv-stats").stdout.decode()
    assert "Cache misses (Assembler)" in plain
    assert "Cache misses (assembler [gcc])" in advanced
    assert "Cache misses (assemblerToPreprocess [gcc])" in advanced
