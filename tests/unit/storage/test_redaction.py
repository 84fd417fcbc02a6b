"""Secrets that must not be shown: in which forms they are found, and which constructors' errors repeat what they were given."""

import asyncio
import base64
import io
import logging
from urllib.parse import quote

import pytest

from sccache.config.load import load
from sccache.config.schema import Config, DiskConfig, DistConfig
from sccache.daemon.storages import Storages
from sccache.errors import ConfigError
from sccache.storage import factory
from sccache.storage.redaction import HIDDEN, Redactor, learn, secrets_of
from sccache.storage.s3_profile import read_profile
from sccache.util import logs

SECRET = "hunter2/with+all & sörts=of%40it"
BARE = "cl4ssified"


def remote(**env):
    [found] = load({**env, "HOME": "/nowhere"}, "/", strict=False).remotes
    return found


@pytest.mark.parametrize(
    "form",
    [
        SECRET, quote(SECRET), quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode(), repr(SECRET.encode()),
        f"a {SECRET}\nin a text", f'{{"password": {SECRET!r}}}',
    ],
)  # fmt: skip
def test_forms(form):
    shown = Redactor([SECRET])(form)
    assert HIDDEN in shown
    assert "hunter2" not in shown
    assert base64.b64encode(b"hunter2/with")[:12].decode() not in shown


def test_several_lines_become_one():
    assert "line" not in Redactor(["line one\nline two"])("failed: line one\nline two!")


@pytest.mark.parametrize(
    ("env", "secret"),
    [
        ({"SCCACHE_REDIS_ENDPOINT": f"redis://me:{BARE}@host:1"}, BARE),
        ({"SCCACHE_REDIS_ENDPOINT": f"redis://me:a/{BARE}@host:1"}, f"a/{BARE}"),
        ({"SCCACHE_REDIS_ENDPOINT": f"redis://me:p@{BARE}@host:1"}, f"p@{BARE}"),
        ({"SCCACHE_REDIS_CLUSTER_ENDPOINTS": f"redis://h:1,redis://:{BARE}@h:2"}, BARE),
        ({"SCCACHE_MEMCACHED_ENDPOINT": f"tcp://me:{BARE}@host:1"}, BARE),
        ({"SCCACHE_WEBDAV_ENDPOINT": f"https://me:{BARE}@host/x"}, BARE),
        ({"SCCACHE_WEBDAV_ENDPOINT": "https://h", "SCCACHE_WEBDAV_USERNAME": "me", "SCCACHE_WEBDAV_PASSWORD": BARE},
         base64.b64encode(f"me:{BARE}".encode()).decode()),
        ({"SCCACHE_BUCKET": "b", "AWS_SECRET_ACCESS_KEY": f"/{BARE}"}, f"/{BARE}"),
        ({"SCCACHE_BUCKET": "b", "AWS_ENDPOINT_URL": f"https://me:{BARE}@host"}, BARE),
        ({"SCCACHE_AZURE_BLOB_CONTAINER": "c", "SCCACHE_AZURE_CONNECTION_STRING": f"AccountName=n;AccountKey={BARE}==;X=y"}, f"{BARE}=="),
        ({"SCCACHE_AZURE_BLOB_CONTAINER": "c", "SCCACHE_AZURE_CONNECTION_STRING": f"SharedAccessSignature=sv=1&sig={BARE}%2B"}, f"{BARE}+"),
        ({"SCCACHE_GCS_BUCKET": "b", "SCCACHE_GCS_CREDENTIALS_URL": f"https://h/?token={BARE}"}, BARE),
        ({"SCCACHE_GCS_BUCKET": "b", "GOOGLE_APPLICATION_CREDENTIALS": f'{{"private_key": "{BARE}"}}'}, f'{{"private_key": "{BARE}"}}'),
    ],
)  # fmt: skip
def test_secrets_of_settings(env, secret):
    assert Redactor(secrets_of(remote(**env)))(f"before {secret} after") == f"before {HIDDEN} after"


