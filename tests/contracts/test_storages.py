"""The storage contract, for each storage there is."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from tests.contracts.memory_storage import MemoryStorage
from tests.contracts.storage_contract import StorageContract

from sccache.storage.base import Storage
from sccache.storage.disk import DiskStorage


class TestMemoryStorage(StorageContract):
    """The fake keeps the promises too."""

    @asynccontextmanager
    async def open_storage(self, folder: Path) -> AsyncIterator[Storage]:  # noqa: ARG002
        async with aclosing(MemoryStorage()) as storage:
            yield storage


class TestDiskStorage(StorageContract):
    """Local disk."""

    @asynccontextmanager
    async def open_storage(self, folder: Path) -> AsyncIterator[Storage]:
        async with aclosing(DiskStorage(f"{folder}/cache", 1 << 30)) as storage:
            yield storage
