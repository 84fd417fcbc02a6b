"""The client's way to the scheduler: asking for places, and leaving it alone for a while when it cannot be asked.

    open ── anything but an answer ──▶ closed for PAUSE_S ──▶ one question as a probe ──▶ open, or closed again

Owns: the connections to the scheduler, the token for it, what is told of its trouble.  Must not know: workers, jobs.
"""

import asyncio
import contextlib
import importlib
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from sccache import __version__
from sccache.config.schema import Config
from sccache.dist.client_body import sentence_of
from sccache.dist.kept_tokens import ClientToken, NoToken
from sccache.dist.messages import Allocate, Granted, Refused
from sccache.dist.scheduler_way import DENIED, Way, WayError

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger(__name__)

PAUSE_S = 30.0
CONNECT_S = 5.0
ANSWER_S = 10.0
"""On top of the time that the request itself says."""
KEEPALIVE_S = 30.0
MAX_ANSWER_BYTES = 64 << 10
LOGIN_HINT = "run `sccache --dist-auth`"

_DECODER: msgspec.json.Decoder[Granted | Refused] = msgspec.json.Decoder(Granted | Refused)


class Trouble(Struct, frozen=True):
    """There was no answer to the question."""

    reason: str
    """A sentence without secrets."""
    is_failure: bool = True
    """False: it was not even asked, or another question has told already."""


class Limits(Struct, frozen=True):
    """Seconds."""

    pause_s: float = PAUSE_S
    connect_s: float = CONNECT_S
    answer_s: float = ANSWER_S


class Scheduler:
    """One scheduler.  Made without I/O."""

    def __init__(self, config: Config, limits: Limits | None = None) -> None:
        """Of `config` it is the `dist` section, and where tokens are kept."""
        self._way = Way(config.dist.scheduler_url or "")
        self._token = ClientToken(config)
        self._has_login = (config.dist.auth or {}).get("type", "token") != "token"
        self._shown_token: str | NoToken | None = None
        self._limits = limits or Limits()
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._closed_until_s = 0.0
        self._is_probing = False
        self.trouble = ""
        """Why it is left alone; empty while it is not."""

    def is_open(self) -> bool:
        """Whether a question has a chance."""
        if not self.trouble:
            return True
        return not self._is_probing and (time.monotonic() >= self._closed_until_s or self._has_new_token())

    async def allocate(self, request: Allocate) -> Granted | Refused | Trouble:
        """The scheduler's word.  A cancelled question leaves its queue."""
        if not self.is_open():
            return Trouble(self.trouble, is_failure=False)
        with self._probe():
            try:
                if self.trouble:  # whether it is back is known at once, and not when a place gets free
                    answer = self._opened(await self._ask(msgspec.structs.replace(request, wait_s=0.0)))
                    if not (request.wait_s and isinstance(answer, Refused)):
                        return answer
                return self._opened(await self._ask(request))
            except _NoAnswerError as e:
                return self._close(str(e))

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _has_new_token(self) -> bool:
        """Somebody has logged in since: that is worth a question at once."""
        return self._has_login and self._token.read() != self._shown_token

    def _opened(self, answer: Granted | Refused) -> Granted | Refused:
        if self.trouble:
            log.info("%s answers again", self._way.name)
        self.trouble, self._closed_until_s = "", 0.0
        return answer

    def _close(self, reason: str) -> Trouble:
        """Questions that were under way together fail together: that is one failure, and one line of the log, however many they are."""
        now = time.monotonic()
        is_news = now >= self._closed_until_s
        self.trouble = reason
        if is_news:
            self._closed_until_s = now + self._limits.pause_s
        return Trouble(reason, is_failure=is_news)

    @contextlib.contextmanager
    def _probe(self) -> Iterator[None]:
        """After the pause a single question decides."""
        if not self.trouble:
            yield
            return
        self._is_probing = True
        try:
            yield
        finally:
            self._is_probing = False

    async def _ask(self, request: Allocate) -> Granted | Refused:
        import aiohttp

        session = await self._open()
        token = self._shown_token = self._token.read()
        if isinstance(token, NoToken):
            raise _NoAnswerError(f"{token.reason}.")
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        body = msgspec.json.encode(request)
        try:
            options = self._way.options(headers)
            async with asyncio.timeout(request.wait_s + self._limits.answer_s):
                try:
                    return await self._send(session, body, options)
                except aiohttp.ServerDisconnectedError:  # it closed the connection while that was idle
                    return await self._send(session, body, options)
        except WayError as e:
            raise _NoAnswerError(str(e)) from e
        except (aiohttp.ClientError, OSError, ValueError) as e:
            raise _NoAnswerError(self._way.trouble(e)) from e

    async def _send(self, session: "aiohttp.ClientSession", body: bytes, options: dict[str, Any]) -> Granted | Refused:
        async with session.post(f"{self._way.url}/api/v2/allocate", data=body, allow_redirects=False, **options) as response:
            text = bytearray()
            async for piece in response.content.iter_any():
                text += piece
                if len(text) > MAX_ANSWER_BYTES:
                    raise _NoAnswerError(f"{self._way.name} gives an endless answer.")
            if response.status == 200:
                try:
                    return _DECODER.decode(text)
                except msgspec.MsgspecError as e:
                    raise _NoAnswerError(f"{self._way.name} gives an answer that is none: is it sccache-dist's?") from e
            raise _NoAnswerError(self._refusal(response.status, text))

    def _refusal(self, status: int, body: bytes | bytearray) -> str:
        if status in DENIED:
            hint = LOGIN_HINT if self._has_login else "look at dist.auth in the configuration file"
            return f"{self._way.name} refuses the token ({status}): {hint}."
        return f"{self._way.name} answers {status}{sentence_of(body)}"

    async def _open(self) -> "aiohttp.ClientSession":
        async with self._opening:
            if self._session is None:
                library = await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._session = library.ClientSession(
                    # Questions wait in the scheduler's queue, each on its connection: their number is that of compiles.
                    connector=library.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S),
                    cookie_jar=library.DummyCookieJar(),
                    timeout=library.ClientTimeout(total=None, sock_connect=self._limits.connect_s),
                    headers={"User-Agent": f"sccache/{__version__}", "Accept-Encoding": "identity"},
                )
        return self._session


class _NoAnswerError(Exception):
    """With a sentence."""
