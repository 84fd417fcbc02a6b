"""What rustc reads: files, names that are not there, variables, options."""

from arena import HIT, MISS, RECOMPILE, UNCACHED, World, scenario
from arena.rust import build, cached, changed, rustc


@scenario("sh")
def test_an_included_file_changes(w: World) -> None:
    """include_str!, include_bytes! and include! of files inside and outside of the crate."""
    w.write("in/a.rs", 'pub const A: &str = include_str!("d.txt");\npub const B: &[u8] = include_bytes!("../b.bin");\ninclude!("c.in");\n')
    w.write("in/d.txt", "one")
    w.write("b.bin", "one")
    w.write("in/c.in", "pub const C: u8 = 1;\n")
    cached(w, source="in/a.rs")
    for name, text in (("in/d.txt", "two"), ("b.bin", "two"), ("in/c.in", "pub const C: u8 = 2;\n")):
        w.write(name, text)
        changed(w, source="in/a.rs")
    w.write("b.bin", "one")
    w.write("in/d.txt", "one")
    w.write("in/c.in", "pub const C: u8 = 1;\n")
    build(w, source="in/a.rs", expect=HIT)


@scenario("sh")
def test_an_included_file_is_rewritten_unseen(w: World) -> None:
    """Size and modification time are what they were."""
    w.write("a.rs", 'pub const A: &str = include_str!("d.txt");\n')
    w.write("d.txt", "one")
    cached(w)
    w.rewrite_unseen("d.txt", "two")
    changed(w)


@scenario("sh")
def test_a_module_changes(w: World) -> None:
    """mod in a file, in a directory, by #[path], through a symlink that is pointed elsewhere."""
    w.write("a.rs", 'pub mod one;\npub mod two;\n#[path = "else/where.rs"] pub mod three;\npub mod four;\n')
    for name in ("one.rs", "two/mod.rs", "else/where.rs", "first/four.rs", "second/four.rs"):
        w.write(name, f'pub const NAME: &str = "{name}";\n')
    w.symlink("four.rs", "first/four.rs")
    cached(w)
    for name in ("one.rs", "two/mod.rs", "else/where.rs"):
        w.write(name, 'pub const NAME: &str = "edited";\n')
        changed(w)
    w.symlink("four.rs", "second/four.rs")
    changed(w)


@scenario("sh")
def test_a_second_file_for_a_module_appears(w: World) -> None:
    """foo.rs is there, foo/mod.rs comes: rustc refuses to choose.  It goes: as before."""
    w.write("a.rs", "pub mod foo;\n")
    w.write("foo.rs", "pub const N: u8 = 1;\n")
    cached(w)
    w.write("foo/mod.rs", "pub const N: u8 = 2;\n")
    changed(w)
    w.remove("foo/mod.rs")
    build(w, expect=HIT)
    w.remove("foo.rs")
    changed(w)


@scenario("sh")
def test_a_module_moves_to_a_directory(w: World) -> None:
    """foo.rs becomes foo/mod.rs with the same text: what file! says is another."""
    w.write("a.rs", "pub mod foo;\n")
    w.write("foo.rs", "pub const N: &str = file!();\n")
    cached(w)
    w.mkdir("foo")
    w.rename("foo.rs", "foo/mod.rs")
    changed(w)


@scenario("sh")
def test_a_variable_in_the_source(w: World) -> None:
    """env! and option_env!: another value, none, an empty one, one that is no UTF-8."""
    w.write("a.rs", 'pub const A: Option<&str> = option_env!("OPT");\npub const B: &str = env!("MUST");\n')
    cached(w, env={"MUST": "1"})
    changed(w, env={"MUST": "2"})
    changed(w, env={"MUST": "2", "OPT": ""})
    changed(w, env={"MUST": "2", "OPT": "x"})
    changed(w, env={"OPT": "x"})
    build(w, env={"MUST": "1"}, expect=HIT)
    build(w, env={"MUST": "2", "OPT": "x", "OTHER": "y"}, expect=HIT)


