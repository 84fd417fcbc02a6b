"""WebDAV: what addresses, credentials and prefixes become."""

import asyncio
import base64
import hashlib
from collections.abc import Mapping

import pytest

from sccache.config.load import load
from sccache.errors import ConfigError
from sccache.storage.webdav import WebdavBackend

KEY = "0123456789abcdef" * 4
NAME = f"0/1/2/{KEY}"
ENDPOINT = "http://h/"


def backend(**settings: str) -> WebdavBackend:
    env = {f"SCCACHE_WEBDAV_{name.upper()}": value for name, value in settings.items()}
    (remote,) = load({"SCCACHE_CONF": "/nonexistent", **env}, "/").remotes
    return WebdavBackend(remote.settings, remote.ambient)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("endpoint", "prefix", "url"),
    [
        ("http://h", "", f"http://h/{NAME}"),
        ("http://h/", "", f"http://h/{NAME}"),
        ("https://h:8443/dav//", "", f"https://h:8443/dav/{NAME}"),
        (" http://h ", "/my/prefix/", f"http://h/my/prefix/{NAME}"),
        ("http://h", "a b/ü%#?/&", f"http://h/a%20b/%C3%BC%25%23%3F/%26/{NAME}"),
        ("http://h/a%20b c", "", f"http://h/a%20b%20c/{NAME}"),
        ("http://[::1]:8080/x", "", f"http://[::1]:8080/x/{NAME}"),
        ("http://user:pw@h/x", "", f"http://h/x/{NAME}"),
    ],
)
def test_addresses(endpoint: str, prefix: str, url: str) -> None:
    """Endpoint, prefix and name with one slash between them, percent-encoded once, without user information."""
    made = backend(endpoint=endpoint, key_prefix=prefix)
    assert f"{made._base}/{made._path(NAME)}" == url


@pytest.mark.parametrize(
    ("endpoint", "prefix"), [("http://h/ac", ""), ("http://h/instance/ac/", ""), ("http://h", "ac"), ("http://h/x", "y/ac/")]
)
def test_an_action_cache_has_flat_names(endpoint: str, prefix: str) -> None:
    """Below `/ac` a name is one word of 64 hexadecimal digits, another one for each name."""
    made = backend(endpoint=endpoint, key_prefix=prefix)
    names = {made._path(name).rpartition("/")[2] for name in (NAME, f"preprocessor/{NAME}", ".sccache_check")}
    assert len(names) == 3
    assert hashlib.sha256(NAME.encode()).hexdigest() in names
    assert made._path(NAME).count("/") == made._prefix.count("/") + bool(made._prefix)


@pytest.mark.parametrize(
    "endpoint", ["h", "h:80/x", "ftp://h/", "http://", "http://:80/", "http://h:port/", "http://[::1/", "/path", "http://SECRET@"]
)
def test_what_is_no_address(endpoint: str) -> None:
    """One sentence that names the setting, and does not repeat a value in which a password may be."""
    with pytest.raises(ConfigError, match=r"cache.webdav.endpoint \(SCCACHE_WEBDAV_ENDPOINT\) is not an address") as caught:
        backend(endpoint=endpoint)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://h/?token=SECRET", "http://h/#x"])
def test_a_query_would_be_lost(endpoint: str) -> None:
    """So it is refused."""
    with pytest.raises(ConfigError, match="query"):
        backend(endpoint=endpoint)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({}, ""),
        ({"token": "t"}, "Bearer t"),
        ({"token": "t", "username": "u", "password": "p"}, "Bearer t"),
        ({"username": "u", "password": "p"}, basic("u:p")),
        ({"username": "u"}, basic("u:")),
        ({"password": "p"}, basic(":p")),
        ({"username": "ü", "password": "a:b"}, basic("ü:a:b")),
        ({"endpoint": "http://me:p%40ss@h/"}, basic("me:p@ss")),
        ({"endpoint": "http://me:pw@h/", "username": "u"}, basic("u:")),
        ({"endpoint": "http://me:pw@h/", "token": "t"}, "Bearer t"),
    ],
)
def test_credentials(settings: Mapping[str, str], value: str) -> None:
    """A token wins over user name and password, either of which may be empty, those over what is in the address."""
    assert backend(**{"endpoint": ENDPOINT, **settings})._authorization == value


def test_a_token_that_cannot_be_sent() -> None:
    """Is refused at once, and not shown."""
    with pytest.raises(ConfigError) as caught:
        backend(endpoint=ENDPOINT, token="SECRET\r\nX: y")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(("prefix", "shown"), [("", "/"), ("/a//b/", "/a/b/"), ("x", "/x/")])
def test_location(prefix: str, shown: str) -> None:
    """As sccache has it: the name is empty, the prefix begins and ends with a slash; nothing of the endpoint."""
    assert backend(endpoint="http://me:SECRET@h/", key_prefix=prefix).location() == f"webdav, name: , prefix: {shown}"


def test_making_one_does_no_io() -> None:
    """Nobody listens there, and nothing asks."""
    made = backend(endpoint="http://127.0.0.1:1/")
    asyncio.run(made.aclose())
