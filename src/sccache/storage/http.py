"""The one HTTP client of our own backends (WebDAV, GitHub Actions).

Owns: the connection pool, proxies, redirects, reading bodies whole or not at all, and what kind of trouble a failure is.
Must not know: any service.  Makes no deadlines and no retries: `Remote` does.

Messages name the method, the host and the path, never the query, user information or a header: those hold secrets.
"""

import asyncio
import errno
import importlib
import io
import os
import ssl
import time
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import getproxies_environment

from msgspec import Struct

from sccache import __version__
from sccache.errors import StorageError, Trouble

if TYPE_CHECKING:
    import aiohttp

MAX_OBJECT_BYTES = 1 << 30
"""Longest body that is read; a cached result is at most `remote.max_entry_size`, by default 512 MiB."""
MAX_NOTE_BYTES = 64 << 10
"""Most that is read of the body of a failure."""
MAX_RETRY_AFTER_S = 600.0
"""A service may ask for more; asking it again after ten minutes is polite, and a job of an hour is not lost."""
MAX_REDIRECTS = 3
MAX_CONNECTIONS = 64
KEEPALIVE_S = 30.0
REPEATS = 3
"""How often a short request is sent again after its connection was cut off: a server closes idle connections whenever it likes, after
a hundred requests for instance (Apache), so several of the pool are gone at once."""
WHOLE_BODY_BYTES = 1 << 20
"""Longer bodies are sent in pieces: written at once they would block the event loop (aiohttp warns of that)."""

REDIRECTS = {301, 302, 303, 307, 308}
REPLAYED = {307, 308}
"""Redirects that keep the method (RFC 9110, 15.4); the others turn a PUT into a GET."""

STATUS_TROUBLE = {
    401: Trouble.DENIED,
    403: Trouble.DENIED,
    407: Trouble.DENIED,
    408: Trouble.TIMED_OUT,
    413: Trouble.TOO_LARGE,
    429: Trouble.RATE_LIMITED,
    504: Trouble.TIMED_OUT,
}
"""What a status means; anything else is an ERROR."""
WRITE_TROUBLE = {404: Trouble.WRONG_PLACE, 405: Trouble.READ_ONLY, 501: Trouble.READ_ONLY}
"""What a status means when something should be written."""
LIMITING = {403, 429, 503}
"""With Retry-After these mean "later"; GitHub's secondary limits are 403."""


