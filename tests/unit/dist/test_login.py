"""Logging in, against a real authorization server; the person has a browser with cookies and redirects."""

import contextlib
import http.client
import logging
import os
import queue
import socket
import stat
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.oidc import CLIENT_ID, OidcServer, Person, oidc

from sccache.config.load import load as load_config
from sccache.config.schema import Config
from sccache.dist import kept_tokens
from sccache.dist.kept_tokens import client_token
from sccache.dist.login import login
from sccache.dist.login_listener import bind
from sccache.dist.login_rules import LoginError
from sccache.errors import ConfigError, SccacheError

PKCE, IMPLICIT = "oauth2_code_grant_pkce", "oauth2_implicit"
BOTH = pytest.mark.parametrize("kind", [PKCE, IMPLICIT])


@pytest.fixture(scope="module")
def running() -> Iterator[OidcServer]:
    with oidc() as server:
        yield server


@pytest.fixture
def server(running: OidcServer) -> Iterator[OidcServer]:
    yield running
    running.asked.clear()
    running.takes_only_json, running.token_answer, running.lifetime_s = False, None, 7 * 24 * 3600


def configured(folder: Path, server: OidcServer, kind: str, **changes: str) -> Config:
    fields = {"type": kind, "client_id": CLIENT_ID, "auth_url": server.auth_url}
    if kind == PKCE:
        fields["token_url"] = server.token_url
    lines = "".join(f'{name} = "{value}"\n' for name, value in {**fields, **changes}.items())
    (folder / "config").write_text(f"[dist.auth]\n{lines}")
    return load_config({"HOME": str(folder), "SCCACHE_CONF": str(folder / "config"), "SCCACHE_CACHED_CONF": str(folder / "kept")})


