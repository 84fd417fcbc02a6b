"""A connection to the daemon over a plain blocking socket, every wait with a deadline.

Owns: connecting, trusting the peer, whole frames in and out.  Must not know: what messages mean.
Used by launcher.py and cli.py; the daemon has its own non-blocking sockets.
"""

from __future__ import annotations

import os
import socket
import stat
import struct

from sccache.errors import DaemonError
from sccache.protocol.framing import FrameBuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sccache.protocol.address import Address

_CHUNK = 1 << 16
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # a launcher has SIGPIPE as its caller had it
_PEERCRED = struct.Struct("3i")  # Linux: struct ucred {pid, uid, gid}


class NoDaemonError(DaemonError):
    """Nobody listens at the address; a daemon may be started."""


class SilentDaemonError(DaemonError):
    """The daemon did not say or take anything for as long as we wait."""


class Connection:
    """One connection; `secret` is what Compile and Control must present on it (empty on a unix socket)."""

    def __init__(self, sock: socket.socket, secret: bytes = b"") -> None:
        self.socket = sock
        self.secret = secret
        self._buffer = FrameBuffer()

    @property
    def passes_descriptors(self) -> bool:
        """Files can travel beside a frame (not over TCP)."""
        return self.socket.family != socket.AF_INET

    def fileno(self) -> int:
        """Make the connection usable with select and poll."""
        return self.socket.fileno()

    def send(self, frame: bytes, timeout_s: float, fds: Sequence[int] = ()) -> None:
        """Send one frame, with descriptors beside its first bytes."""
        self.socket.settimeout(timeout_s)
        try:
            sent = self._send_with(frame, fds) if fds else 0
            if sent < len(frame):
                self.socket.sendall(memoryview(frame)[sent:], _NO_SIGNAL)
        except OSError as e:
            raise DaemonError(f"cannot send to the daemon: {e}") from e

    def _send_with(self, frame: bytes, fds: Sequence[int]) -> int:
        """socket.send_fds forgets the flags that it is given."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))
        return self.socket.sendmsg([frame], [rights], _NO_SIGNAL)

    def receive(self, timeout_s: float) -> bytes:
        """Wait for the next frame's body; the time counts anew whenever bytes arrive."""
        while (body := self._buffer.take()) is None:
            self._fill(timeout_s)
        return body

    def receive_nowait(self) -> bytes | None:
        """Give the next body if it is there already."""
        if (body := self._buffer.take()) is None:
            try:
                self._fill(0.0)
            except BlockingIOError:
                return None
            body = self._buffer.take()
        return body

    def _fill(self, timeout_s: float) -> None:
        self.socket.settimeout(timeout_s)
        try:
            data = self.socket.recv(max(_CHUNK, self._buffer.missing()))
        except (BlockingIOError, TimeoutError) as e:
            if timeout_s:
                raise SilentDaemonError(f"the daemon said nothing for {timeout_s:g} s") from e
            raise BlockingIOError from e
        except OSError as e:
            raise DaemonError(f"cannot hear the daemon: {e}") from e
        if not data:
            raise DaemonError("the daemon closed the connection")
        self._buffer.feed(data)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def connect(address: Address, timeout_s: float) -> Connection:
    """Connect to the daemon, or raise NoDaemonError (nobody there) or DaemonError (somebody we must not trust)."""
    if address.uses_runtime_dir and not is_private_dir(address.runtime_dir):
        if os.path.lexists(address.runtime_dir):
            raise DaemonError(f"{address.runtime_dir} is not a private directory of this user")
        raise NoDaemonError(f"no daemon listens at {address.display}")
    if not hasattr(socket, "AF_UNIX"):
        return _connect_tcp(address, timeout_s)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        _reach(sock, address.socket if address.uses_runtime_dir else os.fsencode(address.socket), address)
        _check_peer(sock, address)
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


def _connect_tcp(address: Address, timeout_s: float) -> Connection:
    try:
        with open(address.secret_path, "rb") as file:
            secret = file.read()
    except OSError as e:
        raise NoDaemonError(f"no daemon left its secret: {e}") from e
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        _reach(sock, ("127.0.0.1", address.port), address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return Connection(sock, secret)


def _reach(sock: socket.socket, target: str | bytes | tuple[str, int], address: Address) -> None:
    try:
        sock.connect(target)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as e:
        raise NoDaemonError(f"no daemon listens at {address.display}") from e
    except OSError as e:
        raise DaemonError(f"cannot connect to the daemon at {address.display}: {e}") from e


def _check_peer(sock: socket.socket, address: Address) -> None:
    if not is_same_user(sock):
        raise DaemonError(f"the daemon at {address.display} belongs to another user")


def is_same_user(sock: socket.socket) -> bool:
    """Ask the kernel who is at the other end of a unix socket."""
    if hasattr(socket, "SO_PEERCRED"):
        peer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
        return bool(_PEERCRED.unpack(peer)[1] == os.geteuid())
    if hasattr(socket, "LOCAL_PEERCRED"):  # macOS and BSD: struct xucred {version, uid, ...}
        peer = sock.getsockopt(0, socket.LOCAL_PEERCRED, 76)
        return bool(struct.unpack_from("2I", peer)[1] == os.geteuid())
    return True


def is_private_dir(path: str) -> bool:
    """Tell whether `path` is a real directory that only we can use."""
    try:
        facts = os.lstat(path)
    except OSError:
        return False
    if os.name == "nt":
        return stat.S_ISDIR(facts.st_mode)
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not stat.S_IMODE(facts.st_mode) & 0o077


def make_private_dir(path: str) -> bool:
    """Make the runtime directory unless it is there; tell whether it can be used."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    return is_private_dir(path)
