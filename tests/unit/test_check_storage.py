"""check_storage.py: verdicts on what a backend says.  Real services are tried in tests/scenarios/test_levels.py."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from sccache import check_storage
from sccache.check_storage import Checked, check, render_json, render_text
from sccache.config.load import load
from sccache.config.schema import DiskConfig
from sccache.errors import StorageError, Trouble


class Scripted:
    """A backend that reads and writes as it is told."""

    type_name = "scripted"

    def __init__(self, reads: object = b"x", writes: object = None) -> None:
        self._reads = reads
        self._writes = writes
        self.written: list[bytes] = []
        self.is_closed = False

    async def read(self, _name: str) -> bytes | None:
        return await self._answer(self._reads)  # type: ignore[return-value]

    async def write(self, _name: str, blob: bytes) -> None:
        self.written.append(blob)
        await self._answer(self._writes)

    async def _answer(self, answer: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        if answer == "silence":
            await asyncio.Event().wait()
        return answer

    async def aclose(self) -> None:
        self.is_closed = True

    def location(self) -> str:
        return "scripted, name: , prefix: /"


def judged(backend: Scripted, *, read_only: bool = False) -> Checked:
    found = asyncio.run(check_storage._Trip(backend, 0.05, read_only=read_only).run("L0 (scripted)"))
    assert backend.is_closed
    return found


def test_what_works() -> None:
    """A fresh object is written and read; nothing is written where the settings say so."""
    backend = Scripted()
    found = judged(backend)
    assert (found.verdict, found.usable, found.message) == ("ok", True, "")
    assert found.read_ms is not None
    assert found.write_ms is not None
    assert judged(Scripted()).verdict == "ok"
    assert len(backend.written) == 1
    reader = Scripted(reads=None)
    assert (judged(reader, read_only=True).verdict, reader.written) == ("ok, read-only", [])


@pytest.mark.parametrize("trouble", [trouble for trouble in Trouble if trouble is not Trouble.TOO_LARGE])
def test_each_trouble_has_a_verdict_and_an_advice(trouble: Trouble) -> None:
    """The sentence of the backend, then what to do."""
    found = judged(Scripted(reads=StorageError("It does not work.", trouble)))
    assert (found.verdict, found.usable, found.read_ms) == (trouble.value, False, None)
    assert found.message.startswith("It does not work. ")
    assert len(found.message) > 30


def test_writing_is_denied() -> None:
    """It can be read, and that is not what was asked for."""
    found = judged(Scripted(writes=StorageError("403", Trouble.DENIED)))
    assert (found.verdict, found.usable, found.write_ms) == ("read-only", False, None)
    assert found.read_ms is not None
    assert "READ_ONLY" in found.message


def test_an_object_that_is_denied_until_it_is_there() -> None:
    """S3 for those who may not list the bucket; where writing is denied too, nothing can be read."""

    class Unlisted(Scripted):
        async def read(self, name: str) -> bytes | None:
            if not self.written:
                raise StorageError("403", Trouble.DENIED)
            return await super().read(name)

    assert judged(Unlisted()).verdict == "ok"
    nothing = judged(Scripted(reads=StorageError("no", Trouble.DENIED), writes=StorageError("403", Trouble.DENIED)))
    assert (nothing.verdict, nothing.usable) == ("denied", False)


@pytest.mark.parametrize(
    ("backend", "verdict"),
    [
        (Scripted(reads="silence"), "timed out"),
        (Scripted(writes="silence"), "timed out"),
        (Scripted(reads=None), "error"),
        (Scripted(reads=KeyError("secret")), "error"),
        (Scripted(writes=StorageError("full")), "error"),
    ],
)
def test_other_failures(backend: Scripted, verdict: str) -> None:
    """Silence, a store that forgets, a library's surprise."""
    found = judged(backend)
    assert (found.verdict, found.usable) == (verdict, False)
    assert "secret" not in found.message


def test_the_disk(tmp_path: Path) -> None:
    """A round trip that leaves no object; a directory that cannot be is an error."""
    settings = load({"HOME": str(tmp_path), "SCCACHE_DIR": str(tmp_path / "cache")}, "/")
    (found,) = check(settings)
    assert (found.level, found.verdict, found.usable) == ("disk", "ok", True)
    assert [path for path in (tmp_path / "cache").rglob("*") if len(path.name) == 64] == []
    reading = msgspec.structs.replace(settings, disk=DiskConfig(str(tmp_path / "cache"), read_only=True))
    assert check(reading)[0].verdict == "ok, read-only"
    (tmp_path / "file").touch()
    for read_only in (False, True):
        (broken,) = check(msgspec.structs.replace(settings, disk=DiskConfig(str(tmp_path / "file" / "x"), read_only=read_only)))
        assert (broken.verdict, broken.usable) == ("error", False)
        assert str(tmp_path / "file") in broken.message


def test_the_table() -> None:
    """Columns as wide as need be, then a sentence for what is wrong; the JSON has the same."""
    found = [
        Checked("L0 (disk)", "Local disk: x", "ok", usable=True, read_ms=0.123, write_ms=12.3),
        Checked("L1 (s3)", "s3", "denied", usable=False, message="403. Check."),
    ]
    assert render_text(found).splitlines() == [
        "Level      Location         Read    Write  Verdict",
        "L0 (disk)  Local disk: x  0.1 ms  12.3 ms  ok",
        "L1 (s3)    s3                  -        -  denied",
        "L1 (s3): 403. Check.",
    ]
    parsed = json.loads(render_json(found))
    assert (parsed["usable"], [level["verdict"] for level in parsed["levels"]]) == (False, ["ok", "denied"])
