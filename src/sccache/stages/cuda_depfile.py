r"""The make dependency file that nvcc writes of itself, from the preprocessed texts, where its steps are run one by one.

nvcc -MD lists what the line markers of all its texts say was entered, in order, each file once; -MMD leaves out system headers:

    <file>  ::= target " : " name (" \" newline "    " name)* newline <phony>*
    <phony> ::= newline name ":" newline                  ; -MP: of each name but the first

Source: nvcc 13.0's output, compared byte for byte in the tests.
Owns: that text.  Must not know: steps, options, caching.
"""

import re
from collections.abc import Iterable

from msgspec import Struct

_MARKER = re.compile(rb'^# \d+ "([^"\n]*)"((?: \d)*)\r?$', re.MULTILINE)
_PLAIN = re.compile(rb"[\w./+@,=~-]+", re.ASCII)
_ENTERED, _SYSTEM = b"1", b"3"


class Style(Struct, frozen=True):
    """What the command line asks for."""

    target: str
    """Empty: the result's name."""
    system_headers: bool
    phony: bool


def text(wanted: Style, default_target: str, texts: Iterable[bytes]) -> bytes | None:
    """The file; None where a name would have to be quoted."""
    names: dict[bytes, None] = {}
    for preprocessed in texts:
        for index, marker in enumerate(_MARKER.finditer(preprocessed)):
            name, flags = marker[1], marker[2].split()
            if name.startswith(b"<"):  # clang enters "<built-in>"
                continue
            if index == 0 or (_ENTERED in flags and (wanted.system_headers or _SYSTEM not in flags)):
                names[name] = None
    target = (wanted.target or default_target).encode("utf-8", "surrogateescape")
    if not names or not all(_PLAIN.fullmatch(name) for name in (target, *names)):
        return None
    rules = target + b" : " + b" \\\n    ".join(names) + b"\n"
    return rules + b"".join(b"\n" + name + b":\n" for name in list(names)[1:]) if wanted.phony else rules
