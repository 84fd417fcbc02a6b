"""Procedural macros: programs inside the compiler that may read anything; whatever they read is an input, or nothing is kept."""

import os
import signal

import pytest
from arena import ANY, HIT, MISS, RECOMPILE, Arena, World, scenario
from arena.rust import build, changed, macro_crate, runs_in

READS = {
    "File::open": 'std::fs::read_to_string("data").unwrap_or_default()',
    "through a directory": 'std::fs::read_to_string("sub/../data").unwrap_or_default()',
    "absolute": 'std::fs::read_to_string(std::env::current_dir().unwrap().join("data")).unwrap_or_default()',
    "through /proc": 'std::fs::read_to_string("/proc/self/cwd/data").unwrap_or_default()',
    "through /proc and a link": 'std::fs::read_to_string("/proc/thread-self/root/proc/self/cwd/data").unwrap_or_default()',
    "from another thread": 'std::thread::spawn(|| std::fs::read_to_string("data").unwrap_or_default()).join().unwrap()',
    "after chdir": 'std::env::set_current_dir("sub").unwrap(); let t = std::fs::read_to_string("../data"); '
    'std::env::set_current_dir("..").unwrap(); t.unwrap_or_default()',
    "by a child": 'String::from_utf8(std::process::Command::new("cat").arg("data").output().unwrap().stdout).unwrap()',
    "by a grandchild": 'String::from_utf8(std::process::Command::new("sh").args(["-c", "(cat data) 2>&1 | '
    'cat"]).output().unwrap().stdout).unwrap()',
    "by a copy": 'let p = format!("{}/m-{}", std::env::var("TMPDIR").unwrap(), std::process::id()); std::fs::copy("data", &p).unwrap(); '
    "let t = std::fs::read_to_string(&p).unwrap(); std::fs::remove_file(&p).unwrap(); t",
    "by a hard link": 'let p = format!("l-{}", std::process::id()); std::fs::hard_link("data", &p).unwrap(); '
    "let t = std::fs::read_to_string(&p).unwrap(); std::fs::remove_file(&p).unwrap(); t",
    "by a symlink": 'let p = format!("l-{}", std::process::id()); std::os::unix::fs::symlink("data", &p).unwrap(); '
    "let t = std::fs::read_to_string(&p).unwrap(); std::fs::remove_file(&p).unwrap(); t",
    "by size": 'std::fs::metadata("data").unwrap().len().to_string()',
    "renamed and back": 'std::fs::rename("data", "data2").unwrap(); let t = std::fs::read_to_string("data2").unwrap(); '
    'std::fs::rename("data2", "data").unwrap(); t',
}  # fmt: skip


@pytest.mark.parametrize("how", READS)
def test_a_macro_reads_a_file(arena: Arena, how: str) -> None:
    """However it opens it: another content is another result."""

    def steps(w: World) -> None:
        more = macro_crate(w, READS[how])
        w.mkdir("sub")
        w.write("data", "one")
        build(w, *more)
        build(w, *more)
        w.write("data", "three")
        changed(w, *more)
        w.write("data", "one")
        build(w, *more)

    arena.play(steps)


@scenario("sh")
def test_a_macro_that_reads_a_file_is_cached(w: World) -> None:
    """It is not merely refused."""
    more = macro_crate(w, READS["File::open"])
    w.write("data", "one")
    build(w, *more, expect=MISS)
    build(w, *more, expect=HIT)
    w.write("data", "two")
    changed(w, *more, expect=MISS)
    w.write("data", "one")
    build(w, *more, expect=HIT)


ENVIRONMENT = {
    "var": 'std::env::var("X").unwrap_or_default()',
    "var_os": 'format!("{:?}", std::env::var_os("X"))',
    "vars": 'std::env::vars().filter(|(k, _)| k == "X").map(|(_, v)| v).collect::<String>()',
    "environ": 'extern "C" { static environ: *const *const std::ffi::c_char; } unsafe { let mut p = environ; let mut out = String::new(); '
    'while !(*p).is_null() { let s = std::ffi::CStr::from_ptr(*p).to_string_lossy().into_owned(); if s.starts_with("X=") { out '
    '= s; } p = p.add(1); } out }',
    "/proc/self/environ": 'let t = std::fs::read("/proc/self/environ").unwrap(); t.split(|b| *b == 0).filter(|s| '
    's.starts_with(b"X=")).map(|s| String::from_utf8_lossy(s)).collect()',
    "/proc/PID/environ": 'let t = std::fs::read(format!("/proc/{}/environ", std::process::id())).unwrap(); '
    't.split(|b| *b == 0).filter(|s| s.starts_with(b"X=")).map(|s| String::from_utf8_lossy(s)).collect()',
    "a child": 'String::from_utf8(std::process::Command::new("sh").args(["-c", "echo $X"]).output().unwrap().stdout).unwrap()',
    "printenv": 'String::from_utf8(std::process::Command::new("/usr/bin/printenv").arg("X").output().unwrap().stdout).unwrap()',
    "a variable that rustc ignores": 'std::env::var("RUST_BACKTRACE").unwrap_or_default()',
    "secure_getenv": 'extern "C" { fn secure_getenv(n: *const std::ffi::c_char) -> *const std::ffi::c_char; } '
    'unsafe { let p = secure_getenv(c"X".as_ptr()); if p.is_null() { String::new() } else { '
    'std::ffi::CStr::from_ptr(p).to_string_lossy().into_owned() } }',
    "dlsym": 'extern "C" { fn dlsym(h: *mut u8, n: *const std::ffi::c_char) -> *const (); } unsafe { '
    'let f: extern "C" fn(*const std::ffi::c_char) -> *const std::ffi::c_char = std::mem::transmute(dlsym(std::ptr::null_mut(), '
    'c"getenv".as_ptr())); '
    'let p = f(c"X".as_ptr()); if p.is_null() { String::new() } else { std::ffi::CStr::from_ptr(p).to_string_lossy().into_owned() } }',
}  # fmt: skip


