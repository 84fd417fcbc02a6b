"""The way from a client to its scheduler: through the proxy that the environment names, and what it is called where it leads nowhere.

Proxies count as they do for caches: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.  Workers are never asked through one: they show
certificates of their own, and what goes there is long.

Owns: the sentences about exchanges that failed.  Must not know: what is asked, tokens.  No sentence has a password.
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sccache.errors import StorageError
from sccache.storage.http import Proxy, proxy_for

DENIED = {401, 403}
"""Statuses that mean that it does not want the token."""


class WayError(Exception):
    """With a sentence."""


class Way:
    """To one scheduler.  Made without I/O."""

    def __init__(self, url: str) -> None:
        """`url` may have user information, which is used nowhere: a request has one proof of who it is, the token (RFC 9110, 11.6.2)."""
        self.url = _without_user(url).rstrip("/")
        self._proxy: Proxy | None = None

    def options(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """What aiohttp is told beside the address; WayError if the environment names a proxy that is of no use."""
        if self._proxy is None:
            parts = urlsplit(self.url)
            try:
                self._proxy = proxy_for(parts)
            except (StorageError, ValueError) as e:
                raise WayError(f"The scheduler {self.url} cannot be reached: {e}.") from None
        return self._proxy.options(urlsplit(self.url).scheme, headers)

    @property
    def name(self) -> str:
        """The scheduler, for sentences: an answer may be the proxy's."""
        behind = f" behind the proxy {self._proxy.url}" if self._proxy is not None and self._proxy.url else ""
        return f"The scheduler {self.url}{behind}"

    def trouble(self, error: Exception) -> str:
        """Why there was no answer.  The library's own words are not told: they may have an address with a password in it."""
        import aiohttp

        if isinstance(error, asyncio.TimeoutError):
            return f"{self.name} does not answer."
        reason = _unreachable(error)
        if reason:
            return f"{self.name} cannot be reached: {reason}."
        if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
            return f"{self.name} cannot be trusted: {_tls(error)}."
        if isinstance(error, aiohttp.ServerDisconnectedError):
            hint = ": does it speak https?" if self.url.startswith("http:") else "."
            return f"{self.name} closes the connection without an answer{hint}"
        return f"The exchange with {self.name[0].lower()}{self.name[1:]} failed ({type(error).__name__})."


def _unreachable(error: Exception) -> str:
    """Why there is no connection; empty if there was one."""
    import aiohttp

    match error:
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy has no connection for us ({_why(error.os_error)})"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answers {error.status}; NO_PROXY names hosts that need none"
        case aiohttp.ClientConnectorError() if not isinstance(error, aiohttp.ClientSSLError):
            return _why(error.os_error)
    return ""


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path}"


def _tls(error: Exception) -> str:
    """OpenSSL's word.  Its error numbers are no errno, which says "Operation not permitted" for 1."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    reason = str(getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or "the handshake failed")
    return "it does not speak TLS" if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"} else reason


def _why(error: OSError) -> str:
    """What the system calls it: asyncio has words of its own, and looking up a name has numbers of its own."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or "no connection"
