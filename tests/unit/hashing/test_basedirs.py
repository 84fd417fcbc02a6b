"""Base directories replaced by a marker in text, paths and arguments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.hashing.basedirs import MARKER, find_roots, mark_argument, mark_path, mark_text, normalised, root_of

ROOTS = ("/home/user", "/home/user/deep/", "/other")
M = MARKER
MB = MARKER.encode()


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        (b'# 1 "/home/user/x.c"\n', b'# 1 "' + MB + b'/x.c"\n'),
        (b"/home/user/x.c", MB + b"/x.c"),
        (b"</home/user/x.h>", b"<" + MB + b"/x.h>"),
        (b'"/home/user/a" "/other/b"', b'"' + MB + b'/a" "' + MB + b'/b"'),
        (b'"/home/user/deep/x"', b'"' + MB + b'/x"'),
        (b"text/home/user/x", b"text/home/user/x"),
        (b'"/home/username/x"', b'"/home/username/x"'),
        (b'"/home/user"', b'"/home/user"'),
        (b"\t/other/x\n/other/y", b"\t" + MB + b"/x\n" + MB + b"/y"),
        (b"", b""),
    ],
)
def test_text(text: bytes, marked: bytes) -> None:
    """Where a path can begin, whole components, the longest base directory; elsewhere text is untouched."""
    assert mark_text(text, ROOTS) == marked
    assert mark_text(text, ()) == text


def test_checkouts_look_alike() -> None:
    """The same text of two checkouts is the same when marked."""
    assert mark_text(b'# 1 "/a/x.c"', ("/a", "/b")) == mark_text(b'# 1 "/b/x.c"', ("/a", "/b"))


@pytest.mark.parametrize(
    ("path", "marked"),
    [
        ("/home/user/x.c", M + "/x.c"),
        ("/home/user", M),
        ("/home/user/deep/x", M + "/x"),
        ("/home/username", "/home/username"),
        ("home/user/x", "home/user/x"),
    ],
)
def test_paths(path: str, marked: str) -> None:
    """A path below a base directory, or the directory itself."""
    assert mark_path(path, ROOTS) == marked


@pytest.mark.parametrize(
    ("argument", "marked"),
    [
        ("-I/home/user/include", "-I" + M + "/include"),
        ("-isystem/other", "-isystem" + M),
        ("/home/user/x.c", M + "/x.c"),
        ("--sysroot=/home/user/root", "--sysroot=" + M + "/root"),
        ("-ffile-prefix-map=/home/user=.", "-ffile-prefix-map=" + M + "=."),
        ('-DF="/home/user/f"', '-DF="' + M + '/f"'),
        ("-Wl,-rpath,/other/lib:/home/user/lib", "-Wl,-rpath," + M + "/lib:" + M + "/lib"),
        ("-I/x/home/user/y", "-I/x/home/user/y"),
        ("-I/home/username", "-I/home/username"),
        ("-O2", "-O2"),
    ],
)
def test_arguments(argument: str, marked: str) -> None:
    """Also behind an option's letters, and before what ends a path in an argument."""
    assert mark_argument(argument, ROOTS) == marked


def test_useless_base_directories_are_dropped() -> None:
    """`/` and nothing at all mark nothing."""
    assert normalised(["/", "", "/a/", "/a", "/a/b"]) == ("/a/b", "/a")
    assert mark_text(b"/x", ("/",)) == b"/x"
    assert mark_argument("/x", ("/",)) == "/x"


def test_the_base_of_a_path() -> None:
    """The longest one that holds it."""
    assert root_of("/home/user/deep/x", ROOTS) == "/home/user/deep"
    assert root_of("/home/user", ROOTS) == "/home/user"
    assert root_of("/home/username", ROOTS) is None


def test_roots_in_produced_bytes() -> None:
    """An object that names a base directory anywhere is found."""
    assert find_roots(b"\x7fELF\0/home/user\0", ROOTS)
    assert not find_roots(b"\x7fELF\0/home/use\0", ROOTS)
    assert not find_roots(b"anything", ())


@given(st.text('/ab" <', max_size=40))
def test_marking_is_reversible(text: str) -> None:
    """Unmarking gives the text back: nothing but base directories was replaced."""
    marked = mark_text(text.encode(), ("/a",))
    assert marked.replace(MB, b"/a") == text.encode()
