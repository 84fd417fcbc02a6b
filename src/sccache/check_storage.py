"""`sccache --check-storage`: what each configured storage says to a real read and a real write.

Owns: the round trip, the verdicts and what they advise, the table.  Must not know: any backend, the daemon.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from sccache.config.schema import Config, DiskConfig, RemoteConfig
from sccache.errors import StorageError, Trouble
from sccache.storage import factory
from sccache.storage.base import CHECK_NAME, Backend, Kind
from sccache.storage.disk import DiskStorage
from sccache.storage.redaction import Redactor, secrets_of

OK, OK_READ_ONLY = "ok", "ok, read-only"
CLOSE_DEADLINE_S = 2.0
ADVICE = {
    Trouble.UNREACHABLE: "Check that the service runs and that the address and the port are right; compiles go on without it.",
    Trouble.TIMED_OUT: "Check the network on the way to it, or give it more time with SCCACHE_REMOTE_TIMEOUT.",
    Trouble.DENIED: "Check the credentials: whether they are set where the build runs, still valid, and allowed to do this.",
    Trouble.RATE_LIMITED: "Ask again later; compiles go on without it meanwhile.",
    Trouble.WRONG_PLACE: "Check the address, the region, and the name of the bucket, container or database, which has to exist.",
    Trouble.BAD_TLS: "Check that the address speaks TLS and that its certificate is trusted on this machine.",
    Trouble.READ_ONLY: "Say READ_ONLY in the settings if that is meant, else allow writing.",
}
OTHERWISE = "SCCACHE_LOG=debug tells more."
LOST = "What was written could not be read again: it is full, or deletes what it is given."

T = TypeVar("T")


class Checked(Struct, frozen=True):
    """What became of one storage."""

    level: str
    location: str
    verdict: str
    usable: bool
    """It does what the settings ask of it."""
    read_ms: float | None = None
    write_ms: float | None = None
    message: str = ""
    """What went wrong, and what to do."""


def check(config: Config) -> list[Checked]:
    """Try every storage that compiles with these settings would use; raises ConfigError."""
    chosen = factory.chosen_levels(config)
    backends = [None if isinstance(level, str) else factory.open_backend(level) for level in chosen]
    names = [factory.DISK if backend is None else backend.type_name for backend in backends]
    if config.multilevel.chain:
        names = [f"L{number} ({name})" for number, name in enumerate(names)]
    return asyncio.run(_check_all(config, names, chosen, backends))


async def _check_all(
    config: Config, names: Sequence[str], chosen: Sequence[RemoteConfig | str], backends: Sequence[Backend | None]
) -> list[Checked]:
    found: list[Checked] = []
    for name, level, backend in zip(names, chosen, backends, strict=True):  # one after another: they shall not slow each other down
        if backend is None or isinstance(level, str):
            found.append(_check_disk(name, config.disk))
        else:
            trip = _Trip(backend, config.limits.timeout_s, read_only=bool(level.settings["rw_mode"]))
            judged = await trip.run(name)
            found.append(msgspec.structs.replace(judged, message=Redactor(secrets_of(level))(judged.message)))
    return found


class _Trip:
    """A round trip to one backend."""

    def __init__(self, backend: Backend, timeout_s: float, *, read_only: bool) -> None:
        self._backend = backend
        self._timeout_s = timeout_s
        self._read_only = read_only
        self._read_ms: float | None = None
        self._write_ms: float | None = None

    async def run(self, level: str) -> Checked:
        try:
            verdict, usable, message = await self._judge()
        finally:
            try:
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await self._backend.aclose()
            except Exception:  # noqa: BLE001, S110 (the verdict is made; how the connection ends is of no interest)
                pass
        return Checked(level, self._backend.location(), verdict, usable, self._read_ms, self._write_ms, message)

    async def _judge(self) -> tuple[str, bool, str]:
        fresh = b"sccache check " + secrets.token_hex(8).encode()
        try:
            denied = await self._first_read()
            if not self._read_only:
                try:
                    _, self._write_ms = await self._timed(self._backend.write(CHECK_NAME, fresh))
                except StorageError as e:
                    if e.trouble not in (Trouble.DENIED, Trouble.READ_ONLY):
                        raise
                    if denied is not None:
                        raise denied from None
                    _, self._read_ms = await self._timed(self._backend.read(CHECK_NAME))
                    return "read-only", False, f"Reading works, writing does not: {e}. {ADVICE[Trouble.READ_ONLY]}"
            found, self._read_ms = await self._timed(self._backend.read(CHECK_NAME))
        except StorageError as e:
            return e.trouble.value, False, f"{str(e).rstrip('.')}. {ADVICE.get(e.trouble, OTHERWISE)}"
        if self._read_only:
            return OK_READ_ONLY, True, ""
        if found is None:
            return (
                Trouble.ERROR.value,
                False,
                "What was written could not be read again. Check that no other prefix or expiration is in the way.",
            )
        return OK, True, ""

    async def _first_read(self) -> StorageError | None:
        """Also connects: the time of the second read counts.

        That it is denied is told, not raised, where the object can be written: S3 denies a missing one to those who may not list.
        """
        try:
            await self._timed(self._backend.read(CHECK_NAME))
        except StorageError as e:
            if e.trouble is not Trouble.DENIED or self._read_only:
                raise
            return e
        return None

    async def _timed(self, request: Awaitable[T]) -> tuple[T, float]:
        """The answer, and how many milliseconds it took; StorageError for any failure."""
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await request
        except TimeoutError as e:
            raise StorageError(f"no answer within {self._timeout_s:g} s", Trouble.TIMED_OUT) from e
        except StorageError:
            raise
        except Exception as e:  # a library's own way to fail is a verdict too; its text may hold anything, so only its kind is shown
            raise StorageError(f"unexpected failure ({type(e).__name__})") from e
        return answer, (time.perf_counter() - start) * 1e3


def _check_disk(level: str, disk: DiskConfig) -> Checked:
    storage = DiskStorage(disk.dir, disk.size_bytes, read_only=disk.read_only)
    key, fresh = secrets.token_hex(32), secrets.token_bytes(64)
    write_ms: float | None = None
    try:
        if disk.read_only:
            os.scandir(disk.dir).close()
        else:
            start = time.perf_counter()
            storage.put_nowait(key, Kind.ENTRY, fresh)
            write_ms = (time.perf_counter() - start) * 1e3
        start = time.perf_counter()
        found = storage.get_nowait(key, Kind.ENTRY)
        read_ms = (time.perf_counter() - start) * 1e3
        storage.drop(key, Kind.ENTRY)
    except (StorageError, OSError) as e:
        reason = e.__cause__ if isinstance(e.__cause__, OSError) else e
        denied = isinstance(reason, PermissionError)
        text = e if isinstance(e, StorageError) else f"cannot read {disk.dir}: {e.strerror}"
        return Checked(level, storage.location(), "denied" if denied else "error", usable=False, message=f"{text}. {DISK_ADVICE}")
    finally:
        storage.close()
    if disk.read_only:
        return Checked(level, storage.location(), OK_READ_ONLY, usable=True, read_ms=read_ms)
    if found != fresh:
        return Checked(level, storage.location(), "error", usable=False, message=LOST)
    return Checked(level, storage.location(), OK, usable=True, read_ms=read_ms, write_ms=write_ms)


DISK_ADVICE = "Check that the directory can be made, read and written by this user, and that the disk is not full; SCCACHE_DIR names it."


def render_json(found: Sequence[Checked]) -> str:
    """The JSON of --stats-format json."""
    return msgspec.json.encode({"usable": all(level.usable for level in found), "levels": found}).decode()


def render_text(found: Sequence[Checked]) -> str:
    """A table, and a sentence for each storage that has something wrong."""
    rows = [("Level", "Location", "Read", "Write", "Verdict")]
    rows += [(level.level, level.location, _milliseconds(level.read_ms), _milliseconds(level.write_ms), level.verdict) for level in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"{name:<{widths[0]}}  {place:<{widths[1]}}  {read:>{widths[2]}}  {write:>{widths[3]}}  {verdict}"
        for name, place, read, write, verdict in rows
    ]
    lines += [f"{level.level}: {level.message}" for level in found if level.message]
    return "".join(f"{line}\n" for line in lines)


def _milliseconds(number: float | None) -> str:
    return "-" if number is None else f"{number:.1f} ms"
