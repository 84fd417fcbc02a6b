"""Cloud Storage over gcp-storage-emulator and our own strict server, with every source of tokens."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.contracts.backend_contract import BackendContract, expect, new_name, opened, with_loop
from tests.servers.gcs import GcsPlace, emulator, strict
from tests.servers.gcs_service import ACCOUNT, AUDIENCE, REFRESH, SCOPE, SUBJECT, TASK

from sccache.errors import StorageError, Trouble
from sccache.storage.google_tokens import GoogleTokens
from sccache.storage.http import HttpClient


class TestStrict(BackendContract):
    """A service that wants tokens, and a service account's key."""

    def place(self, folder):
        return strict(folder)


class TestEmulator(BackendContract):
    """A service that asks for no credentials."""

    def place(self, folder):
        return emulator(folder)

    # gcp-storage-emulator breaks off at an object of no bytes (TypeError in its upload); the strict server takes it, as GCS does.
    test_an_empty_object_is_not_an_absent_one = None
    test_many_objects_at_once = None
    # One of several hundred runs gave a read that met writes something else than one writer's object; the strict server never did.
    test_one_object_by_many_at_once = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GcsPlace]:
    with strict(tmp_path) as place:
        yield place


@pytest.fixture
def url(server: GcsPlace) -> str:
    return f"http://127.0.0.1:{server.address[1]}"


def log(server: GcsPlace) -> list[str]:
    return (server.folder / "log").read_text().splitlines()


async def serves(env) -> None:
    name = new_name()
    async with opened(env) as backend:
        await backend.write(name, b"mine")
        assert await backend.read(name) == b"mine"


@with_loop
async def test_a_bucket_that_does_not_exist(server):
    """It is told from an object that does not."""
    env = {**server.environment(), "SCCACHE_GCS_BUCKET": "nowhere"}
    async with opened(env) as backend:
        await expect({Trouble.WRONG_PLACE}, backend.read(new_name()), env)
        await expect({Trouble.WRONG_PLACE}, backend.write(new_name(), b"x"), env)


@with_loop
async def test_reading_only(server):
    """Without a mode the token is for reading: what it can do is no more than what is done."""
    env = {name: value for name, value in server.environment().items() if name != "SCCACHE_GCS_RW_MODE"}
    async with opened(env) as backend:
        assert await backend.read(new_name()) is None
        await expect({Trouble.DENIED}, backend.write(new_name(), b"x"), env)
    assert log(server) == ["key read_only"]


@with_loop
async def test_one_token_for_all(server):
    """Any number of requests fetch one token; one that was revoked is replaced."""
    async with opened(server.environment()) as backend:
        await asyncio.gather(*(backend.read(new_name()) for _ in range(20)))
        assert log(server) == ["key read_write"]
        (server.folder / "revoked").touch()
        assert await backend.read(new_name()) is None
    assert log(server) == ["key read_write"] * 2


@with_loop
async def test_an_emulator_without_credentials(server):
    """STORAGE_EMULATOR_HOST alone: requests have no token, and no source of tokens is asked."""
    env = server.place_environment()
    async with opened(env) as backend:
        await expect({Trouble.DENIED}, backend.read(new_name()), env)
        (server.folder / "anonymous").touch()
        assert await backend.read(new_name()) is None
    assert not (server.folder / "log").exists()


@with_loop
async def test_taskcluster(server, url):
    """The token comes from the address, which is in no message."""
    await serves({**server.place_environment(), "SCCACHE_GCS_CREDENTIALS_URL": f"{url}/task?bewit={TASK}"})
    assert log(server) == ["task read_write"]
    env = {**server.place_environment(), "SCCACHE_GCS_CREDENTIALS_URL": f"{url}/task?bewit=wrong-s3cret"}
    async with opened(env) as backend:
        await expect({Trouble.DENIED}, backend.read(new_name()), env)
        with pytest.raises(Exception, match=r"^Failed to fetch TaskCluster token: ") as caught:
            await backend.read(new_name())
    assert "s3cret" not in str(caught.value)


