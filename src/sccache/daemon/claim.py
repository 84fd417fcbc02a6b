"""The right to be the one daemon of an address: a lock for the daemon's life, its sockets and its secret.

The lock file is `<address>.alive`; the kernel gives the lock back whenever and however the daemon ends.  Who holds it may
remove what an earlier daemon left behind, and at last the lock file itself: who then gets the lock of the removed file sees that
the name is another file's, and tries again.
Owns: making and giving up these.  Must not know: what is said on the sockets.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
import time

from sccache.errors import DaemonError
from sccache.protocol.address import Address
from sccache.protocol.blocking import make_private_dir

BACKLOG = 4096  # launchers that a busy machine may start while the daemon does something else
WAIT_FOR_LEAVING_S = 0.2  # a daemon that was told to stop gives its lock back before it answers
LOCK_POLL_S = 0.01
IN_USE = "Address in use"


class AddressInUseError(DaemonError):
    """Another daemon, or another program, has the address."""

    def __init__(self) -> None:
        super().__init__(IN_USE)


class Claim:
    """What the daemon of one address has; `release` gives it up."""

    def __init__(self, address: Address, lock_fd: int, unix: socket.socket | None, tcp: socket.socket | None, secret: bytes) -> None:
        self.address = address
        self.unix = unix
        """Listening; None where the system has no unix sockets."""
        self.tcp = tcp
        """Listening on 127.0.0.1; None if not wanted or taken by another program.  Its peers must present the secret."""
        self.secret = secret
        self._lock_fd = lock_fd
        self._socket_file = None if unix is None or address.socket.startswith("\0") else _identity(address.socket)

    def release(self) -> None:
        """Let another daemon take over: close the sockets, remove what peers find us by, give back the lock."""
        if self._lock_fd < 0:
            return
        for listener in (self.unix, self.tcp):
            if listener is not None:
                listener.close()
        if self._socket_file is not None and _identity(self.address.socket) == self._socket_file:
            _remove(self.address.socket)  # unless it was replaced by somebody else's
        if self.tcp is not None:
            _remove(self.address.secret_path)
        _remove(alive_path(self.address))
        os.close(self._lock_fd)
        self._lock_fd = -1


def claim(address: Address, *, port_must_be_free: bool) -> Claim:
    """Become the daemon of `address`; raises AddressInUseError if there is one, DaemonError if that cannot be.

    port_must_be_free: a TCP port that another program has is an error too; otherwise the unix socket is enough.
    """
    if not make_private_dir(address.runtime_dir):
        raise DaemonError(f"{address.runtime_dir} is not a private directory of this user")
    lock_fd = _lock(alive_path(address))
    unix = tcp = None
    try:
        unix = _listen_unix(address) if hasattr(socket, "AF_UNIX") else None
        tcp = _listen_tcp(address, must=port_must_be_free or unix is None) if address.uses_runtime_dir else None
        secret = _write_secret(address) if tcp else b""
    except BaseException:
        for listener in (unix, tcp):
            if listener is not None:
                listener.close()
        os.close(lock_fd)
        raise
    return Claim(address, lock_fd, unix, tcp, secret)


def alive_path(address: Address) -> str:
    """The file that the daemon keeps locked."""
    return f"{address.lock_path.removesuffix('.lock')}.alive"


def _lock(path: str) -> int:
    deadline = time.monotonic() + WAIT_FOR_LEAVING_S
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            if time.monotonic() > deadline:
                raise AddressInUseError from None
            time.sleep(LOCK_POLL_S)
        else:
            if _identity(path) == _identity_of(os.fstat(fd)):
                return fd
            os.close(fd)  # its holder removed it before giving it back


def _listen_unix(address: Address) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not address.socket.startswith("\0"):
            _remove_dead_socket(address.socket)
        before = os.umask(0o177)
        try:
            listener.bind(address.socket)
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except AddressInUseError:
        listener.close()
        raise
    except OSError as e:
        listener.close()
        if e.errno == errno.EADDRINUSE:
            raise AddressInUseError from e
        raise DaemonError(f"cannot listen at {address.display}: {e}") from e
    return listener


def _remove_dead_socket(path: str) -> None:
    """Remove a socket that nobody listens at; one that is alive belongs to somebody who does not know our lock."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return  # a file of the user's, to which a connection is refused as well: bind says what is wrong
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        _remove(path)
    except OSError:
        pass  # bind says what is wrong
    else:
        raise AddressInUseError
    finally:
        probe.close()


def _listen_tcp(address: Address, *, must: bool) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", address.port))
        listener.listen(BACKLOG)
    except OSError as e:
        listener.close()
        if not must:
            return None
        if e.errno == errno.EADDRINUSE:
            raise AddressInUseError from e
        raise DaemonError(f"cannot listen at 127.0.0.1:{address.port}: {e}") from e
    return listener


def _write_secret(address: Address) -> bytes:
    secret = secrets.token_hex(32).encode()
    beside = f"{address.secret_path}.new"
    _remove(beside)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, secret)
    finally:
        os.close(fd)
    os.replace(beside, address.secret_path)
    return secret


def _identity(path: str) -> tuple[int, int] | None:
    try:
        return _identity_of(os.lstat(path))
    except OSError:
        return None


def _identity_of(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # somebody was faster, or it never was
        os.unlink(path)
