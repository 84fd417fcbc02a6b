"""The client's side of a job's tree: which directories, links and files a worker needs, so that names lead where they lead here.

A name is walked as the kernel does it: each component is looked at, a symbolic link is noted and followed, `..` is the parent of where
the walk has come to (path_resolution(7)).  So `/usr/lib/gcc/x/12/../../../../include/stdio.h` brings every directory that it passes.

Owns: Gathering, Tree.  Must not know: which files a compile reads, the wire.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from sccache.dist.messages import File, Link

MAX_LINKS = 40
"""As many as the kernel follows in one name."""


class Tree(Struct, frozen=True):
    """What a worker lays out, and where its contents are here."""

    directories: tuple[bytes, ...]
    links: tuple[Link, ...]
    files: tuple[File, ...]
    contents: Mapping[bytes, str]
    """Digest → a file here that has this content."""


class Gathering:
    """Collects names; a name that is not what it should be raises OSError."""

    def __init__(self) -> None:
        self._directories: set[str] = set()
        self._links: dict[str, str] = {}
        self._files: dict[str, File] = {}
        self._contents: dict[bytes, str] = {}
        self._walked: dict[str, str] = {"/": "/"}
        """Directory as spelled → where that is."""

    def add_directory(self, name: str) -> str:
        """A directory that has to exist, with all on the way to it; gives its real name.  `name` is absolute."""
        known = self._walked.get(name)
        if known is None:
            known = self._walked[name] = self._walk(name)
        return known

    def add_file(self, name: str, digest: bytes, size: int) -> None:
        """A file with the content that it is known to have.  `name` is absolute."""
        parent, _, base = name.rpartition("/")
        path = self.add_directory(parent or "/").rstrip("/") + "/" + base
        found = os.lstat(path)
        left = MAX_LINKS
        while stat.S_ISLNK(found.st_mode):
            left -= 1
            if left < 0:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
            target = self._note_link(path)
            directory, _, base = os.path.join(os.path.dirname(path), target).rpartition("/")
            path = self.add_directory(directory or "/").rstrip("/") + "/" + base
            found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) or base in ("", ".", ".."):
            raise OSError(errno.EINVAL, "not a regular file", name)
        self._files[path] = File(os.fsencode(path), digest, size, bool(found.st_mode & 0o111))
        self._contents[digest] = path

    def tree(self) -> Tree:
        """All that was added."""
        return Tree(
            tuple(os.fsencode(path) for path in sorted(self._directories)),
            tuple(Link(os.fsencode(path), os.fsencode(target)) for path, target in sorted(self._links.items())),
            tuple(file for _, file in sorted(self._files.items())),
            self._contents,
        )

    def _note_link(self, path: str) -> str:
        target = self._links.get(path)
        if target is None:
            target = self._links[path] = os.readlink(path)
        return target

    def _walk(self, name: str) -> str:
        """Where a directory is, noting all that is passed."""
        here = "/"
        left = MAX_LINKS
        ahead = deque(name.split("/"))
        while ahead:
            part = ahead.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                here = os.path.dirname(here)
                continue
            path = here.rstrip("/") + "/" + part
            if path in self._directories:
                here = path
                continue
            target = self._links.get(path)
            if target is None:
                found = os.lstat(path)
                if stat.S_ISDIR(found.st_mode):
                    self._directories.add(path)
                    here = path
                    continue
                if not stat.S_ISLNK(found.st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
                target = self._note_link(path)
            left -= 1
            if left < 0:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
            ahead.extendleft(reversed(target.split("/")))
            if target.startswith("/"):
                here = "/"
        return here
