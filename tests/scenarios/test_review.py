"""What a hostile reading of the code suspected: each of these was wrong once, or was close to it."""

import subprocess

from arena import ANY, BY_MANIFEST, HIT, MISS, RECOMPILE, UNCACHED, World, scenario

BOTH = ("gcc", "clang")


@scenario(*BOTH)
def test_variable_that_asks_for_more_files_reaches_a_remembered_request(w: World, cc: str) -> None:
    """DEPENDENCIES_OUTPUT makes the compiler write a further file; a request seen without it must not stand for it."""
    w.write("v.h", "#define V 1\n")
    w.write("a.c", '#include "v.h"\nint value = V;\n')
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.run(*command, expect=HIT)
    w.run(*command, expect=UNCACHED, env={"DEPENDENCIES_OUTPUT": "deps a.o"})
    w.run(*command, expect=UNCACHED, env={"SUNPRO_DEPENDENCIES": "sun a.o"})


@scenario("clang")
def test_variable_that_asks_clang_for_a_log_reaches_a_remembered_request(w: World) -> None:
    """CC_PRINT_OPTIONS makes clang print its commands."""
    w.write("a.c", "int value;\n")
    for wanted in (MISS, HIT, HIT):
        w.run("clang", "-c", "a.c", "-o", "a.o", expect=wanted)
    w.run("clang", "-c", "a.c", "-o", "a.o", expect=UNCACHED, env={"CC_PRINT_HEADERS": "1"})


