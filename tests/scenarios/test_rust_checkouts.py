"""Two checkouts of one crate: a result serves both where nothing in it names a place; where something does, it does not."""

import pytest
from arena import ANY, HIT, MISS, Arena, World, scenario
from arena.rust import build, macro_crate

PLACES = ("one", "another/longer")
LIBRARY = "pub fn f() -> &'static str { file!() }\npub fn g(x: Option<u8>) -> u8 { x.unwrap() }\n"
SILENT = ("-C", "strip=symbols", "-C", "opt-level=3")


def _both(w: World, text: str, *more: str, promise: str = ANY, absolute: bool = False, **how: object) -> None:
    """Compile here, there, and here again.  `@` stands for the checkout."""
    for number, place in enumerate((*PLACES, *PLACES)):
        top = str(w.path(place))
        w.write(f"{place}/src/a.rs", text)
        words = [word.replace("@", top) for word in more]
        env = {name: str(value).replace("@", top) for name, value in (how.get("env") or {}).items()}  # type: ignore[union-attr]
        expect = (MISS, promise, HIT, HIT)[number] if promise != ANY else ANY
        rest = {name: value for name, value in how.items() if name != "env"}
        source = f"{top}/src/a.rs" if absolute else "src/a.rs"
        build(w, *words, source=source, cwd=place, env=env, expect=expect, **rest)  # type: ignore[arg-type]


@scenario("sh")
def test_a_library_without_paths_serves_both(w: World) -> None:
    """--remap-path-prefix, as users and cargo's trim-paths give it."""
    more = ("--remap-path-prefix=@=/src", "-C", "embed-bitcode=no")
    _both(w, LIBRARY, *more, promise=HIT)
    _both(w, LIBRARY, *more, "-C", "debuginfo=2", promise=HIT)


@scenario("sh")
def test_a_program_without_paths_serves_both(w: World) -> None:
    """Release: a program whose bytes name no place."""
    _both(w, 'fn main() { println!("hello"); }\n', *SILENT, kind="bin", promise=HIT)


@scenario("sh")
def test_trimmed_on_a_nightly(w: World) -> None:
    """--remap-path-scope."""
    more = ("-Zunstable-options", "--remap-path-prefix=@=/src", "--remap-path-scope=all")
    _both(w, LIBRARY, *more, channel="nightly")
    _both(w, LIBRARY, *more[:2], "--remap-path-scope=object", "-g", channel="nightly")


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        (), ("-g",), ("-C", "embed-bitcode=no", "-g"), ("-C", "lto=fat"), ("-C", "instrument-coverage"),
        ("-g", "-C", "link-arg=-Wl,--compress-debug-sections=zlib"),
        ("-g", "-C", "link-arg=-gz"), ("-g", "-C", "link-args=-Wl,--compress-debug-sections=zlib"), ("-g", "-C", "link-arg=@../args"),
        ("-g", "-C", "split-debuginfo=packed"), ("-C", "strip=symbols", "-C", "instrument-coverage"),
    ],
)  # fmt: skip
def test_what_names_its_place_is_for_that_place(arena: Arena, more: tuple[str, ...], absolute: bool) -> None:
    """Debug information, packed or not, coverage, panics' places."""

    def steps(w: World) -> None:
        w.write("args", "-Wl,--compress-debug-sections=zlib\n")
        w.write("another/args", "-Wl,--compress-debug-sections=zlib\n")
        text = 'fn main() { let x: Option<usize> = std::env::args().next().map(|x| x.len()); println!("{}", x.unwrap()); }\n'
        _both(w, text, *more, kind="bin", absolute=absolute)

    arena.play(steps)


@pytest.mark.parametrize("absolute", [False, True])
def test_debug_information_of_a_library(arena: Arena, absolute: bool) -> None:
    """Libraries of each kind."""

    def steps(w: World) -> None:
        for kind in ("rlib", "staticlib", "cdylib"):
            _both(w, LIBRARY, "-g", kind=kind, absolute=absolute)
            _both(w, LIBRARY, kind=kind, absolute=absolute, emit="metadata,dep-info")

    arena.play(steps)


