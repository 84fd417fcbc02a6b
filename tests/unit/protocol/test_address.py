r"""Names of sockets and their neighbours; the native launcher's are compared in tests/launcher."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.protocol.address import DEFAULT_PORT, from_env


def test_default():
    """The documented port names the socket in the user's private directory."""
    address = from_env({}, uid=7)
    assert address.runtime_dir == "/tmp/sccache-7"
    assert (address.socket, address.display, address.uses_runtime_dir) == ("/tmp/sccache-7/4226.sock", "127.0.0.1:4226", True)
    assert [address.lock_path, address.failed_path, address.secret_path] == [
        f"/tmp/sccache-7/4226.{end}" for end in ("lock", "failed", "secret")
    ]


def test_ports_are_isolated():
    """Several jobs with different ports share nothing (the Jenkins recipe)."""
    assert from_env({"SCCACHE_SERVER_PORT": "5000"}, uid=7).socket == "/tmp/sccache-7/5000.sock"


@pytest.mark.parametrize("port", ["", "0", "x", "65536", " 1", "-1", "1e3", "٤", "100000"])
def test_unusable_ports_count_as_unset(port):
    """As in sccache."""
    assert from_env({"SCCACHE_SERVER_PORT": port}).port == DEFAULT_PORT


def test_path():
    """A path is used as it is; lock and stamp stay in the private directory."""
    address = from_env({"SCCACHE_SERVER_UDS": "/run/x.sock", "SCCACHE_SERVER_PORT": "1"}, uid=7)
    assert (address.socket, address.display, address.uses_runtime_dir) == ("/run/x.sock", "/run/x.sock", False)
    assert address.lock_path == "/tmp/sccache-7/uds-dbec380adb142ee2.lock"


@pytest.mark.parametrize(
    ("text", "name", "display"),
    [
        (r"\x00name", "name", r"\x00name"),
        (r"\x00a\x20b\n\r\t\'\"\\", "a b\n\r\t'\"\\", r"\x00a b\n\r\t\'\"\\"),
        (r"\x00\xff\x01", os.fsdecode(b"\xff\x01"), r"\x00\xff\x01"),
    ],
)
def test_abstract(text, name, display):
    r"""The characters \x00 in front make it abstract; escapes are undone, and made again for showing."""
    address = from_env({"SCCACHE_SERVER_UDS": text})
    assert (address.socket, address.display) == ("\0" + name, display)


@pytest.mark.parametrize("text", [r"\x00\q", r"\x00\x1", r"\x00\xgg", "\\x00\\"])
def test_malformed_escapes_count_as_unset(text):
    """As in sccache: then the port is used."""
    assert from_env({"SCCACHE_SERVER_UDS": text}).uses_runtime_dir


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_any_value_gives_some_address(text):
    """Nothing that an environment variable can hold crashes."""
    address = from_env({"SCCACHE_SERVER_UDS": text, "SCCACHE_SERVER_PORT": text})
    assert address.socket
    assert address.display
