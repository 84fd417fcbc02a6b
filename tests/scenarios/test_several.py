"""Several sources in one command: each from the cache, and files, messages and status as the plain command's."""

import os
import signal
import subprocess
import threading

import pytest
from arena import HIT, MISS, RECOMPILE, UNCACHED, World, scenario
from arena.needs import needs
from arena.play import Arena
from arena.world import wait_until
from test_clang_cuda import ONE, lay_out
from test_clang_cuda import command as cuda_command

BOTH = ("gcc", "clang")
WARNS = "int {0}(void) {{ int unused_{0}; return 0; }}\n#warning in {0}\n"


def _sources(w: World) -> None:
    w.write("a.c", WARNS.format("a"))
    w.write("b.c", '#include "h.h"\n' + WARNS.format("b"))
    w.write("c.c", WARNS.format("c"))
    w.write("h.h", "#define H 1\n")


@scenario(*BOTH)
def test_cold_and_warm(w: World, cc: str) -> None:
    """Objects, dependency files, and each source's warnings in their order."""
    _sources(w)
    for options in (("-c",), ("-MD", "-O1", "-c"), ("-MMD", "-MP", "-g", "-O2", "-c"), ("-S",)):
        command = (cc, "-Wall", *options, "a.c", "b.c", "c.c")
        w.run(*command, expect=MISS)
        w.run(*command, expect=HIT)
        for made in w.root.glob("*.[osd]"):
            made.unlink()
        w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_on_a_terminal(w: World, cc: str) -> None:
    """Coloured messages, in order."""
    _sources(w)
    command = (cc, "-Wall", "-c", "a.c", "b.c", "c.c")
    w.run(*command, tty=True, env={"TERM": "xterm"}, expect=MISS)
    w.run(*command, tty=True, env={"TERM": "xterm"}, expect=HIT)


@scenario(*BOTH)
def test_long_messages(w: World, cc: str) -> None:
    """More than a message of the launcher's holds."""
    for name in ("a", "b"):
        w.write(f"{name}.c", "".join(f"#warning {name} {number} {'x' * 60}\n" for number in range(2000)))
    for expected in (MISS, HIT, HIT):
        w.run(cc, "-c", "a.c", "b.c", expect=expected)


@scenario(*BOTH)
def test_known_from_single_commands(w: World, cc: str) -> None:
    """A source that was compiled alone is known, and the other way round."""
    _sources(w)
    for name in ("a", "b"):
        w.run(cc, "-Wall", "-c", f"{name}.c", expect=MISS)
    w.run(cc, "-Wall", "-c", "a.c", "b.c", expect=HIT)
    w.run(cc, "-Wall", "-c", "-O1", "a.c", "b.c", expect=MISS)
    w.run(cc, "-Wall", "-c", "-O1", "b.c", expect=HIT)


@pytest.mark.parametrize("cc", BOTH)
def test_one_edited(arena: Arena, cc: str) -> None:
    """Only what changed is compiled."""
    needs(cc)
    w = arena.cached_world()
    _sources(w)
    command = (cc, "-c", "a.c", "b.c", "c.c")
    w.run(*command)
    w.write("h.h", "#define H 2\nint more;\n")
    before = w.product.settled_counts(w.environment())
    w.run(*command)
    after = w.product.settled_counts(w.environment())
    assert (after.hits - before.hits, after.misses - before.misses, after.uncached - before.uncached) == (2, 1, 0)


@scenario(*BOTH)
def test_one_fails(w: World, cc: str) -> None:
    """Whichever fails, and however: the others' objects are there, old ones are left or removed, as the compiler does it."""
    _sources(w)
    command = (cc, "-Wall", "-MD", "-c", "a.c", "b.c", "c.c")
    w.run(*command)
    for name in ("a", "b", "c"):
        good = w.path(f"{name}.c").read_text()
        for bad in (f"{good}int x = y;\n", '#include "none.h"\n', "#error no\n"):
            w.write(f"{name}.c", bad)
            w.run(*command)
        w.write(f"{name}.c", good)
        w.run(*command)
    w.remove("b.o", "b.c")
    w.run(*command)
    w.run(*command)


