"""Variables, clocks and places that a compile depends on."""

import time

from arena import ANY, HIT, MISS, RECOMPILE, World, scenario
from arena.world import wait_until

BOTH = ("gcc", "clang")


@scenario(*BOTH)
def test_CPATH_changed(w: World, cc: str) -> None:
    """CPATH and C_INCLUDE_PATH point at another version of a header (sccache#2798)."""
    w.write("a.c", "#include <v.h>\nint value = V;\n")
    w.write("one/v.h", "#define V 1\n")
    w.write("two/v.h", "#define V 2\n")
    for name in ("CPATH", "C_INCLUDE_PATH"):
        w.run(cc, "-c", "a.c", "-o", "a.o", env={name: "one"})
        w.run(cc, "-c", "a.c", "-o", "a.o", env={name: "one"}, expect=HIT)
        w.run(cc, "-c", "a.c", "-o", "a.o", env={name: "two"})
        w.run(cc, "-c", "a.c", "-o", "a.o", env={name: "two:one"})


@scenario(*BOTH)
def test_CPATH_header_appears(w: World, cc: str) -> None:
    """A header appears in an earlier CPATH directory; an empty entry is the working directory."""
    w.write("sub/a.c", "#include <v.h>\nint value = V;\n")
    w.write("one/v.h", "#define V 1\n")
    env = {"CPATH": ":one"}
    w.run(cc, "-c", "sub/a.c", "-o", "a.o", env=env)
    w.run(cc, "-c", "sub/a.c", "-o", "a.o", env=env, expect=HIT)
    w.write("v.h", "#define V 2\n")
    w.run(cc, "-c", "sub/a.c", "-o", "a.o", env=env, expect=RECOMPILE)


@scenario("g++", "clang++")
def test_CPLUS_INCLUDE_PATH_changed(w: World, cc: str) -> None:
    """CPLUS_INCLUDE_PATH counts for C++ only."""
    w.write("a.cpp", "#include <v.h>\nint value = V;\n")
    w.write("one/v.h", "#define V 1\n")
    w.write("two/v.h", "#define V 2\n")
    for value in ("one", "two", "one"):
        w.run(cc, "-c", "a.cpp", "-o", "a.o", env={"CPLUS_INCLUDE_PATH": value})


@scenario("gcc")
def test_SOURCE_DATE_EPOCH_changed(w: World) -> None:
    """__DATE__ and __TIME__ follow SOURCE_DATE_EPOCH."""
    w.write("a.c", "const char *when = __DATE__ __TIME__;\n")
    for epoch in ("0", "1000000000", "0"):
        w.run("gcc", "-c", "a.c", "-o", "a.o", env={"SOURCE_DATE_EPOCH": epoch})


