"""All that a daemon keeps between requests: storages, pipelines, the memory of files, statistics, work after the answer.

Owns: their life, from opening to flushing.  Must not know: sockets, messages' bytes.
"""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self, assert_never

import msgspec

from sccache import __version__
from sccache.config.schema import Config
from sccache.daemon import state
from sccache.daemon.farms import Farms
from sccache.daemon.storages import Opened, Storages
from sccache.hashing.files import FileMemory
from sccache.model import CompileRequest
from sccache.pipeline import Pipeline
from sccache.preprocessor_cache.absent import Listings
from sccache.preprocessor_cache.includes import IncludeMemory
from sccache.protocol import control
from sccache.protocol.address import Address
from sccache.stages.bench import Bench, Memories
from sccache.stages.hands import Answer, Finish, Hands
from sccache.stages.places import Places
from sccache.stages.recipes import Scratch
from sccache.stats import ServerInfo, Stats

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 30.0  # for results that are being packed, and once more for uploads
MAX_PENDING_STORES = 512  # results that wait to be written; beyond it they are dropped and counted
MAX_PIPELINES = 16  # settings in use at a time; a script that makes up new ones per compile must not fill memory
SCRATCH_PREFIX = "work-"


class Workshop:
    """One daemon's possessions; an async context whose end stores what is pending."""

    def __init__(self, config: Config, address: Address) -> None:
        self._config = config
        self._address = address
        self._stats_path = state.stats_path(config, address)
        self._files_path = state.files_path(config)
        self.stats = Stats.load(self._stats_path)
        self._saved = self.stats.to_json()
        self._memories = Memories(FileMemory(), IncludeMemory(), Listings(), Places())
        self._memories.files.load(self._files_path)
        _remove_leftovers(address.runtime_dir)
        self._scratch_directory = tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{os.getpid()}-", dir=address.runtime_dir)
        self._scratch = Scratch(self._scratch_directory)
        self._storages = Storages(self._scratch_directory)
        self._farms = Farms(self.stats)
        self._pipelines: dict[int, tuple[Pipeline, Opened]] = {}
        """By the identity of their Config, which each keeps alive."""
        self._stores: set[asyncio.Task[None]] = set()
        self._current = config
        self._is_flushed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.flush()
        self.save_soon()
        self._save_files()
        await self._farms.aclose()
        await self._storages.aclose()
        shutil.rmtree(self._scratch_directory, ignore_errors=True)

    async def flush(self) -> None:
        """Before the end: store what is pending, upload what waits, within a deadline."""
        if self._is_flushed:
            return
        self._is_flushed = True
        if self._stores:
            _, late = await asyncio.wait(self._stores, timeout=FLUSH_TIMEOUT_S)
            if late:
                log.warning("%d results were not stored in time and are lost", len(late))
        await self._storages.flush(FLUSH_TIMEOUT_S)

    def is_busy(self) -> bool:
        """Whether results wait to be stored."""
        return bool(self._stores) or self._storages.has_pending()

    def pipeline(self, config: Config) -> Pipeline:
        """The pipeline for these settings."""
        return self._place(config)[0]

    def _place(self, config: Config) -> tuple[Pipeline, Opened]:
        known = self._pipelines.get(id(config))
        if known is not None and config is self._current:
            return known
        for one in (self._current, config):  # the one from before was in use until now
            opened = self._storages.get(one)
        self._current = config  # what the statistics tell of
        if known is None:
            if len(self._pipelines) >= MAX_PIPELINES:
                self._pipelines.clear()
            bench = Bench(config, opened.levels, self.stats, self._memories, self._farms.get(config))
            known = Pipeline(bench, self._scratch, partial(self._store_soon, opened)), opened
            self._pipelines[id(config)] = known
        return known

    def tidy(self) -> None:
        """Now and then: close storages that no settings in use name."""
        closed = self._storages.close_unused(self._storages.get(self._current))
        if closed:
            self._pipelines = {key: place for key, place in self._pipelines.items() if place[1] not in closed}

    def hit_nowait(self, config: Config, identity: tuple[object, ...]) -> Finish | None:
        """The answer to a request answered before, if it still stands."""
        return self.pipeline(config).hot.hit_nowait(identity)

    async def compile(self, config: Config, request: CompileRequest, hands: Hands) -> Answer:
        """Answer one request."""
        pipeline, opened = self._place(config)
        opened.users += 1
        try:
            return await pipeline.compile(request, hands)
        finally:
            opened.users -= 1

    def _store_soon(self, opened: Opened, work: Coroutine[Any, Any, None]) -> bool:
        if len(self._stores) >= MAX_PENDING_STORES:
            work.close()
            self.stats.count("cache_write_errors")
            return False
        task = asyncio.get_running_loop().create_task(work)
        self._stores.add(task)
        opened.users += 1
        task.add_done_callback(partial(self._stored, opened))
        return True

    def _stored(self, opened: Opened, task: asyncio.Task[None]) -> None:
        opened.users -= 1
        self._stores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stats.count("cache_write_errors")
            log.error("a result could not be stored", exc_info=error)

    async def answer(self, request: control.ControlRequest) -> control.ControlAnswer:
        """Answer the command line."""
        match request:
            case control.GetStats() | control.Shutdown():
                return await self._info()
            case control.ZeroStats():
                self.stats.zero()
                for levels in self._storages.all():
                    levels.zero_stats()
                self.save_soon()
                return await self._info()
            case control.Ping():
                return control.Pong(os.getpid(), __version__, self._address.display)
            case never:
                assert_never(never)

    async def _info(self) -> control.Stats:
        config = self._current
        opened = self._storages.get(config)
        levels = opened.levels
        info = ServerInfo(
            stats=msgspec.structs.replace(self.stats, multi_level=levels.levels_stats(), remotes=levels.remote_stats()),
            cache_location=levels.location(),
            cache_size=await asyncio.to_thread(levels.used_bytes),
            max_cache_size=levels.max_bytes(),
            use_preprocessor_cache_mode=config.disk.preprocessor.use_preprocessor_cache_mode,
            version=__version__,
            basedirs=list(config.basedirs),
            notes=[*filter(None, (opened.note, self._farms.note(config))), *levels.notes()],
        )
        return control.Stats(msgspec.Raw(info.to_json()))

    def save_soon(self) -> None:
        """Write the statistics if they changed."""
        now = self.stats.to_json()
        if now == self._saved:
            return
        self._saved = now
        try:
            os.makedirs(os.path.dirname(self._stats_path), mode=0o700, exist_ok=True)
            self.stats.save(self._stats_path)
        except OSError as e:
            log.warning("statistics cannot be saved: %s", e)

    def _save_files(self) -> None:
        try:
            os.makedirs(os.path.dirname(self._files_path), exist_ok=True)
            self._memories.files.save(self._files_path)
        except OSError as e:
            log.warning("the memory of files cannot be saved: %s", e)


def _remove_leftovers(runtime_dir: str) -> None:
    """Delete the scratch directories of daemons that are no more."""
    with os.scandir(runtime_dir) as found:
        names = [entry.name for entry in found if entry.name.startswith(SCRATCH_PREFIX)]
    for name in names:
        pid = name.removeprefix(SCRATCH_PREFIX).partition("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}") and os.path.isdir("/proc/self"):
            shutil.rmtree(os.path.join(runtime_dir, name), ignore_errors=True)
