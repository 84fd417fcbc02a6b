"""What must give another entry, and what must not."""

from arena import ANY, BY_MANIFEST, HIT, MISS, RECOMPILE, World, scenario

BOTH = ("gcc", "clang")


def _choices(table: str) -> list[list[str]]:
    """Command-line options, one choice between two bars."""
    return [choice.split() for choice in table.split("|")]


@scenario(*BOTH)
def test_define_removed(w: World, cc: str) -> None:
    """-DHELLO, then without (sccache#2038)."""
    w.write("a.c", "#ifdef HELLO\nint x = 1;\n#else\nint x = 2;\n#endif\n")
    w.run(cc, "-DHELLO", "-c", "a.c", "-o", "a.o", expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=RECOMPILE)
    w.run(cc, "-DHELLO=2", "-c", "a.c", "-o", "a.o")
    w.run(cc, "-DHELLO", "-c", "a.c", "-o", "a.o", expect=HIT)


@scenario(*BOTH)
def test_source_against_header_language(w: World, cc: str) -> None:
    """An object and a precompiled header of one empty file (sccache#1851)."""
    w.write("empty.c", "")
    w.run(cc, "-c", "empty.c", "-o", "x")
    w.run(cc, "-x", "c-header", "-c", "empty.c", "-o", "x", compare=False)
    if w.path("x").read_bytes()[:4] == b"\x7fELF":
        w.complaints.append("an object came instead of a precompiled header")
    w.run(cc, "-c", "empty.c", "-o", "x")


@scenario(*BOTH)
def test_language_options(w: World, cc: str) -> None:
    """-x, -std, -ansi and the name's ending choose the language."""
    w.write("a.c", "int f(int n) { return sizeof('a') + n; }\n")
    w.write("a.cc", "int f(int n) { return sizeof('a') + n; }\n")
    w.write("a", "int f(int n) { return sizeof('a') + n; }\n")
    table = """
        -c a.c | -x c++ -c a.c | -c a.cc | -xc -c a.cc | -x c -c a | -std=c89 -c a.c | -ansi -c a.c | -x c++ -x none -c a.c | -c a.c -x c++
    """
    for options in _choices(table):
        w.run(cc, *options, "-o", "a.o")
        w.run(cc, *options, "-o", "a.o")


