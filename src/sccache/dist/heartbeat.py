"""A worker's word to its scheduler: a heartbeat every few seconds, and at once what began and ended in between.

    run: heartbeat ──▶ (reports …, until the interval is over) ──▶ heartbeat ──▶ …        one request at a time, in order
    leave: the last heartbeat, with which the scheduler forgets the worker

The order is part of the protocol (scheduler.py): a heartbeat is written when the one before was answered, and a report is never
overtaken by a later one.  Reports that cannot be sent are kept: else a place that was given back would be taken for a minute.

Owns: the connection to the scheduler, the worker's token, what is told of its trouble.  Must not know: jobs, clients, slots.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from sccache import __version__
from sccache.dist.messages import Heartbeat, HeartbeatAnswer, Report

if TYPE_CHECKING:
    import aiohttp

MAX_ANSWER_BYTES = 64 << 10
MAX_TEXT = 300
"""Characters of the scheduler's sentence that are told further."""
MOST_KEPT = 1 << 15
"""Names in reports while the scheduler is away; more are forgotten, the oldest first."""
MOST_SENT = 1 << 12
INTERVALS_S = (0.05, 600.0)
"""What a scheduler may ask for; else its mistake would be a flood or silence."""

log = logging.getLogger(__name__)


class Limits(Struct, frozen=True):
    """Seconds."""

    answer_s: float = 10.0
    leave_s: float = 3.0
    retry_s: float = 1.0
    """After a failure; each further time twice as long,"""
    longest_retry_s: float = 10.0
    """up to this."""


class _NoAnswerError(Exception):
    """With a sentence."""


class Link:
    """One scheduler.  Made without I/O."""

    def __init__(self, url: str, token: str, beat: Callable[[], Heartbeat], limits: Limits | None = None) -> None:
        """`beat` gives the worker's state at this moment; `token` is what proves its address."""
        self._url = url.rstrip("/")
        self._token = token
        self._beat = beat
        self._limits = limits or Limits()
        self._session: aiohttp.ClientSession | None = None
        self._started: dict[str, None] = {}
        self._finished: dict[str, None] = {}
        self._is_due = False
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        self.trouble = "The scheduler has not answered yet."
        """Why the scheduler does not hear of this worker; empty if it does."""
        self.known = asyncio.Event()
        """Set while it does."""

    def report(self, *, started: Iterable[str] = (), finished: Iterable[str] = ()) -> None:
        """Tell at once, in the background."""
        self._started.update(dict.fromkeys(started))
        self._finished.update(dict.fromkeys(finished))
        for kept in (self._started, self._finished):
            while len(kept) > MOST_KEPT:
                del kept[next(iter(kept))]
        self._news.set()

    def hasten(self) -> None:
        """What `beat` gives has changed in a way that the scheduler should know at once: draining, a toolchain, the certificate."""
        self._news.set()
        self._is_due = True

    async def run(self) -> None:
        """Talk until cancelled."""
        retry_s = self._limits.retry_s
        while True:
            self._is_due = False
            try:
                async with self._turn:
                    answer = await self._heartbeat(self._beat())
                self._tell("")
                await self._between(min(max(answer.interval_s, INTERVALS_S[0]), INTERVALS_S[1]))
                retry_s = self._limits.retry_s
            except _NoAnswerError as e:
                self._tell(str(e))
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, self._limits.longest_retry_s)

    async def leave(self) -> None:
        """The worker is about to end: what is still to be told, and that it goes.  Never fails; short."""
        beat = self._beat()
        farewell = msgspec.structs.replace(beat, draining=True, running=())
        try:
            async with asyncio.timeout(self._limits.leave_s), self._turn:
                await self._send_reports()
                await self._heartbeat(farewell)
        except (_NoAnswerError, TimeoutError) as e:
            log.debug("the scheduler was not told of the end: %s", e)

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- parts

    async def _between(self, interval_s: float) -> None:
        """Until the next heartbeat: reports as they come."""
        try:
            async with asyncio.timeout(interval_s):
                while not self._is_due:
                    async with self._turn:
                        await self._send_reports()
                    await self._news.wait()
        except TimeoutError:
            pass  # it is time

    async def _send_reports(self) -> None:
        self._news.clear()
        while self._started or self._finished:
            started, finished = tuple(self._started)[:MOST_SENT], tuple(self._finished)[:MOST_SENT]
            await self._post("report", msgspec.json.encode(Report(self._beat().nonce, started, finished)), 204)
            for kept, sent in ((self._started, started), (self._finished, finished)):
                for name in sent:
                    kept.pop(name, None)

    async def _heartbeat(self, beat: Heartbeat) -> HeartbeatAnswer:
        body = await self._post("heartbeat", msgspec.json.encode(beat), 200)
        try:
            return msgspec.json.decode(body, type=HeartbeatAnswer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _NoAnswerError(f"The scheduler {self._url} gives an answer that is none: is it sccache-dist's?") from None

    async def _post(self, what: str, body: bytes, wanted: int) -> bytes:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": f"sccache/{__version__}", "Accept-Encoding": "identity"}
            )
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        url = f"{self._url}/api/v2/{what}"
        try:
            async with asyncio.timeout(self._limits.answer_s):
                try:
                    status, text = await _exchange(self._session, url, body, headers)
                except aiohttp.ServerDisconnectedError:  # it closed the connection while that was idle; all that we say can be said twice
                    status, text = await _exchange(self._session, url, body, headers)
        except TimeoutError:
            raise _NoAnswerError(f"The scheduler {self._url} does not answer.") from None
        except aiohttp.ClientConnectorCertificateError as e:
            why = getattr(e.certificate_error, "verify_message", "") or "bad TLS"
            raise _NoAnswerError(f"The scheduler {self._url} cannot be trusted: {why}.") from None
        except aiohttp.ClientConnectorError as e:
            raise _NoAnswerError(f"The scheduler {self._url} cannot be reached: {e.os_error.strerror or 'no connection'}.") from None
        except (aiohttp.ClientError, OSError, ValueError) as e:  # their words may hold the token
            raise _NoAnswerError(f"The exchange with the scheduler {self._url} failed ({type(e).__name__}).") from None
        if status != wanted:
            raise _NoAnswerError(f"The scheduler {self._url} answers {status}{_sentence(text)}")
        return text

    def _tell(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("%s", trouble)
        elif not trouble and self.trouble:
            log.info("the scheduler %s knows this worker", self._url)
        self.trouble = trouble
        if trouble:
            self.known.clear()
        else:
            self.known.set()


async def _exchange(session: "aiohttp.ClientSession", url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
        text = bytearray()
        async for piece in response.content.iter_any():
            text += piece
            if len(text) > MAX_ANSWER_BYTES:
                raise ValueError("an endless answer")
        return response.status, bytes(text)


def _sentence(body: bytes) -> str:
    """What `{"error": …}` says, fit for one line of a log."""
    try:
        text = str(json.loads(body)["error"])[:MAX_TEXT]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "."
    return ": " + "".join(c if c.isprintable() else " " for c in text)
