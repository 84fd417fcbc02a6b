"""claim.py: one daemon per address."""

import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sccache.daemon.claim import AddressInUseError, alive_path, claim
from sccache.errors import DaemonError
from sccache.protocol.address import Address
from sccache.protocol.blocking import NoDaemonError, connect


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def address(tmp_path: Path) -> Address:
    return Address(str(tmp_path / "run"), free_port())


@pytest.fixture
def foreign(address: Address) -> Iterator[socket.socket]:
    """Another program has the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", address.port))
        listener.listen()
        yield listener


def test_reachable_and_private(address: Address):
    """Who holds the claim can be reached; nobody else can read its socket or secret."""
    held = claim(address, port_must_be_free=True)
    connect(address, 1.0).close()
    assert held.tcp is not None
    assert Path(address.secret_path).read_bytes() == held.secret
    assert len(held.secret) == 64
    for path in (address.socket, address.secret_path, alive_path(address)):
        assert not stat.S_IMODE(os.lstat(path).st_mode) & 0o077, path
    held.release()


def test_release(address: Address):
    """After release nobody finds us, and another may claim."""
    held = claim(address, port_must_be_free=True)
    held.release()
    held.release()
    assert os.listdir(address.runtime_dir) == []
    with pytest.raises(NoDaemonError):
        connect(address, 1.0)
    claim(address, port_must_be_free=True).release()


def test_second_claim(address: Address):
    """There is no second claim, and trying harms the first."""
    held = claim(address, port_must_be_free=False)
    with pytest.raises(AddressInUseError, match=r"^Address in use$"):
        claim(address, port_must_be_free=False)
    connect(address, 1.0).close()
    held.release()


def test_dead_daemons_socket(address: Address):
    """What a killed daemon left behind is replaced."""
    os.mkdir(address.runtime_dir, 0o700)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(address.socket)
    dead.close()
    held = claim(address, port_must_be_free=True)
    connect(address, 1.0).close()
    held.release()


def test_foreign_port_for_user(address: Address, foreign: socket.socket):
    """A user who starts a daemon is told that the port is taken; nothing is left behind."""
    with pytest.raises(AddressInUseError):
        claim(address, port_must_be_free=True)
    claim(address, port_must_be_free=False).release()


def test_foreign_port_for_compile(address: Address, foreign: socket.socket):
    """For a compile the unix socket is enough."""
    held = claim(address, port_must_be_free=False)
    assert held.tcp is None
    assert not os.path.exists(address.secret_path)
    connect(address, 1.0).close()
    held.release()


def test_runtime_directory_of_others(address: Address):
    """A runtime directory that others can use is not used."""
    os.mkdir(address.runtime_dir)
    os.chmod(address.runtime_dir, 0o755)
    with pytest.raises(DaemonError, match="is not a private directory of this user"):
        claim(address, port_must_be_free=False)


def test_named_socket(tmp_path: Path):
    """A socket that the user names; then there is no TCP."""
    address = Address(str(tmp_path / "run"), 4226, str(tmp_path / "s"))
    held = claim(address, port_must_be_free=True)
    assert held.tcp is None
    connect(address, 1.0).close()
    held.release()
    assert not os.path.exists(address.socket)


def test_named_socket_of_others(tmp_path: Path):
    """A socket at which another program listens is left alone."""
    address = Address(str(tmp_path / "run"), 4226, str(tmp_path / "s"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address.socket)
        listener.listen()
        with pytest.raises(AddressInUseError):
            claim(address, port_must_be_free=True)
        assert os.path.exists(address.socket)


def test_no_socket_but_a_file(tmp_path: Path):
    """A file of the user's at that path is not removed."""
    path = tmp_path / "precious"
    path.write_text("x")
    with pytest.raises(DaemonError):
        claim(Address(str(tmp_path / "run"), 4226, str(path)), port_must_be_free=True)
    assert path.read_text() == "x"


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="abstract sockets are Linux's")
def test_abstract_socket(tmp_path: Path):
    """An abstract socket leaves no file."""
    address = Address(str(tmp_path / "run"), 4226, f"\0sccache-test-{os.getpid()}")
    held = claim(address, port_must_be_free=True)
    connect(address, 1.0).close()
    held.release()
    with pytest.raises(NoDaemonError):
        connect(address, 1.0)


def test_replaced_socket_stays(tmp_path: Path):
    """A socket that somebody else put in the place of ours is not removed."""
    address = Address(str(tmp_path / "run"), 4226, str(tmp_path / "s"))
    held = claim(address, port_must_be_free=True)
    os.unlink(address.socket)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(address.socket)
        held.release()
        assert os.path.exists(address.socket)


def test_many_at_once(address: Address):
    """However many try and give up again, there is never more than one."""
    inside, worst, wins = 0, 0, 0
    counting = threading.Lock()

    def rush() -> None:
        nonlocal inside, worst, wins
        for _ in range(15):
            try:
                held = claim(address, port_must_be_free=False)
            except AddressInUseError:
                continue
            with counting:
                inside, wins = inside + 1, wins + 1
                worst = max(worst, inside)
            with counting:
                inside -= 1
            held.release()

    threads = [threading.Thread(target=rush) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == 1
    assert wins >= 15
