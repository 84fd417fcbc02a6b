"""A client that sends a byte now and then does not hold a place, nor an upload that others wait for."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.unit.dist.farm_fakes import serving, tls

from sccache.dist.contents import Contents
from sccache.dist.tokens import JobClaims, job_token
from sccache.dist.toolchain_store import Toolchains
from sccache.dist.worker import Duty, Worker
from sccache.dist.worker_http import Shell, make_app
from sccache.dist.worker_pace import Pace

KEY = b"k" * 32
JOB, TOOLCHAIN, ADDRESS = "1" * 32, "2" * 64, "worker:1"
NOW = 4e9
"""Tokens end long after that: tests have no clock."""
LONG_S = 60.0
STRICT = Pace(silence_s=LONG_S, grace_s=0.2, bytes_per_s=1e9, most_s=LONG_S)
"""A sender that pauses at all is too slow, but never silent."""


class Reports:
    def report(self, *, started: Iterable[str] = (), finished: Iterable[str] = ()) -> None:
        pass

    def hasten(self) -> None:
        pass


@pytest.mark.parametrize(
    ("waited_s", "count", "left_s"),
    [
        (0.0, 0, 30.0),  # only silence
        (50.0, 0, 10.0),  # so much of the grace is left
        (61.0, 1, -1.0 + 1 / 65536),  # nothing but a byte
        (600.0, 64 << 20, 30.0),  # more than is expected
        (890.0, 1 << 30, 10.0),  # fast, but it has to end
    ],
)
def test_what_is_left(waited_s: float, count: int, left_s: float) -> None:
    """Silence, average and the whole: whichever is over first."""
    assert Pace().left_s(waited_s, count) == pytest.approx(left_s)


def test_a_large_answer_may_take_longer() -> None:
    """In proportion, up to the most."""
    assert Pace().whole_s(0) == Pace().grace_s
    assert Pace().whole_s(64 << 10) == Pace().grace_s + 1
    assert Pace().whole_s(1 << 40) == Pace().most_s


async def _drip(address: str, path: str) -> tuple[int, bytes]:
    """Send a request whose body never ends, byte for byte; how many bytes were sent before an answer came, and how it begins."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    token = job_token(KEY, JobClaims(JOB, ADDRESS, TOOLCHAIN), NOW)
    writer.write(f"{path} HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {token}\r\nContent-Length: 100000\r\n\r\n".encode())
    answer = asyncio.ensure_future(reader.read(1 << 16))
    sent = 0
    while not answer.done():
        with contextlib.suppress(OSError):
            writer.write(b"\1" if sent == 2 else b"\0")  # a job's header of 64 KiB is announced
            await writer.drain()
        sent += 1
        await asyncio.sleep(0.01)
    writer.transport.abort()
    return sent, await answer


def _shell(place: Path) -> Shell:
    (place / "spool").mkdir()
    stores = Contents(str(place / "contents"), 1 << 20), Toolchains(str(place / "tc"), 1 << 20)
    return Shell(ADDRESS, KEY, Worker("nonce", 1, 1), *stores, None, str(place / "spool"), Reports(), STRICT)  # type: ignore[arg-type]


def test_a_job_that_drips_loses_its_place(tmp_path: Path) -> None:
    """408, counted, and the job is over."""

    async def main() -> None:
        shell = _shell(tmp_path)
        async with asyncio.timeout(LONG_S), serving(make_app(shell), tls("w")) as address:
            sent, answer = await _drip(address, f"POST /api/v2/jobs/{JOB}/run")
            assert answer.startswith(b"HTTP/1.1 408 "), answer
            assert sent > 1
            assert shell.worker.running == ()
            assert shell.metrics.value("sccache_worker_requests_refused_total", "slow") == 1

    asyncio.run(main())


def test_an_upload_that_drips_is_given_to_another(tmp_path: Path) -> None:
    """408, nothing of it is kept, and the next who needs that toolchain is asked for it."""

    async def main() -> None:
        shell = _shell(tmp_path)
        async with asyncio.timeout(LONG_S), serving(make_app(shell), tls("w")) as address:
            _, answer = await _drip(address, f"PUT /api/v2/toolchains/{TOOLCHAIN}")
            assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert list((tmp_path / "tc").iterdir()) == []
        assert shell.worker.need("3" * 32, TOOLCHAIN, 0.0, is_there=False) is Duty.UPLOAD

    asyncio.run(main())
