"""ending.py: noticing that a daemon is gone."""

import os
import socket
import sys
import time

import pytest

from sccache.daemon.ending import Ending

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a peer's process")


def peer_that_ends_when_told() -> tuple[int, socket.socket]:
    """A process at the other end of a socket."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0sccache-test-ending-{os.getpid()}-{time.monotonic_ns()}")
    listener.listen()
    ours = socket.socket(socket.AF_UNIX)
    pid = os.fork()
    if pid == 0:
        theirs = socket.socket(socket.AF_UNIX)
        theirs.connect(listener.getsockname())
        theirs.recv(1)
        os._exit(0)
    ours.close()
    ours, _ = listener.accept()
    listener.close()
    return pid, ours


def test_waits_for_the_end():
    """The wait ends when the process does, not before."""
    pid, peer = peer_that_ends_when_told()
    with peer:
        ending = Ending(peer)
        assert not Ending(peer).wait(0.01)
        peer.send(b"x")
        assert ending.wait(10.0)
    os.waitpid(pid, 0)


def test_no_such_process():
    """Where the peer cannot be known, nobody waits."""
    with socket.socket(socket.AF_INET) as listener:
        assert not Ending(listener).wait(10.0)