@pytest.mark.parametrize("name", ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
def test_files_are_named(name):
    text = "/var/run/token: no such file"
    assert Redactor(secrets_of(remote(SCCACHE_BUCKET="b", **{name: "/var/run/token"})))(text) == text


def test_logs_of_everybody():
    """Also of libraries, and tracebacks: what was learned is not shown, nor what looks like a secret."""
    stream = io.StringIO()
    logs.setup("trace", milliseconds=False, stream=stream)
    try:
        learn([SECRET])
        logging.getLogger("some.library").debug("sent %r with token=abc&x and Bearer %s", SECRET, "eyJ0.abc")
        failure = ValueError(f"https://me:pw@host/?sig=abcdef {SECRET}")
        logging.getLogger("other").error("it failed", exc_info=failure)
    finally:
        root = logging.getLogger()
        root.removeHandler(root.handlers[-1])
    shown = stream.getvalue()
    assert "ValueError: https://" in shown
    for secret in ("hunter2", "eyJ0", "me:pw", "abcdef"):
        assert secret not in shown


def test_warnings_where_no_log_was_set_up(monkeypatch, capsys):
    """Python then writes them to standard error itself."""
    learn([SECRET])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.getLogger("some.library").warning("sent %s", SECRET, exc_info=ValueError(SECRET))
    shown = capsys.readouterr().err
    assert f"sent {HIDDEN}" in shown
    assert "hunter2" not in shown


def test_reprs():
    """Neither of settings nor of what is made from them."""
    config = Config(
        disk=DiskConfig("/x"),
        remotes=(remote(SCCACHE_BUCKET="b", AWS_SECRET_ACCESS_KEY=BARE),),
        dist=DistConfig(auth={"type": "token", "token": BARE}),
    )
    assert BARE not in repr(config)
    assert BARE not in repr(factory.open_backend(config.remotes[0]))


ADDRESSES = [
    f"{BARE}", f"{BARE}:{BARE}", f"//{BARE}@", f"https://u:{BARE}@host:99999", f"https://u:{BARE}@host:port", f"https://u:{BARE}/x@host",
    f"http://u:{BARE}@[::1", f"http://[{BARE}]/", f"ftp://u:{BARE}@host/", f"http://host:{BARE}/", f"http://host/?key={BARE}",
    f"redis://:{BARE}@host:0x1", f"unix://u:{BARE}@/x", f"http://u:{BARE}\u2100@host/", f"http://u:{BARE} x@host/", f"http://{BARE}\n",
]  # fmt: skip
HOSTS = {BARE, f"{BARE}:{BARE}", f"http://[{BARE}]/", f"http://host:{BARE}/", f"http://{BARE}\n"}
"""Where it stands for a host or a port, nobody can tell that it is a secret."""
FIELDS = {
    "SCCACHE_REDIS_ENDPOINT": {}, "SCCACHE_REDIS_CLUSTER_ENDPOINTS": {}, "SCCACHE_REDIS": {}, "SCCACHE_MEMCACHED_ENDPOINT": {},
    "SCCACHE_WEBDAV_ENDPOINT": {}, "SCCACHE_ENDPOINT": {"SCCACHE_BUCKET": "b"}, "AWS_ENDPOINT_URL": {"SCCACHE_BUCKET": "b"},
    "SCCACHE_GCS_CREDENTIALS_URL": {"SCCACHE_GCS_BUCKET": "b"}, "STORAGE_EMULATOR_HOST": {"SCCACHE_GCS_BUCKET": "b"},
    "SCCACHE_AZURE_CONNECTION_STRING": {"SCCACHE_AZURE_BLOB_CONTAINER": "c"},
    "SCCACHE_AZURE_ENDPOINT": {"SCCACHE_AZURE_BLOB_CONTAINER": "c"},
    "AZURE_AUTHORITY_HOST": {"SCCACHE_AZURE_BLOB_CONTAINER": "c", "SCCACHE_AZURE_ENDPOINT": "https://h", "AZURE_CLIENT_ID": "i"},
    "SCCACHE_OSS_ENDPOINT": {"SCCACHE_OSS_BUCKET": "b"}, "SCCACHE_COS_ENDPOINT": {"SCCACHE_COS_BUCKET": "b"},
    "ACTIONS_RESULTS_URL": {"SCCACHE_GHA_ENABLED": "true", "ACTIONS_CACHE_SERVICE_V2": "1", "ACTIONS_RUNTIME_TOKEN": "t"},
    "ACTIONS_CACHE_URL": {"SCCACHE_GHA_ENABLED": "true", "ACTIONS_RUNTIME_TOKEN": "t"},
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_bad_addresses_are_not_repeated(name, address, tmp_path):
    """By the constructor's error, its causes, the note of a daemon that uses the disk instead."""
    config = load({**FIELDS[name], name: address, "HOME": str(tmp_path)}, "/")
    shown = []
    try:
        shown.append(factory.open_backend(config.remotes[0]).location())
    except ConfigError as e:
        cause = e
        while cause is not None:
            shown.append(str(cause))
            cause = cause.__cause__
    assert address in HOSTS or not any(BARE in text for text in shown), shown


def test_note_of_a_storage_that_cannot_be(tmp_path, caplog):
    """The sentence in --show-stats."""
    config = load({"SCCACHE_ENDPOINT": f"http://u:{BARE}/x@host", "SCCACHE_BUCKET": "b", "HOME": str(tmp_path)}, "/")

    async def note():
        storages = Storages(str(tmp_path))
        found = storages.get(config).note
        await storages.aclose()
        return found

    shown = asyncio.run(note())
    assert "the local disk is used instead" in shown
    assert BARE not in shown + caplog.text


@pytest.mark.parametrize("body", [f"echo {BARE}", f"echo {BARE} >&2; exit 1", f"""echo '{{"Version": "{BARE}"}}'""", f"exec {BARE}"])
def test_program_that_prints_no_keys(tmp_path, body, caplog, capfd):
    """What it says is nobody's business but its own."""
    caplog.set_level(logging.DEBUG)
    program = tmp_path / "keys"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o700)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {program}\n")
    profile = read_profile({"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"})
    assert profile.options == {}
    assert BARE not in "".join((caplog.text, *capfd.readouterr(), repr(profile)))
