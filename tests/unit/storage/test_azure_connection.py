"""Azure: what connection strings, endpoints and accounts become."""

import base64

import pytest

from sccache.config.load import load
from sccache.errors import ConfigError
from sccache.storage.azure import BOTH, NEITHER, AzureBackend, string_to_sign
from sccache.storage.azure_connection import DEVELOPMENT_KEY, Connection, entra_endpoint, parse_connection

KEY = "c2VjcmV0LWtleQ=="
RAW = base64.b64decode(KEY)
DEVELOPMENT = base64.b64decode(DEVELOPMENT_KEY)


def backend(**env: str) -> AzureBackend:
    names = {"string": "SCCACHE_AZURE_CONNECTION_STRING", "account": "SCCACHE_AZURE_STORAGE_ACCOUNT", "endpoint": "SCCACHE_AZURE_ENDPOINT"}
    variables = {names.get(name, name): value for name, value in env.items()}
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", "SCCACHE_AZURE_BLOB_CONTAINER": "c", **variables}, "/").remotes
    return AzureBackend(remote.settings, remote.ambient)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY};EndpointSuffix=core.windows.net",
         Connection("https://a.blob.core.windows.net", "a", RAW)),
        (f"AccountName=a;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn",
         Connection("https://a.blob.core.chinacloudapi.cn", "a", RAW)),
        (f" \n;;AccountName=a;\nAccountKey={KEY};\r\nBlobEndpoint=http://h:1/a/; \n", Connection("http://h:1/a", "a", RAW)),
        ("BlobEndpoint=https://h;SharedAccessSignature=?sv=1&sig=a%3D", Connection("https://h", "", b"", "sv=1&sig=a%3D")),
        (f"BlobEndpoint=https://h;AccountName=a;AccountKey={KEY};SharedAccessSignature=sv=1", Connection("https://h", "a", b"", "sv=1")),
        ("BlobEndpoint=https://h", Connection("https://h")),
        ("BlobEndpoint=https://h;AccountName=a", Connection("https://h", "a")),
        ("UseDevelopmentStorage=true", Connection("http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1", DEVELOPMENT)),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite",
         Connection("http://azurite:10000/devstoreaccount1", "devstoreaccount1", DEVELOPMENT)),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite:9/",
         Connection("http://azurite:9/devstoreaccount1", "devstoreaccount1", DEVELOPMENT)),
    ],
)  # fmt: skip
def test_connection_strings(text: str, expected: Connection) -> None:
    """Every documented form."""
    assert parse_connection(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AccountName=a;s3cret", "Invalid connection string, expected '=' in field: "),
        ("AccountName=a;AccountKey=s3cret!;EndpointSuffix=core.windows.net", "the account key is not valid base64"),
        (f"AccountName=a;AccountKey={KEY}", "Invalid connection string, it needs"),
        ("BlobEndpoint=h", "is not an http or https address"),
        ("BlobEndpoint=https://u:s3cret@h", "may have a host, a port and a path only"),
    ],
)
def test_connection_strings_that_cannot_be_used(text: str, message: str) -> None:
    """Are refused when the backend is made, without their values."""
    with pytest.raises(ConfigError) as caught:
        backend(string=text)
    assert message in str(caught.value)
    assert "SCCACHE_AZURE_CONNECTION_STRING" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("account", "endpoint", "expected"),
    [
        ("acct1", "", "https://acct1.blob.core.windows.net"),
        ("acct1", "https://h/", "https://h"),
        ("", "https://h:8443/path/", "https://h:8443/path"),
        ("", "http://LocalHost:10000/a", "http://LocalHost:10000/a"),
        ("", "http://127.9.9.9/a", "http://127.9.9.9/a"),
        ("", "http://[::1]:1", "http://[::1]:1"),
        ("", "http://[0:0:0:0:0:0:0:1]", "http://[0:0:0:0:0:0:0:1]"),
    ],
)
def test_endpoints_for_entra(account: str, endpoint: str, expected: str) -> None:
    """The endpoint wins; http is for this machine."""
    assert entra_endpoint(account, endpoint) == expected


@pytest.mark.parametrize(
    ("account", "endpoint"),
    [
        ("my-account", ""), ("a.evil.com/", ""), ("ácct", ""), ("", "http://h"), ("", "http://[::ffff:127.0.0.1]"), ("", "http://127.0.0.1.h"),
        ("", "https://u:p@h"), ("", "https://"), ("", "h"), ("", "ftp://h"), ("", "https://h:x"), ("", "https://h?x"),
    ],
)  # fmt: skip
def test_endpoints_that_no_token_is_sent_to(account: str, endpoint: str) -> None:
    """Are refused when the backend is made."""
    with pytest.raises(ConfigError):
        backend(account=account, endpoint=endpoint)


@pytest.mark.parametrize("one", ["account", "endpoint"])
def test_both_ways(one: str) -> None:
    """Are a contradiction; blank is absent."""
    with pytest.raises(ConfigError) as caught:
        backend(string="UseDevelopmentStorage=true", **{one: "https://h"})
    assert str(caught.value) == BOTH
    backend(string="UseDevelopmentStorage=true", **{one: " "})


def test_neither_way() -> None:
    """Is said with all that could be set."""
    with pytest.raises(ConfigError) as caught:
        backend(string=" ")
    assert str(caught.value) == NEITHER


@pytest.mark.parametrize("host", ["http://login.example.com", "https://u:p@h", "https://", "ftp://h", "https://h?x"])
def test_authorities_that_no_secret_is_sent_to(host: str) -> None:
    """Are refused when the backend is made."""
    with pytest.raises(ConfigError, match=r"^AZURE_AUTHORITY_HOST "):
        backend(account="a", AZURE_AUTHORITY_HOST=host)


@pytest.mark.parametrize("host", ["", "login.microsoftonline.us", "https://login.chinacloudapi.cn/", "http://127.0.0.1:9"])
def test_authorities(host: str) -> None:
    """National clouds, also without a scheme."""
    backend(account="a", AZURE_AUTHORITY_HOST=host)


def test_credentials_of_variables() -> None:
    """A signature or key there is used in place of tokens."""
    assert backend(account="a", AZURE_STORAGE_SAS_TOKEN="?sv=1")._connection.signature == "sv=1"
    assert backend(account="a", AZBLOB_ACCOUNT_KEY=KEY)._connection.key == RAW
    assert backend(account="a")._keeper is not None


def test_what_a_key_signs() -> None:
    """The lines of Microsoft's documentation, for a read and a write."""
    headers = {"x-ms-date": "D", "x-ms-version": "V"}
    assert string_to_sign("GET", "https://a.blob/c/x", "a", headers, 0) == f"GET{chr(10) * 12}x-ms-date:D\nx-ms-version:V\n/a/c/x"
    headers |= {"x-ms-blob-type": "BlockBlob", "Content-Type": "t"}
    expected = "PUT\n\n\n5\n\nt\n\n\n\n\n\n\nx-ms-blob-type:BlockBlob\nx-ms-date:D\nx-ms-version:V\n/a/c/x"
    assert string_to_sign("PUT", "https://a.blob/c/x", "a", headers, 5) == expected


def test_location() -> None:
    """As sccache has it."""
    made = backend(string="UseDevelopmentStorage=true", SCCACHE_AZURE_KEY_PREFIX="/p//q/")
    assert made.location() == "azblob, name: c, prefix: /p/q/"