@pytest.mark.parametrize("how", ENVIRONMENT)
def test_a_macro_reads_the_environment(arena: Arena, how: str) -> None:
    """One variable, all of them, in whatever way: another value is another result."""

    def steps(w: World) -> None:
        name = "RUST_BACKTRACE" if how == "a variable that rustc ignores" else "X"
        more = macro_crate(w, ENVIRONMENT[how])
        build(w, *more, env={name: "1"})
        build(w, *more, env={name: "1"})
        changed(w, *more, env={name: "0"})
        changed(w, *more)
        build(w, *more, env={name: "1"})

    arena.play(steps)


@scenario("sh")
def test_a_macro_reads_one_variable(w: World) -> None:
    """Other variables may have other values."""
    more = macro_crate(w, ENVIRONMENT["var"])
    build(w, *more, env={"X": "1"}, expect=MISS)
    build(w, *more, env={"X": "1", "Y": "2"}, expect=HIT)
    changed(w, *more, env={"X": "2", "Y": "2"}, expect=MISS)


NAMES = {
    "names": 'let mut v: Vec<_> = std::fs::read_dir("dir").unwrap().map(|e| '
    'e.unwrap().file_name().into_string().unwrap()).collect(); v.sort(); v.join(",")',
    "kinds": 'std::fs::read_dir("dir").unwrap().filter(|e| e.as_ref().unwrap().file_type().unwrap().is_dir()).count().to_string()',
    "exists": 'std::path::Path::new("dir/x").exists().to_string()',
    "is_dir": 'std::path::Path::new("dir/x").is_dir().to_string()',
    "read_link": 'format!("{:?}", std::fs::read_link("dir/link"))',
    "canonicalize": 'std::fs::canonicalize("dir/link").unwrap().file_name().unwrap().to_string_lossy().into_owned()',
    "glob": 'String::from_utf8(std::process::Command::new("sh").args(["-c", "echo dir/*"]).output().unwrap().stdout).unwrap()',
    "statx from a child": 'std::process::Command::new("test").args(["-e", "dir/x"]).status().unwrap().success().to_string()',
}  # fmt: skip


def _a_file_appears(w: World) -> None:
    w.write("dir/x", "")


def _a_directory_appears(w: World) -> None:
    w.mkdir("dir/x")


def _a_file_becomes_a_directory(w: World) -> None:
    w.remove("dir/old")
    w.mkdir("dir/old")


def _a_link_is_turned(w: World) -> None:
    w.symlink("dir/link", "../second")


@pytest.mark.parametrize(
    ("how", "edit"),
    [
        ("names", _a_file_appears), ("kinds", _a_directory_appears), ("kinds", _a_file_becomes_a_directory), ("exists", _a_file_appears),
        ("exists", _a_directory_appears), ("is_dir", _a_directory_appears), ("read_link", _a_link_is_turned),
        ("canonicalize", _a_link_is_turned), ("glob", _a_file_appears),
        ("statx from a child", _a_file_appears),
    ],
)  # fmt: skip
def test_a_macro_looks_at_names(arena: Arena, how: str, edit: object) -> None:
    """Directories listed, names looked for, links followed."""

    def steps(w: World) -> None:
        more = macro_crate(w, NAMES[how])
        w.write("dir/old", "")
        w.write("first", "")
        w.write("second", "")
        w.symlink("dir/link", "../first")
        build(w, *more)
        build(w, *more)
        edit(w)  # type: ignore[operator]
        changed(w, *more)
        build(w, *more)

    arena.play(steps)


@scenario("sh")
def test_a_directory_that_a_macro_asks_for_goes(w: World) -> None:
    """is_dir of an empty directory, and of one that becomes a file."""
    more = macro_crate(w, NAMES["is_dir"])
    w.mkdir("dir/x")
    build(w, *more)
    build(w, *more)
    w.path("dir/x").rmdir()
    changed(w, *more)
    w.write("dir/x", "")
    build(w, *more)
    w.remove("dir/x")
    w.mkdir("dir/x")
    build(w, *more)


