"""Output files: complete or not at all, where a compiler would have put them."""

import errno
import os
import resource
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sccache.util.output_files import OutputFile, _Place, create_temporary, write_file

NOBODY = 65534


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Writes past `size` fail, like those on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@contextmanager
def as_ordinary_user() -> Iterator[Path]:
    """A directory of a user who is not root, for whom modes mean something."""
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() != 0:
            yield Path(folder)
            return
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    """The mode is exact: the caller has already applied the umask that counts."""
    before = os.umask(0o077)
    try:
        write_file(f"{tmp_path}/a", 0o664, b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o664


def test_a_symlink_is_replaced(tmp_path: Path) -> None:
    """As the assembler does: what the link pointed to stays as it was."""
    (tmp_path / "real").write_bytes(b"real")
    (tmp_path / "link").symlink_to("real")
    write_file(f"{tmp_path}/link", 0o644, b"new")
    assert not (tmp_path / "link").is_symlink()
    assert ((tmp_path / "link").read_bytes(), (tmp_path / "real").read_bytes()) == (b"new", b"real")


def test_a_dangling_symlink_is_replaced(tmp_path: Path) -> None:
    """A link to nothing is no obstacle."""
    (tmp_path / "link").symlink_to("nowhere")
    write_file(f"{tmp_path}/link", 0o644, b"new")
    assert (tmp_path / "link").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["link"]


def test_a_hard_link_is_broken(tmp_path: Path) -> None:
    """The other name keeps its content."""
    (tmp_path / "other").write_bytes(b"old")
    os.link(tmp_path / "other", tmp_path / "a.o")
    write_file(f"{tmp_path}/a.o", 0o644, b"new")
    assert (tmp_path / "other").read_bytes() == b"old"


def test_a_read_only_file_is_replaced(tmp_path: Path) -> None:
    """Replacing needs the directory's permission only."""
    with as_ordinary_user() as folder:
        write_file(f"{folder}/a.o", 0o444, b"old")
        write_file(f"{folder}/a.o", 0o644, b"new")
        assert (folder / "a.o").read_bytes() == b"new"


def test_the_null_device_swallows(tmp_path: Path) -> None:
    """`-o /dev/null` in any spelling: nothing is written, the device stays."""
    (tmp_path / "dev").symlink_to("/dev")
    for path in ("/dev/null", f"{tmp_path}/dev/null", "//dev/null"):
        write_file(path, 0o644, b"x")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/full", "/dev/new"])
def test_devices_are_refused(path: str) -> None:
    """The daemon's stdout is not the caller's; the caller must run the compiler itself."""
    with pytest.raises(OSError, match=r"not a place|neither"):
        write_file(path, 0o644, b"x")


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    """Opening a FIFO would block the daemon until somebody reads."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="neither a regular file"):
        write_file(f"{tmp_path}/fifo", 0o644, b"x")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """And is still there after."""
    with pytest.raises(OSError, match="neither a regular file"):
        write_file(str(tmp_path), 0o644, b"x")


def test_no_directory_is_made(tmp_path: Path) -> None:
    """A compiler fails where the directory is missing, and so do we."""
    with pytest.raises(FileNotFoundError):
        write_file(f"{tmp_path}/sub/a.o", 0o644, b"x")


def test_a_file_in_a_read_only_directory_is_overwritten_in_place() -> None:
    """As a compiler does where it cannot unlink: the file keeps its inode and mode."""
    with as_ordinary_user() as folder:
        target = folder / "a.o"
        target.write_bytes(b"a longer old content")
        target.chmod(0o640)
        inode = target.stat().st_ino
        folder.chmod(0o555)
        try:
            write_file(str(target), 0o644, b"new")
            assert (target.read_bytes(), target.stat().st_ino) == (b"new", inode)
            assert target.stat().st_mode & 0o777 == 0o640
            with pytest.raises(PermissionError):
                write_file(f"{folder}/b.o", 0o644, b"new")
        finally:
            folder.chmod(0o755)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """An error while writing removes the temporary file."""
    target = tmp_path / "a.o"
    target.write_bytes(b"old")
    with file_size_limit(1000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        write_file(str(target), 0o644, b"x" * 5000)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.o"]


def test_odd_names_are_written() -> None:
    """Bytes that are not UTF-8, the longest name there is, and a name without a directory."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("caf\udce9 \n'.o", "n" * 255, "-o"):
            write_file(f"{folder}/{name}", 0o644, b"x")
            assert os.listdir(folder) == [name]
            os.unlink(f"{folder}/{name}")


def test_names_left_by_killed_processes_are_skipped(tmp_path: Path) -> None:
    """A process with our pid may have left any name behind."""
    _, first = create_temporary(f"{tmp_path}/t-")
    number = int(first.rpartition("-")[2], 16)
    for later in range(number + 1, number + 4):
        Path(f"{first.rpartition('-')[0]}-{later:x}").touch()
    fd, path = create_temporary(f"{tmp_path}/t-")
    os.close(fd)
    assert int(path.rpartition("-")[2], 16) >= number + 4


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no /dev/shm to write to")
def test_memory_file_systems_are_places_for_output() -> None:
    """People build in /dev/shm."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        write_file(f"{folder}/a.o", 0o644, b"x")
        assert os.listdir(folder) == ["a.o"]


def test_a_name_without_a_directory_is_in_the_current_one(tmp_path: Path) -> None:
    """Relative names work, and their temporary files are beside them."""
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        write_file("a.o", 0o644, b"x")
        write_file("-o", 0o644, b"x")
    finally:
        os.chdir(before)
    assert sorted(os.listdir(tmp_path)) == ["-o", "a.o"]


class BesideOnly(OutputFile):
    """As on a file system that has no nameless files."""

    def _open_beside(self) -> None:
        self._place = _Place.BESIDE
        self.fd, self._temporary = create_temporary(f"{os.path.dirname(self._path)}/.sccache-")


def test_without_nameless_files_a_private_name_is_used(tmp_path: Path) -> None:
    """Same promises: replaced as a whole, or nothing left behind."""
    target = tmp_path / "a.o"
    target.write_bytes(b"old")
    with BesideOnly(str(target), 0o640) as output:
        output.write(b"new")
        assert len(os.listdir(tmp_path)) == 2
    assert (target.read_bytes(), target.stat().st_mode & 0o7777) == (b"new", 0o640)
    with file_size_limit(10), pytest.raises(OSError, match=os.strerror(errno.EFBIG)), BesideOnly(str(target), 0o640) as output:
        output.write(b"x" * 100)
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.o"]


class NoLinks(OutputFile):
    """As in a sandbox where a nameless file can be made but not linked."""

    def _link(self) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")


def test_where_nameless_files_cannot_be_linked_they_are_copied(tmp_path: Path) -> None:
    """Slower, but the same file."""
    data = os.urandom(300_000)
    (tmp_path / "a.o").write_bytes(b"old")
    with NoLinks(f"{tmp_path}/a.o", 0o664) as output:
        output.write(data)
    assert ((tmp_path / "a.o").read_bytes(), (tmp_path / "a.o").stat().st_mode & 0o7777) == (data, 0o664)
    assert os.listdir(tmp_path) == ["a.o"]


def test_a_writer_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """While a file is being written there is nothing to see."""
    target = tmp_path / "a.o"
    target.write_bytes(b"old")
    with OutputFile(str(target), 0o644) as output:
        output.write(b"half")
        assert target.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a.o"]


def test_a_file_that_appears_meanwhile_is_replaced(tmp_path: Path) -> None:
    """Two compiles of one object at once: the last one wins, neither fails."""
    target = tmp_path / "a.o"
    with OutputFile(str(target), 0o644) as late, OutputFile(str(target), 0o644) as early:
        late.write(b"late")
        early.write(b"early")
    assert target.read_bytes() == b"late"
