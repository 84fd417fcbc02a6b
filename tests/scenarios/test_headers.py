"""Headers: what is included, what would have been included, and what happens when that changes."""

from arena import HIT, MISS, RECOMPILE, World, scenario

BOTH = ("gcc", "clang")
C = '#include "v.h"\nint value = V;\n'


@scenario(*BOTH)
def test_shadow_header_added(w: World, cc: str) -> None:
    """A new header in an earlier -I directory wins, as without the cache."""
    w.write("a.c", C)
    w.write("late/v.h", "#define V 1\n")
    w.mkdir("early")
    command = (cc, "-Iearly", "-Ilate", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.remove("a.o")
    w.run(*command, expect=HIT)
    w.write("early/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_shadow_header_in_a_directory_that_did_not_exist(w: World, cc: str) -> None:
    """The earlier -I directory itself appears together with the header."""
    w.write("a.c", C)
    w.write("late/v.h", "#define V 1\n")
    command = (cc, "-Iearly/deep", "-Ilate", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("early/deep/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_unrelated_file_in_a_search_directory_keeps_the_hit(w: World, cc: str) -> None:
    """A new file that nobody includes does not cost the hit."""
    w.write("a.c", C)
    w.write("late/v.h", "#define V 1\n")
    w.mkdir("early")
    command = (cc, "-Iearly", "-Ilate", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.write("early/other.h", "#define V 2\n")
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_shadow_header_next_to_source(w: World, cc: str) -> None:
    """A quoted include found by -I is shadowed by a file that appears beside the source."""
    w.write("src/a.c", C)
    w.write("inc/v.h", "#define V 1\n")
    command = (cc, "-Iinc", "-c", "src/a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("src/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_shadow_header_next_to_includer(w: World, cc: str) -> None:
    """The same for a header included by a header of another directory."""
    w.write("src/a.c", '#include "outer.h"\nint value = V;\n')
    w.write("one/outer.h", '#include "v.h"\n')
    w.write("two/v.h", "#define V 1\n")
    command = (cc, "-Ione", "-Itwo", "-c", "src/a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("one/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_has_include_becomes_true(w: World, cc: str) -> None:
    """__has_include sees a header that is created later."""
    w.write("a.c", '#if __has_include("opt.h")\n#include "opt.h"\n#else\n#define V 1\n#endif\nint value = V;\n')
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("opt.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_has_include_through_a_macro(w: World, cc: str) -> None:
    """__has_include whose name comes out of a macro."""
    w.write(
        "a.c", "#define S(x) #x\n#define Q(x) S(x)\n#define NAME opt.h\n#if __has_include(Q(NAME))\nint v = 2;\n#else\nint v = 1;\n#endif\n"
    )
    command = (cc, "-Iinc", "-c", "a.c", "-o", "a.o")
    w.mkdir("inc")
    w.run(*command)
    w.write("inc/opt.h", "")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_has_include_becomes_false(w: World, cc: str) -> None:
    """A header seen only by __has_include goes away."""
    w.write("a.c", '#if __has_include("opt.h")\nint value = 2;\n#else\nint value = 1;\n#endif\n')
    w.write("opt.h", "")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.remove("opt.h")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_has_include_next(w: World, cc: str) -> None:
    """__has_include_next sees a header that is created later."""
    w.write("a.c", "#include <v.h>\nint value = V;\n")
    w.write("one/v.h", "#if __has_include_next(<v.h>)\n#include_next <v.h>\n#else\n#define V 1\n#endif\n")
    w.mkdir("two")
    command = (cc, "-Ione", "-Itwo", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.write("two/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_include_next_shadowed(w: World, cc: str) -> None:
    """#include_next finds another file first once it appears in between."""
    w.write("a.c", "#include <v.h>\nint value = V;\n")
    w.write("one/v.h", "#include_next <v.h>\n")
    w.mkdir("two")
    w.write("three/v.h", "#define V 1\n")
    command = (cc, "-Ione", "-Itwo", "-Ithree", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("two/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_alternate_header_sets(w: World, cc: str) -> None:
    """A directory renamed away, built, and renamed back (ccache#1443)."""
    w.write("a.c", C)
    w.write("test1/v.h", "#define V 1\n")
    w.write("test2/v.h", "#define V 2\n")
    command = (cc, "-Itest1", "-Itest2", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.rename("test1", "away")
    w.run(*command, expect=MISS)
    w.rename("away", "test1")
    w.run(*command, expect=HIT)
    w.rename("test1", "away")
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_header_edited_and_put_back(w: World, cc: str) -> None:
    """An edit is a miss; undoing it is a hit."""
    w.write("a.c", C)
    w.write("v.h", "#define V 1\n")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.write("v.h", "#define V 2\n")
    w.run(*command, expect=MISS)
    w.write("v.h", "#define V 1\n")
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_header_touched_is_a_hit(w: World, cc: str) -> None:
    """A new modification time alone costs nothing."""
    w.write("a.c", C)
    w.write("v.h", "#define V 1\n")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.write("v.h", "#define V 1\n")
    w.write("a.c", C)
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_header_same_size_same_mtime(w: World, cc: str) -> None:
    """A header rewritten in place with its size and modification time kept is noticed."""
    w.write("a.c", C)
    w.write("v.h", "#define V 1\n")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command, expect=HIT)
    w.rewrite_unseen("v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_source_same_size_same_mtime(w: World, cc: str) -> None:
    """The same for the source itself."""
    w.write("a.c", "int value = 1;\n")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command, expect=HIT)
    w.rewrite_unseen("a.c", "int value = 2;\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_header_replaced_by_rename_same_size_and_mtime(w: World, cc: str) -> None:
    """The same by rename: another inode."""
    w.write("a.c", C)
    w.write("v.h", "#define V 1\n")
    w.write("v.h.new", "#define V 2\n")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command, expect=HIT)
    w.rewrite_unseen("v.h.new", "#define V 3\n")
    w.rename("v.h.new", "v.h")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_header_replaced_by_directory(w: World, cc: str) -> None:
    """A directory of the header's name: the search goes on to the next directory."""
    w.write("a.c", C)
    w.write("one/v.h", "#define V 1\n")
    w.write("two/v.h", "#define V 2\n")
    command = (cc, "-Ione", "-Itwo", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.remove("one/v.h")
    w.mkdir("one/v.h")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_header_deleted(w: World, cc: str) -> None:
    """A missing header fails as it does without the cache, and succeeds when it is back."""
    w.write("a.c", C)
    w.write("v.h", "#define V 1\n")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.rename("v.h", "away.h")
    w.run(*command, expect=RECOMPILE)
    w.rename("away.h", "v.h")
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_symlinked_header_retargeted(w: World, cc: str) -> None:
    """A header that is a symlink follows its target."""
    w.write("a.c", C)
    w.write("v1.h", "#define V 1\n")
    w.write("v2.h", "#define V 2\n")
    w.symlink("v.h", "v1.h")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.symlink("v.h", "v2.h")
    w.run(*command, expect=MISS)
    w.symlink("v.h", "v1.h")
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_symlinked_directory_retargeted(w: World, cc: str) -> None:
    """A search directory that is a symlink follows its target."""
    w.write("a.c", C)
    w.write("one/v.h", "#define V 1\n")
    w.write("two/v.h", "#define V 2\n")
    w.symlink("inc", "one")
    command = (cc, "-Iinc", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.symlink("inc", "two")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_dot_dot_through_a_retargeted_symlink(w: World, cc: str) -> None:
    """A path with .. through a symlink means another file when the symlink moves."""
    w.write("a.c", '#include "link/../v.h"\nint value = V;\n')
    w.write("one/v.h", "#define V 1\n")
    w.mkdir("one/sub")
    w.write("two/v.h", "#define V 2\n")
    w.mkdir("two/sub")
    w.symlink("link", "one/sub")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.symlink("link", "two/sub")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_forced_include_shadowed(w: World, cc: str) -> None:
    """-include is searched from the working directory first."""
    w.write("src/a.c", "int value = V;\n")
    w.write("inc/v.h", "#define V 1\n")
    command = (cc, "-Iinc", "-include", "v.h", "-c", "src/a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_imacros_changed(w: World, cc: str) -> None:
    """The file of -imacros is an input."""
    w.write("a.c", "int value = V;\n")
    w.write("m.h", "#define V 1\n")
    command = (cc, "-imacros", "m.h", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command, expect=HIT)
    w.write("m.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_imacros_shadowed(w: World, cc: str) -> None:
    """The file of -imacros is searched for, too."""
    w.write("a.c", "int value = V;\n")
    w.write("inc/m.h", "#define V 1\n")
    command = (cc, "-Iinc", "-imacros", "m.h", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.write("m.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_iquote_before_I(w: World, cc: str) -> None:
    """-iquote directories come before -I for quoted names, wherever they stand."""
    w.write("src/a.c", C)
    w.write("inc/v.h", "#define V 1\n")
    w.mkdir("quote")
    command = (cc, "-Iinc", "-iquote", "quote", "-c", "src/a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("quote/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_isystem_and_idirafter_order(w: World, cc: str) -> None:
    """-I, then -isystem, then -idirafter."""
    w.write("a.c", "#include <v.h>\nint value = V;\n")
    w.write("after/v.h", "#define V 1\n")
    w.mkdir("system")
    w.mkdir("inc")
    command = (cc, "-idirafter", "after", "-isystem", "system", "-Iinc", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.write("system/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)
    w.write("inc/v.h", "#define V 3\n")
    w.run(*command, expect=RECOMPILE)
    w.remove("inc/v.h")
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_system_header_changed(w: World, cc: str) -> None:
    """A header of an -isystem directory is an input like any other."""
    w.write("a.c", "#include <v.h>\nint value = V;\n")
    w.write("system/v.h", "#define V 1\n")
    command = (cc, "-isystem", "system", "-MMD", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command, expect=HIT)
    w.write("system/v.h", "#define V 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_sysroot_header_changed(w: World, cc: str) -> None:
    """Headers below --sysroot are inputs; so is one that appears there."""
    w.write("a.c", "#include <v.h>\nint value = V;\n")
    w.write("root/usr/include/v.h", "#define V 1\n")
    command = (cc, f"--sysroot={w.path('root')}", "-c", "a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command, expect=HIT)
    w.write("root/usr/local/include/v.h", "#define V 2\n")
    w.run(*command)
    w.write("root/usr/include/v.h", "#define V 3\n")
    w.run(*command)


@scenario("gcc")
def test_gch_appears_beside_a_header(w: World) -> None:
    """gcc uses v.h.gch instead of v.h once it exists (here: made from another text, so that it shows)."""
    w.write("a.c", C)
    w.write("v.h", "#define V 1\n")
    command = ("gcc", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.write("other/v.h", "#define V 2\n")
    w.tool("gcc", "-x", "c-header", "other/v.h", "-o", "v.h.gch", compare=False)
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_header_case_and_dot_slash_names(w: World, cc: str) -> None:
    """Odd but legal ways to name a header."""
    w.write("sub/a.c", '#include "./../sub/./v.h"\n#include "//./proc/self/cwd/n.h"\nint value = V + N;\n')
    w.write("sub/v.h", "#define V 1\n")
    w.write("n.h", "#define N 1\n")
    command = (cc, "-MD", "-c", "./sub/../sub/a.c", "-o", "a.o")
    w.run(*command)
    w.run(*command)
    w.write("n.h", "#define N 2\n")
    w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_include_graph_changed_text_equal(w: World, cc: str) -> None:
    """An include that adds nothing is dropped: the depfile must drop it too (ccache#599)."""
    w.write("a.c", '#include "a.h"\n#include "b.h"\nint value = V;\n')
    w.write("a.h", "#define V 1\n")
    w.write("b.h", "")
    command = (cc, "-MD", "-MF", "a.d", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.write("a.c", '#include "a.h"\n\nint value = V;\n')
    w.run(*command)


@scenario("g++", "clang++")
def test_headers_of_the_standard_library(w: World, cc: str) -> None:
    """Hundreds of headers, then a local one named like one of them."""
    w.write("a.cpp", "#include <vector>\n#include <string>\nint f() { return (int)std::vector<int>(3).size(); }\n")
    w.mkdir("inc")
    command = (cc, "-Iinc", "-O1", "-c", "a.cpp", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("inc/string", "#include_next <string>\nint extra;\n")
    w.run(*command, expect=RECOMPILE)