class Answer(Struct, frozen=True):
    """A response, complete: its body has the length that was announced."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    request: str
    """Method and place, for messages."""

    @property
    def is_success(self) -> bool:
        """The service did what it was asked."""
        return 200 <= self.status < 300

    def failure(self, *, is_write: bool = False, note: str = "") -> StorageError:
        """What to raise if this status is none of those that the caller expects; `note` is added to the message."""
        retry_after_s = parse_retry_after(self.headers.get("Retry-After", ""))
        trouble = STATUS_TROUBLE.get(self.status, Trouble.ERROR)
        if is_write:
            trouble = WRITE_TROUBLE.get(self.status, trouble)
        if self.status in LIMITING and retry_after_s is not None:
            trouble = Trouble.RATE_LIMITED
        elif trouble is not Trouble.RATE_LIMITED:
            retry_after_s = None
        message = f"{self.request}: {self.status} {_phrase(self.status)}".rstrip()
        return StorageError(f"{message}; {note}" if note else message, trouble, retry_after_s=retry_after_s)


class Proxy(Struct, frozen=True):
    """The way to a host; without `url` it is direct."""

    url: str = ""
    headers: dict[str, str] = {}

    def options(self, scheme: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """What aiohttp is told for a request to an address of `scheme`: headers, and the proxy."""
        if not self.url:
            return {"headers": headers}
        if scheme == "http":  # the proxy reads the request itself
            return {"headers": {**headers, **self.headers}, "proxy": self.url}
        return {"headers": headers, "proxy": self.url, "proxy_headers": self.headers}


class HttpClient:
    """One pool of connections.  Made without I/O; the first request imports aiohttp, in a thread (it takes 0.2 s)."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._proxies: dict[tuple[str, str], Proxy] = {}

    async def request(  # noqa: PLR0913 -- what a request has
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        authorization: str = "",
        max_bytes: int = MAX_OBJECT_BYTES,
        name: str = "",
        is_repeatable: bool = False,
    ) -> Answer:
        """The answer of `url`, an absolute http(s) address that is already percent-encoded.

        `authorization` goes to the host of `url` only, also when that redirects.  `name` stands in messages for the path
        where that is a secret.  `is_repeatable`: a POST that may be sent again if the connection was closed under it, as
        all other requests are.
        Raises StorageError if there is no complete answer; any status is an answer.
        """
        session = await self._open()
        sent = {**(headers or {})}
        origin = _origin(_split(url, method))
        for _ in range(MAX_REDIRECTS + 1):
            parts = _split(url, method)
            if authorization and _origin(parts) == origin:
                sent["Authorization"] = authorization
            else:
                sent.pop("Authorization", None)
            request = f"{method} {shown(parts, name)}"
            answer = await self._send(session, method, url, body, sent, request, max_bytes, is_repeatable=is_repeatable)
            target = _redirect(answer, method, url)
            if target is None:
                return answer
            url = target
        raise StorageError(f"{answer.request}: more than {MAX_REDIRECTS} redirects", Trouble.ERROR)

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _open(self) -> "aiohttp.ClientSession":
        async with self._opening:
            if self._session is None:
                library = await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._session = library.ClientSession(
                    connector=library.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_S),
                    cookie_jar=library.DummyCookieJar(),
                    timeout=library.ClientTimeout(total=None, sock_connect=None),  # the caller has a deadline
                    # A compressed answer would have another length than the object.
                    headers={"User-Agent": f"sccache/{__version__}", "Accept-Encoding": "identity"},
                    auto_decompress=False,
                )
        return self._session

    async def _send(  # noqa: PLR0913, PLR0917 -- what `request` has made of its arguments
        self,
        session: "aiohttp.ClientSession",
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        request: str,
        max_bytes: int,
        *,
        is_repeatable: bool,
    ) -> Answer:
        import aiohttp
        import yarl

        address = yarl.URL(url, encoded=True)
        route = self._route(urlsplit(url), headers)
        is_short = body is None or len(body) <= WHOLE_BODY_BYTES
        tries = REPEATS if is_short and (is_repeatable or method != "POST") else 0
        while True:
            try:
                # BytesIO shares the memory of the bytes that it is given.
                data = body if is_short else io.BytesIO(body)  # type: ignore[arg-type]  # not None: that is short
                async with session.request(method, address, data=data, allow_redirects=False, **route) as response:
                    # Failures are short; an empty answer to PUT may say that it has any length.
                    content = await _whole(response, request, max_bytes if response.ok else MAX_NOTE_BYTES)
                    return Answer(response.status, response.headers, content, request)
            except (aiohttp.ClientError, OSError, ValueError) as e:
                was_cut = isinstance(e, aiohttp.ServerDisconnectedError | OSError) and not isinstance(e, aiohttp.ClientConnectorError)
                if not was_cut or tries == 0:
                    raise _trouble(aiohttp, e, request) from e
                tries -= 1

    def _route(self, parts: SplitResult, headers: Mapping[str, str]) -> dict[str, Any]:
        """What aiohttp is told of the way: headers, and the proxy.

        Not by its own `trust_env`: that also sends what ~/.netrc has for the host.
        """
        key = parts.scheme, parts.netloc
        proxy = self._proxies.get(key)
        if proxy is None:
            proxy = self._proxies[key] = proxy_for(parts)
        return proxy.options(parts.scheme, headers)


def proxy_for(parts: SplitResult) -> Proxy:
    """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the daemon say for an address; StorageError if that is of no use."""
    proxies = getproxies_environment()
    text = proxies.get(parts.scheme) or proxies.get("all") or ""
    host = parts.netloc.rpartition("@")[2]
    # Standard library, but typeshed does not know it.
    if not text or urllib.request.proxy_bypass_environment(host, proxies):  # type: ignore[attr-defined]
        return Proxy()
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    if proxy.scheme not in {"http", "https"}:
        raise StorageError(f"a proxy of the kind {proxy.scheme} is set in the environment; only http is supported", Trouble.UNREACHABLE)
    headers = {}
    if proxy.username:
        headers["Proxy-Authorization"] = encode_basic(unquote(proxy.username), unquote(proxy.password or ""))
    return Proxy(f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}", headers)


def encode_basic(username: str, password: str) -> str:
    """The value of Authorization for a user name and password (RFC 7617), in UTF-8."""
    import base64

    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def shown(parts: SplitResult, name: str = "") -> str:
    """An address for messages: no user information, no query."""
    host = parts.netloc.rpartition("@")[2]
    return f"{name} at {host}" if name else f"{parts.scheme}://{host}{parts.path}"


