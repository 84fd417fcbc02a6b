"""An authorization server by Authlib: code grant with PKCE (S256 only, required), implicit grant, RS256 access tokens, JWKS, userinfo.

RFC 6749, 7636, 9068, 7517; OpenID Connect Core 5.3.  It runs in a thread, so that blocking and asyncio tests can both use it:
`with oidc() as server`.  A person's part is played by `Person` over plain HTTP, or by a browser with `consents_by_itself`.
"""
# ruff: noqa: ARG002, ARG005 -- methods that Authlib calls

import asyncio
import contextlib
import html
import json
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any

from aiohttp import web
from authlib.oauth2 import AuthorizationServer, OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, JsonRequest, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID = "sccache-client"
USER, PASSWORD = "developer", "correct horse"
AUDIENCE = "https://farm.example"


class _User:
    @staticmethod
    def get_user_id() -> str:
        return USER


class _Client(ClientMixin):
    """A native application: public, with redirects to loopback at any port (RFC 8252, 7.3)."""

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        parts = urllib.parse.urlsplit(redirect_uri)
        return (parts.scheme, parts.hostname, parts.path, parts.query) == ("http", "localhost", "/redirect", "")

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        return response_type in {"code", "token"}

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "implicit"}


class _Given(AuthorizationCodeMixin):
    def __init__(self, request: Any, code: str) -> None:
        self.code = code
        self.redirect_uri = request.payload.redirect_uri
        self.scope = request.scope
        self.code_challenge = request.payload.data.get("code_challenge")
        self.code_challenge_method = request.payload.data.get("code_challenge_method")
        self.ends = time.time() + 60

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return str(self.scope or "")


class _Challenge(CodeChallenge):
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 -- Authlib's
    CODE_CHALLENGE_METHODS = {"S256": CodeChallenge.CODE_CHALLENGE_METHODS["S256"]}  # noqa: RUF012


class _CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]  # noqa: RUF012

    def save_authorization_code(self, code: str, request: Any) -> None:
        self.server.codes[code] = _Given(request, code)

    def query_authorization_code(self, code: str, client: Any) -> _Given | None:
        given = self.server.codes.get(code)
        return given if given is not None and given.ends > time.time() else None

    def delete_authorization_code(self, authorization_code: _Given) -> None:
        del self.server.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: _Given) -> _User:
        return _User()


class _Tokens(JWTBearerTokenGenerator):
    def __init__(self, server: "OidcServer") -> None:
        super().__init__(server.url, expires_generator=lambda client, grant_type: server.lifetime_s)
        self._server = server

    def get_jwks(self) -> RSAKey:
        return self._server.keys[-1]

    def access_token_generator(self, client: Any, grant_type: str, user: Any, scope: str) -> str:
        claims = {"client_id": CLIENT_ID, "sub": user.get_user_id(), "scope": scope}
        return self._server.sign(**claims)


class _Request(OAuth2Request):
    def __init__(self, request: web.Request, form: dict[str, str]) -> None:
        # Authlib wants TLS, which a proxy in front would have.
        super().__init__(request.method, str(request.url.with_scheme("https")), headers=dict(request.headers))
        self._args = dict(request.query)
        self._form = form
        self.payload = BasicOAuth2Payload(form if request.path == "/token" else {**self._args, **form})

    @property
    def args(self) -> dict[str, str]:
        return self._args

    @property
    def form(self) -> dict[str, str]:
        return self._form


class _Authority(AuthorizationServer):
    def __init__(self, server: "OidcServer") -> None:
        super().__init__()
        self.codes: dict[str, _Given] = {}
        self.register_token_generator("default", _Tokens(server))
        self.register_grant(_CodeGrant, [_Challenge(required=True)])
        self.register_grant(grants.ImplicitGrant)

    def query_client(self, client_id: str) -> _Client | None:
        return _Client() if client_id == CLIENT_ID else None

    def save_token(self, token: object, request: object) -> None:
        pass

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        pass

    def create_oauth2_request(self, request: Any) -> Any:
        return request

    def create_json_request(self, request: Any) -> JsonRequest:
        raise NotImplementedError

    def handle_response(self, status: int, body: Any, headers: Any) -> web.Response:
        text = json.dumps(body) if isinstance(body, dict) else str(body or "")
        return web.Response(status=status, text=text, headers=dict(headers))


