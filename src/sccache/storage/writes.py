"""What can be asked of storages in the background: whole blobs, and changes to what is there.

Owns: these values, how one is carried out.  Must not know: levels, queues.
"""

from collections.abc import Callable

from msgspec import Struct

from sccache.errors import StorageError
from sccache.storage.base import Kind


class Put(Struct, frozen=True):
    """Keep this blob."""

    key: str
    kind: Kind
    blob: bytes


class Update(Struct, frozen=True):
    """Replace what a storage has (None: nothing) by what `change` makes of it; None: leave it."""

    key: str
    kind: Kind
    change: Callable[[bytes | None], bytes | None]


Write = Put | Update
Done = Callable[[StorageError | None, int], None]
"""Told once what became of it, and how many nanoseconds it took."""


def size_of(writes: tuple[Write, ...]) -> int:
    """Bytes that wait with them."""
    return sum(len(write.blob) for write in writes if isinstance(write, Put))
