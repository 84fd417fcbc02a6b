"""What the raw bytes of a source or header may make the compiler read besides `#include`d files and the clock.

Found by text, so on the safe side: comments and strings count.  Flags are the bits of `FileFacts.time_macros`:
1, 2, 4 the time macros; 8 the assembler's `.incbin` and `.include`; 16 `#embed` and `__has_embed`; 32 inline assembler.

Owns: the scanner.  Must not know: files, digests.
"""

import re

from sccache.hashing.time_macros import macros_in

ASSEMBLER_INCLUDE, EMBED, INLINE_ASSEMBLER = 8, 16, 32

ELF, GCC_PRECOMPILED, CLANG_PRECOMPILED = b"\x7fELF", b"gpch", b"CPCH"
ARCHIVE, RUST_METADATA = b"!<arch>\n", b"rust\0\0\0"
COMPILED = (ELF, GCC_PRECOMPILED, ARCHIVE, RUST_METADATA)
"""Beginnings of files that have no flags, whatever else is in them."""
COMPILED_BYTES = 8
BINARY = (*COMPILED, CLANG_PRECOMPILED)
"""No compiler takes such a file for source, and scanning cc1's 31 MB took 1.6 s of a fresh machine's first compile."""
_SPLICE = re.compile(rb"\\[ \t\v\f\r]*\n")

# `.incbin`, `.include`, but no designated initialiser `.include = x`; or the head of one that string or token pasting
# completes: `".inc" "bin"`, `STR(.inc)`, `.inc##bin`, `.inc\()bin`.  (Both patterns begin with letters: re finds those fast.)
_DIRECTIVE = re.compile(
    rb"\.i(?:nc(?:bin|lude)(?!\w)(?!\s*=[^=])|(?:n|nc|ncb|ncbi|ncl|nclu|nclud)?\s*[\"#)\\])",
)
# A tail whose dot is elsewhere: `"." "incbin"`, `STR(incbin)`.
_TAIL = re.compile(rb"incbin")
# A directive begins where a statement can: not inside a file name (`"x.inc"`), not as a member (`obj.incbin()`).  The letter
# of an escape (`\n.incbin`, `\t`) is not part of a name, though.
_IN_NAME = re.compile(rb"[\w\-./+*~)\]>]\Z")
_MEMBER = re.compile(rb"(?:[\w.]|->)\Z")
_ESCAPE_BEFORE = re.compile(rb"\\(?:[nrtvf]|[0-7]{2,3}|x[0-9a-f]{2})\Z")
# `.incbin` of which letters are written as octal or hexadecimal escapes inside a string.
_ESCAPED = re.compile(
    b"".join(rb"(?:%s|\\x0*%02x|\\0?%03o)" % (re.escape(bytes([c])), c, c) for c in b".inc") + rb"|"
    + b"".join(rb"(?:%s|\\x0*%02x|\\0?%03o)" % (re.escape(bytes([c])), c, c) for c in b"incbin")
)  # fmt: skip
_ASM_WORD = re.compile(rb"\basm\b|__asm")
_EMBED_LINE = re.compile(rb"(?:#|%:|\?\?=)(?:\s|(?>/\*.*?\*/))*+embed|__has_embed", re.DOTALL)


def unspliced(data: bytes) -> bytes:
    """`data` with lines that end in a backslash (or its trigraph) joined to the next."""
    if b"??/" in data:
        data = data.replace(b"??/", b"\\")
    return _SPLICE.sub(b"", data) if b"\\" in data else data


def source_flags(data: bytes) -> int:
    """The flags of a file's bytes."""
    if data.startswith(BINARY):
        return _binary_flags(data)
    text = unspliced(data)
    flags = macros_in(text)
    lower = text.lower()  # the assembler's directives are case-insensitive
    if _may_read_through_assembler(lower):
        flags |= ASSEMBLER_INCLUDE
    if b"asm" in text and _ASM_WORD.search(text):
        flags |= INLINE_ASSEMBLER
    if b"embed" in text and _EMBED_LINE.search(text):
        flags |= EMBED
    return flags


def _binary_flags(data: bytes) -> int:
    """Every gcc precompiled header names all built-in macros, so nothing can be told from one; clang's hold what they use."""
    if not data.startswith(CLANG_PRECOMPILED):
        return 0
    return macros_in(data) | (ASSEMBLER_INCLUDE if b".incbin" in data.lower() else 0)


def _may_read_through_assembler(lower: bytes) -> bool:
    if b".i" in lower and any(_begins_statement(lower, match.start()) for match in _DIRECTIVE.finditer(lower)):
        return True
    if b"incbin" in lower and any(_is_alone(lower, match.start()) for match in _TAIL.finditer(lower)):
        return True
    return b"\\" in lower and b"asm" in lower and _ASM_WORD.search(lower) is not None and _escaped_directive(lower)


def _begins_statement(lower: bytes, at: int) -> bool:
    before = lower[max(at - 4, 0) : at]
    return _IN_NAME.search(before) is None or _ESCAPE_BEFORE.search(before) is not None


def _is_alone(lower: bytes, at: int) -> bool:
    before = lower[max(at - 4, 0) : at]
    return _MEMBER.search(before) is None or _ESCAPE_BEFORE.search(before) is not None


def _escaped_directive(lower: bytes) -> bool:
    return any(b"\\" in match.group() for match in _ESCAPED.finditer(lower))
