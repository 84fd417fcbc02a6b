"""What the compiler says: replayed exactly, or said anew."""

from arena import HIT, MISS, RECOMPILE, World, scenario

BOTH = ("gcc", "clang")


@scenario(*BOTH)
def test_warning_replayed(w: World, cc: str) -> None:
    """A warning is there again on a hit, byte for byte."""
    w.write("a.c", "int f(void) { int unused; return 0; }\n")
    w.run(cc, "-Wall", "-c", "a.c", "-o", "a.o", expect=MISS)
    w.run(cc, "-Wall", "-c", "a.c", "-o", "a.o", expect=HIT)


@scenario(*BOTH)
def test_preprocessor_warning_replayed(w: World, cc: str) -> None:
    """#warning comes once, on miss and hit (sccache#72)."""
    w.write("a.c", '#warning think\n#pragma message "hello"\nint x;\n')
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=HIT)


@scenario("gcc")
def test_fallthrough_comment(w: World) -> None:
    """Removing a fall-through comment brings the warning back."""
    text = "int f(int n) { int r = 0; switch (n) { case 1: r = 1; {} case 2: r += 2; } return r; }\n"
    w.write("a.c", text.replace("{}", "/* fallthrough */"))
    command = ("gcc", "-Wextra", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.run(*command, expect=HIT)
    w.write("a.c", text.replace("{}", "/* something!! */"))
    w.run(*command)


@scenario("gcc")
def test_fallthrough_comment_in_header(w: World) -> None:
    """The same in a header."""
    text = "static inline int f(int n) { int r = 0; switch (n) { case 1: r = 1; {} case 2: r += 2; } return r; }\n"
    w.write("a.c", '#include "f.h"\nint g(int n) { return f(n); }\n')
    w.write("f.h", text.replace("{}", "/* fallthrough */"))
    command = ("gcc", "-Wextra", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    w.write("f.h", text.replace("{}", "/* something!! */"))
    w.run(*command)


@scenario(*BOTH)
def test_whitespace_moves_columns(w: World, cc: str) -> None:
    """A whitespace-only edit: columns and carets as in a fresh compile."""
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    for text in ("int f(void) { int u; return 0; }\n", "int f(void) {     int   u; return 0; }\n", "int f(void) {\tint u; return 0; }\n"):
        w.write("a.c", text)
        w.run(*command)


@scenario(*BOTH)
def test_whitespace_moves_debug_lines_and_columns(w: World, cc: str) -> None:
    """-g records lines and columns."""
    command = (cc, "-g", "-gcolumn-info", "-O1", "-c", "a.c", "-o", "a.o")
    for text in ("int f(int n) { return n + 1; }\n", "int f(int n) {   return n + 1; }\n", "\nint f(int n) { return n + 1; }\n"):
        w.write("a.c", text)
        w.run(*command, expect=RECOMPILE)


@scenario(*BOTH)
def test_comment_edit_without_debug_is_right(w: World, cc: str) -> None:
    """A comment-only edit."""
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    for text in ("/* one */ int f(void) { return 0; }\n", "/* two */ int f(void) { return 0; }\n"):
        w.write("a.c", text)
        w.run(*command)


@scenario(*BOTH)
def test_comment_shown_in_diagnostic(w: World, cc: str) -> None:
    """The source line in a diagnostic shows its comment."""
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    for text in ("int f(void) { int u; /* one */ return 0; }\n", "int f(void) { int u; /* two */ return 0; }\n"):
        w.write("a.c", text)
        w.run(*command)


@scenario(*BOTH)
def test_macro_body_shown_in_diagnostic(w: World, cc: str) -> None:
    """A diagnostic shows a macro's definition, whose spelling changes without changing the tokens."""
    command = (cc, "-Wall", "-c", "a.c", "-o", "a.o")
    for spelling in ("#define D int u;\n", "#define D int    u;\n"):
        w.write("d.h", spelling)
        w.write("a.c", '#include "d.h"\nint f(void) { D return 0; }\n')
        w.run(*command)


@scenario(*BOTH)
def test_unused_macro_warning(w: World, cc: str) -> None:
    """-Wunused-macros looks at what the preprocessor throws away."""
    command = (cc, "-Wunused-macros", "-c", "a.c", "-o", "a.o")
    for text in ("#define A 1\nint x;\n", "#define B 1\nint x;\n", "#define A 1\nint x = A;\n"):
        w.write("a.c", text)
        w.run(*command)
        w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_undef_warning_in_condition(w: World, cc: str) -> None:
    """-Wundef sees conditions that leave no trace in the output."""
    command = (cc, "-Wundef", "-c", "a.c", "-o", "a.o")
    for text in ("#if SOME\n#endif\nint x;\n", "#if OTHER\n#endif\nint x;\n", "\n\nint x;\n"):
        w.write("a.c", text)
        w.run(*command)


@scenario(*BOTH)
def test_failure_not_sticky(w: World, cc: str) -> None:
    """A failure because of a missing header; then the header is created."""
    w.write("a.c", '#include "v.h"\nint value = V;\n')
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.write("v.h", "#define V 1\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_errors(w: World, cc: str) -> None:
    """Syntax errors, missing sources, unknown options: same words, same exit code, no object."""
    w.write("bad.c", "int f( { return; }\n")
    w.write("a.c", "int x;\n")
    table = """
        -c bad.c -o a.o | -c none.c | -c a.c -fno-such-option | -c a.c -std=c1 | -c | -c a.c -o | -c a.c -o no/such/dir/a.o | -c a.c --param
        | -x nonsense -c a.c
    """
    for command in table.split("|"):
        w.run(cc, *command.split())
        w.run(cc, *command.split())


@scenario(*BOTH)
def test_failure_removes_an_old_object(w: World, cc: str) -> None:
    """A failing compile treats an old object as the compiler does."""
    w.write("a.c", "int x;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.write("a.c", "int x\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_werror_after_hit(w: World, cc: str) -> None:
    """A cached compile with a warning does not answer one with -Werror."""
    w.write("a.c", "int f(void) { int unused; return 0; }\n")
    w.run(cc, "-Wall", "-c", "a.c", "-o", "a.o")
    w.run(cc, "-Wall", "-Werror", "-c", "a.c", "-o", "a.o", expect=RECOMPILE)
    w.run(cc, "-Wall", "-Wno-unused", "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_no_warnings_from_expanded_text(w: World, cc: str) -> None:
    """A macro that expands to `if (0)` warns no more than without the cache."""
    w.write("a.c", "#define NEVER if (0)\nint f(int n) { NEVER return 2; return n; }\n")
    for option in ("-Wunreachable-code", "-Wextra", "-Weverything" if cc == "clang" else "-Wduplicated-branches"):
        w.run(cc, option, "-c", "a.c", "-o", "a.o")
        w.run(cc, option, "-c", "a.c", "-o", "a.o", expect=HIT)


@scenario("gcc", "clang")
def test_megabytes_of_warnings(w: World, cc: str) -> None:
    """Five megabytes of diagnostics come through whole, fresh and from the cache."""
    lines = "".join(
        f"static void function_with_quite_a_long_name_{n}(void) {{ int unused_variable_{n}; }} /* {'x' * 1700} */\n" for n in range(3000)
    )
    w.write("a.c", lines)
    for expect in (MISS, HIT):
        step = w.run(cc, "-Wall", "-c", "a.c", "-o", "a.o", expect=expect, compare=False)
        if len(step.stderr) < 3_000_000:
            w.complaints.append(f"only {len(step.stderr)} bytes of diagnostics")


@scenario(*BOTH)
def test_diagnostics_formats(w: World, cc: str) -> None:
    """Machine-readable formats, no carets, absolute paths."""
    w.write("a.c", "int f(void) { int unused; return 0; }\n")
    options = ["-fno-diagnostics-show-caret" if cc == "gcc" else "-fno-caret-diagnostics", "-fmessage-length=40"]
    options += (
        ["-fdiagnostics-format=json", "-fdiagnostics-format=json-file"]
        if cc == "gcc"
        else ["-fdiagnostics-absolute-paths", "-fdiagnostics-parseable-fixits"]
    )
    for option in options:
        for _ in range(2):
            w.run(cc, "-Wall", option, "-c", "a.c", "-o", "a.o")
            w.path("a.c.gcc.json").unlink(missing_ok=True)


@scenario(*BOTH)
def test_macro_redefined_on_command_line(w: World, cc: str) -> None:
    """Diagnostics about the command line itself."""
    w.write("a.c", "int x = V;\n")
    for _ in range(2):
        w.run(cc, "-DV=1", "-DV=2", "-UV", "-DV=3", "-Wall", "-c", "a.c", "-o", "a.o")
    w.run(cc, "-UV", "-DV=1", "-DV=2", "-Wall", "-c", "a.c", "-o", "a.o")


@scenario("clang")
def test_unused_arguments(w: World) -> None:
    """clang warns about arguments it does not use."""
    w.write("a.c", "int x;\n")
    w.run("clang", "-c", "a.c", "-o", "a.o", "-lm", "-Wl,-z,now", expect=MISS)
    w.run("clang", "-c", "a.c", "-o", "a.o", "-lm", "-Wl,-z,now", expect=HIT)
    w.run("clang", "-Werror", "-c", "a.c", "-o", "a.o", "-lm")
    w.run("clang", "-Qunused-arguments", "-c", "a.c", "-o", "a.o", "-lm")
