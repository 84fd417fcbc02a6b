"""Access tokens that expire: fetched at first use, shared by all requests, renewed before their end.

Owns: when a token is fetched, what token endpoints answer.  Must not know: any cloud.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from sccache.errors import StorageError, Trouble
from sccache.storage.http import Answer, HttpClient

EARLY_S = 300.0
"""A token is renewed that long before its end, or in the last quarter of a shorter life."""
PAUSE_S = 10.0
"""While the old token still serves, a renewal that failed is not tried again at once."""
DEFAULT_LIFE_S = 300.0
"""Of a token whose answer has no usable end."""
MAX_ANSWER_BYTES = 64 << 10
METADATA_PATIENCE_S = 5.0
"""Machines outside of a cloud drop packets to its metadata server: nothing comes back, not even an error."""


class Token(Struct, frozen=True):
    """What goes behind `Bearer`."""

    value: str
    expires_at_s: float
    """Seconds since 1970."""


class TokenKeeper:
    """The current token of one source; any number of tasks may ask for it."""

    def __init__(self, fetch: Callable[[], Awaitable[Token]]) -> None:
        self._fetch = fetch
        self._token: Token | None = None
        self._renew_at_s = 0.0
        self._fetching: asyncio.Task[Token] | None = None

    async def get(self) -> str:
        """A token that is valid now; StorageError if there is none."""
        now_s = time.time()
        token = self._token
        if token is not None and now_s < self._renew_at_s:
            return token.value
        try:
            token = await self._fetch_once()
        except StorageError:
            if token is None or time.time() >= token.expires_at_s:
                raise
            self._renew_at_s = time.time() + PAUSE_S
        return token.value

    def drop(self, value: str) -> None:
        """The service refused `value`: fetch another one for the next request."""
        if self._token is not None and self._token.value == value:
            self._token = None

    async def aclose(self) -> None:
        """Give up what is being fetched."""
        task, self._fetching = self._fetching, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _fetch_once(self) -> Token:
        """One fetch, however many wait for it; who stops waiting does not end it for the others."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
            self._fetching.add_done_callback(self._fetched)
        return await asyncio.shield(self._fetching)

    async def _renew(self) -> Token:
        token = await self._fetch()
        life_s = token.expires_at_s - time.time()
        self._renew_at_s = token.expires_at_s - min(EARLY_S, life_s / 4)
        self._token = token
        return token

    def _fetched(self, task: "asyncio.Task[Token]") -> None:
        if self._fetching is task:
            self._fetching = None
        if not task.cancelled():
            task.exception()  # looked at: perhaps nobody waits for it any more


class DirectHttpClient(HttpClient):
    """Past all proxies: a metadata server is on this machine's own link, and its tokens are nobody else's."""

    def _route(self, parts: object, headers: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        return {"headers": headers}


def record_of(answer: Answer) -> dict[str, Any]:
    """The JSON object of a token endpoint's success; StorageError for anything else.

    Of a refusal only OAuth's error code is repeated (RFC 6749, 5.2), never its description.
    """
    record: object = None
    with contextlib.suppress(msgspec.DecodeError):
        record = msgspec.json.decode(answer.body)
    if not answer.is_success:
        failure = answer.failure(note=_error_code(record))
        # RFC 6749, 5.2: what is wrong with a grant or client is told with status 400.
        is_refusal = answer.status in {400, 404}
        raise StorageError(str(failure), Trouble.DENIED) if is_refusal else failure
    if not isinstance(record, dict):
        raise StorageError(f"{answer.request}: the answer is no JSON object", Trouble.ERROR)
    return record


def oauth_token(answer: Answer) -> Token:
    """Of a token endpoint (RFC 6749, 5.1); Azure's metadata server writes the seconds as text."""
    record = record_of(answer)
    try:
        life_s = float(record.get("expires_in", DEFAULT_LIFE_S))
    except (TypeError, ValueError):
        life_s = DEFAULT_LIFE_S
    return checked(answer, record.get("access_token"), time.time() + life_s)


def checked(answer: Answer, value: object, expires_at_s: float) -> Token:
    """A token that can be sent in a header; StorageError if `value` is none."""
    if not isinstance(value, str) or not value or any(not 32 < ord(character) < 127 for character in value):
        raise StorageError(f"{answer.request}: the answer has no access token", Trouble.ERROR)
    return Token(value, expires_at_s)


async def ask_form(http: HttpClient, url: str, fields: Mapping[str, str]) -> Answer:
    """POST of a form, as OAuth has it."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    return await http.request("POST", url, body=urlencode(fields).encode(), headers=headers, max_bytes=MAX_ANSWER_BYTES, is_repeatable=True)


async def ask_metadata(http: HttpClient, url: str, headers: Mapping[str, str], advice: str) -> Answer:
    """GET from the cloud's own machine; without one there are no credentials, which `advice` explains."""
    try:
        async with asyncio.timeout(METADATA_PATIENCE_S):
            answer = await http.request("GET", url, headers=headers, max_bytes=MAX_ANSWER_BYTES)
    except TimeoutError:
        raise StorageError(f"no credentials were found: the metadata server does not answer; {advice}", Trouble.DENIED) from None
    except StorageError as e:
        raise StorageError(f"no credentials were found: {e}; {advice}", Trouble.DENIED) from e
    # 400, 403, 404: it has no such identity.  Metadata servers also limit rates, and fail for a while: that passes.
    if 400 <= answer.status < 500 and answer.status != 429:
        raise StorageError(f"no credentials were found: {answer.failure()}; {advice}", Trouble.DENIED)
    return answer


def _error_code(record: object) -> str:
    code = record.get("error") if isinstance(record, dict) else None
    if isinstance(code, dict):
        code = code.get("status")
    return code if isinstance(code, str) and code.isascii() and code.replace("_", "").isalnum() and len(code) < 65 else ""
