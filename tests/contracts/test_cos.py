"""COS over a strict server of its signatures."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.backend_contract import BackendContract, expect, make_backend, new_name, opened, with_loop
from tests.servers.cos import CosPlace, cos, cos_temporary
from tests.servers.signed_store import KEY_ID, SECRET

from sccache.errors import ConfigError, Trouble


class TestCos(BackendContract):
    """With a pair of keys."""

    def place(self, folder):
        return cos(folder)


class TestCosTemporary(BackendContract):
    """With temporary keys."""

    def place(self, folder):
        return cos_temporary(folder)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CosPlace]:
    with cos(tmp_path) as place:
        yield place


@with_loop
async def test_bucket_that_does_not_exist(server):
    """It is told from an object that does not, for reading and writing."""
    server.folder.rename(server.folder.with_name("gone"))
    async with opened(server.environment()) as backend:
        await expect({Trouble.WRONG_PLACE}, backend.read(new_name()), server.environment())
        await expect({Trouble.WRONG_PLACE}, backend.write(new_name(), b"x"), server.environment())


@with_loop
async def test_no_credentials_anywhere(server, monkeypatch):
    """A sentence says so; no unsigned request is tried."""
    monkeypatch.setenv("HOME", "/nonexistent")
    env = server.anonymous_environment()
    async with opened(env) as backend:
        await expect({Trouble.DENIED}, backend.read(new_name()), env)


@pytest.mark.parametrize("variable", ["TENCENTCLOUD_SECURITY_TOKEN", "TENCENTCLOUD_TOKEN"])
@with_loop
async def test_compile_has_its_own_keys(server, monkeypatch, variable):
    """Keys in the compile's environment are used as they are, whatever the daemon's environment has."""
    monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", "daemons")
    monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", "daemons")
    monkeypatch.setenv(variable, "daemons")
    async with opened(server.environment()) as backend:
        await backend.write(new_name(), b"x")


@with_loop
async def test_token_under_its_other_name(tmp_path):
    """`TENCENTCLOUD_TOKEN` is the same."""
    with cos_temporary(tmp_path) as place:
        env = dict(place.environment())
        env["TENCENTCLOUD_TOKEN"] = env.pop("TENCENTCLOUD_SECURITY_TOKEN")
        async with opened(env) as backend:
            await backend.write(new_name(), b"x")


@with_loop
async def test_prefix_with_characters_that_are_encoded(server):
    """What is signed is the name, not its encoded form."""
    name = new_name()
    async with opened({**server.environment(), "SCCACHE_COS_KEY_PREFIX": "a b/ü+%41"}) as backend:
        await backend.write(name, b"x")
        assert await backend.read(name) == b"x"
        assert backend.location() == "cos, name: 127, prefix: /a b/ü+%41/"


@pytest.mark.parametrize("endpoint", ["", "ftp://h", "https://", "https://h/path", "http://127.0.0.1", "[::1]:80"])
def test_unusable_endpoint(endpoint):
    """The sentence names the setting."""
    with pytest.raises(ConfigError, match=r"cache\.cos\.endpoint \(SCCACHE_COS_ENDPOINT\)"):
        make_backend({"SCCACHE_COS_BUCKET": "cache-1250000000", "SCCACHE_COS_ENDPOINT": endpoint})


def test_the_server_is_strict(server):
    """A signature with the right keys but another time, or of another object, is refused."""
    import hashlib
    import hmac
    import http.client

    def ask(path: str, signed_path: str, start_s: int) -> tuple[int, bytes]:
        times = f"{start_s};{start_s + 3600}"
        key = hmac.digest(SECRET.encode(), times.encode(), "sha1").hex()
        digest = hashlib.sha1(f"get\n{signed_path}\n\n\n".encode()).hexdigest()
        signature = hmac.digest(key.encode(), f"sha1\n{times}\n{digest}\n".encode(), "sha1").hex()
        form = f"q-sign-algorithm=sha1&q-ak={KEY_ID}&q-sign-time={times}&q-key-time={times}&q-header-list=&q-url-param-list=&q-signature="
        connection = http.client.HTTPConnection(*server.address)
        connection.request("GET", path, headers={"Authorization": f"{form}{signature}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    now_s = int(time.time())
    assert ask("/a", "/a", now_s)[0] == 404
    assert b"SignatureDoesNotMatch" in ask("/a", "/b", now_s)[1]
    assert b"expired" in ask("/a", "/a", now_s - 4000)[1]
