"""Put bytes where a compiler would have put them: complete or not at all.

Owns: temporary files, naming, modes, what to do about symlinks, devices and directories that
cannot be written.  Must not know: what is in the files.

A compiler's assembler unlinks its output before writing it, so a symlink or hard link is replaced, never written
through; we do the same.  That unlink also pays: on ext4 a rename over an existing file waits for the new file's blocks
to be allocated (measured: 84 us against 14 us for 10 KB).
"""

import contextlib
import errno
import itertools
import os
import stat
from enum import Enum
from types import TracebackType
from typing import Self

_NAME_COUNTER = itertools.count()
_NAME_TRIES = 1000  # names left behind by killed processes that had our pid
_NO_NEW_FILE = {errno.EACCES, errno.EPERM, errno.EROFS}
"""The directory takes no new file, but the file itself may still be writable."""
_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITE_IN_PLACE = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE_NAMELESS = os.O_RDWR | getattr(os, "O_TMPFILE", 0) | os.O_CLOEXEC
_NO_NAMELESS = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS}
"""File systems without O_TMPFILE: NFS, overlays of older kernels."""
_CAN_LINK = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
_COPIED_AT_ONCE = 1 << 30
_LINK_TRIES = 5  # somebody else makes the same file at the same time
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_PRIVATE = 0o600
_PREFIX = ".sccache-"
_NOT_FOR_OUTPUT = ("/dev/", "/proc/")
_BUT_FOR_OUTPUT = "/dev/shm/"  # noqa: S108  # a memory file system that people build in


def write_file(path: str, mode: int, data: bytes | memoryview) -> None:
    """Make `path` a file with `data` and exactly `mode`; OSError if that fails, and then no partial file."""
    with OutputFile(path, mode) as output:
        output.write(data)


def create_temporary(prefix: str) -> tuple[int, str]:
    """A new private file whose path begins with `prefix`; (descriptor, path)."""
    for _ in range(_NAME_TRIES):
        path = f"{prefix}{os.getpid():x}-{next(_NAME_COUNTER):x}"
        try:
            return os.open(path, _WRITE_NEW, _PRIVATE), path
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), prefix)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data`: one write may take less (2 GiB is Linux's most, a full disk takes a part)."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_all_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Like write_all, at a place in the file; any number of threads may do so at once."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view = view[count:]
        offset += count


class _Place(Enum):
    """Where the bytes go until they are complete."""

    NAMELESS = 1
    """A file without a name: nothing is left even if we are killed, and it costs no more (17 us either way)."""
    BESIDE = 2
    """A file under a private name, where the file system has no nameless ones."""
    TARGET = 3
    """The target itself, where its directory takes no new file."""


class OutputFile:
    """A file being written: a context manager that puts it in place at its end, or leaves nothing on an error.

    `fd` is the descriptor to write to; -1 where the target is the null device and nothing need be written.
    """

    def __init__(self, path: str, mode: int) -> None:
        """Looks at what is at `path`: OSError if a file cannot be put there."""
        self.fd = -1
        self._path = path
        self._mode = mode
        self._place = _Place.NAMELESS
        self._temporary = ""
        if path.startswith(_NOT_FOR_OUTPUT) and path != os.devnull and not path.startswith(_BUT_FOR_OUTPUT):
            raise OSError(errno.EINVAL, "not a place for an output file", path)  # /dev/stdout would be the daemon's own
        self._found = _lstat(path)

    def open_if_like(self, size_bytes: int) -> int:
        """A descriptor of the file that is there, if it could be mistaken for ours but for its content, else -1.

        That is a regular file of ours with this mode and size and no other name.  If its content is the wanted one as
        well, a new time makes it the output, and nothing need be written.
        """
        found = self._found
        if (
            found is None
            or found.st_size != size_bytes
            or found.st_mode != stat.S_IFREG | self._mode
            or found.st_nlink != 1
            or found.st_uid != os.geteuid()
        ):
            return -1
        try:
            return os.open(self._path, _READ)
        except OSError:
            return -1

    def __enter__(self) -> Self:
        if self._found is not None and not _is_replaceable(self._found):
            if _is_null_device(self._found):
                return self
            raise OSError(errno.EINVAL, "neither a regular file nor a symlink", self._path)
        try:
            self._open_beside()
        except OSError as e:
            if e.errno not in _NO_NEW_FILE or self._found is None:
                raise
            self._place = _Place.TARGET
            self.fd = _open_in_place(self._path)
        return self

    def _open_beside(self) -> None:
        directory = self._path[: self._path.rfind("/") + 1]
        if _CAN_LINK:
            try:
                self.fd = os.open(directory or ".", _WRITE_NAMELESS, _PRIVATE)
            except OSError as e:
                if e.errno not in _NO_NAMELESS:
                    raise
            else:
                return
        self._place = _Place.BESIDE
        self.fd, self._temporary = create_temporary(directory + _PREFIX)

    def write(self, data: bytes | memoryview) -> None:
        """Append to it."""
        if self.fd >= 0:
            write_all(self.fd, data)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.fd < 0:
            return
        try:
            try:
                if error is None and self._place is not _Place.TARGET:  # written over it keeps its mode, as a compiler does
                    os.fchmod(self.fd, self._mode)
                if error is None and self._place is _Place.NAMELESS:
                    self._name()
            finally:
                os.close(self.fd)  # NFS and quotas report a full disk here
            if error is None and self._place is _Place.BESIDE:
                self._unlink_target()
                os.rename(self._temporary, self._path)
                self._temporary = ""
        finally:
            if self._temporary:
                with contextlib.suppress(OSError):  # the error that brought us here is the one to report
                    os.unlink(self._temporary)

    def _name(self) -> None:
        """Give the nameless file its name."""
        for _ in range(_LINK_TRIES):
            self._unlink_target()
            try:
                self._link()
            except FileExistsError:
                self._found = _lstat(self._path)
            except OSError:
                self._place = _Place.BESIDE
                self._copy_beside()
                return
            else:
                return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self._path)

    def _link(self) -> None:
        # with the descriptor of a directory Python calls linkat, which follows the link in /proc; it is not looked at
        os.link(f"/proc/self/fd/{self.fd}", self._path, src_dir_fd=self.fd, follow_symlinks=True)

    def _copy_beside(self) -> None:
        """The same file with a private name: some sandboxes let nobody link what has none."""
        fd, self._temporary = create_temporary(self._path[: self._path.rfind("/") + 1] + _PREFIX)
        try:
            os.fchmod(fd, self._mode)
            offset = 0
            while count := os.sendfile(fd, self.fd, offset, _COPIED_AT_ONCE):
                offset += count
        finally:
            os.close(fd)

    def _unlink_target(self) -> None:
        if self._found is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _is_replaceable(found: os.stat_result) -> bool:
    return stat.S_IFMT(found.st_mode) in {stat.S_IFREG, stat.S_IFLNK}


def _is_null_device(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev


def _open_in_place(path: str) -> int:
    """Open an existing regular file (through symlinks) to overwrite it."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.open(path, _WRITE_IN_PLACE)
