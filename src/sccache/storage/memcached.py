"""Memcached, by its binary protocol.

Owns: the endpoint's forms, connections and their pool, SASL, what kind of trouble an answer is.
Must not know: packets (memcached_protocol.py), what is kept.  Makes no deadlines; one thing it sends twice: what a connection that had
been idle did not answer at all (the server was restarted meanwhile), over a new connection.

A connection has one request at a time; whatever goes wrong on it, also a cancelled request, ends it.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from sccache.errors import ConfigError, ProtocolError, StorageError, Trouble
from sccache.storage import memcached_protocol as protocol
from sccache.storage.memcached_protocol import Opcode, Reply, ReplyReader, Status

SOURCE = "cache.memcached.url (SCCACHE_MEMCACHED_ENDPOINT)"
MAX_CONNECTIONS = 24  # what is fetched ahead (ahead.MAX_REQUESTS) must leave some to compiles
IDLE_S = 60.0
"""Connections that were not used for longer are not trusted: a firewall may have forgotten them without a word."""
PIECE_BYTES = 256 << 10
"""Longer values are sent in pieces: what the transport cannot send at once it copies."""

TROUBLES = {
    Status.TOO_LARGE: (Trouble.TOO_LARGE, "the object is larger than the server's item size (its option -I)"),
    Status.AUTH_ERROR: (Trouble.DENIED, "the server wants a user name and password, or refuses these"),
    Status.OLD_AUTH_ERROR: (Trouble.DENIED, "the server wants a user name and password, or refuses these"),
    Status.OUT_OF_MEMORY: (Trouble.ERROR, "the server is out of memory"),
    Status.NOT_STORED: (Trouble.ERROR, "the server did not store the object"),
    Status.INVALID: (Trouble.ERROR, "the server calls the request invalid"),
    Status.UNKNOWN_COMMAND: (Trouble.ERROR, "the server does not know the command"),
    Status.NOT_SUPPORTED: (Trouble.ERROR, "the server does not support the command"),
    Status.INTERNAL_ERROR: (Trouble.ERROR, "the server failed"),
    Status.BUSY: (Trouble.ERROR, "the server is busy"),
    Status.TEMPORARY_FAILURE: (Trouble.ERROR, "the server failed for the moment"),
}
"""What a status means; the server's own words are not repeated."""
NO_SASL = "the server knows no SASL; start it with -S, or remove user name and password"


