"""Cloud Storage: what settings and variables become."""

import pytest

from sccache.config.load import load
from sccache.errors import ConfigError
from sccache.storage.gcs import API, GcsBackend


def backend(**env: str) -> GcsBackend:
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", "SCCACHE_GCS_BUCKET": "b", **env}, "/").remotes
    return GcsBackend(remote.settings, remote.ambient)


@pytest.mark.parametrize("url", ["nonsense", "ftp://h/s3cret", "http://", "http://u:s3cret@h/", "http://h:x/s3cret", "http://[h/s3cret"])
def test_credential_urls_that_are_none(url: str) -> None:
    """Are refused when the backend is made; they may hold a secret and are not repeated."""
    with pytest.raises(ConfigError, match=r"^gcs credential url is invalid: ") as caught:
        backend(SCCACHE_GCS_CREDENTIALS_URL=url)
    assert "s3cret" not in str(caught.value)


def test_modes() -> None:
    """By default nothing is written, and the token is asked for reading."""
    assert backend()._tokens._scope.endswith("/devstorage.read_only")
    assert backend(SCCACHE_GCS_RW_MODE="READ_WRITE")._tokens._scope.endswith("/devstorage.read_write")


@pytest.mark.parametrize(
    ("text", "api"),
    [("", API), ("localhost:9023", "http://localhost:9023"), ("http://h:1/", "http://h:1"), ("https://h/storage/v1", "https://h")],
)
def test_emulators(text: str, api: str) -> None:
    """`host:port` or an address; asked without tokens."""
    made = backend(STORAGE_EMULATOR_HOST=text)
    assert made._api == api
    assert (made._keeper is None) == bool(text)


@pytest.mark.parametrize("text", ["http://", "ftp://h", "http://u:p@h", "h:x"])
def test_emulators_that_are_none(text: str) -> None:
    """Are refused when the backend is made."""
    with pytest.raises(ConfigError, match=r"^STORAGE_EMULATOR_HOST "):
        backend(STORAGE_EMULATOR_HOST=text)


def test_an_emulator_with_credentials() -> None:
    """What is configured is used: Google's clients ask for nothing there, but send what they are given."""
    assert backend(STORAGE_EMULATOR_HOST="h:1", SCCACHE_GCS_KEY_PATH="/k.json")._keeper is not None


@pytest.mark.parametrize("prefix", ["p/q", "/p//q/"])
def test_location(prefix: str) -> None:
    """As sccache has it."""
    assert backend(SCCACHE_GCS_KEY_PREFIX=prefix).location() == "gcs, name: b, prefix: /p/q/"
    assert backend(SCCACHE_GCS_KEY_PREFIX=prefix)._object("a/b/c/x") == "p/q/a/b/c/x"
