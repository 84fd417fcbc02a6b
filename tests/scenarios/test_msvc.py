"""Microsoft's cl, which runs on Windows alone: a stand-in with its command line and gcc's preprocessor behind it (tests/stand_ins/cl.c).

What cl itself writes is not known here; what is tested is our part: keys, messages in any language, lists of dependencies, databases.
"""

import atexit
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from arena import ANY, HIT, MISS, RECOMPILE, UNCACHED, Arena, World, needs

STAND_IN = Path(__file__).parents[1] / "stand_ins" / "cl.c"
CL = "bin/cl"
SOURCE = '#include "h.h"\nint f(void) { return H; }\n'


@functools.cache
def built() -> bytes:
    """The stand-in, as a program."""
    folder = tempfile.mkdtemp(prefix="stand-in-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = Path(folder) / "cl"
    subprocess.run(["gcc", "-O0", "-o", program, STAND_IN], check=True, timeout=120)
    return program.read_bytes()


def played(steps: Callable[[World], None]) -> Callable[..., None]:
    """Play the steps plainly and cached, in a tree with the stand-in and a source with a header."""

    def test(arena: Arena) -> None:
        needs("gcc")

        def all_steps(w: World) -> None:
            w.write(CL, built(), mode=0o755)
            w.write("a.c", SOURCE)
            w.write("inc/h.h", "#define H 1\n")
            steps(w)

        arena.play(all_steps)

    functools.update_wrapper(test, steps)
    del test.__wrapped__  # type: ignore[attr-defined]  # pytest would look at the wrapped signature
    return test


def cl(w: World, *words: str, expect: str = ANY, **how: object) -> None:
    """Compile a.c."""
    w.run(CL, "/nologo", "/Iinc", *words, "/c", "a.c", expect=expect, **how)  # type: ignore[arg-type]


@played
def test_cold_warm_edited(w: World) -> None:
    """Edits of header and source; what was before is found again, by another daemon, too."""
    cl(w, expect=MISS)
    w.remove("a.obj")
    cl(w, expect=HIT)
    w.write("inc/h.h", "#define H 2\n")
    cl(w, expect=RECOMPILE)
    w.write("a.c", SOURCE + "int more;\n")
    cl(w, expect=RECOMPILE)
    w.write("inc/h.h", "#define H 1\n")
    w.write("a.c", SOURCE)
    w.stop_daemon()
    cl(w, expect=HIT)
    w.write("h.h", "#define H 3\n")  # found first
    cl(w, expect=RECOMPILE)


@played
def test_options(w: World) -> None:
    """Those that change something, those that do not, those that nobody knows."""
    cl(w, expect=MISS)
    for option in ("/O2", "/DX=1", "/MD", "/std:c17", "/new-in-2030", "/Fob.obj", "/FIh.h", "/FA"):
        cl(w, option, expect=MISS)
        cl(w, option, expect=HIT)
    for option in ("/FS", "/MP8", "/errorReport:queue"):
        cl(w, option, expect=HIT)
    cl(w, "/FIinc/h.h", expect=MISS)
    cl(w, "-FIinc/h.h", expect=HIT)


@played
def test_notes_about_headers(w: World) -> None:
    """They are nested, in the caller's language, and told by a hit, too."""
    w.write("inc/h.h", '#include "in.h"\n#define H 1\n')
    w.write("inc/in.h", "\n")
    cl(w, "/showIncludes", expect=MISS)
    cl(w, "/showIncludes", expect=HIT)
    w.env["VSLANG"] = "1031"
    cl(w, "/showIncludes", expect=MISS)
    cl(w, "/showIncludes", expect=HIT)
    cl(w, expect=MISS)


@played
def test_notes_name_the_headers_of_their_checkout(w: World) -> None:
    """An object holds its own path, so another checkout has its own; each hit names its own headers."""
    w.env["SCCACHE_BASEDIRS"] = f"{w.path('one')}:{w.path('two')}"
    program = w.path(CL)
    for place, expect in (("one", MISS), ("two", MISS), ("one", HIT), ("two", HIT)):
        w.write(f"{place}/a.c", SOURCE)
        w.write(f"{place}/inc/h.h", "#define H 1\n")
        words = ("/showIncludes", "/sourceDependencies", "d.json", f"/I{w.path(place)}/inc", "/c", "a.c")
        w.run(program, *words, cwd=place, expect=expect)


@played
def test_list_of_dependencies(w: World) -> None:
    """In a file, in a directory, on standard output."""
    w.mkdir("deps")
    for value, made in (("d.json", "d.json"), ("deps/a.json", "deps/a.json"), ("-", "")):
        cl(w, f"/sourceDependencies{value}", expect=MISS)
        if made:
            w.remove(made)
        cl(w, f"/sourceDependencies{value}", expect=HIT)


@played
def test_program_databases(w: World) -> None:
    """An object's own is kept where it was not there before; a shared one never is."""
    cl(w, "/Zi", "/Fda.pdb", expect=MISS)
    w.remove("a.pdb", "a.obj")
    cl(w, "/Zi", "/Fda.pdb", expect=HIT)
    w.write("inc/h.h", "#define H 2\n")
    cl(w, "/Zi", "/Fda.pdb", expect=RECOMPILE)  # continues the one that is there
    w.remove("a.pdb")
    cl(w, "/Zi", "/Fda.pdb", expect=MISS)
    cl(w, "/Zi", expect=UNCACHED)
    cl(w, "/Zi", "/Fdall.pdb", expect=UNCACHED)
    cl(w, "/ZI", "/Fda.pdb", expect=UNCACHED)
    cl(w, "/Z7", expect=MISS)
    cl(w, "/Z7", expect=HIT)


@played
def test_words_from_elsewhere(w: World) -> None:
    """CL, _CL_ and response files; what they say counts, not where it was said."""
    w.env["CL"] = "/DX#1 /O2"
    cl(w, expect=MISS)
    cl(w, expect=HIT)
    w.env["_CL_"] = "/DY=2"
    cl(w, expect=MISS)
    w.env["CL"] = w.env["_CL_"] = ""
    for name, raw in (
        ("utf8.rsp", '/DNAME="a b"'.encode("utf-8-sig")),
        ("utf16.rsp", b"\xff\xfe" + "/DOTHER=1 /O1".encode("utf-16-le")),
        ("plain.rsp", b"/DUMLAUT=1\r\n/O2"),
    ):
        w.write(name, raw)
        cl(w, f"@{name}", expect=MISS)
        cl(w, f"@{name}", expect=HIT)
    cl(w, "@missing.rsp", expect=UNCACHED)


@played
def test_directories_of_headers_from_a_variable(w: World) -> None:
    """INCLUDE, with semicolons as on Windows."""
    w.write("other/h.h", "#define H 7\n")
    w.env["INCLUDE"] = f"{w.path('inc')};{w.path('other')}"
    w.run(CL, "/c", "a.c", expect=MISS)
    w.run(CL, "/c", "a.c", expect=HIT)
    w.env["INCLUDE"] = f"{w.path('other')};{w.path('inc')}"
    w.run(CL, "/c", "a.c", expect=RECOMPILE)


@played
def test_several_sources(w: World) -> None:
    """With /MP each source has a process of its own, and its own result."""
    w.write("b.c", '#include "h.h"\nint g(void) { return H; }\n')
    w.mkdir("out")
    words = (CL, "/nologo", "/Iinc", "/c", "a.c", "b.c", "/Foout/")
    w.run(*words, "/MP", expect=MISS)
    w.run(*words, "/MP", expect=HIT)
    w.run(*words)
    w.run(*words)


@played
def test_what_is_not_kept(w: World) -> None:
    """Errors, linking, precompiled headers, messages that go to Visual Studio."""
    cl(w, "/Ych.h", expect=UNCACHED)
    cl(w, "/Fonul", expect=UNCACHED)
    cl(w, "/FRa.sbr", expect=UNCACHED)
    w.run(CL, "a.c", expect=UNCACHED)
    w.run(CL, "/E", "a.c", "/Iinc", expect=UNCACHED)
    cl(w, env={"VS_UNICODE_OUTPUT": "4"}, expect=UNCACHED)
    w.write("a.c", "#error no\n")
    cl(w)
    cl(w)


@pytest.mark.parametrize("word", ["#warning mind", "#pragma message"])
def test_messages(arena: Arena, word: str) -> None:
    """On standard output, behind the source's name; told again."""
    needs("gcc")

    def steps(w: World) -> None:
        w.write(CL, built(), mode=0o755)
        w.write("a.c", f"{word}\nint x;\n")
        cl(w, expect=MISS)
        cl(w, expect=HIT)

    arena.play(steps)
