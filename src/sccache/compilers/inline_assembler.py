"""Tell whether assembler, inline or in a file of its own, may read files (`.incbin`, `.include`).

clang's own assembler does not list what it reads.  In preprocessed text macros are expanded, so the pieces of an assembler
string stand side by side: they are joined, escapes undone, and searched.

Owns: the search.  Must not know: files, keys.
"""

import re

_ASM = re.compile(rb"\b(?:asm|__asm|__asm__)\b")
_STRING = re.compile(rb'(?:u8|[uUL])?"((?:[^"\\\n]|\\.)*)"|R"([^()\\\s]{0,16})\((.*?)\)\2"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]+)|(.))", re.DOTALL)
_READS = re.compile(rb"\.\s*inc|incbin|\\\(\)|\.altmacro", re.IGNORECASE)
"""The directives, and the macro features by which a name could be put together inside the assembler."""
_PLAIN_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f", b"a": b"\a", b"b": b"\b"}
MAX_STATEMENT_BYTES = 1 << 20


def is_read_from(source: bytes) -> bool:
    """Whether assembler text, preprocessed or not, may read a file; True when in doubt."""
    return _READS.search(source) is not None


def may_read_files(text: bytes) -> bool:
    """Whether any inline assembler in preprocessed C or C++ text may read a file; True when in doubt."""
    for match in _ASM.finditer(text):
        statement = text[match.end() : _end_of_statement(text, match.end())]
        joined = b"".join(raw or _unescaped(plain) for plain, _, raw in _STRING.findall(statement))
        if _READS.search(joined):
            return True
    return False


def _end_of_statement(text: bytes, start: int) -> int:
    """Past the parenthesis that closes the statement, strings passed over; the end of the text when there is none."""
    depth = 0
    at = start
    for match in re.compile(rb'[(){};]|"(?:[^"\\\n]|\\.)*"', re.DOTALL).finditer(text, start, start + MAX_STATEMENT_BYTES):
        token = match.group()
        at = match.end()
        if token in (b"(", b"{"):
            depth += 1
        elif token in (b")", b"}"):
            depth -= 1
        if depth <= 0 and token in (b")", b"}", b";"):
            return at
    return min(len(text), start + MAX_STATEMENT_BYTES)


def _unescaped(text: bytes) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        octal, hexadecimal, other = match.groups()
        if octal:
            return bytes([int(octal, 8) & 255])
        if hexadecimal:
            return bytes([int(hexadecimal, 16) & 255])
        return _PLAIN_ESCAPES.get(other, other)

    return _ESCAPE.sub(replace, text)