class OidcServer:
    """What a test can see and change."""

    def __init__(self) -> None:
        self.url = ""
        self.audience = AUDIENCE
        self.lifetime_s = 7 * 24 * 3600
        self.keys = [_key()]
        self.asked: list[str] = []
        """Method and path of each request."""
        self.consents_by_itself = False
        """The page of `/authorize` presses its own button, for a browser without a person."""
        self.takes_only_json = False
        """As servers that were written for sccache may."""
        self.token_answer: tuple[int, str, dict[str, str]] | None = None
        """Status, text and headers in place of the true ones, if set."""
        self._session = secrets.token_urlsafe()

    @property
    def auth_url(self) -> str:
        return f"{self.url}/authorize?audience={urllib.parse.quote(self.audience, safe='')}"

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/jwks.json"

    @property
    def userinfo_url(self) -> str:
        return f"{self.url}/userinfo"

    def rotate(self, *, forget: bool = False) -> None:
        """Sign with a new key from now on; `forget`: the old ones are no longer published."""
        self.keys = [*([] if forget else self.keys), _key()]

    def sign(self, key: Any = None, header: dict[str, object] | None = None, **claims: object) -> str:
        """An access token; any claim or header field can be another, or absent by None."""
        now = int(time.time())
        key = key or self.keys[-1]
        all_claims = {
            "iss": self.url, "aud": self.audience, "sub": USER, "iat": now, "exp": now + self.lifetime_s,
            "jti": secrets.token_hex(8), **claims,
        }  # fmt: skip
        all_headers = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid, **(header or {})}
        return jwt.encode(
            {name: value for name, value in all_headers.items() if value is not None},
            {name: value for name, value in all_claims.items() if value is not None},
            key,
            algorithms=[str(all_headers["alg"])],
        )

    def application(self) -> web.Application:
        """The routes."""

        @web.middleware
        async def note(request: web.Request, handler: Any) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.path}")
            return await handler(request)

        self._authority = _Authority(self)
        app = web.Application(middlewares=[note])
        app.router.add_get("/authorize", self._consent)
        app.router.add_post("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/jwks.json", self._jwks)
        app.router.add_get("/userinfo", self._userinfo)
        return app

    async def _consent(self, request: web.Request) -> web.Response:
        """What a person sees: who asks, and a form."""
        asked = _Request(request, {})
        try:
            self._authority.get_consent_grant(asked, _User())
        except OAuth2Error as e:
            return self._authority.handle_error_response(asked, e)
        script = "<script>document.forms[0].submit()</script>" if self.consents_by_itself else ""
        page = (
            f'<form method="post" action="{html.escape(str(request.rel_url))}">{CLIENT_ID} wants to compile for you.'
            f'<input name="user" value="{USER}"><input name="password" value="{PASSWORD}">'
            f'<input type="hidden" name="csrf" value="{self._session}"><input name="decision" value="allow"></form>{script}'
        )
        response = web.Response(text=page, content_type="text/html")
        response.set_cookie("session", self._session, httponly=True, samesite="Lax")
        return response

    async def _authorize(self, request: web.Request) -> web.Response:
        form = {str(name): str(value) for name, value in (await request.post()).items()}
        if form.get("csrf") != self._session or request.cookies.get("session") != self._session:
            return web.Response(status=403)
        is_granted = (form.get("user"), form.get("password"), form.get("decision")) == (USER, PASSWORD, "allow")
        asked = _Request(request, {})
        asked.payload = BasicOAuth2Payload(dict(request.query))
        grant = self._authority.get_consent_grant(asked, _User())
        answer: web.Response = self._authority.create_authorization_response(asked, _User() if is_granted else None, grant)
        return answer

    async def _token(self, request: web.Request) -> web.Response:
        if self.token_answer is not None:
            status, text, headers = self.token_answer
            return web.Response(status=status, text=text, headers=headers)
        if self.takes_only_json:
            if request.content_type != "application/json":
                return web.json_response({"error": "Unsupported Media Type"}, status=415)
            form = await request.json()
        else:
            form = {str(name): str(value) for name, value in (await request.post()).items()}
        answer: web.Response = self._authority.create_token_response(_Request(request, form))
        return answer

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet(list(self.keys)).as_dict(private=False))

    async def _userinfo(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = jwt.decode(token, KeySet(list(self.keys)), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            claims = {}
        if scheme != "Bearer" or claims.get("exp", 0) <= time.time():
            return web.json_response({"error": "invalid_token"}, status=401)
        return web.json_response({"sub": claims["sub"]})


@contextlib.contextmanager
def oidc() -> Iterator[OidcServer]:
    """A server on loopback, at a port of the system's choice."""
    server = OidcServer()
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        if not started.wait(30):
            raise RuntimeError("the server does not start")
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class Person:
    """Somebody with a browser that knows cookies and redirects, and no scripts."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar()))

    def open(self, url: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str, str]:
        """Status, address in the end (with its fragment), text."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, answer.geturl(), answer.read().decode()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.geturl(), e.read().decode()

    def log_in(self, entrance: str, **changes: str) -> tuple[int, str, str]:
        """From sccache's address through the server's form and back: the last answer.  An implicit login's page posts its fragment."""
        status, url, text = self.open(entrance)
        if status != 200:
            return status, url, text
        form = {"user": USER, "password": PASSWORD, "decision": "allow", "csrf": text.partition('name="csrf" value="')[2].partition('"')[0]}
        status, url, text = self.open(url, {**form, **changes})
        _, hash_sign, fragment = url.partition("#")
        if not hash_sign:
            return status, url, text
        return self.open(urllib.parse.urljoin(url, "/save_auth"), dict(urllib.parse.parse_qsl(fragment)))


def _key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"}, auto_kid=False)
