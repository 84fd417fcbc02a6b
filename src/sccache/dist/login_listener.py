"""The address on this machine to which a login's browser is sent back.

    GET  /                  off to the authorization server
    GET  /auth_detail.json  its address as JSON, for programs that drive a browser
    GET  /redirect          the answer, in the query; of an implicit login a page that posts the fragment, which only it can see
    POST /save_auth         that fragment, as a form

It listens on loopback addresses only, for one login.  Other web pages in the user's browser can send requests here, so: the Host
header must be ours (a name of theirs that leads here is not: DNS rebinding), and an answer counts by its state alone.

Owns: sockets, routes, pages and their headers.  Must not know: OAuth, files.  Nothing of a request is logged or shown.
"""

import asyncio
import base64
import contextlib
import errno
import hashlib
import html
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from sccache.dist.login_rules import LoginError, StrangerError
from sccache.errors import SccacheError

PORTS = (12731, 32492, 56909)
"""Those that sccache has always used: authorization servers have them on their lists of redirect addresses."""
MAX_BODY_BYTES = 32 << 10
MAX_HEAD_BYTES = 32 << 10
MAX_FIELDS = 64
GRACE_S = 2.0
"""For the last page to reach the browser."""
DONE = "sccache has its token. You can close this page."
OVER = "This login is over. To log in again run `sccache --dist-auth`."

_SCRIPT = """
const answer = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const say = text => { document.getElementById("text").textContent = text; };
fetch("/save_auth", {method: "POST", headers: {"Content-Type": "application/x-www-form-urlencoded"}, body: answer})
  .then(reply => reply.text()).then(say, () => say("sccache does not listen any more."));
"""
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; script-src 'sha256-{_SCRIPT_HASH}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Finish = Callable[[Iterable[tuple[str, str]]], Awaitable[None]]
"""What is done with the parameters of an answer; StrangerError: go on waiting; other SccacheError: that was it."""


def bind(ports: Sequence[int] = PORTS) -> tuple[int, list[socket.socket]]:
    """The first port that is free on all loopback addresses (browsers take `localhost` for either), and sockets there.

    LoginError if there is none.
    """
    for port in ports:
        with contextlib.ExitStack() as stack:
            try:
                sockets = [stack.enter_context(found) for found in _loopback(port)]
            except OSError as e:
                if e.errno not in {errno.EADDRINUSE, errno.EACCES}:
                    raise LoginError(f"Could not listen on localhost: {e.strerror}") from None
                continue
            stack.pop_all()
            return sockets[0].getsockname()[1], sockets
    raise LoginError(f"Could not bind to any valid port: ({', '.join(map(str, ports))})")


def _loopback(port: int) -> Iterable[socket.socket]:
    first = _listening(socket.AF_INET, "127.0.0.1", port)
    yield first
    try:
        yield _listening(socket.AF_INET6, "::1", first.getsockname()[1])
    except OSError as e:
        if e.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # a machine without IPv6
            raise


def _listening(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last login may still be in TIME_WAIT
        made.bind((host, port))
        made.listen(16)
    except OSError:
        made.close()
        raise
    return made


class Listener:
    """Of one login."""

    def __init__(self, port: int, authorize_url: str, finish: Finish, tell: Callable[[str], None], *, is_implicit: bool) -> None:
        """`tell` is given sentences about requests that failed and did not end the login."""
        self._origins = {f"http://{host}:{port}" for host in ("localhost", "127.0.0.1", "[::1]")}
        self._authorize_url = authorize_url
        self._finish = finish
        self._tell = tell
        self._is_implicit = is_implicit
        self._outcome: asyncio.Future[SccacheError | None] = asyncio.get_running_loop().create_future()
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def listen(self, sockets: Iterable[socket.socket]) -> AsyncIterator[None]:
        """Serve; at the end answers under way are sent, and the sockets are closed."""
        quiet = logging.getLogger(f"{__name__}.http")
        quiet.disabled = True  # aiohttp quotes requests that it cannot read
        runner = web.AppRunner(
            self.application(), access_log=None, logger=quiet, shutdown_timeout=GRACE_S,
            max_line_size=MAX_HEAD_BYTES, max_field_size=MAX_HEAD_BYTES,
        )  # fmt: skip
        await runner.setup()
        try:
            for each in sockets:
                await web.SockSite(runner, each).start()
            yield
        finally:
            await runner.cleanup()

    async def over(self) -> None:
        """Wait for the end of the login; SccacheError if it failed."""
        error = await asyncio.shield(self._outcome)
        if error is not None:
            raise error

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._guard])
        app.router.add_get("/", self._begin, allow_head=False)
        app.router.add_get("/auth_detail.json", self._detail, allow_head=False)
        app.router.add_get("/redirect", self._page if self._is_implicit else self._redirected, allow_head=False)
        if self._is_implicit:
            app.router.add_post("/save_auth", self._saved)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """Who may ask, and what every answer says to the browser."""
        try:
            response = await handler(request) if self._is_ours(request) else _text(403, "This is for localhost only.")
        except web.HTTPException as e:
            response = _text(e.status, e.reason)
        except Exception as e:  # noqa: BLE001 -- its text may quote the request
            self._tell(f"Error during a request to {request.path} on the client auth web server ({type(e).__name__})")
            response = _text(500, "sccache has failed.")
        response.headers.update(_HEADERS)
        return response

    def _is_ours(self, request: web.Request) -> bool:
        is_own_host = f"http://{request.headers.get(hdrs.HOST, '').lower()}" in self._origins
        origin = request.headers.get(hdrs.ORIGIN) if request.method == hdrs.METH_POST else None
        return is_own_host and (origin is None or origin in self._origins)

    async def _begin(self, _: web.Request) -> web.Response:
        if self._outcome.done():
            return _text(410, OVER)
        return web.Response(status=302, headers={"Location": self._authorize_url})

    async def _detail(self, _: web.Request) -> web.Response:
        return web.json_response(self._authorize_url)

    async def _page(self, _: web.Request) -> web.Response:
        return _html(200, "One moment…", f"<script>{_SCRIPT}</script>")

    async def _redirected(self, request: web.Request) -> web.Response:
        status, text = await self._answered(request, request.rel_url.raw_query_string)
        return _html(status, text)

    async def _saved(self, request: web.Request) -> web.Response:
        body = await request.read()
        return _text(*await self._answered(request, body.decode("ascii", "replace")))

    async def _answered(self, request: web.Request, query: str) -> tuple[int, str]:
        try:
            parameters = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            return 400, "There are too many parameters."
        async with self._turn:  # a page that is loaded twice: the code can be redeemed once
            if self._outcome.done():
                return 410, OVER
            try:
                await self._finish(parameters)
            except StrangerError as e:
                self._tell(f"Error during a request to {request.path} on the client auth web server: {e}")
                return 400, f"{e}."
            except SccacheError as e:
                self._outcome.set_result(e)
                return 502, f"{e}."
            self._outcome.set_result(None)
            return 200, DONE


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")


def _html(status: int, text: str, more: str = "") -> web.Response:
    page = f'<!doctype html><meta charset="utf-8"><title>sccache</title><p id="text">{html.escape(text)}</p>{more}\n'
    return web.Response(status=status, text=page, content_type="text/html")