@with_loop
async def test_the_metadata_server(server):
    """The machine's account that is configured; an unknown one, or no such server, means no credentials."""
    host, port = server.address
    env = {**server.place_environment(), "GCE_METADATA_HOST": f"{host}:{port}"}
    await serves({**env, "SCCACHE_GCS_SERVICE_ACCOUNT": ACCOUNT})
    assert log(server) == [f"metadata {ACCOUNT} read_write"]
    for wrong in (
        {"SCCACHE_GCS_SERVICE_ACCOUNT": "nobody"},
        {"SCCACHE_GCS_SERVICE_ACCOUNT": "default", "GCE_METADATA_HOST": "127.0.0.1:1"},
    ):
        async with opened({**env, **wrong}) as backend:
            await expect({Trouble.DENIED}, backend.read(new_name()), env)


@pytest.mark.parametrize("is_json", [False, True])
@with_loop
async def test_an_identity_from_elsewhere(server, url, tmp_path, is_json):
    """The runner's token is exchanged, then a service account is impersonated."""
    (tmp_path / "subject").write_text(json.dumps({"value": SUBJECT}) if is_json else f"{SUBJECT}\n")
    source = {"file": str(tmp_path / "subject")}
    form = {"format": {"type": "json", "subject_token_field_name": "value"}} if is_json else {}
    credentials = {
        "type": "external_account", "audience": AUDIENCE, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/sts", "service_account_impersonation_url": f"{url}/impersonate", "credential_source": {**source, **form},
    }  # fmt: skip
    (tmp_path / "adc.json").write_text(json.dumps(credentials))
    await serves({**server.place_environment(), "SCCACHE_GCS_KEY_PATH": str(tmp_path / "adc.json")})
    assert log(server) == ["sts https://www.googleapis.com/auth/cloud-platform", "impersonated read_write"]


@with_loop
async def test_a_user(server, url, tmp_path):
    """What gcloud writes for a person."""
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": REFRESH, "token_uri": f"{url}/token"}
    (tmp_path / "user.json").write_text(json.dumps(user))
    await serves({**server.place_environment(), "SCCACHE_GCS_KEY_PATH": str(tmp_path / "user.json")})
    assert log(server) == ["user read_write"]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"type": "service_account"}', '{"type": "authorized_user", "client_id": 1}'])
@with_loop
async def test_a_key_file_that_is_none(server, tmp_path, text):
    """Is a denial that names the file."""
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    env = {**server.place_environment(), "SCCACHE_GCS_KEY_PATH": str(path)}
    async with opened(env) as backend:
        with pytest.raises(Exception, match=str(path)):
            await backend.read(new_name())
        await expect({Trouble.DENIED}, backend.read(new_name()), env)


@with_loop
async def test_application_default_credentials(server, tmp_path, monkeypatch):
    """The file of the variable, else gcloud's, else the metadata server."""
    host, port = server.address
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    ambient = {"GCE_METADATA_HOST": f"{host}:{port}"}
    async with aclosing(HttpClient()) as http:
        async with aclosing(GoogleTokens(f"{SCOPE}read_only", ambient, http)) as tokens:
            await tokens.from_anywhere()
            (tmp_path / "gcloud").mkdir()
            shutil.copy(tmp_path / "key.json", tmp_path / "gcloud" / "application_default_credentials.json")
            await tokens.from_anywhere()
        ambient["GOOGLE_APPLICATION_CREDENTIALS"] = str(tmp_path / "wrong.json")
        async with aclosing(GoogleTokens(f"{SCOPE}read_only", ambient, http)) as tokens:
            with pytest.raises(StorageError) as caught:
                await tokens.from_anywhere()
    assert log(server) == ["metadata default read_only", "key read_only"]
    assert caught.value.trouble is Trouble.DENIED
    assert str(caught.value).endswith("400 Bad Request; invalid_grant")
