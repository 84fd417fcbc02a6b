"""Which Rust compiler a command runs: rustup's choice, links and updates, wrappers, scripts in rustc's place.

The toolchains "one" and "two" are two real ones under rustup's care, in a home of the scenario's own.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from arena import ANY, HIT, MISS, RECOMPILE, World, scenario

RUST_HOME = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
PROXIES = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")) / "bin"
BUILD = ("--crate-name", "a", "--crate-type", "lib", "--emit=dep-info,metadata,link", "--out-dir", "out", "a.rs")
WARNS = "pub fn two() -> u32 { let unused = 1; 2 }\n"


def _toolchains() -> list[Path]:
    """Two toolchains that differ."""
    found = sorted(path for path in (RUST_HOME / "toolchains").glob("*") if (path / "bin" / "rustc").exists())
    if len(found) < 2 or not (PROXIES / "rustup").exists():
        pytest.skip("needs rustup with two toolchains, which are not installed")
    return [next((path for path in found if path.name.startswith("stable")), found[-1]), found[0]]


def _begin(w: World) -> None:
    """A crate, and a rustup whose default is "one"."""
    one, two = _toolchains()
    home = w.home / "rustup"
    w.env |= {"PATH": f"{PROXIES}:/usr/bin:/bin", "RUSTUP_HOME": str(home), "RUSTUP_AUTO_INSTALL": "0", "CARGO_HOME": str(w.home / "cargo")}
    if home.exists():
        shutil.rmtree(home)
    (home / "toolchains").mkdir(parents=True)
    for name, path in (("one", one), ("two", two)):
        (home / "toolchains" / name).symlink_to(path)
    _rustup(w, "default", "one")
    w.write("a.rs", WARNS)
    w.mkdir("out")


def _rustup(w: World, *args: str) -> None:
    """Change rustup's settings, as a user does."""
    subprocess.run([PROXIES / "rustup", "--quiet", *args], env=w.environment(), cwd=w.root, check=True, capture_output=True)


@scenario("sh")
def test_default_is_changed(w: World) -> None:
    """`rustup default`: the other toolchain's result, and after going back the first one's."""
    _begin(w)
    w.run("rustc", *BUILD, expect=MISS)
    w.run("rustc", *BUILD, expect=HIT)
    _rustup(w, "default", "two")
    w.run("rustc", *BUILD, expect=MISS)
    _rustup(w, "default", "one")
    w.run("rustc", *BUILD, expect=HIT)


@scenario("sh")
def test_an_override_is_set(w: World) -> None:
    """`rustup override set` for a directory above, and unset."""
    _begin(w)
    w.write("deep/er/a.rs", WARNS)
    w.mkdir("deep/er/out")
    w.run("rustc", *BUILD, cwd="deep/er", expect=MISS)
    _rustup(w, "override", "set", "two")
    w.run("rustc", *BUILD, cwd="deep/er", expect=MISS)
    _rustup(w, "override", "unset")
    w.run("rustc", *BUILD, cwd="deep/er", expect=HIT)


@pytest.mark.parametrize(("name", "text"), [("rust-toolchain", "two\n"), ("rust-toolchain.toml", '[toolchain]\nchannel = "two"\n')])
def test_a_toolchain_file_appears(arena: "object", name: str, text: str) -> None:
    """In a directory above; its content changes; it goes again."""

    def steps(w: World) -> None:
        _begin(w)
        w.write("deep/er/a.rs", WARNS)
        w.mkdir("deep/er/out")
        w.run("rustc", *BUILD, cwd="deep/er", expect=MISS)
        w.run("rustc", *BUILD, cwd="deep/er", expect=HIT)
        w.write(name, text)
        w.run("rustc", *BUILD, cwd="deep/er", expect=MISS)
        w.write(name, text.replace("two", "one"))
        w.run("rustc", *BUILD, cwd="deep/er", expect=HIT)
        w.write(name, text)
        w.run("rustc", *BUILD, cwd="deep/er", expect=HIT)
        w.remove(name)
        w.run("rustc", *BUILD, cwd="deep/er", expect=HIT)

    arena.play(steps)  # type: ignore[attr-defined]


@scenario("sh")
def test_by_name_and_by_variable(w: World) -> None:
    """`+two`, RUSTUP_TOOLCHAIN by name and by path; a name that nobody knows gives rustup's own error."""
    _begin(w)
    w.run("rustc", *BUILD, expect=MISS)
    w.run("rustc", "+two", *BUILD, expect=MISS)
    w.run("rustc", "+two", *BUILD, expect=HIT)
    w.run("rustc", *BUILD, env={"RUSTUP_TOOLCHAIN": "two"}, expect=ANY)
    w.run("rustc", *BUILD, env={"RUSTUP_TOOLCHAIN": "one"}, expect=ANY)
    w.run("rustc", *BUILD, env={"RUSTUP_TOOLCHAIN": str(_toolchains()[1])}, expect=ANY)
    w.run("rustc", "+three", *BUILD, expect=RECOMPILE)
    w.run("rustc", *BUILD, env={"RUSTUP_TOOLCHAIN": "three"}, expect=RECOMPILE)


@scenario("sh")
def test_a_linked_toolchain_is_pointed_elsewhere(w: World) -> None:
    """`rustup toolchain link` under a name that is in use."""
    _begin(w)
    one, two = _toolchains()
    _rustup(w, "toolchain", "link", "mine", str(one))
    w.run("rustc", "+mine", *BUILD, expect=MISS)
    w.run("rustc", "+mine", *BUILD, expect=HIT)
    _rustup(w, "toolchain", "link", "mine", str(two))
    w.run("rustc", "+mine", *BUILD, expect=MISS)
    _rustup(w, "toolchain", "link", "mine", str(one))
    w.run("rustc", "+mine", *BUILD, expect=HIT)


