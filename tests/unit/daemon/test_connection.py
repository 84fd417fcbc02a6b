"""connection.py: one launcher's frames and descriptors."""

import asyncio
import os
import socket

import pytest

from sccache.daemon.connection import Connection
from sccache.errors import ProtocolError
from sccache.protocol import messages
from sccache.protocol.framing import FrameBuffer
from sccache.stages.hands import Command, LauncherGone

BIG = bytes(range(256)) * 8192


def _pair() -> tuple[Connection, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    return Connection(ours), theirs


def _all_of(sock: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        found += sock.recv(size - len(found))
    return bytes(found)


def test_nothing_comes_between():
    """While a long frame is on its way, the peer is not told that we are alive: that would stand in its middle."""

    async def main() -> bytes:
        connection, theirs = _pair()
        sending = asyncio.create_task(connection.send(BIG))
        await asyncio.sleep(0)
        first = theirs.recv(1 << 16)
        connection.keep_alive()
        rest = await asyncio.to_thread(_all_of, theirs, len(BIG) - len(first))
        await sending
        connection.keep_alive()
        assert theirs.recv(100) == messages.KEEP_ALIVE_FRAME
        connection.close()
        theirs.close()
        return first + rest

    assert asyncio.run(main()) == BIG


def test_run_and_its_streams():
    """A command's streams come inline or as descriptors; a compile that ran stands from then on."""

    async def main() -> None:
        connection, theirs = _pair()
        descriptor = os.memfd_create("stderr")
        os.write(descriptor, b"a warning")
        ran = messages.Ran(0, messages.RAN_STDERR_FD, 7, b"out", b"")
        running = asyncio.create_task(connection.run(Command("/bin/cc", ("-c",), is_compile=True)))
        await asyncio.sleep(0)
        assert not connection.our_turn
        socket.send_fds(theirs, [messages.encode_ran(ran)], [descriptor])
        os.close(descriptor)
        done = await running
        assert (done.status, bytes(done.stdout), bytes(done.stderr)) == (0, b"out", b"a warning")
        assert connection.ran_compile
        connection.close()
        theirs.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (Command("/bin/cc", ("-E",)), messages.RUN_NO_STDIN),
        (Command("/bin/cc", ("-c",), is_compile=True), messages.RUN_IS_COMPILE),
        (Command("/bin/cc", ("-c",), is_compile=True, on_terminal=True), messages.RUN_IS_COMPILE | messages.RUN_ON_TERMINAL),
        (Command("/bin/rustc", (), is_compile=True, streamed=True), messages.RUN_IS_COMPILE | messages.RUN_STREAM_STDERR),
    ],
)
def test_how_a_command_runs(command, flags):
    """Each wish is a flag; both streams are captured always."""

    async def main() -> object:
        connection, theirs = _pair()
        running = asyncio.create_task(connection.run(command))
        await asyncio.sleep(0)
        buffer = FrameBuffer()
        buffer.feed(theirs.recv(1 << 16))
        theirs.sendall(messages.encode_ran(messages.Ran(0, 0, 0, b"", b"")))
        await running
        connection.close()
        theirs.close()
        body = buffer.take()
        assert body is not None
        return messages.parse_reply(body)

    run = asyncio.run(main())
    assert isinstance(run, messages.Run)
    assert run.flags == flags | messages.RUN_CAPTURE_STDOUT | messages.RUN_CAPTURE_STDERR


def test_more_descriptors_than_announced():
    """A peer that sends descriptors nobody asked for is not trusted further; none leaks."""

    async def main() -> None:
        connection, theirs = _pair()
        reader, writer = os.pipe()
        running = asyncio.create_task(connection.run(Command("/bin/cc", ())))
        await asyncio.sleep(0)
        socket.send_fds(theirs, [messages.encode_ran(messages.Ran(0, 7, 0, b"", b""))], [writer])
        os.close(writer)
        with pytest.raises(ProtocolError):
            await running
        connection.close()
        assert os.read(reader, 1) == b""
        os.close(reader)
        theirs.close()

    asyncio.run(main())


@pytest.mark.parametrize("after", [b"", b"\0\0"])
def test_peer_gone(after):
    """A peer that closes, between frames or inside one, is gone."""

    async def main() -> None:
        connection, theirs = _pair()
        theirs.sendall(after)
        theirs.close()
        with pytest.raises(LauncherGone):
            await connection.receive()
        connection.close()

    asyncio.run(main())