@scenario("sh")
def test_a_variable_says_which_file(w: World) -> None:
    """include! of a name that a variable gives, whole or in part; the other place has another file."""
    w.write("a.rs", 'include!(concat!(env!("OUT_DIR"), "/gen.rs"));\npub const S: &str = include_str!(env!("WHICH"));\n')
    for place in ("one", "two"):
        w.write(f"{place}/gen.rs", f'pub const N: &str = "{place}";\n')
        w.write(f"{place}.txt", place)
    places = {name: str(w.path(name)) for name in ("one", "two")}
    cached(w, env={"OUT_DIR": places["one"], "WHICH": "one.txt"})
    changed(w, env={"OUT_DIR": places["two"], "WHICH": "one.txt"})
    changed(w, env={"OUT_DIR": places["two"], "WHICH": "two.txt"})
    w.write("two/gen.rs", 'pub const N: &str = "edited";\n')
    changed(w, env={"OUT_DIR": places["two"], "WHICH": "two.txt"})


@scenario("sh")
def test_a_variable_spelled_in_parts(w: World) -> None:
    """A crate that includes from OUT_DIR and elsewhere computes with its value, spelled so that no search finds it."""
    w.write(
        "a.rs",
        'include!(concat!(env!("OUT_DIR"), "/gen.rs"));\nfn main() { println!("{}", N + const { env!(concat!("OUT_", "DIR")).len() }); }\n',
    )
    for place in ("o", "longer"):
        w.write(f"{place}/gen.rs", "pub const N: usize = 1;\n")
    bare = ("-C", "strip=symbols", "-C", "opt-level=3")
    build(w, *bare, kind="bin", emit="link", env={"OUT_DIR": str(w.path("o"))}, expect=MISS)
    changed(w, *bare, kind="bin", emit="link", env={"OUT_DIR": str(w.path("longer"))})


@scenario("sh")
def test_RUSTC_BOOTSTRAP_allows_features(w: World) -> None:
    """A stable compiler takes #![feature] only with RUSTC_BOOTSTRAP, for all crates or named ones."""
    w.write("a.rs", "#![feature(never_type)]\npub fn f() -> ! { loop {} }\n")
    build(w, expect=RECOMPILE)
    changed(w, env={"RUSTC_BOOTSTRAP": "1"}, expect=MISS)
    build(w, env={"RUSTC_BOOTSTRAP": "1"}, expect=HIT)
    changed(w)
    changed(w, env={"RUSTC_BOOTSTRAP": "a"})
    changed(w, env={"RUSTC_BOOTSTRAP": "other"})


@scenario("sh")
def test_options_that_matter(w: World) -> None:
    """--cfg, -C, editions, names, --extern-less libraries: each gives a result of its own; in another spelling the same."""
    w.write("a.rs", 'pub fn f(x: u32) -> u32 { if cfg!(feature = "x") { x * 7 } else { x / 3 } }\n')
    cached(w)
    for more in (
        ("--cfg", 'feature="x"', "--check-cfg", 'cfg(feature, values("x"))'), ("-C", "opt-level=3"), ("-C", "debuginfo=2"),
        ("-C", "metadata=abc"), ("-C", "overflow-checks=on"), ("-C", "panic=abort"), ("-C", "target-cpu=haswell"),
        ("-C", "extra-filename=-q"), ("-C", "codegen-units=1", "-C", "opt-level=1"), ("--edition=2024",), ("-C", "relocation-model=static"),
    ):  # fmt: skip
        if more == ("--edition=2024",):
            continue  # given once already
        changed(w, *more)
        build(w, *more, expect=HIT)
    build(w, expect=HIT)


@scenario("sh")
def test_expected_names_of_cfg(w: World) -> None:
    """--check-cfg: a name becomes known, so the warning must go (sccache#2619)."""
    w.write("a.rs", "#[cfg(foo)]\npub fn f() {}\n")
    w.write("b.rs", '#[cfg(feature = "a")]\npub fn f() {}\n')
    cached(w, "--check-cfg", "cfg()")
    changed(w, "--check-cfg", "cfg(foo)")
    cached(w, "--check-cfg", 'cfg(feature, values("b"))', source="b.rs")
    changed(w, "--check-cfg", 'cfg(feature, values("a", "b"))', source="b.rs")


