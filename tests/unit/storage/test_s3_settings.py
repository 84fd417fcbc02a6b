"""S3: what settings and variables come to, without a server; and what is sent, by a strict one."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.servers.s3 import S3Place, strict
from tests.servers.s3_service import KEY_ID, SECRET

from sccache.config.load import load
from sccache.errors import ConfigError, StorageError
from sccache.storage.opendal_backend import normal_root
from sccache.storage.s3 import S3Backend, resolve_endpoint
from sccache.storage.s3_profile import read_profile

KEYS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}


def backend(env: Mapping[str, str]) -> S3Backend:
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", "SCCACHE_BUCKET": "sccache-test", **env}, "/").remotes
    return S3Backend(remote.settings, remote.ambient)


def options(env: Mapping[str, str]) -> Mapping[str, str]:
    return asyncio.run(backend({"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", **env})._options())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Place]:
    with strict(tmp_path_factory.mktemp("s3")) as place:
        yield place


def sent(server: S3Place, env: Mapping[str, str], method: str = "PUT") -> dict[str, Any]:
    """The request that a write or a read makes; StorageError if the server does not take it."""

    async def use() -> None:
        user = backend({**server.environment(), **env})
        await (user.write("a/b", b"blob") if method == "PUT" else user.read("a/b"))

    server.control()
    asyncio.run(use())
    (entry,) = server.control()
    return entry


# ── endpoints and regions ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("endpoint", "use_ssl", "expected"),
    [
        ("s3-us-east-1.amazonaws.com", None, "http://s3-us-east-1.amazonaws.com/"),
        ("s3-us-east-1.amazonaws.com", True, "https://s3-us-east-1.amazonaws.com/"),
        ("s3-us-east-1.amazonaws.com", False, "http://s3-us-east-1.amazonaws.com/"),
        ("https://s3-us-east-1.amazonaws.com", None, "https://s3-us-east-1.amazonaws.com/"),
        ("https://s3-us-east-1.amazonaws.com", True, "https://s3-us-east-1.amazonaws.com/"),
        ("https://s3-us-east-1.amazonaws.com", False, "http://s3-us-east-1.amazonaws.com/"),
        ("http://s3-us-east-1.amazonaws.com", None, "http://s3-us-east-1.amazonaws.com/"),
        ("http://s3-us-east-1.amazonaws.com", True, "https://s3-us-east-1.amazonaws.com/"),
        ("http://s3-us-east-1.amazonaws.com", False, "http://s3-us-east-1.amazonaws.com/"),
        ("minio:9000", None, "http://minio:9000/"),
        ("minio:9000", True, "https://minio:9000/"),
        ("HTTPS://minio:9000/", None, "https://minio:9000/"),
        ("http://[::1]:9000/path", True, "https://[::1]:9000/path"),
    ],
)
def test_endpoints(endpoint: str, use_ssl: bool | None, expected: str) -> None:
    """Reference 9.11, and addresses of other services."""
    assert resolve_endpoint(endpoint, use_ssl=use_ssl) == expected


@pytest.mark.parametrize("endpoint", ["ftp://h", "http://", "http://h:port", "http://h:99999", "a b", "http://h/?x=1", "http://u:secret@h"])
def test_endpoints_that_are_none(endpoint: str) -> None:
    """The message names the setting, and no password."""
    with pytest.raises(ConfigError, match=r"^input endpoint .* is invalid: .*SCCACHE_ENDPOINT") as caught:
        backend({"SCCACHE_ENDPOINT": endpoint})
    assert "secret" not in str(caught.value)


def test_the_endpoints_of_other_tools() -> None:
    """AWS_ENDPOINT_URL_S3 before AWS_ENDPOINT_URL; ours before both; without any it is AWS itself."""
    both = {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_S3": "http://s3:1"}
    assert options(both)["endpoint"] == "http://s3:1"
    assert options({"AWS_ENDPOINT_URL": "http://all:1"})["endpoint"] == "http://all:1"
    assert options({**both, "SCCACHE_ENDPOINT": "http://ours"})["endpoint"] == "http://ours/"
    assert "endpoint" not in options({})


def test_a_bucket_in_front_of_the_host_is_not_doubled() -> None:
    """`https://<bucket>.host` is `https://host`."""
    assert options({"SCCACHE_ENDPOINT": "https://sccache-test.s3.example.com"})["endpoint"] == "https://s3.example.com/"


def test_regions(tmp_path: Path) -> None:
    """SCCACHE_REGION, AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1."""
    (tmp_path / "config").write_text("[default]\nregion = eu-north-1\n")
    env = {"AWS_CONFIG_FILE": str(tmp_path / "config")}
    assert options({})["region"] == "us-east-1"
    assert options(env)["region"] == "eu-north-1"
    env["AWS_DEFAULT_REGION"] = "eu-west-3"
    assert options(env)["region"] == "eu-west-3"
    env["AWS_REGION"] = "eu-west-2"
    assert options(env)["region"] == "eu-west-2"
    env["SCCACHE_REGION"] = "auto"
    assert options(env)["region"] == "auto"


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_keys_and_no_credentials(name: str) -> None:
    """Contradict each other, also where a key is empty."""
    with pytest.raises(ConfigError, match=r"^If setting S3 credentials, SCCACHE_S3_NO_CREDENTIALS must not be set\.$"):
        backend({"SCCACHE_S3_NO_CREDENTIALS": "true", name: ""})


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Not by the backend, and not by a profile."""
    (tmp_path / "keys").write_text(f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")
    profile = read_profile({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "keys"), "AWS_CONFIG_FILE": "/nonexistent"})
    assert profile.options["secret_access_key"] == SECRET
    assert SECRET not in repr(profile) + repr(backend(KEYS)) + backend(KEYS).location()


