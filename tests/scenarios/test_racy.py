"""Files that change while the compiler runs, and compiles at the same moment."""

import os
import subprocess
from collections.abc import Callable

import pytest
from arena import HIT, Arena, World, needs, scenario
from arena.world import wait_until


def _compile_while(w: World, name: str, change: Callable[[], object]) -> None:
    """Start a compile by a slow wrapper; run `change` when the compiler proper has read its inputs; let it go on."""
    w.script(
        "bin/gcc",
        'for a in "$@"; do case "$a" in -E|-M|-MM|-###|-v|-dumpversion|-print-*|--version) exec /usr/bin/gcc "$@";; esac; done\n'
        'case "$*" in *a.c*) ;; *) exec /usr/bin/gcc "$@";; esac\n'
        '/usr/bin/gcc "$@" || exit\n: > reached\nwhile [ ! -e go ]; do sleep 0.01; done',
    )
    process = subprocess.Popen(
        w.compiler(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o"), cwd=w.root, env=w.environment(), stdin=subprocess.DEVNULL
    )
    wait_until(lambda: w.path("reached").exists() or process.poll() is not None, f"the compiler has read {name}")
    change()
    w.write("go", "")
    assert process.wait(120) == 0
    w.remove("go", "reached")


@scenario("gcc")
def test_header_modified_during_compile(w: World) -> None:
    """A header edited while the compiler runs, and put back later: the first object is not served for the second text (ccache#1378)."""
    w.write("a.c", '#include "v.h"\nint x = V;\n')
    w.write("v.h", "#define V 1\n")
    _compile_while(w, "v.h", lambda: w.write("v.h", "#define V 2\n"))
    w.script("bin/gcc", 'exec /usr/bin/gcc "$@"')
    w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o")
    w.write("v.h", "#define V 1\n")
    w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o")


@scenario("gcc")
def test_source_modified_during_compile(w: World) -> None:
    """The same for the source."""
    w.write("a.c", "int x = 1;\n")
    _compile_while(w, "a.c", lambda: w.write("a.c", "int x = 2;\n"))
    slow = w.path("bin/gcc").read_text()
    w.write("go", "")
    w.path("bin/gcc").write_text(slow)
    w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o")
    w.path("reached").unlink(missing_ok=True)
    w.write("a.c", "int x = 1;\n")
    w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o")


@scenario("gcc")
def test_source_modified_before_the_compiler_reads(w: World) -> None:
    """The source changes after it was hashed or preprocessed, before the compiler proper reads it; then is put back."""
    w.write("a.c", "int x = 1;\n")
    w.script(
        "bin/gcc",
        'for a in "$@"; do case "$a" in -E|-M|-MM|-###|-v|-dumpversion|-print-*|--version) exec /usr/bin/gcc "$@";; esac; done\n'
        'if [ -e swap ]; then rm swap; printf "int x = 2;\\n" > a.c; fi\nexec /usr/bin/gcc "$@"',
    )
    w.run(w.path("bin/gcc"), "-c", "other.c", "-o", "o.o")
    w.write("swap", "")
    w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o")
    w.write("a.c", "int x = 1;\n")
    w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o")
    w.write("a.c", "int x = 2;\n")
    w.run(w.path("bin/gcc"), "-c", "a.c", "-o", "a.o")


@scenario("gcc")
def test_header_appears_during_compile(w: World) -> None:
    """A header that would win appears while the compiler runs."""
    w.write("a.c", "#include <v.h>\nint x = V;\n")
    w.write("late/v.h", "#define V 1\n")
    w.mkdir("early")
    w.script(
        "bin/gcc",
        'for a in "$@"; do case "$a" in -E|-M|-MM|-###|-v|-dumpversion|-print-*|--version) exec /usr/bin/gcc "$@";; esac; done\n'
        '/usr/bin/gcc "$@"; s=$?\nif [ -e swap ]; then rm swap; printf "#define V 2\\n" > early/v.h; fi\nexit $s',
    )
    command = (w.path("bin/gcc"), "-Iearly", "-Ilate", "-c", "a.c", "-o", "a.o")
    w.write("swap", "")
    w.run(*command)
    w.run(*command)
    w.remove("early/v.h")
    w.run(*command)


def test_concurrent_identical_compiles(arena: Arena) -> None:
    """Twenty equal compiles at once: all right, all exit 0, nothing left; hits as soon as one compile had a file for itself."""
    needs("gcc")
    w = arena.cached_world()
    w.write("a.c", '#include <stdio.h>\nint main(void) { puts("x"); return 0; }\n')
    want = subprocess.run(["gcc", "-O2", "-c", "a.c", "-o", "plain.o"], cwd=w.root, check=False, timeout=120)
    assert want.returncode == 0
    running = [
        subprocess.Popen(
            w.compiler("gcc", "-O2", "-c", "a.c", "-o", f"a{n % 5}.o"), cwd=w.root, env=w.environment(), stderr=subprocess.PIPE
        )
        for n in range(20)
    ]
    for process in running:
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, b"")
    for n in range(5):
        assert w.path(f"a{n}.o").read_bytes() == w.path("plain.o").read_bytes()
    assert sorted(os.listdir(w.root)) == ["a.c", "a0.o", "a1.o", "a2.o", "a3.o", "a4.o", "plain.o"]
    w.run("gcc", "-O2", "-c", "a.c", "-o", "a.o")  # what several compiles wrote into one file at a time is not kept
    w.run("gcc", "-O2", "-c", "a.c", "-o", "a.o", expect=HIT)
    assert not w.complaints


@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_many_different_compiles_at_once(arena: Arena, cc: str) -> None:
    """Forty different compiles at once, twice: every object is its own source's."""
    needs(cc)
    w = arena.cached_world()
    for n in range(40):
        w.write(f"s{n}.c", f"int value_{n} = {n};\n")
    for _ in range(2):
        running = [subprocess.Popen(w.compiler(cc, "-c", f"s{n}.c", "-o", f"s{n}.o"), cwd=w.root, env=w.environment()) for n in range(40)]
        assert [process.wait(120) for process in running] == [0] * 40
        for n in range(40):
            assert f"value_{n}\0".encode() in w.path(f"s{n}.o").read_bytes()
            w.remove(f"s{n}.o")
