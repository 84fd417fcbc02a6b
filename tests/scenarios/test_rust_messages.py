"""What rustc says: replayed as it is, formatted as asked, of this source and not of another."""

import pytest
from arena import ANY, HIT, MISS, RECOMPILE, Arena, World, scenario
from arena.rust import build, cached, changed, rustc

WARNS = "pub fn two() -> u32 { let unused = 1; 2 }\n"
FORMATS = {
    "plain": (), "short": ("--error-format=short",), "json": ("--error-format=json",), "coloured": ("--color=always",),
    "as cargo": ("--error-format=json", "--json=diagnostic-rendered-ansi,artifacts,future-incompat"), "narrow": ("--diagnostic-width=20",),
    "short json": ("--error-format=json", "--json=diagnostic-short"), "unused": ("--error-format=json",
    "--json=unused-externs-silent,artifacts"),
}  # fmt: skip


@pytest.mark.parametrize("how", FORMATS)
def test_warnings_are_told_again(arena: Arena, how: str) -> None:
    """In each format, and with none of what another format said."""

    def steps(w: World) -> None:
        w.write("a.rs", WARNS)
        w.write("q.rs", "pub fn quiet() {}\n")
        build(w, *FORMATS[how], expect=MISS)
        build(w, *FORMATS[how], expect=HIT)
        build(w, source="q.rs")
        build(w, *FORMATS[how], source="q.rs")
        build(w, *FORMATS[how], source="q.rs", emit="metadata")
        build(w, "-g", source="q.rs", kind="rlib")

    arena.play(steps)


@scenario("sh")
def test_all_formats_one_after_the_other(w: World) -> None:
    """Each is right, first and again."""
    w.write("a.rs", WARNS)
    for _ in range(2):
        for words in FORMATS.values():
            build(w, *words)


@scenario("sh")
def test_on_a_terminal(w: World) -> None:
    """Colours there, none elsewhere; TERM=dumb and NO_COLOR."""
    w.write("a.rs", WARNS)
    for _ in range(2):
        for env in (
            {"TERM": "xterm-256color"},
            {"TERM": "dumb"},
            {"TERM": "xterm", "NO_COLOR": "1"},
            {"TERM": "xterm", "COLORTERM": "truecolor"},
        ):
            build(w, tty=True, env=env)
            build(w, env=env)


@scenario("sh")
def test_errors_are_not_kept(w: World) -> None:
    """They are told each time; when the source is right, it compiles; when it is wrong again, it does not."""
    w.write("a.rs", 'pub fn f() -> u32 { "text" }\n')
    for words in (FORMATS["plain"], FORMATS["as cargo"], FORMATS["plain"]):
        build(w, *words, expect=RECOMPILE)
    w.write("a.rs", "pub fn f() -> u32 { 1 }\n")
    changed(w, expect=MISS)
    w.write("a.rs", 'pub fn f() -> u32 { "text" }\n')
    changed(w)


@scenario("sh")
def test_levels_of_lints(w: World) -> None:
    """-D, -A, --cap-lints: the same source warns, fails or is silent."""
    w.write("a.rs", WARNS)
    cached(w)
    changed(w, "-D", "unused")
    changed(w, "-A", "unused")
    changed(w, "--cap-lints", "warn", "-D", "unused")
    changed(w, "--cap-lints", "allow", "-D", "unused")
    changed(w, "-D", "warnings")
    build(w, "-A", "unused", expect=HIT)


@scenario("sh")
def test_a_comment_changes(w: World) -> None:
    """A line more: warnings name other lines, and so do the outputs."""
    w.write("a.rs", WARNS)
    cached(w)
    w.write("a.rs", "// one\n" + WARNS)
    changed(w)
    w.write("a.rs", WARNS + "// at the end\n")
    changed(w)


