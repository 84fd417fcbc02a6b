"""The names in a directory, as an input.

Owns: their digest.  Must not know: why somebody listed it.
"""

import os

from sccache.hashing.digest import digest

NO_DIRECTORY = b""
PRESENT = b"directory"
"""Instead of a digest: what counts is that there is a directory."""
_LEADS = b"leads to "


def names_digest(path: str) -> bytes:
    """Digest of a directory's names and whether each is a directory; NO_DIRECTORY where it cannot be listed."""
    try:
        with os.scandir(path) as found:
            names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in found)
    except OSError:
        return NO_DIRECTORY
    return digest("\0".join(names).encode("utf-8", "surrogateescape"))


def leads_to(path: str) -> bytes:
    """A word for where a path leads, links followed."""
    return _LEADS + digest(os.fsencode(os.path.realpath(path)))


def still_holds(path: str, recorded: bytes) -> bool:
    """Whether this is as recorded, by `names_digest`, PRESENT or `leads_to`."""
    if recorded.startswith(_LEADS):
        return leads_to(path) == recorded
    return os.path.isdir(path) if recorded == PRESENT else names_digest(path) == recorded
