"""A storage in memory: the fake that other tests use."""

from sccache.errors import StorageError
from sccache.storage.base import Access, Kind


class MemoryStorage:
    """Blobs in a dict; can be told to fail."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, Kind], bytes] = {}
        self.broken = ""
        """Not empty: every get and put fails with this text."""

    async def get(self, key: str, kind: Kind) -> bytes | None:
        self._maybe_fail()
        return self.blobs.get((key, kind))

    async def put(self, key: str, kind: Kind, blob: bytes) -> None:
        self._maybe_fail()
        self.blobs[key, kind] = blob

    async def check(self) -> Access:
        self._maybe_fail()
        return Access.READ_WRITE

    async def aclose(self) -> None:
        self.blobs.clear()

    def location(self) -> str:
        return "Memory"

    def _maybe_fail(self) -> None:
        if self.broken:
            raise StorageError(self.broken)