@scenario(*BOTH)
def test_the_driver_itself_complains(w: World, cc: str) -> None:
    """What the driver says, it says once."""
    _sources(w)
    for extra in (("-lfoo",), ("-Wl,-x",), ("-fno-such-option",), ("-Wno-such-warning",), ("none.o",), ("-march=none",), ("-L.", "-s")):
        for _ in range(2):
            w.run(cc, *extra, "-c", "a.c", "b.c")


@scenario("clang")
def test_options_that_nothing_uses(w: World) -> None:
    """clang says so once, in front of all else; with one of two languages that use an option it says nothing."""
    _sources(w)
    w.write("b.cpp", "int b;\n")
    w.write("s.s", "nop\n")
    for words in (("-lfoo", "-Wl,-x", "a.c", "b.c"), ("-lfoo", "s.s", "a.c"), ("-lfoo", "-Wall", "-c", "c.c", "a.c")):
        w.run("clang", "-c", *words, expect=MISS)
        w.run("clang", "-c", *words, expect=HIT)
        w.run("clang", "-c", *words, expect=HIT)
        w.run("clang", "-c", *words, tty=True, env={"TERM": "xterm"})
        w.run("clang", "-c", *words, tty=True, env={"TERM": "xterm"}, expect=HIT)
    for options in (("-Dx", "-DY=1"), ("-g", "-std=c11"), ("-fno-rtti",), ("-Wa,-x", "-stdlib=libc++"), ("-mno-such",)):
        for sources in (("a.c", "s.s"), ("s.s", "b.cpp"), ("a.c", "b.cpp")):
            w.run("clang", *options, "-c", *sources)
            w.run("clang", *options, "-c", *sources)


@scenario(*BOTH)
def test_languages(w: World, cc: str) -> None:
    """By name, by -x in front of each, by -x behind all."""
    w.write("a.c", "int a(void) { return sizeof('a'); }\n")
    w.write("b.cpp", "int b() { return sizeof('a'); }\n")
    w.write("b.c", "int b() { return sizeof('a'); }\n")
    w.write("s.s", "nop\n")
    w.run(cc, "-c", "a.c", "b.cpp", "s.s", expect=MISS)
    w.run(cc, "-c", "a.c", "b.cpp", "s.s", expect=HIT)
    for words in (("-x", "c", "a.c", "-xc++", "b.c"), ("-xc++", "a.c", "-x", "none", "b.c"), ("-x", "c++", "-xc", "a.c", "b.cpp")):
        w.run(cc, "-c", *words)
        w.run(cc, "-c", *words, expect=HIT)
    w.run(cc, "-c", "a.c", "b.c", "-x", "c++", expect=UNCACHED)
    w.run(cc, "-std=c++17", "-c", "a.c", "b.cpp")  # said to be wrong for one of them
    w.run(cc, "-std=c++17", "-c", "a.c", "b.cpp")


@scenario(*BOTH)
def test_options_between_and_response_files(w: World, cc: str) -> None:
    """Wherever they stand, options are for all sources."""
    w.write("a.c", "#ifdef X\nint a = X;\n#endif\n")
    w.write("b.c", "#ifdef X\nint b = X;\n#endif\n")
    w.write("all", "-c 'a.c' -DX=1 @more\n")
    w.write("more", "b.c -g\n")
    w.run(cc, "@all", expect=MISS)
    w.run(cc, "@all", expect=HIT)
    w.run(cc, "-c", "a.c", "-DX=1", "b.c", "-g", expect=HIT)
    w.write("more", "b.c -g -O2\n")
    w.run(cc, "@all", expect=MISS)


@scenario(*BOTH)
def test_one_file_for_all(w: World, cc: str) -> None:
    """Whatever all sources share stays one command: -o is an error, the last one's -MF and object win."""
    _sources(w)
    w.write("d/a.c", "int other;\n")
    for words in (
        ("-o", "x.o", "a.c", "b.c"),
        ("-MD", "-MF", "x.d", "a.c", "b.c"),
        ("-Wp,-MD,x.d", "a.c", "b.c"),
        ("a.c", "d/a.c"),
        ("d/a.c", "a.c"),
        ("a.c", "a.c"),
        ("-save-temps", "a.c", "b.c"),
        ("-Wa,-adhln=x.lst", "a.c", "b.c"),
    ):
        w.run(cc, "-c", *words, expect=UNCACHED)
        w.run(cc, "-c", *words, expect=UNCACHED)


