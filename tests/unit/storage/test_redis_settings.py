"""Redis: what addresses, credentials and databases become, which failure is which trouble, how slots are followed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis import exceptions
from redis.crc import key_slot

from sccache.config.load import load
from sccache.errors import ConfigError, Trouble
from sccache.storage.redis import Address, RedisBackend, _addresses, _failure
from sccache.storage.redis_cluster import Cluster, Node

SECRET = "hunter2"


def settings(**values: str) -> Any:
    env = {f"SCCACHE_REDIS_{name.upper()}" if name != "url" else "SCCACHE_REDIS": value for name, value in values.items()}
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", **env}, "/").remotes
    return remote.settings


def backend(**values: str) -> RedisBackend:
    return RedisBackend(settings(**values), {})


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("cache", Address("cache", 6379)),
        ("cache:6380", Address("cache", 6380)),
        ("tcp://cache:6380", Address("cache", 6380)),
        ("redis://cache", Address("cache", 6379)),
        ("redis://:6380", Address("127.0.0.1", 6380)),
        ("redis://[::1]:6380", Address("::1", 6380)),
        ("rediss://cache", Address("cache", 6379, is_tls=True)),
        ("redis://me:p%40ss@cache", Address("cache", 6379, username="me", password="p@ss")),
        ("unix:///run/redis.sock", Address("", 0, "/run/redis.sock")),
        ("redis+unix:///run/a%20b.sock", Address("", 0, "/run/a b.sock")),
    ],
)
def test_an_endpoint(endpoint: str, address: Address) -> None:
    """In all its forms."""
    addresses, is_cluster, _ = _addresses(settings(endpoint=endpoint))
    assert addresses == (address,)
    assert not is_cluster


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", Address("cache", 6379)),
        ("redis://cache/?db=3", Address("cache", 6379, db=3)),
        ("redis://cache/4", Address("cache", 6379, db=4)),
        ("redis://cache/?db=many", Address("cache", 6379)),
        ("redis://:secret@cache:1", Address("cache", 1, password="secret")),
        ("rediss://me:secret@cache#insecure", Address("cache", 6379, is_tls=True, username="me", password="secret")),
        ("unix:///run/redis.sock?db=2", Address("", 0, "/run/redis.sock", db=2)),
    ],
)
def test_the_deprecated_url(url: str, address: Address) -> None:
    """Has everything inside."""
    assert _addresses(settings(url=url))[0] == (address,)


def test_credentials_beside_the_endpoint() -> None:
    """Are used, and go before those inside it."""
    (address,), _, _ = _addresses(settings(endpoint="redis://a:b@cache", username="me", password=SECRET, db="5"))
    assert address == Address("cache", 6379, username="me", password=SECRET, db=5)


def test_a_cluster() -> None:
    """Each with the same credentials."""
    addresses, is_cluster, shown = _addresses(settings(cluster_endpoints="redis://a:1, b:2,", password=SECRET))
    assert addresses == (Address("a", 1, password=SECRET), Address("b", 2, password=SECRET))
    assert is_cluster
    assert shown == "redis://a:1,b:2"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"endpoint": "a", "url": "redis://a"}, "Only one of `endpoint`, `cluster_endpoints`, `url` must be set"),
        ({"endpoint": "a", "cluster_endpoints": "a"}, "Only one of `endpoint`, `cluster_endpoints`, `url` must be set"),
        (
            {"url": "redis://a", "db": "1"},
            (
                "`username`, `password` and `db` has no effect when `url` is set. "
                "Please use `endpoint` or `cluster_endpoints` for new API accessing"
            ),
        ),
        ({"url": "redis://a", "username": "me"}, "`username`, `password` and `db` has no effect when `url` is set."),
        ({"url": "redis://a", "password": SECRET}, "`username`, `password` and `db` has no effect when `url` is set."),
        ({"endpoint": f"http://me:{SECRET}@a"}, "the scheme has to be"),
        ({"endpoint": f"redis://me:{SECRET}@a:port"}, "the port is not a number"),
        ({"endpoint": f"redis://me:{SECRET}@a:70000"}, "the port is not a number"),
        ({"endpoint": f"redis://me:{SECRET}@[a"}, "it is not an address"),
        ({"endpoint": "unix://run/redis.sock"}, "unix:///path"),
        ({"endpoint": "unix://"}, "unix:///path"),
        ({"cluster_endpoints": " , "}, "names no server"),
        ({"cluster_endpoints": "unix:///run/a.sock"}, "a cluster cannot be reached through unix sockets"),
        ({"cluster_endpoints": "rediss://a,b"}, "either all addresses of a cluster use TLS"),
        ({"cluster_endpoints": "a,b", "db": "2"}, "a cluster has only database 0"),
    ],
)
def test_what_is_refused(values: dict[str, str], sentence: str) -> None:
    """In one sentence without secrets."""
    with pytest.raises(ConfigError) as caught:
        backend(**values)
    assert sentence in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "location"),
    [
        ({"endpoint": "redis://cache:6379"}, "redis, name: redis://cache:6379, prefix: /"),
        ({"endpoint": f"rediss://me:{SECRET}@cache", "key_prefix": "/a//b/"}, "redis, name: rediss://cache, prefix: /a/b/"),
        ({"endpoint": f"me:{SECRET}@cache"}, "redis, name: cache, prefix: /"),
        ({"url": f"redis://me:{SECRET}@cache/?db=3"}, "redis, name: cache:6379, prefix: /"),
        ({"cluster_endpoints": f"redis://:{SECRET}@a,redis://:{SECRET}@b"}, "redis, name: redis://a,redis://b, prefix: /"),
        ({"endpoint": "unix:///run/redis.sock", "password": SECRET}, "redis, name: unix:///run/redis.sock, prefix: /"),
        ({"endpoint": f"redis://cache/?password={SECRET}@x"}, "redis, name: redis://cache, prefix: /"),
    ],
)
def test_locations(values: dict[str, str], location: str) -> None:
    """As written, without credentials."""
    assert backend(**values).location() == location


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (exceptions.AuthenticationError("invalid username-password pair"), Trouble.DENIED),
        (exceptions.ResponseError("NOAUTH Authentication required."), Trouble.DENIED),
        (exceptions.NoPermissionError("NOPERM this user has no permissions to run the 'set' command"), Trouble.DENIED),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), Trouble.READ_ONLY),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), Trouble.ERROR),
        (exceptions.ConnectionError("max number of clients reached"), Trouble.ERROR),
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), Trouble.ERROR),
        (exceptions.ClusterDownError("CLUSTERDOWN Hash slot not served"), Trouble.ERROR),
        (exceptions.MovedError("12182 127.0.0.1:7002"), Trouble.WRONG_PLACE),
        (exceptions.ResponseError("DB index is out of range"), Trouble.WRONG_PLACE),
        (exceptions.ResponseError("This instance has cluster support disabled"), Trouble.WRONG_PLACE),
        (exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:6379."), Trouble.UNREACHABLE),
        (exceptions.TimeoutError(), Trouble.TIMED_OUT),
        (OSError(), Trouble.UNREACHABLE),
    ],
)
def test_troubles(error: Exception, trouble: Trouble) -> None:
    """Each failure of the library has its verdict."""
    assert _failure(error).trouble is trouble


# ── slots ────────────────────────────────────────────────────────────────────────────────────────────────────────────

A, B, C = ("a", 1), ("b", 1), ("c", 1)


class FakeNode:
    """Answers what it is told to; counts who asks."""

    def __init__(self, node: Node, behave: Callable[[Node, tuple[Any, ...]], Any]) -> None:
        self.node, self._behave = node, behave
        self.queued: list[tuple[Any, ...]] = []

    async def execute_command(self, *words: Any) -> Any:
        outcome = self._behave(self.node, words)
        if isinstance(outcome, Exception):
            raise outcome
        return await outcome if asyncio.iscoroutine(outcome) else outcome


def slots(node: Node) -> list[Any]:
    return [[0, 16383, [node[0].encode(), node[1], b"id"]]]


def ask(behave: Callable[[Node, tuple[Any, ...]], Any], times: int = 1, deadline_s: float = 5) -> list[Any]:
    """The outcomes of requests, one after the other, of a cluster whose nodes behave so."""

    async def run() -> list[Any]:
        cluster = Cluster([A, B], lambda node: FakeNode(node, behave))  # type: ignore[arg-type, return-value]
        outcomes: list[Any] = []
        for _ in range(times):
            try:
                async with asyncio.timeout(deadline_s):
                    outcomes.append(await cluster.execute_command("GET", "key"))
            except (exceptions.RedisError, TimeoutError) as e:
                outcomes.append(e)
        return outcomes

    return asyncio.run(run())


def test_a_key_that_moved() -> None:
    """Is followed, and the map is asked for again."""
    learned = []

    def behave(node: Node, words: tuple[Any, ...]) -> Any:
        if words[0] == "CLUSTER":
            learned.append(node)
            return slots(A) if len(learned) == 1 else slots(C)
        return exceptions.MovedError(f"{key_slot(b'key')} c:1") if node == A else node[0]

    assert ask(behave, 3) == ["c", "c", "c"]
    assert len(learned) == 2


def test_nodes_that_send_each_other_requests() -> None:
    """Are an error, not a circle."""

    def behave(node: Node, words: tuple[Any, ...]) -> Any:
        return slots(A) if words[0] == "CLUSTER" else exceptions.MovedError(f"1 {'b' if node == A else 'a'}:1")

    (outcome,) = ask(behave)
    assert isinstance(outcome, exceptions.ResponseError)


def test_a_node_that_is_replaced() -> None:
    """Its successor is asked in the same request."""
    is_gone = []

    def behave(node: Node, words: tuple[Any, ...]) -> Any:
        if node == A and is_gone:
            return exceptions.ConnectionError("refused")
        if words[0] == "CLUSTER":
            return slots(B if is_gone else A)
        is_gone.append(True)
        return node[0]

    assert ask(behave, 2) == ["a", "b"]


def test_a_silent_node() -> None:
    """Costs one deadline, not all: the next request asks another for the map."""

    def behave(node: Node, words: tuple[Any, ...]) -> Any:
        if node == A:
            return asyncio.sleep(60)
        return slots(B) if words[0] == "CLUSTER" else node[0]

    first, second = ask(behave, 2, deadline_s=0.05)
    assert isinstance(first, TimeoutError)
    assert second == "b"


def test_an_owner_that_becomes_silent() -> None:
    """Makes the map one to be asked for again."""
    is_gone = []

    def behave(node: Node, words: tuple[Any, ...]) -> Any:
        if words[0] == "CLUSTER":
            return slots(B if is_gone else A)
        if node == A:
            is_gone.append(True)
            return asyncio.sleep(60)
        return node[0]

    first, second = ask(behave, 2, deadline_s=0.05)
    assert isinstance(first, TimeoutError)
    assert second == "b"


def test_wrong_credentials_are_asked_with_once() -> None:
    """All nodes have the same."""
    asked = []

    def behave(node: Node, words: tuple[Any, ...]) -> Any:
        asked.append(node)
        return exceptions.AuthenticationError("no")

    (outcome,) = ask(behave)
    assert isinstance(outcome, exceptions.AuthenticationError)
    assert len(asked) == 1
