"""roots.py: which base directories a job's keys do not see."""

from sccache.stages.roots import Roots

ROOTS = ("/one", "/two", "/build", "/one/deep")


def test_checkouts_look_alike():
    """The same command in two checkouts has the same keys."""
    one, two = Roots(ROOTS, "/one/a.c", "/one"), Roots(ROOTS, "/two/a.c", "/two")
    assert one.path("/one/a.c") == two.path("/two/a.c")
    assert one.arguments(("-I/one/inc",)) == two.arguments(("-I/two/inc",))
    assert one.text(b'# 1 "/one/a.c"\n') == two.text(b'# 1 "/two/a.c"\n')


def test_another_checkout_is_not_this_one():
    """A header directory of another base directory stays what it is."""
    one = Roots(ROOTS, "/one/a.c", "/one")
    assert one.arguments(("-I/two/inc",)) == ("-I/two/inc",)
    assert one.path("/two/inc/v.h") == "/two/inc/v.h"
    assert one.text(b'# 1 "/two/inc/v.h"\n') == b'# 1 "/two/inc/v.h"\n'


def test_build_tree_of_its_own():
    """Source and build tree may both move, and are not taken for each other."""
    one, two = Roots(("/s1", "/b1"), "/s1/a.c", "/b1/x"), Roots(("/s2", "/b2"), "/s2/a.c", "/b2/x")
    assert one.arguments(("-I/s1/i", "-I/b1/i")) == two.arguments(("-I/s2/i", "-I/b2/i"))
    assert one.path("/s1/i") != one.path("/b1/i")


def test_nested():
    """Of two base directories the inner one is a source's home, and is told from the outer."""
    inner = Roots(ROOTS, "/one/deep/a.c", "/one")
    assert inner.home == ("/one/deep",)
    assert inner.path("/one/deep/x") != inner.path("/one/x")
    assert "/one" not in inner.path("/one/x")


def test_stored_names():
    """Names in entries follow the checkout; those elsewhere do not."""
    one, two = Roots(ROOTS, "/one/a.c", "/one"), Roots(ROOTS, "/two/a.c", "/two")
    stored = one.portable(["a.c", "/one/v.h", "/usr/include/stdio.h"])
    assert two.local(stored) == ("a.c", "/two/v.h", "/usr/include/stdio.h")


def test_none():
    """Without base directories nothing is marked."""
    none = Roots((), "/one/a.c", "/one")
    assert none.roots == none.home == ()
    assert none.path("/one/a.c") == "/one/a.c"
    assert not none.occur_in(b"/one")
