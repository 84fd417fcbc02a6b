"""Reading the observer's report."""

from pathlib import Path

import pytest

from sccache.stages.observation import MAX_REPORT_BYTES, Observation, Seen, read_report


def report(tmp_path: Path, *records: str, end: str = ".") -> Observation:
    path = tmp_path / "report"
    path.write_bytes(b"".join(record.encode("utf-8", "surrogateescape") + b"\0" for record in (*records, end)))
    return read_report(str(path))


def test_records(tmp_path: Path) -> None:
    """Each kind in its place, files with their stamps."""
    seen = report(tmp_path, "r1 2 3 4 5 /a b", "a/gone", "w/made", "r1 2 3 4 5 /made", "tHOME", "eX", "n family 2", "w/made")
    assert seen.reads == (Seen("/a b", (1, 2, 3, 4, 5), 0), Seen("/made", (1, 2, 3, 4, 5), 3))
    assert seen.absent == ("/gone",)
    assert seen.first_written == {"/made": 2}
    assert (seen.tool_variables, seen.macro_variables) == (("HOME",), ("X",))
    assert seen.network == (" family 2",)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Any bytes may be in a path."""
    assert report(tmp_path, "a/\udcff").absent == ("/\udcff",)


def test_programs_that_become_others(tmp_path: Path) -> None:
    """What was replaced by exec does not count as unfinished; what did not end does."""
    seen = report(tmp_path, "i7 /sh", "i7 /ls", "q7 ", "i8 /cc")
    assert seen.images == ("/sh", "/ls", "/cc")
    assert seen.unfinished == ("/cc",)


@pytest.mark.parametrize(
    ("records", "end", "trouble"),
    [
        (("a/x",), "a/y", "cut short"),
        (("!the kernel gives no listener",), ".", "no listener"),
        (("r1 2 /x",), ".", "damaged"),
        (("?x",), ".", "unknown kind"),
    ],
)
def test_a_report_that_is_of_no_use(tmp_path: Path, records: tuple[str, ...], end: str, trouble: str) -> None:
    """The reason stands alone."""
    seen = report(tmp_path, *records, end=end)
    assert trouble in seen.trouble
    assert seen == Observation(trouble=seen.trouble)


def test_no_report(tmp_path: Path) -> None:
    """Nothing was written, or too much."""
    assert "no report" in read_report(str(tmp_path / "none")).trouble
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MAX_REPORT_BYTES + 1)
    assert "too long" in read_report(str(large)).trouble
