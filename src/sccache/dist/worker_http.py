"""A worker's HTTPS: jobs and toolchains come in, results go out.  docs/formats/dist.md has the requests.

    token ─▶ once only ─▶ body, kept and checked ─▶ 200 "." ─▶ toolchain, contents ─▶ a slot ─▶ sandbox ─▶ "R" result
     401       401, 503        4xx                   a "." every five seconds, so that the client knows that the worker lives

Owns: routes, bodies, deadlines, what is counted.  Must not know: the rules of jobs (worker.py), sandboxes, the scheduler's rules.
Logs no token and no key.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import jwt
import msgspec
from aiohttp import web

from sccache.dist.body import MAX_BODY_BYTES, Request, TooLargeError, answer_pieces
from sccache.dist.config import WorkerConfig
from sccache.dist.job_checks import VersionError
from sccache.dist.messages import Failed, JobAnswer, JobHeader, Missing, Result, Status
from sccache.dist.metrics import CONTENT_TYPE, Metrics
from sccache.dist.room import Room
from sccache.dist.tokens import JobClaims, TokenError, check_job_token
from sccache.dist.worker import Duty, Verdict, Worker
from sccache.dist.worker_coming import Coming
from sccache.dist.worker_counts import DURATION, FAMILIES, JOBS, MISSES, REFUSED, RUNNING, SLOTS, TOOLCHAINS, UPLOADED, RefusedError
from sccache.dist.worker_pace import CutOffError, Pace, check_length, pieces
from sccache.errors import DamagedError, ProtocolError, StorageError

if TYPE_CHECKING:
    from sccache.dist.contents import Contents
    from sccache.dist.toolchain_store import Receiving, Toolchains
    from sccache.dist.worker_job import Runner

ALIVE_S = 5.0
LOOK_S = 1.0
"""How often one who waits for a toolchain or for contents looks, if nobody tells it to."""
UNPACKING = 2
"""Toolchains that are unpacked at the same time: each may be as large as all that are kept."""
BRING_S = 5.0
"""How long a job waits for contents that another is to bring."""
WAIT_S = 60.0
"""How long a job waits for a toolchain that another client sends: on a link that is as slow as this, compiling at home is sooner."""
UPLOAD_S = 50.0
"""How long a second upload of one toolchain waits for the first."""

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Reporter(Protocol):
    """What the shell tells the scheduler: heartbeat.Link has these."""

    def report(self, *, started: Iterable[str] = (), finished: Iterable[str] = ()) -> None:
        """Jobs came, or are over."""
        ...

    def hasten(self) -> None:
        """Something else has changed."""
        ...


class Shell:
    """A worker with its requests under way."""

    def __init__(  # noqa: PLR0913, PLR0917 -- what a worker consists of
        self, address: str, key: bytes, worker: Worker, contents: "Contents", toolchains: "Toolchains", runner: "Runner", spool: str,
        link: Reporter, pace: Pace | None = None,
    ) -> None:  # fmt: skip
        """`address` is the public one; bodies are kept in the directory `spool` until they are whole."""
        self._room = Room(max(contents.max_bytes, MAX_BODY_BYTES))
        self._unpacking = asyncio.Semaphore(UNPACKING)
        self._pace = pace or Pace()
        self._address, self._key, self._spool = address, key, spool
        self.worker, self._contents, self._toolchains, self._runner, self._link = worker, contents, toolchains, runner, link
        self._slots = asyncio.Semaphore(worker.slots)
        self._changed = asyncio.Event()
        self._coming = Coming()
        self.metrics = Metrics(FAMILIES)
        self.metrics.watch(RUNNING, lambda: {(): len(worker.running)})
        self.metrics.watch(SLOTS, lambda: {(): worker.slots})
        self.metrics.watch(TOOLCHAINS, lambda: {(): len(toolchains.ids())})

    @staticmethod
    def now() -> float:
        """Seconds on a clock that is never set."""
        return time.monotonic()

    def tick(self) -> None:
        """Time goes by."""
        for job in self.worker.tick(self.now()):
            self._coming.over(job)
            self.metrics.count(JOBS, "gone")
            self._link.report(finished=(job,))

    # -- jobs

    async def run(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v2/jobs/{job}/run."""
        job = request.match_info["job"]
        claims = self._claims(request, job)
        self._take(job)
        outcome = "not_run"
        try:
            with contextlib.closing(Request(self._spool, self._room)) as body:
                header = await self._receive(request, body, claims)
                self._coming.over(job)
                self._tell()
                response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
                await response.prepare(request)
                async with _signs_of_life(response):
                    answer, outputs = await self._answer(job, header)
                outcome = _outcome(answer)
                await self._send(request, response, answer, outputs)
            return response
        except (ConnectionError, asyncio.CancelledError) as e:
            outcome = "missing" if outcome == "missing" or isinstance(e, CutOffError) else "gone"
            raise
        finally:
            self._leave(job, outcome)

    def _claims(self, request: web.Request, job: str) -> JobClaims:
        try:
            return check_job_token(_bearer(request), self._key, job, self._address)
        except TokenError as e:
            raise _unauthorized(e) from None

    def _take(self, job: str) -> None:
        verdict, is_new = self.worker.arrive(job)
        if verdict is Verdict.USED:
            raise RefusedError(401, "replayed", "The token has been used", "invalid_jwt")
        if verdict is not Verdict.TAKEN:
            raise RefusedError(503, verdict.value, "The worker is about to end" if verdict is Verdict.DRAINING else "The worker is busy")
        if is_new:
            self._link.report(started=(job,))

    def _leave(self, job: str, outcome: str) -> None:
        if outcome == "missing":
            self.worker.await_return(job, self.now())
            return
        self._coming.over(job)
        self.metrics.count(JOBS, outcome)
        self.worker.end(job, self.now())
        self._link.report(finished=(job,))
        self._tell()

    async def _receive(self, request: web.Request, body: Request, claims: JobClaims) -> JobHeader:
        """The whole body, its contents kept; RefusedError."""
        check_length(request, MAX_BODY_BYTES)
        try:
            is_checked = False
            async for data in pieces(request, self._pace):
                body.feed(data)
                if body.header is not None and not is_checked:
                    is_checked = True
                    if body.header.toolchain != claims.toolchain:
                        raise RefusedError(401, "another_toolchain", "The token is for another toolchain", "invalid_jwt")
                    self._coming.expect(claims.job, body.header.sent)
            await asyncio.to_thread(self._keep, body)
            body.close()  # its room is for others while this job runs
        except VersionError as e:
            raise RefusedError(426, "version", str(e)) from None
        except TooLargeError as e:
            raise RefusedError(413, "too_large", str(e)) from None
        except (ProtocolError, DamagedError) as e:
            raise RefusedError(400, "bad_body", str(e)) from None
        except ConnectionError:
            raise
        except (OSError, StorageError) as e:
            raise RefusedError(503, "no_space", f"The contents cannot be kept: {e}") from None
        if body.header is None:  # contents() has refused that
            raise AssertionError
        return body.header

    def _keep(self, body: Request) -> None:
        for digest, size, content in body.contents():
            self._contents.add(digest, size, content)

    async def _answer(self, job: str, header: JobHeader) -> tuple[JobAnswer, list[bytes]]:
        since = self.now()
        try:
            while True:
                changed = self._changed
                is_there = self._toolchains.has(header.toolchain)
                duty = self.worker.need(job, header.toolchain, self.now(), is_there=is_there)
                missing = await asyncio.to_thread(self._contents.missing, [file.digest for file in header.files])
                wanted = missing if self.now() > since + BRING_S else self._coming.from_nobody(job, missing)
                if wanted or duty is Duty.UPLOAD:
                    if duty is not Duty.UPLOAD:  # which may take minutes, and contents come after it
                        self._coming.expect(job, wanted)
                    return Missing(wanted, toolchain=duty is Duty.UPLOAD), []
                if duty is Duty.READY and not missing:
                    break
                if self.now() > since + WAIT_S:
                    return Failed("Another client's upload of the toolchain takes long"), []
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), LOOK_S)
            async with self._slots:
                with self._toolchains.lease(header.toolchain) as directory:
                    return await self._runner.run(header, directory)
        except Exception as e:  # the answer has begun: it has to come to an end
            log.exception("a job")
            return Failed("The toolchain is gone" if isinstance(e, KeyError) else "The worker has failed; its log says more"), []

    async def _send(self, request: web.Request, response: web.StreamResponse, answer: JobAnswer, outputs: list[bytes]) -> None:
        if isinstance(answer, Missing):
            self.metrics.count(MISSES)
        elif isinstance(answer, Result):
            self.metrics.observe(DURATION, answer.wall_ns / 1e9)
        packed = answer_pieces(answer, outputs)
        try:
            async with asyncio.timeout(self._pace.whole_s(sum(map(len, outputs)))):
                while piece := await asyncio.to_thread(next, packed, b""):
                    async with asyncio.timeout(self._pace.silence_s):
                        await response.write(piece)
                async with asyncio.timeout(self._pace.silence_s):
                    await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the client does not read its answer") from None

    # -- toolchains

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """PUT /api/v2/toolchains/{id}."""
        toolchain = request.match_info["id"]
        job = _job_of(_bearer_of(request))
        claims = self._claims(request, job)
        if claims.toolchain != toolchain:
            raise RefusedError(401, "another_toolchain", "The token is for another toolchain", "invalid_jwt")
        check_length(request, self._toolchains.max_bytes)
        if self._toolchains.has(toolchain) or not self.worker.upload_begins(job, toolchain, self.now()):
            return await self._second(request, toolchain)
        try:
            await self._store(request, toolchain)
        finally:
            self.worker.upload_ends(toolchain, self.now())
            self._tell()
        self.metrics.count(UPLOADED)
        self._link.hasten()
        return web.Response(status=204)

    async def _second(self, request: web.Request, toolchain: str) -> web.Response:
        """Somebody else has sent it, or is about to."""
        left = self._toolchains.max_bytes
        async for data in pieces(request, self._pace):
            left -= len(data)
            if left < 0:
                raise RefusedError(413, "too_large", "The toolchain is larger than toolchain_cache_size")
        until = self.now() + UPLOAD_S
        while not self._toolchains.has(toolchain):
            if self.now() > until:
                raise RefusedError(503, "busy", "Another upload of this toolchain takes long")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), LOOK_S)
        return web.Response(status=204)

    async def _store(self, request: web.Request, toolchain: str) -> None:
        receiving: Receiving | None = None
        try:
            receiving = await asyncio.to_thread(self._toolchains.receive, toolchain)
            async for data in pieces(request, self._pace):
                receiving.write(data)
            async with self._unpacking:
                await asyncio.to_thread(receiving.finish)
        except DamagedError as e:
            raise RefusedError(422, "bad_toolchain", str(e)) from None
        except StorageError as e:
            raise RefusedError(413, "too_large", str(e)) from None
        except ConnectionError:
            raise
        except OSError as e:
            raise RefusedError(503, "no_space", f"The toolchain cannot be kept: {e}") from None
        finally:
            if receiving is not None:
                await asyncio.shield(asyncio.to_thread(receiving.discard))

    def _tell(self) -> None:
        """Those who wait for a toolchain or for contents look again; who is looking just now does so once more."""
        self._changed.set()
        self._changed = asyncio.Event()

    # -- everybody

    async def status(self, _: web.Request) -> web.Response:
        """GET /api/v2/status."""
        status = Status(num_servers=1, num_cpus=self.worker.cores, in_progress=len(self.worker.running))
        return web.Response(body=msgspec.json.encode(status), content_type="application/json")

    async def show_metrics(self, _: web.Request) -> web.Response:
        """GET /metrics."""
        return web.Response(body=self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    @web.middleware
    async def refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever is raised before an answer has begun becomes one in JSON."""
        try:
            return await handler(request)
        except RefusedError as e:
            return self._refusal(request, e)
        except web.HTTPException as e:
            return self._refusal(request, RefusedError(e.status, "no_such_path", e.reason))
        except ConnectionError:
            raise
        except Exception:
            log.exception("%s %s", request.method, request.rel_url.raw_path)
            return self._refusal(request, RefusedError(500, "broken", "The worker has failed; its log says more"))

    def _refusal(self, request: web.Request, error: RefusedError) -> web.Response:
        self.metrics.count(REFUSED, error.reason)
        log.info("%s %s from %s: %d %s", request.method, request.rel_url.raw_path, request.remote, error.status, error)
        response = web.Response(body=msgspec.json.encode({"error": str(error)}), status=error.status, content_type="application/json")
        if error.challenge:
            response.headers["WWW-Authenticate"] = f'Bearer error="{error.challenge}"'
        if request.body_exists and not request.content.at_eof():
            response.force_close()
        return response


def make_app(shell: Shell) -> web.Application:
    """All routes."""
    app = web.Application(middlewares=[shell.refuse])
    app.router.add_post("/api/v2/jobs/{job:[0-9a-f]{32}}/run", shell.run)
    app.router.add_put("/api/v2/toolchains/{id:[0-9a-f]{64}}", shell.upload)
    app.router.add_get("/api/v2/status", shell.status)
    app.router.add_get("/metrics", shell.show_metrics)
    return app


async def serve(config: WorkerConfig, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
    """Be a worker until `stop`, and to the end of what then runs; `ready` gets the URL.

    SccacheError if something is missing, OSError if the address cannot be listened on.
    """
    from sccache.dist.worker_service import Service

    await Service(config).run(stop, ready)


@contextlib.asynccontextmanager
async def _signs_of_life(response: web.StreamResponse) -> AsyncIterator[None]:
    async def go_on() -> None:
        while True:
            await response.write(b".")
            await asyncio.sleep(ALIVE_S)

    going_on = asyncio.ensure_future(go_on())
    try:
        yield
    finally:
        going_on.cancel()
        await asyncio.gather(going_on, return_exceptions=True)


def _outcome(answer: JobAnswer) -> str:
    if isinstance(answer, Missing):
        return "missing"
    if isinstance(answer, Result):
        return "success" if answer.status == 0 else "failure"
    return "not_run"


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise TokenError("no_bearer_auth", "A bearer token is needed")
    return token


def _bearer_of(request: web.Request) -> str:
    try:
        return _bearer(request)
    except TokenError as e:
        raise _unauthorized(e) from None


def _job_of(token: str) -> str:
    """Which job a token says that it is for, before it is believed."""
    try:
        job = jwt.decode(token, options={"verify_signature": False}).get("job")
    except (jwt.PyJWTError, ValueError):
        job = None
    if not isinstance(job, str) or not re.fullmatch(r"[0-9a-f]{32}", job):
        raise RefusedError(401, "bad_token", "The job's token is not one of this worker", "invalid_jwt")
    return job


def _unauthorized(error: TokenError) -> RefusedError:
    return RefusedError(401, "no_token" if error.challenge == "no_bearer_auth" else "bad_token", str(error), error.challenge)
