"""Redis in all its forms, by real servers."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import redis.asyncio  # noqa: F401 -- 150 ms that no deadline of a test shall pay
from redis.crc import key_slot
from tests.contracts.backend_contract import BackendContract, new_name, opened
from tests.servers.place import Place
from tests.servers.redis import (
    PASSWORD,
    RedisPlace,
    cli,
    redis_acl,
    redis_cluster,
    redis_loading,
    redis_open,
    redis_single,
    redis_tls,
    redis_unix,
)

from sccache.errors import StorageError, Trouble


class TestSingle(BackendContract):
    """One server with a password."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return redis_single(folder)


class TestOpen(BackendContract):
    """The deprecated address, without credentials."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return redis_open(folder)


class TestAcl(BackendContract):
    """A user who may little, and entries that expire."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return redis_acl(folder)


class Unproxied(BackendContract):
    """What no proxy can stand in front of; faults in between are tested with the others, by the same code."""

    is_proxied = False
    test_remote_of_a_silent_server = None
    test_remote_of_a_server_that_is_away = None
    test_a_server_that_nobody_finds = None
    test_a_silent_server = None


class TestUnixSocket(Unproxied):
    """No port at all."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return redis_unix(folder)


class TestCluster(Unproxied):
    """Three nodes; a proxy before one of them is passed by."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return redis_cluster(folder)


class TestTls(BackendContract):
    """An authority of the user's own, named by SSL_CERT_FILE in the daemon's environment."""

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        return redis_tls(folder)

    @pytest.fixture(autouse=True)
    def trust(self, server: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", server.environment()["SSL_CERT_FILE"])


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Place]:
    with redis_tls(tmp_path) as place:
        yield place


def test_an_untrusted_certificate(tls: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused, and said to be."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def test() -> None:
        async with opened(tls.environment()) as backend:
            with pytest.raises(StorageError) as caught:
                await backend.read(new_name())
            assert caught.value.trouble is Trouble.BAD_TLS

    asyncio.run(test())


def test_tls_to_a_server_that_speaks_none(tmp_path: Path) -> None:
    """Redis waits for the end of what it takes for a command: the caller's deadline ends that, and later requests are not held up."""

    async def test(place: Place) -> None:
        env = {name: value.replace("redis://", "rediss://") for name, value in place.environment().items()}
        async with opened(env) as backend:
            for _ in range(12):  # more than there are connections
                with pytest.raises((StorageError, TimeoutError)) as caught:
                    async with asyncio.timeout(0.2):
                        await backend.read(new_name())
                assert isinstance(caught.value, TimeoutError) or caught.value.trouble in (Trouble.BAD_TLS, Trouble.UNREACHABLE)

    with redis_single(tmp_path) as place:
        asyncio.run(test(place))


def test_a_server_that_is_loading(tmp_path: Path) -> None:
    """Is an error, not an unreachable one: it answers."""

    async def test(place: Place) -> None:
        async with opened(place.environment()) as backend:
            with pytest.raises(StorageError) as caught:
                await backend.read(new_name())
            assert caught.value.trouble is Trouble.ERROR
            assert "starting" in str(caught.value)

    with redis_loading(tmp_path) as place:
        asyncio.run(test(place))


def test_a_server_with_too_many_clients(tmp_path: Path) -> None:
    """Fails the request."""

    async def test(place: Place) -> None:
        reader, writer = await asyncio.open_connection(*place.address)
        writer.write(b"PING\r\n")
        await reader.readline()
        async with opened(place.environment()) as backend:
            with pytest.raises(StorageError) as caught:
                await backend.read(new_name())
            # What it says is lost where it has closed the connection before our first command.
            assert caught.value.trouble in (Trouble.ERROR, Trouble.UNREACHABLE)
        writer.close()
        await writer.wait_closed()

    with redis_open(tmp_path) as place:
        cli(place.address[1], "config", "set", "maxclients", "1")
        asyncio.run(test(place))


async def expect_wrong_place(env: Mapping[str, str], words: str) -> None:
    async with opened(env) as backend:
        names = [new_name() for _ in range(20)]  # a node has some of them
        outcomes = await asyncio.gather(*(backend.read(name) for name in names), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, StorageError)]
    assert failures
    assert {failure.trouble for failure in failures} == {Trouble.WRONG_PLACE}
    assert all(words in str(failure) for failure in failures)


def test_a_node_of_a_cluster_as_single_server(tmp_path: Path) -> None:
    """Is told, with what to set instead."""
    with redis_cluster(tmp_path) as place:
        env = {**place.environment(), "SCCACHE_REDIS_ENDPOINT": f"redis://127.0.0.1:{place.address[1]}"}
        del env["SCCACHE_REDIS_CLUSTER_ENDPOINTS"]
        asyncio.run(expect_wrong_place(env, "SCCACHE_REDIS_CLUSTER_ENDPOINTS"))


