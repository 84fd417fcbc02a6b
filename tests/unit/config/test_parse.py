"""parse.py: values from text and from the file."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.config import parse


@pytest.mark.parametrize(
    ("text", "size"),
    [("100", 100), ("2K", 2048), ("2k", 2048), ("10M", 10 << 20), ("10G", 10 << 30), ("10T", 10 << 40), ("10B", 10), ("0", 0), ("7b", 7)],
)
def test_sizes(text: str, size: int):
    """A number and one of B, K, M, G, T in either case."""
    assert parse.parse_size(text) == size
    assert parse.size_from_file(text) == size


@pytest.mark.parametrize(
    "text", ["", "bogus value", "1.5G", " 1G", "1G ", "-1", "G", "10KB", "1P", "\uff11\uff10", "99999999999999999999T", "1_000"]
)
def test_no_sizes(text: str):
    """Anything else is refused with a sentence."""
    with pytest.raises(ValueError, match="value is invalid"):
        parse.parse_size(text)


@given(st.integers(0, 1 << 40), st.sampled_from(["", "B", "K", "M", "g", "t"]))
def test_sizes_multiply(number: int, unit: str):
    """The unit multiplies by its power of 1024, up to what 64 bits hold."""
    size = number * parse.SIZE_UNITS[unit.upper()]
    if size <= parse.MAX_SIZE_BYTES:
        assert parse.parse_size(f"{number}{unit}") == size
    else:
        with pytest.raises(ValueError, match="value is invalid"):
            parse.parse_size(f"{number}{unit}")


@given(st.text(max_size=20))
def test_any_text(text: str):
    """Whatever a variable says, it is a value or a ValueError."""
    for kind in [value for value in vars(parse).values() if isinstance(value, parse.Kind)]:
        for read in (kind.from_text, kind.from_file):
            with contextlib.suppress(ValueError):
                read(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=5,
    )
)
def test_any_file_value(value: object):
    """Whatever the file says, it is a value or a ValueError."""
    for kind in [found for found in vars(parse).values() if isinstance(found, parse.Kind)]:
        with contextlib.suppress(ValueError):
            kind.from_file(value)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("ON", True), ("1", True), ("False", False), ("off", False), ("0", False)])
def test_switches(text: str, *, value: bool):
    """Three words each, in either case."""
    assert parse.parse_bool(text) is value


def test_no_switch():
    """The sentence is the one that users know."""
    with pytest.raises(ValueError, match=r"^must be 'true', 'on', '1', 'false', 'off' or '0'\.$"):
        parse.parse_bool("yes")


@pytest.mark.parametrize(("text", "level"), [("0", 1), ("-5", 1), ("1", 1), ("22", 22), ("23", 22), ("10", 10)])
def test_zstd_levels(text: str, level: int):
    """Levels beyond what zstd has are moved to the nearest."""
    assert parse.parse_zstd_level(text) == level


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "4226 "])
def test_no_ports(text: str):
    """A port is a number from 1 to 65535."""
    with pytest.raises(ValueError, match="value is invalid"):
        parse.parse_port(text)


def test_read_only():
    """READ_ONLY and READ_WRITE, in either case."""
    assert parse.parse_read_only("read_only") is True
    assert parse.parse_read_only("READ_WRITE") is False


@pytest.mark.parametrize(
    ("path", "tidied"),
    [
        ("/home/user", "/home/user/"),
        ("/home//user/./x/", "/home/user/x/"),
        ("/home/user/../other", "/home/other/"),
        ("/..", "/"),
        ("/", "/"),
        ("//a", "/a/"),
    ],
)
def test_basedirs_tidied(path: str, tidied: str):
    """Slashes, dots and parents go; one slash ends it."""
    assert parse.normalise_basedir(path, windows=False) == tidied


@pytest.mark.parametrize(
    ("path", "tidied"), [("C:\\Users\\Me", "c:/users/me/"), ("c:/Users/../X", "c:/x/"), ("\\\\srv\\Share", "/srv/share/")]
)
def test_basedirs_windows(path: str, tidied: str):
    """On Windows slashes and case do not matter."""
    assert parse.normalise_basedir(path, windows=True) == tidied


@pytest.mark.parametrize("path", ["relative", " /home/user", ".", "C:relative", ""])
def test_basedirs_absolute(path: str):
    """Relative directories are refused; spaces belong to the path."""
    with pytest.raises(ValueError, match="Basedir path must be absolute: "):
        parse.normalise_basedir(path, windows=path.startswith("C"))


@given(st.text(alphabet="/.ab ", max_size=20).map(lambda rest: "/" + rest))
def test_basedirs_stable(path: str):
    """Tidying twice changes nothing more."""
    once = parse.normalise_basedir(path, windows=False)
    assert parse.normalise_basedir(once, windows=False) == once
    assert "//" not in once


def test_basedirs_list():
    """Empty entries are dropped, doubles too, order stays."""
    assert parse.parse_basedirs("/b::/a:/b/") == ("/b/", "/a/")
    assert parse.parse_basedirs("") == ()


def test_chain():
    """Names are trimmed and their case does not matter."""
    assert parse.parse_chain(" Disk, redis,,S3 ") == ("disk", "redis", "s3")
    assert parse.chain_from_file(["Disk", "s3"]) == ("disk", "s3")


@pytest.mark.parametrize(
    "table",
    [{"type": "token", "token": "t"}, {"type": "oauth2_implicit", "client_id": "c", "auth_url": "u"}],
)
def test_auth(table: dict[str, str]):
    """Tables of a known type with all of its fields."""
    assert parse.auth_from_file(table) == table


@pytest.mark.parametrize("table", [{}, {"type": "mozilla"}, {"type": "token"}, {"type": "token", "token": 3}, {"type": []}, "token"])
def test_no_auth(table: object):
    """Others are refused."""
    with pytest.raises(ValueError, match="value is invalid"):
        parse.auth_from_file(table)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://farm.example", "http://farm.example/"),
        ("https://farm.example:10600/", "https://farm.example:10600/"),
        ("HTTP://[::1]:10600", "http://[::1]:10600/"),
        ("192.168.1.1:10600", "http://192.168.1.1:10600/"),
        ("farm:10600", "http://farm:10600/"),
    ],
)
def test_scheduler_url(text: str, url: str):
    """An address and a port alone are one of http, as they always were."""
    assert parse.parse_scheduler_url(text) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ftp://farm", "url not http or https"),
        ("http://farm/path", "relative path"),
        ("http://farm/?q", "relative path"),
        ("http://", "not an address"),
        ("", "not an address"),
        ("http://farm:0", "not an address"),
        ("http://farm:99999", "not an address"),
        ("http://[::1", "not an address"),
        ("http://farm one", "not an address"),
        ("http://fa\rm", "not an address"),
        ("http://user:s3cret@farm", "not an address"),
    ],
)
def test_no_scheduler_url(text: str, reason: str):
    """The sentence is sccache's where it has one, and never has a password in it."""
    with pytest.raises(ValueError, match=reason) as raised:
        parse.parse_scheduler_url(text)
    assert "s3cret" not in str(raised.value)