@scenario(*BOTH)
def test_SOURCE_DATE_EPOCH_irrelevant_is_a_hit(w: World, cc: str) -> None:
    """Without time macros SOURCE_DATE_EPOCH may change freely."""
    w.write("a.c", "int x;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o", env={"SOURCE_DATE_EPOCH": "1"}, expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", env={"SOURCE_DATE_EPOCH": "1"}, expect=HIT)


@scenario("gcc")
def test_TIMESTAMP_macro(w: World) -> None:
    """__TIMESTAMP__ follows the source's modification time."""
    w.write("a.c", "const char *when = __TIMESTAMP__;\n")
    w.run("gcc", "-c", "a.c", "-o", "a.o")
    w.run("gcc", "-c", "a.c", "-o", "a.o")
    w.write("a.c", "const char *when = __TIMESTAMP__;\n")
    w.run("gcc", "-c", "a.c", "-o", "a.o", expect=RECOMPILE)


@scenario("gcc")
def test_TIMESTAMP_macro_in_header(w: World) -> None:
    """__TIMESTAMP__ in a header is the time of the file being compiled; pasted together it still is."""
    w.write("a.c", '#include "t.h"\nconst char *when = NOW;\n')
    w.write("t.h", "#define PASTE(a, b) a##b\n#define NOW PASTE(__TIME, STAMP__)\n")
    w.run("gcc", "-c", "a.c", "-o", "a.o")
    w.run("gcc", "-c", "a.c", "-o", "a.o")
    w.write("a.c", '#include "t.h"\nconst char *when = NOW;\n')
    w.run("gcc", "-c", "a.c", "-o", "a.o", expect=RECOMPILE)


def _next_second() -> None:
    """Wait for the next second to begin."""
    started = time.time()
    wait_until(lambda: int(time.time()) > int(started), "the next second")


def _compile_and_check_time(w: World, *command: str) -> None:
    """Compile; the object must contain the time of this very compile."""
    first = int(time.time())
    w.run(*command, compare=False)
    times = [time.strftime("%H:%M:%S", time.localtime(second)).encode() for second in range(first, int(time.time()) + 1)]
    data = w.path("a.o").read_bytes()
    if not any(text in data for text in times):
        w.complaints.append(f"{command}: none of {times} is in the object: the time is frozen")


@scenario(*BOTH)
def test_time_macros_not_frozen(w: World, cc: str) -> None:
    """An object with the current time, however it got in, is never served later."""
    w.write("plain.c", "const char *when = __TIME__;\n")
    w.write("pasted.c", "#define PASTE(a, b) a##b\nconst char *when = PASTE(__TI, ME__);\n")
    w.write("header.c", '#include "now.h"\nconst char *when = NOW;\n')
    w.write("now.h", "#define NOW __DATE__ __TIME__\n")
    w.write("option.c", "const char *when = NOW;\n")
    w.write("spliced.c", "const char *when = __TI\\\nME__;\n")
    for _ in range(2):
        _next_second()
        for name in ("plain.c", "pasted.c", "header.c", "spliced.c"):
            _compile_and_check_time(w, cc, "-c", name, "-o", "a.o")
        _compile_and_check_time(w, cc, "-DNOW=__TIME__", "-c", "option.c", "-o", "a.o")


@scenario(*BOTH)
def test_time_macro_named_but_unused_is_right(w: World, cc: str) -> None:
    """A comment or a dead branch with __TIME__ in it: right in any case."""
    w.write("a.c", "/* __TIME__ */\n#if 0\nconst char *t = __DATE__;\n#endif\nint x;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=ANY)


@scenario(*BOTH)
def test_date_macro_hits_within_the_day_or_recompiles(w: World, cc: str) -> None:
    """__DATE__ alone is right today."""
    w.write("a.c", "const char *when = __DATE__;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.run(cc, "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_locale_of_diagnostics(w: World, cc: str) -> None:
    """The quotes in diagnostics follow the locale."""
    w.write("a.c", "int f(void) { int unused; return 0; }\n")
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    for locale in ("C", "C.UTF-8", "C", "C.UTF-8"):
        w.run(*command, env={"LC_ALL": locale})
    w.run(*command, env={"LC_ALL": None, "LC_CTYPE": "C.UTF-8"})
    w.run(*command, env={"LC_ALL": None, "LANG": "C.UTF-8"})
    w.run(*command, env={"LC_ALL": None})


@scenario(*BOTH)
def test_locale_of_silent_compile_is_a_hit(w: World, cc: str) -> None:
    """A compile that says nothing fits every locale."""
    w.write("a.c", "int x;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o", env={"LC_ALL": "C"}, expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", env={"LC_ALL": "C.UTF-8"}, expect=HIT)


@scenario(*BOTH)
def test_colour_of_diagnostics(w: World, cc: str) -> None:
    """Colour follows the caller's terminal, options and variables."""
    w.write("a.c", "int f(void) { int unused; return 0; }\n")
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    for tty in (False, True, False, True):
        w.run(*command, tty=tty, env={"TERM": "xterm-256color"})
    w.run(*command, tty=True, env={"TERM": "dumb"})
    w.run(*command, tty=True, env={"TERM": "xterm", "GCC_COLORS": ""})
    w.run(*command, tty=True, env={"TERM": "xterm", "GCC_COLORS": "warning=01;32"})
    w.run(*command, tty=True, env={"TERM": "xterm", "NO_COLOR": "1"})
    w.run(*command, "-fdiagnostics-color=always")
    w.run(*command, "-fdiagnostics-color=never", tty=True, env={"TERM": "xterm"})
    w.run(*command, "-fdiagnostics-color=always", expect=HIT)


@scenario(*BOTH)
def test_width_of_the_terminal(w: World, cc: str) -> None:
    """COLUMNS cuts long source lines in diagnostics."""
    w.write("a.c", "int f(void) { int unused = 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9" + " + 10" * 40 + "; return 0; }\n")
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    for columns in ("60", "200", "60"):
        w.run(*command, tty=True, env={"COLUMNS": columns, "TERM": "xterm"})
    w.write("b.c", "int f(void) { return 1" + " + 10" * 40 + " + 1.5f + g(); }\n")
    for columns in ("60", None, "200", "60", "7"):
        w.run(cc, "-Wall", "-Wconversion", "-c", "b.c", "-o", "b.o", tty=True, env={"COLUMNS": columns, "TERM": "xterm"})
    w.run(*command, "-fmessage-length=50", tty=True, env={"COLUMNS": "90", "TERM": "xterm"})


@scenario(*BOTH)
def test_width_without_a_terminal_is_a_hit(w: World, cc: str) -> None:
    """COLUMNS counts for terminals only: compilers look at it nowhere else."""
    w.write("a.c", "int f(void) { int unused" + " " * 100 + "= 1; return 0; }\n")
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    w.run(*command, env={"COLUMNS": "60"}, expect=MISS)
    w.run(*command, env={"COLUMNS": "90", "TERM": "linux"}, expect=HIT)


@scenario(*BOTH)
def test_links_of_diagnostics(w: World, cc: str) -> None:
    """Links in messages follow the kind of terminal and GCC_URLS."""
    w.write("a.c", "int f(void) { int unused; return 0; }\n")
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    terminals = (
        {"TERM": "xterm"},
        {"TERM": "xterm", "COLORTERM": "truecolor"},
        {"TERM": "xterm-256color"},
        {"TERM": "linux"},
        {"TERM": None},
    )
    for env in (*terminals, {"TERM": "xterm", "COLORTERM": "xfce4-terminal"}, {"TERM": "xterm", "GCC_URLS": "st"}, {"TERM_URLS": "bel"}):
        w.run(*command, tty=True, env=env)
        w.run(*command, tty=True, env=env, expect=HIT)
    w.run(*command, tty=False, env={"TERM": "xterm-256color", "GCC_URLS": "st"})


@scenario(*BOTH)
def test_umask_on_hit(w: World, cc: str) -> None:
    """A hit gives the mode that the compiler would have given under this umask."""
    w.write("a.c", "int x;\n")
    command = (cc, "-MD", "-c", "a.c", "-o", "a.o")
    w.run(*command, umask=0o022, expect=MISS)
    for umask in (0o077, 0o022, 0o002, 0o000):
        w.remove("a.o", "a.d")
        w.run(*command, umask=umask, expect=HIT)


@scenario(*BOTH)
def test_mode_of_an_existing_object_is_kept(w: World, cc: str) -> None:
    """Overwriting an object in place keeps its mode, as the compiler does (it unlinks or truncates: whatever it does)."""
    w.write("a.c", "int x;\n")
    command = (cc, "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.write("a.o", "old", mode=0o600)
    w.run(*command, expect=HIT)
    w.write("a.o", "old", mode=0o444)
    w.run(*command)


@scenario(*BOTH)
def test_working_directory_in_debug_information(w: World, cc: str) -> None:
    """-g records the working directory: two directories give two objects."""
    for name in ("one", "two"):
        w.write(f"{name}/a.c", "int x;\n")
    for name in ("one", "two", "one"):
        w.run(cc, "-g", "-c", "a.c", "-o", "a.o", cwd=name)


@scenario(*BOTH)
def test_working_directory_without_debug_information(w: World, cc: str) -> None:
    """Without -g nothing tells the two apart: right, and the second may hit."""
    for name in ("one", "two"):
        w.write(f"{name}/a.c", "int x;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o", cwd="one", expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", cwd="two")


@scenario(*BOTH)
def test_PWD_through_a_symlink(w: World, cc: str) -> None:
    """The compiler takes PWD when it names the working directory; so does the cache."""
    w.write("real/a.c", "int x;\n")
    w.symlink("link", "real")
    w.run(cc, "-g", "-c", "a.c", "-o", "a.o", cwd="real", env={"PWD": str(w.path("real"))})
    w.run(cc, "-g", "-c", "a.c", "-o", "a.o", cwd="real", env={"PWD": str(w.path("link"))})
    w.run(cc, "-g", "-c", "a.c", "-o", "a.o", cwd="real", env={"PWD": "/wrong"})
    w.run(cc, "-g", "-c", "a.c", "-o", "a.o", cwd="real", env={"PWD": None})


@scenario("gcc")
def test_DEPENDENCIES_OUTPUT(w: World) -> None:
    """gcc's DEPENDENCIES_OUTPUT and SUNPRO_DEPENDENCIES append to a file on every compile."""
    w.write("a.c", '#include "v.h"\n')
    w.write("v.h", "int x;\n")
    for name in ("DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES"):
        for value in ("deps.txt", "deps.txt target"):
            w.run("gcc", "-c", "a.c", "-o", "a.o", env={name: value})
            w.run("gcc", "-c", "a.c", "-o", "a.o", env={name: value})


@scenario(*BOTH)
def test_irrelevant_variables_are_a_hit(w: World, cc: str) -> None:
    """Variables that no compiler reads cost nothing."""
    w.write("a.c", "int x;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", env={"BUILD_NUMBER": "7", "MAKELEVEL": "2", "_": "/bin/sh"}, expect=HIT)


@scenario("clang")
def test_CCC_OVERRIDE_OPTIONS(w: World) -> None:
    """clang's CCC_OVERRIDE_OPTIONS edits the command line."""
    w.write("a.c", "int f(int n) { return n * 3; }\n")
    w.run("clang", "-c", "a.c", "-o", "a.o")
    w.run("clang", "-c", "a.c", "-o", "a.o", env={"CCC_OVERRIDE_OPTIONS": "# +-O2"})
    w.run("clang", "-c", "a.c", "-o", "a.o", env={"CCC_OVERRIDE_OPTIONS": "# +-O0"})
