"""A scheduler that listens on 127.0.0.1, with tokens that are easy to read: for tests of what it says over HTTP."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from sccache.dist.messages import Allocate, Granted, Heartbeat, HeartbeatAnswer, Refused, Report
from sccache.dist.scheduler_http import Shell, run
from sccache.dist.tokens import TokenError

TOOLCHAIN = "ab" * 32
KEY = bytes(range(32))
JOB_KEY = base64.urlsafe_b64encode(KEY).decode().rstrip("=")
CERTIFICATE = "cd" * 32
CLIENT_TOKEN = "client-secret"
WORKER_TOKEN = "worker-secret 127.0.0.1:1"
BEAT = Heartbeat("n", 2, 2, JOB_KEY, CERTIFICATE)


class Clients:
    """One token."""

    async def check(self, token: str) -> None:
        await asyncio.sleep(0)
        if token != CLIENT_TOKEN:
            raise TokenError("bearer_auth_failed", "Fixed token mismatch")

    async def aclose(self) -> None:
        """Nothing is open."""


class Workers:
    """The token is the address."""

    def check(self, token: str, host: str) -> str:
        if not token.startswith("worker-secret "):
            raise TokenError("invalid_jwt", "No signature")
        address = token.removeprefix("worker-secret ")
        if not address.startswith(host + ":"):
            raise TokenError("invalid_bearer_token_mismatched_address", f"The token is not one of {host}")
        return address


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asking:
    """Requests to one scheduler."""

    def __init__(self, url: str, shell: Shell, session: aiohttp.ClientSession) -> None:
        self.url, self.shell, self.session = url, shell, session
        self.port = int(url.rpartition(":")[2])

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str) -> Answer:
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        async with self.session.request(method, self.url + path, data=data, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())

    async def allocate(self, **asked: Any) -> Granted | Refused:
        answer = await self.ask("POST", "/api/v2/allocate", Allocate(TOOLCHAIN, **asked), CLIENT_TOKEN)
        assert answer.status == 200, answer
        said: Granted | Refused = msgspec.json.decode(answer.body, type=Granted | Refused)
        return said

    async def granted(self, **asked: Any) -> Granted:
        said = await self.allocate(**asked)
        assert isinstance(said, Granted), said
        return said

    async def heartbeat(self, name: str = "127.0.0.1:1", **said: Any) -> HeartbeatAnswer:
        beat = Heartbeat(**{"nonce": "n", "cores": 2, "slots": 2, "job_key": JOB_KEY, "certificate": CERTIFICATE, **said})
        answer = await self.ask("POST", "/api/v2/heartbeat", beat, f"worker-secret {name}")
        assert answer.status == 200, answer
        return msgspec.json.decode(answer.body, type=HeartbeatAnswer)

    async def report(self, name: str = "127.0.0.1:1", **said: Any) -> None:
        answer = await self.ask("POST", "/api/v2/report", Report("n", **said), f"worker-secret {name}")
        assert answer.status == 204, answer

    async def until(self, what: str, number: float) -> None:
        """Wait for a gauge."""
        async with asyncio.timeout(30):
            while self.shell.metrics.value(what) != number:
                await asyncio.sleep(0.005)

    def refused(self, reason: str) -> float:
        return self.shell.metrics.value("sccache_scheduler_requests_refused_total", reason)


@contextlib.asynccontextmanager
async def scheduler(shell: Shell | None = None) -> AsyncIterator[Asking]:
    """One that runs, and ends afterwards."""
    shell = shell or Shell(Clients(), Workers(), lambda grant: f"token of {grant.job} sealed with {grant.worker.job_key[:4]}")
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(shell, "127.0.0.1", 0, stop, ready.set_result))
    try:
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield Asking(await ready, shell, session)
    finally:
        stop.set()
        await running


def with_scheduler(test: Callable[[Asking], Awaitable[None]], shell: Shell | None = None) -> None:
    """Run a test's body with a scheduler that listens."""

    async def main() -> None:
        async with scheduler(shell) as it:
            await test(it)

    asyncio.run(main())
