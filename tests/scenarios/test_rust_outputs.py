"""The files that a hit leaves, and what becomes of a build when things go wrong."""

import os
import shutil
import signal
import subprocess
import time

import pytest
from arena import ANY, HIT, MISS, RECOMPILE, Arena, World, scenario
from arena.rust import build, cached, changed, macro_crate, runs_in, rustc
from arena.world import wait_until

TEXT = "pub fn f() -> u32 { 1 }\n"
WORDS = ("--crate-name", "a", "--edition=2021", "a.rs", "--crate-type", "lib", "--emit=dep-info,metadata,link", "--out-dir", "out")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("kind", ["lib", "bin"])
def test_modes(arena: Arena, kind: str, umask: int) -> None:
    """By the umask of who asks, executable or not as rustc makes it."""

    def steps(w: World) -> None:
        w.write("a.rs", "fn main() {}\n" if kind == "bin" else TEXT)
        for mask in (0o022, umask):
            out = w.path("out")
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            w.run(rustc(), *(kind if word == "lib" else word for word in WORDS), umask=mask)

    arena.play(steps)


@scenario("sh")
def test_outputs_are_ones_own(w: World) -> None:
    """Changing, appending to or truncating an output changes neither the cache nor another's output."""
    w.write("a.rs", "fn main() {}\n")
    cached(w, kind="bin")
    for name in ("a", "a.d"):
        path = w.path("out") / name
        if path.stat().st_nlink != 1:
            w.complaints.append(f"{name} has several names")
        with path.open("r+b") as file:
            file.write(b"spoiled")
    build(w, kind="bin", expect=HIT, keep=True)


@scenario("sh")
def test_what_stood_there(w: World) -> None:
    """An older output, one with a second name."""
    w.write("a.rs", TEXT)
    cached(w)
    w.path("out/liba.rlib").write_bytes(b"old")
    build(w, expect=HIT, keep=True)
    os.link(w.path("out/liba.rlib"), w.path("second"))
    w.write("a.rs", TEXT.replace("1", "2"))
    build(w, expect=MISS, keep=True)
    w.write("a.rs", TEXT)
    build(w, expect=HIT, keep=True)


@scenario("sh")
def test_an_output_is_read_only(w: World) -> None:
    """rustc refuses to replace it, whoever asks."""
    w.write("a.rs", TEXT)
    cached(w)
    w.path("out/liba.rlib").chmod(0o444)
    build(w, keep=True)


@pytest.mark.parametrize("name", ["liba.rlib", "liba.rmeta", "a.d"])
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_an_output_that_is_a_link(arena: Arena, name: str, target: str) -> None:
    """As rustc treats it: replaced, or written through."""

    def steps(w: World) -> None:
        w.write("a.rs", TEXT)
        cached(w)
        w.write("elsewhere", "mine")
        w.remove(f"out/{name}")
        w.symlink(f"out/{name}", f"../{target}")
        build(w, keep=True)
        build(w, keep=True)

    arena.play(steps)


@pytest.mark.parametrize(
    "emit",
    [
        "dep-info,metadata,link",
        "metadata,link",
        "metadata",
        "link",
        "dep-info=x/y.d,metadata",
        "metadata=m.rmeta,link=l.rlib",
        "link,asm",
        "obj,llvm-ir",
        "dep-info",
    ],
)
def test_kinds_of_outputs(arena: Arena, emit: str) -> None:
    """--emit: what each asks for, one after the other in one place; a hit has all of it and no more."""

    def steps(w: World) -> None:
        w.write("a.rs", TEXT)
        w.mkdir("x")
        for kind in (emit, "dep-info,metadata,link", emit):
            build(w, emit=kind)
            build(w, emit=kind)

    arena.play(steps)


@scenario("sh")
def test_there_is_no_such_directory(w: World) -> None:
    """--out-dir that is missing, is a file, is a link to a directory."""
    w.write("a.rs", TEXT)
    cached(w)
    shutil.rmtree(w.path("out"))
    w.run(rustc(), *WORDS)
    shutil.rmtree(w.path("out"), ignore_errors=True)
    w.run(rustc(), *(word.replace("dep-info,", "") for word in WORDS))
    shutil.rmtree(w.path("out"), ignore_errors=True)
    w.write("out", "a file")
    w.run(rustc(), *WORDS)
    w.remove("out")
    w.mkdir("real")
    w.symlink("out", "real")
    w.run(rustc(), *WORDS)