@scenario("sh")
def test_arguments_from_a_file(w: World) -> None:
    """@file: its content counts."""
    w.write("a.rs", "pub const X: bool = cfg!(x);\npub const Y: bool = cfg!(y);\n")
    w.write("args", "--cfg\nx\n--check-cfg=cfg(x, y)\n")
    cached(w, "@args")
    w.write("args", "--cfg\ny\n--check-cfg=cfg(x, y)\n")
    changed(w, "@args")
    w.remove("args")
    changed(w, "@args")


@scenario("sh")
def test_a_target_of_ones_own(w: World) -> None:
    """A target's JSON, by path and by RUST_TARGET_PATH: it changes; one appears earlier."""
    w.write("a.rs", "#![feature(no_core)]\n#![no_core]\n#![allow(internal_features)]\n")
    spec = w.tool(rustc("nightly"), "-Zunstable-options", "--print", "target-spec-json", "--target", "x86_64-unknown-none", compare=False)
    text = spec.stdout.decode()
    for place in ("one", "two"):
        w.write(f"{place}/my.json", text)
    more = ("-Zunstable-options", "--target", "one/my.json")
    build(w, *more, channel="nightly", expect=MISS)
    build(w, *more, channel="nightly", expect=HIT)
    other = text.replace('"panic-strategy": "abort"', '"panic-strategy": "unwind"')
    if other == text:
        raise AssertionError("the target has no such line")
    w.write("one/my.json", other)
    changed(w, *more, channel="nightly")
    more = ("-Zunstable-options", "--target", "my")
    build(w, *more, channel="nightly", env={"RUST_TARGET_PATH": f"{w.path('zero')}:{w.path('two')}"})
    build(w, *more, channel="nightly", env={"RUST_TARGET_PATH": f"{w.path('zero')}:{w.path('two')}"})
    w.write("zero/my.json", other)
    changed(w, *more, channel="nightly", env={"RUST_TARGET_PATH": f"{w.path('zero')}:{w.path('two')}"})


@scenario("sh")
def test_this_machines_processor(w: World) -> None:
    """target-cpu=native is cached for this processor."""
    w.write("a.rs", "pub fn f(x: &[u32]) -> u32 { x.iter().sum() }\n")
    cached(w, "-C", "target-cpu=native", "-C", "opt-level=3")
    changed(w, "-C", "target-cpu=x86-64", "-C", "opt-level=3")


@scenario("sh")
def test_passed_through(w: World) -> None:
    """Incremental compiles, source from stdin, side files: as rustc does them, counted as not cached."""
    w.write("a.rs", "pub fn f() {}\n")
    w.mkdir("out")
    w.run(
        rustc(),
        "--crate-name",
        "a",
        "--crate-type",
        "lib",
        "--emit=metadata",
        "--out-dir",
        "out",
        "-",
        stdin=b"pub fn g() {}\n",
        expect=UNCACHED,
    )
    w.run(
        rustc(),
        "--crate-name",
        "a",
        "--crate-type",
        "lib",
        "--emit=metadata",
        "--out-dir",
        "out",
        "-",
        stdin=b"pub fn h() {}\n",
        expect=UNCACHED,
    )
    for more in (("-C", "incremental=inc"), ("-C", "save-temps")):
        words = (rustc(), "--crate-name", "a", "--crate-type", "lib", "--emit=metadata", "--out-dir", "out", *more, "a.rs")
        for _ in range(2):
            w.run(*words, expect=UNCACHED, compare=False)


@scenario("sh")
def test_a_file_that_the_user_names_changes(w: World) -> None:
    """SCCACHE_EXTRAFILES: also of a compile that was answered before and is remembered."""
    w.write("a.rs", "pub fn f() {}\n")
    w.write("extra.txt", "one")
    w.env["SCCACHE_EXTRAFILES"] = "extra.txt"
    cached(w)
    build(w, expect=HIT)
    w.write("extra.txt", "two")
    build(w, expect=RECOMPILE)
