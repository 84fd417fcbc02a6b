"""What the observer saw of one run: native/observe.c watches system calls, native/observe_env.c variables and clocks.

    <report> ::= (<record> NUL)* "." NUL               ; without the last one it is not whole
    <record> ::= "r" <stamp> <path>                    ; a regular file was opened for reading
               | "s" <stamp> <path>                    ; a regular file was looked at
               | "a" <path>                            ; looked for, and not there
               | "d" <path> | "D" <path>               ; a directory was opened; looked at
               | "o" <path>                            ; something else: device, pipe, socket
               | "w" <path>                            ; made, written, renamed or removed
               | "x" <path>                            ; executed
               | "n" text | "u" text                   ; a way out: a connection; something that cannot be followed
               | "i" pid " " <path> | "q" pid " "      ; a program that has the preloaded part began; ended
               | "t" name | "e" name                   ; a variable, read by the program itself; by code that was loaded later
               | "E" <path> | "c" <path> | "l" <path>  ; code loaded later: could read all variables; read the clock; asked for a real name
               | "C" <path>                            ; a program read the clock by itself
               | "!" text                              ; nothing was observed, and why
    <stamp>  ::= dev " " inode " " size " " mtime ns " " ctime ns " "     ; as it was then
    <path>   ::= absolute; "." and "//" are collapsed, ".." is not

Each record stands once, at its first occurrence.
Owns: reading that, and where the observer is.  Must not know: what of it matters.
"""

import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from sccache.hashing.stamps import Stamp

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_REPORT_BYTES = 256 << 20


class Observer(Struct, frozen=True):
    """The native parts, by their absolute paths."""

    program: str
    shim: str


class Seen(Struct, frozen=True):
    """A regular file as it was when a program came to it."""

    path: str
    stamp: Stamp
    index: int
    """Its place in the report."""


class Observation(Struct, frozen=True, kw_only=True):
    """A report.  All paths are absolute."""

    trouble: str = ""
    """Why there is nothing to go by; then all else is empty."""
    reads: tuple[Seen, ...] = ()
    looked: tuple[Seen, ...] = ()
    absent: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    executed: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    """Programs of which variables were observed."""
    unfinished: tuple[str, ...] = ()
    """Those of them whose end was not seen."""
    tool_variables: tuple[str, ...] = ()
    macro_variables: tuple[str, ...] = ()
    whole_environment: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    tool_clocks: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Paths whose real names code loaded later asked for; "." is the working directory's."""
    first_written: Mapping[str, int] = {}
    """Path → its place in the report."""

    @property
    def written(self) -> tuple[str, ...]:
        """What was made, written, renamed or removed."""
        return tuple(self.first_written)


_LISTS = {
    "a": "absent", "d": "listed", "D": "directories", "o": "others", "x": "executed", "n": "network", "u": "unknown", "t": "tool_variables",
    "e": "macro_variables", "E": "whole_environment", "c": "clocks", "C": "tool_clocks", "l": "links",
}  # fmt: skip


def observer() -> Observer | None:
    """The observer that was built with this package; None where there is none (another system, no C compiler then)."""
    program, shim = os.path.join(_PACKAGE, "sccache-observe"), os.path.join(_PACKAGE, "libsccache-observe.so")
    return Observer(program, shim) if os.access(program, os.X_OK) and os.access(shim, os.R_OK) else None


def read_report(path: str) -> Observation:
    """Read a report; one that is missing, cut short or strange is an Observation with `trouble`."""
    try:
        if os.path.getsize(path) > MAX_REPORT_BYTES:
            return Observation(trouble="the report is too long")
        with open(path, "rb") as file:
            records = file.read().split(b"\0")
        return _observation([os.fsdecode(record) for record in records])
    except OSError as e:
        return Observation(trouble=f"no report: {e.strerror}")
    except ValueError as e:
        return Observation(trouble=f"the report is damaged: {e}")


def _observation(records: list[str]) -> Observation:
    if "." not in records[-3:]:  # a late process may have added a record behind it
        return Observation(trouble="the report was cut short")
    lists: dict[str, dict[str, None]] = {field: {} for field in _LISTS.values()}
    files: dict[str, list[Seen]] = {"r": [], "s": []}
    running: dict[str, str] = {}
    images: dict[str, None] = {}
    written: dict[str, int] = {}
    for index, record in enumerate(records):
        kind, text = record[:1], record[1:]
        match kind:
            case "r" | "s":
                files[kind].append(_seen(text, index))
            case "w":
                written.setdefault(text, index)
            case "i":
                pid, _, image = text.partition(" ")
                running[pid] = image  # an earlier one of this process was replaced by it: exec
                images[image] = None
            case "q":
                running.pop(text.strip(), None)
            case "!":
                return Observation(trouble=text)
            case "" | ".":
                continue
            case _ if kind in _LISTS:
                lists[_LISTS[kind]][text] = None
            case _:
                return Observation(trouble=f"the report has a record of unknown kind {kind!r}")
    found: dict[str, Any] = {field: tuple(names) for field, names in lists.items()}
    return Observation(
        reads=tuple(files["r"]),
        looked=tuple(files["s"]),
        images=tuple(images),
        unfinished=tuple(dict.fromkeys(running.values())),
        first_written=written,
        **found,
    )


def _seen(text: str, index: int) -> Seen:
    device, inode, size, mtime_ns, ctime_ns, path = text.split(" ", 5)
    return Seen(path, (int(device), int(inode), int(size), int(mtime_ns), int(ctime_ns)), index)