@pytest.mark.parametrize("text", ["", "[default", "no section = 1\n", "[default]\nrole_arn = r\nsource_profile = default\n", "\0\xff"])
def test_files_without_keys(tmp_path: Path, text: str) -> None:
    """Damaged files have no profiles, and a profile that is its own source has no keys."""
    (tmp_path / "file").write_text(text)
    profile = read_profile({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "file"), "AWS_CONFIG_FILE": str(tmp_path / "file")})
    assert "secret_access_key" not in profile.options


def test_profiles_that_name_each_other(tmp_path: Path) -> None:
    """End."""
    (tmp_path / "file").write_text("[profile a]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = a\n")
    profile = read_profile({"AWS_PROFILE": "a", "AWS_CONFIG_FILE": str(tmp_path / "file"), "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"})
    assert profile.options["role_arn"] == "r"
    assert "secret_access_key" not in profile.options


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("env", "kind", "key"),
    [
        ({}, None, None),
        ({"SERVER_SIDE_ENCRYPTION": "true"}, "AES256", None),
        ({"SERVER_SIDE_ENCRYPTION": "true", "SERVER_SIDE_ENCRYPTION_AWS_KMS": "true"}, "aws:kms", None),
        ({"SERVER_SIDE_ENCRYPTION_KMS_KEY_ID": "key-1"}, "aws:kms", "key-1"),
        (
            {"SERVER_SIDE_ENCRYPTION": "true", "SERVER_SIDE_ENCRYPTION_AWS_KMS": "true", "SERVER_SIDE_ENCRYPTION_KMS_KEY_ID": "key-1"},
            "aws:kms",
            "key-1",
        ),
    ],
)
def test_encryption(server: S3Place, env: Mapping[str, str], kind: str | None, key: str | None) -> None:
    """A key's id wins over the account's key, that over the service's; reads ask for nothing."""
    variables = {f"SCCACHE_S3_{name}": value for name, value in env.items()}
    headers = sent(server, variables)["headers"]
    assert headers.get("x-amz-server-side-encryption") == kind
    assert headers.get("x-amz-server-side-encryption-aws-kms-key-id") == key
    assert not [name for name in sent(server, variables, "GET")["headers"] if "encryption" in name]


def test_path_style(server: S3Place) -> None:
    """The bucket is in the path, unless told otherwise."""
    entry = sent(server, {})
    assert entry["headers"]["host"] == f"127.0.0.1:{server.address[1]}"
    assert entry["path"] == "/sccache-test/a/b"


@pytest.mark.parametrize("prefix", ["foo/bar", "/foo//bar/"])
def test_prefixes(server: S3Place, prefix: str) -> None:
    """Are one path, however they are written."""
    assert sent(server, {"SCCACHE_S3_KEY_PREFIX": prefix})["path"] == "/sccache-test/foo/bar/a/b"
    assert backend({"SCCACHE_S3_KEY_PREFIX": prefix}).location() == "s3, name: sccache-test, prefix: /foo/bar/"
    assert normal_root(prefix) == "/foo/bar/"
    assert normal_root("//") == "/"


def test_one_request_each(server: S3Place) -> None:
    """A read is one GET, a write is one PUT."""
    assert sent(server, {})["method"] == "PUT"
    assert sent(server, {}, "GET")["method"] == "GET"


def test_a_missing_bucket(server: S3Place) -> None:
    """Is no miss."""
    with pytest.raises(StorageError, match="there is no bucket nowhere"):
        sent(server, {"SCCACHE_BUCKET": "nowhere"}, "GET")
