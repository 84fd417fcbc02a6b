"""A TCP proxy that misbehaves on demand, to put between a client and a server under test.

with FaultProxy(place.address) as proxy:
    backend = …(place.environment(proxy.address))
    proxy.cut_after(1000)

It runs in a thread of its own with its own event loop, so that sync and async tests use it alike.  A fault lasts until the
next one is set or `pass_through` ends it, and it meets connections that are already open, too.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from enum import Enum
from types import TracebackType
from typing import Self

from tests.servers.place import Address

CHUNK_BYTES = 64 << 10
QUEUED_CHUNKS = 4096
"""As much as may be on its way in one direction of a delayed connection: 256 MiB."""
SWITCH_TIMEOUT_S = 30.0


class _Side(Enum):
    CLIENT = "from the client"
    SERVER = "from the server"


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and forwards to `target`."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")
        # A socket that never listens keeps the port ours while connections are refused.
        self._holder = _bound(("127.0.0.1", 0))
        self.address: Address = ("127.0.0.1", self._holder.getsockname()[1])
        self._listener: socket.socket | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self.delay_s = 0.0
        self.cut_at: int | None = None
        self.flip_at: int | None = None
        self.is_flowing = asyncio.Event()
        self.accepted = 0
        """Connections so far."""
        self.turns = 0
        """How often a client asked while nobody waited for an answer: round trips one after the other, those at a time counted once."""
        self.struck = 0
        """How often an answer was cut or changed, or a connection reset, since the fault was set."""

    def __enter__(self) -> Self:
        """Start; from here on it passes everything."""
        self._thread.start()
        self.pass_through()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the listener and all connections."""
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()

    # ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def pass_through(self) -> None:
        """No fault: what was held back is delivered, new connections are taken."""
        self._switch()

    def delay(self, seconds: float) -> None:
        """Each byte arrives that much later, in each direction; as many at a time as before."""
        self._switch(delay_s=seconds)

    def refuse(self) -> None:
        """Reset the connections and take none, as a machine does on which nothing listens."""
        self._switch(listens=False)
        self.drop_connections()

    def be_silent(self) -> None:
        """Take connections and what they send, and say nothing; what the server says meanwhile comes with `pass_through`."""
        self._switch(flows=False)

    def cut_after(self, count: int) -> None:
        """End each connection, orderly, once the client has got `count` more bytes."""
        self._switch(cut_at=count)

    def flip_after(self, count: int) -> None:
        """Change one bit of the byte that comes to the client after `count` more bytes of a connection."""
        self._switch(flip_at=count)

    def drop_connections(self) -> None:
        """Reset all open connections; later ones pass."""
        self._do(self._drop)

    def counts(self, connection: "_Connection", *, waits: bool) -> None:
        """The client of this connection asks, or is answered."""
        if waits and not any(other.waits for other in self._connections.values()):
            self.turns += 1
        connection.waits = waits

    # ── inside the loop ──────────────────────────────────────────────────────────────────────────────────────────────

    def _switch(
        self,
        *,
        delay_s: float = 0.0,
        cut_at: int | None = None,
        flip_at: int | None = None,
        flows: bool = True,
        listens: bool = True,
    ) -> None:
        async def switch() -> None:
            self.delay_s, self.cut_at, self.flip_at, self.struck = delay_s, cut_at, flip_at, 0
            for connection in self._connections.values():
                connection.given = 0
            if flows:
                self.is_flowing.set()
            else:
                self.is_flowing.clear()
            if listens:
                self._listen()
            else:
                self._stop_listening()

        self._do(switch)

    def _do(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(SWITCH_TIMEOUT_S)

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = _bound(self.address)
            self._listener.setblocking(False)
            self._listener.listen(512)
            self._loop.add_reader(self._listener, self._accept)

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()

    def _accept(self) -> None:
        # Not asyncio's server or `sock_accept`: they lose a connection that comes just when they are ended, and never close it.
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock, _ = self._listener.accept()
            self.accepted += 1
            connection = _Connection(self, sock)
            task = self._loop.create_task(connection.serve(self._target))
            self._connections[task] = connection
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).sock.close()  # not yet closed if the task was cancelled before its first step

    async def _drop(self) -> None:
        self.struck += len(self._connections)
        while tasks := list(self._connections):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # transports close in the loop's next round

    async def _close(self) -> None:
        self._stop_listening()
        await self._drop()


class _Connection:
    """One client's connection and the one to the server that goes with it."""

    def __init__(self, proxy: FaultProxy, sock: socket.socket) -> None:
        self._proxy = proxy
        self.sock = sock
        self.given = 0
        """Bytes that the client got since the fault was set."""
        self.waits = False
        """The client asked, and has not got anything yet."""

    async def serve(self, target: Address) -> None:
        """Until both sides have ended; if one broke, or this is cancelled, both are reset."""
        writers: list[asyncio.StreamWriter] = []
        try:
            client, to_client = await asyncio.open_connection(sock=self.sock, limit=CHUNK_BYTES)
            writers.append(to_client)
            server, to_server = await asyncio.open_connection(*target, limit=CHUNK_BYTES)
            writers.append(to_server)
            async with asyncio.TaskGroup() as group:
                for side, source, sink in ((_Side.CLIENT, client, to_server), (_Side.SERVER, server, to_client)):
                    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED_CHUNKS)
                    group.create_task(self._read(side, source, queue))
                    group.create_task(self._deliver(side, queue, sink))
            for writer in writers:
                writer.close()
                await writer.wait_closed()
        except (OSError, ExceptionGroup):
            pass  # the server is gone, or the fault wants it so: the client is told in the same way
        finally:
            for writer in writers:
                _reset(writer)

    async def _read(self, side: _Side, source: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            if side is _Side.CLIENT:
                self._proxy.counts(self, waits=True)
            await queue.put((self._due_s(), chunk))
        await queue.put((self._due_s(), b""))

    def _due_s(self) -> float:
        return asyncio.get_running_loop().time() + self._proxy.delay_s

    async def _deliver(self, side: _Side, queue: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
        while True:
            due_s, chunk = await queue.get()
            if (wait_s := due_s - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait_s)
            await self._proxy.is_flowing.wait()
            if not chunk:
                if sink.can_write_eof():
                    sink.write_eof()
                return
            if side is _Side.SERVER:
                chunk, is_last = self._spoiled(chunk)
                self._proxy.counts(self, waits=False)
                sink.write(chunk)
                if is_last:
                    sink.close()
                    await sink.wait_closed()  # what it shall still get has left
                    raise ConnectionResetError
            else:
                sink.write(chunk)
            await sink.drain()

    def _spoiled(self, chunk: bytes) -> tuple[bytes, bool]:
        """What the client gets of an answer's `chunk`, and whether that is the last."""
        start, self.given = self.given, self.given + len(chunk)
        proxy = self._proxy
        if proxy.flip_at is not None and start <= proxy.flip_at < self.given:
            proxy.struck += 1
            at = proxy.flip_at - start
            chunk = b"".join((chunk[:at], bytes([chunk[at] ^ 0x10]), chunk[at + 1 :]))
        if proxy.cut_at is not None and self.given > proxy.cut_at:
            proxy.struck += 1
            return chunk[: max(proxy.cut_at - start, 0)], True
        return chunk, False


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection at once, unless it has ended."""
    sock = writer.get_extra_info("socket")
    if sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def _bound(address: Address) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(address)
    return sock
