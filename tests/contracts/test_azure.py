"""Azure Blob over Azurite (shared keys, signatures) and our own strict server (Entra ID)."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.backend_contract import BackendContract, expect, new_name, opened, with_loop
from tests.servers.azure_service import ASSERTION, MANAGED
from tests.servers.azurite import CLIENT, SERVICE, TENANT, EntraPlace, azurite, azurite_signed, entra

from sccache.errors import Trouble

ROOT = Path(__file__).parents[2]


class TestSharedKey(BackendContract):
    """A connection string with the account's key."""

    def place(self, folder):
        return azurite(folder)


class TestSignature(BackendContract):
    """A connection string with a shared access signature."""

    def place(self, folder):
        return azurite_signed(folder)


class TestEntra(BackendContract):
    """A service principal."""

    def place(self, folder):
        return entra(folder)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EntraPlace]:
    with entra(tmp_path) as place:
        yield place


def log(server: EntraPlace) -> list[str]:
    return (server.folder / "log").read_text().splitlines()


@with_loop
async def test_a_container_that_does_not_exist(tmp_path, server):
    """It is told from a blob that does not, whatever the credentials are."""
    with azurite(tmp_path / "azurite") as place:
        for one in (place, server):
            env = {**one.environment(), "SCCACHE_AZURE_BLOB_CONTAINER": "nowhere"}
            async with opened(env) as backend:
                await expect({Trouble.WRONG_PLACE}, backend.read(new_name()), env)
                await expect({Trouble.WRONG_PLACE}, backend.write(new_name(), b"x"), env)


@with_loop
async def test_a_signature_for_reading(tmp_path):
    """Gives what is there and may not write."""
    name = new_name()
    with azurite(tmp_path, is_signed=True, permissions="r") as place:
        async with opened(place.environment()) as backend:
            assert await backend.read(name) is None
            await expect({Trouble.DENIED}, backend.write(name, b"x"), place.environment())


@with_loop
async def test_one_token_for_all(server):
    """Any number of requests fetch one token, and it is used until shortly before its end."""
    async with opened(server.environment()) as backend:
        await asyncio.gather(*(backend.read(new_name()) for _ in range(20)))
        await backend.write(new_name(), b"x")
        assert log(server) == ["secret"]


@with_loop
async def test_a_token_that_was_revoked(server):
    """Is replaced, and the request succeeds."""
    async with opened(server.environment()) as backend:
        assert await backend.read(new_name()) is None
        (server.folder / "revoked").touch()
        assert await backend.read(new_name()) is None
        assert log(server) == ["secret", "secret"]


@with_loop
async def test_tokens_that_are_always_refused(server):
    """Are an error that says so, and not a loop."""
    (server.folder / "life").write_text("-1")
    async with opened(server.environment()) as backend:
        await expect({Trouble.DENIED}, backend.read(new_name()), server.environment())


@with_loop
async def test_workload_identity(server, tmp_path):
    """The federated token is read from its file each time; without the file it is said which is missing."""
    file = tmp_path / "assertion"
    env = {**server.place_environment(), "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_FEDERATED_TOKEN_FILE": str(file)}
    async with opened(env) as backend:
        await expect({Trouble.DENIED}, backend.read(new_name()), env)
        file.write_text(f"{ASSERTION}\n")
        assert await backend.read(new_name()) is None
        assert log(server) == ["assertion"]


MANAGED_SCRIPT = """
import asyncio, os, subprocess, sys, pathlib
from tests.contracts.backend_contract import opened, new_name
from tests.servers.process import ServerProcess, listens
from sccache.errors import StorageError
folder = pathlib.Path(sys.argv[2])
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "addr", "add", "169.254.169.254/32", "dev", "lo"], check=True)
process = ServerProcess([sys.executable, sys.argv[1], "169.254.169.254", "80", str(folder)], folder, lambda: listens(80, "169.254.169.254"))
env = {"SCCACHE_AZURE_BLOB_CONTAINER": "sccache-test", "SCCACHE_AZURE_ENDPOINT": "http://127.0.0.1:8080/builders"}
async def look(**more):
    async with opened({**env, **more}) as backend:
        try:
            print(await backend.read(new_name()))
        except StorageError as e:
            print(e.trouble.name, e)
asyncio.run(look())
process.start()
from tests.servers.proxy import FaultProxy
with FaultProxy(("169.254.169.254", 80)) as proxy:
    env["SCCACHE_AZURE_ENDPOINT"] = f"http://{proxy.address[0]}:{proxy.address[1]}/builders"
    asyncio.run(look())
    asyncio.run(look(AZURE_CLIENT_ID=sys.argv[3]))
    asyncio.run(look(AZURE_CLIENT_ID="nobody"))
process.stop()
"""


def test_managed_identity(tmp_path):
    """The machine's own identity, or that of AZURE_CLIENT_ID, past all proxies; elsewhere it is said that there are no credentials."""
    unshare = shutil.which("unshare")
    assert unshare is not None, "unshare is not installed"
    options = ["-n"] if os.geteuid() == 0 else ["-rn"]
    argv = [unshare, *options, sys.executable, "-c", MANAGED_SCRIPT, str(SERVICE), str(tmp_path), MANAGED]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "HTTP_PROXY": "http://192.0.2.1:9", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(argv, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    assert lines[0].startswith("DENIED no credentials were found")
    assert lines[1:3] == ["None", "None"]
    assert lines[3].startswith("DENIED")
    assert (tmp_path / "log").read_text().splitlines() == ["managed", f"managed {MANAGED}"]
