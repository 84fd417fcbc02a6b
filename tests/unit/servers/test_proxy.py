"""The proxy of faults commits the faults that it is told to, and no others."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.servers.place import Address
from tests.servers.proxy import FaultProxy

QUESTION = b"?" * 100
ANSWER = bytes(range(256)) * 4000


@pytest.fixture
def server() -> Iterator[Address]:
    """Gives ANSWER for each QUESTION, until the client ends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                while len(connection.recv(len(QUESTION), socket.MSG_WAITALL)) == len(QUESTION):
                    connection.sendall(ANSWER)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,)).start()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def proxy(server: Address) -> Iterator[FaultProxy]:
    with FaultProxy(server) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(proxy.address, timeout=30) as client:
        yield client


def ask(client: socket.socket) -> bytes:
    client.sendall(QUESTION)
    return receive(client)


def ask_twice(client: socket.socket) -> None:
    """What is sent first after a connection broke may not yet fail."""
    ask(client)
    ask(client)


def receive(client: socket.socket) -> bytes:
    answer = b""
    while len(answer) < len(ANSWER) and (piece := client.recv(len(ANSWER) - len(answer))):
        answer += piece
    return answer


def test_without_a_fault_it_is_not_noticed(client):
    """Question and answer, twice, byte for byte."""
    assert ask(client) == ANSWER
    assert ask(client) == ANSWER


def test_an_end_is_passed_on(client):
    """A client that has said all gets the server's end, too."""
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""


def test_a_cut_answer_has_just_so_many_bytes(proxy, client):
    """Counted from when the fault was set; later connections meet it as well, until it ends."""
    assert ask(client) == ANSWER
    proxy.cut_after(300_001)
    assert ask(client) == ANSWER[:300_001]
    assert proxy.struck == 1
    with socket.create_connection(proxy.address) as other:
        assert ask(other) == ANSWER[:300_001]
    proxy.pass_through()
    with socket.create_connection(proxy.address) as other:
        assert ask(other) == ANSWER


def test_one_bit_of_one_byte_is_changed(proxy, client):
    """The byte after the given count."""
    proxy.flip_after(500_000)
    answer = ask(client)
    assert [at for at, (got, sent) in enumerate(zip(answer, ANSWER, strict=True)) if got != sent] == [500_000]
    assert ask(client) == ANSWER


def test_who_is_refused_can_come_back(proxy, client):
    """Connections break, new ones are refused; afterwards the same address serves again."""
    proxy.refuse()
    with pytest.raises(ConnectionError):
        ask_twice(client)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxy.address)
    proxy.pass_through()
    with socket.create_connection(proxy.address) as other:
        assert ask(other) == ANSWER


def test_silence_ends_with_what_was_held_back(proxy, client):
    """Nothing comes while it is silent; all of it comes then."""
    proxy.be_silent()
    client.sendall(QUESTION)
    client.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(30)
    proxy.pass_through()
    assert receive(client) == ANSWER


def test_delay_does_not_limit_throughput(proxy, client):
    """A long answer is as late as a short one: one delay each way, not one for each piece."""
    proxy.delay(0.2)
    start_s = time.monotonic()
    assert ask(client) == ANSWER
    assert time.monotonic() - start_s >= 0.4


def test_dropped_connections_are_reset_and_new_ones_pass(proxy, client):
    """`drop_connections` is for the open ones."""
    assert ask(client) == ANSWER
    proxy.drop_connections()
    with pytest.raises(ConnectionError):
        ask_twice(client)
    with socket.create_connection(proxy.address) as other:
        assert ask(other) == ANSWER


def test_a_server_that_is_gone_looks_gone():
    """The client's connection breaks if there is nothing behind the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()
    with FaultProxy(nobody) as proxy, socket.create_connection(proxy.address) as client, pytest.raises(ConnectionError):
        ask(client)


def test_it_serves_tests_that_run_an_event_loop(proxy):
    """Its faults are switched from inside a coroutine, with connections under way."""

    async def run() -> None:
        reader, writer = await asyncio.open_connection(*proxy.address)
        proxy.be_silent()
        writer.write(QUESTION)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.readexactly(1)
        proxy.pass_through()
        assert await reader.readexactly(len(ANSWER)) == ANSWER
        writer.close()
        await writer.wait_closed()

    asyncio.run(run())
