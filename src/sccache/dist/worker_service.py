"""A worker as a process: its stores, sandbox, certificate and word to the scheduler, from the first heartbeat to the last.

Owns: where things are below cache_dir, the order of starting and of ending.  Must not know: requests, rules of jobs.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable

from aiohttp import web

from sccache.dist import memory_bound, removal
from sccache.dist.certificates import Identity
from sccache.dist.config import DockerBuilder, OverlayBuilder, RootlessBuilder, WorkerConfig, split_address
from sccache.dist.contents import Contents
from sccache.dist.heartbeat import Link
from sccache.dist.messages import Heartbeat
from sccache.dist.sandbox.base import Limits, Sandbox
from sccache.dist.sandbox.bubblewrap import Bubblewrap
from sccache.dist.sandbox.docker import Docker
from sccache.dist.tokens import decode_key, new_key, worker_bearer
from sccache.dist.toolchain_store import Toolchains
from sccache.dist.worker import Worker
from sccache.dist.worker_http import Shell, make_app
from sccache.dist.worker_job import Runner
from sccache.errors import ConfigError
from sccache.storage.disk_ledger import lock_file

TICK_S = 1.0
DRAIN_S = 60.0
"""How long jobs may go on when the worker is to end; what is not ready then is compiled elsewhere."""
END_S = 2.0
KEEPALIVE_S = 120.0
LOCK_NAME = "sccache-dist.lock"

log = logging.getLogger(__name__)


class Service:
    """One life of a worker."""

    def __init__(self, config: WorkerConfig) -> None:
        """Nothing is done yet."""
        self._config = config
        self._key = new_key()
        self._identity = Identity(config.public_addr, time.time())
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        # Some more than cores: while one's inputs come in, another computes.
        self._worker = Worker(secrets.token_hex(16), cores, config.slots or cores + 1 + cores // 8)
        self._toolchains: Toolchains | None = None

    async def run(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        """See worker_http.serve."""
        with await asyncio.to_thread(_claimed, self._config):
            await self._serve(stop, ready)

    async def _serve(self, stop: asyncio.Event, ready: Callable[[str], None]) -> None:
        places = await asyncio.to_thread(_places, self._config)
        sandbox = _sandbox(self._config, places["builds"])
        await sandbox.check()
        await asyncio.to_thread(_say_what_bounds_memory, self._config)
        contents = await asyncio.to_thread(Contents, places["contents"], self._config.input_bytes)
        self._toolchains = await asyncio.to_thread(Toolchains, places["tc"], self._config.cache_bytes)
        link = Link(self._config.scheduler_url, worker_bearer(self._config.scheduler_auth, self._config.public_addr), self._beat)
        given = self._config.limits
        limits = Limits(seconds=given.seconds, memory_bytes=given.memory_bytes, output_bytes=given.output_bytes, processes=given.processes)
        runner = Runner(sandbox, contents, places["trees"], limits)
        shell = Shell(
            self._config.public_addr, decode_key(self._key), self._worker, contents, self._toolchains, runner, places["spool"], link
        )
        web_runner = web.AppRunner(
            make_app(shell), access_log=None, handler_cancellation=True, keepalive_timeout=KEEPALIVE_S, auto_decompress=False,
            shutdown_timeout=END_S,
        )  # fmt: skip
        await web_runner.setup()
        tasks: list[asyncio.Future[None]] = []
        try:
            host, port = split_address(self._config.listens)
            await web.TCPSite(web_runner, host, port, ssl_context=self._identity.context, backlog=1024).start()
            tasks = [asyncio.ensure_future(link.run()), asyncio.ensure_future(self._tick(shell, link))]
            ready(f"https://{self._config.listens}")
            await stop.wait()
            await self._drain(link)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if tasks:  # else the scheduler has not heard of this one, and may know another that has the address
                await link.leave()
            await link.aclose()
            await web_runner.cleanup()
            await runner.aclose()
            await asyncio.to_thread(_clear, places)

    def _beat(self) -> Heartbeat:
        return self._worker.heartbeat(self._key, self._identity.digest, self._toolchains.ids() if self._toolchains is not None else ())

    async def _tick(self, shell: Shell, link: Link) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            shell.tick()
            if self._identity.is_due(time.time()):
                await asyncio.to_thread(self._identity.renew, time.time())
                link.hasten()

    async def _drain(self, link: Link) -> None:
        """No new jobs; those that run are brought to their end."""
        self._worker.is_draining = True
        link.hasten()
        log.info("draining: %d jobs", len(self._worker.running))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self._worker.is_idle:  # noqa: ASYNC110 -- the rules tell nobody, and this happens once
                    await asyncio.sleep(0.05)


def _build_dir(config: WorkerConfig) -> str:
    builder = config.builder
    return (builder.build_dir if isinstance(builder, OverlayBuilder | RootlessBuilder) else "") or config.cache_dir


def _claimed(config: WorkerConfig) -> contextlib.ExitStack:
    """These directories are this worker's until that is closed; ConfigError if they are another's, whose jobs would lose their files."""
    with contextlib.ExitStack() as held:
        for directory in {config.cache_dir, _build_dir(config)}:
            try:
                os.makedirs(directory, mode=0o700, exist_ok=True)
                lock = os.open(os.path.join(directory, LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                held.callback(os.close, lock)
                lock_file(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(f"{directory} is in use by another worker: each needs a cache_dir and a build_dir of its own") from None
            except OSError as e:
                raise ConfigError(f"cache_dir or build_dir cannot be used: {e}") from e
        return held.pop_all()


def _places(config: WorkerConfig) -> dict[str, str]:
    """Private directories below cache_dir; what an earlier life left of its jobs is deleted."""
    places = {name: os.path.join(config.cache_dir, name) for name in ("tc", "contents", "trees", "spool")}
    places["builds"] = os.path.join(_build_dir(config), "builds")
    _clear(places)
    try:
        marker = os.path.join(config.cache_dir, "boot-id")
        if not removal.is_of_this_boot(marker):
            for name in ("tc", "contents"):  # files may be there under the digest of a content that never reached the disk
                removal.remove(places[name])
            removal.note_boot(marker)
        for place in places.values():
            os.makedirs(place, mode=0o700, exist_ok=True)
            os.chmod(place, 0o700)
    except OSError as e:
        raise ConfigError(f"cache_dir or build_dir cannot be used: {e}") from e
    return places


def _say_what_bounds_memory(config: WorkerConfig) -> None:
    """A worker makes no control groups of its own: the one that it was started in bounds all builds together, but docker's."""
    is_docker = isinstance(config.builder, DockerBuilder)
    together, each = None if is_docker else memory_bound.bound_bytes(), config.limits.memory_bytes
    said = [f"all builds with this worker: {together} bytes"] if together is not None else []
    said += [f"each {'container' if is_docker else 'process of a build'}: {each} bytes"] if each else []
    if said:
        log.info("bounds of memory: %s", ", ".join(said))
    else:
        log.warning("only the machine bounds the memory of builds: set MemoryMax= in this worker's unit, or memory in [limits]")


def _clear(places: dict[str, str]) -> None:
    for name in ("trees", "spool", "builds"):
        removal.remove(places[name])


def _sandbox(config: WorkerConfig, directory: str) -> Sandbox:
    match config.builder:
        case OverlayBuilder() as builder:
            return Bubblewrap(directory, builder.bwrap_path, rootless=False)
        case RootlessBuilder() as builder:
            return Bubblewrap(directory, builder.bwrap_path, rootless=True)
        case DockerBuilder():
            return Docker(directory)
    return Bubblewrap(directory, rootless=os.geteuid() != 0)
