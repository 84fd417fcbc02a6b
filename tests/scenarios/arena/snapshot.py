"""What a directory tree looks like: names, kinds, permissions and contents, and how two of them differ."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Seen:
    """One name of the tree."""

    kind: str  # file, directory, link or other
    mode: int
    data: bytes


Snapshot = Mapping[bytes, Seen]

IGNORE_MODES = "SCCACHE_TEST_IGNORE_MODES" in os.environ  # a peer's daemon has a umask of its own: look at the rest


def _look(path: bytes) -> Seen:
    status = os.lstat(path)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return Seen("link", 0, os.readlink(path))
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return Seen("file", mode, file.read())
    return Seen("directory" if stat.S_ISDIR(status.st_mode) else "other", mode, b"")


def take(root: Path) -> Snapshot:
    """Look at everything below `root`."""
    top = os.fsencode(root)
    seen: dict[bytes, Seen] = {}
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            seen[os.path.relpath(path, top)] = _look(path)
    return seen


def first_difference(want: bytes, have: bytes) -> str:
    """Show where two contents part."""
    if want == have:
        return "equal"
    at = next((i for i, (a, b) in enumerate(zip(want, have, strict=False)) if a != b), min(len(want), len(have)))
    lo = max(0, at - 40)
    return f"{len(want)} and {len(have)} bytes, differ at {at}: plain …{want[lo : at + 60]!r}… cached …{have[lo : at + 60]!r}…"


def differences(want: Snapshot, have: Snapshot, unstable: frozenset[bytes]) -> list[str]:
    """Name what differs; contents of `unstable` names (two plain runs differ there) are not compared."""
    found: list[str] = []
    for name in sorted(want.keys() | have.keys()):
        shown = os.fsdecode(name)
        if name not in have:
            found.append(f"{shown}: missing with the cache")
        elif name not in want:
            found.append(f"{shown}: left by the cache, not by the plain compiler ({len(have[name].data)} bytes)")
        else:
            found += _differences_of(shown, want[name], have[name], stable=name not in unstable)
    return found


def _differences_of(shown: str, want: Seen, have: Seen, *, stable: bool) -> list[str]:
    if want.kind != have.kind:
        return [f"{shown}: {want.kind} with the plain compiler, {have.kind} with the cache"]
    found = []
    if want.mode != have.mode and not IGNORE_MODES:
        found.append(f"{shown}: mode {want.mode:o} with the plain compiler, {have.mode:o} with the cache")
    if stable and want.data != have.data:
        found.append(f"{shown}: {first_difference(want.data, have.data)}")
    return found
