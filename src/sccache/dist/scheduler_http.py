"""The scheduler's HTTP: carries words to the scheduler and its decisions back.  docs/formats/dist.md has the requests.

A request for a place is answered when the decision is there; a client that hangs up leaves the queue, and a place that it cannot be told
of any more is free at once.  What is refused is counted by reason, and answered with a sentence in JSON.

Owns: routes, bodies, challenges, who is speaking (behind a proxy too), the times at which the scheduler is told of time.
Must not know: the scheduler's rules, how tokens are made (tokens.py).  Logs no token and no key.
"""

import asyncio
import ipaddress
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count

import msgspec
from aiohttp import web

from sccache.dist import scheduler_checks as checks
from sccache.dist import status_page
from sccache.dist.config import SchedulerConfig, split_address
from sccache.dist.messages import Granted, Refused
from sccache.dist.metrics import CONTENT_TYPE, SECONDS, Family, Metrics
from sccache.dist.scheduler import COUNTS, Decision, Grant, Scheduler
from sccache.dist.tokens import ClientCheck, JobClaims, TokenError, WorkerCheck, client_check, decode_key, job_token, worker_check

TICK_S = 0.25
"""How late a deadline may be noticed."""
BODY_S = 10.0
"""A body is small: who needs longer does not mean it."""
OVERVIEW_S = 1.0
"""Everybody may ask for the overview, so it is made once a second."""
END_S = 5.0
"""How long answers may take to be sent when the scheduler ends."""
KEEPALIVE_S = 120.0

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


Sign = Callable[[Grant], str]
"""Makes the job's token."""

REASONS = ("no_token", "bad_token", "bad_address", "bad_body", "too_large", "version", "no_such_path", "broken")
"""For which requests are refused."""
REFUSED = "sccache_scheduler_requests_refused_total"
FAMILIES = (
    Family("sccache_scheduler_workers", "Workers that are known."),
    Family("sccache_scheduler_cores", "Cores of these workers."),
    Family("sccache_scheduler_jobs", "Places given away that are not over."),
    Family("sccache_scheduler_waiting", "Requests for a place in the queue."),
    Family("sccache_scheduler_toolchains", "Toolchains that workers have or are about to have."),
    Family("sccache_scheduler_events_total", "What happened: " + "; ".join(f"{name}: {text}" for name, text in COUNTS.items()), ("event",)),
    Family("sccache_scheduler_wait_seconds", "How long those waited that got a place.", bounds=SECONDS),
    Family(REFUSED, "Requests that were refused for what they are.", ("reason",), expected=tuple((reason,) for reason in REASONS)),
)


class RefusedError(Exception):
    """The request is answered with a status and a sentence."""

    def __init__(self, status: int, reason: str, message: str, challenge: str = "") -> None:
        """`reason` is what it is counted as."""
        super().__init__(message)
        self.status, self.reason, self.challenge = status, reason, challenge