COMPUTED = {
    "file!": "const N: usize = file!().len();",
    "file! of a macro": "macro_rules! n { () => { file!().len() } }\nconst N: usize = n!();",
    "caller": "const N: usize = core::panic::Location::caller().file().len();",
    "include_bytes of file!": 'const N: usize = include_bytes!("a.rs").len() + file!().len();',
    "CARGO_MANIFEST_DIR": 'const N: usize = env!("CARGO_MANIFEST_DIR").len();',
    "CARGO_MANIFEST_DIR in parts": 'const N: usize = env!(concat!("CARGO_MANIFEST", "_DIR")).len();',
    "OUT_DIR beside an include": 'include!(concat!(env!("OUT_DIR"), "/gen.rs"));\nconst N: usize = env!(concat!("OUT_", "DIR")).len();',
    "OUT_DIR in a raw string": 'include!(concat!(env!("OUT_DIR"), "/gen.rs"));\nconst N: usize = env!(r"OUT_DIR").len();',
    "OUT_DIR escaped": 'include!(concat!(env!("OUT_DIR"), "/gen.rs"));\nconst N: usize = env!("OUT_\\x44IR").len();',
    "OUT_DIR in a comment": 'include!(concat!(env!("OUT_DIR"), "/gen.rs")); // include!(concat!(env!("OUT_DIR"),\nconst N: '
    'usize = env!("OUT_DIR",).len();',
    "generated code asks": 'include!(concat!(env!("OUT_DIR"), "/where.rs"));',
    "generated code asks its caller": 'include!(concat!(env!("OUT_DIR"), "/caller.rs"));',
    "include_str": 'const N: usize = include_str!(concat!(env!("OUT_DIR"), "/gen.rs")).len() + '
    'include_str!(concat!(env!("OUT_DIR"), "/path")).len();',
}


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("how", COMPUTED)
def test_a_program_that_computes_with_its_place(arena: Arena, how: str, absolute: bool) -> None:
    """A number is in the program, no name: it must be this checkout's number."""

    def steps(w: World) -> None:
        for place in PLACES:
            w.write(f"{place}/gen/gen.rs", "#[allow(unused)] pub const G: u8 = 1;\n")
            w.write(f"{place}/gen/where.rs", "const N: usize = file!().len();\n")
            w.write(f"{place}/gen/caller.rs", "const N: usize = core::panic::Location::caller().file().len();\n")
            w.write(f"{place}/gen/path", "x")
        text = COMPUTED[how] + "\nfn main() { std::process::exit(N as i32) }\n"
        _both(w, text, *SILENT, kind="bin", absolute=absolute, env={"CARGO_MANIFEST_DIR": "@", "OUT_DIR": "@/gen"})
        for place in PLACES:
            w.tool(w.path(place) / "out" / "a")

    arena.play(steps)


MACROS = {
    "current_dir": "std::env::current_dir().unwrap().as_os_str().len().to_string()",
    "current_dir, by the system": 'std::fs::read_link("/proc/self/cwd").unwrap().as_os_str().len().to_string()',
    "args": "std::env::args().map(|a| a.len()).sum::<usize>().to_string()",
    "span": "proc_macro::Span::call_site().file().len().to_string()",
    "span, local": "proc_macro::Span::call_site().local_file().unwrap().canonicalize().unwrap().as_os_str().len().to_string()",
    "CARGO_MANIFEST_DIR": 'std::env::var("CARGO_MANIFEST_DIR").unwrap().len().to_string()',
    "PWD of a child": 'String::from_utf8(std::process::Command::new("sh").args(["-c", "pwd | wc -c"]).output().unwrap().stdout).unwrap()',
    "canonicalize": 'std::fs::canonicalize("src").unwrap().as_os_str().len().to_string()',
}


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("how", MACROS)
def test_a_macro_that_computes_with_its_place(arena: Arena, how: str, absolute: bool) -> None:
    """The macro itself is one for both, as from a registry."""

    def steps(w: World) -> None:
        macro_crate(w, MACROS[how])
        text = 'fn main() { print!("{}", m::m!()) }\n'
        _both(w, text, *SILENT, "--extern", f"m={w.path('deps/libm.so')}", kind="bin", absolute=absolute, env={"CARGO_MANIFEST_DIR": "@"})
        for place in PLACES:
            w.tool(w.path(place) / "out" / "a")

    arena.play(steps)


@scenario("sh")
def test_a_variable_without_a_dependency_file(w: World) -> None:
    """--emit=link alone: nobody lists the variables of the source."""
    _both(
        w,
        'fn main() { std::process::exit(env!("CARGO_MANIFEST_DIR").len() as i32) }\n',
        *SILENT,
        kind="bin",
        emit="link",
        env={"CARGO_MANIFEST_DIR": "@"},
    )
    for place in PLACES:
        w.tool(w.path(place) / "out" / "a")


@scenario("sh")
def test_messages_name_this_checkout(w: World) -> None:
    """Warnings, notices and dependency files, by absolute names, in JSON and for people."""
    text = "pub fn two() -> u32 { let unused = 1; 2 }\n"
    for more in ((), ("--error-format=json", "--json=artifacts,diagnostic-rendered-ansi")):
        _both(w, text, "--remap-path-prefix=@=/src", *more, absolute=True)
        _both(w, text, *more, absolute=True)
        _both(w, text, "-C", "opt-level=3", *more)


@scenario("sh")
def test_files_differ_between_checkouts(w: World) -> None:
    """A module, an included file: each checkout has its own."""
    text = 'mod b; fn main() { println!("{}{}", b::X, include_str!("d.txt")); }\n'
    for number, place in enumerate(PLACES):
        w.write(f"{place}/src/b.rs", f"pub const X: u8 = {number};\n")
        w.write(f"{place}/src/d.txt", f"{number}")
    _both(w, text, *SILENT, kind="bin")
    for place in PLACES:
        w.write(f"{place}/src/d.txt", "same")
    _both(w, text, *SILENT, kind="bin")
    w.write(f"{PLACES[1]}/src/b/mod.rs", "")
    _both(w, text, *SILENT, kind="bin")


@scenario("sh")
def test_a_checkout_behind_a_link(w: World) -> None:
    """The same files by another name."""
    w.write("real/src/a.rs", LIBRARY)
    w.symlink("link", "real")
    for place in ("real", "link", "real", "link"):
        build(w, "-g", source=f"{w.path(place)}/src/a.rs", cwd=place, expect=ANY)


@scenario("sh")
def test_a_checkout_is_moved(w: World) -> None:
    """Nothing of the old place is told."""
    w.write("old/src/a.rs", LIBRARY)
    build(w, "-g", source="src/a.rs", cwd="old", expect=MISS)
    w.rename("old", "new")
    build(w, "-g", source="src/a.rs", cwd="new")
