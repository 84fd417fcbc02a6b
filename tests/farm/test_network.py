"""The harness itself: cables can be pulled and slowed, users are who they should be, and a killed test run leaves nothing."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.farm.harness.farm import until
from tests.farm.harness.network import ORDINARY_USER, LoopbackHost, Network, can_make_namespaces

ROOT = Path(__file__).parents[2]
CRASHING = """
import subprocess, sys, tempfile
from pathlib import Path
from tests.farm.harness.network import namespaces
folder = Path(tempfile.mkdtemp(prefix="sf-", dir="/tmp"))
with namespaces(["a", "b"], folder) as network:
    host = network.cable("a")
    left = subprocess.Popen(host.command(["sleep", "1000"]), start_new_session=True)
    print(folder, host.namespace, left.pid, flush=True)
    sys.stdin.read()
"""


def _reaches(network: Network, limit_s: float = 10) -> bool:
    """A connection from w1 to s, and a line through it."""
    listener = network.host("s").socket()
    client = network.host("w1").socket()
    client.settimeout(limit_s)
    with listener, client:
        listener.bind((network.host("s").address, 0))
        listener.listen()
        try:
            client.connect(listener.getsockname())
        except (TimeoutError, OSError):
            return False
        server, peer = listener.accept()
        with server:
            server.sendall(b"line\n")
            return client.recv(100) == b"line\n" and peer[0] == network.host("w1").address


def test_hosts_reach_each_other_until_the_cable_is_pulled(network):
    """A cut link loses everything, a mended one nothing."""
    assert _reaches(network)
    network.cable("w1").cut()
    assert not _reaches(network, 0.5)
    network.cable("w1").mend()
    until(lambda: _reaches(network, 1), "the cable is mended")


def test_slow_link(network):
    """A limit holds: a megabyte does not come in no time."""
    host, other = network.cable("w2"), network.host("s")
    host.slow("8mbit")
    listener, client = other.socket(), host.socket()
    with listener, client:
        listener.bind((other.address, 0))
        listener.listen()
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        server.settimeout(60)
        with server:
            start = time.monotonic()
            sender = threading.Thread(target=client.sendall, args=(bytes(1 << 20),))
            sender.start()
            got = 0
            while got < 1 << 20:
                got += len(server.recv(1 << 16))
            sender.join()
            assert time.monotonic() - start > 0.5  # 1 s by the limit, less its burst: never early, whatever the load
    host.full_speed()


def test_ordinary_user(network):
    """Nobody in particular, without capabilities, who reaches this interpreter all the same."""
    words = [sys.executable, "-c", "import os; print(os.getuid(), open('/proc/self/status').read().split('CapEff:')[1].split()[0])"]
    for host in (network.host("w1"), LoopbackHost("here")):
        done = subprocess.run(host.command(words, is_ordinary=True), capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout.split() == [str(ORDINARY_USER), "0" * 16], done.stderr


def test_nothing_is_left_after_a_crash():
    """kill -9 of the test run: namespaces, programs in them and files go."""
    if not can_make_namespaces():
        pytest.skip("needs root and network namespaces")
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/src"}
    with subprocess.Popen([sys.executable, "-c", CRASHING], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        folder, namespace, pid = run.stdout.readline().split()
        assert Path("/run/netns", namespace).exists()
        run.kill()
    until(lambda: not Path(folder).exists(), "the folder is gone")
    assert not Path("/run/netns", namespace).exists()
    assert not Path("/proc", pid, "exe").exists() or "sleep" not in os.readlink(f"/proc/{pid}/exe")
