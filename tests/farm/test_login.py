"""From nobody to a place on a worker: the commands that a user types, a real authorization server, a scheduler that believes it."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.oidc import CLIENT_ID, OidcServer, Person, oidc
from tests.servers.process import ServerProcess, free_port, listens

from sccache.dist.kept_tokens import load

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DEADLINE_S = 120
TO_NOWHERE_ELSE = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
)  # fmt: skip
BOTH = pytest.mark.parametrize("kind", ["oauth2_code_grant_pkce", "oauth2_implicit"])


@pytest.fixture
def server() -> Iterator[OidcServer]:
    with oidc() as running:
        yield running


@pytest.fixture
def scheduler(command: Path, server: OidcServer, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    conf = tmp_path / "scheduler.conf"
    conf.write_text(
        f'public_addr = "127.0.0.1:{port}"\n[server_auth]\ntype = "token"\ntoken = "workers"\n[client_auth]\ntype = "jwt_validate"\n'
        f'audience = "{server.audience}"\nissuer = "{server.url}"\njwks_url = "{server.jwks_url}"\n'
    )
    argv = [str(command.with_name("sccache-dist")), "scheduler", "--config", str(conf)]
    process = ServerProcess(argv, tmp_path / "scheduler", lambda: listens(port), {"SCCACHE_NO_DAEMON": "1", "SCCACHE_LOG": "debug"})
    process.start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.stop()


class User:
    """Somebody's files, and commands."""

    def __init__(self, command: Path, home: Path, server: OidcServer, scheduler: str, kind: str) -> None:
        more = f'token_url = "{server.token_url}"\n' if kind == "oauth2_code_grant_pkce" else ""
        (home / "config").write_text(
            f'[dist]\nscheduler_url = "{scheduler}"\n[dist.auth]\ntype = "{kind}"\nclient_id = "{CLIENT_ID}"\n'
            f'auth_url = "{server.auth_url}"\n{more}'
        )
        self._command = str(command)
        self._server = server
        self.kept = home / "kept"
        self._env = {
            "HOME": str(home), "PATH": os.environ["PATH"], "SCCACHE_CONF": str(home / "config"), "SCCACHE_CACHED_CONF": str(self.kept),
            "SCCACHE_LOG": "debug",
        }  # fmt: skip

    def status(self) -> object:
        ran = subprocess.run(
            [self._command, "--dist-status"], env=self._env, capture_output=True, text=True, check=True, timeout=DEADLINE_S
        )
        return json.loads(ran.stdout)

    @contextlib.contextmanager
    def logging_in(self) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
        argv = [self._command, "--dist-auth"]
        with subprocess.Popen(argv, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                assert said.startswith("sccache: Please visit http://localhost:"), said
                yield said.split()[3], process
            finally:
                process.kill()

    def token(self) -> str:
        return load(str(self.kept))[self._server.auth_url]


def allocate(scheduler: str, token: str) -> int:
    body = json.dumps({"toolchain": "ab" * 32, "version": 2}).encode()
    request = urllib.request.Request(f"{scheduler}api/v2/allocate", body, {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=DEADLINE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as e:
        with e:
            return e.code


@BOTH
def test_a_login(command: Path, tmp_path: Path, server: OidcServer, scheduler: str, kind: str) -> None:
    """The states of --dist-status on the way; the token is in one file, and in nothing that was said or logged."""
    user = User(command, tmp_path, server, scheduler, kind)
    assert user.status() == {"NotConnected": [scheduler, "enabled, auth not configured"]}
    with user.logging_in() as (entrance, process):
        assert Person().log_in(entrance)[0] == 200
        rest, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, rest) == (0, "Saved token\n")
    assert user.status() == {"SchedulerStatus": [scheduler, {"num_servers": 0, "num_cpus": 0, "in_progress": 0}]}
    token = user.token()
    assert allocate(scheduler, token) == 200
    assert allocate(scheduler, f"{token[:-8]}AAAAAAAA") == 401
    logged = "".join(path.read_text() for path in (tmp_path / "scheduler").iterdir())
    assert logged
    assert not any(token.rpartition(".")[2] in text for text in (errors, logged))


@BOTH
def test_in_a_browser(command: Path, tmp_path: Path, server: OidcServer, scheduler: str, kind: str) -> None:
    """Chromium runs the page's script under the page's own policy, and shows how it ended."""
    if CHROMIUM is None:
        pytest.skip("needs chromium, which is not installed")
    server.consents_by_itself = True
    user = User(command, tmp_path, server, scheduler, kind)
    with user.logging_in() as (entrance, process):
        browser = [
            CHROMIUM,
            *TO_NOWHERE_ELSE,
            f"--user-data-dir={tmp_path}/chromium",
            "--virtual-time-budget=30000",
            "--dump-dom",
            entrance,
        ]
        shown = subprocess.run(browser, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        rest, _ = process.communicate(timeout=DEADLINE_S)
    assert "sccache has its token. You can close this page." in shown.stdout
    assert (process.returncode, rest) == (0, "Saved token\n")
    assert user.token() not in shown.stdout
    assert allocate(scheduler, user.token()) == 200


def test_a_no(command: Path, tmp_path: Path, server: OidcServer, scheduler: str) -> None:
    """The command fails with the server's reason, and there is no file."""
    user = User(command, tmp_path, server, scheduler, "oauth2_code_grant_pkce")
    with user.logging_in() as (entrance, process):
        Person().log_in(entrance, decision="deny")
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "sccache: error: The authorization server refuses: access_denied" in errors
    assert not user.kept.exists()


def test_interrupted(command: Path, tmp_path: Path, server: OidcServer, scheduler: str) -> None:
    """Ctrl-C: nobody listens any more."""
    user = User(command, tmp_path, server, scheduler, "oauth2_code_grant_pkce")
    with user.logging_in() as (entrance, process):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode in {130, -signal.SIGINT}
    assert "Traceback" not in errors
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(entrance.rpartition(":")[2])))
