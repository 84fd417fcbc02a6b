"""The names in a directory, as an input.

Owns: their digest.  Must not know: why somebody listed it.
"""

import os

from sccache.hashing.digest import digest

NO_DIRECTORY = b""
PRESENT = b"directory"
"""Instead of a digest: what counts is that there is a directory."""


def names_digest(path: str) -> bytes:
    """Digest of a directory's names and whether each is a directory; NO_DIRECTORY where it cannot be listed."""
    try:
        with os.scandir(path) as found:
            names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in found)
    except OSError:
        return NO_DIRECTORY
    return digest("\0".join(names).encode("utf-8", "surrogateescape"))


def still_holds(path: str, recorded: bytes) -> bool:
    """Whether the directory is as recorded, by `names_digest` or PRESENT."""
    return os.path.isdir(path) if recorded == PRESENT else names_digest(path) == recorded
