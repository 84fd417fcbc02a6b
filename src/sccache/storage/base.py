"""The seams of storage: what a backend is, what a storage is, and their words.

    pipeline ─▶ Levels ─▶ Storage (DiskStorage │ Remote ─▶ Backend (s3, redis, …))

A Backend moves bytes by name and knows one service.  `Remote` (remote.py) makes a Storage of it: names of objects, deadlines,
retries, the circuit breaker, what is counted.  `Levels` (levels.py) is what the pipeline sees: one or several storages.
Owns: the protocols, kinds of objects, their names in remote stores.  Must not know: what is in a blob, any backend, asyncio.
"""

from enum import Enum
from typing import Protocol

CHECK_NAME = ".sccache_check"
"""The object that `check` reads and writes, directly below the prefix."""


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


class Backend(Protocol):
    """One service: bytes by name.  Made by `Backend(settings, ambient)` (config.schema.RemoteConfig), which raises ConfigError.

    Making one does no I/O and imports no large library; the first `read` or `write` connects, from a pool that later ones
    share.  All methods run in one event loop, may be cancelled at any time and are bounded by their caller's deadline.
    They raise StorageError with the Trouble that tells best, and a message that holds no secret.
    """

    type_name: str
    """What levels and locations call it: `s3`, `redis`, `azblob` …"""

    async def read(self, name: str) -> bytes | None:
        """The whole object; None if there is none.  StorageError if it came incomplete."""

    async def write(self, name: str, blob: bytes) -> None:
        """Make or replace the object.  Where objects are immutable and this one exists, that is success."""

    async def aclose(self) -> None:
        """Close connections."""

    def location(self) -> str:
        """`<type name>, name: <bucket>, prefix: /<prefix>/` (reference 8.6)."""


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