class Running:
    """A login in another thread."""

    def __init__(self, config: Config, deadline_s: float = 60) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.error: SccacheError | None = None
        self._entrances: queue.Queue[str] = queue.Queue()
        self._is_implicit = (config.dist.auth or {})["type"] == IMPLICIT
        self._thread = threading.Thread(target=self._run, args=(config, deadline_s))
        self._thread.start()
        self.entrance = self._entrances.get(timeout=60)
        self.port = urllib.parse.urlsplit(self.entrance).port or 0

    def _run(self, config: Config, deadline_s: float) -> None:
        try:
            login(config, self._say, self.warned.append, (0,), deadline_s)
        except SccacheError as e:
            self.error = e
        finally:
            self._entrances.put("")

    def _say(self, line: str) -> None:
        self.said.append(line)
        if "http" in line:
            self._entrances.put(line.split()[3])

    def wait(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def give_up(self) -> None:
        """End it as the server's no does."""
        with contextlib.suppress(OSError):
            query = urllib.parse.urlsplit(self.ask("GET", "/auth_detail.json", Host=f"localhost:{self.port}")[1].strip('"\n')).query
            state = dict(urllib.parse.parse_qsl(query))["state"]
            answer = urllib.parse.urlencode({"error": "access_denied", "state": state})
            way = ("POST", "/save_auth", answer) if self._is_implicit else ("GET", f"/redirect?{answer}")
            self.ask(*way, Host=f"localhost:{self.port}")
        self._thread.join(60)


@contextlib.contextmanager
def running_login(config: Config, deadline_s: float = 60) -> Iterator[Running]:
    it = Running(config, deadline_s)
    try:
        yield it
    finally:
        it.give_up()


@BOTH
def test_a_login(tmp_path: Path, server: OidcServer, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The token is kept for the scheduler, in a private file, and said nowhere."""
    caplog.set_level(logging.DEBUG)
    config = configured(tmp_path, server, kind)
    with running_login(config) as it:
        status, _, text = Person().log_in(it.entrance)
        it.wait()
    assert (status, "You can close this page" in text) == (200, True)
    token = client_token(config)
    assert isinstance(token, str)
    assert Person().open(server.userinfo_url, Authorization=f"Bearer {token}")[0] == 200
    assert it.said == [f"sccache: Please visit http://localhost:{it.port} in your browser", "Saved token"]
    assert (it.warned, it.error) == ([], None)
    assert stat.S_IMODE(os.stat(config.cached_conf).st_mode) == 0o600
    signature = token.rpartition(".")[2]
    assert signature not in text
    assert not any(signature in record.getMessage() for record in caplog.records if not record.name.startswith("authlib"))
    assert ("POST /token" in server.asked) == (kind == PKCE)


@BOTH
def test_it_stops_listening(tmp_path: Path, server: OidcServer, kind: str) -> None:
    """On both loopback addresses, as soon as there is a token."""
    with running_login(configured(tmp_path, server, kind)) as it:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as sock:
                if family == socket.AF_INET or socket.has_dualstack_ipv6():
                    sock.connect((host, it.port))
        Person().log_in(it.entrance)
        it.wait()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", it.port))


@BOTH
def test_a_no_ends_it(tmp_path: Path, server: OidcServer, kind: str) -> None:
    """With the server's reason, and nothing kept."""
    config = configured(tmp_path, server, kind)
    with running_login(config) as it:
        status, _, text = Person().log_in(it.entrance, decision="deny")
        it.wait()
    assert status == 502
    assert "access_denied" in text
    assert "access_denied" in str(it.error)
    assert not os.path.exists(config.cached_conf)


@BOTH
@pytest.mark.parametrize("state", ["", "&state=", "&state=0123456789abcdef0123456789abcdef", "&state=%C3%A9", "&state=%FF"])
def test_an_answer_without_our_state_changes_nothing(tmp_path: Path, server: OidcServer, kind: str, state: str) -> None:
    """A web page can send one: the login goes on, and ends well."""
    with running_login(configured(tmp_path, server, kind)) as it:
        host = {"Host": f"localhost:{it.port}"}
        for answer in (f"code=abc{state}", f"access_token=t&token_type=bearer{state}", f"error=access_denied{state}"):
            status, text, _ = it.ask("GET", f"/redirect?{answer}", **host) if kind == PKCE else it.ask("POST", "/save_auth", answer, **host)
            assert status == 400
            assert "Mismatched auth states after redirect" in text
        assert len(it.warned) == 3
        assert Person().log_in(it.entrance)[0] == 200
        it.wait()
    assert it.error is None


def test_parameters_that_come_twice_are_nobodys(tmp_path: Path, server: OidcServer) -> None:
    """RFC 6749, 3.1; and a thousand of them are not even looked at."""
    with running_login(configured(tmp_path, server, PKCE)) as it:
        assert it.ask("GET", "/redirect?state=a&state=a", Host=f"localhost:{it.port}")[0] == 400
        assert it.ask("GET", "/redirect?" + "&".join(f"a{i}=" for i in range(1000)), Host=f"localhost:{it.port}")[0] == 400


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "localhost", "localhost:1", "localhost.evil.example:{port}", ""])
def test_another_name_that_leads_here_is_refused(tmp_path: Path, server: OidcServer, host: str) -> None:
    """DNS rebinding: a page could read the state from our answers."""
    with running_login(configured(tmp_path, server, PKCE)) as it:
        for path in ("/", "/auth_detail.json", "/redirect?state=x"):
            status, text, headers = it.ask("GET", path, Host=host.format(port=it.port))
            assert status in {400, 403}
            assert "Location" not in headers
            assert "state" not in text


def test_another_page_may_not_post(tmp_path: Path, server: OidcServer) -> None:
    """Its Origin says whose it is."""
    with running_login(configured(tmp_path, server, IMPLICIT)) as it:
        for origin in ("https://evil.example", "null", f"http://localhost:{it.port + 1}"):
            assert it.ask("POST", "/save_auth", "state=x", Host=f"localhost:{it.port}", Origin=origin)[0] == 403
        assert it.ask("POST", "/save_auth", "state=x", Host=f"localhost:{it.port}", Origin=f"http://localhost:{it.port}")[0] == 400
        assert it.ask("POST", "/save_auth", "x" * 100_000, Host=f"localhost:{it.port}")[0] == 413


