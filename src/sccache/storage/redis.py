"""Redis: one server, or a cluster, through the `redis` library.

Owns: addresses, which error is which trouble, names of keys.  Must not know: what is kept.

Requests: GET and SET (with EX where entries expire), after AUTH and SELECT.  A key is the prefix without its leading slash and
the object's name.  The library's own retries are off but for one new connection: a pooled one may have been closed by the server.
"""

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from msgspec import Struct

from sccache.errors import ConfigError, StorageError, Trouble

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from sccache.storage.redis_cluster import Cluster, Node

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 6379
CONNECTIONS = 24
"""To one server, as many as are needed at a time: what is fetched ahead (ahead.MAX_REQUESTS) must leave some to compiles."""
TCP_SCHEMES, TLS_SCHEMES, UNIX_SCHEMES = ("", "tcp", "redis"), ("rediss",), ("unix", "redis+unix")
SOURCES = {
    "endpoint": "cache.redis.endpoint (SCCACHE_REDIS_ENDPOINT)",
    "cluster_endpoints": "cache.redis.cluster_endpoints (SCCACHE_REDIS_CLUSTER_ENDPOINTS)",
    "url": "cache.redis.url (SCCACHE_REDIS)",
}
ONE_OF = "Only one of `endpoint`, `cluster_endpoints`, `url` must be set"
NOT_WITH_URL = (
    "`username`, `password` and `db` has no effect when `url` is set. Please use `endpoint` or `cluster_endpoints` for new API accessing"
)
TROUBLES = {
    "NOAUTH": Trouble.DENIED,
    "WRONGPASS": Trouble.DENIED,
    "NOPERM": Trouble.DENIED,
    "READONLY": Trouble.READ_ONLY,
    "NOREPLICAS": Trouble.READ_ONLY,
}
"""First words of error replies (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors); others are errors."""


WRONG_PLACES = ("DB index is out of range", "SELECT is not allowed", "cluster support disabled")
MAX_CLIENTS = "max number of clients reached"
NODE_OF_A_CLUSTER = "the server is a node of a cluster, which `cluster_endpoints` (SCCACHE_REDIS_CLUSTER_ENDPOINTS) is for"


class Address(Struct, frozen=True):
    """Where one server is, and as whom to talk to it."""

    host: str
    port: int
    path: str = ""
    """A unix socket instead."""
    is_tls: bool = False
    username: str | None = None
    password: str | None = None
    db: int = 0

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class RedisBackend:
    """Objects as values of a Redis."""

    type_name = "redis"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:  # noqa: ARG002 -- as all backends
        """Of the settings all of `cache.redis`; ConfigError if they name no server, several kinds of them, or a bad address."""
        self._addresses, self._is_cluster, shown = _addresses(settings)
        self._ttl_s: int = settings["ttl"]
        prefix = "/".join(part for part in settings["key_prefix"].split("/") if part)
        self._prefix = f"{prefix}/" if prefix else ""
        self._location = f"redis, name: {shown}, prefix: /{self._prefix}"
        self._client: Redis | Cluster | None = None
        self._opening = asyncio.Lock()

    def location(self) -> str:
        """Without credentials."""
        return self._location

    async def read(self, name: str) -> bytes | None:
        """GET."""
        value: bytes | None = await self._ask("GET", self._prefix + name)
        return value

    async def write(self, name: str, blob: bytes) -> None:
        """SET, with EX where entries expire."""
        expiry = ("EX", self._ttl_s) if self._ttl_s else ()
        await self._ask("SET", self._prefix + name, blob, *expiry)

    async def aclose(self) -> None:
        """Close connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(self, *words: str | bytes | int) -> Any:
        client = self._client or await self._open()
        from redis import exceptions

        try:
            return await client.execute_command(*words)
        except (exceptions.RedisError, OSError, asyncio.IncompleteReadError) as e:
            raise _failure(e) from None

    async def _open(self) -> "Redis | Cluster":
        async with self._opening:
            if self._client is None:
                for module in ("redis_connections", "redis_cluster"):
                    await asyncio.to_thread(import_module, f"sccache.storage.{module}")
                self._client = self._connect_cluster() if self._is_cluster else self._connect()
            return self._client

    def _connect(self, node: "Node | None" = None) -> "Redis":
        """A client of the first address, or of another server that is to be talked to in the same way."""
        from redis.asyncio import Redis
        from redis.asyncio.connection import BlockingConnectionPool

        from sccache.storage.redis_connections import TcpConnection, TlsConnection, UnixConnection

        address = self._addresses[0]
        options: dict[str, Any] = {"username": address.username, "password": address.password, "db": address.db, **_common()}
        if address.path:
            options |= {"connection_class": UnixConnection, "path": address.path}
        else:
            host, port = node or (address.host, address.port)
            options |= {"host": host, "port": port, "connection_class": TlsConnection if address.is_tls else TcpConnection}
        return Redis.from_pool(BlockingConnectionPool(max_connections=CONNECTIONS, timeout=None, **options))

    def _connect_cluster(self) -> "Cluster":
        from sccache.storage.redis_cluster import Cluster

        return Cluster(((address.host, address.port) for address in self._addresses), self._connect)


def _common() -> dict[str, Any]:
    """Deadlines are the caller's; one more try is enough to replace a connection that the server closed."""
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return {
        "socket_timeout": None,
        "socket_connect_timeout": None,
        "protocol": 2,
        "driver_info": None,  # nothing is said about ourselves: a round trip, and not every user may
        "retry": Retry(NoBackoff(), 1),
    }