class Shell:
    """The scheduler with its requests under way."""

    def __init__(
        self, clients: ClientCheck, workers: WorkerCheck, sign: Sign, trusted_proxies: Iterable[str] = ("127.0.0.0/8", "::1/128")
    ) -> None:
        """`trusted_proxies`: networks whose X-Real-IP is believed."""
        self._clients, self._workers, self._sign = clients, workers, sign
        self._proxies = [ipaddress.ip_network(network, strict=False) for network in trusted_proxies]
        self.started_at = self.now()
        self.scheduler = Scheduler(lambda: secrets.token_hex(16), self.started_at)
        self.metrics = Metrics(FAMILIES)
        self._undecided: dict[int, asyncio.Future[Decision]] = {}
        self._tickets = count()
        self._overview = (0.0, b"")
        self._watch()

    @staticmethod
    def now() -> float:
        """Seconds on a clock that is never set."""
        return time.monotonic()

    def carry_out(self, decisions: Iterable[Decision]) -> None:
        """Tell those who asked."""
        again: list[Decision] = []
        for decision in decisions:
            future = self._undecided.get(decision.ticket)
            if future is not None and not future.done():
                future.set_result(decision)
            elif isinstance(decision, Grant):
                again += self.scheduler.give_back(decision, self.now())
        if again:
            self.carry_out(again)

    async def tick(self) -> None:
        """Tell the scheduler of time, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            self.carry_out(self.scheduler.tick(self.now()))

    # -- clients

    async def allocate(self, request: web.Request) -> web.Response:
        """POST /api/v2/allocate."""
        await self._check_client(request)
        asked = checks.allocate(await _body(request, checks.MAX_ALLOCATE_BYTES))
        ticket = next(self._tickets)
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._undecided[ticket] = future
        try:
            self.carry_out(self.scheduler.ask(ticket, self._peer(request), asked, self.now()))
            decision = await future
        except asyncio.CancelledError:
            self._hung_up(ticket, future)
            raise
        finally:
            del self._undecided[ticket]
        if not isinstance(decision, Grant):
            return _json(Refused(decision.reason, decision.retry_after_s))
        if request.transport is None or request.transport.is_closing():
            self.carry_out(self.scheduler.give_back(decision, self.now()))
            return _json(Refused("The client has gone"))
        self.metrics.observe("sccache_scheduler_wait_seconds", decision.waited_s)
        worker = decision.worker
        log.debug("job %s: to %s, after %.3f s", decision.job[:8], worker.address, decision.waited_s)
        return _json(Granted(decision.job, worker.address, self._sign(decision), worker.certificate, decision.has_toolchain))

    async def _check_client(self, request: web.Request) -> None:
        try:
            await self._clients.check(_bearer(request))
        except TokenError as error:
            raise _unauthorized(error) from None

    def _hung_up(self, ticket: int, future: "asyncio.Future[Decision]") -> None:
        if not future.done() or future.cancelled():
            self.scheduler.leave(ticket)
        elif isinstance(decision := future.result(), Grant):
            self.carry_out(self.scheduler.give_back(decision, self.now()))

    # -- workers

    async def heartbeat(self, request: web.Request) -> web.Response:
        """POST /api/v2/heartbeat."""
        address = self._worker(request)
        said = checks.heartbeat(await _body(request, checks.MAX_WORKER_BYTES))
        answer, decisions = self.scheduler.heartbeat(address, said, self.now())
        if answer.is_new:
            log.info("worker %s: %d cores, %d jobs running", address, said.cores, len(said.running))
        self.carry_out(decisions)
        return _json(answer)

    async def report(self, request: web.Request) -> web.Response:
        """POST /api/v2/report."""
        address = self._worker(request)
        said = checks.report(await _body(request, checks.MAX_WORKER_BYTES))
        self.carry_out(self.scheduler.report(address, said, self.now()))
        return web.Response(status=204)

    def _worker(self, request: web.Request) -> str:
        try:
            return self._workers.check(_bearer(request), self._peer(request))
        except TokenError as error:
            raise _unauthorized(error) from None

    def _peer(self, request: web.Request) -> str:
        """Who speaks: the address at the other end, or what a trusted proxy there says."""
        said, peer = request.headers.get("X-Real-IP"), _address(request.remote or "")
        if peer is None:
            return request.remote or ""
        if said is None or not any(peer in network for network in self._proxies):
            return str(peer)
        real = _address(said)
        if real is None:
            raise RefusedError(400, "bad_address", "X-Real-IP is no address")
        return str(real)

    # -- everybody

    async def status(self, request: web.Request) -> web.Response:
        """GET /api/v2/status; who shows a token learns whether it is good for places."""
        if request.headers.get("Authorization", "").startswith("Bearer "):
            await self._check_client(request)
        return _json(self.scheduler.status())

    async def old_status(self, _: web.Request) -> web.Response:
        """GET /api/v1/scheduler/status: what scripts for sccache-dist read."""
        status = self.scheduler.status()
        return _json({"num_servers": status.num_servers, "num_cpus": status.num_cpus, "in_progress": status.in_progress})

    async def overview(self, _: web.Request) -> web.Response:
        """GET /api/v2/overview."""
        made_at, body = self._overview
        now = self.now()
        if not body or now - made_at >= OVERVIEW_S:
            body = msgspec.json.encode(status_page.overview(self.scheduler, now, self.started_at))
            self._overview = now, body
        return _json_bytes(body)

    async def page(self, _: web.Request) -> web.Response:
        """GET /."""
        headers = {"Content-Security-Policy": status_page.POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(text=status_page.PAGE, content_type="text/html", headers=headers)

    async def show_metrics(self, _: web.Request) -> web.Response:
        """GET /metrics."""
        return web.Response(body=self.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    def _watch(self) -> None:
        scheduler, watch = self.scheduler, self.metrics.watch
        watch("sccache_scheduler_workers", lambda: {(): len(scheduler.fleet.workers)})
        watch("sccache_scheduler_cores", lambda: {(): scheduler.fleet.cores})
        watch("sccache_scheduler_jobs", lambda: {(): scheduler.fleet.jobs})
        watch("sccache_scheduler_waiting", lambda: {(): len(scheduler.queue)})
        watch("sccache_scheduler_toolchains", lambda: {(): len(scheduler.fleet.holders())})
        watch("sccache_scheduler_events_total", lambda: {(name,): scheduler.counts[name] for name in COUNTS})

    # -- refusing

    @web.middleware
    async def refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Whatever is raised becomes an answer in JSON."""
        try:
            response = await handler(request)
        except RefusedError as error:
            response = self._refusal(request, error)
        except checks.BodyError as error:
            response = self._refusal(request, RefusedError(400, "bad_body", str(error)))
        except checks.VersionError as error:
            response = self._refusal(request, RefusedError(426, "version", str(error)))
        except web.HTTPException as error:
            response = self._refusal(request, RefusedError(error.status, "no_such_path", error.reason))
        except Exception:
            log.exception("%s %s", request.method, request.rel_url.raw_path)
            response = self._refusal(request, RefusedError(500, "broken", "The scheduler has failed; its log says more"))
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    def _refusal(self, request: web.Request, error: RefusedError) -> web.Response:
        self.metrics.count(REFUSED, error.reason)
        log.info("%s %s from %s: %d %s", request.method, request.rel_url.raw_path, request.remote, error.status, error)
        response = _json({"error": str(error)}, error.status)
        if error.challenge:
            response.headers["WWW-Authenticate"] = f'Bearer error="{error.challenge}"'
        if request.body_exists and not request.content.at_eof():
            response.force_close()
        return response


