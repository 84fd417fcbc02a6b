"""Small packages as cargo builds them, with the cache as RUSTC_WRAPPER."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from arena import ANY, HIT, World, scenario
from arena.rust import toolchain
from arena.world import Step

MANIFEST = '[package]\nname = "a"\nversion = "0.1.0"\nedition = "2021"\n'


def _begin(w: World, manifest: str = "") -> None:
    w.env |= {
        "PATH": f"{toolchain()}/bin:/usr/bin:/bin", "CARGO_HOME": str(w.home / "cargo"), "CARGO_TERM_PROGRESS_WHEN": "never",
        "CARGO_INCREMENTAL": "0",
        "CARGO_NET_OFFLINE": "true", "CARGO_TARGET_DIR": str(w.home / "target"), "CARGO_TERM_QUIET": "true",
    }  # fmt: skip
    shutil.rmtree(w.home / "target", ignore_errors=True)
    w.write("Cargo.toml", MANIFEST + manifest)
    w.write("src/lib.rs", "pub fn two() -> u32 { let unused = 1; 2 }\n")
    w.write("src/main.rs", 'fn main() { println!("{} {:?}", a::two(), option_env!("SHOWN")); }\n')


def _cargo(
    w: World, *words: str, expect: str = ANY, cwd: str = ".", env: Mapping[str, str | None] | None = None, clean: bool = False
) -> Step:
    """Run cargo; in the cached run with the cache before each rustc."""
    if clean:
        shutil.rmtree(w.home / "target", ignore_errors=True)
    front = {"RUSTC_WRAPPER": w.front.strip()} if w.cached else {}
    return w.tool(toolchain() / "bin" / "cargo", *words, expect=expect, cwd=cwd, env={**front, **(env or {})})


def _show(w: World, name: str = "a", profile: str = "debug") -> None:
    w.tool(w.home / "target" / profile / name)


@scenario("sh")
def test_build_clean_build(w: World) -> None:
    """Debug, release, check and tests; all of it again from the cache, warnings too."""
    _begin(w)
    commands = (("build",), ("build", "--release"), ("check",), ("test", "--no-run"), ("run",))
    for words in commands:
        _cargo(w, *words)
    for number, words in enumerate(commands):
        _cargo(w, *words, clean=number == 0, expect=ANY if words == ("run",) else HIT)
    _show(w)


@scenario("sh")
def test_nothing_to_do_afterwards(w: World) -> None:
    """What came from the cache is fresh to cargo."""
    _begin(w)
    _cargo(w, "build")
    _cargo(w, "build", clean=True, expect=HIT)
    step = _cargo(w, "build", "--message-format=json")
    if b'"fresh":true' not in step.stdout or b'"fresh":false' in step.stdout:
        raise AssertionError(step.stdout)


@scenario("sh")
def test_edits_one_after_the_other(w: World) -> None:
    """Library, program, a module that comes and goes, a feature, a version."""
    _begin(w, "[features]\nx = []\n")
    for name, text in (
        ("src/lib.rs", "pub fn two() -> u32 { 22 }\n"), ("src/lib.rs", "mod b;\npub fn two() -> u32 { b::N }\n"),
        ("src/b.rs", "pub const N: u32 = 5;\n"),
        ("src/b/mod.rs", "pub const N: u32 = 6;\n"), ("src/lib.rs", 'pub fn two() -> u32 { if cfg!(feature = "x") { 1 } else { 0 } }\n'),
        ("Cargo.toml", MANIFEST.replace("0.1.0", "0.2.0") + "[features]\nx = []\n"),
        ("src/main.rs", 'fn main() { println!("{}", env!("CARGO_PKG_VERSION")); }\n'),
    ):  # fmt: skip
        w.write(name, text)
        w.path(name).touch()
        _cargo(w, "run")
        _cargo(w, "run", "--features", "x")


@scenario("sh")
def test_a_variable_of_the_source(w: World) -> None:
    """option_env!: cargo asks for a compile when it changes, and gets the right one."""
    _begin(w)
    for value in ("one", "two", None, "one"):
        _cargo(w, "run", env={"SHOWN": value})
        _cargo(w, "run", env={"SHOWN": value}, clean=True)


@scenario("sh")
def test_a_build_script(w: World) -> None:
    """Generates code, gives variables and cfgs, builds and links a C library; each changes."""
    _begin(w)
    w.write(
        "build.rs",
        "use std::{env, fs, path::Path, process::Command};\nfn main() {\n"
        'let out = env::var("OUT_DIR").unwrap(); let n = fs::read_to_string("n.txt").unwrap();\n'
        'fs::write(Path::new(&out).join("gen.rs"), format!("pub const N: u32 = {n};")).unwrap();\n'
        'assert!(Command::new("gcc").args(["-c", "v.c", "-o"]).arg(format!("{out}/v.o")).status().unwrap().success());\n'
        'let _ = fs::remove_file(format!("{out}/libv.a"));\n'
        'assert!(Command::new("ar").arg("rcsD").arg(format!("{out}/libv.a")).arg(format!("{out}/v.o")).status().unwrap().success());\n'
        'println!("cargo::rustc-link-search=native={out}\\ncargo::rustc-link-lib=static=v\\ncargo::rustc-env=GIVEN={n}");\n'
        'println!("cargo::rerun-if-changed=n.txt\\ncargo::rerun-if-changed=v.c\\ncargo::rustc-check-cfg=cfg(big)");\n'
        'if n.len() > 1 { println!("cargo::rustc-cfg=big"); } }\n',
    )
    w.write("src/lib.rs", 'include!(concat!(env!("OUT_DIR"), "/gen.rs"));\nunsafe extern "C" { pub safe fn v() -> i32; }\n')
    w.write("src/main.rs", 'fn main() { println!("{} {} {} {}", a::N, a::v(), env!("GIVEN"), cfg!(big)); }\n')
    for number, value in (("1", "10"), ("2", "10"), ("2", "20"), ("33", "20"), ("1", "10")):
        w.write("n.txt", number)
        w.path("n.txt").touch()
        w.write("v.c", f"int v(void) {{ return {value}; }}\n")
        w.path("v.c").touch()
        _cargo(w, "run")
        _cargo(w, "run", clean=True)


@scenario("sh")
def test_a_procedural_macro_of_the_workspace(w: World) -> None:
    """It reads a file of the package and a variable that cargo knows nothing of."""
    _begin(w, '[dependencies]\nm = { path = "m" }\n')
    w.write("m/Cargo.toml", MANIFEST.replace('"a"', '"m"') + "[lib]\nproc-macro = true\n")
    macro = (
        "#[proc_macro] pub fn m(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n"
        'let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();\n'
        'format!("\\"{} {}\\"", std::fs::read_to_string(dir + "/d.txt").unwrap(), '
        'std::env::var("SECRET").unwrap_or_default()).parse().unwrap() }\n'
    )
    w.write("m/src/lib.rs", macro)
    w.write("src/lib.rs", "pub fn two() -> &'static str { m::m!() }\n")
    for text, secret in (("one", "1"), ("two", "1"), ("two", "2"), ("one", "1")):
        w.write("d.txt", text)
        _cargo(w, "run", env={"SECRET": secret}, clean=True)
    w.write("m/src/lib.rs", macro.replace('"\\"{} {}', '"\\"new {} {}'))
    _cargo(w, "run", clean=True)


@scenario("sh")
def test_incremental(w: World) -> None:
    """CARGO_INCREMENTAL=1 passes through and works."""
    _begin(w)
    for text in ("2", "3", "3"):
        w.write("src/lib.rs", f"pub fn two() -> u32 {{ {text} }}\n")
        w.path("src/lib.rs").touch()
        _cargo(w, "run", env={"CARGO_INCREMENTAL": "1"})


@scenario("sh")
def test_flags_from_everywhere(w: World) -> None:
    """RUSTFLAGS, configuration, profiles."""
    _begin(w, '[profile.dev]\nopt-level = 1\n[profile.release]\nlto = true\npanic = "abort"\n')
    for flags in ("", "--cfg x --check-cfg cfg(x)", "-C target-cpu=native", "-D warnings", "-C instrument-coverage", ""):
        _cargo(w, "build", env={"RUSTFLAGS": flags, "LLVM_PROFILE_FILE": "/dev/null"})
        _cargo(w, "build", env={"RUSTFLAGS": flags, "LLVM_PROFILE_FILE": "/dev/null"}, clean=True)
    w.write(".cargo/config.toml", '[build]\nrustflags = ["-A", "warnings"]\n')
    _cargo(w, "build", "--release")
    _cargo(w, "build", "--release", clean=True, expect=HIT)
    _show(w, profile="release")


@scenario("sh")
def test_errors_and_right_again(w: World) -> None:
    """The error is told each time; then it compiles."""
    _begin(w)
    good = w.path("src/lib.rs").read_text()
    for text in (good, "pub fn two() -> u32 { nothing }\n", "pub fn two() -> u32 { nothing }\n", good):
        w.write("src/lib.rs", text)
        w.path("src/lib.rs").touch()
        for words in (("check",), ("build",), ("check", "--message-format=short")):
            _cargo(w, *words)


@scenario("sh")
def test_two_checkouts(w: World) -> None:
    """A copy of the package elsewhere has its own target directory, and its own messages."""
    _begin(w)
    for place in ("one", "another/one"):
        for name in ("Cargo.toml", "src/lib.rs", "src/main.rs"):
            w.write(f"{place}/{name}", w.path(name).read_bytes())
    for words in (("build", "--release"), ("build",), ("check", "--message-format=json")):
        for place in ("one", "another/one", "one"):
            target = str(w.home / "target" / Path(place).parent.name)
            shutil.rmtree(target, ignore_errors=True)
            _cargo(w, *words, cwd=place, env={"CARGO_TARGET_DIR": target})


@scenario("sh")
def test_clippy(w: World) -> None:
    """As a workspace wrapper behind the cache; clippy.toml appears; a lint becomes an error."""
    _begin(w)
    w.write("src/lib.rs", "pub fn f(a: u8, b: u8, c: u8) -> bool { vec![a, b, c].len() == 0 }\npub fn two() -> u32 { 2 }\n")
    _cargo(w, "clippy")
    _cargo(w, "clippy", clean=True)
    w.write("clippy.toml", "too-many-arguments-threshold = 2\n")
    _cargo(w, "clippy", clean=True)
    _cargo(w, "clippy", "--", "-D", "warnings")
    _cargo(w, "clippy", clean=True)


@scenario("sh")
def test_documentation_and_questions(w: World) -> None:
    """rustdoc has no wrapper; `cargo rustc --print` is answered."""
    _begin(w)
    _cargo(w, "doc")
    _cargo(w, "rustc", "--lib", "--", "--print", "cfg")
    _cargo(w, "rustc", "--lib", "--", "-C", "save-temps")
    _cargo(w, "build", clean=True)