CLOCKS = {
    "SystemTime": 'format!("{:?}", std::time::SystemTime::now())',
    "gettimeofday": 'extern "C" { fn gettimeofday(t: *mut [i64; 2], z: *mut u8) -> i32; } let mut t = [0; 2]; '
    'unsafe { gettimeofday(&mut t, std::ptr::null_mut()); } format!("{t:?}")',
    "a child": 'String::from_utf8(std::process::Command::new("date").arg("+%s%N").output().unwrap().stdout).unwrap()',
}  # fmt: skip


@pytest.mark.parametrize("how", CLOCKS)
def test_a_macro_reads_the_clock(arena: Arena, how: str) -> None:
    """Time must go on: two compiles have two texts."""
    w = arena.cached_world()
    more = macro_crate(w, CLOCKS[how])
    seen: set[bytes] = set()
    for _ in range(3):
        build(w, *more, emit="metadata,link", expect=ANY)
        seen.add(w.path("out/liba.rlib").read_bytes())
    assert len(seen) == 3, f"{len(seen)} results of 3 compiles: the time is frozen"


@scenario("sh")
def test_a_macro_reads_stdin(w: World) -> None:
    """What comes on stdin is an input that nobody can know beforehand."""
    more = macro_crate(w, "std::io::read_to_string(std::io::stdin()).unwrap()")
    build(w, *more, stdin=b"one")
    build(w, *more, stdin=b"one")
    changed(w, *more, stdin=b"two")


@scenario("sh")
def test_a_macro_reads_stdin_through_dev(w: World) -> None:
    """The same by the name of a device."""
    more = macro_crate(w, 'std::fs::read_to_string("/dev/stdin").unwrap_or_default()')
    build(w, *more, stdin=b"one")
    changed(w, *more, stdin=b"two")


EFFECTS = {
    "writes": 'std::fs::write("made", "text").unwrap(); String::new()',
    "appends": 'use std::io::Write; '
    'std::fs::OpenOptions::new().append(true).create(true).open("made").unwrap().write_all(b"x").unwrap(); String::new()',
    "makes a directory": 'let _ = std::fs::create_dir("made"); String::new()',
    "makes a link": 'let _ = std::os::unix::fs::symlink("data", "made"); String::new()',
    "makes a link to a directory": 'let _ = std::os::unix::fs::symlink("deps", "made"); String::new()',
    "removes": 'let _ = std::fs::remove_file("data"); String::new()',
    "renames": 'let _ = std::fs::rename("data", "made"); String::new()',
    "changes a mode": 'use std::os::unix::fs::PermissionsExt; std::fs::set_permissions("data", '
    'std::fs::Permissions::from_mode(0o600)).unwrap(); String::new()',
    "truncates": 'std::fs::OpenOptions::new().write(true).open("data").unwrap().set_len(1).unwrap(); String::new()',
    "makes a fifo": 'let _ = std::process::Command::new("mkfifo").arg("made").status(); String::new()',
    "prints": 'println!("hello"); eprintln!("there"); String::new()',
}  # fmt: skip


@pytest.mark.parametrize("how", EFFECTS)
def test_a_macro_has_effects(arena: Arena, how: str) -> None:
    """What it makes, changes or removes happens at each compile, also when that could be a hit."""

    def steps(w: World) -> None:
        more = macro_crate(w, EFFECTS[how])
        for _ in range(3):
            w.write("data", "data")
            w.mkdir("dir")
            made = w.path("made")
            if made.is_dir() and not made.is_symlink():
                made.rmdir()
            else:
                made.unlink(missing_ok=True)
            build(w, *more)

    arena.play(steps)


@scenario("sh")
def test_a_macro_is_built_anew(w: World) -> None:
    """The same name, another library."""
    more = macro_crate(w, 'String::from("one")')
    build(w, *more, expect=MISS)
    build(w, *more, expect=HIT)
    macro_crate(w, 'String::from("two")')
    changed(w, *more, expect=MISS)
    macro_crate(w, 'String::from("one")')
    build(w, *more, expect=HIT)


@scenario("sh")
def test_a_macro_panics(w: World) -> None:
    """An error is not kept: when the reason is gone, it compiles."""
    more = macro_crate(w, 'std::fs::read_to_string("data").unwrap()')
    build(w, *more, expect=RECOMPILE)
    build(w, *more, expect=RECOMPILE)
    w.write("data", "here")
    changed(w, *more, expect=MISS)
    w.remove("data")
    changed(w, *more)


def test_a_macro_leaves_a_child_behind(arena: Arena) -> None:
    """A child that lives on does not hold up the compile."""
    w = arena.cached_world()
    silent = "c.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()); "
    more = macro_crate(
        w, 'let mut c = std::process::Command::new("sleep"); c.arg("300"); ' + silent + "c.spawn().unwrap().id().to_string()"
    )
    assert build(w, *more).exit_code == 0
    assert runs_in(w), "the compile waited for the child's end, or ended it"
    for pid in runs_in(w):
        os.kill(pid, signal.SIGKILL)
