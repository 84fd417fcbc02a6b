"""What `Remote` promises over every backend and its real server; part of the backends' contract (backend_contract.py).

What it does with chosen failures and times is tested without servers, in tests/unit/storage.
"""

import asyncio
from contextlib import aclosing

import pytest
from tests.contracts.with_backend import PATIENCE_S, make_backend, with_loop
from tests.servers.place import Place
from tests.servers.proxy import FaultProxy

from sccache.config.schema import RemoteLimits
from sccache.errors import StorageError, Trouble
from sccache.storage.base import Access, Kind
from sccache.storage.remote import Remote, Surroundings

DEADLINE_S = 0.5
LONG_ENOUGH_S = 1000.0
"""All pauses of a breaker are over then."""


class _Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def surroundings(self) -> Surroundings:
        return Surroundings(clock=lambda: self.now_s)


def _key(name: str) -> str:
    return name.encode().hex().ljust(64, "0")


class RemoteContract:
    """Needs the fixtures `server` and `proxy` of its subclass."""

    @with_loop
    async def test_remote_keeps_and_gives(self, server: Place) -> None:
        """A storage with all that is around a backend."""
        async with aclosing(Remote(make_backend(server.environment()), RemoteLimits())) as remote:
            assert await remote.check() is Access.READ_WRITE
            assert await remote.get(_key("absent"), Kind.ENTRY) is None
            await remote.put(_key("kept"), Kind.ENTRY, b"entry")
            await remote.put(_key("kept"), Kind.MANIFEST, b"manifest")
            assert await remote.get(_key("kept"), Kind.ENTRY) == b"entry"
            assert await remote.get(_key("kept"), Kind.MANIFEST) == b"manifest"
            assert (remote.stats.hits, remote.stats.misses, remote.stats.writes) == (2, 1, 2)

    @with_loop
    async def test_remote_read_only(self, server: Place) -> None:
        """It gives, takes nothing, and says so."""
        async with aclosing(Remote(make_backend(server.environment()), RemoteLimits())) as writer:
            await writer.put(_key("given"), Kind.ENTRY, b"blob")
        async with aclosing(Remote(make_backend(server.environment()), RemoteLimits(), read_only=True)) as remote:
            assert await remote.check() is Access.READ_ONLY
            with pytest.raises(StorageError) as caught:
                await remote.put(_key("refused"), Kind.ENTRY, b"blob")
            assert caught.value.trouble is Trouble.READ_ONLY
            assert await remote.get(_key("refused"), Kind.ENTRY) is None
            assert await remote.get(_key("given"), Kind.ENTRY) == b"blob"

    @with_loop
    async def test_remote_of_a_silent_server(self, server: Place, proxy: FaultProxy) -> None:
        """Each get ends at its deadline, later ones at once; when the server answers again, so does the storage."""
        clock = _Clock()
        backend = make_backend(server.environment(proxy.address))
        async with aclosing(Remote(backend, RemoteLimits(timeout_s=DEADLINE_S), surroundings=clock.surroundings())) as remote:
            # A first connection may take longer than this test's deadline.
            async with asyncio.timeout(PATIENCE_S):
                await backend.write("warm", b"x")
                await backend.read("warm")
            await remote.put(_key("silent"), Kind.ENTRY, b"blob")
            proxy.be_silent()
            troubles = [await _trouble(remote) for _ in range(6)]
            assert set(troubles) == {Trouble.TIMED_OUT}
            assert remote.stats.skipped
            assert remote.notes()
            proxy.pass_through()
            await _recovered(remote, clock)
            assert await remote.get(_key("silent"), Kind.ENTRY) == b"blob"

    @with_loop
    async def test_remote_of_a_server_that_is_away(self, server: Place, proxy: FaultProxy) -> None:
        """The first request finds out, later ones do not ask; when it is back, so is the storage."""
        clock = _Clock()
        proxy.refuse()
        async with aclosing(
            Remote(make_backend(server.environment(proxy.address)), RemoteLimits(), surroundings=clock.surroundings())
        ) as remote:
            assert [await _trouble(remote) for _ in range(3)] == [Trouble.UNREACHABLE] * 3
            assert remote.stats.skipped == 2
            with pytest.raises(StorageError):
                await remote.put(_key("away"), Kind.ENTRY, b"blob")
            proxy.pass_through()
            await _recovered(remote, clock)
            await remote.put(_key("away"), Kind.ENTRY, b"blob")
            assert await remote.get(_key("away"), Kind.ENTRY) == b"blob"


async def _trouble(remote: Remote) -> Trouble:
    with pytest.raises(StorageError) as caught:
        await remote.get(_key("trouble"), Kind.ENTRY)
    return caught.value.trouble


async def _recovered(remote: Remote, clock: _Clock) -> None:
    """Let the pauses pass and ask, until the breaker has closed."""
    async with asyncio.timeout(PATIENCE_S):
        while remote.notes():
            clock.now_s += LONG_ENOUGH_S
            try:
                await remote.get(_key("recovered"), Kind.ENTRY)
            except StorageError:
                await asyncio.sleep(0.02)  # its probe is on the way
