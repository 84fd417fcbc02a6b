"""C++ modules: where gcc puts the ones that it makes.

    <mapper>  ::= <file> ["?" ident] | ["|" program] | "=" socket | "<" descriptors | host ":" port
    <file>    ::= { [ident] <blank> "$root" <blank> directory | [ident] <blank> module <blank> [path] | "#" comment }

Source: the GCC manual, "C++ Module Mapper"; what gcc 12 was seen to do.  Owns: reading mapper files.  Must not know: options.
I/O: reads a mapper file.
"""

import os
from pathlib import Path

DEFAULT = "gcm.cache"
"""Where modules are made that no mapper names."""
_ROOT = "$root"
_NO_FILE = ("|", "=", "<", "@")
"""Beginnings of mappers that are programs, sockets and descriptors."""


def is_file(mapper: str) -> bool:
    """Whether a mapper can only be a file: with a colon gcc first takes it for a host and a port."""
    return bool(mapper) and not mapper.startswith(_NO_FILE) and ":" not in mapper


def directories(mapper: str, cwd: str) -> tuple[str, ...]:
    """Where modules may be made by this mapper file, as spelled there."""
    name, _, ident = mapper.partition("?")
    root, modules = "", []
    for words in map(str.split, _lines(os.path.join(cwd, name))):
        rest = words[1:] if ident and words[:1] == [ident] else words
        if rest[:1] == [_ROOT]:
            root = rest[1] if len(rest) > 1 else ""
        elif len(rest) > 1:
            modules.append(rest[1])
    places = [os.path.dirname(os.path.join(root, module)) or "." for module in modules]
    return tuple(dict.fromkeys((*places, root or DEFAULT)))


def _lines(path: str) -> list[str]:
    """What an existing file says; gcc complains of any other."""
    try:
        text = Path(path).read_text("utf-8", "surrogateescape") if Path(path).is_file() else ""
    except OSError:
        text = ""
    return [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
