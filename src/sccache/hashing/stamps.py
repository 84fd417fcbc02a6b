"""The stamps of many files, compared with the disk in one call.

A stamp is what stat(2) tells of the thing behind a path: (device, inode, size, mtime ns, ctime ns).  NOTHING: nothing is there.
A number is the owner's name for what the path held when it had that stamp.

Owns: the table of paths, stamps and numbers, and when a stamp can be trusted.  Must not know: what a number stands for.
`sccache._native.StampTable` (native/_native.c) is the same in C, six times as fast; one set of tests runs over both.
"""

import errno
import os

Stamp = tuple[int, int, int, int, int]
NOTHING: Stamp = (0, 0, 0, 0, 0)
ANY = 0xFFFFFFFF
"""In a pair: whatever the row's number is."""

# Linux stamps files with the time of the last timer tick: at most 10 ms old (HZ=100).
CLOCK_GRANULARITY_NS = 20_000_000
# File systems that keep whole seconds (ext3, old NFS), or every other one (FAT).
COARSE_GRANULARITY_NS = 2_100_000_000
_SECOND_NS = 1_000_000_000


def stamp_of(st: os.stat_result) -> Stamp:
    """The stamp in a stat result; inode and device are cut to what C's signed 64 bits hold."""
    return (_signed(st.st_dev), _signed(st.st_ino), st.st_size, st.st_mtime_ns, st.st_ctime_ns)


def look(path: str | bytes) -> Stamp | None:
    """The stamp of what is behind `path` now; None where the system would not tell."""
    try:
        return stamp_of(os.stat(path))
    except OSError as e:
        return NOTHING if e.errno in (errno.ENOENT, errno.ENOTDIR) else None


def is_settled(stamp: Stamp, now_ns: int) -> bool:
    """Would a change after `now_ns` show in the stamp?  Not if the last one is within the clock's granularity, or to come."""
    _, _, _, mtime_ns, ctime_ns = stamp
    coarse = mtime_ns % _SECOND_NS == 0 and ctime_ns % _SECOND_NS == 0
    return max(mtime_ns, ctime_ns) + (COARSE_GRANULARITY_NS if coarse else CLOCK_GRANULARITY_NS) < now_ns


def _signed(value: int) -> int:
    return value if value < 1 << 63 else value - (1 << 64)


class StampTable:
    """Pure Python twin of `sccache._native.StampTable`."""

    def __init__(self) -> None:
        self._paths: list[bytes] = []
        self._stamps: list[Stamp | None] = []
        self._numbers: list[int] = []

    def add(self, path: bytes, /) -> int:
        """Add a row that has no stamp yet; return its id."""
        if not isinstance(path, bytes):
            raise TypeError(f"a path is bytes, not {type(path).__name__}")
        self._paths.append(path)
        self._stamps.append(None)
        self._numbers.append(0)
        return len(self._paths) - 1

    def set(self, id_: int, number: int, stamp: Stamp, /) -> None:
        """Say what is behind a row's path."""
        self._stamps[self._checked(id_)] = stamp
        self._numbers[id_] = number

    def forget(self, id_: int, /) -> None:
        """Let a row match nothing until it is set again."""
        self._stamps[self._checked(id_)] = None
        self._numbers[id_] = 0

    def number(self, id_: int, /) -> int:
        """The row's number; 0 if none."""
        return self._numbers[self._checked(id_)]

    def stamp(self, id_: int, /) -> Stamp | None:
        """The row's stamp, if it has one."""
        return self._stamps[self._checked(id_)]

    def mismatches(self, pairs: bytes | bytearray | memoryview, /) -> list[int]:
        """Return the indexes of the (id, number) pairs that are not what the table and the disk say.

        `pairs`: native unsigned 32-bit integers, two a pair.
        """
        if len(pairs) % 8:
            raise ValueError("not a list of pairs")
        flat = memoryview(bytes(pairs)).cast("I")
        return [i for i in range(len(flat) // 2) if not self._is_as_wanted(flat[2 * i], flat[2 * i + 1])]

    def __len__(self) -> int:
        return len(self._paths)

    def _is_as_wanted(self, id_: int, number: int) -> bool:
        found = look(self._paths[self._checked(id_)])
        return found is not None and found == self._stamps[id_] and number in (ANY, self._numbers[id_])

    def _checked(self, id_: int) -> int:
        if not 0 <= id_ < len(self._paths):
            raise IndexError("no such id")
        return id_