class _Endpoint(Struct, frozen=True):
    """A socket's path, or host and port."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class MemcachedBackend:
    """Objects in one memcached server."""

    type_name = "memcached"

    def __init__(self, settings: Mapping[str, Any], ambient: Mapping[str, str]) -> None:  # noqa: ARG002 -- as all backends
        """Of the settings `url`, `key_prefix`, `username`, `password` and `expiration`; ConfigError if the address is none."""
        self._endpoint = _endpoint(settings["url"])
        self._prefix = "/".join(part for part in settings["key_prefix"].split("/") if part)
        self._credentials = _credentials(settings["username"], settings["password"])
        self._lifetime_s: int = settings["expiration"]
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._is_closed = False

    async def read(self, name: str) -> bytes | None:
        """GET."""
        key = protocol.encode_key(self._prefix, name)
        reply = await self._ask(Opcode.GET, key, b"")
        if reply.status == Status.NOT_FOUND:
            return None
        if reply.status != Status.OK:
            raise self._failure(reply)
        return reply.value

    async def write(self, name: str, blob: bytes) -> None:
        """SET."""
        key = protocol.encode_key(self._prefix, name)
        reply = await self._ask(Opcode.SET, key, blob)
        if reply.status != Status.OK:
            raise self._failure(reply)

    async def aclose(self) -> None:
        """End all connections, also those in use; what they were used for fails."""
        self._is_closed = True
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()

    def location(self) -> str:
        """As sccache has it: the name is always the same."""
        return f"memcached, name: memcached, prefix: /{self._prefix}/" if self._prefix else "memcached, name: memcached, prefix: /"

    async def _ask(self, opcode: Opcode, key: bytes, blob: bytes) -> Reply:
        """Over an idle connection, or a new one; over a new one also if an idle one turns out to have ended."""
        async with self._slots:
            try:
                if (idle := self._take_idle()) is not None:
                    try:
                        return await self._exchange(idle, opcode, key, blob)
                    except ConnectionError:
                        if not idle.is_untouched or self._is_closed:
                            raise
                return await self._exchange(await self._connect(), opcode, key, blob)
            except ProtocolError as e:
                raise StorageError(f"memcached at {self._endpoint}: {e}") from e
            except OSError as e:
                trouble = Trouble.TIMED_OUT if isinstance(e, TimeoutError) else Trouble.UNREACHABLE
                raise StorageError(f"memcached at {self._endpoint}: {e.strerror or e or type(e).__name__}", trouble) from e

    def _take_idle(self) -> "_Connection | None":
        """The one used last; all others may be too old."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.abort()
        return None

    async def _exchange(self, connection: "_Connection", opcode: Opcode, key: bytes, blob: bytes) -> Reply:
        """One request; the connection is idle afterwards, or ended."""
        opaque = connection.next_opaque()
        if opcode is Opcode.GET:
            head = protocol.encode_get(key, opaque)
        else:
            head = protocol.encode_set(key, len(blob), protocol.expiry(self._lifetime_s, time.time()), opaque)
        self._busy.add(connection)
        is_sound = False
        try:
            if len(blob) > PIECE_BYTES and not connection.has_answered:
                # A server that refuses closes at once, and while much is being sent its reason would be lost.
                mark = connection.next_opaque()
                reply = await connection.ask(Opcode.NOOP, mark, protocol.encode_noop(mark), b"")
                if reply.status != Status.OK:
                    return reply
            reply = await connection.ask(opcode, opaque, head, blob)
            is_sound = reply.status in {Status.OK, Status.NOT_FOUND}
        finally:
            self._busy.discard(connection)
            if not is_sound:
                connection.abort()
        if is_sound and not self._is_closed:
            self._idle.append(connection)
        return reply

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        if self._endpoint.path:
            _, connection = await loop.create_unix_connection(_Connection, self._endpoint.path)
        else:
            _, connection = await loop.create_connection(_Connection, self._endpoint.host, self._endpoint.port)
        if self._credentials is not None:
            await self._authenticate(connection, *self._credentials)
        return connection

    async def _authenticate(self, connection: "_Connection", username: bytes, password: bytes) -> None:
        opaque = connection.next_opaque()
        status = None
        try:
            reply = await connection.ask(Opcode.SASL_AUTH, opaque, protocol.encode_plain(username, password, opaque), b"")
            status = reply.status
        finally:
            if status != Status.OK:
                connection.abort()
        if status == Status.UNKNOWN_COMMAND:
            raise StorageError(f"memcached at {self._endpoint}: {NO_SASL}", Trouble.DENIED)
        if status == Status.AUTH_CONTINUE:
            raise StorageError(f"memcached at {self._endpoint}: the server does not take SASL PLAIN", Trouble.DENIED)
        if status != Status.OK:
            raise self._failure(reply)

    def _failure(self, reply: Reply) -> StorageError:
        trouble, words = Trouble.ERROR, f"status 0x{reply.status:04x}"
        if reply.status in TROUBLES:
            trouble, words = TROUBLES[Status(reply.status)]
        return StorageError(f"memcached at {self._endpoint}: {words}", trouble)


