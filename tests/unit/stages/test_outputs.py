"""Writing dependency files on a hit."""

import os
import stat
from pathlib import Path

import pytest

from sccache.stages.outputs import write_text_file


@pytest.mark.parametrize("before", [b"", b"a.o: a.c\n", b"a.o: a.c b.h c.h d.h\n"])
def test_a_dependency_file_is_written_over(tmp_path: Path, before: bytes) -> None:
    """Shorter, as long or longer than what was there; the file stays the same one, with its mode."""
    path = tmp_path / "a.d"
    path.write_bytes(before)
    path.chmod(0o640)
    number = path.stat().st_ino
    write_text_file(str(path), b"a.o: b.c\n", 0o644)
    assert path.read_bytes() == b"a.o: b.c\n"
    assert (path.stat().st_ino, stat.S_IMODE(path.stat().st_mode)) == (number, 0o640)


def test_a_new_dependency_file_has_the_callers_mode(tmp_path: Path) -> None:
    """Whatever the daemon's umask is; also behind a link that led nowhere."""
    os.symlink("target.d", tmp_path / "link.d")
    for name in ("new.d", "link.d"):
        write_text_file(str(tmp_path / name), b"x\n", 0o666)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666
    assert (tmp_path / "target.d").read_bytes() == b"x\n"


def test_devices_take_a_dependency_file() -> None:
    """-MF /dev/null."""
    write_text_file("/dev/null", b"x\n", 0o666)
