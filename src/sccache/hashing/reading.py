"""Read a file once for all that is to be known of it: its stamp, its content's digest, what its text mentions.

Owns: reading, in chunks where the whole is not needed.  Must not know: what is remembered.
"""

import os
import stat
from io import FileIO

from sccache.hashing.digest import CHUNK_SIZE_BYTES, digest, digest_stream
from sccache.hashing.source_text import COMPILED, COMPILED_BYTES, source_flags
from sccache.hashing.stamps import Stamp, stamp_of
from sccache.model import FileFacts

SCAN_WHOLE_BYTES = 64 << 20
"""Source text is scanned in memory; what is larger is no source, and gets every flag."""
ALL_FLAGS = 0b111111
_READ_ATTEMPTS = 3


def read_facts(path: str) -> tuple[Stamp, FileFacts] | None:
    """Stamp and facts of a regular file that did not change while it was read."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        return _read_descriptor(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _read_descriptor(descriptor: int) -> tuple[Stamp, FileFacts] | None:
    for _ in range(_READ_ATTEMPTS):
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            return None
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            file.seek(0)
            content, flags = _content(file, before.st_size)
        stamp = stamp_of(before)
        if stamp_of(os.fstat(descriptor)) == stamp:
            return stamp, FileFacts(content, stamp[2], stamp[3], stamp[4], flags)
    return None


def _content(file: FileIO, size_bytes: int) -> tuple[bytes, int]:
    if size_bytes > SCAN_WHOLE_BYTES:
        return digest_stream(file), ALL_FLAGS
    if size_bytes >= CHUNK_SIZE_BYTES and file.read(COMPILED_BYTES).startswith(COMPILED):
        file.seek(0)
        return digest_stream(file), 0
    file.seek(0)
    data = file.readall()
    return digest(data), source_flags(data)
