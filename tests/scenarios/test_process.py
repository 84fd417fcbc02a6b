"""The compiler as a process: streams, names, limits, command lines, jobserver."""

import contextlib
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from arena import ANY, HIT, MISS, Arena, World, needs, scenario

BOTH = ("gcc", "clang")


@scenario(*BOTH)
def test_source_on_stdin(w: World, cc: str) -> None:
    """`-` as the source: read from standard input, each time anew."""
    for text in (b"int x = 1;\n", b"int x = 2;\n", b"int x = 2;\n", b"syntax error\n"):
        w.run(cc, "-x", "c", "-c", "-", "-o", "a.o", stdin=text)
    w.run(cc, "-x", "c", "-c", "/dev/stdin", "-o", "a.o", stdin=b"int x = 4;\n")
    w.run(cc, "-x", "c", "-c", "/dev/stdin", "-o", "a.o", stdin=b"int x = 5;\n")
    w.run(cc, "-E", "-", stdin=b"int x;\n")


@scenario(*BOTH)
def test_include_from_stdin(w: World, cc: str) -> None:
    """-include /dev/stdin."""
    w.write("a.c", "int x = V;\n")
    for text in (b"#define V 1\n", b"#define V 2\n"):
        w.run(cc, "-include", "/dev/stdin", "-c", "a.c", "-o", "a.o", stdin=text)


