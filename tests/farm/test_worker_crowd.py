"""A crowd that only connects to a worker: whoever has a token is served all the same."""

import contextlib
import resource
from collections.abc import Iterator

import pytest
from tests.farm.harness import wire
from tests.farm.harness.farm import Farm
from tests.farm.harness.network import Network
from tests.farm.harness.raw_worker import HandMadeScheduler, RawWorker

USUAL, ALLOWED = 1024, 4096
"""Open files that a process has, and may have, where nobody has set anything."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may open as many, too."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < ALLOWED:
        pytest.skip(f"needs {ALLOWED} open files")
    if before[0] != resource.RLIM_INFINITY and before[0] < ALLOWED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ALLOWED, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_more_connections_than_a_process_usually_may_have(any_network: Network, command, many_files):
    """Silent ones, and ones that begin to say something."""
    scheduler = HandMadeScheduler(any_network.host("s"))
    farm = Farm(any_network, command, scheduler_url=scheduler.url)
    server = farm.add_worker("w1")
    server.program.argv = ["prlimit", f"--nofile={USUAL}:{ALLOWED}", *server.program.argv]
    address = wire.parse(server.address)
    with contextlib.closing(scheduler), contextlib.ExitStack() as crowd:
        crowd.callback(server.program.kill)
        worker = RawWorker(farm, server, scheduler, any_network.host("c1"))
        shell = worker.upload(wire.shell_toolchain())
        for number in range(USUAL + 200):
            sock = crowd.enter_context(wire.connect(any_network.host("c2"), address, tls=False))
            if number % 2:
                sock.sendall(b"\x16\x03\x01")
        result, _ = worker.shell(shell, "echo served")
        assert result.stdout == b"served\n"
        assert "Too many open files" not in server.program.text()