@scenario(*BOTH)
def test_files_beside_the_objects(w: World, cc: str) -> None:
    """Coverage notes, split debug information, stack usage: each source's own."""
    _sources(w)
    for options in (("--coverage",), ("-g", "-gsplit-dwarf"), ("-fstack-usage",)):
        command = (cc, *options, "-c", "a.c", "b.c")
        w.run(*command, expect=MISS)
        for made in [*w.root.glob("*.o"), *w.root.glob("*.gcno"), *w.root.glob("*.dwo"), *w.root.glob("*.su")]:
            made.unlink()
        w.run(*command, expect=HIT)


@scenario(*BOTH)
def test_what_one_makes_another_reads(w: World, cc: str) -> None:
    """In the order of the sources, as the compiler does it."""
    w.write("a.c", "int a;\n")
    w.write("b.c", '__asm__(".incbin \\"a.d\\"");\n')
    w.run(cc, "-MD", "-c", "a.c", "b.c")
    w.write("a.c", "/* */ int a, more;\n")
    w.run(cc, "-MD", "-MP", "-MT", "x", "-c", "a.c", "b.c")
    w.run(cc, "-MD", "-c", "a.c", "b.c")
    w.run(cc, "-S", "a.c")
    w.run(cc, "-S", "a.c", "a.s")


@scenario(*BOTH)
def test_a_script_as_the_compiler(w: World, cc: str) -> None:
    """A wrapper may do anything once for each command."""
    _sources(w)
    w.script(f"bin/{cc}", f'case "$*" in *a.c*b.c*) echo run >> count;; esac\necho compiling\nexec /usr/bin/{cc} "$@"')
    for _ in range(2):
        w.run(w.path(f"bin/{cc}"), "-c", "a.c", "b.c", expect=UNCACHED)


@scenario("gcc")
def test_many(w: World) -> None:
    """More sources than a daemon could once have asked a launcher to run commands for."""
    names = [f"s{number}.c" for number in range(80)]
    for name in names:
        w.write(name, f"int {name[:-2]};\n")
    w.run("gcc", "-c", *names, expect=MISS)
    w.run("gcc", "-c", *names, expect=HIT)


NVCC = "/usr/local/bin/nvcc"


def _cuda_sources(w: World) -> None:
    w.write("a.cu", "#warning a\n__global__ void a() { int unused; }\nvoid f() { a<<<1, 1>>>(); }\n")
    w.write("b.cu", '#include "h.h"\n__global__ void b() {}\nint g() { return H; }\n')
    w.write("c.cpp", "#warning c\nint c() { return 0; }\n")
    w.write("h.h", "#define H 1\n")


@scenario(NVCC)
def test_nvcc(w: World, nvcc: str) -> None:
    """Objects, dependency files and messages; one that fails; what the driver says once."""
    _cuda_sources(w)
    command = (nvcc, "-MD", "-c", "a.cu", "b.cu", "c.cpp")
    w.run(*command, expect=MISS)
    for _ in range(2):
        w.run(*command, expect=HIT)
    w.run(nvcc, "-MD", "-c", "b.cu", expect=HIT)
    good = w.path("b.cu").read_text()
    w.write("b.cu", good + "int x = y;\n")
    w.remove("c.o")
    w.run(*command)
    w.write("b.cu", good + "int corrected;\n")
    w.run(*command)
    w.run(*command, expect=HIT)
    w.run(nvcc, "-o", "x.o", "-c", "a.cu", "b.cu", expect=UNCACHED)
    for extra in ("-lfoo", "-unknown", "-dc"):
        w.run(nvcc, extra, "-c", "a.cu", "b.cu")
        w.run(nvcc, extra, "-c", "a.cu", "b.cu")


