"""Headers with the same content: a compiler may take two of them for one, by their times or links."""

import os

from arena import ANY, World, scenario

BOTH = ("gcc", "clang-14")
TWICE = """\
#pragma once
#ifdef FIRST
int second = 1;
#else
#define FIRST
int first = 1;
#endif
"""
ONE_MOMENT = 1_500_000_000


def _project(w: World, header: str = TWICE, how: str = "include") -> None:
    for name in ("a/x.h", "b/x.h"):
        w.write(name, header)
    w.write("m.c", f'#{how} "a/x.h"\n#{how} "b/x.h"\nint rest;\n')


@scenario(*BOTH)
def test_times(w: World, cc: str) -> None:
    """gcc skips the second one if both were changed in the same second; whether they were is no matter of contents."""
    _project(w)
    words = (cc, "-g", "-MD", "-c", "m.c", "-o", "m.o")
    for moment in (ONE_MOMENT, ONE_MOMENT + 1, ONE_MOMENT):
        os.utime(w.path("a/x.h"), (ONE_MOMENT, ONE_MOMENT))
        os.utime(w.path("b/x.h"), (moment, moment))
        w.run(*words, expect=ANY)
        w.run(*words, expect=ANY)


@scenario(*BOTH)
def test_links(w: World, cc: str) -> None:
    """Two files, two names of one file, a symbolic link, two files again."""
    _project(w)
    words = (cc, "-g", "-MD", "-c", "m.c", "-o", "m.o")
    w.run(*words, expect=ANY)
    for link in (os.link, os.symlink):
        w.remove("b/x.h")
        link(w.path("a/x.h"), w.path("b/x.h"))
        w.run(*words, expect=ANY)
        w.run(*words, expect=ANY)
    w.remove("b/x.h")
    w.write("b/x.h", TWICE)
    w.run(*words, expect=ANY)


@scenario(*BOTH)
def test_imported(w: World, cc: str) -> None:
    """By the way in which they are included, rather than by their text."""
    _project(w, TWICE.replace("#pragma once\n", ""), "import")
    words = (cc, "-c", "m.c", "-o", "m.o")
    for moment in (ONE_MOMENT, ONE_MOMENT + 1):
        os.utime(w.path("a/x.h"), (ONE_MOMENT, ONE_MOMENT))
        os.utime(w.path("b/x.h"), (moment, moment))
        w.run(*words, expect=ANY)
        w.run(*words, expect=ANY)
