"""Deleting directories that somebody else has filled: as deep, as closed and as full as they like.

Deep ones are taken apart: what lies deeper than a few dozen directories is first moved up to the top, so no path gets long, and neither
stack nor descriptors run out.  (shutil.rmtree gives up at a depth of a thousand, which every build can make.)

Owns: that, and whether the machine was started anew meanwhile.  Must not know: what is in it.
"""

import contextlib
import itertools
import os
import secrets
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BOOT_ID = "/proc/sys/kernel/random/boot_id"  # proc(5)
MAX_DEPTH = 32


def remove(path: str) -> None:
    """Delete a file, link or directory, and never follow a link; what cannot be deleted stays.  Blocking.

    Nobody else may be writing to it.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        top = _opened(path, None)
    except OSError:
        return
    try:
        _empty(top)
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _empty(top: int) -> None:
    """All that is in an open directory."""
    # Names that nobody else has: a directory that is moved up must not meet another.
    fresh = map("{}-{}".format, itertools.repeat(secrets.token_hex(8)), itertools.count())
    moved: list[str] = []

    def empty(directory: int, depth: int) -> None:
        for name in _without_files(directory):
            with contextlib.suppress(OSError):
                inner = _opened(name, directory)
                try:
                    if depth < MAX_DEPTH:
                        empty(inner, depth + 1)
                        os.rmdir(name, dir_fd=directory)
                    else:
                        up = next(fresh)
                        os.rename(name, up, src_dir_fd=directory, dst_dir_fd=top)
                        moved.append(up)
                finally:
                    os.close(inner)

    empty(top, 0)
    while moved:
        name = moved.pop()
        with contextlib.suppress(OSError):
            directory = _opened(name, top)
            try:
                empty(directory, 1)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=top)


def _without_files(directory: int) -> list[str]:
    """Delete all but directories; gives their names."""
    inner = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.name)
                continue
            with contextlib.suppress(OSError):
                os.unlink(entry.name, dir_fd=directory)
    return inner


def _opened(name: str, parent: int | None) -> int:
    """Open a directory, whatever its mode, so that its owner may do anything in it."""
    place = os.open(name, _PLACE, dir_fd=parent)
    try:
        if os.fstat(place).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{place}", stat.S_IRWXU)
    finally:
        os.close(place)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def is_of_this_boot(marker: str) -> bool:
    """Whether `note_boot` has been called with this file since the machine was started; true where the system does not tell that.

    If not, what was written before is whole only if it was synced.
    """
    now = _boot()
    try:
        with open(marker, encoding="ascii") as file:
            return now in {"", file.read()}
    except (FileNotFoundError, ValueError):
        return not now


def note_boot(marker: str) -> None:
    """From now on it is.  OSError."""
    with open(marker, "w", encoding="ascii") as file:
        file.write(_boot())


def _boot() -> str:
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
