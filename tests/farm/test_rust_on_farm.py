"""rustc through a farm: every kind of crate is what a compile here makes, byte for byte; what no worker can do says why in the log."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.farm.harness.farm import Client, Farm
from tests.farm.harness.network import Network
from tests.projects.rust_workspace import make

SOURCES = {
    "src/lib.rs": """//! Every way to read something.
#![allow(unused)]
pub mod beside;
#[path = "odd/place.rs"]
pub mod renamed;
pub mod nested { pub mod deep; }
pub const TEXT: &str = include_str!("../data/text.txt");
pub const BYTES: &[u8] = include_bytes!("../data/bytes.bin");
pub const SHARED: &str = include_str!("../../shared/far.txt");
include!(concat!(env!("OUT_DIR"), "/generated.rs"));
pub const FLAVOUR: &str = env!("BUILD_FLAVOUR", "the build script sets it");
pub const NOT_SET: Option<&str> = option_env!("BUILD_NOWHERE");
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub fn where_am_i() -> (&'static str, u32, &'static str) { (file!(), line!(), module_path!()) }
#[inline(never)] pub fn panics(n: usize) -> u8 { BYTES[n + GENERATED] }
pub fn generic<T: std::fmt::Debug>(x: T) -> String { format!("{x:?}") }
""",
    "src/beside.rs": "pub fn warned() { let never_used = 1; }\n",
    "src/odd/place.rs": "pub struct Odd(pub u64);\n",
    "src/nested/deep.rs": "#[derive(Debug, Clone)] pub struct Deep { pub odd: u8 }\n",
    "data/text.txt": "text\n",
    "data/bytes.bin": "\0\1\2\3",
    "../shared/far.txt": "outside of the package\n",
    "target/build/out/generated.rs": "pub const GENERATED: usize = 3;\n",
    "macros.rs": """extern crate proc_macro; use proc_macro::TokenStream;
#[proc_macro_derive(Named)] pub fn named(_: TokenStream) -> TokenStream { r#"pub const NAME: &str = "named";"#.parse().unwrap() }
#[proc_macro] pub fn asks(_: TokenStream) -> TokenStream { format!("{:?}", std::env::var("ASKED_BY_MACRO")).parse().unwrap() }
""",
    "derived.rs": "#[derive(macros::Named)] pub struct S; pub fn f() -> &'static str { NAME }\n",
    "asking.rs": "pub fn f() -> Result<&'static str, ()> { macros::asks!().map_err(|_: ()| ()) }\n",
    "plain.rs": "pub fn add(a: u32, b: u32) -> u32 { a + b }\n",
    "main.rs": 'fn main() { println!("{}", plain::add(1, 2)); }\n',
    "user.rs": "pub fn twice(a: u32) -> u32 { plain::add(a, a) }\n",
    "hidden.rs": """macro_rules! ask { ($name:expr) => { option_env!($name) } }
