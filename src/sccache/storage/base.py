"""The seam between the pipeline and where results are kept.

Owns: the Storage protocol, what kinds of object there are, their names in remote stores.
Must not know: what is in a blob, any backend, asyncio.
"""

from enum import Enum
from typing import Protocol


class Kind(Enum):
    """What a blob is; the value is the folder that it is kept under, as users of sccache know them."""

    ENTRY = ""
    MANIFEST = "preprocessor/"


class Access(Enum):
    """What a storage lets us do."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"


def object_name(key: str, kind: Kind) -> str:
    """A remote object's name below the backend's prefix: `a/b/c/abc…`, as sccache spreads them."""
    return f"{kind.value}{key[0]}/{key[1]}/{key[2]}/{key}"


class Storage(Protocol):
    """Keeps blobs by key and kind.  A key is 64 lower-case hex digits.

    A blob comes back whole and as it was put, or not at all; the last writer wins.
    `get` and `put` raise StorageError where the storage failed: a caller treats that as a miss, or goes on without.
    """

    async def get(self, key: str, kind: Kind) -> bytes | None:
        """The blob, None if there is none."""

    async def put(self, key: str, kind: Kind, blob: bytes) -> None:
        """Keep `blob`; StorageError if it is not kept."""

    async def check(self) -> Access:
        """What can be done with it; StorageError if nothing can."""

    async def aclose(self) -> None:
        """Finish what is under way, within a deadline; nothing else may be called after."""

    def location(self) -> str:
        """Where it is, as the statistics show it."""
