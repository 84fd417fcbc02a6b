"""Reports of single steps: put together as the report of the whole command, and kept beside the step's result.

    <kept> ::= (kind " " path newline)*          ; kinds as in stages/observation.py, without stamps

A step that is taken from the cache reads nothing, but the whole command's result rests on what it read when it was made: that is
kept, and stands in the whole's report with the stamps of now.  Names in our own scratch directory are left out: they are the run's own.

Owns: this format.  Must not know: steps, jobs, what of it is an input.
"""

import os
import re
from collections.abc import Iterable

BOUND = "l."
"""The record of a run that asked for the working directory's real name: its result serves there only."""
_WITH_STAMP = "rs"
_STAMP_FIELDS = 5
_KEPT = "rsadDxitCo"
"""Kinds of which all that matters is the path or name."""
_PATHS = "rsadDowxc"
_LINE = re.compile(r"(.) ([^\n]+)")


def records(report: str) -> list[str]:
    """The records of one report without its end."""
    try:
        with open(report, "rb") as file:
            found = [os.fsdecode(record) for record in file.read().split(b"\0")]
    except OSError as e:
        return [f"!no report: {e.strerror}"]
    if "." not in found[-3:]:
        return ["!the report was cut short"]
    return [record for record in found if record not in ("", ".")]


def without_below(parts: Iterable[str], directory: str) -> list[str]:
    """Those that do not name something in a directory, or itself."""
    below = (directory + "/", os.path.realpath(directory) + "/")
    return [record for record in parts if not (_path(record) + "/").startswith(below)]


def without_files(parts: Iterable[str], paths: Iterable[str], directory: str) -> list[str]:
    """Those that name none of these files, and that do not look at directories in the one named last."""
    hidden = {*paths, *(os.path.realpath(path) for path in paths)}
    below = (directory + "/", os.path.realpath(directory) + "/")
    return [
        record for record in parts if _path(record) not in hidden and not (record[:1] in "dD" and (_path(record) + "/").startswith(below))
    ]


def _path(record: str) -> str:
    kind = record[:1]
    if kind in _WITH_STAMP:
        return record[1:].split(" ", _STAMP_FIELDS)[-1]
    return record[1:] if kind in _PATHS else ""


def write(path: str, parts: Iterable[str]) -> None:
    """A whole report."""
    with open(path, "wb") as file:
        file.write(b"".join(os.fsencode(record) + b"\0" for record in (*parts, ".")))


def kept(parts: Iterable[str]) -> bytes | None:
    """What is kept of a step's report; None where it did what cannot be told by names."""
    parts = list(parts)
    own = {_path(record) for record in parts if record[:1] == "w"}
    lines = []
    for record in parts:
        kind, path = record[:1], _path(record)
        if kind in "wq" or (path and path in own):
            continue
        if kind not in _KEPT or "\n" in record:
            return None
        name = path or record[1:].split(" ", 1)[-1]
        lines.append(f"{kind} {name}\n")
    return os.fsencode("".join(lines))


def revived(data: bytes, start_ns: int) -> list[str] | None:
    """Records as if the step had run just now; None where a file that it read is gone, or was changed since `start_ns`."""
    found = []
    for kind, name in _LINE.findall(os.fsdecode(data)):
        if kind in _WITH_STAMP:
            try:
                now = os.stat(name)
            except OSError:
                return None
            if max(now.st_mtime_ns, now.st_ctime_ns) >= start_ns:  # perhaps after it was compared with what is recorded
                return None
            found.append(f"{kind}{now.st_dev} {now.st_ino} {now.st_size} {now.st_mtime_ns} {now.st_ctime_ns} {name}")
        elif kind == "i":
            found += [f"i0 {name}", "q0 "]
        else:
            found.append(kind + name)
    return found