@BOTH
def test_what_answers_say_to_a_browser(tmp_path: Path, server: OidcServer, kind: str) -> None:
    """Nothing is stored, framed, loaded from elsewhere or told to other servers; what is not there is 404."""
    with running_login(configured(tmp_path, server, kind)) as it:
        for method, path in (("GET", "/"), ("GET", "/redirect"), ("GET", "/auth_detail.json"), ("GET", "/x"), ("HEAD", "/redirect")):
            status, _, headers = it.ask(method, path, Host=f"localhost:{it.port}")
            assert status < 500
            assert headers["Cache-Control"] == "no-store"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert it.ask("GET", "/x", Host=f"localhost:{it.port}")[0] == 404
        assert it.ask("POST", "/save_auth", "", Host=f"localhost:{it.port}")[0] == (404 if kind == PKCE else 400)


def test_a_code_is_redeemed_once(tmp_path: Path, server: OidcServer) -> None:
    """A page that is loaded twice while the token is fetched."""
    config = configured(tmp_path, server, PKCE)
    with running_login(config) as it:
        person = Person()
        person.log_in(it.entrance)
        it.wait()
    assert server.asked.count("POST /token") == 1


def test_a_stolen_code_is_worth_nothing(tmp_path: Path, server: OidcServer) -> None:
    """It goes with a verifier that never leaves us: somebody else's code is refused by the token server, by PKCE."""
    with running_login(configured(tmp_path, server, PKCE)) as one, running_login(configured(tmp_path, server, PKCE)) as other:
        person = Person()
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(one.ask("GET", "/", Host=f"localhost:{one.port}")[2]["Location"]).query))
        # The code of the other login, with this one's state and redirect address.
        location = other.ask("GET", "/", Host=f"localhost:{other.port}")[2]["Location"]
        parts = urllib.parse.urlsplit(location)
        query = {**dict(urllib.parse.parse_qsl(parts.query)), "state": asked["state"], "redirect_uri": asked["redirect_uri"]}
        crossed = parts._replace(query=urllib.parse.urlencode(query)).geturl()
        status, _, text = person.log_in(crossed)
        one.wait()
    assert status == 502
    assert "invalid_grant" in text
    assert "invalid_grant" in str(one.error)


def test_a_server_that_takes_only_json(tmp_path: Path, server: OidcServer) -> None:
    """sccache sends JSON; the standard is a form, which is tried first."""
    server.takes_only_json = True
    config = configured(tmp_path, server, PKCE)
    with running_login(config) as it:
        assert Person().log_in(it.entrance)[0] == 200
        it.wait()
    assert isinstance(client_token(config), str)
    assert server.asked.count("POST /token") == 2


