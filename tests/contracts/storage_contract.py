"""What every storage promises: one test body for all of them.

class TestRedisStorage(StorageContract):
    @asynccontextmanager
    async def open_storage(self, folder): ...
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from sccache.storage.base import Access, Kind, Storage

KEY = "0123456789abcdef" * 4
OTHER_KEY = "fedcba9876543210" * 4

Body = Callable[["StorageContract", Storage], Awaitable[None]]


def with_storage(body: Body) -> Callable[["StorageContract", Path], None]:
    """Make a test of `body`: it gets a fresh storage, in an event loop of its own."""

    def test(self: "StorageContract", tmp_path: Path) -> None:
        async def run() -> None:
            async with self.open_storage(tmp_path) as storage:
                await body(self, storage)

        asyncio.run(run())

    test.__name__ = getattr(body, "__name__", "test")
    test.__doc__ = body.__doc__
    return test


class StorageContract:
    """Subclass it with `open_storage`."""

    def open_storage(self, folder: Path) -> AbstractAsyncContextManager[Storage]:
        """A fresh, empty storage that may use `folder`, closed at the end."""
        raise NotImplementedError

    @with_storage
    async def test_what_was_never_put_is_absent(self, storage: Storage) -> None:
        """A key that nobody stored gives None."""
        assert await storage.get(KEY, Kind.ENTRY) is None

    @with_storage
    async def test_a_blob_comes_back(self, storage: Storage) -> None:
        """What was put is got, byte for byte."""
        blob = bytes(range(256)) * 10
        await storage.put(KEY, Kind.ENTRY, blob)
        assert await storage.get(KEY, Kind.ENTRY) == blob

    @with_storage
    async def test_an_empty_blob_is_not_an_absent_one(self, storage: Storage) -> None:
        """Zero bytes are a value."""
        await storage.put(KEY, Kind.ENTRY, b"")
        assert await storage.get(KEY, Kind.ENTRY) == b""

    @with_storage
    async def test_a_large_blob_comes_back(self, storage: Storage) -> None:
        """No chunk is lost at any buffer's boundary."""
        blob = bytes(range(251)) * 20_000
        await storage.put(KEY, Kind.ENTRY, blob)
        assert await storage.get(KEY, Kind.ENTRY) == blob

    @with_storage
    async def test_last_writer_wins(self, storage: Storage) -> None:
        """A second put under a key replaces the first."""
        await storage.put(KEY, Kind.ENTRY, b"old")
        await storage.put(KEY, Kind.ENTRY, b"newer")
        assert await storage.get(KEY, Kind.ENTRY) == b"newer"

    @with_storage
    async def test_kinds_do_not_mix(self, storage: Storage) -> None:
        """An entry and a manifest of one key are two things."""
        await storage.put(KEY, Kind.ENTRY, b"entry")
        assert await storage.get(KEY, Kind.MANIFEST) is None
        await storage.put(KEY, Kind.MANIFEST, b"manifest")
        assert await storage.get(KEY, Kind.ENTRY) == b"entry"
        assert await storage.get(KEY, Kind.MANIFEST) == b"manifest"

    @with_storage
    async def test_keys_do_not_mix(self, storage: Storage) -> None:
        """Another key is another blob."""
        await storage.put(KEY, Kind.ENTRY, b"one")
        await storage.put(OTHER_KEY, Kind.ENTRY, b"two")
        assert await storage.get(KEY, Kind.ENTRY) == b"one"
        assert await storage.get(OTHER_KEY, Kind.ENTRY) == b"two"

    @with_storage
    async def test_writers_of_one_key_never_mix_their_blobs(self, storage: Storage) -> None:
        """A reader sees one writer's whole blob, whatever else happens at once."""
        blobs = [bytes([number]) * 100_000 for number in range(8)]
        await asyncio.gather(*(storage.put(KEY, Kind.ENTRY, blob) for blob in blobs))
        seen = await asyncio.gather(
            *(storage.put(KEY, Kind.ENTRY, blob) for blob in blobs), *(storage.get(KEY, Kind.ENTRY) for _ in range(8))
        )
        assert all(blob in blobs for blob in seen if blob is not None)
        assert await storage.get(KEY, Kind.ENTRY) in blobs

    @with_storage
    async def test_a_fresh_storage_can_be_written(self, storage: Storage) -> None:
        """`check` says so."""
        assert await storage.check() is Access.READ_WRITE

    @with_storage
    async def test_it_says_where_it_is(self, storage: Storage) -> None:
        """The statistics have a line to show."""
        assert storage.location()
