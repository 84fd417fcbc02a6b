"""Contents that are on their way are not asked for again, and who does not bring what he was to bring holds nobody up for long."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest
import zstandard
from aiohttp import ClientSession, TCPConnector
from tests.unit.dist.farm_fakes import digest, serving, tls
from tests.unit.dist.test_worker_limits import HEADER, TOOLCHAIN, Reports

from sccache.dist import worker_http
from sccache.dist.contents import Contents
from sccache.dist.messages import File, JobAnswer, JobHeader, Missing, Result
from sccache.dist.tokens import JobClaims, job_token
from sccache.dist.toolchain_store import Toolchains
from sccache.dist.worker import Worker
from sccache.dist.worker_coming import Coming
from sccache.dist.worker_http import Shell, make_app

KEY, ADDRESS = b"k" * 32, "worker:1"
NOW = 4e9
LONG_S = 60.0
FIRST, SECOND = "1" * 32, "3" * 32
A, B = b"int a;", b"int b;"


def test_one_brings_it() -> None:
    """Others need not, until it is over; who asks for himself is not others."""
    coming = Coming()
    coming.expect(FIRST, [A])
    assert coming.from_nobody(SECOND, [A, B]) == (B,)
    assert coming.from_nobody(FIRST, [A, B]) == (A, B)
    coming.over(FIRST)
    coming.over(FIRST)
    assert coming.from_nobody(SECOND, [A, B]) == (A, B)


def test_another_takes_it_over() -> None:
    """What the first then does not bring is the second's affair."""
    coming = Coming()
    coming.expect(FIRST, [A, B])
    coming.expect(SECOND, [A])
    coming.over(FIRST)
    assert coming.from_nobody(FIRST, [A, B]) == (B,)
    coming.over(SECOND)
    assert coming.from_nobody(FIRST, [A, B]) == (A, B)


class Runner:
    async def run(self, *_: object) -> tuple[Result, list[bytes]]:
        return Result(status=0, stdout=b"ran", stderr=b"", outputs=()), []


class World:
    """A worker, and jobs by hand."""

    def __init__(self, place: Path) -> None:
        (place / "spool").mkdir()
        (place / "tc" / TOOLCHAIN).mkdir(parents=True)
        stores = Contents(str(place / "contents"), 1 << 20), Toolchains(str(place / "tc"), 1 << 20)
        self.shell = Shell(ADDRESS, KEY, Worker("nonce", 4, 4), *stores, Runner(), str(place / "spool"), Reports())  # type: ignore[arg-type]
        self.address = ""
        self.session: ClientSession

    async def ask(self, job: str, header: JobHeader, *contents: bytes) -> JobAnswer:
        """One request to its end."""
        header = msgspec.structs.replace(header, sent=tuple(map(digest, contents)))
        packed = zstandard.compress(msgspec.msgpack.encode(header))
        body = len(packed).to_bytes(4, "little") + packed + zstandard.compress(b"".join(contents))
        token = job_token(KEY, JobClaims(job, ADDRESS, TOOLCHAIN), NOW)
        url = f"https://{self.address}/api/v2/jobs/{job}/run"
        async with self.session.post(url, data=body, headers={"Authorization": f"Bearer {token}"}, ssl=False) as response:
            data = (await response.read()).lstrip(b".")
        size = int.from_bytes(data[1:5], "little")
        return msgspec.msgpack.decode(zstandard.decompress(data[5 : 5 + size]), type=JobAnswer)  # type: ignore[no-any-return]


@contextlib.asynccontextmanager
async def a_world(place: Path):
    world = World(place)
    async with (
        asyncio.timeout(LONG_S),
        serving(make_app(world.shell), tls("w")) as world.address,
        ClientSession(connector=TCPConnector()) as world.session,
    ):
        yield world


def header(*contents: bytes) -> JobHeader:
    files = tuple(File(b"/w/%d.h" % number, digest(data), len(data)) for number, data in enumerate(contents))
    return msgspec.structs.replace(HEADER, files=files)


def test_the_second_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked only for what the first does not bring, and runs when the first has brought the rest."""
    monkeypatch.setattr(worker_http, "BRING_S", LONG_S)

    async def main() -> None:
        async with a_world(tmp_path) as world:
            assert await world.ask(FIRST, header(A)) == Missing((digest(A),))
            assert await world.ask(SECOND, header(A, B)) == Missing((digest(B),))
            second = asyncio.ensure_future(world.ask(SECOND, header(A, B), B))
            while len(world.shell.worker.running) < 2 or not (tmp_path / "contents" / digest(B).hex()[:2]).exists():
                await asyncio.sleep(0.01)
            first = await world.ask(FIRST, header(A), A)
            assert isinstance(first, Result)
            assert isinstance(await second, Result)
            assert world.shell.metrics.value("sccache_worker_missing_total") == 2

    asyncio.run(main())


def test_one_who_does_not_bring_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the second is asked itself, and the first is waited for no longer."""
    monkeypatch.setattr(worker_http, "BRING_S", 0.05)

    async def main() -> None:
        async with a_world(tmp_path) as world:
            assert await world.ask(FIRST, header(A)) == Missing((digest(A),))
            assert await world.ask(SECOND, header(A)) == Missing((digest(A),))
            assert isinstance(await world.ask(SECOND, header(A), A), Result)

    asyncio.run(main())


def test_a_job_that_is_lost_brings_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client did not come back: the next is asked at once."""
    monkeypatch.setattr(worker_http, "BRING_S", LONG_S)

    async def main() -> None:
        async with a_world(tmp_path) as world:
            assert await world.ask(FIRST, header(A)) == Missing((digest(A),))
            monkeypatch.setattr(Shell, "now", staticmethod(lambda: NOW))
            world.shell.tick()
            assert await world.ask(SECOND, header(A)) == Missing((digest(A),))

    asyncio.run(main())