ANSWERS = {
    "not JSON": (200, "<html>"),
    "no token": (200, "{}"),
    "another type": (200, '{"access_token": "s3cret", "token_type": "mac"}'),
    "no type": (200, '{"access_token": "s3cret"}'),
    "a line end": (200, '{"access_token": "s3cret\\r\\nX: y", "token_type": "bearer"}'),
    "an empty token": (200, '{"access_token": "", "token_type": "bearer"}'),
    "a number": (200, '{"access_token": 1, "token_type": "bearer"}'),
    "deep": (200, "[" * 60_000),
    "long": (200, '{"access_token": "' + "s3cret" * 100_000 + '", "token_type": "bearer"}'),
    "redirected": (302, ""),
    "failed": (500, "s3cret"),
    "refused": (400, '{"error": "invalid_client", "error_description": "\\u001b[2Jgo away"}'),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_token_server_that_gives_none(tmp_path: Path, server: OidcServer, name: str) -> None:
    """One sentence, without anything secret that may be in the answer."""
    status, text = ANSWERS[name]
    headers = {"Location": "http://127.0.0.1:9/?s3cret"} if status == 302 else {}
    server.token_answer = status, text, headers
    config = configured(tmp_path, server, PKCE)
    with running_login(config) as it:
        status, _, page = Person().log_in(it.entrance)
        it.wait()
    assert status == 502
    assert isinstance(it.error, LoginError)
    assert "s3cret" not in f"{page}{it.error}{it.warned}"
    assert "\x1b" not in f"{page}{it.error}"
    assert not os.path.exists(config.cached_conf)


def test_a_token_server_that_is_not_there(tmp_path: Path, server: OidcServer) -> None:
    """The message names it, without a query."""
    config = configured(tmp_path, server, PKCE, token_url="http://127.0.0.1:9/token?key=s3cret")
    with running_login(config) as it:
        assert Person().log_in(it.entrance)[0] == 502
        it.wait()
    assert "http://127.0.0.1:9/token" in str(it.error)
    assert "s3cret" not in str(it.error)


@BOTH
def test_a_short_validity_is_told(tmp_path: Path, server: OidcServer, kind: str) -> None:
    """In sccache's words."""
    server.lifetime_s = 3600
    with running_login(configured(tmp_path, server, kind)) as it:
        Person().log_in(it.entrance)
        it.wait()
    assert it.warned == ["Token retrieved expires in under two days"]


def test_nobody_comes(tmp_path: Path, server: OidcServer) -> None:
    """It does not listen for ever."""
    with running_login(configured(tmp_path, server, PKCE), deadline_s=0) as it:
        it.wait()
    assert str(it.error) == "Nobody has logged in within 0 seconds"


def test_a_token_that_cannot_be_kept(tmp_path: Path, server: OidcServer) -> None:
    """Page and command say so."""
    config = configured(tmp_path, server, PKCE)
    (tmp_path / "kept").write_text("something = 'else'")
    with running_login(config) as it:
        status, _, text = Person().log_in(it.entrance)
        it.wait()
    assert status == 502
    assert "Unable to save auth token" in text
    assert isinstance(it.error, ConfigError)
    assert (tmp_path / "kept").read_text() == "something = 'else'"


def test_other_logins_are_kept(tmp_path: Path, server: OidcServer) -> None:
    """Another farm's token stays."""
    config = configured(tmp_path, server, IMPLICIT)
    kept_tokens.save(config.cached_conf, "https://other", "t")
    with running_login(config) as it:
        Person().log_in(it.entrance)
        it.wait()
    assert set(kept_tokens.load(config.cached_conf)) == {"https://other", server.auth_url}


def test_a_fixed_token_needs_no_login(tmp_path: Path, server: OidcServer) -> None:
    """Nothing listens, nothing fails."""
    (tmp_path / "config").write_text('[dist.auth]\ntype = "token"\ntoken = "s3cret"\n')
    said: list[str] = []
    for conf in ("config", "none"):
        config = load_config({"HOME": str(tmp_path), "SCCACHE_CONF": str(tmp_path / conf)})
        login(config, said.append, said.append)
    assert said == ["note: dist.auth is a fixed token: there is nothing to log in to"] * 2


@pytest.mark.parametrize("url", ["", "login.example", "ftp://login.example", "http://", "http://[", "http://a b", "http://a:99999"])
def test_addresses_that_are_none(tmp_path: Path, server: OidcServer, url: str) -> None:
    """Before anything listens; both are looked at."""
    for name in ("auth_url", "token_url"):
        with pytest.raises(LoginError, match="Failed to parse URL"):
            login(configured(tmp_path, server, PKCE, **{name: url}), print, print)


def test_plain_http_to_elsewhere_is_warned_of(tmp_path: Path, server: OidcServer) -> None:
    """A code and its verifier are a token."""
    config = configured(tmp_path, server, PKCE, token_url="http://login.example/token")
    with running_login(config) as it:
        assert it.warned == ["warning: token_url is not https: whoever can read along gets the token"]


def test_ports_that_are_taken() -> None:
    """The next one; on either loopback address, for a browser takes `localhost` for both."""
    with contextlib.ExitStack() as stack:
        first, sockets = bind((0,))
        for each in sockets:
            stack.enter_context(each)
        second, more = bind((first, 0))
        for each in more:
            stack.enter_context(each)
        assert second != first
        assert {each.getsockname()[1] for each in more} == {second}
        assert all(each.getsockname()[0] in {"127.0.0.1", "::1"} for each in (*sockets, *more))
        with pytest.raises(LoginError, match=rf"Could not bind to any valid port: \({first}, {second}\)"):
            bind((first, second))
        if len(sockets) > 1:
            sockets[0].close()
            with pytest.raises(LoginError):
                bind((first,))
