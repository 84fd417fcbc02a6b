"""Crates and libraries that a compile finds: by --extern, by search path, through other crates, as native code."""

import pytest
from arena import ANY, HIT, MISS, RECOMPILE, Arena, World, scenario
from arena.rust import build, cached, changed, plainly, rustc


def _crate(w: World, name: str, text: str, *more: str, folder: str = "deps", kind: str = "lib", channel: str = "stable") -> None:
    """A library for others, made without the cache."""
    w.write(f"{name}.rs", text)
    w.mkdir(folder)
    plainly(
        w,
        rustc(channel),
        "--edition=2021",
        "--crate-name",
        name,
        "--crate-type",
        kind,
        "--emit=metadata,link",
        "--out-dir",
        folder,
        *more,
        f"{name}.rs",
    )


def _archive(w: World, folder: str, value: int, name: str = "n") -> None:
    """A static library of C."""
    w.write(f"{name}.c", f"int value(void) {{ return {value}; }}\n")
    w.mkdir(folder)
    plainly(w, "gcc", "-c", f"{name}.c", "-o", f"{name}.o")
    w.path(f"{folder}/lib{name}.a").unlink(missing_ok=True)
    plainly(w, "ar", "rcsD", f"{folder}/lib{name}.a", f"{name}.o")
    w.remove(f"{name}.o", f"{name}.c")


USES = "pub fn f() -> u32 { b::value() }\n"
NATIVE = 'unsafe extern "C" { safe fn value() -> i32; }\nfn main() { println!("{}", value()); }\n'


@scenario("sh")
def test_an_extern_crate_changes(w: World) -> None:
    """--extern name=path, name alone, and the metadata in place of the library."""
    w.write("a.rs", USES)
    for more in (("--extern", "b=deps/libb.rlib"), ("--extern", "b", "-L", "deps"), ("--extern", "b=deps/libb.rmeta")):
        _crate(w, "b", "#[inline(always)] pub fn value() -> u32 { 1 }\n")
        cached(w, *more)
        _crate(w, "b", "#[inline(always)] pub fn value() -> u32 { 2 }\n")
        changed(w, *more)
        _crate(w, "b", "#[inline(always)] pub fn value() -> u32 { 1 }\n")
        build(w, *more, expect=HIT)


@scenario("sh")
def test_a_crate_behind_a_crate_changes(w: World) -> None:
    """The transitive one, found by its hash, changes with the one that names it."""
    w.write("a.rs", "pub fn f() -> u32 { b::through() }\n")
    more = ("--extern", "b=deps/libb.rlib", "-L", "dependency=deps")
    for number, promise in ((1, MISS), (2, MISS), (1, HIT)):
        _crate(w, "c", f"#[inline(always)] pub fn value() -> u32 {{ {number} }}\n")
        _crate(w, "b", "#[inline(always)] pub fn through() -> u32 { c::value() }\n", "--extern", "c=deps/libc.rlib")
        build(w, *more, expect=promise)
        build(w, *more, expect=HIT)


@scenario("sh")
def test_a_crate_behind_a_crate_does_not_fit(w: World) -> None:
    """Only the transitive crate is built anew: rustc says that it is another one.  It goes: rustc cannot find it."""
    w.write("a.rs", "pub fn f() -> u32 { b::through() }\n")
    more = ("--extern", "b=deps/libb.rlib", "-L", "dependency=deps")
    _crate(w, "c", "#[inline(always)] pub fn value() -> u32 { 1 }\n")
    _crate(w, "b", "#[inline(always)] pub fn through() -> u32 { c::value() }\n", "--extern", "c=deps/libc.rlib")
    build(w, *more, expect=MISS)
    _crate(w, "c", "#[inline(always)] pub fn value() -> u32 { 2 }\n")
    changed(w, *more)


@scenario("sh")
def test_a_crate_behind_a_crate_goes(w: World) -> None:
    """Without it rustc does not compile."""
    w.write("a.rs", "pub fn f() -> u32 { b::through() }\n")
    more = ("--extern", "b=deps/libb.rlib", "-L", "dependency=deps")
    _crate(w, "c", "#[inline(always)] pub fn value() -> u32 { 1 }\n")
    _crate(w, "b", "#[inline(always)] pub fn through() -> u32 { c::value() }\n", "--extern", "c=deps/libc.rlib")
    build(w, *more, expect=MISS)
    w.remove("deps/libc.rlib", "deps/libc.rmeta")
    changed(w, *more)


@scenario("sh")
def test_an_extern_crate_goes(w: World) -> None:
    """The one that the command line names, by path or by name."""
    w.write("a.rs", USES)
    for more in (("--extern", "b=deps/libb.rlib"), ("--extern", "b", "-L", "deps")):
        _crate(w, "b", "pub fn value() -> u32 { 1 }\n")
        build(w, *more)
        w.remove("deps/libb.rlib", "deps/libb.rmeta")
        changed(w, *more)


@scenario("sh")
def test_a_second_crate_of_the_name_appears(w: World) -> None:
    """Found by search path: two candidates are one too many."""
    w.write("a.rs", USES)
    _crate(w, "b", "pub fn value() -> u32 { 1 }\n")
    cached(w, "--extern", "b", "-L", "deps")
    _crate(w, "b", "pub fn value() -> u32 { 2 }\n", "-C", "metadata=x", "-C", "extra-filename=-x")
    changed(w, "--extern", "b", "-L", "deps")


