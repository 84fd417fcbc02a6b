"""Memcached over real servers: TCP, a unix socket, SASL, and servers that cannot do what is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from pathlib import Path

import pytest
from tests.contracts.backend_contract import BackendContract, new_name
from tests.servers.memcached import ITEM_MB, PASSWORD, memcached_sasl, memcached_tcp, memcached_unix
from tests.servers.place import Place
from tests.servers.proxy import FaultProxy

from sccache.config.load import load
from sccache.errors import StorageError, Trouble
from sccache.storage.memcached import MAX_CONNECTIONS, MemcachedBackend


class TestTcp(BackendContract):
    """Without credentials."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return memcached_tcp(folder)


class TestUnix(BackendContract):
    """A unix socket."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return memcached_unix(folder)


class TestSasl(BackendContract):
    """User name and password."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return memcached_sasl(folder)


def made(env: Mapping[str, str]) -> MemcachedBackend:
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", **env}, "/").remotes
    return MemcachedBackend(remote.settings, remote.ambient)


def run(env: Mapping[str, str], body: Callable[[MemcachedBackend], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), aclosing(made(env)) as backend:
            await body(backend)

    asyncio.run(main())


async def refused(request: Awaitable[object]) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await request
    return caught.value


def test_a_server_that_wants_credentials(tmp_path: Path) -> None:
    """Without any, requests are denied, small and large ones."""

    async def body(backend: MemcachedBackend) -> None:
        for request in (backend.read("a"), backend.write("a", b"x"), backend.write("a", bytes(10_000_000))):
            assert (await refused(request)).trouble is Trouble.DENIED

    with memcached_sasl(tmp_path) as place:
        run({"SCCACHE_MEMCACHED_ENDPOINT": place.environment()["SCCACHE_MEMCACHED_ENDPOINT"]}, body)


def test_a_server_without_sasl(tmp_path: Path) -> None:
    """Credentials that it cannot check are not passed over in silence, and the message says what to do."""

    async def body(backend: MemcachedBackend) -> None:
        error = await refused(backend.read("a"))
        assert error.trouble is Trouble.DENIED
        assert "SASL" in str(error)
        assert PASSWORD not in str(error)

    with memcached_tcp(tmp_path) as place:
        run({**place.environment(), "SCCACHE_MEMCACHED_USERNAME": "me", "SCCACHE_MEMCACHED_PASSWORD": PASSWORD}, body)


def test_a_user_without_password(tmp_path: Path) -> None:
    """Is no credential, as in sccache."""

    async def body(backend: MemcachedBackend) -> None:
        assert await backend.read("a") is None

    with memcached_tcp(tmp_path) as place:
        run({**place.environment(), "SCCACHE_MEMCACHED_USERNAME": "me"}, body)


@pytest.mark.parametrize("option", ["-B=ascii", "-Y"])
def test_a_server_of_the_text_protocol(tmp_path: Path, option: str) -> None:
    """It answers at once that it understands nothing, and the message says so: nobody waits for a deadline."""

    async def body(backend: MemcachedBackend) -> None:
        for request in (backend.read("a"), backend.write("a", b"x")):
            error = await refused(request)
            assert error.trouble is Trouble.ERROR
            assert "text protocol" in str(error)

    (tmp_path / "users").write_text("me:secret\n")
    options = ["-Y", str(tmp_path / "users")] if option == "-Y" else option.split("=")
    with memcached_tcp(tmp_path, *options) as place:
        run(place.environment(), body)


def test_an_object_larger_than_the_server_takes(tmp_path: Path) -> None:
    """Is told so, and what was there before is gone rather than out of date."""

    async def body(backend: MemcachedBackend) -> None:
        await backend.write("a", b"old")
        error = await refused(backend.write("a", bytes((ITEM_MB + 1) << 20)))
        assert error.trouble is Trouble.TOO_LARGE
        assert "-I" in str(error)
        assert await backend.read("a") is None

    with memcached_tcp(tmp_path) as place:
        run(place.environment(), body)


def test_a_server_without_memory(tmp_path: Path) -> None:
    """Where it must not evict, it says that nothing fits, and still gives what it has."""

    async def body(backend: MemcachedBackend) -> None:
        await backend.write("first", b"kept")
        outcomes = await asyncio.gather(*(backend.write(f"{n}", bytes(4_000_000)) for n in range(40)), return_exceptions=True)
        errors = [each for each in outcomes if isinstance(each, StorageError)]
        assert errors
        assert {error.trouble for error in errors} == {Trouble.ERROR}
        assert "memory" in str(errors[0])
        assert await backend.read("first") == b"kept"

    with memcached_tcp(tmp_path, "-M", "-m", "100", "-I", "10m") as place:
        run(place.environment(), body)


@pytest.mark.parametrize(("lifetime_s", "is_kept"), [("0", True), ("86400", True), (str(86400 * 31), True), (str(86400 * 20_000), True)])
def test_lifetimes(tmp_path: Path, lifetime_s: str, is_kept: bool) -> None:
    """None of these is over at once; more than 30 days would be, if it were sent as it is."""

    async def body(backend: MemcachedBackend) -> None:
        await backend.write("a", b"x")
        assert (await backend.read("a") is not None) is is_kept

    with memcached_tcp(tmp_path) as place:
        run({**place.environment(), "SCCACHE_MEMCACHED_EXPIRATION": lifetime_s}, body)


def test_an_object_expires(tmp_path: Path) -> None:
    """After its lifetime there is none."""

    async def body(backend: MemcachedBackend) -> None:
        await backend.write("a", b"x")
        while await backend.read("a") is not None:
            await asyncio.sleep(0.05)

    with memcached_tcp(tmp_path) as place:
        run({**place.environment(), "SCCACHE_MEMCACHED_EXPIRATION": "1"}, body)


def test_long_and_strange_names(tmp_path: Path) -> None:
    """A prefix of any length and script works, and different ones do not meet."""

    async def body(backend: MemcachedBackend) -> None:
        name = new_name()
        async with aclosing(made({**env, "SCCACHE_MEMCACHED_KEY_PREFIX": "ä b/" * 60 + "y"})) as other:
            await backend.write(name, b"one")
            assert await other.read(name) is None
            assert await backend.read(name) == b"one"

    with memcached_tcp(tmp_path) as place:
        env = place.environment()
        run({**env, "SCCACHE_MEMCACHED_KEY_PREFIX": "ä b/" * 60 + "x"}, body)


def test_connections_are_few_and_kept(tmp_path: Path) -> None:
    """However many ask at once, there is a bounded number of connections, and one after the other needs one."""

    async def body(backend: MemcachedBackend) -> None:
        for _ in range(50):
            await backend.read("a")
        assert proxy.accepted == 1
        await asyncio.gather(*(backend.read("a") for _ in range(200)))
        assert proxy.accepted <= MAX_CONNECTIONS

    with memcached_tcp(tmp_path) as place, FaultProxy(place.address) as proxy:
        run(place.environment(proxy.address), body)


def test_connections_that_ended_while_idle(tmp_path: Path) -> None:
    """Cost no error."""

    async def body(backend: MemcachedBackend) -> None:
        await backend.write("a", b"x")
        for _ in range(20):
            proxy.drop_connections()
            assert await backend.read("a") == b"x"

    with memcached_tcp(tmp_path) as place, FaultProxy(place.address) as proxy:
        run(place.environment(proxy.address), body)


def test_closing_ends_what_is_under_way(tmp_path: Path) -> None:
    """A request that waits for a silent server ends as unreachable when the backend is closed."""

    async def body(backend: MemcachedBackend) -> None:
        await backend.read("a")
        proxy.be_silent()
        request = asyncio.create_task(refused(backend.read("a")))
        await asyncio.sleep(0)  # it is on its way
        await backend.aclose()
        assert (await request).trouble is Trouble.UNREACHABLE

    with memcached_tcp(tmp_path) as place, FaultProxy(place.address) as proxy:
        run(place.environment(proxy.address), body)