@scenario("sh")
def test_a_toolchain_is_updated_in_place(w: World) -> None:
    """`rustup update`: other files at the same paths."""
    _begin(w)
    place = w.home / "rustup" / "toolchains" / "mine"
    for number, real in enumerate(_toolchains()):
        if place.exists():
            shutil.rmtree(place)
        _same_files(real, place)
        w.run("rustc", "+mine", *BUILD, expect=MISS)
        w.run("rustc", "+mine", *BUILD, expect=HIT)
        w.write("b.rs", f"// {number}\n")


def _same_files(real: Path, place: Path) -> None:
    """A toolchain's compiler and its crates for this machine at another place."""
    for file in (path for part in ("bin/rustc", "lib") for path in [real / part, *(real / part).rglob("*")] if path.is_file()):
        target = place / file.relative_to(real)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)  # a link would change the ctime of what compiles beside this test read


@scenario("sh")
def test_a_compiler_without_rustup(w: World) -> None:
    """Named by path, as cargo does it; found on PATH; one that appears earlier on PATH."""
    _begin(w)
    one, two = (path / "bin" for path in _toolchains())
    w.run(one / "rustc", *BUILD, expect=MISS)
    w.run(one / "rustc", *BUILD, expect=HIT)
    w.mkdir("early")
    path = f"{w.path('early')}:{one}:/usr/bin:/bin"
    w.run("rustc", *BUILD, env={"PATH": path})
    w.symlink("early/rustc", str(two / "rustc"))
    w.run("rustc", *BUILD, env={"PATH": path})
    w.remove("early/rustc")
    w.run("rustc", *BUILD, env={"PATH": path})


@scenario("sh")
def test_a_script_in_a_directory_behind_a_link(w: World) -> None:
    """Reference 13.2, test_symlinks: a script as compiler; the link to its directory is pointed to another one."""
    _begin(w)
    for number, folder in enumerate(("first", "second")):
        real = _toolchains()[number] / "bin" / "rustc"
        w.script(f"{folder}/bin/rustc", f'exec {real} "$@"')
    w.symlink("current", "first")
    w.run(w.path("current/bin/rustc"), *BUILD)
    w.run(w.path("current/bin/rustc"), *BUILD)
    w.symlink("current", "second")
    w.run(w.path("current/bin/rustc"), *BUILD, expect=RECOMPILE)


@scenario("sh")
def test_a_script_that_changes_its_mind(w: World) -> None:
    """A script as compiler that goes by a file, and by a variable."""
    _begin(w)
    one, two = (path / "bin" / "rustc" for path in _toolchains())
    w.script("bin/rustc", f'[ -e two ] || [ "$WHICH" = two ] && exec {two} "$@"; exec {one} "$@"')
    rustc = w.path("bin/rustc")
    w.run(rustc, *BUILD)
    w.run(rustc, *BUILD)
    w.write("two", "")
    w.run(rustc, *BUILD, expect=RECOMPILE)
    w.remove("two")
    w.run(rustc, *BUILD, env={"WHICH": "two"})
    w.run(rustc, *BUILD)


@scenario("sh")
def test_a_workspace_wrapper(w: World) -> None:
    """RUSTC_WORKSPACE_WRAPPER: a script that passes an option on, and later another one."""
    _begin(w)
    w.write("a.rs", 'pub fn flag() -> bool { cfg!(feature = "one") }\n')
    under_cargo = {"CARGO": str(PROXIES / "cargo")}
    for feature in ("one", "two", "one"):
        w.script("wrap", f"exec \"$@\" --cfg 'feature=\"{feature}\"' --check-cfg 'cfg(feature, values(any()))'")
        for _ in range(2):
            w.run(w.path("wrap"), "rustc", *BUILD, env=under_cargo)
    w.run(w.path("wrap"), "rustc", "+two", *BUILD, env=under_cargo)


@scenario("sh")
def test_clippy_driver(w: World) -> None:
    """As cargo clippy calls it, and by its proxy; what it says is replayed."""
    _begin(w)
    if not all((path / "bin" / "clippy-driver").exists() for path in _toolchains()):
        pytest.skip("needs clippy in two toolchains, which is not installed")
    w.write("a.rs", "pub fn one(x: &Vec<u8>) -> bool { x.len() == 0 }\n")
    driver = _toolchains()[0] / "bin" / "clippy-driver"
    check = tuple(word if not word.startswith("--emit") else "--emit=dep-info,metadata" for word in BUILD)
    w.run(driver, driver.parent / "rustc", *check, expect=MISS)
    w.run(driver, driver.parent / "rustc", *check, expect=HIT)
    w.run("clippy-driver", "rustc", *check)
    w.run("clippy-driver", "rustc", *check, expect=HIT)
    w.run("clippy-driver", "rustc", *check, env={"RUSTUP_TOOLCHAIN": "two"}, expect=MISS)
    w.run(driver.parent / "rustc", *check, expect=MISS)


@scenario("sh")
def test_a_new_daemon(w: World) -> None:
    """What is known of a compiler is kept with the results; rustc's answers about itself are right before and after."""
    _begin(w)
    w.run("rustc", *BUILD, expect=MISS)
    w.run("rustc", "-vV")
    w.stop_daemon()
    w.run("rustc", *BUILD, expect=HIT)
    w.run("rustc", "-vV")
    _rustup(w, "default", "two")
    w.run("rustc", "-vV")
    w.run("rustc", "--version")
    w.run("rustc", "+one", "--print", "sysroot")
    w.run("rustc", "--print", "sysroot")
