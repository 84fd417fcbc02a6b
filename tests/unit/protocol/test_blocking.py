"""Connecting and talking over real sockets: every wait ends, nobody untrusted is talked to."""

import os
import socket
import tempfile

import pytest

from sccache.errors import DaemonError, ProtocolError
from sccache.protocol import blocking
from sccache.protocol.address import Address
from sccache.protocol.framing import frame


@pytest.fixture
def runtime_dir():
    with tempfile.TemporaryDirectory(prefix="scb-") as path:  # made 0700
        yield path


@pytest.fixture
def pair():
    """A connection and the raw other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield blocking.Connection(ours), theirs


def listen(address):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address.socket)
    listener.listen()
    return listener


def test_connect(runtime_dir):
    """A daemon of ours in our directory."""
    address = Address(runtime_dir, 5)
    with listen(address):
        connection = blocking.connect(address, 1.0)
        assert connection.secret == b""
        assert connection.passes_descriptors
        connection.close()


def test_nobody_there(runtime_dir):
    """No directory, no socket, or one that nobody listens on: a daemon may be started."""
    for address in (Address(runtime_dir, 5), Address(runtime_dir + "/none", 5), Address(runtime_dir, 5, runtime_dir + "/x")):
        with pytest.raises(blocking.NoDaemonError):
            blocking.connect(address, 1.0)
    address = Address(runtime_dir, 6)
    listen(address).close()
    with pytest.raises(blocking.NoDaemonError):
        blocking.connect(address, 1.0)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_directory_that_others_can_use(runtime_dir, mode):
    """It is not used, and nothing may be started in it."""
    address = Address(runtime_dir, 5)
    with listen(address):
        os.chmod(runtime_dir, mode)
        with pytest.raises(DaemonError) as caught:
            blocking.connect(address, 1.0)
        assert not isinstance(caught.value, blocking.NoDaemonError)


def test_a_link_is_no_private_directory(runtime_dir):
    """Whoever made the link may point it elsewhere later."""
    os.symlink(runtime_dir, runtime_dir + "/link")
    assert blocking.is_private_dir(runtime_dir)
    assert not blocking.is_private_dir(runtime_dir + "/link")
    assert not blocking.make_private_dir(runtime_dir + "/link")


def test_make_private_dir(runtime_dir):
    """Made once, found again, refused where it cannot be."""
    assert blocking.make_private_dir(runtime_dir + "/new")
    assert blocking.make_private_dir(runtime_dir + "/new")
    assert not blocking.make_private_dir(runtime_dir + "/no/where")


def test_frames_arrive_whole(pair):
    """However they were cut, and several at once."""
    connection, peer = pair
    peer.sendall(frame(b"one")[:3])
    assert connection.receive_nowait() is None
    peer.sendall(frame(b"one")[3:] + frame(b"two") + frame(b"3" * 100_000)[:50_000])
    assert [connection.receive(1.0), connection.receive_nowait()] == [b"one", b"two"]
    assert connection.receive_nowait() is None
    peer.sendall(frame(b"3" * 100_000)[50_000:])
    assert connection.receive(1.0) == b"3" * 100_000


def test_silence_ends(pair):
    """The deadline is kept."""
    connection, _peer = pair
    with pytest.raises(blocking.SilentDaemonError, match=r"said nothing for 0\.01 s"):
        connection.receive(0.01)


def test_hanging_up(pair):
    """The end of the stream is an error, also in the middle of a frame."""
    connection, peer = pair
    peer.sendall(b"\0\0\0\5ab")
    peer.close()
    with pytest.raises(DaemonError, match="closed the connection"):
        connection.receive(1.0)


def test_nonsense(pair):
    """A length that cannot be is refused at once."""
    connection, peer = pair
    peer.sendall(b"\xff\xff\xff\xff")
    with pytest.raises(ProtocolError):
        connection.receive(1.0)


def test_sending_to_one_who_does_not_read(pair):
    """The deadline holds for sending, too."""
    connection, _peer = pair
    with pytest.raises(DaemonError, match="cannot send"):
        connection.send(bytes(10_000_000), 0.01)


def test_descriptors(pair):
    """They come with the frame's first bytes."""
    connection, peer = pair
    connection.send(frame(b"x"), 1.0, [0, 1])
    data, fds, _, _ = socket.recv_fds(peer, 100, 4)
    assert data == frame(b"x")
    assert len(fds) == 2
    for fd in fds:
        os.close(fd)


def test_tcp_presents_the_secret(runtime_dir):
    """Where there are no unix sockets: the secret is read from the private directory."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = Address(runtime_dir, listener.getsockname()[1])
        with pytest.raises(blocking.NoDaemonError):
            blocking._connect_tcp(address, 1.0)
        with open(address.secret_path, "wb") as file:
            file.write(b"secret")
        connection = blocking._connect_tcp(address, 1.0)
        assert (connection.secret, connection.passes_descriptors) == (b"secret", False)
        connection.close()