class _Connection(asyncio.BufferedProtocol):
    """One connection (asyncio switches TCP_NODELAY on).  `ask` raises ConnectionError or ProtocolError, and then it has to be ended."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reader = ReplyReader()
        self._request: tuple[Opcode, int] | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._count = 0
        self.has_answered = False
        """A request was answered, so the server speaks our protocol."""
        self._idle_since_s = 0.0

    @property
    def is_usable(self) -> bool:
        """Open, and not idle for long."""
        return self._transport is not None and not self._transport.is_closing() and time.monotonic() - self._idle_since_s < IDLE_S

    @property
    def is_untouched(self) -> bool:
        """The last request got not one byte of an answer."""
        return self._reader.is_empty

    def next_opaque(self) -> int:
        """A mark that differs from the last ones."""
        self._count += 1
        return protocol.make_opaque(self._count)

    async def ask(self, opcode: Opcode, opaque: int, head: bytes, blob: bytes) -> Reply:
        """Send a request and wait for its reply."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._reply = reply
        self._request = (opcode, opaque)
        try:
            try:
                await self._send(head, blob)
            except ConnectionError:
                if not reply.done():
                    raise  # else the server answered before it closed, and says why
            return await reply
        finally:
            reply.cancel()
            if reply.done() and not reply.cancelled():
                reply.exception()  # seen, whether or not we came to wait for it
            self._request = None
            self._idle_since_s = time.monotonic()

    async def _send(self, head: bytes, blob: bytes) -> None:
        """At once if it is small; a large value in pieces, so that no second copy of it comes about."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection has ended")
        if len(blob) <= PIECE_BYTES:
            transport.write(head + blob)
            return
        transport.write(head)
        view = memoryview(blob)
        for start in range(0, len(blob), PIECE_BYTES):
            transport.write(view[start : start + PIECE_BYTES])
            await self._writable.wait()
            if transport.is_closing():
                raise ConnectionResetError("the connection has ended")

    def abort(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()

    # ── called by the event loop ─────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 -- create_connection makes no other
        self._transport = transport
        transport.set_write_buffer_limits(PIECE_BYTES)
        self._idle_since_s = time.monotonic()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- asyncio's signature
        """Where received bytes go."""
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came; if nobody waits for them, the connection is worth nothing any more."""
        if self._request is None or self._reply is None or self._reply.done():
            self.abort()
            return
        try:
            reply = self._reader.advance(nbytes, *self._request)
        except ProtocolError as e:
            self._reply.set_exception(e)
            self.abort()
            return
        if reply is not None:
            self.has_answered = True
            self._reply.set_result(reply)

    def eof_received(self) -> bool:
        """The server ends the connection; so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        if self._reply is not None and not self._reply.done():
            error = exc if isinstance(exc, OSError) else ConnectionResetError("the connection was closed before the answer was complete")
            self._reply.set_exception(error)
        self._writable.set()

    def pause_writing(self) -> None:
        """Enough is waiting to be sent."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Send more."""
        self._writable.set()


def _endpoint(text: str) -> _Endpoint:
    """`unix:///path`, `tcp://host:port` or `host:port`."""
    text = text.strip()
    scheme, has_scheme, rest = text.partition("://")
    if has_scheme and scheme.lower() == "unix":
        if rest.startswith("/"):
            return _Endpoint("", 0, rest)
        raise ConfigError(f"{SOURCE} must name an absolute path, such as unix:///run/memcached.sock")
    # The value is not repeated: somebody may have put a password into it.
    if has_scheme and scheme.lower() != "tcp":
        raise ConfigError(f"{SOURCE} must begin with tcp:// or unix://, or be just host:port")
    try:
        parts = urlsplit(f"//{rest if has_scheme else text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(f"{SOURCE} is not an address such as tcp://127.0.0.1:11211")
    if not port:
        raise ConfigError(f"{SOURCE} must have a port, such as tcp://127.0.0.1:11211")
    return _Endpoint(host, port)


def _credentials(username: str | None, password: str | None) -> tuple[bytes, bytes] | None:
    """For SASL; only both together make any, as sccache has it."""
    if not username or not password:
        return None
    if "\0" in username + password:
        raise ConfigError("cache.memcached.username and cache.memcached.password must not have NUL characters")
    return username.encode(errors="surrogateescape"), password.encode(errors="surrogateescape")