@scenario("gcc", "g++", "clang", "clang++")
def test_driver_name_chooses_the_language(w: World, cc: str) -> None:
    """C++ in a .c file through g++ or clang++ compiles; through gcc it does not."""
    w.write("a.c", "namespace n { int x; }\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.run("g++" if cc == "gcc" else "gcc", "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_FILE_macro_two_directories(w: World, cc: str) -> None:
    """Equal text in a/x.c and b/x.c with __FILE__."""
    for folder in ("a", "b"):
        w.write(f"{folder}/x.c", "const char *where = __FILE__;\n")
    for folder in ("a", "b", "a"):
        w.run(cc, "-c", f"{folder}/x.c", "-o", "x.o")
    w.run(cc, "-c", str(w.path("a/x.c")), "-o", "x.o")
    w.run(cc, "-c", "a/../b/x.c", "-o", "x.o")


@scenario(*BOTH)
def test_FILE_macro_in_header(w: World, cc: str) -> None:
    """__FILE__ of a header follows how it is reached."""
    w.write("inc/v.h", "static const char *where = __FILE__;\nconst char *f(void) { return where; }\n")
    w.write("a.c", "#include <v.h>\n")
    for option in ("-Iinc", "-I./inc", f"-I{w.path('inc')}", "-Iinc/../inc", "-Iinc"):
        w.run(cc, option, "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_source_name_in_the_object(w: World, cc: str) -> None:
    """The symbol table names the source: two sources of equal text differ."""
    w.write("one.c", "int x;\n")
    w.write("two.c", "int x;\n")
    for name in ("one.c", "two.c", "one.c"):
        w.run(cc, "-c", name, "-o", "a.o")


@scenario(*BOTH)
def test_optimisation_and_code_options(w: World, cc: str) -> None:
    """Options that change the code are all in the key, in every form."""
    w.write("a.c", '#include <stdio.h>\nint f(int n) { int s = 0; for (int i = 0; i < n; i++) s += i; printf("%d", s); return s; }\n')
    table = """
        | -O | -O2 | -O3 | -Os | -g | -g3 | -gdwarf-4 | -fPIC | -fpic | -m32 | -mavx2 | -march=haswell | -fno-inline
        | -fstack-protector-all | -D_FORTIFY_SOURCE=2 -O2 | -pthread | -fvisibility=hidden | -ffast-math | -fno-omit-frame-pointer
        | -fsanitize=undefined | -pipe | -w | -pg | -fexceptions | -frandom-seed=1 | -Wa,--noexecstack | -fdebug-prefix-map=/x=/y -g
        | -ffile-prefix-map=.=/y | -fno-common | -O2 -O0 | -Wl,--as-needed | -nostdinc
    """
    options = _choices(table)
    for option in options:
        w.run(cc, *option, "-c", "a.c", "-o", "a.o")
    for option in options[:8]:
        w.run(cc, *option, "-c", "a.c", "-o", "a.o", expect=HIT)


@scenario(*BOTH)
def test_order_matters(w: World, cc: str) -> None:
    """The last of two contradicting options wins."""
    w.write("a.c", "#include <v.h>\nint x = V + W;\n")
    w.write("one/v.h", "#define V 1\n")
    w.write("two/v.h", "#define V 2\n")
    for options in (("-DW=1", "-UW", "-DW=2"), ("-DW=2", "-UW", "-DW=1")):
        for folders in (("-Ione", "-Itwo"), ("-Itwo", "-Ione")):
            w.run(cc, *options, *folders, "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_joined_and_separate_forms(w: World, cc: str) -> None:
    """Options whose words could be read in two ways."""
    w.write("a.c", "int x;\n#ifdef B\nint y;\n#endif\n")
    w.write("-D", "")
    table = """
        -D B | -DB | -I -D -DB | -DA -D B=1 | -UB | -include /dev/null | -include/dev/null | -isystem/usr/include | -isystem /usr/include
        | -iprefix /usr/ -iwithprefixbefore include
    """
    for options in _choices(table):
        w.run(cc, *options, "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_end_of_options_and_odd_sources(w: World, cc: str) -> None:
    """`--`, a source named like an option, two dots, upper-case endings."""
    w.write("-odd.c", "int x;\n")
    w.write("A.C", "namespace n { int x; }\n")
    w.write("..c", "int x;\n")
    w.write("a.c.c", "int x;\n")
    for source in (("--", "-odd.c"), ("./-odd.c",), ("A.C",), ("..c",), ("a.c.c",), ("a.c",), (".",), ("",)):
        w.run(cc, "-c", *source)
        w.run(cc, "-c", *source)


@scenario(*BOTH)
def test_profile_generate_minds_lines(w: World, cc: str) -> None:
    """-fprofile-generate: an edit that only moves lines is another object where line numbers count."""
    w.write("a.c", "#ifndef NEVER\n#endif\nint f(int n) { return n ? f(n - 1) : 0; }\n")
    w.run(cc, "-fprofile-generate", "-c", "a.c", "-o", "a.o")
    w.run(cc, "-fprofile-generate", "-c", "a.c", "-o", "a.o", expect=HIT)
    w.write("a.c", "#ifndef NEVER\n\n\n#endif\nint f(int n) { return n ? f(n - 1) : 0; }\n")
    w.run(cc, "-fprofile-generate", "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_unknown_options_are_safe(w: World, cc: str) -> None:
    """Options from nowhere, with values that are files: never a stale result."""
    w.write("a.c", "int x;\n")
    for option in ("-fno-such-thing", "-mno-such-thing", "--no-such-thing=a.c", "-Zunknown"):
        w.run(cc, option, "-c", "a.c", "-o", "a.o")
        w.run(cc, option, "-c", "a.c", "-o", "a.o")


@scenario("gcc", "clang", settings={"SCCACHE_C_CUSTOM_CACHE_BUSTER": "one"})
def test_cache_buster_and_extra_files(w: World, cc: str) -> None:
    """SCCACHE_C_CUSTOM_CACHE_BUSTER and SCCACHE_EXTRAFILES are in the key."""
    w.write("a.c", "int x;\n")
    w.write("extra", "1")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.run(*command, expect=RECOMPILE, env={"SCCACHE_C_CUSTOM_CACHE_BUSTER": "two"})
    env = {"SCCACHE_EXTRAFILES": str(w.path("extra"))}
    w.run(*command, env=env, expect=RECOMPILE)
    w.run(*command, env=env, expect=HIT)
    w.write("extra", "2")
    w.run(*command, env=env, expect=RECOMPILE)


@scenario(*BOTH)
def test_objective_c(w: World, cc: str) -> None:
    """Objective-C sources, where the compiler has its runtime or not."""
    w.write("a.m", "int x;\n")
    for _ in range(2):
        w.run(cc, "-c", "a.m", "-o", "a.o", expect=ANY)


@scenario(*BOTH)
def test_preprocessed_sources(w: World, cc: str) -> None:
    """.i is compiled as it is, with its line markers: gcc's messages quote the file that they name."""
    w.write("a.i", '# 1 "orig.c"\nint f(void) { int unused; return 0; }\n')
    w.run(cc, "-Wall", "-g", "-c", "a.i", "-o", "a.o")
    w.run(cc, "-Wall", "-g", "-c", "a.i", "-o", "a.o")
    w.run(cc, "-Wall", "-fpreprocessed", "-c", "a.i", "-o", "a.o")
    w.write("orig.c", "something else entirely\n")
    w.run(cc, "-Wall", "-g", "-c", "a.i", "-o", "a.o")
    w.write("b.i", '# 1 "orig.c"\nint f(void) { return 0; }\n')
    w.run(cc, "-Wall", "-g", "-c", "b.i", "-o", "b.o", expect=MISS)
    w.run(cc, "-Wall", "-g", "-c", "b.i", "-o", "b.o", expect=BY_MANIFEST if cc == "gcc" else HIT)


@scenario(*BOTH)
def test_line_directive_to_another_file(w: World, cc: str) -> None:
    """What a generator makes of a grammar points back to it by #line: gcc's warnings quote the grammar as it is now."""
    w.write("a.c", '#include "a.h"\n#line 3 "a.y"\nint f(void) { int unused; return 0; }\n')
    w.write("a.h", '#line 1 "h.y"\nstatic int g(void) { int idle; return 0; }\n')
    for text in ("one\ntwo\nthree of them\n", "1\n2\n3 of these\n"):
        w.write("a.y", text)
        w.write("h.y", text)
        w.run(cc, "-Wall", "-c", "a.c", "-o", "a.o")
        w.run(cc, "-Wall", "-c", "a.c", "-o", "a.o")
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=HIT)


@scenario("gcc", "g++")
def test_options_recorded_in_the_object(w: World, cc: str) -> None:
    """-frecord-gcc-switches, -grecord-gcc-switches and -flto write the command line into the object: the user's, nobody else's."""
    w.write("a.c", "int f(int n) { return n + 1; }\n")
    for options in (
        ("-frecord-gcc-switches",),
        ("-g", "-grecord-gcc-switches"),
        ("-flto",),
        ("-flto", "-ffat-lto-objects"),
        ("-g", "-flto"),
    ):
        w.run(cc, "-O2", "-frandom-seed=7", *options, "-c", "a.c", "-o", "a.o")
        w.run(cc, "-O2", "-frandom-seed=7", *options, "-MD", "-c", "a.c", "-o", "a.o")
        w.run(cc, "-O2", "-frandom-seed=7", *options, "-c", "a.c", "-o", "a.o")


@scenario("clang")
def test_clang_command_line_recorded(w: World) -> None:
    """clang's -grecord-command-line and -frecord-command-line."""
    w.write("a.c", "int f(int n) { return n + 1; }\n")
    for options in (("-frecord-command-line",), ("-g", "-grecord-command-line"), ("-fembed-bitcode",), ("-fembed-bitcode=marker",)):
        w.run("clang", "-O2", *options, "-c", "a.c", "-o", "a.o")
        w.run("clang", "-O2", *options, "-MD", "-c", "a.c", "-o", "a.o")
        w.run("clang", "-O2", *options, "-c", "a.c", "-o", "a.o")
