"""What bounds the memory of a worker with all its builds: the control groups that it is in, so that its log can say so.

Sources: cgroups(7), the kernel's documentation of control groups (v2: memory.max; v1: memory.stat, hierarchical_memory_limit).

Owns: reading that.  Must not know: workers.  It makes no groups and changes none.
"""

import os
import re
from collections.abc import Iterator

UNBOUNDED = 1 << 60
"""Version 1 writes no bound as a number that no machine has."""
_OPTIONAL = re.compile(r" - (\S+) \S+ (\S+)$")


def bound_bytes(process: str = "/proc/self") -> int | None:
    """The least bound of this process's groups; None if there is none, or the system does not tell."""
    try:
        with open(f"{process}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
        with open(f"{process}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.rstrip("\n") for line in file]
    except OSError:
        return None
    found = []
    for _, controllers, path in groups:
        if not controllers:
            found += [_number(f"{place}/memory.max") for place in _places(mounts, "cgroup2", "", path)]
        elif "memory" in controllers.split(","):
            found += [_hierarchical(f"{place}/memory.stat") for place in _places(mounts, "cgroup", "memory", path)]
    return min((one for one in found if one is not None and one < UNBOUNDED), default=None)


def _places(mounts: list[str], kind: str, option: str, path: str) -> Iterator[str]:
    """Directories of a group and of those above it, as far as they can be seen here."""
    for line in mounts:
        end = _OPTIONAL.search(line)
        if end is None or end[1] != kind or (option and option not in end[2].split(",")):
            continue
        root, mount = line.split(" ")[3:5]
        inside = os.path.relpath(path, root) if path.startswith(root) else "."
        parts = [part for part in inside.split("/") if part != "."]
        yield from (os.path.join(mount, *parts[:count]) for count in range(len(parts) + 1))
        return


def _number(name: str) -> int | None:
    try:
        with open(name, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):  # `max`
        return None


def _hierarchical(name: str) -> int | None:
    try:
        with open(name, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("hierarchical_memory_limit ")), None)
    except (OSError, ValueError):
        return None
