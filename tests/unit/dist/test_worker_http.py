"""The real client with the real worker, over TLS: stores and wire are those of the product, only the sandbox is made up."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import zstandard
from aiohttp import web
from blake3 import blake3
from tests.unit.dist.farm_fakes import FakeScheduler, digest, job, said, serving, tls
from tests.unit.dist.farm_fakes import certificate as certificate_of
from tests.unit.dist.farm_world import LONG_S, RULES, Packed

from sccache.dist.client import Farm, Finished, Unavailable
from sccache.dist.contents import Contents
from sccache.dist.messages import Granted, JobHeader, OutputFile, Result
from sccache.dist.tokens import JobClaims, job_token
from sccache.dist.toolchain_store import Toolchains
from sccache.dist.worker import Worker
from sccache.dist.worker_http import Shell

KEY = b"k" * 32
NOW = 4e9
"""Tokens end long after that: tests have no clock."""


@dataclass
class Reports:
    """What the scheduler is told."""

    started: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)

    def report(self, *, started: Iterable[str] = (), finished: Iterable[str] = ()) -> None:
        self.started += started
        self.finished += finished

    def hasten(self) -> None:
        pass


@dataclass
class FakeRunner:
    """In place of a sandbox: gives the toolchain's own file back."""

    hold: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    killed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, header: JobHeader, toolchain: str) -> tuple[Result, list[bytes]]:
        self.begun.set()
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.killed.set()
            raise
        data = (Path(toolchain) / "bin" / "cc").read_bytes()
        outputs = tuple(OutputFile(path, len(data), digest(data)) for path in header.outputs)
        return Result(status=0, stdout=b"", stderr=b"", outputs=outputs), [data]


@dataclass
class World:
    shell: Shell
    runner: FakeRunner
    reports: Reports
    farm: Farm
    packed: Packed
    source: Path

    async def run(self) -> Finished | Unavailable:
        return await self.farm.run(*job(self.source, toolchain=self.packed.id), self.packed)


@asynccontextmanager
async def a_world(place: Path) -> AsyncIterator[World]:
    source, archive = place / "x.c", place / "archive"
    source.write_text("int x;")
    packed = io.BytesIO()
    with tarfile.open(mode="w", fileobj=packed) as tar:
        member = tarfile.TarInfo("bin/cc")
        member.size, member.mode = 8, 0o755
        tar.addfile(member, io.BytesIO(b"compiler"))
    archive.write_bytes(zstandard.compress(packed.getvalue()))
    toolchain = blake3(archive.read_bytes()).hexdigest()
    (place / "spool").mkdir()
    reports, runner, scheduler, worker = Reports(), FakeRunner(), FakeScheduler(), Worker("nonce", 2, 2)
    made: list[Shell] = []
    addresses: list[str] = []

    async def grant(_: web.Request) -> web.StreamResponse:
        (address,) = addresses
        name = f"{len(scheduler.asked):032x}"
        token = job_token(KEY, JobClaims(name, address, toolchain), NOW)
        return said(Granted(name, address, token, certificate_of("w")[1], has_toolchain=False))

    scheduler.answer = grant
    # A worker knows its address before it listens; here the port comes from the system, so the shell is made after that.
    app = web.Application()

    async def forward(request: web.Request) -> web.StreamResponse:
        shell = made[0]
        handler = shell.run if request.match_info["what"].startswith("jobs/") else shell.upload
        what = request.match_info["what"].split("/")
        request.match_info.update({"job": what[1], "id": what[-1]})
        return await shell.refuse(request, handler)  # type: ignore[no-any-return,operator]

    app.router.add_route("*", "/api/v2/{what:.*}", forward)
    async with serving(app, tls("w")) as address, scheduler.running() as config:
        stores = Contents(str(place / "contents"), 1 << 20), Toolchains(str(place / "tc"), 1 << 20)
        addresses.append(address)
        made.append(Shell(address, KEY, worker, *stores, runner, str(place / "spool"), reports))  # type: ignore[arg-type]
        farm = Farm(config, RULES)
        try:
            yield World(made[0], runner, reports, farm, Packed(toolchain, str(archive)), source)
        finally:
            await farm.aclose()


def test_a_job_from_nothing(tmp_path: Path) -> None:
    """The toolchain is uploaded, contents are kept, and the second time one request is enough."""

    async def main() -> None:
        async with asyncio.timeout(LONG_S), a_world(tmp_path) as world:
            world.runner.hold.set()
            for _ in range(2):
                outcome = await world.run()
                assert isinstance(outcome, Finished), outcome
                assert outcome.outputs[0][1] == b"compiler"
            assert world.shell.metrics.value("sccache_worker_missing_total") == 1
            assert world.shell.metrics.value("sccache_worker_toolchains_received_total") == 1
            assert world.reports.started == world.reports.finished == [f"{n:032x}" for n in (1, 2)]

    asyncio.run(main())


def test_a_toolchain_is_uploaded_once(tmp_path: Path) -> None:
    """Ten jobs come at once; one client is told to, the others wait, all are done."""

    async def main() -> None:
        async with asyncio.timeout(LONG_S), a_world(tmp_path) as world:
            world.runner.hold.set()
            outcomes = await asyncio.gather(*(world.run() for _ in range(10)))
            assert [type(outcome) for outcome in outcomes] == [Finished] * 10
            assert world.shell.metrics.value("sccache_worker_toolchains_received_total") == 1
            assert world.shell.worker.running == ()

    asyncio.run(main())


def test_a_client_that_goes_ends_its_job(tmp_path: Path) -> None:
    """The command is killed, the scheduler told, and the slot is another's."""

    async def main() -> None:
        async with asyncio.timeout(LONG_S), a_world(tmp_path) as world:
            running = asyncio.ensure_future(world.run())
            await world.runner.begun.wait()
            running.cancel()
            await world.runner.killed.wait()
            while world.shell.worker.running:
                await asyncio.sleep(0.01)
            assert world.reports.finished == world.reports.started
            assert world.shell.metrics.value("sccache_worker_jobs_total", "gone") == 1
            world.runner.hold.set()
            assert isinstance(await world.run(), Finished)

    asyncio.run(main())


def test_a_worker_that_is_about_to_end_takes_no_job(tmp_path: Path) -> None:
    """The client is told so, and compiles elsewhere; what runs goes on."""

    async def main() -> None:
        async with asyncio.timeout(LONG_S), a_world(tmp_path) as world:
            running = asyncio.ensure_future(world.run())
            await world.runner.begun.wait()
            world.shell.worker.is_draining = True
            outcome = await world.run()
            assert isinstance(outcome, Unavailable)
            assert "it answers 503: The worker is about to end" in outcome.reason
            world.runner.hold.set()
            assert isinstance(await running, Finished)
            assert world.shell.metrics.value("sccache_worker_requests_refused_total", "draining") == 2

    asyncio.run(main())
