r"""Read the dependency file that rustc writes.

    <depinfo> ::= { <rule> | <phony> | <env-dep> | <other comment> | empty line }
    <rule>    ::= <name> ": " { <name> }             ; one for each output, all with the same prerequisites
    <phony>   ::= <name> ":"                          ; one for each prerequisite
    <name>    ::= each blank as `\ `, nothing else quoted: `#`, `$` and backslashes stand as they are
    <env-dep> ::= "# env-dep:" NAME [ "=" VALUE ]     ; no value: not set; `\n`, `\r` and `\\` stand for their characters

Seen with rustc 1.95.  Comments such as `# checksum:…` (nightly) tell nothing that is needed here.

Owns: the grammar.  Must not know: what the names are for.   I/O: `read` reads the file.
"""

import re

from msgspec import Struct

_ENV_DEP = "# env-dep:"
_NAME = re.compile(r"(?:\\ |[^ ])+")
_ESCAPED = re.compile(r"\\([nr\\])")
_CHARACTERS = {"n": "\n", "r": "\r", "\\": "\\"}


class DepInfo(Struct, frozen=True):
    """What rustc read, as far as it knows."""

    inputs: tuple[str, ...]
    """Files, as rustc spells them: relative ones are relative to the working directory."""
    env: tuple[tuple[str, str | None], ...]
    """Variables that the source asks for (env!, option_env!, tracked by macros), with their values; None: not set."""


def parse(text: str) -> DepInfo | None:
    """Understand the file; None where it is not one that rustc writes."""
    inputs: tuple[str, ...] | None = None
    env: list[tuple[str, str | None]] = []
    for line in text.split("\n"):
        if line.startswith(_ENV_DEP):
            name, equals, value = line.removeprefix(_ENV_DEP).partition("=")
            env.append((_unescape(name), _unescape(value) if equals else None))
        elif inputs is None and line and not line.startswith("#"):
            inputs = _prerequisites(line)
            if inputs is None:
                return None
    return None if inputs is None else DepInfo(inputs, tuple(env))


def read(path: str) -> DepInfo | None:
    """Read and understand the file; None where that cannot be done."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return parse(file.read())
    except OSError:
        return None


def _prerequisites(line: str) -> tuple[str, ...] | None:
    """The names behind the first colon that ends a name."""
    separator = re.search(r":(?= |$)", line)
    return None if separator is None else tuple(name.replace("\\ ", " ") for name in _NAME.findall(line, separator.end()))


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: _CHARACTERS[found[1]], text) if "\\" in text else text