@scenario(*BOTH)
def test_many_diagnostics_of_a_remembered_request(w: World, cc: str) -> None:
    """More text than a socket takes at once comes out whole, and once."""
    w.write("a.c", "int f(void) {\n" + "".join(f"  int unused_variable_number_{n};\n" for n in range(9_000)) + "  return 0;\n}\n")
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    for _ in range(3):
        w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_output_that_is_the_source(w: World, cc: str) -> None:
    """gcc refuses to overwrite its source; a hit must not do it either."""
    w.write("a.c", "int value = 1;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=HIT)
    w.symlink("link.o", "a.c")
    w.run(cc, "-c", "a.c", "-o", "link.o", expect=RECOMPILE)
    w.write("a.c", "int value = 1;\n")
    w.run(cc, "-c", "a.c", "-o", "./a.c", expect=RECOMPILE)


@scenario()
def test_two_compiles_into_one_file_at_a_time(w: World) -> None:
    """Whatever the file holds in the end: neither compile's result may be kept as the other's."""
    w.write("a.c", "int value = V;\n")
    # Both front ends end at the same time; the second assembler comes last and leaves its object for both to find.
    w.script("bin/as", 'case "$*" in *slow*) sleep 0.3;; esac; /usr/bin/as "$@"; s=$?; sleep 0.5; exit $s')
    first = w.compiler("gcc", "-B", "bin", "-DV=1", "-c", "a.c", "-o", "a.o")
    second = w.compiler("gcc", "-B", "bin", "-DV=2", "-c", "a.c", "-o", "a.o", "-Wa,-I,slow")
    w.run("gcc", "-B", "bin", "-DV=9", "-c", "a.c", "-o", "other.o", compare=False)
    running = [subprocess.Popen(command, cwd=w.root, env=w.environment()) for command in (first, second)]
    for process in running:
        process.wait(60)
    for command in (first, second):
        front = 1 if w.cached else 0
        w.run(*command[front:], expect=ANY)


@scenario(settings={"SOURCE_DATE_EPOCH": "1000000"})
def test_timestamp_put_together_under_a_fixed_date(w: World) -> None:
    """SOURCE_DATE_EPOCH fixes __DATE__ and __TIME__; __TIMESTAMP__ still follows the file."""
    w.write("a.c", "#define P(a, b) a##b\n#define Q(a, b) P(a, b)\nconst char *t = Q(__TIME, STAMP__);\n")
    w.run("gcc", "-c", "a.c", "-o", "a.o")
    w.write("a.c", "#define P(a, b) a##b\n#define Q(a, b) P(a, b)\nconst char *t = Q(__TIME, STAMP__);\n")
    w.run("gcc", "-c", "a.c", "-o", "a.o")


@scenario()
def test_two_roots_in_one_command(w: World) -> None:
    """A header of another base directory is not the header of this one, even if both hold the same."""
    for name in ("one", "two"):
        w.write(f"{name}/inc/v.h", "static const char *where(void) { return __FILE__; }\n")
    w.write("one/a.c", '#include "v.h"\nconst char *f(void) { return where(); }\n')
    roots = {"SCCACHE_BASEDIRS": f"{w.path('one')}:{w.path('two')}"}
    for name in ("one", "two", "one", "two"):
        w.run("gcc", f"-I{w.path(name)}/inc", "-c", str(w.path("one/a.c")), "-o", "a.o", env=roots)


@scenario(*BOTH)
def test_length_of_a_path_in_another_checkout(w: World, cc: str) -> None:
    """What is computed from __FILE__ depends on the checkout though no path is in the object."""
    for name in ("one", "number-two"):
        w.write(f"{name}/a.c", "unsigned long size = sizeof(__FILE__);\n")
    roots = {"SCCACHE_BASEDIRS": f"{w.path('one')}:{w.path('number-two')}"}
    for name in ("one", "number-two"):
        w.run(cc, "-c", str(w.path(f"{name}/a.c")), "-o", f"{name}.o", cwd=name, env=roots)


@scenario("clang")
def test_header_of_a_pch_touched(w: World) -> None:
    """clang refuses a PCH whose header has another time than it recorded; a hit must not hide that."""
    w.write("v.h", "#define V 1\n")
    w.write("a.c", "int value = V;\n")
    w.run("clang", "-x", "c-header", "v.h", "-o", "v.pch")
    for wanted in (MISS, HIT, HIT):
        w.run("clang", "-include-pch", "v.pch", "-c", "a.c", "-o", "a.o", expect=wanted)
    w.write("v.h", "#define V 1\n")
    w.run("clang", "-include-pch", "v.pch", "-c", "a.c", "-o", "a.o", expect=RECOMPILE)


@scenario(settings={"SCCACHE_DEPEND": "true", "SCCACHE_DIRECT": "false"})
def test_depend_mode_without_direct_mode(w: World) -> None:
    """Depend mode is a kind of direct mode: without that the text decides, and hits."""
    w.write("a.c", "int value = 1;\n")
    w.run("gcc", "-c", "a.c", "-o", "a.o", expect=MISS)
    w.run("gcc", "-c", "a.c", "-o", "a.o", expect=HIT)


@scenario()
def test_directory_of_tools_that_appears(w: World) -> None:
    """-B names a directory that does not exist; then it does, with an assembler in it."""
    w.write("a.c", "int value = 1;\n")
    command = ("gcc", "-Btools/", "-c", "a.c", "-o", "a.o")
    for wanted in (MISS, HIT, HIT):
        w.run(*command, expect=wanted)
    w.script("tools/as", 'exec /usr/bin/as --defsym upgraded=1 "$@"')
    w.run(*command, expect=RECOMPILE)


@scenario()
def test_response_file_edited_when_hot(w: World) -> None:
    """A remembered request is only good for the response file that it was made with."""
    w.write("a.c", "int value = V;\n")
    w.write("args", "-DV=1 @inner\n")
    w.write("inner", "-DW=1\n")
    for wanted in (MISS, HIT, HIT):
        w.run("gcc", "@args", "-c", "a.c", "-o", "a.o", expect=wanted)
    w.write("inner", "-UV -DV=2\n")
    w.run("gcc", "@args", "-c", "a.c", "-o", "a.o", expect=MISS)


@scenario()
def test_directory_of_the_output_vanished_when_hot(w: World) -> None:
    """The compiler's own message comes out, and nothing is left over."""
    w.write("a.c", "int value = 1;\n")
    w.mkdir("out")
    command = ("gcc", "-MD", "-MF", "a.d", "-c", "a.c", "-o", "out/a.o")
    for wanted in (MISS, HIT, HIT):
        w.run(*command, expect=wanted)
    w.remove("out/a.o", "a.d")
    w.path("out").rmdir()
    w.run(*command)


@scenario()
def test_directory_of_the_dependency_file_vanished_when_hot(w: World) -> None:
    """The compile fails, so there is no object, as without the cache."""
    w.write("a.c", "int value = 1;\n")
    w.mkdir("deps")
    command = ("gcc", "-MD", "-MF", "deps/a.d", "-c", "a.c", "-o", "a.o")
    for wanted in (MISS, HIT, HIT):
        w.run(*command, expect=wanted)
    w.remove("deps/a.d", "a.o")
    w.path("deps").rmdir()
    w.run(*command)


@scenario(*BOTH)
def test_recache_and_no_cache_among_hits(w: World, cc: str) -> None:
    """Both are obeyed by requests that were answered before."""
    w.write("a.c", "int value = 1;\n")
    command = (cc, "-c", "a.c", "-o", "a.o")
    for wanted in (MISS, HIT, HIT):
        w.run(*command, expect=wanted)
    w.run(*command, expect=MISS, env={"SCCACHE_RECACHE": "1"})
    w.run(*command, expect=UNCACHED, env={"SCCACHE_NO_CACHE": "1"})
    w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_system_headers_that_are_not_to_be_checked(w: World, cc: str) -> None:
    """skip_system_headers: what is found by -isystem may change, what is found by -I may not."""
    w.write("a.c", "#include <s.h>\n#include <u.h>\nint value = S + U;\n")
    w.write("sys/s.h", "#define S 1\n")
    w.write("user/u.h", "#define U 1\n")
    w.write("conf.toml", "[cache.disk.preprocessor_cache_mode]\nskip_system_headers = true\n")
    settings = {"SCCACHE_CONF": str(w.path("conf.toml"))}
    command = (cc, "-isystem", "sys", "-Iuser", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS, env=settings)
    w.write("sys/s.h", "#define S 1 /* no difference */\n")
    w.run(*command, expect=BY_MANIFEST, env=settings)
    w.run(*command, expect=BY_MANIFEST, env=settings)
    w.write("user/u.h", "#define U 2\n")
    w.run(*command, expect=MISS, env=settings)


@scenario(*BOTH)
def test_header_directory_that_appears_has_its_place(w: World, cc: str) -> None:
    """A -I directory that did not exist when the compiler was asked for its directories: one before it goes on winning."""
    w.mkdir("early")
    w.write("first.c", "int x;\n")
    w.write("a.c", "#include <x.h>\nint a = A;\n")
    w.run(cc, "-Iearly", "-Ilate", "-c", "first.c", "-o", "first.o", expect=MISS)
    w.write("late/x.h", "#define A 1\n")
    command = (cc, "-Iearly", "-Ilate", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("early/x.h", "#define A 2\n")
    w.run(*command, expect=RECOMPILE)
