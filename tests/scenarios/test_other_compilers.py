"""Diab's dcc, TASKING's cctc and NVIDIA's nvc++, none of them installed here: stand-ins with their command lines and gcc behind them.

The stand-ins (tests/stand_ins/other_compilers.c) read a settings file beside themselves, run gcc, and write the files that
these compilers are documented to write.
"""

import atexit
import functools
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from arena import HIT, MISS, RECOMPILE, UNCACHED, Arena, World, needs

SOURCE = Path(__file__).parents[1] / "stand_ins" / "other_compilers.c"
COMPILERS = ("dcc", "cctc", "nvc++")
DEPENDENCIES = {
    "dcc": ("-Xmake-dependency=4", "-Xmake-dependency-savefile={0}", "-Xmake-dependency-target={1}"),
    "cctc": ("--dep-file={0}",),
    "nvc++": ("-MD", "-MF", "{0}", "-MT", "{1}"),
}
TARGET = {"dcc": "-t{0}", "cctc": "-C{0}", "nvc++": "-gpu={0}"}
COMPILE = {"dcc": "-c", "cctc": "-co", "nvc++": "-c"}
UNKNOWN = {"dcc": "-Xnew-in-2030={0}", "cctc": "--new-in-2030={0}", "nvc++": "-stdpar={0}"}
FLAVOUR = "int flavour = TARGET;\n"


