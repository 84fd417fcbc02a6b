"""The daemon: accepts launchers and command lines, answers small hits at once, gives the rest a task each.

Owns: listening, peers' identity, turning messages into requests, idle exit, draining.
Must not know: compilers, storage formats.
"""

import asyncio
import gc
import hmac
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from sccache.config.memory import ConfigMemory
from sccache.daemon.claim import Claim
from sccache.daemon.connection import RECEIVE_BYTES, Connection
from sccache.daemon.requests import Requests
from sccache.daemon.workshop import Workshop
from sccache.errors import ProtocolError
from sccache.protocol import control, messages
from sccache.protocol.blocking import is_same_user
from sccache.protocol.framing import HEADER_SIZE
from sccache.protocol.version import VERSION_TEXT
from sccache.stages.hands import Answer, Exec, Finish, LauncherGone, Replay

log = logging.getLogger(__name__)

KEEP_ALIVE_EVERY_S = 3.0  # a launcher's patience is 15 s
DRAIN_TIMEOUT_S = 10.0
FIRST_MESSAGE_TIMEOUT_S = 30.0  # who connects has something to say
ACCEPT_BATCH = 64  # connections taken in one turn of the loop, so that answers get their turn too


class Server:
    """One daemon on one claimed address."""

    def __init__(self, memory: ConfigMemory, claim: Claim) -> None:
        self._claim = claim
        self._memory = memory
        self.workshop = Workshop(memory.base, claim.address)
        self._requests = Requests(memory)
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._receive = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._receive)
        self._namespace = _mount_namespace()
        self._stopping = asyncio.Event()
        self._flushed = asyncio.Event()
        self._farewells: set[asyncio.Task[None]] = set()
        """Conversations with those who asked for the end."""
        self._last_work_s = 0.0

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until told to stop, idle for too long, or replaced; then drain."""
        loop = asyncio.get_running_loop()
        self._last_work_s = loop.time()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        listeners = [listener for listener in (self._claim.unix, self._claim.tcp) if listener is not None]
        for listener in listeners:
            listener.setblocking(False)
            loop.add_reader(listener.fileno(), self._accept, listener)
        ready()
        try:
            async with self.workshop:
                await self._until_stopped()
                self._stop_listening()
                await self._wind_up()
        finally:
            self._stop_listening()

    async def _wind_up(self) -> None:
        """Let what is under way end, write out what waits; then those who asked for the end learn how it went."""
        beating = asyncio.get_running_loop().create_task(self._keep_all_alive())
        try:
            await self._drain()
            await self.workshop.flush()
            self._flushed.set()
            await self._settle(self._farewells)
        finally:
            beating.cancel()

    async def _keep_all_alive(self) -> None:
        while True:
            for connection in self._connections:
                connection.keep_alive()
            await asyncio.sleep(KEEP_ALIVE_EVERY_S)

    def _stop_listening(self) -> None:
        """Let another daemon take over, with our statistics; what is connected stays."""
        self.workshop.save_soon()
        for listener in (self._claim.unix, self._claim.tcp):
            if listener is not None and listener.fileno() >= 0:
                asyncio.get_running_loop().remove_reader(listener.fileno())
        self._claim.release()

    async def _until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_ALIVE_EVERY_S):
                    await self._stopping.wait()
            for connection in self._connections:
                connection.keep_alive()
            self.workshop.save_soon()
            self.workshop.tidy()
            limit_s = self._memory.base.idle_timeout_s
            busy = self._connections or self.workshop.is_busy()
            if busy:
                self._last_work_s = loop.time()
            elif limit_s and loop.time() - self._last_work_s >= limit_s:
                log.info("idle for %s s, exiting", limit_s)
                return

    async def _drain(self) -> None:
        """Let launchers that wait for an answer get it; those whose compiler runs finish on their own."""
        await self._settle(task for task in self._connections.values() if task not in self._farewells)

    async def _settle(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        waiting = list(tasks)
        if waiting:
            await asyncio.wait(waiting, timeout=DRAIN_TIMEOUT_S)
        for task in waiting:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as e:
                log.warning("cannot accept a connection: %s", e)
                return
            sock.setblocking(False)
            if listener is self._claim.unix and not is_same_user(sock):
                log.warning("a connection of another user was refused")
                sock.close()
                continue
            self._first_message(sock, trusted=listener is self._claim.unix)

    def _first_message(self, sock: socket.socket, *, trusted: bool) -> None:
        """Answer a request that has already come and is a small hit; everything else gets a task."""
        try:
            size = sock.recv_into(self._receive)
        except BlockingIOError:
            size = -1
        except OSError:
            size = 0
        if size == 0:
            sock.close()
            return
        self._last_work_s = asyncio.get_running_loop().time()
        received = bytes(self._view[: max(size, 0)])
        frame = self._answer_at_once(received) if trusted else None
        if frame is not None:
            self._reply(sock, frame)
            return
        connection = Connection(sock, received)
        self._keep(connection, self._attend(connection, trusted=trusted))

    def _reply(self, sock: socket.socket, frame: bytes) -> None:
        """Send an answer; what the socket does not take at once (thousands of warnings) follows as the peer reads."""
        try:
            sent = sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            sent = len(frame)  # nobody is there any more
        if sent == len(frame):
            sock.close()
            return
        connection = Connection(sock, is_sending=True)
        self._keep(connection, self._send_rest(connection, memoryview(frame)[sent:]))

    async def _send_rest(self, connection: Connection, rest: memoryview) -> None:
        try:
            with suppress(LauncherGone):
                await connection.send_rest(rest)
        finally:
            connection.close()

    def _keep(self, connection: Connection, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._connections.pop(connection, None))

    def _answer_at_once(self, received: bytes) -> bytes | None:
        """The frame that answers a whole request which is a small hit."""
        if len(received) <= HEADER_SIZE or received[HEADER_SIZE] != messages.COMPILE:
            return None
        if int.from_bytes(received[:HEADER_SIZE], "big") != len(received) - HEADER_SIZE:
            return None
        try:
            message = messages.parse_compile(received[HEADER_SIZE:])
            if isinstance(message, messages.OtherVersion) or not self._is_ours(message):
                return None
            config, identity = self._requests.identify(message)
            finish = self.workshop.hit_nowait(config, identity)
            return None if finish is None else messages.encode_finish(finish.exit_code, finish.stdout, finish.stderr)
        except Exception as e:  # noqa: BLE001 (the long way answers, or says what is wrong)
            log.debug("no answer at once: %r", e)
            return None

    def _is_ours(self, message: messages.CompileMessage) -> bool:
        """Same build, and the same view of the file system: paths mean the same to us."""
        return message.version == VERSION_TEXT and message.mount_namespace in (0, self._namespace)

    async def _attend(self, connection: Connection, *, trusted: bool) -> None:
        try:
            await self._converse(connection, trusted=trusted)
        except (LauncherGone, ProtocolError, TimeoutError) as e:
            log.debug("connection ended: %r", e)
        except Exception:
            log.exception("a request failed; its compiler runs without us")
            await self._give_up(connection)
        finally:
            connection.close()

    async def _give_up(self, connection: Connection) -> None:
        """Whatever broke here is not the user's problem."""
        with suppress(LauncherGone):
            await connection.send(messages.encode_replay() if connection.ran_compile else messages.encode_exec())

    async def _converse(self, connection: Connection, *, trusted: bool) -> None:
        async with asyncio.timeout(FIRST_MESSAGE_TIMEOUT_S):
            request = messages.parse_request(await connection.receive())
        match request:
            case messages.CompileMessage() | messages.Control() if not trusted and not hmac.compare_digest(
                request.secret, self._claim.secret
            ):
                log.warning("a TCP connection without the secret was refused")
            case messages.OtherVersion() if not trusted:  # anybody could send us home
                log.warning("a TCP connection of another version was refused")
            case messages.OtherVersion():
                await self._retire(connection)
            case messages.CompileMessage():
                await self._compile(connection, request)
            case messages.Control():
                await self._control(connection, request)
            case _:
                raise ProtocolError("a conversation begins with a request")

    async def _retire(self, connection: Connection) -> None:
        log.info("a peer of another version asks for its own daemon; this one drains")
        self._stop_listening()
        self._stopping.set()
        await connection.send(messages.RETIRE_FRAME)

    async def _compile(self, connection: Connection, message: messages.CompileMessage) -> None:
        if message.version != VERSION_TEXT:
            await self._retire(connection)
            return
        if not self._is_ours(message):
            await connection.send(messages.encode_exec())  # another mount namespace: our paths are not theirs
            return
        config, request = self._requests.request(message)
        await connection.send(_frame(await self.workshop.compile(config, request, connection)))

    async def _control(self, connection: Connection, message: messages.Control) -> None:
        request = control.decode_request(message.payload)
        if isinstance(request, control.Shutdown):
            await self._say_farewell()
        answer = await self.workshop.answer(request)
        await connection.send(messages.encode_control_reply(control.encode_answer(answer)))

    async def _say_farewell(self) -> None:
        """Begin the end, and wait until nothing is left to be lost."""
        task = asyncio.current_task()
        if task is not None:
            self._farewells.add(task)
        self._stop_listening()
        self._stopping.set()
        await self._flushed.wait()


def _frame(answer: Answer) -> bytes:
    match answer:
        case Finish():
            return messages.encode_finish(answer.exit_code, answer.stdout, answer.stderr)
        case Replay():
            return messages.encode_replay()
        case Exec():
            return messages.encode_exec(os.fsencode(answer.executable), [os.fsencode(word) for word in answer.argv])


def _mount_namespace() -> int:
    """The kernel's number of our mount namespace; 0 where there is none."""
    try:
        return os.stat("/proc/self/ns/mnt").st_ino
    except OSError:
        return 0


def run(memory: ConfigMemory, claim: Claim, ready: Callable[[], None]) -> None:
    """Be the daemon of a claimed address until it is time to stop."""

    async def main() -> None:
        server = Server(memory, claim)
        gc.freeze()  # modules and tables never become garbage: no need to look through them again and again
        await server.serve(ready)

    asyncio.run(main())
