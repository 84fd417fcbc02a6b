"""One launcher's connection: frames in, frames out, descriptors with them; and the launcher as the pipeline's hands.

Owns: the socket of one connection and its deadlines.  Must not know: what is compiled.
"""

import asyncio
import mmap
import os
import socket

from sccache.errors import ProtocolError
from sccache.protocol import messages
from sccache.protocol.framing import FrameBuffer
from sccache.stages.hands import Command, LauncherGone, Ran

RECEIVE_BYTES = 1 << 18
MAX_DESCRIPTORS = 2
SEND_TIMEOUT_S = 30.0  # a launcher that takes nothing for so long is stopped or gone


class Connection:
    """A connected launcher or command line."""

    def __init__(self, sock: socket.socket, received: bytes = b"", *, is_sending: bool = False) -> None:
        self.sock = sock
        self.ran_compile = False
        """The user's compile has run: its result stands whatever happens now."""
        self.our_turn = True
        """The peer waits for us: it is told now and then that we are alive."""
        self._is_sending = is_sending
        """Part of a frame is out: nothing may come between."""
        self._buffer = FrameBuffer()
        self._descriptors: list[int] = []
        self._asking: list[asyncio.Future[None]] = []
        """Those who want to know of the peer's end."""
        if received:
            self._buffer.feed(received)

    async def receive(self) -> bytes:
        """The next frame's body; LauncherGone when the peer closed.  Waits as long as the peer's command runs."""
        while (body := self._buffer.take()) is None:
            await _readable(self.sock)
            self._fill()
        return body

    def _fill(self) -> None:
        try:
            data, ancillary, _, _ = self.sock.recvmsg(RECEIVE_BYTES, socket.CMSG_SPACE(4 * MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError as e:
            raise LauncherGone from e
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._descriptors += memoryview(payload[: len(payload) // 4 * 4]).cast("i").tolist()
        if not data:
            raise LauncherGone
        self._buffer.feed(data)

    async def send(self, frame: bytes) -> None:
        """Send a whole frame; LauncherGone when the peer is gone or takes nothing."""
        try:
            sent = self.sock.send(frame)
        except BlockingIOError:
            sent = 0
        except OSError as e:
            raise LauncherGone from e
        if sent == len(frame):
            return
        await self.send_rest(memoryview(frame)[sent:])

    async def send_rest(self, rest: memoryview) -> None:
        """Send what is left of a frame whose beginning is out."""
        self._is_sending = True
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await asyncio.get_running_loop().sock_sendall(self.sock, rest)
        except (OSError, TimeoutError) as e:
            raise LauncherGone from e
        finally:
            self._is_sending = False

    def keep_alive(self) -> None:
        """Tell a waiting peer that we are at work."""
        if self.our_turn and not self._is_sending:
            try:
                self.sock.send(messages.KEEP_ALIVE_FRAME)
            except OSError:
                return  # its reader notices; a full buffer means that it has enough to read

    async def run(self, command: Command) -> Ran:
        """Have the launcher run a command."""
        flags = messages.RUN_CAPTURE_STDOUT | messages.RUN_CAPTURE_STDERR
        flags |= messages.RUN_IS_COMPILE if command.is_compile else messages.RUN_NO_STDIN
        flags |= messages.RUN_ON_TERMINAL if command.on_terminal else 0
        flags |= messages.RUN_STREAM_STDERR if command.streamed else 0
        argv = [os.fsencode(arg) for arg in (command.name or command.executable, *command.args)]
        run = messages.Run(
            flags,
            os.fsencode(command.executable),
            argv,
            [os.fsencode(change) for change in command.environment],
            [os.fsencode(path) for path in command.scratch],
        )
        await self.send(messages.encode_run(run))
        self.our_turn = False
        body = await self.receive()
        self.our_turn = True
        ran = messages.parse_ran(body)
        if command.is_compile and ran.status != messages.STATUS_NOT_STARTED:
            self.ran_compile = True
        return self._with_descriptors(ran)

    async def gone(self) -> None:
        """Return once the peer has closed: while it waits for us, nothing else comes from it.  Any number may ask at a time."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        if not self._asking:  # a descriptor has one reader
            loop.add_reader(self.sock.fileno(), self._tell_end)
        self._asking.append(ended)
        try:
            await ended
        finally:
            self._asking.remove(ended)
            if not self._asking:
                loop.remove_reader(self.sock.fileno())

    def _tell_end(self) -> None:
        for ended in self._asking:
            if not ended.done():
                ended.set_result(None)

    def _with_descriptors(self, ran: messages.Ran) -> Ran:
        if len(self._descriptors) != ran.fd_count:
            raise ProtocolError(f"{len(self._descriptors)} descriptors came where {ran.fd_count} were announced")
        stdout: bytes | mmap.mmap = ran.stdout
        stderr: bytes | mmap.mmap = ran.stderr
        if ran.flags & messages.RAN_STDOUT_FD:
            stdout = _map(self._descriptors.pop(0))
        if ran.flags & messages.RAN_STDERR_FD:
            stderr = _map(self._descriptors.pop(0))
        return Ran(ran.status, ran.duration_ns, stdout, stderr)

    def close(self) -> None:
        """Close the socket and whatever came over it."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self.sock.close()


def _map(descriptor: int) -> bytes | mmap.mmap:
    """The content behind a descriptor, which is closed."""
    try:
        size = os.fstat(descriptor).st_size
        return mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else b""
    except (OSError, ValueError) as e:
        raise ProtocolError(f"a captured stream cannot be read: {e}") from e
    finally:
        os.close(descriptor)


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock.fileno(), wake)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())