def test_a_single_server_as_cluster(tmp_path: Path) -> None:
    """Is told, too."""
    with redis_single(tmp_path) as place:
        env = {**place.environment(), "SCCACHE_REDIS_CLUSTER_ENDPOINTS": f"redis://127.0.0.1:{place.address[1]}"}
        del env["SCCACHE_REDIS_ENDPOINT"]
        asyncio.run(expect_wrong_place(env, "cluster support disabled"))


def test_entries_expire(tmp_path: Path) -> None:
    """SCCACHE_REDIS_EXPIRATION reaches the server; without it entries stay."""

    async def test(place: Place, expected: str) -> None:
        async with opened(place.environment()) as backend:
            await backend.write("a/b/c/abc", b"blob")
        ttl = cli(place.address[1], "ttl", "a/b/c/abc").decode().strip()
        assert ttl == expected or 0 < int(ttl) <= int(expected)

    with redis_single(tmp_path) as place:
        asyncio.run(test(place, "-1"))
        place._variables = {**place._variables, "SCCACHE_REDIS_TTL": "3600"}
        asyncio.run(test(place, "3600"))


def test_keys_are_those_of_sccache(tmp_path: Path) -> None:
    """Prefix without its slashes, then the object's name."""

    async def test(place: Place) -> None:
        async with opened({**place.environment(), "SCCACHE_REDIS_KEY_PREFIX": "/chain//of/"}) as backend:
            await backend.write("a/b/c/abc", b"blob")

    with redis_single(tmp_path) as place:
        asyncio.run(test(place))
        assert cli(place.address[1], "get", "chain/of/a/b/c/abc") == b"blob\n"


def test_a_missing_database(tmp_path: Path) -> None:
    """Is a wrong place."""

    async def test(place: Place) -> None:
        async with opened({**place.environment(), "SCCACHE_REDIS_DB": "99"}) as backend:
            with pytest.raises(StorageError) as caught:
                await backend.read(new_name())
            assert caught.value.trouble is Trouble.WRONG_PLACE

    with redis_single(tmp_path) as place:
        asyncio.run(test(place))


def test_a_cluster_without_one_of_its_nodes(tmp_path: Path) -> None:
    """What lies on the others can be had; what lay there is an error within the deadline, not a hang."""

    async def test() -> None:
        with redis_cluster(tmp_path) as place:
            async with opened(place.environment()) as backend:
                names = [new_name() for _ in range(60)]
                for name in names:
                    await backend.write(name, name.encode())
                place.servers[2].stop()
                outcomes = await asyncio.gather(*(within(backend.read(name)) for name in names))
            found = [outcome == name.encode() for name, outcome in zip(names, outcomes, strict=True)]
            assert all(ok or isinstance(outcome, StorageError | TimeoutError) for ok, outcome in zip(found, outcomes, strict=True))
            assert 20 <= sum(found) < 60

    asyncio.run(test())


async def within(request: object) -> object:
    try:
        async with asyncio.timeout(10):
            return await request  # type: ignore[misc]
    except (StorageError, TimeoutError) as e:
        return e


def test_a_slot_that_is_being_moved(tmp_path: Path) -> None:
    """Its objects are read and written where they are now, by a user who may no more than docs/backends/redis.md says."""
    name = new_name()
    key = f"team/{name}"
    slot = str(key_slot(key.encode()))

    async def test(place: RedisPlace, env: Mapping[str, str]) -> None:
        ids = {port: cli(port, "cluster", "myid").decode().strip() for port in place.ports}
        async with opened(env) as backend:
            await backend.write(name, b"first")
            (old,) = (port for port in place.ports if cli(port, "get", key) == b"first\n")
            new = next(port for port in place.ports if port != old)
            cli(new, "cluster", "setslot", slot, "importing", ids[old])
            cli(old, "cluster", "setslot", slot, "migrating", ids[new])
            cli(old, "migrate", "127.0.0.1", str(new), key, "0", "5000", "auth", PASSWORD)
            assert cli(old, "get", key).startswith(b"ASK")
            assert await backend.read(name) == b"first"
            await backend.write(name, b"second" * 100_000)
            assert await backend.read(name) == b"second" * 100_000
            for port in (new, old):
                cli(port, "cluster", "setslot", slot, "node", ids[new])
            assert cli(old, "get", key).startswith(b"MOVED")
            assert await backend.read(name) == b"second" * 100_000

    with redis_cluster(tmp_path) as place:
        for port in place.ports:
            cli(port, "acl", "setuser", "builder", "on", ">b-secret", "~team/*", "+get", "+set", "+cluster|slots", "+asking")
        user = {"SCCACHE_REDIS_USERNAME": "builder", "SCCACHE_REDIS_PASSWORD": "b-secret", "SCCACHE_REDIS_KEY_PREFIX": "team"}
        asyncio.run(test(place, {**place.environment(), **user}))
