"""Files that messages point at."""

import pytest

from sccache.compilers.quotes import points_elsewhere

INPUTS = {"a.c", "dir x/a b.h", "/usr/include/v.h"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a.c: In function 'f':\na.c:1:5: warning: unused\n    1 | int x ? q:3: 4;\n      |     ^\n",
        b"In file included from dir x/a b.h:3,\n                 from a.c:1:\n/usr/include/v.h:7:1: note: here\n",
        b"\x1b[01m\x1b[Ka.c:1:5:\x1b[m\x1b[K [\x1b]8;;https://x.org/a:3:4\x1b\\-Wall\x1b]8;;\x1b\\]\n",
        b"<command-line>:1: warning: X redefined\n",
    ],
)
def test_messages_about_inputs(text: bytes) -> None:
    """Quoted lines, words of any language and blanks in names do not mislead."""
    assert not points_elsewhere(text, INPUTS.__contains__)


@pytest.mark.parametrize(
    "text", [b"a.y:1:5: warning: unused\n", b"In file included from grammar.y:3,\n from a.c:1:\n", b"a.c:1: x\n\x1b[01m\x1b[Ka b.h:2: y\n"]
)
def test_messages_about_other_files(text: bytes) -> None:
    """What `#line` names is no input."""
    assert points_elsewhere(text, INPUTS.__contains__)
