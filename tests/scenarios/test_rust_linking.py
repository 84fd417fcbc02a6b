"""What is linked: programs and libraries, the linker that makes them, and all that the linker reads."""

import pytest
from arena import HIT, MISS, RECOMPILE, UNCACHED, Arena, World, scenario
from arena.rust import build, cached, changed, plainly

MAIN = 'fn main() { println!("hello"); }\n'
SHARED = '#[unsafe(no_mangle)] pub extern "C" fn f() -> u32 { 7 }\n'
KINDS = {"bin": MAIN, "cdylib": SHARED, "dylib": SHARED, "staticlib": SHARED, "rlib": SHARED, "proc-macro": "extern crate proc_macro;\n"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_crate(arena: Arena, kind: str) -> None:
    """Is cached, and again after an edit."""

    def steps(w: World) -> None:
        w.write("a.rs", KINDS[kind])
        cached(w, kind=kind)
        w.write("a.rs", KINDS[kind] + "#[used] static X: u32 = 77;\n")
        changed(w, kind=kind, expect=MISS)
        build(w, kind=kind, expect=HIT)
        if kind == "bin":
            plainly(w, str(w.path("out/a")))

    arena.play(steps)


@scenario("sh")
def test_a_test_program(w: World) -> None:
    """--test makes a program of a library."""
    w.write("a.rs", "#[test] fn t() {}\n")
    words = ("--test",)
    build(w, *words, expect=MISS)
    build(w, *words, expect=HIT)
    w.write("a.rs", "#[test] fn t() { panic!() }\n")
    changed(w, *words, expect=MISS)


@scenario("sh", settings={"SCCACHE_RUST_CACHE_LINKED": "false"})
def test_linked_outputs_are_not_wanted(w: World) -> None:
    """SCCACHE_RUST_CACHE_LINKED=false: programs pass through, libraries are cached."""
    w.write("a.rs", MAIN)
    w.write("b.rs", SHARED)
    for _ in range(2):
        build(w, kind="bin", expect=UNCACHED)
    cached(w, source="b.rs")


@scenario("sh")
def test_another_linker_on_PATH(w: World) -> None:
    """cc is what PATH gives; a script in its place that changes; one that appears earlier."""
    w.write("a.rs", MAIN)
    w.mkdir("early")
    path = {"PATH": f"{w.path('early')}:{w.path('late')}:/usr/bin:/bin"}
    build(w, kind="bin", env=path, expect=MISS)
    build(w, kind="bin", env=path, expect=HIT)
    w.script("late/cc", 'exec /usr/bin/cc "$@" -Wl,--build-id=0x01')
    changed(w, kind="bin", env=path)
    w.script("late/cc", 'exec /usr/bin/cc "$@" -Wl,--build-id=0x02')
    changed(w, kind="bin", env=path)
    w.script("early/cc", 'exec /usr/bin/cc "$@" -Wl,--build-id=0x03')
    changed(w, kind="bin", env=path)


@pytest.mark.parametrize("name", ["cc", "wrapper"])
@pytest.mark.parametrize("how", ["script", "static"])
def test_a_linker_that_goes_by_a_variable(arena: Arena, name: str, how: str) -> None:
    """A wrapper as Nix has one: a shell script, or a static program, that adds what a variable says."""

    def steps(w: World) -> None:
        w.write("a.rs", MAIN)
        if how == "script":
            w.script(f"bin/{name}", 'exec /usr/bin/cc "$@" $MORE_FLAGS')
        else:
            w.write(
                "wrap.c",
                "#include <stdlib.h>\n#include <unistd.h>\nint main(int n, char **a) { char **b = calloc(n + 2, sizeof *b); int i = 0;\n"
                'for (; i < n; i++) b[i] = a[i]; char *more = getenv("MORE_FLAGS"); if (more && *more) b[i] = more; return '
                'execv("/usr/bin/cc", b); }\n',
            )
            w.mkdir("bin")
            plainly(w, "gcc", "-static", "wrap.c", "-o", f"bin/{name}")
        more = ("-C", f"linker=bin/{name}")
        build(w, *more, kind="bin")
        build(w, *more, kind="bin")
        changed(w, *more, kind="bin", env={"MORE_FLAGS": "-Wl,--build-id=0x01"})
        changed(w, *more, kind="bin", env={"MORE_FLAGS": "-Wl,--build-id=0x02"})

    arena.play(steps)


@scenario("sh")
def test_files_that_the_linker_reads(w: World) -> None:
    """A linker script, a version script, an @file, an object: each by -C link-arg."""
    w.write("a.rs", SHARED)
    w.write("v.map", "{ global: f; local: *; };\n")
    w.write("args", "-Wl,--build-id=0x01\n")
    w.write("o.c", "int extra = 1;\n")
    plainly(w, "gcc", "-c", "o.c", "-o", "o.o")
    w.write("s.ld", "here = 1;\n")
    more = tuple(word for arg in ("-Wl,--version-script=v.map", "@args", "o.o", "s.ld") for word in ("-C", f"link-arg={arg}"))
    cached(w, *more, kind="cdylib", emit="link")
    w.write("args", "-Wl,--build-id=0x02\n")
    changed(w, *more, kind="cdylib", emit="link")
    w.write("s.ld", "here = 2; PROVIDE(there = 3);\nfoo = 4;\n")
    build(w, *more, kind="cdylib", emit="link", expect=RECOMPILE)
    w.write("o.c", "int extra = 12;\n")
    plainly(w, "gcc", "-c", "o.c", "-o", "o.o")
    build(w, *more, kind="cdylib", emit="link", expect=RECOMPILE)
    w.remove("v.map")
    changed(w, *more, kind="cdylib", emit="link")


@scenario("sh")
def test_a_start_file_appears(w: World) -> None:
    """-B as link-arg: a linker or a start file there comes before the system's."""
    w.write("a.rs", MAIN)
    w.mkdir("b")
    more = ("-C", "link-arg=-Bb/", "-C", "link-arg=-fuse-ld=bfd")
    build(w, *more, kind="bin", expect=MISS)
    build(w, *more, kind="bin", expect=HIT)
    w.script("b/ld.bfd", 'exec /usr/bin/ld.bfd "$@" --build-id=0x05')
    changed(w, *more, kind="bin")


@scenario("sh")
def test_variables_of_the_linker(w: World) -> None:
    """COMPILER_PATH, LD_RUN_PATH: what they name is used."""
    w.write("a.rs", MAIN)
    w.script("b/ld", 'exec /usr/bin/ld "$@" --build-id=0x05')
    more = ("-C", "link-arg=-fuse-ld=bfd")
    build(w, kind="bin", expect=MISS)
    build(w, kind="bin", env={"LD_RUN_PATH": "/opt/one"})
    build(w, kind="bin", env={"LD_RUN_PATH": "/opt/two"})
    build(w, *more, kind="bin")
    w.script("b/ld.bfd", 'exec /usr/bin/ld.bfd "$@" --build-id=0x06')
    build(w, *more, kind="bin", env={"COMPILER_PATH": str(w.path("b"))})
    build(w, kind="bin", env={"COMPILER_PATH": str(w.path("b"))})


@scenario("sh")
def test_the_linker_writes_more(w: World) -> None:
    """A map file is there after each compile."""
    w.write("a.rs", MAIN)
    more = ("-C", "link-arg=-Wl,-Map=out/a.map")
    for _ in range(3):
        build(w, *more, kind="bin", emit="link")


@scenario("sh")
def test_the_linker_says_something(w: World) -> None:
    """Warnings of a linker are rustc's warnings; they come again."""
    w.write("a.rs", "#![warn(linker_messages)]\n" + MAIN)
    w.script("bin/cc", 'echo "cc: warning: careful" >&2; exec /usr/bin/cc "$@"')
    for _ in range(3):
        build(w, "-C", "linker=bin/cc", kind="bin")


@scenario("sh")
def test_the_linker_fails(w: World) -> None:
    """Nothing is kept; when it works again, it works."""
    w.write("a.rs", 'unsafe extern "C" { safe fn nowhere(); }\nfn main() { nowhere() }\n')
    build(w, kind="bin", expect=RECOMPILE)
    build(w, kind="bin", expect=RECOMPILE)
    w.write("n.c", "void nowhere(void) {}\n")
    plainly(w, "gcc", "-c", "n.c", "-o", "n.o")
    changed(w, "-C", "link-arg=n.o", kind="bin", expect=MISS)


@scenario("sh")
def test_profiles(w: World) -> None:
    """-C profile-use reads a file; a debug file of its own; coverage."""
    w.write("a.rs", MAIN)
    for more in (
        ("-C", "instrument-coverage"), ("-C", "profile-generate"), ("-C", "debuginfo=2", "-C", "split-debuginfo=packed"),
        ("-C", "debuginfo=2", "-C", "split-debuginfo=unpacked"), ("-C", "strip=symbols"),
        ("-C", "lto=fat", "-C", "embed-bitcode=yes"), ("-C", "lto=thin"),
    ):  # fmt: skip
        for _ in range(2):
            build(w, *more, kind="bin")
    w.write("p.profdata", "this is none")
    build(w, "-C", "profile-use=p.profdata", kind="bin")
    w.remove("p.profdata")
    build(w, "-C", "profile-use=p.profdata", kind="bin")


@scenario("sh")
def test_several_kinds_at_once(w: World) -> None:
    """rlib, cdylib and staticlib of one compile."""
    w.write("a.rs", SHARED)
    cached(w, "--crate-type", "cdylib", "--crate-type", "staticlib")
    w.write("a.rs", SHARED.replace("7", "8"))
    changed(w, "--crate-type", "cdylib", "--crate-type", "staticlib")