pub const HIDDEN: Option<&str> = ask!(concat!("HIDDEN", "_NAME"));
""",
    "broken.rs": 'pub fn f() -> u32 { "text" }\n',
    "missing.rs": "mod nowhere_to_be_found;\n",
}
SETTINGS = {
    "BUILD_FLAVOUR": "vanilla", "CARGO_PKG_VERSION": "1.2.3", "CARGO_PKG_NAME": "things", "CARGO_CRATE_NAME": "things",
    "HIDDEN_NAME": "hidden", "ASKED_BY_MACRO": "asked",
}  # fmt: skip
MESSAGES = "--error-format=json --json=diagnostic-rendered-ansi,artifacts,future-incompat"
LIB = f"--crate-name things src/lib.rs --crate-type lib --emit=dep-info,metadata,link --out-dir out -L dependency=out {MESSAGES}"
PLAIN = "--crate-name plain plain.rs --crate-type lib --emit=dep-info,metadata,link --out-dir deps"
OUT = "--emit=dep-info,metadata,link --out-dir out"


@dataclass(frozen=True)
class Case:
    """A call of rustc."""

    words: str
    reason: str = ""
    """Why no worker does it, in the words of the log; empty: one does."""
    program: str = "rustc"
    status: int = 0


CASES = {
    "debug": Case(f"{LIB} -C debuginfo=2 -C metadata=a1 -C extra-filename=-a1"),
    "release": Case(f"{LIB} -C opt-level=3 -g -C codegen-units=4 -C embed-bitcode=no"),
    "rmeta": Case(f"{LIB.replace(',link', '')} -C metadata=b1"),
    "human messages": Case(LIB.replace(MESSAGES, "")),
    "cpu": Case(f"{LIB} -C target-cpu=x86-64-v3 -C opt-level=2"),
    "own cpu": Case(f"{LIB} -C target-cpu=native", "processor"),
    "remapped": Case(f"{LIB} -g --remap-path-prefix=@folder@=/builds"),
    "unpacked": Case(f"{LIB} -g -C split-debuginfo=unpacked", "not cached: split-debuginfo"),
    "objects": Case(
        "--crate-name plain plain.rs --crate-type lib --emit=dep-info,link,obj,asm,llvm-ir,mir --out-dir out", "unsupported --emit"
    ),
    "tests": Case(f"--crate-name things src/lib.rs --test --emit=dep-info,metadata --out-dir out {MESSAGES}"),
    "extern": Case(f"--crate-name user user.rs --crate-type lib {OUT} --extern plain=deps/libplain.rmeta -L dependency=deps"),
    "static library": Case(f"--crate-name st plain.rs --crate-type staticlib {OUT}"),
    "cdylib": Case(f"--crate-name cd plain.rs --crate-type cdylib {OUT}", "it links"),
    "program": Case(f"--crate-name p main.rs --crate-type bin {OUT} --extern plain=deps/libplain.rlib -L dependency=deps", "it links"),
    "macros": Case(f"--crate-name macros macros.rs --crate-type proc-macro {OUT}", "it links"),
    "uses macros": Case(f"--crate-name derived derived.rs --crate-type lib {OUT} --extern macros=deps/libmacros.so"),
    "macro asks": Case(f"--crate-name asking asking.rs --crate-type lib {OUT} --extern macros=deps/libmacros.so", "ASKED_BY_MACRO"),
    "hidden name": Case(f"--crate-name hidden hidden.rs --crate-type lib {OUT}", "HIDDEN_NAME"),
    "clippy": Case(f"rustc {LIB.replace(',link', '')}", program="clippy-driver"),
    "error": Case(f"--crate-name broken broken.rs --crate-type lib {OUT} {MESSAGES}", "ended with status 1", status=1),
    "no module": Case(f"--crate-name missing missing.rs --crate-type lib {OUT}", "ended with status 1", status=1),
}


@pytest.fixture(scope="module", params=["root", "ordinary user"])
def client(request, network: Network, command: Path) -> Iterator[Client]:
    """Of a farm with one worker; without root it has user namespaces, and the client is who may read the toolchain."""
    is_ordinary = request.param == "ordinary user"
    farm = Farm(network, command, is_ordinary=is_ordinary)
    try:
        farm.add_scheduler()
        farm.add_worker("w1")
        made = farm.add_client("c1", env=_environment(farm))
        made.is_ordinary = False
        farm.start()
        yield made
    finally:
        farm.close()


def _environment(farm: Farm) -> dict[str, str]:
    try:
        found = make.environment(farm.folder)
    except make.NotPossibleError as why:
        pytest.skip(str(why))
    return {name: found[name] for name in ("RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "PATH") if name in found}


class Crates:
    """A folder with sources, and what calls of rustc make of them."""

    def __init__(self, folder: Path, client: Client) -> None:
        self.folder, self.client = folder, client
        for name, text in SOURCES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.settings = {**SETTINGS, "CARGO_MANIFEST_DIR": str(folder), "OUT_DIR": str(folder / "target" / "build" / "out")}
        (folder / "deps").mkdir()
        for words in (PLAIN, "--crate-name macros macros.rs --crate-type proc-macro --out-dir deps"):
            done = self.run([], "rustc", words)
            assert done.returncode == 0, done.stderr

    def run(self, front: list[Path], program: str, words: str) -> subprocess.CompletedProcess[bytes]:
        """rustc, in an empty `out`."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()
        argv = [*front, program, "--edition=2021", *words.replace("@folder@", str(self.folder)).split()]
        if program != "rustc":  # its first argument is rustc
            argv[len(front) + 1 : len(front) + 3] = ["rustc", "--edition=2021"]
        return self.client.run(argv, self.folder, self.settings)

    def made(self, front: list[Path], case: Case) -> dict[str, object]:
        """Everything that can be seen of a call."""
        done = self.run(front, case.program, case.words)
        files = {path.name: (path.stat().st_mode, path.read_bytes()) for path in (self.folder / "out").iterdir()}
        return {"status": done.returncode, "stdout": done.stdout, "stderr": done.stderr, **files}


@pytest.fixture(scope="module")
def crates(client: Client) -> Crates:
    """Sources with all that they need."""
    return Crates(client.home / "crates", client)


def _differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


@pytest.mark.parametrize("name", CASES)
def test_as_compiled_here(client: Client, crates: Crates, name: str) -> None:
    """Files with their modes, both streams, exit code: from a worker, from the cache, and from rustc itself."""
    case = CASES[name]
    if shutil.which(case.program, path=client.env["PATH"]) is None:
        pytest.skip(f"needs {case.program}, which is not installed")
    plain = crates.made([], case)
    assert plain["status"] == case.status, plain["stderr"]
    client.forget()
    said = len(client.log())
    built = crates.made([client.command], case)
    assert _differing(plain, built) == [], (plain, built)
    counted, log = client.counted(), client.log()[said:]
    assert counted.errors == 0, client.troubles()
    assert counted.remote == (0 if case.reason else 1), log
    told = [line for line in log.splitlines() if "compiled here" in line or "not cached" in line]
    assert [line for line in told if case.reason in line] == told, (told, log)
    assert bool(told) == bool(case.reason), log
    assert _differing(plain, crates.made([client.command], case)) == []
    assert client.counted().remote == counted.remote


def test_second_checkout(client: Client, crates: Crates) -> None:
    """Another folder, compiled on a worker as well: what its own rustc makes of it."""
    other = Crates(crates.folder.with_name("other-checkout"), client)
    for name in ("debug", "remapped"):
        plain = other.made([], CASES[name])
        client.forget()
        assert crates.made([client.command], CASES[name])["status"] == 0
        assert _differing(plain, other.made([client.command], CASES[name])) == []
        assert client.counted().remote >= 1, client.log()[-4000:]
        assert client.counted().errors == 0, client.troubles()


def test_an_input_that_changes(client: Client, crates: Crates) -> None:
    """What is included, a module, a variable: the worker gets the new one."""
    client.forget()
    case = CASES["debug"]
    assert crates.made([client.command], case)["status"] == 0
    for number, change in enumerate(("data/text.txt", "src/odd/place.rs", "target/build/out/generated.rs", "../shared/far.txt", "")):
        if change:
            with (crates.folder / change).open("a") as file:
                file.write("// changed\n")
        else:
            crates.settings["BUILD_FLAVOUR"] = "lemon"
        assert _differing(crates.made([], case), crates.made([client.command], case)) == [], change
        assert client.counted().remote == number + 2, (change, client.log()[-4000:])
    assert client.counted().errors == 0, client.troubles()
