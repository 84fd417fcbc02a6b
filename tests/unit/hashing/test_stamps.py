"""StampTable: rows of stamps and numbers, compared with the disk in one call; Python and C alike."""

import os
import struct
import threading
from pathlib import Path

import pytest

from sccache.hashing.stamps import ANY, NOTHING, StampTable, is_settled, look

SECOND_NS = 1_000_000_000


def pairs(*numbers: int) -> bytes:
    return struct.pack(f"={len(numbers)}I", *numbers)


def test_a_row_that_was_never_set_matches_nothing(table_type: type[StampTable], tmp_path: Path) -> None:
    """A new row mismatches whatever is on the disk, also where nothing is."""
    table = table_type()
    there, missing = table.add(os.fsencode(tmp_path)), table.add(os.fsencode(tmp_path / "missing"))
    assert table.mismatches(pairs(there, ANY, missing, ANY)) == [0, 1]
    assert table.stamp(there) is None
    assert table.number(there) == 0
    assert len(table) == 2


def test_stamp_and_number_must_both_be_right(table_type: type[StampTable], tmp_path: Path) -> None:
    """A pair matches if the row has the number and the disk has the row's stamp; ANY stands for every number."""
    file = tmp_path / "f"
    file.write_bytes(b"x")
    table = table_type()
    row = table.add(os.fsencode(file))
    stamp = look(str(file))
    assert stamp is not None
    table.set(row, 7, stamp)
    assert table.mismatches(pairs(row, 7, row, 8, row, ANY)) == [1]
    assert table.stamp(row) == stamp
    table.set(row, 7, (*stamp[:4], stamp[4] + 1))
    assert table.mismatches(pairs(row, 7, row, ANY)) == [0, 1]
    table.set(row, 7, stamp)
    table.forget(row)
    assert table.mismatches(pairs(row, 7, row, ANY)) == [0, 1]


@pytest.mark.parametrize("field", range(5))
def test_every_part_of_a_stamp_counts(table_type: type[StampTable], tmp_path: Path, field: int) -> None:
    """Another device, inode, size, mtime or ctime is a mismatch."""
    stamp = look(str(tmp_path))
    assert stamp is not None
    other = list(stamp)
    other[field] += 1
    table = table_type()
    row = table.add(os.fsencode(tmp_path))
    table.set(row, 1, (other[0], other[1], other[2], other[3], other[4]))
    assert table.mismatches(pairs(row, 1)) == [0]


def test_absence_is_a_stamp(table_type: type[StampTable], tmp_path: Path) -> None:
    """A missing path, also below a file, has the stamp NOTHING."""
    (tmp_path / "file").touch()
    table = table_type()
    rows = [table.add(os.fsencode(tmp_path / name)) for name in ("missing", "missing/deeper", "file/below")]
    for row in rows:
        table.set(row, 3, NOTHING)
    wanted = pairs(*(number for row in rows for number in (row, 3)))
    assert table.mismatches(wanted) == []
    (tmp_path / "missing").mkdir()
    assert table.mismatches(wanted) == [0]


def test_what_the_system_will_not_tell_never_matches(table_type: type[StampTable], tmp_path: Path) -> None:
    """A loop of links is neither there nor absent."""
    (tmp_path / "loop").symlink_to("loop")
    table = table_type()
    row = table.add(os.fsencode(tmp_path / "loop"))
    table.set(row, 0, NOTHING)
    assert table.mismatches(pairs(row, 0)) == [0]


def test_wrong_arguments_are_errors(table_type: type[StampTable]) -> None:
    """Unknown rows, cut pairs and text paths are refused."""
    table = table_type()
    with pytest.raises(IndexError):
        table.mismatches(pairs(0, 0))
    with pytest.raises(IndexError):
        table.stamp(5)
    with pytest.raises(ValueError, match="pairs"):
        table.mismatches(b"1234")
    with pytest.raises(TypeError):
        table.add("text")  # type: ignore[arg-type]
    assert table.mismatches(b"") == []


def test_many_rows(table_type: type[StampTable], tmp_path: Path) -> None:
    """The table grows, and a list longer than the C twin's stack is compared like a short one."""
    stamp = look(str(tmp_path))
    assert stamp is not None
    table = table_type()
    rows = [table.add(os.fsencode(tmp_path)) for _ in range(3000)]
    for row in rows:
        table.set(row, row + 1, stamp)
    wanted = pairs(*(number for row in rows for number in (row, row + 1 if row != 2999 else 5)))
    assert table.mismatches(bytearray(wanted)) == [2999]


def test_comparing_while_another_thread_adds(table_type: type[StampTable], tmp_path: Path) -> None:
    """Rows may move in memory while they are compared without the interpreter's lock."""
    stamp = look(str(tmp_path))
    assert stamp is not None
    table = table_type()
    row = table.add(os.fsencode(tmp_path))
    table.set(row, 1, stamp)
    wanted = pairs(*(row, 1) * 200)
    stop = threading.Event()

    def add() -> None:
        while not stop.is_set() and len(table) < 50_000:
            table.add(b"/somewhere")

    adder = threading.Thread(target=add)
    adder.start()
    results = [table.mismatches(wanted) for _ in range(100)]
    stop.set()
    adder.join()
    assert results == [[]] * 100


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "settled"),
    [
        (9 * SECOND_NS + 1, 9 * SECOND_NS + 1, True),
        (10 * SECOND_NS - 30_000_001, 5, True),
        (10 * SECOND_NS - 10_000_001, 5, False),
        (5, 10 * SECOND_NS - 10_000_001, False),
        (20 * SECOND_NS + 1, 5, False),
        (5, 20 * SECOND_NS + 1, False),
        (7 * SECOND_NS, 7 * SECOND_NS, True),
        (8 * SECOND_NS, 8 * SECOND_NS, False),
        (8 * SECOND_NS, 8 * SECOND_NS + 1, True),
    ],
)
def test_when_a_stamp_can_be_trusted(mtime_ns: int, ctime_ns: int, *, settled: bool) -> None:
    """Not while a later change could leave the same times: 20 ms, 2.1 s where only whole seconds are kept, or times to come."""
    assert is_settled((1, 1, 1, mtime_ns, ctime_ns), 10 * SECOND_NS) is settled
