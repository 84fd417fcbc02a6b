"""What raw text may make a compiler read besides #includes and the clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.hashing.source_text import source_flags, unspliced

READS = [
    b'asm(".incbin \\"x\\"");',
    b'asm(".inc" "bin \\"p\\"");',
    b'asm(".in" \\\n "cbin x");',
    b'asm("." "incbin x");',
    b'asm("\\t.incbin x");',
    b'asm("nop\\n.incbin x");',
    b'asm("\\x2eincbin f");',
    b'asm("\\056incbin f");',
    b'__asm__(".incb\\x69n f");',
    b"asm(\".INCBIN 'f'\");",
    b'.include "y.s"',
    b'\t.incbin "f", 0, 4',
    b'label: .incbin "f"',
    b"X(.inc##bin)",
    b"STR(incbin)",
    b"STR( .inc ) STR( bin )",
    b'.macro m\n .inc\\()bin "f"\n.endm',
    b'asm(".inc\\\nbin f");',
    b'asm(".incl" "ude f");',
]
READS_NOT = [
    b"",
    b'#include "x.inc"',
    b"#include <y.in>",
    b"obj.incbin();",
    b"p->incbin(x);",
    b"struct s v = { .include = 3, .inc = 1, .in = 2, .i = 0 };",
    b"v.increment(); v.included = 1; v.i = 3; a[1].inc();",
    b"int my_incbin_count;",
    b'const char *glob = "*.i";',
    b"e.g. x.in, x.i; f(x.i)",
    b'printf("\\033[0m"); /* no assembler here */ .5inc',
]


@pytest.mark.parametrize("text", READS)
def test_text_that_may_read_through_the_assembler(text: bytes) -> None:
    """`.incbin` and `.include` in any spelling that reaches an assembler: pasted, escaped, spliced, in capitals."""
    assert source_flags(text) & 8


@pytest.mark.parametrize("text", READS_NOT)
def test_text_that_cannot(text: bytes) -> None:
    """File names, members, designated initialisers and prose that happen to look alike (ccache#982)."""
    assert source_flags(text) == 0


@pytest.mark.parametrize(
    ("text", "bit"),
    [(b'#embed "x"', 16), (b"# /* c */ embed <x>", 16), (b"%:embed <x>", 16), (b"#if __has_embed(<x>)", 16), (b"embedded", 0)],
)
def test_embedded_files(text: bytes, bit: int) -> None:
    """#embed and __has_embed."""
    assert source_flags(text) == bit


def test_line_splices_hide_nothing() -> None:
    """A backslash at a line's end, also with blanks or as a trigraph, joins words."""
    assert source_flags(b"__TI\\\nME__ __DA\\  \r\nTE__ __TIMES??/\nTAMP__") == 7
    assert unspliced(b"a\\\r\nb\\ \nc\\d") == b"abc\\d"


def test_binary_files() -> None:
    """Executables and gcc's precompiled headers tell nothing; clang's hold the text of what they use."""
    text = b'asm(".incbin x"); __TIME__'
    assert source_flags(b"\x7fELF" + text) == source_flags(b"gpch" + text) == 0
    assert source_flags(b"CPCH" + text) == 9
    assert source_flags(b"CPCH" + b'asm(".i"); incbin') == 0


@given(st.binary(max_size=300))
def test_any_bytes_are_text(data: bytes) -> None:
    """No bytes upset the scanner, and the flags are those known."""
    assert 0 <= source_flags(data) <= 63