@scenario("clang++")
def test_cuda_with_clang(w: World, cc: str) -> None:
    """Objects of device code, each from the cache; beside a source without any the command stays whole."""
    lay_out(w)
    w.write("other.cu", w.path("main.cu").read_text().replace("a * x[i] + y[i]", "a * x[i] - y[i]"))
    w.write("plain.cpp", "int plain;\n")
    command = cuda_command(w, cc, ONE, "-MD", "-c", "main.cu", "other.cu")
    w.run(*command, expect=MISS)
    for made in [*w.root.glob("*.o"), *w.root.glob("*.d")]:
        made.unlink()
    w.run(*command, expect=HIT)
    w.run(*command, expect=HIT)
    w.write("other.cu", "int x = y;\n")
    w.run(*command)
    w.run(*cuda_command(w, cc, ONE, "-c", "main.cu", "plain.cpp"), expect=UNCACHED)


@scenario(*BOTH)
def test_behind_a_link(w: World, cc: str) -> None:
    """A link of the compiler's name to us: each part runs the real compiler."""
    _sources(w)
    if w.product:
        w.symlink(f"links/{cc}", str(w.product.command))
    else:
        w.symlink(f"links/{cc}", f"/usr/bin/{cc}")
    path = {"PATH": f"{w.path('links')}:/usr/bin:/bin"}
    command = (cc, "-Wall", "-MD", "-c", "a.c", "b.c", "c.c")
    for _ in range(3):
        w.tool(*command, env=path, compare=False)
    w.write("b.c", "int b = x;\n")
    w.tool(*command, env=path, compare=False)


@scenario(*BOTH, settings={"SCCACHE_NO_CACHE": "1"})
def test_no_cache(w: World, cc: str) -> None:
    """The whole command, untouched."""
    _sources(w)
    w.run(cc, "-c", "a.c", "b.c", expect=UNCACHED)


@scenario(*BOTH)
def test_forced_recache(w: World, cc: str) -> None:
    """Every part is compiled again."""
    _sources(w)
    w.run(cc, "-c", "a.c", "b.c", expect=MISS)
    w.run(cc, "-c", "a.c", "b.c", env={"SCCACHE_RECACHE": "1"}, expect=RECOMPILE)
    w.run(cc, "-c", "a.c", "b.c", expect=HIT)


def _assembler(w: World) -> dict[str, str | None]:
    """A `gcc -B` directory whose assembler waits in the second source's run."""
    w.script("tools/as", 'case "$*" in *b.o*) : > reached; while [ ! -e go ]; do sleep 0.01; done;; esac\nexec /usr/bin/as "$@"')
    return {"COMPILER_PATH": str(w.path("tools"))}


@scenario("gcc")
def test_daemon_killed_in_the_second_part(w: World) -> None:
    """The whole command runs then: no object is missing, no message is lost or said twice."""
    _sources(w)
    slow = _assembler(w)
    w.write("go", "")
    w.run("gcc", "-c", "h.h", env=slow)  # the compiler is known now
    w.remove("go")

    def kill() -> None:
        wait_until(w.path("reached").exists, "the second source is compiled")
        w.kill_daemon()
        w.path("go").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    w.run("gcc", "-Wall", "-MD", "-c", "a.c", "b.c", "c.c", env=slow)
    killer.join()
    w.run("gcc", "-Wall", "-MD", "-c", "a.c", "b.c", "c.c", env=slow)
    w.run("gcc", "-Wall", "-MD", "-c", "a.c", "b.c", "c.c", env=slow, expect=HIT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_the_second_part(arena: Arena, number: signal.Signals) -> None:
    """Ctrl-C: the first object is there, the second is not, the third was not begun; the launcher dies of the signal."""
    needs("gcc")
    w = arena.cached_world()
    _sources(w)
    environment = w.environment(_assembler(w))
    process = subprocess.Popen(
        w.compiler("gcc", "-c", "a.c", "b.c", "c.c"), cwd=w.root, env=environment, process_group=0,
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(w.path("reached").exists, "the second source is compiled")
    os.killpg(process.pid, number)
    assert process.wait(50) in (-number, 128 + number)
    assert sorted(path.name for path in w.root.glob("*.o")) == ["a.o"]
    w.path("go").touch()
    w.run("gcc", "-c", "a.c", "b.c", "c.c", env=_assembler(w))
    assert sorted(path.name for path in w.root.glob("*.o")) == ["a.o", "b.o", "c.o"]
