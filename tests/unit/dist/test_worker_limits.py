"""What nobody can hold on a worker: a place, by not reading; its threads, by what is to be looked through; its disk, by what jobs leave."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
import zstandard
from tests.unit.dist.farm_fakes import digest, serving, tls

from sccache.dist import job_checks
from sccache.dist.contents import Contents
from sccache.dist.messages import File, JobHeader, OutputFile, Result
from sccache.dist.sandbox.base import Build, Limits, Made, Outcome
from sccache.dist.tokens import JobClaims, job_token
from sccache.dist.toolchain_store import Toolchains
from sccache.dist.worker import Worker
from sccache.dist.worker_http import Shell, make_app
from sccache.dist.worker_job import Runner
from sccache.dist.worker_pace import Pace
from sccache.errors import ProtocolError

KEY = b"k" * 32
JOB, TOOLCHAIN = "1" * 32, "2" * 64
ADDRESS = "worker:1"
NOW = 4e9
"""Tokens end long after that: tests have no clock."""
LONG_S = 60.0
SHORT_S = 0.1
SOURCE = b"int x;"
HEADER = JobHeader(
    toolchain=TOOLCHAIN, executable=b"/bin/cc", argv=(b"cc",), environment=(), cwd=b"/w", umask=0o22, directories=(), links=(),
    files=(File(b"/w/deep/x.c", digest(SOURCE), len(SOURCE)),), outputs=(b"/w/x.o",),
)  # fmt: skip


class Loud:
    """Instead of a sandbox: makes more than any socket holds."""

    async def run(self, *_: object) -> tuple[Result, list[bytes]]:
        data = os.urandom(64 << 20)
        return Result(status=0, stdout=b"", stderr=b"", outputs=(OutputFile(b"/w/x.o", len(data), digest(data)),)), [data]


class Reports:
    def __init__(self) -> None:
        self.finished = asyncio.Event()

    def report(self, *, finished: Iterable[str] = (), **_: object) -> None:
        if tuple(finished):
            self.finished.set()

    def hasten(self) -> None:
        pass


def request() -> bytes:
    header = zstandard.compress(msgspec.msgpack.encode(HEADER))
    body = len(header).to_bytes(4, "little") + header + zstandard.compress(b"")
    token = job_token(KEY, JobClaims(JOB, ADDRESS, TOOLCHAIN), NOW)
    head = f"POST /api/v2/jobs/{JOB}/run HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_client_that_does_not_read_loses_its_place(tmp_path: Path) -> None:
    """Its answer is given up, the job is over, and the scheduler is told."""

    async def main() -> None:
        (tmp_path / "tc" / TOOLCHAIN).mkdir(parents=True)
        (tmp_path / "spool").mkdir()
        contents = Contents(str(tmp_path / "contents"), 1 << 20)
        contents.add(digest(SOURCE), len(SOURCE), [SOURCE])
        worker, reports = Worker("nonce", 2, 2), Reports()
        toolchains = Toolchains(str(tmp_path / "tc"), 1 << 20)
        shell = Shell(ADDRESS, KEY, worker, contents, toolchains, Loud(), str(tmp_path / "spool"), reports, Pace(silence_s=SHORT_S))  # type: ignore[arg-type]
        async with asyncio.timeout(LONG_S), serving(make_app(shell), tls("w")) as address:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            host, port = address.split(":")
            _, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(request())
            await reports.finished.wait()
            assert worker.running == ()
            assert shell.metrics.value("sccache_worker_jobs_total", "gone") == 1
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    asyncio.run(main())


@pytest.mark.parametrize("number", [job_checks.MAX_OUTPUT_DIRECTORIES, job_checks.MAX_OUTPUT_DIRECTORIES + 1])
def test_output_directories_are_counted(number: int) -> None:
    """Each costs a walk through all that the command has written."""
    header = msgspec.structs.replace(HEADER, output_directories=tuple(b"/w/%d" % n for n in range(number)))
    if number <= job_checks.MAX_OUTPUT_DIRECTORIES:
        job_checks.check(header)
        return
    with pytest.raises(ProtocolError, match="too many output directories"):
        job_checks.check(header)


class Ended:
    """A build that made nothing."""

    outcome = Outcome(0, b"", b"", 1, 1)

    def __init__(self, upper: Path) -> None:
        self._upper = upper

    def read(self, *_: object) -> list[Made]:
        return []

    def left(self, *_: object) -> tuple[bytes, ...]:
        return ()

    def own(self, *_: object) -> bytes:
        return b""

    def remove(self) -> None:
        self._upper.rmdir()


class Sandbox:
    """Looks at a tree, or is cancelled over it."""

    def __init__(self, upper: Path, *, is_endless: bool) -> None:
        self._upper, self._is_endless = upper, is_endless
        self.begun = asyncio.Event()
        self.seen = b""

    async def check(self) -> None:
        pass

    async def run(self, build: Build) -> Ended:
        self.seen = (Path(build.tree) / "w" / "deep" / "x.c").read_bytes()
        self.begun.set()
        if self._is_endless:
            await asyncio.Event().wait()
        self._upper.mkdir()
        return Ended(self._upper)


@pytest.mark.parametrize("is_endless", [False, True])
def test_jobs_leave_nothing(tmp_path: Path, *, is_endless: bool) -> None:
    """A client does not wait until its tree is deleted, but it is, also after a job that was killed."""

    async def main() -> None:
        trees = tmp_path / "trees"
        trees.mkdir()
        contents = Contents(str(tmp_path / "contents"), 1 << 20)
        contents.add(digest(SOURCE), len(SOURCE), [SOURCE])
        sandbox = Sandbox(tmp_path / "upper", is_endless=is_endless)
        runner = Runner(sandbox, contents, str(trees), Limits())
        async with asyncio.timeout(LONG_S):
            running = asyncio.ensure_future(runner.run(HEADER, "/nowhere"))
            await sandbox.begun.wait()
            if is_endless:
                running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await runner.aclose()
        assert running.cancelled() == is_endless
        assert sandbox.seen == SOURCE
        assert list(trees.iterdir()) == []
        assert not (tmp_path / "upper").exists()
        assert contents.missing([digest(SOURCE)]) == ()

    asyncio.run(main())
