"""Inline assembler that could read a file is noticed, however its text is put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.compilers.inline_assembler import is_read_from, may_read_files


@pytest.mark.parametrize(
    "text",
    [
        rb'__asm__(".incbin \"data\"");',
        rb'asm volatile("." "inc" "bin \"data\"" ::: "memory");',
        rb'asm("\x2eincbin \"d\"");',
        rb'asm(".\151nclude \"d\"");',
        rb'__asm__(".macro m x\n.inc\\()bin \"d\"\n.endm");',
        b'asm(R"x(.INCBIN "d")x");',
        b'asm { .incbin }; asm(".include \\"x\\"")',
    ],
)
def test_reading_is_noticed(text: bytes) -> None:
    """Pieces are joined and escapes undone."""
    assert may_read_files(b"int a;\n" + text + b"\nint b;")


@pytest.mark.parametrize(
    "text",
    [b'asm("nop");', b'extern int f(void) __asm__("" "f64");', b'char *s = ".incbin";', b'asm("inc %0" : "+r"(x));', b""],
)
def test_harmless_text_is_let_through(text: bytes) -> None:
    """Ordinary assembler, and directives outside of it, are no reason."""
    assert not may_read_files(text)


@given(st.binary(max_size=400))
def test_any_bytes_are_searched(data: bytes) -> None:
    """No text makes it fail."""
    may_read_files(b"asm(" + data)


@pytest.mark.parametrize(
    "text", [b'.include "a.inc"\n', b'.incbin "a.bin"', b" . include x", b'.INCBIN "a"', b'.incbin "\\name\\().bin"', b".altmacro\n"]
)
def test_assembler_sources_that_may_read(text: bytes) -> None:
    """By themselves, or by a macro that puts a name together."""
    assert is_read_from(text)


@pytest.mark.parametrize("text", [b"nop\n", b'#include "a.h"\nnop\n', b"incl %eax\n", b""])
def test_assembler_sources_that_do_not(text: bytes) -> None:
    """What the preprocessor includes is seen without."""
    assert not is_read_from(text)