@scenario("sh")
def test_a_directory_stands_in_the_way(w: World) -> None:
    """Where an output should be."""
    w.write("a.rs", TEXT)
    cached(w)
    w.mkdir("gone")
    w.remove("out/liba.rlib")
    w.mkdir("out/liba.rlib")
    build(w, keep=True)


def test_outputs_are_newer_than_inputs(arena: Arena) -> None:
    """Cargo compares: what a hit wrote is not older than what it was asked for."""
    w = arena.cached_world()
    w.write("a.rs", TEXT)
    cached(w)
    before = time.time()
    w.settle()
    build(w, expect=HIT)
    assert all(path.stat().st_mtime >= before - 0.02 for path in w.path("out").iterdir())


@scenario("sh", settings={"SCCACHE_RECACHE": "1"})
def test_made_anew(w: World) -> None:
    """SCCACHE_RECACHE: no hit."""
    w.write("a.rs", TEXT)
    build(w, expect=RECOMPILE)
    build(w, expect=RECOMPILE)


def test_many_at_a_time(arena: Arena) -> None:
    """Equal and different compiles at once, some into one directory."""
    w = arena.cached_world()
    for number in range(6):
        w.write(f"{number % 3}/a.rs", f"pub const N: u32 = {number % 3};\n")
        w.mkdir(f"{number}/out")
    expected = {}
    for number in range(3):
        plain = [*WORDS[:-1], "plain"]
        w.mkdir(f"{number}/plain")
        subprocess.run([rustc(), *plain], cwd=w.path(str(number)), env=w.environment(), check=True)
        expected[number] = w.path(f"{number}/plain/liba.rlib").read_bytes()
    for _ in range(3):
        front = str(w.product.command) if w.product else ""
        running = [
            subprocess.Popen(
                [front, rustc(), *WORDS], cwd=w.path(str(number % 3)), env=w.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for number in range(9)
        ]
        for process in running:
            out, err = process.communicate(timeout=100)
            assert (process.returncode, out, err) == (0, b"", b"")
        for number in range(3):
            assert w.path(f"{number}/out/liba.rlib").read_bytes() == expected[number]


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle(arena: Arena, which: signal.Signals) -> None:
    """Nothing half-made is kept; the next compile is right, and no compiler is left."""
    w = arena.cached_world()
    waits = 'std::fs::write("begun", "").unwrap(); std::thread::sleep(std::time::Duration::from_secs(60));'
    more = macro_crate(w, 'if std::path::Path::new("wait").exists() { ' + waits + ' } String::from("x")')
    w.write("wait", "")
    w.mkdir("out")
    front = str(w.product.command) if w.product else ""
    process = subprocess.Popen([front, rustc(), *WORDS, *more], cwd=w.root, env=w.environment(), start_new_session=True)
    wait_until(w.path("begun").exists, "the macro runs")
    os.kill(process.pid, which)
    process.wait(30)
    wait_until(lambda: not runs_in(w), "no compiler is left")
    w.remove("wait", "begun")
    build(w, *more, expect=MISS)
    build(w, *more, expect=HIT)


@scenario("sh")
def test_the_daemon_dies(w: World) -> None:
    """Between two compiles: the next is right, what was kept is found."""
    w.write("a.rs", TEXT)
    build(w)
    w.kill_daemon()
    build(w)
    w.write("a.rs", TEXT.replace("1", "2"))
    changed(w)
    w.stop_daemon()
    build(w, expect=HIT)


@scenario("sh")
def test_a_damaged_cache(w: World) -> None:
    """Each byte of the cache spoiled: compiled anew."""
    w.write("a.rs", TEXT)
    build(w)
    w.stop_daemon()
    for path in w.cache_files():
        data = bytearray(path.read_bytes())
        for at in range(len(data) // 2, len(data), 97):
            data[at] ^= 0x55
        path.write_bytes(data)
    build(w)
    build(w)


@scenario("sh")
def test_an_input_is_made_while_compiling(w: World) -> None:
    """A file as new as the compile is not trusted blindly."""
    w.write("a.rs", 'pub const A: &str = include_str!("d.txt");\n')
    for text in ("one", "two", "one", "six"):
        w.path("d.txt").write_text(text)
        build(w, expect=ANY)