@scenario("sh")
def test_cargos_questions(w: World) -> None:
    """-vV, --print: the same answers, also for another target, flags and environment."""
    w.mkdir("out")
    questions = (
        ("-vV",), ("--version",), ("--print", "sysroot"), ("--print=cfg", "-C", "target-feature=+avx2"),
        ("--print", "cfg", "--target", "i686-unknown-linux-gnu"),
        ("--print=target-list",), ("--print", "native-static-libs"), ("--print", "nothing-such"), ("-C", "help"), ("--explain", "E0001"),
        ("-", "--crate-name", "___", "--print=file-names", "--crate-type", "bin", "--crate-type", "cdylib", "--print=sysroot",
        "--print=cfg"),
        ("-", "--crate-name", "___", "--print=file-names", "--check-cfg", "cfg(x)", "--print=check-cfg", "-Zunstable-options"),
        ("--print", "cfg", "-C", "target-cpu=native"),
    )  # fmt: skip
    for _ in range(2):
        for words in questions:
            w.run(rustc(), *words)
    w.run(rustc(), "--print", "cfg", env={"RUSTFLAGS": "-C target-feature=+avx2", "RUSTC_BOOTSTRAP": "1"})


@scenario("sh")
def test_print_to_a_file(w: World) -> None:
    """--print=KIND=PATH: the file is written each time; link-args beside a compile."""
    w.write("a.rs", "fn main() {}\n")
    for _ in range(2):
        w.path("cfg").unlink(missing_ok=True)
        w.run(rustc(), "--print=cfg=cfg")
    for _ in range(2):
        build(w, "--print=native-static-libs", kind="staticlib")
    for _ in range(2):
        w.path("libs").unlink(missing_ok=True)
        build(w, "--print=native-static-libs=libs", kind="staticlib")


@scenario("sh")
def test_a_variable_makes_rustc_talk(w: World) -> None:
    """RUSTC_LOG, and what one asks for with -Z on a nightly."""
    w.write("a.rs", WARNS)
    build(w, expect=MISS)
    build(w, env={"RUSTC_LOG": "rustc_interface=info"}, expect=ANY)
    build(w, env={"RUSTC_LOG": "nonsense=="}, expect=ANY)
    build(w, "-Zmacro-backtrace", "-Ztreat-err-as-bug=0", channel="nightly", expect=ANY)
    build(w, "-Zinput-stats", channel="nightly")
    build(w, "-Zinput-stats", channel="nightly")


@scenario("sh")
def test_clippy_finds_its_settings(w: World) -> None:
    """clippy.toml appears, changes, goes; CLIPPY_ARGS, CLIPPY_CONF_DIR."""
    driver = rustc().removesuffix("rustc") + "clippy-driver"
    w.write("a.rs", "pub fn f(a: u8, b: u8, c: u8, d: u8) -> u8 { a + b + c + d }\n")
    w.mkdir("out")
    w.mkdir("conf")

    def clippy(**env: str) -> object:
        env = {"CARGO_MANIFEST_DIR": str(w.root), **env}
        return w.run(
            driver,
            rustc(),
            "--crate-name",
            "a",
            "--edition=2021",
            "a.rs",
            "--crate-type",
            "lib",
            "--emit=dep-info,metadata",
            "--out-dir",
            "out",
            env=env,
        )

    clippy()
    clippy()
    w.write("clippy.toml", "too-many-arguments-threshold = 2\n")
    clippy()
    clippy()
    w.write("clippy.toml", "too-many-arguments-threshold = 3\n")
    clippy()
    w.write("clippy.toml", "too-many-arguments-threshold = 9\n")
    clippy()
    w.write("conf/.clippy.toml", "too-many-arguments-threshold = 2\n")
    clippy(CLIPPY_CONF_DIR=str(w.path("conf")))
    w.remove("clippy.toml")
    clippy()
    clippy(CLIPPY_ARGS="-W__CLIPPY_HACKERY__clippy::pedantic__CLIPPY_HACKERY__")
    clippy(CLIPPY_ARGS="-W__CLIPPY_HACKERY__clippy::pedantic__CLIPPY_HACKERY__-Dclippy::all__CLIPPY_HACKERY__")
    clippy(CLIPPY_DISABLE_DOCS_LINKS="1")
    clippy()