@scenario("sh")
def test_a_crate_appears_in_another_directory(w: World) -> None:
    """-L first -L second: the same name in both, with other content."""
    w.write("a.rs", USES)
    w.mkdir("first")
    _crate(w, "b", "pub fn value() -> u32 { 1 }\n", folder="second")
    more = ("--extern", "b", "-L", "first", "-L", "second")
    cached(w, *more)
    _crate(w, "b", "#[inline] pub fn value() -> u32 { 2 }\n", "-C", "metadata=x", folder="first")
    changed(w, *more)


@scenario("sh")
def test_two_crates_of_one_name(w: World) -> None:
    """As cargo has two versions of a package: extra-filename keeps them apart."""
    for number in ("1", "2"):
        w.write(f"v{number}/a.rs", f"pub const V: u8 = {number};\n")
        cached(w, "-C", f"metadata={number}", "-C", f"extra-filename=-{number}", source=f"v{number}/a.rs")


@pytest.mark.parametrize("search", [("-L", "native=n"), ("-L", "n"), ("-L", "all=n")])
@pytest.mark.parametrize("kind", ["bin", "lib"])
def test_a_static_library_changes(arena: Arena, kind: str, search: tuple[str, str]) -> None:
    """-l static: linked into a program, packed into an rlib; it changes, and it goes."""

    def steps(w: World) -> None:
        w.write("a.rs", NATIVE if kind == "bin" else NATIVE.replace("fn main", "pub fn g"))
        _archive(w, "n", 1)
        more = (*search, "-l", "static=n")
        build(w, *more, kind=kind, expect=MISS)
        build(w, *more, kind=kind, expect=HIT)
        _archive(w, "n", 2)
        changed(w, *more, kind=kind)
        _archive(w, "n", 1)
        build(w, *more, kind=kind, expect=HIT)
        w.remove("n/libn.a")
        changed(w, *more, kind=kind)

    arena.play(steps)


@pytest.mark.parametrize("what", ["native=", "", "all="])
def test_a_static_library_appears_earlier(arena: Arena, what: str) -> None:
    """In a directory that is searched first."""

    def steps(w: World) -> None:
        w.write("a.rs", NATIVE)
        w.mkdir("first")
        _archive(w, "second", 1)
        more = ("-L", f"{what}first", "-L", f"{what}second", "-l", "static=n")
        build(w, *more, kind="bin", expect=MISS)
        build(w, *more, kind="bin", expect=HIT)
        _archive(w, "first", 2)
        changed(w, *more, kind="bin")
        w.remove("first/libn.a")
        build(w, *more, kind="bin", expect=HIT)
        changed(w, "-L", f"{what}second", "-l", "static=missing", kind="bin")

    arena.play(steps)


@pytest.mark.parametrize("what", ["native=", ""])
def test_a_shared_library_appears_beside_a_static_one(arena: Arena, what: str) -> None:
    """-l n: the linker prefers the shared one."""

    def steps(w: World) -> None:
        w.write("a.rs", NATIVE)
        _archive(w, "n", 1)
        more = ("-L", f"{what}n", "-l", "n")
        build(w, *more, kind="bin", expect=MISS)
        build(w, *more, kind="bin", expect=HIT)
        w.write("s.c", "int value(void) { return 2; }\n")
        plainly(w, "gcc", "-shared", "-fPIC", "s.c", "-o", "n/libn.so")
        changed(w, *more, kind="bin")

    arena.play(steps)


@scenario("sh")
def test_a_library_that_the_source_names(w: World) -> None:
    """#[link(name, kind = "static")], found by -L; and by LIBRARY_PATH, which only the linker knows."""
    w.write("a.rs", '#[link(name = "n", kind = "static")]\n' + NATIVE)
    w.write("b.rs", '#[link(name = "n")]\n' + NATIVE)
    for place, value in (("one", 1), ("two", 2)):
        _archive(w, place, value)
    cached(w, "-L", "one", kind="bin")
    changed(w, "-L", "two", kind="bin")
    _archive(w, "two", 3)
    changed(w, "-L", "two", kind="bin")
    build(w, source="b.rs", kind="bin", env={"LIBRARY_PATH": "one"}, expect=MISS)
    build(w, source="b.rs", kind="bin", env={"LIBRARY_PATH": "one"}, expect=HIT)
    changed(w, source="b.rs", kind="bin", env={"LIBRARY_PATH": "two"})


@scenario("sh")
def test_the_directory_of_outputs_is_searched(w: World) -> None:
    """-L is where the outputs go, as in cargo's deps; what stood there before is no input."""
    w.write("a.rs", "pub fn f() -> u32 { 1 }\n")
    build(w, "-L", "dependency=out", expect=MISS)
    w.write("out/libother-1.rlib", "x")
    build(w, "-L", "dependency=out", expect=HIT, keep=True)
    build(w, "-L", "dependency=out", expect=HIT)


@scenario("sh")
def test_a_dynamic_crate(w: World) -> None:
    """A dylib with -C prefer-dynamic, and a program that uses it."""
    w.write("a.rs", 'fn main() { println!("{}", b::value()); }\n')
    more = ("-C", "prefer-dynamic", "--extern", "b=deps/libb.so")
    for number in (1, 2, 1):
        _crate(w, "b", f"pub fn value() -> u32 {{ {number} }}\n", "-C", "prefer-dynamic", kind="dylib")
        build(w, *more, kind="bin")
        build(w, *more, kind="bin", expect=HIT)


@scenario("sh")
def test_a_crate_with_an_error_is_not_kept(w: World) -> None:
    """What a dependency makes wrong and right."""
    w.write("a.rs", USES)
    _crate(w, "b", "pub fn other() -> u32 { 1 }\n")
    build(w, "--extern", "b=deps/libb.rlib", expect=RECOMPILE)
    _crate(w, "b", "pub fn value() -> u32 { 1 }\n")
    changed(w, "--extern", "b=deps/libb.rlib", expect=ANY)