@functools.cache
def built() -> bytes:
    """The stand-in, as a program."""
    folder = tempfile.mkdtemp(prefix="stand-in-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = Path(folder) / "program"
    subprocess.run(["gcc", "-O0", "-o", program, SOURCE], check=True, timeout=120)
    return program.read_bytes()


def install(w: World, name: str) -> str:
    """Put a stand-in into the tree; its name there."""
    w.write(f"bin/{name}", built(), mode=0o755)
    return f"bin/{name}"


def played(*compilers: str) -> Callable[[Callable[[World, str], None]], Callable[..., None]]:
    """Play `steps(world, name of the compiler)` plainly and cached, for each of these compilers."""

    def decorate(steps: Callable[[World, str], None]) -> Callable[..., None]:
        @pytest.mark.parametrize("cc", compilers or COMPILERS)
        def test(arena: Arena, cc: str) -> None:
            needs("gcc")

            def all_steps(w: World) -> None:
                install(w, cc)
                w.write("a.c", '#include "h.h"\nint f(void) { return H; }\n')
                w.write("h.h", "#define H 1\n")
                steps(w, cc)

            arena.play(all_steps)

        functools.update_wrapper(test, steps)
        del test.__wrapped__  # type: ignore[attr-defined]  # pytest would look at the wrapped signature
        return test

    return decorate


def command(cc: str, *more: str) -> tuple[str, ...]:
    return (f"bin/{cc}", COMPILE[cc], *more, "a.c", "-o", "a.o")


@played()
def test_cold_then_warm(w: World, cc: str) -> None:
    """The second compile is a hit with the same object."""
    w.run(*command(cc), expect=MISS)
    w.remove("a.o")
    w.run(*command(cc), expect=HIT)


@played()
def test_a_hit_of_another_daemon(w: World, cc: str) -> None:
    """What one daemon stored, the next one finds."""
    w.run(*command(cc), expect=MISS)
    w.stop_daemon()
    w.remove("a.o")
    w.run(*command(cc), expect=HIT)


@played()
def test_edit_of_the_source_and_of_a_header(w: World, cc: str) -> None:
    """Each edit compiles anew; what was before is found again."""
    w.run(*command(cc), expect=MISS)
    w.write("h.h", "#define H 2\n")
    w.run(*command(cc), expect=RECOMPILE)
    w.write("a.c", '#include "h.h"\nint g(void) { return H; }\n')
    w.run(*command(cc), expect=RECOMPILE)
    w.write("h.h", "#define H 1\n")
    w.write("a.c", '#include "h.h"\nint f(void) { return H; }\n')
    w.run(*command(cc), expect=HIT)


@played()
def test_a_header_that_appears_earlier(w: World, cc: str) -> None:
    """A directory that is searched first gets the file."""
    w.write("a.c", "#include <k.h>\nint f(void) { return K; }\n")
    w.write("late/k.h", "#define K 1\n")
    w.mkdir("early")
    line = command(cc, "-Iearly", "-Ilate")
    w.run(*line, expect=MISS)
    w.run(*line, expect=HIT)
    w.write("early/k.h", "#define K 2\n")
    w.run(*line, expect=RECOMPILE)


@played()
def test_other_options_are_other_results(w: World, cc: str) -> None:
    """Macros, targets, and options that no table knows."""
    w.write("a.c", FLAVOUR)
    for target in ("1", "2"):
        w.run(*command(cc, TARGET[cc].format(target)), expect=MISS)
    w.run(*command(cc, TARGET[cc].format("1")), expect=HIT)
    w.run(*command(cc, TARGET[cc].format("1"), "-DX"), expect=MISS)
    w.run(*command(cc, TARGET[cc].format("1"), UNKNOWN[cc].format("3")), expect=MISS)
    w.run(*command(cc, TARGET[cc].format("1"), UNKNOWN[cc].format("3")), expect=HIT)
    w.run(*command(cc, TARGET[cc].format("1"), UNKNOWN[cc].format("4")), expect=MISS)


@played()
def test_dependency_file(w: World, cc: str) -> None:
    """It is made again, and belongs to its own command line."""
    w.mkdir("deps")
    line = command(cc, *(word.format("deps/a.d", "a.o") for word in DEPENDENCIES[cc]))
    w.run(*line, expect=MISS)
    w.remove("a.o", "deps/a.d")
    w.run(*line, expect=HIT)
    w.run(*command(cc), expect=MISS)


@played("dcc")
def test_dependency_file_without_a_name(w: World, cc: str) -> None:
    """It is beside the object, in whichever directory that is."""
    w.mkdir("obj")
    line = (f"bin/{cc}", "-c", "-o", "obj/b.o", "a.c", "-Xmake-dependency=4")
    w.run(*line, expect=MISS)
    w.remove("obj/b.o", "obj/b.d")
    w.run(*line, expect=HIT)


@played("dcc", "cctc")
def test_output_without_a_name(w: World, cc: str) -> None:
    """The object of a source elsewhere, wherever this compiler puts it."""
    w.write("src/b.c", "int b;\n")
    w.run(f"bin/{cc}", COMPILE[cc], "src/b.c", expect=MISS)
    w.remove("b.o")
    w.run(f"bin/{cc}", COMPILE[cc], "src/b.c", expect=HIT)


@played()
def test_assembly(w: World, cc: str) -> None:
    """Assembly is an output as an object is."""
    line = (f"bin/{cc}", "-cs" if cc == "cctc" else "-S", "a.c", "-o", "a.src")
    w.run(*line, expect=MISS)
    w.remove("a.src")
    w.run(*line, expect=HIT)


@played("ctc")
def test_a_compiler_that_always_makes_assembly(w: World, cc: str) -> None:
    """TASKING's C compiler, which its control program runs, called by itself."""
    line = (f"bin/{cc}", "-C1", "--dep-file=a.d", "a.c")
    w.run(*line, expect=MISS)
    w.remove("a.src", "a.d")
    w.run(*line, expect=HIT)
    w.write("h.h", "#define H 2\n")
    w.run(*line, expect=RECOMPILE)


@played("nvc++")
def test_a_language_that_is_said(w: World, cc: str) -> None:
    """-x makes another result of one text."""
    w.write("a.c", "int f(int (*g)(void)) { return sizeof 'a' + g(); }\n")
    for language in ("c", "c++"):
        w.run(*command(cc, "-x", language), expect=MISS)
    w.run(*command(cc, "-x", "c"), expect=HIT)


@played("dcc")
def test_assembly_that_is_kept(w: World, cc: str) -> None:
    """Beside the object, with a hit too."""
    line = command(cc, "-Xkeep-assembly-file=2")
    w.run(*line, expect=MISS)
    w.remove("a.o", "a.s")
    w.run(*line, expect=HIT)


@played()
def test_two_sources_with_one_text(w: World, cc: str) -> None:
    """Of one name even, in other directories: each has its own header."""
    for name, value in (("one", "1"), ("two", "2")):
        w.write(f"{name}/b.c", '#include "own.h"\nint f(void) { return H; }\n')
        w.write(f"{name}/own.h", f"#define H {value}\n")
    for name in ("one", "two"):
        w.run(f"bin/{cc}", COMPILE[cc], f"{name}/b.c", "-o", "b.o", expect=MISS)
    w.run(f"bin/{cc}", COMPILE[cc], "one/b.c", "-o", "b.o", expect=HIT)


@played("cctc")
def test_a_command_line_in_the_assembly(w: World, cc: str) -> None:
    """TASKING's compiler writes it there: another order is another text."""
    first = (f"bin/{cc}", "-cs", "-DA", "a.c", "-o", "a.src")
    w.run(*first, expect=MISS)
    w.run(f"bin/{cc}", "-cs", "a.c", "-DA", "-o", "a.src", expect=MISS)
    w.run(*first, expect=HIT)


@played()
def test_warnings_come_again(w: World, cc: str) -> None:
    """Messages are part of a hit."""
    w.write("a.c", '#warning "take care"\nint f(void) { return 1; }\n')
    w.run(*command(cc), expect=MISS)
    w.run(*command(cc), expect=HIT)


@played("nvc++")
def test_notes_about_optimisations_come_again(w: World, cc: str) -> None:
    """-Minfo's."""
    w.run(*command(cc, "-Minfo=all"), expect=MISS)
    w.run(*command(cc, "-Minfo=all"), expect=HIT)
    w.run(*command(cc), expect=MISS)


@played()
def test_errors_are_not_kept(w: World, cc: str) -> None:
    """A compile that fails fails each time, and leaves no object."""
    w.write("a.c", "int f(\n")
    for _ in range(2):
        w.run(*command(cc), expect=UNCACHED)
    w.write("a.c", "int f;\n")
    w.run(*command(cc), expect=MISS)


@played()
def test_settings_beside_the_compiler(w: World, cc: str) -> None:
    """A file that the compiler reads of itself, which no command line names, and which appears."""
    w.write("a.c", FLAVOUR)
    w.run(*command(cc, "-DTARGET=1"), expect=MISS)
    w.run(*command(cc, "-DTARGET=1"), expect=HIT)
    w.write("bin/settings", "-UTARGET\n-DOTHER\n")
    w.run(*command(cc, "-DTARGET=1"), expect=RECOMPILE)
    w.run(*command(cc, "-DTARGET=1"), expect=HIT)
    w.write("bin/settings", "-DOTHER=2\n")
    w.run(*command(cc, "-DTARGET=1"), expect=RECOMPILE)


@played()
def test_an_update_of_the_compiler(w: World, cc: str) -> None:
    """Another program under the same name."""
    w.run(*command(cc), expect=MISS)
    w.write(f"bin/{cc}", built() + b"\0new", mode=0o755)
    w.run(*command(cc), expect=RECOMPILE)


@played("dcc", "cctc")
def test_option_files(w: World, cc: str) -> None:
    """Words in files count as on the command line, and an edit of the file too."""
    w.write("a.c", FLAVOUR)
    w.write("words.opt", TARGET[cc].format("1") + "\n-DB\n")
    named = ("-@words.opt",) if cc == "dcc" else ("-f", "words.opt")
    w.run(*command(cc, *named), expect=MISS)
    w.run(*command(cc, *named), expect=HIT)
    w.write("words.opt", TARGET[cc].format("2") + "\n-DB\n")
    w.run(*command(cc, *named), expect=RECOMPILE)


@played("dcc")
def test_a_variable_with_options(w: World, cc: str) -> None:
    """DFLAGS stands before the command line, and an option file may be a variable."""
    w.write("a.c", FLAVOUR)
    for target in ("1", "2"):
        w.run(*command(cc), env={"DFLAGS": f"-t{target}"}, expect=MISS)
        w.run(*command(cc, "-@WORDS"), env={"WORDS": f"-DTARGET={target}"}, expect=MISS)
    w.run(*command(cc), env={"DFLAGS": "-t1"}, expect=HIT)
    w.run(*command(cc, "-@WORDS"), env={"WORDS": "-DTARGET=1"}, expect=HIT)


@played()
def test_what_is_passed_through(w: World, cc: str) -> None:
    """Preprocessing, two sources for one output, and what is no command."""
    w.write("b.c", "int b;\n")
    w.run(f"bin/{cc}", "-E", "a.c", expect=UNCACHED)
    w.run(f"bin/{cc}", COMPILE[cc], "a.c", "b.c", "-o", "a.o", expect=UNCACHED)
    w.run(f"bin/{cc}", expect=UNCACHED)


@played()
def test_several_sources(w: World, cc: str) -> None:
    """They are one compile: all outputs come with a hit, an edit of one compiles all."""
    w.write("b.c", "int b;\n")
    line = (f"bin/{cc}", COMPILE[cc], "a.c", "b.c")
    w.run(*line, expect=MISS)
    w.remove("a.o", "b.o")
    w.run(*line, expect=HIT)
    w.write("b.c", "int c;\n")
    w.run(*line, expect=RECOMPILE)


@played()
def test_dates_are_not_kept(w: World, cc: str) -> None:
    """__TIME__ in a source: compiled each time."""
    w.write("a.c", "int f(void) { return sizeof __TIME__; }\n")
    for _ in range(2):
        w.run(*command(cc), expect=UNCACHED)


@contextmanager
def licence_server() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(("cc", "variable"), [("dcc", "WRSD_LICENSE_FILE"), ("cctc", "TSK_LICENSE_SERVER")])
def test_a_floating_licence_costs_no_hit(arena: Arena, cc: str, variable: str) -> None:
    """The compiler asks a server whether it may run; nothing that it says is in a result, and another server changes nothing."""
    needs("gcc")
    with licence_server() as one, licence_server() as other:

        def steps(w: World) -> None:
            install(w, cc)
            w.write("a.c", "int f;\n")
            w.run(*command(cc), env={variable: str(one)}, expect=MISS)
            w.remove("a.o")
            w.run(*command(cc), env={variable: str(one)}, expect=HIT)
            w.run(*command(cc), env={variable: str(other)}, expect=HIT)

        arena.play(steps)


@played()
def test_two_checkouts(w: World, cc: str) -> None:
    """With base directories, a second checkout hits what the first one made."""
    lines = in_two_checkouts(w, cc)
    lines("one", expect=MISS)
    lines("two", expect=HIT)


@played("nvc++")
def test_code_for_a_gpu_serves_one_checkout(w: World, cc: str) -> None:
    """It is packed inside the object, where a name of the directory could not be found."""
    lines = in_two_checkouts(w, cc)
    lines("one", "-acc", expect=MISS)
    lines("one", "-acc", expect=HIT)
    lines("two", "-acc", expect=MISS)


def in_two_checkouts(w: World, cc: str) -> Callable[..., object]:
    """Two trees alike; what compiles in one of them."""
    for name in ("one", "two"):
        w.write(f"{name}/a.c", '#include "h.h"\nint f(void) { return H; }\n')
        w.write(f"{name}/h.h", "#define H 1\n")
    line = (w.path(f"bin/{cc}"), COMPILE[cc], "a.c", "-o", "a.o")
    base = {"SCCACHE_BASEDIRS": f"{w.path('one')}:{w.path('two')}"}
    return lambda name, *more, expect: w.run(*line, *more, cwd=name, env=base, expect=expect)
