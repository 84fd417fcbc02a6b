"""Fixtures of the farm's tests: hosts once for a module, the product from the environment that runs the tests."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.farm.harness.farm import Farm
from tests.farm.harness.network import Network, can_make_namespaces, loopback, namespaces

HOSTS = ("s", "w1", "w2", "w3", "c1", "c2")


@pytest.fixture(scope="session")
def command() -> Path:
    """The installed `sccache`: SCCACHE_TEST_BIN, or beside the Python that runs the tests."""
    found = Path(os.environ.get("SCCACHE_TEST_BIN") or Path(sys.prefix) / "bin" / "sccache")
    if not found.with_name("sccache-dist").exists():
        pytest.fail(f"no product to test: {found} does not exist (pip install . first)")
    for program in ("bwrap", "g++", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}, which is not installed")
    return found


@pytest.fixture(scope="module")
def folder() -> Path:
    """Short enough for a socket's path; the network removes it."""
    return Path(tempfile.mkdtemp(prefix="sf-", dir="/tmp"))


@pytest.fixture(scope="module")
def network(folder: Path) -> Iterator[Network]:
    """Hosts with cables."""
    with namespaces(HOSTS, folder) as made:
        yield made


@pytest.fixture(scope="module")
def any_network(folder: Path) -> Iterator[Network]:
    """Hosts with cables where they can be had, loopback otherwise."""
    with namespaces(HOSTS, folder) if can_make_namespaces() else loopback(HOSTS, folder) as made:
        yield made


@pytest.fixture(scope="module")
def farm(network: Network, command: Path) -> Iterator[Farm]:
    """A scheduler, three workers, two clients; what a test breaks it mends."""
    made = Farm(network, command)
    try:
        made.add_scheduler()
        for name in ("w1", "w2", "w3"):
            made.add_worker(name)
        for name in ("c1", "c2"):
            made.add_client(name)
        made.start()
        yield made
    finally:
        made.close()
