"""toolchains.py: what other daemons and machines recorded is used where it holds, without asking the compiler."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from sccache.compilers.detect import Identity
from sccache.errors import StorageError
from sccache.hashing.digest import digest
from sccache.hashing.files import FileMemory
from sccache.model import CompileRequest
from sccache.stages import records
from sccache.stages.hands import Command, Ran
from sccache.stages.records import DriverRecord, Toolchain
from sccache.stages.toolchains import Driver, Toolchains, _driver_key
from sccache.storage.base import Kind
from sccache.storage.disk import DiskStorage
from sccache.storage.level import LocalLevel
from sccache.storage.levels import Levels, Put

KEY = "ab" * 32


class Idle:
    """A launcher that is asked to run nothing."""

    async def run(self, command: Command) -> Ran:
        raise AssertionError(f"asked to run {command.executable}")


class Machine:
    """A new daemon on a storage that others filled."""

    def __init__(self, folder: Path) -> None:
        self.levels = Levels([LocalLevel(DiskStorage(str(folder / "cache"), 1 << 20), read_only=False)])
        files = FileMemory(clock_ns=lambda: time.time_ns() + 60_000_000_000)
        self.toolchains = Toolchains(files, self.levels, "/probe.c", self._store)

    def _store(self, work: Coroutine[Any, Any, None]) -> bool:
        work.close()
        return False

    async def put(self, key: str, record: object) -> None:
        errors: list[StorageError | None] = []
        await self.levels.keep([Put(key, Kind.MANIFEST, records.seal(record))], lambda error, _: errors.append(error))
        assert errors == [None]


def _toolchain(folder: Path, name: str, missing: Path) -> Toolchain:
    tool = folder / "as"
    files = ((str(tool), digest(tool.read_bytes())),)
    return Toolchain(name.encode(), files, {str(missing): []}, (), (), (str(missing),))


def test_the_record_that_holds_here_is_used(tmp_path: Path) -> None:
    """One machine has an optional directory, the other has not: each finds its own under the same key."""
    (tmp_path / "as").write_text("tool")
    (tmp_path / "there").mkdir()
    other, ours = (_toolchain(tmp_path, name, tmp_path / place) for name, place in (("other", "there"), ("ours", "absent")))

    async def main() -> None:
        machine = Machine(tmp_path)
        await machine.put(KEY, (other, ours))
        assert await machine.toolchains._known_toolchain(KEY, str(tmp_path)) == ours
        (tmp_path / "as").write_text("another tool")
        assert await machine.toolchains._known_toolchain(KEY, str(tmp_path)) is None
        await machine.put(KEY, (other,))
        (tmp_path / "as").write_text("tool")
        assert await Machine(tmp_path).toolchains._known_toolchain(KEY, str(tmp_path)) is None

    asyncio.run(main())


def test_a_drivers_record_brings_toolchains(tmp_path: Path) -> None:
    """One look-up tells who the driver is and what stands behind it; only what holds is taken."""
    compiler = tmp_path / "gcc"
    compiler.write_bytes(b"\x7fELF gcc")
    compiler.chmod(0o755)
    (tmp_path / "as").write_text("tool")
    (tmp_path / "there").mkdir()
    other, ours = (_toolchain(tmp_path, name, tmp_path / place) for name, place in (("other", "there"), ("ours", "absent")))
    request = CompileRequest(argv=(str(compiler), "-c", "a.c"), cwd=str(tmp_path), env={"PATH": "/bin"}, umask=0o22)

    async def main() -> None:
        machine = Machine(tmp_path)
        identity = Identity("gcc", False, "12")
        key = _driver_key(str(compiler), digest(compiler.read_bytes()), "")
        await machine.put(key, DriverRecord(identity, ((KEY, other), (KEY, ours))))
        driver = await machine.toolchains.driver(request, Idle())
        assert isinstance(driver, Driver)
        assert (driver.family, driver.version) == ("gcc", "12")
        assert await machine.toolchains._known_toolchain(KEY, str(tmp_path)) == ours

    asyncio.run(main())


def test_a_header_directory_that_appears(tmp_path: Path) -> None:
    """Its rank among the others is not known: the record holds no more."""
    (tmp_path / "as").write_text("tool")

    async def main() -> None:
        machine = Machine(tmp_path)
        await machine.put(KEY, (_toolchain(tmp_path, "a", tmp_path / "absent" / "include"),))
        for _ in range(2):
            assert await machine.toolchains._known_toolchain(KEY, str(tmp_path)) is not None
        (tmp_path / "absent").mkdir()
        assert await machine.toolchains._known_toolchain(KEY, str(tmp_path)) is not None
        (tmp_path / "absent" / "include").mkdir()
        assert await machine.toolchains._known_toolchain(KEY, str(tmp_path)) is None

    asyncio.run(main())
