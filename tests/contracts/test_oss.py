"""OSS over a strict server of its signatures."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.contracts.backend_contract import BackendContract, expect, make_backend, new_name, opened, with_loop
from tests.servers.oss import OssPlace, oss, oss_temporary
from tests.servers.signed_store import KEY_ID, SECRET

from sccache.errors import ConfigError, Trouble

CONFIGURED = {"SCCACHE_OSS_BUCKET": "cache", "SCCACHE_OSS_ENDPOINT": "https://oss-cn-hangzhou.aliyuncs.com"}


class TestOss(BackendContract):
    """With a pair of keys."""

    def place(self, folder):
        return oss(folder)


class TestOssTemporary(BackendContract):
    """With temporary keys."""

    def place(self, folder):
        return oss_temporary(folder)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OssPlace]:
    with oss(tmp_path) as place:
        yield place


def refused(env: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        make_backend(env)
    return str(caught.value)


@with_loop
async def test_public_bucket(server):
    """Without credentials requests are not signed: a bucket that everybody may read gives, and takes nothing."""
    name = new_name()
    async with opened(server.environment()) as backend:
        await backend.write(name, b"public")
    env = {**server.anonymous_environment(), "SCCACHE_OSS_NO_CREDENTIALS": "true"}
    async with opened(env) as backend:
        await expect({Trouble.DENIED}, backend.read(name), env)
        (server.folder / "public").touch()
        assert await backend.read(name) == b"public"
        await expect({Trouble.DENIED}, backend.write(name, b"x"), env)


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


@with_loop
async def test_compile_has_its_own_keys(server, monkeypatch):
    """Keys in the compile's environment are used as they are, whatever the daemon's environment has."""
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "daemons")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "daemons")
    monkeypatch.setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "daemons")
    async with opened(server.environment()) as backend:
        await backend.write(new_name(), b"x")


@with_loop
async def test_prefix_with_characters_that_are_encoded(server):
    """What is signed is the name, not its encoded form."""
    env = {**server.environment(), "SCCACHE_OSS_KEY_PREFIX": "a b/ü+%41"}
    name = new_name()
    async with opened(env) as backend:
        await backend.write(name, b"x")
        assert await backend.read(name) == b"x"
        assert backend.location() == "oss, name: 127, prefix: /a b/ü+%41/"


def test_missing_endpoint():
    """The sentence names the setting and gives an example."""
    text = refused({"SCCACHE_OSS_BUCKET": "cache"})
    assert "cache.oss.endpoint (SCCACHE_OSS_ENDPOINT) is missing" in text


@pytest.mark.parametrize("endpoint", ["ftp://h", "https://", "https://me:pa55@h", "https://h/path", "https://h?q", "https://h:port"])
def test_unusable_endpoint(endpoint):
    """Refused, without repeating what may hold a password."""
    text = refused({**CONFIGURED, "SCCACHE_OSS_ENDPOINT": endpoint})
    assert "cache.oss.endpoint" in text
    assert "pa55" not in text


@pytest.mark.parametrize("value", ["key", ""])
@pytest.mark.parametrize("variable", ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"])
def test_credentials_that_are_given_and_forbidden(variable, value):
    """Even an empty variable counts, in the words that users of sccache know."""
    text = refused({**CONFIGURED, "SCCACHE_OSS_NO_CREDENTIALS": "true", variable: value})
    assert text == "If setting OSS credentials, SCCACHE_OSS_NO_CREDENTIALS must not be set."


@with_loop
async def test_endpoint_that_is_an_ip_address(server):
    """No name can be put before it, so the bucket is in the path."""
    _, port = server.address
    env = {
        "SCCACHE_OSS_BUCKET": "any",
        "SCCACHE_OSS_ENDPOINT": f"http://127.0.0.1:{port}",
        "SCCACHE_OSS_NO_CREDENTIALS": "true",
    }
    (server.folder / "public-write").touch()
    name = new_name()
    async with opened(env) as backend:
        await backend.write(name, b"x")
    async with opened({**server.environment(), "SCCACHE_OSS_KEY_PREFIX": "any"}) as backend:
        assert await backend.read(name) == b"x"


def test_the_server_is_strict(server):
    """A signature with the right keys but another time, or of another object, is refused."""
    import base64
    import hmac
    import http.client
    from email.utils import formatdate

    def status(path: str, signed_path: str, sent_s: float) -> tuple[int, bytes]:
        date = formatdate(sent_s, usegmt=True)
        text = f"GET\n\n\n{date}\n/127{signed_path}"
        signature = base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha1")).decode()
        connection = http.client.HTTPConnection(*server.address)
        connection.request("GET", path, headers={"Date": date, "Authorization": f"OSS {KEY_ID}:{signature}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    now_s = time.time()
    assert status("/a", "/a", now_s)[0] == 404
    assert b"SignatureDoesNotMatch" in status("/a", "/b", now_s)[1]
    assert b"RequestTimeTooSkewed" in status("/a", "/a", now_s - 1000)[1]
