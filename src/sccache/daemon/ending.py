"""Wait for a daemon that was told to stop, so that a script may remove its cache the moment `--stop-server` returns.

Owns: noticing a process's end.  Must not know: what is said to it.
"""

import os
import select
import socket
import struct

_PEERCRED = struct.Struct("3i")  # Linux: struct ucred {pid, uid, gid}


class Ending:
    """The end of the process at the other end of a unix socket; make it before asking that process to stop."""

    def __init__(self, peer: socket.socket) -> None:
        self._fd = -1
        if hasattr(os, "pidfd_open") and hasattr(socket, "SO_PEERCRED") and peer.family == socket.AF_UNIX:
            pid = _PEERCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size))[0]
            try:
                self._fd = os.pidfd_open(pid)
            except OSError:  # an old kernel, or a daemon of another process namespace: then nobody waits
                self._fd = -1

    def wait(self, timeout_s: float) -> bool:
        """Wait until the process is gone; tell whether that was seen."""
        if self._fd < 0:
            return False
        try:
            readable, _, _ = select.select([self._fd], [], [], timeout_s)
        finally:
            os.close(self._fd)
            self._fd = -1
        return bool(readable)
