"""A level of steps as a shell script: one command for the launcher, however many steps there are.

Owns: that text.  Must not know: what the steps are.
"""

import os
import shlex
from collections.abc import Mapping, Sequence

from msgspec import Struct

SHELL = "/bin/sh"


class Line(Struct, frozen=True):
    """One step."""

    words: tuple[str, ...]
    stdout: str = ""
    stderr: str = ""
    """Files for its streams; empty: the script's own."""
    failed: str = ""
    """Where to write its exit code if that is not 0."""


def text(variables: Mapping[str, str], lines: Sequence[Line], at_a_time: int, folder: str) -> bytes:
    """The script: it ends with the first step that fails.  `folder`: where parts of it may be put (see `parts`)."""
    head = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    if at_a_time <= 1 or len(lines) <= 1:
        return _encoded([*head, *(_command(line, "$code") for line in lines)])
    names = " ".join(shlex.quote(name) for name, _ in parts(lines, folder))
    # xargs and not "&": what a script starts in the background does not hear Ctrl-C.
    return _encoded([*head, f"printf '%s\\n' {names} | xargs -P {at_a_time} -n 1 {SHELL}"])


def parts(lines: Sequence[Line], folder: str) -> list[tuple[str, bytes]]:
    """The files that a script for several at a time needs."""
    return [(os.path.join(folder, f"{number}.sh"), _encoded([_command(line, "255")])) for number, line in enumerate(lines)]


def replay(stdout: str, stderr: str, status: int) -> bytes:
    """A script that says what is in two files, and ends so."""
    return _encoded([f"cat {shlex.quote(stdout)}", f"cat {shlex.quote(stderr)} >&2", f"exit {status}"])


def _command(line: Line, status: str) -> str:
    """`status`: how a script ends whose step has failed; xargs ends at 255."""
    words = " ".join(shlex.quote(word) for word in line.words)
    for sign, path in ((">", line.stdout), ("2>", line.stderr)):
        words += f" {sign}{shlex.quote(path)}" if path else ""
    noted = f'echo "$code" >{shlex.quote(line.failed)}; ' if line.failed else ""
    return f"{words} || {{ code=$?; {noted}exit {status}; }}"


def _encoded(lines: Sequence[str]) -> bytes:
    return os.fsencode("\n".join(lines) + "\n")