def _failure(error: BaseException) -> StorageError:
    """What an error of the library means, by the most telling of its causes."""
    from redis import exceptions

    causes = (error, *_causes(error))
    if any("CERTIFICATE_VERIFY_FAILED" in str(cause) or "[SSL" in str(cause) for cause in causes):
        return StorageError("the server's certificate is not trusted, or it speaks no TLS", Trouble.BAD_TLS)
    for kinds, sentence, trouble in (
        ((exceptions.AuthenticationError, exceptions.NoPermissionError), "redis refuses the credentials", Trouble.DENIED),
        (exceptions.ReadOnlyError, "redis takes no writes", Trouble.READ_ONLY),
        (exceptions.BusyLoadingError, "redis is still starting", Trouble.ERROR),
        (exceptions.MovedError, NODE_OF_A_CLUSTER, Trouble.WRONG_PLACE),
        (exceptions.TimeoutError, "redis does not answer in time", Trouble.TIMED_OUT),
        (exceptions.ResponseError, "redis says", None),
    ):
        for cause in causes:
            if isinstance(cause, kinds):
                return StorageError(f"{sentence}: {_line(cause)}", trouble or _trouble(_line(cause)))
    if any(MAX_CLIENTS in str(cause) for cause in causes):
        return StorageError(f"redis says: {_line(error)}", Trouble.ERROR)
    return StorageError(f"no connection to redis: {_line(error)}", Trouble.UNREACHABLE)


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _trouble(text: str) -> Trouble:
    """By the first word of an error reply, or by what is said of databases and clusters."""
    if any(phrase in text for phrase in WRONG_PLACES):
        return Trouble.WRONG_PLACE
    return TROUBLES.get(text.split(" ", 1)[0], Trouble.ERROR)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(found) < 10:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _addresses(settings: Mapping[str, Any]) -> tuple[tuple[Address, ...], bool, str]:
    """The servers, whether they are a cluster, and how they are shown."""
    named = [name for name in SOURCES if settings[name]]
    if len(named) != 1:
        raise ConfigError(f"{ONE_OF}.")
    (name,) = named
    if name == "url":
        if settings["username"] or settings["password"] or settings["db"]:
            raise ConfigError(f"{NOT_WITH_URL}.")
        address = _from_url(settings["url"])
        return (address,), False, str(address)
    words = settings[name].split(",") if name == "cluster_endpoints" else [settings[name]]
    found = tuple(_from_endpoint(word.strip(), name, settings) for word in words if word.strip())
    if not found:
        raise ConfigError(f"{SOURCES[name]} names no server.")
    if name == "cluster_endpoints" and any(address.path for address in found):
        raise ConfigError(f"{SOURCES[name]}: a cluster cannot be reached through unix sockets.")
    if name == "cluster_endpoints" and len({address.is_tls for address in found}) > 1:
        raise ConfigError(f"{SOURCES[name]}: either all addresses of a cluster use TLS (rediss://), or none.")
    if name == "cluster_endpoints" and settings["db"]:
        raise ConfigError(f"cache.redis.db (SCCACHE_REDIS_DB) is {settings['db']}, but a cluster has only database 0.")
    return found, name == "cluster_endpoints", ",".join(_shown(word.strip()) for word in words if word.strip())


def _from_endpoint(text: str, name: str, settings: Mapping[str, Any]) -> Address:
    return _address(text, name, settings["username"], settings["password"], settings["db"])


def _from_url(text: str) -> Address:
    """The deprecated form, with credentials and `?db=N` (or `/N`) inside."""
    url = _split(text, "url")
    number = parse_qs(url.query).get("db", [url.path.strip("/") if url.scheme not in UNIX_SCHEMES else "0"])[0]
    db = int(number) if number.isascii() and number.isdigit() else 0
    return _address(text, "url", unquote(url.username or "") or None, unquote(url.password or "") or None, db)


def _address(text: str, name: str, username: str | None, password: str | None, db: int) -> Address:
    url = _split(text, name)
    username = username or unquote(url.username or "") or None
    password = password or unquote(url.password or "") or None
    if url.scheme in UNIX_SCHEMES:
        path = unquote(url.path)
        if url.hostname or not path.startswith("/"):
            raise ConfigError(f"{SOURCES[name]} value is invalid: a unix socket is written as unix:///path.")
        return Address("", 0, path, username=username, password=password, db=db)
    if url.scheme not in (*TCP_SCHEMES, *TLS_SCHEMES):
        raise ConfigError(f"{SOURCES[name]} value is invalid: the scheme has to be redis, rediss, tcp, unix or redis+unix.")
    try:
        host, port = url.hostname or DEFAULT_HOST, url.port or DEFAULT_PORT
    except ValueError:
        raise ConfigError(f"{SOURCES[name]} value is invalid: the port is not a number from 1 to 65535.") from None
    return Address(host, port, "", url.scheme in TLS_SCHEMES, username, password, db)


def _split(text: str, name: str) -> SplitResult:
    try:
        return urlsplit(text if "://" in text else f"//{text}")
    except ValueError:
        raise ConfigError(f"{SOURCES[name]} value is invalid: it is not an address.") from None


def _shown(text: str) -> str:
    """An address as the statistics have it: as it was written, without credentials and options."""
    url = _split(text, "endpoint")
    scheme = f"{url.scheme}://" if "://" in text else ""
    return scheme + (url.path if url.scheme in UNIX_SCHEMES else url.netloc.rpartition("@")[2])
