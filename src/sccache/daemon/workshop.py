"""All that a daemon keeps between requests: storages, pipelines, the memory of files, statistics, work after the answer.

Owns: their life, from opening to flushing.  Must not know: sockets, messages' bytes.
"""

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, assert_never

import msgspec

from sccache import __version__
from sccache.config.schema import Config
from sccache.daemon import state
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
from sccache.storage.disk import DiskStorage

log = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 30.0
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
        self._storages: dict[str, DiskStorage] = {}
        self._pipelines: dict[int, Pipeline] = {}
        """By the identity of their Config, which each keeps alive."""
        self._stores: set[asyncio.Task[None]] = set()
        self._current = config

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._stores:
            _, late = await asyncio.wait(self._stores, timeout=FLUSH_TIMEOUT_S)
            if late:
                log.warning("%d results were not stored in time and are lost", len(late))
        self.save_soon()
        self._save_files()
        for storage in self._storages.values():
            storage.close()
        shutil.rmtree(self._scratch_directory, ignore_errors=True)

    def is_busy(self) -> bool:
        """Whether results wait to be stored."""
        return bool(self._stores)

    def pipeline(self, config: Config) -> Pipeline:
        """The pipeline for these settings."""
        known = self._pipelines.get(id(config))
        if known is not None and config is self._current:
            return known
        self._current = config  # what the statistics tell of; its limits are the storage's now
        storage = self._storage(config)
        if known is None:
            if len(self._pipelines) >= MAX_PIPELINES:
                self._pipelines.clear()
            known = self._pipelines[id(config)] = Pipeline(Bench(config, storage, self.stats, self._memories), self._scratch)
        return known

    def _storage(self, config: Config) -> DiskStorage:
        disk = config.disk
        key = f"{disk.dir}\0{disk.read_only}"
        storage = self._storages.get(key)
        if storage is None:
            storage = self._storages[key] = DiskStorage(disk.dir, disk.size_bytes, read_only=disk.read_only)
        storage.max_size_bytes = disk.size_bytes
        return storage

    def hit_nowait(self, config: Config, identity: tuple[object, ...]) -> Finish | None:
        """The answer to a request answered before, if it still stands."""
        return self.pipeline(config).hot.hit_nowait(identity)

    async def compile(self, config: Config, request: CompileRequest, hands: Hands) -> Answer:
        """Answer one request."""
        return await self.pipeline(config).compile(request, hands, self._store_soon)

    def _store_soon(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._stores) >= MAX_PENDING_STORES:
            work.close()
            self.stats.count("cache_write_errors")
            return
        task = asyncio.get_running_loop().create_task(work)
        self._stores.add(task)
        task.add_done_callback(self._stored)

    def _stored(self, task: asyncio.Task[None]) -> None:
        self._stores.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stats.count("cache_write_errors")
            log.error("a result could not be stored", exc_info=error)

    def answer(self, request: control.ControlRequest) -> control.ControlAnswer:
        """Answer the command line."""
        match request:
            case control.GetStats() | control.Shutdown():
                return self._info()
            case control.ZeroStats():
                self.stats.zero()
                self.save_soon()
                return self._info()
            case control.Ping():
                return control.Pong(os.getpid(), __version__, self._address.display)
            case never:
                assert_never(never)

    def _info(self) -> control.Stats:
        config = self._current
        storage = self._storage(config)
        info = ServerInfo(
            stats=self.stats,
            cache_location=storage.location(),
            cache_size=storage.used_bytes(),
            max_cache_size=config.disk.size_bytes,
            use_preprocessor_cache_mode=config.disk.preprocessor.use_preprocessor_cache_mode,
            version=__version__,
            basedirs=list(config.basedirs),
            notes=list(config.notes()),
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