@contextlib.contextmanager
def _spared_devices(w: World) -> Iterator[None]:
    """Notice a device that was replaced by a file, and put it back: we may run as root."""
    yield
    if not Path("/dev/null").is_char_device():
        Path("/dev/null").unlink(missing_ok=True)
        os.mknod("/dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        Path("/dev/null").chmod(0o666)
        w.complaints.append("/dev/null was replaced")
    if not Path("/dev/stdout").is_symlink():
        Path("/dev/stdout").unlink(missing_ok=True)
        Path("/dev/stdout").symlink_to("/proc/self/fd/1")
        w.complaints.append("/dev/stdout was replaced")


@scenario(*BOTH)
def test_object_to_dev_null(w: World, cc: str) -> None:
    """-o /dev/null stays a device."""
    w.write("a.c", "int f(void) { int unused; return 0; }\n")
    with _spared_devices(w):
        for _ in range(3):
            w.run(cc, "-Wall", "-c", "a.c", "-o", "/dev/null")


@scenario(*BOTH)
def test_object_to_stdout(w: World, cc: str) -> None:
    """-o - and -o naming the standard output write there."""
    w.write("a.c", "int x;\n")
    with _spared_devices(w):
        for output in ("-", "/dev/fd/1"):
            for _ in range(2):
                w.run(cc, "-S", "a.c", "-o", output)
                w.run(cc, "-c", "a.c", "-o", output)


@scenario(*BOTH)
def test_output_symlink(w: World, cc: str) -> None:
    """An output that is a symlink: treated as the compiler treats it."""
    w.write("a.c", "int x;\n")
    w.write("target.o", "old")
    w.symlink("a.o", "target.o")
    w.run(cc, "-c", "a.c", "-o", "a.o", expect=MISS)
    w.write("other.o", "old")
    w.symlink("a.o", "other.o")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.symlink("b.o", "dangling.o")
    w.run(cc, "-c", "a.c", "-o", "b.o")
    w.symlink("d.d", "deps")
    w.run(cc, "-MD", "-MF", "d.d", "-c", "a.c", "-o", "c.o")


@scenario(*BOTH)
def test_output_hard_linked_elsewhere(w: World, cc: str) -> None:
    """An output with a second name: whether that changes too is the compiler's habit."""
    w.write("a.c", "int x = 1;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.run(cc, "-c", "a.c", "-o", "b.o")
    os.link(w.path("a.o"), w.path("kept.o"))
    w.write("a.c", "int x = 2;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.write("a.c", "int x = 1;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_output_is_a_directory(w: World, cc: str) -> None:
    """-o names a directory: the compiler's error."""
    w.write("a.c", "int x;\n")
    w.run(cc, "-c", "a.c", "-o", "a.o")
    w.mkdir("dir.o")
    for _ in range(2):
        w.run(cc, "-c", "a.c", "-o", "dir.o")


@scenario(*BOTH)
def test_nonutf8_and_spaces(w: World, cc: str) -> None:
    """Names with spaces, quotes, latin-1 bytes, newlines, dollars and hashes."""
    unclear = {"gcc": (b"new\nline", b"@at"), "clang": (b"new\nline", b"@at", b"tab\t", b"back\\slash")}  # depfiles cannot tell them
    for name in (
        b"a b",
        b"quo'te",
        b'dou"ble',
        b"lat\xe9in",
        "ünïcode".encode(),
        b"new\nline",
        b"dol$lar",
        b"ha#sh",
        b"tab\t",
        b"back\\slash",
        b"star*",
        b"-",
        b"@at",
    ):
        source = name + b".c"
        w.write(source, '#include "v.h"\nint x;\n')
        w.write("v.h", "")
        w.run(cc, "-MD", "-c", b"./" + source, b"-o", name + b".o")
        w.run(cc, "-MD", "-c", b"./" + source, b"-o", name + b".o", expect=ANY if name in unclear[cc] else HIT)


@scenario(*BOTH)
def test_nonutf8_values(w: World, cc: str) -> None:
    """Bytes that are no UTF-8 in definitions, directories and the environment."""
    w.write("a.c", "const char *x = V;\n#include <v.h>\n")
    w.write(b"inc\xff/v.h", "int y;\n")
    w.write("latin.c", b'const char *x = "\xe9\xff";\n')
    env = {"ODD": os.fsdecode(b"\xff\xfe")}
    for value in (b'-DV="\xe9"', b'-DV="\xe8"', b'-DV="\xe9"'):
        w.run(cc, value, b"-Iinc\xff", "-c", "a.c", "-o", "a.o", env=env)
    w.run(cc, "-c", "latin.c", "-o", "a.o")
    w.run(cc, "-c", "latin.c", "-o", "a.o", expect=HIT)


@scenario(*BOTH)
def test_odd_working_directory(w: World, cc: str) -> None:
    """A working directory with odd bytes in its name."""
    w.write(b'd\xffir "x/a.c', "int x;\n")
    for _ in range(2):
        w.run(cc, "-g", "-c", "a.c", "-o", "a.o", cwd=os.fsdecode(b'd\xffir "x'))


@scenario(*BOTH)
def test_two_megabytes_of_arguments(w: World, cc: str) -> None:
    """Nearly two megabytes on the command line, and more in a response file."""
    w.write("a.c", "int x;\n")
    many = [f"-DNAME_{n}_{'x' * 80}=1" for n in range(16000)]
    w.write("many.rsp", "\n".join(many * 2))
    for _ in range(2):
        w.run(cc, *many, "-c", "a.c", "-o", "a.o")
    for _ in range(2):
        w.run(cc, "@many.rsp", "-c", "a.c", "-o", "a.o")


@scenario(*BOTH)
def test_large_environment(w: World, cc: str) -> None:
    """Hundreds of kilobytes of environment."""
    w.write("a.c", "int x;\n")
    env = {f"VARIABLE_{n}": "y" * 1000 for n in range(300)}
    w.run(cc, "-c", "a.c", "-o", "a.o", env=env, expect=MISS)
    w.run(cc, "-c", "a.c", "-o", "a.o", env=env, expect=HIT)


@scenario(*BOTH)
def test_bare_environment(w: World, cc: str) -> None:
    """Without PATH, HOME or TMPDIR."""
    w.write("a.c", "int x;\n")
    for missing in ("HOME", "TMPDIR", "TERM"):
        w.run(cc, "-c", "a.c", "-o", "a.o", env={missing: None})
    w.run(f"/usr/bin/{cc}", "-c", "a.c", "-o", "a.o", env={"PATH": None})
    w.run(f"/usr/bin/{cc}", "-c", "a.c", "-o", "a.o", env={"PATH": ""})


@scenario(*BOTH)
def test_working_directory_removed(w: World, cc: str) -> None:
    """Sources by absolute name, from a directory that is then gone for the daemon."""
    w.write("a.c", "int x;\n")
    w.mkdir("gone")
    w.run(cc, "-c", str(w.path("a.c")), "-o", str(w.path("a.o")), cwd="gone")
    w.path("gone").rmdir()
    w.run(cc, "-c", "a.c", "-o", "a.o")


@scenario("gcc")
def test_relative_compiler_and_no_such_compiler(w: World) -> None:
    """A compiler by relative path; a compiler that does not exist fails."""
    w.write("a.c", "int x;\n")
    w.script("bin/gcc", 'exec /usr/bin/gcc "$@"')
    w.run("bin/gcc", "-c", "a.c", "-o", "a.o")
    w.run("./bin/gcc", "-c", "a.c", "-o", "a.o")
    w.write("bin/sub/b.c", "int x;\n")
    w.run("../gcc", "-c", "b.c", "-o", "a.o", cwd="bin/sub")
    if w.cached:
        for command in ("no-such-compiler", "./no-such", "/no/such", "a.c"):
            done = subprocess.run(
                w.compiler(command, "-c", "a.c"), cwd=w.root, env=w.environment(), capture_output=True, timeout=120, check=False
            )
            if done.returncode == 0:
                w.complaints.append(f"{command} succeeded")


@scenario("gcc")
def test_not_a_compiler(w: World) -> None:
    """Any other program in the compiler's place runs as it is, with its streams and exit code."""
    w.script("tool", 'echo "out $*"; echo err >&2; cat; exit 7')
    w.run("./tool", "a", "b", stdin=b"input\n")
    w.run("./tool", "-c", "a.c", "-o", "a.o", stdin=b"input\n")
    w.run("true")
    w.run("false")


JOBSERVER = """#!/bin/sh
case "$MAKEFLAGS" in
*--jobserver-auth=*) auth=${MAKEFLAGS##*--jobserver-auth=}; auth=${auth%% *} ;;
*) echo "no jobserver in MAKEFLAGS: $MAKEFLAGS" >&2; exit 9 ;;
esac
case "$auth" in
fifo:*) test -p "${auth#fifo:}" || { echo "no fifo" >&2; exit 9; } ;;
*) for fd in "${auth%,*}" "${auth#*,}"; do test -e "/proc/self/fd/$fd" || { echo "jobserver fd $fd is closed" >&2; exit 9; }; done ;;
esac
exec /usr/bin/gcc "$@"
"""


@scenario("gcc", programs=["make"])
def test_jobserver(w: World) -> None:
    """make -j4: the compiler sees make's jobserver, and the build ends though the daemon was started in it."""
    w.write("bin/gcc", JOBSERVER, mode=0o755)
    objects = " ".join(f"f{n}.o" for n in range(12))
    for n in range(12):
        w.write(f"f{n}.c", f"int f{n};\n")
    w.write("Makefile", f"all: {objects}\n%.o: %.c\n\t+@$(FRONT){w.path('bin/gcc')} -c $< -o $@\n")
    w.tool("make", "-j4", env={"FRONT": w.front})
    for n in range(12):
        w.remove(f"f{n}.o")
    w.tool("make", "-j4", env={"FRONT": w.front})


def test_daemon_holds_nothing_of_the_caller(arena: Arena) -> None:
    """A daemon started by a compile keeps no pipe open (a build in a pipe ends) and no working directory."""
    needs("gcc")
    w = arena.cached_world()
    w.write("a.c", "int x;\n")
    done = subprocess.run(
        ["sh", "-c", f"{w.front}gcc -c a.c -o a.o 2>&1 | cat; exec 9<&-"], cwd=w.root, env=w.environment(), timeout=120, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0
    pid = w.daemon_pid()
    assert pid is not None
    assert not os.readlink(f"/proc/{pid}/cwd").startswith(str(w.root))
    assert os.getpgid(pid) != os.getpgid(0)
    assert os.getsid(pid) != os.getsid(0)


def test_limits_and_priority_of_the_caller(arena: Arena) -> None:
    """The compiler runs as a child of the caller: its niceness and limits are the caller's."""
    needs("gcc")
    w = arena.cached_world()
    w.write("a.c", "int x;\n")
    w.run("gcc", "-c", "a.c", "-o", "warm.o")
    w.script("bin/gcc", 'case "$*" in *b.c*) nice > niceness; ulimit -n > files;; esac\nexec /usr/bin/gcc "$@"')
    w.write("b.c", "int y;\n")
    command = " ".join(str(word) for word in w.compiler(w.path("bin/gcc"), "-c", "b.c", "-o", "b.o"))
    done = subprocess.run(
        ["sh", "-c", f"ulimit -n 777; exec nice -n 7 {command}"], cwd=w.root, env=w.environment(), timeout=120, check=False
    )
    assert done.returncode == 0
    assert (w.path("niceness").read_text(), w.path("files").read_text()) == ("7\n", "777\n")


def test_closed_streams(arena: Arena) -> None:
    """Standard streams that are closed do not end up as the socket or the object."""
    needs("gcc")
    w = arena.cached_world()
    w.write("a.c", "int f(void) { int unused; return 0; }\n")
    plain = subprocess.run(["gcc", "-c", "a.c", "-o", "plain.o"], cwd=w.root, check=False, timeout=120)
    assert plain.returncode == 0
    for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        command = " ".join(str(word) for word in w.compiler("gcc", "-Wall", "-c", "a.c", "-o", "a.o"))
        done = subprocess.run(
            ["sh", "-c", f"{command} {closed}"], cwd=w.root, env=w.environment(), timeout=120, check=False, capture_output=True
        )
        assert done.returncode == 0, closed
        assert w.path("a.o").read_bytes() == w.path("plain.o").read_bytes()


def test_restored_object_is_newer_than_its_source(arena: Arena) -> None:
    """A hit's outputs are stamped now, so make does not rebuild them."""
    needs("gcc")
    w = arena.cached_world()
    w.write("a.c", "int x;\n")
    w.run("gcc", "-MD", "-c", "a.c", "-o", "a.o", expect=MISS)
    w.remove("a.o", "a.d")
    os.utime(w.path("a.c"))
    w.run("gcc", "-MD", "-c", "a.c", "-o", "a.o", expect=HIT)
    source = w.path("a.c").stat().st_mtime_ns
    assert w.path("a.o").stat().st_mtime_ns >= source
    assert w.path("a.d").stat().st_mtime_ns >= source
    assert not w.complaints


def test_cached_object_is_private(arena: Arena) -> None:
    """Writing into a restored object (strip, objcopy) does not change the next one."""
    needs("gcc", "strip")
    w = arena.cached_world()
    w.write("a.c", "int x;\n")
    command = ("gcc", "-g", "-c", "a.c", "-o", "a.o")
    w.run(*command, expect=MISS)
    fresh = w.path("a.o").read_bytes()
    for _ in range(3):
        subprocess.run(["strip", "-g", "a.o"], cwd=w.root, check=True, timeout=120)
        with w.path("a.o").open("r+b") as file:
            file.write(b"damage")
        w.run(*command, expect=HIT)
        assert w.path("a.o").read_bytes() == fresh
    assert not w.complaints