SHELL = web.AppKey("shell", Shell)


def make_app(shell: Shell) -> web.Application:
    """All routes."""
    app = web.Application(middlewares=[shell.refuse])
    app[SHELL] = shell
    posts: Sequence[tuple[str, Handler]] = (
        ("/api/v2/allocate", shell.allocate),
        ("/api/v2/heartbeat", shell.heartbeat),
        ("/api/v2/report", shell.report),
    )
    gets: Sequence[tuple[str, Handler]] = (
        ("/api/v2/status", shell.status),
        ("/api/v2/overview", shell.overview),
        ("/api/v1/scheduler/status", shell.old_status),
        ("/metrics", shell.show_metrics),
        ("/", shell.page),
    )
    app.add_routes([web.post(path, handler) for path, handler in posts] + [web.get(path, handler) for path, handler in gets])
    return app


async def serve(config: SchedulerConfig, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
    """Be the scheduler until `stop`; `ready` gets the URL.  ConfigError, or OSError if public_addr cannot be listened on."""
    clients = client_check(config.client_auth)
    try:
        shell = Shell(clients, worker_check(config.server_auth), sign, config.trusted_proxies)
        await run(shell, *split_address(config.public_addr), stop, ready)
    finally:
        await clients.aclose()


def sign(grant: Grant) -> str:
    """The right to use a place."""
    worker = grant.worker
    return job_token(decode_key(worker.job_key), JobClaims(grant.job, worker.address, grant.toolchain), time.time())


async def run(shell: Shell, host: str, port: int, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
    """Serve until `stop`; those who wait then are told so.  `ready` gets the URL.  OSError if the address cannot be listened on."""
    runner = web.AppRunner(
        make_app(shell),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=KEEPALIVE_S,
        auto_decompress=False,
        shutdown_timeout=END_S,
    )
    await runner.setup()
    ticking = asyncio.create_task(shell.tick())
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        bound = runner.addresses[0]
        ready(f"http://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"http://{bound[0]}:{bound[1]}")
        await stop.wait()
        shell.carry_out(shell.scheduler.end())
    finally:
        ticking.cancel()
        await runner.cleanup()


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise TokenError("no_bearer_auth", "A bearer token is needed")
    return token


def _unauthorized(error: TokenError) -> RefusedError:
    reason = {"no_bearer_auth": "no_token", "invalid_bearer_token_mismatched_address": "bad_address"}.get(error.challenge, "bad_token")
    return RefusedError(401, reason, str(error), error.challenge)


async def _body(request: web.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise RefusedError(413, "too_large", f"The body is longer than {limit} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    raise RefusedError(413, "too_large", f"The body is longer than {limit} bytes")
    except TimeoutError:
        raise RefusedError(408, "bad_body", f"The body did not come within {BODY_S:g} s") from None
    return bytes(body)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _json(value: object, status: int = 200) -> web.Response:
    return _json_bytes(msgspec.json.encode(value), status)


def _json_bytes(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
