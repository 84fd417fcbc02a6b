"""A backend in memory that does what a test tells it to."""

import asyncio
from collections.abc import Awaitable, Callable

from sccache.errors import StorageError, Trouble

KEY, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4


class FakeBackend:
    """Objects in a dict; `faults` are raised, or awaited, one a request, in order."""

    type_name = "fake"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []
        self.written: list[str] = []
        self.faults: list[Exception | Callable[[], Awaitable[None]]] = []
        self.always: Exception | None = None
        self.is_closed = False

    async def read(self, name: str) -> bytes | None:
        self.reads.append(name)
        await self._fault()
        return self.objects.get(name)

    async def write(self, name: str, blob: bytes) -> None:
        self.written.append(name)
        await self._fault()
        self.objects[name] = blob

    async def aclose(self) -> None:
        self.is_closed = True

    def location(self) -> str:
        return "fake, name: x, prefix: /"

    async def _fault(self) -> None:
        await asyncio.sleep(0)
        if self.always is not None:
            raise self.always
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            await fault()


def error(trouble: Trouble, text: str = "no", retry_after_s: float | None = None) -> StorageError:
    return StorageError(text, trouble, retry_after_s=retry_after_s)


async def for_ever() -> None:
    """An answer that never comes."""
    await asyncio.Event().wait()
