"""Names that a source or header may ask for: none may be missed, some too many do no harm."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.hashing.digest import digest
from sccache.preprocessor_cache.includes import IncludeMemory, Includes, scan


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b'#include "a.h"\n#include <b.h>\n', Includes(quoted=("a.h",), bracketed=("b.h",))),
        (b"#include<b.h>", Includes(bracketed=("b.h",))),
        (b'  #  include\t"a.h" // comment', Includes(quoted=("a.h",))),
        (b'/* x */ # /* y\n */ include /* z */ "a.h"', Includes(quoted=("a.h",))),
        (b'%:include "a.h"\n??=include <b.h>', Includes(quoted=("a.h",), bracketed=("b.h",))),
        (b'#inc\\\nlude "a\\\r\n.h"', Includes(quoted=("a.h",))),
        (b'#inc??/\nlude "a.h"', Includes(quoted=("a.h",))),
        (b'#import "a.h"', Includes(quoted=("a.h",))),
        (b"#include_next <b.h>", Includes(next=("b.h",))),
        (b'#embed "data.bin"\n#embed <other>', Includes(embedded=("data.bin", "other"))),
        (b'#if 0\n#include "a.h"\n#endif', Includes(quoted=("a.h",))),
        (b'#include "a.h"\n#include "a.h"', Includes(quoted=("a.h",))),
        (b'#include "dir/sub dir/a.h"', Includes(quoted=("dir/sub dir/a.h",))),
        (b'#include "caf\xe9.h"', Includes(quoted=("caf\udce9.h",))),
        (b"int includes;\n#define include_x 3\n", Includes()),
        (b"", Includes()),
    ],
)
def test_directives(text: bytes, found: Includes) -> None:
    """Every spelling of a directive that the preprocessors take."""
    assert scan(text) == found


@pytest.mark.parametrize(
    ("text", "form", "name"),
    [
        (b"#if __has_include(<b.h>)", "bracketed", "b.h"),
        (b'#if defined(__has_include) && __has_include ( "a.h" )', "quoted", "a.h"),
        (b"#if __has_include_next(<b.h>)", "next", "b.h"),
        (b"#if __has_include__(<b.h>)", "bracketed", "b.h"),
        (b"#if __has_embed(<b> limit(1))", "embedded", "b"),
    ],
)
def test_probes(text: bytes, form: str, name: str) -> None:
    """A name that is only asked about is looked for like one that is included."""
    found = scan(text)
    assert getattr(found, form) == (name,)
    assert found.probed == (name,)


@pytest.mark.parametrize(
    ("text", "computed"),
    [
        (b"#include CONFIG_H", True),
        (b"/* c */ #include CONFIG_H", True),
        (b"#include_next _X", True),
        (b"#if __has_include(CONFIG_H)", True),
        (b"#include <a.h>", False),
        (b" * You should #include this file", False),
        (b"#ifdef __has_include", False),
    ],
)
def test_computed_names(text: bytes, *, computed: bool) -> None:
    """A name made by a macro cannot be seen: the file says so.  Prose does not count."""
    assert scan(text).computed is computed


@pytest.mark.parametrize("text", [b'#define CONFIG_H "my/config.h"', b"#define CONFIG_H <my/config.h>", b"HAS(<my/config.h>)"])
def test_names_that_macros_may_make(text: bytes) -> None:
    """What a macro that names a header is defined as, or given."""
    assert scan(text).defined == ("my/config.h",)


def test_such_names_need_no_extension() -> None:
    """C++'s own headers have none; of the strings that calls are given, only those that look like files count."""
    assert scan(b'#define M "map"\nHAS(<set>) puts("hello") open("a.txt")').defined == ("a.txt", "map", "set")


@given(st.binary(max_size=300))
def test_any_bytes_can_be_scanned(data: bytes) -> None:
    """No bytes upset the scanner."""
    scan(data)


@given(
    st.lists(
        st.sampled_from([b"#include", b'"a.h"', b"<b.h>", b"\\\n", b"/*", b"*/", b"\n", b"__has_include(", b")", b" ", b"X"]), max_size=12
    )
)
def test_a_plain_directive_is_found_in_any_company(pieces: list[bytes]) -> None:
    """Whatever stands before it, an include on its own line is found."""
    assert "wanted.h" in scan(b"".join(pieces) + b'\n#include "wanted.h"\n').quoted


def test_a_precompiled_header_asks_for_nothing() -> None:
    """What it included is in it already."""
    assert scan(b'gpch\n#include "a.h"') == Includes()


def test_a_row_of_comments_takes_no_time() -> None:
    """The scanner tries a comment's end in one way only."""
    assert scan(b"#" + b"/**/" * 5000 + b"x") == Includes()


def test_names_are_remembered_by_content(tmp_path: Path) -> None:
    """A content is read once, wherever it lies; a file that no longer has the content tells nothing."""
    file = tmp_path / "a.c"
    file.write_bytes(b'#include "x.h"')
    content = digest(b'#include "x.h"')
    memory = IncludeMemory()
    found = memory.includes(str(file), content)
    assert found == Includes(quoted=("x.h",))
    assert memory.includes("/no/such/file", content) is found
    assert memory.includes(str(file), digest(b"other")) is None
    assert memory.includes("/no/such/file", digest(b"other")) is None


def test_the_memory_is_bounded(tmp_path: Path) -> None:
    """It begins again rather than grow without end."""
    memory = IncludeMemory(max_remembered=2)
    for number in range(5):
        file = tmp_path / f"{number}.h"
        file.write_bytes(b"%d" % number)
        assert memory.includes(str(file), digest(b"%d" % number)) == Includes()
    assert len(memory._known) <= 2