def parse_retry_after(text: str, now_s: float | None = None) -> float | None:
    """Seconds to wait, of a Retry-After header: a number, or a date (RFC 9110, 10.2.3); None if it is neither.

    At least 0, at most MAX_RETRY_AFTER_S.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        # More digits than this are for ever, and converting thousands of them is work that a server should not give us.
        return min(float(text[:12]), MAX_RETRY_AFTER_S)
    try:
        date = parsedate_to_datetime(text)
        wait_s = date.timestamp() - (time.time() if now_s is None else now_s)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _whole(response: "aiohttp.ClientResponse", request: str, max_bytes: int) -> bytes:
    """The body, in memory once: a BytesIO grows in place and gives its buffer away without a copy."""
    length = response.content_length
    is_wanted = response.ok and response.method in {"GET", "POST"} and response.status != 204
    if is_wanted:
        _check_head(response, request, max_bytes)
    buffer = io.BytesIO()
    async for piece in response.content.iter_any():
        buffer.write(piece)
        if buffer.tell() > max_bytes:
            if is_wanted:
                raise StorageError(f"{request}: the answer has more than the {max_bytes} bytes that are accepted", Trouble.TOO_LARGE)
            break
    if is_wanted and length is not None and buffer.tell() != length:
        raise StorageError(f"{request}: the answer ended after {buffer.tell()} of {length} bytes", Trouble.ERROR)
    return buffer.getvalue()


def _check_head(response: "aiohttp.ClientResponse", request: str, max_bytes: int) -> None:
    """Whether the end of the body can be told from a lost connection, its bytes are those of the object, and it is not too long."""
    length = response.content_length
    if length is not None and length > max_bytes:
        raise StorageError(f"{request}: the answer has {length} bytes, more than the {max_bytes} that are accepted", Trouble.TOO_LARGE)
    if length is None and response.headers.get("Transfer-Encoding", "").lower() != "chunked":
        raise StorageError(f"{request}: the answer has no length, so it may be incomplete", Trouble.ERROR)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise StorageError(f"{request}: the answer is compressed, which was not asked for", Trouble.ERROR)


def _redirect(answer: Answer, method: str, url: str) -> str | None:
    """Where to ask next, if that is safe: the same method, and never from https to http."""
    location = answer.headers.get("Location", "")
    if answer.status not in REDIRECTS or not location:
        return None
    try:
        target = urljoin(url, location)
    except ValueError:
        target = "http://["  # no address either
    parts = _split(target, answer.request)
    is_downgrade = urlsplit(url).scheme == "https" and parts.scheme != "https"
    if parts.scheme not in {"http", "https"} or is_downgrade or (method not in {"GET", "HEAD"} and answer.status not in REPLAYED):
        raise StorageError(f"{answer.request}: it is redirected to {shown(parts)}, which is not followed", Trouble.WRONG_PLACE)
    return target


def _split(url: str, request: str) -> SplitResult:
    """The parts of an address that a service may have named."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # is looked at only here
    except ValueError as e:
        raise StorageError(f"{request}: an address came that is none", Trouble.ERROR) from e
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """What credentials belong to (RFC 6454)."""
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _trouble(library: Any, error: Exception, request: str) -> StorageError:
    """What a failed exchange means.  Words of the library are not repeated: they may hold the address with its query."""
    trouble, reason = _tls(error) if isinstance(error, library.ClientSSLError | ssl.SSLError) else _connection(library, error)
    return StorageError(f"{request}: {reason}", trouble)


def _tls(error: Exception) -> tuple[Trouble, str]:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    detail = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or "the handshake failed"
    return Trouble.BAD_TLS, f"bad TLS ({detail})"


def _connection(library: Any, error: Exception) -> tuple[Trouble, str]:
    match error:
        case library.ClientHttpProxyError():
            return Trouble.DENIED if error.status in {403, 407} else Trouble.UNREACHABLE, f"the proxy answered {error.status}"
        case library.ClientProxyConnectionError():
            return Trouble.UNREACHABLE, f"the proxy cannot be reached ({_cause(error)})"
        case library.ClientConnectorError():
            return Trouble.UNREACHABLE, f"no connection ({_cause(error)})"
        case library.ClientPayloadError():
            return Trouble.ERROR, "the answer ended early"
        case library.ServerConnectionError() | OSError():
            return Trouble.UNREACHABLE, "the connection was cut off"
        case _:
            return Trouble.ERROR, f"this is not HTTP as we know it ({type(error).__name__})"


def _cause(error: Any) -> str:
    """Of a connection that could not be made: the system's words for it."""
    number = error.os_error.errno
    return os.strerror(number).lower() if number in errno.errorcode else "unknown host"
