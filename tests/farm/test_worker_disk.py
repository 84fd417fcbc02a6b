"""A worker whose disk gets full, in the middle of everything: clients are told so, and nothing half-written is believed.

Its file system is really that small.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.farm.harness import wire
from tests.farm.harness.farm import files_below, until
from tests.farm.harness.network import Network
from tests.farm.harness.raw_worker import RawWorker, lone_worker, new_job

from sccache.dist.messages import Failed, JobHeader, Missing, Result

SPACE = 160 << 20
LARGE = 120 << 20
"""More than there is room for twice, once spooled and once kept."""


@pytest.fixture(scope="module")
def worker(any_network: Network, command) -> Iterator[RawWorker]:
    """As root, with its own mounts."""
    if os.geteuid() != 0 or not any_network.is_real:
        pytest.skip("needs root and network namespaces")
    with lone_worker(any_network, command, space=str(SPACE)) as worker:
        yield worker


@pytest.fixture(scope="module")
def shell(worker) -> str:
    return worker.upload(wire.shell_toolchain())


def _kept(worker: RawWorker) -> Path:
    """Its file system, as it sees it itself."""
    return Path(f"/proc/{worker.server.program.process.pid}/root{worker.server.folder}/kept")


def _free(worker: RawWorker) -> int:
    facts = os.statvfs(_kept(worker))
    return facts.f_bavail * facts.f_frsize


@pytest.fixture(autouse=True)
def lives_and_believes_nothing_false(worker, shell) -> Iterator[None]:
    """After each: contents are what their names say, half ones are gone, space is given back, and the next job runs."""
    before = _free(worker)
    yield
    cache = _kept(worker) / "cache"
    until(lambda: not [*(cache / "trees").iterdir(), *(cache / "spool").iterdir()], "directories of jobs are gone")
    until(lambda: _free(worker) > before - (2 << 20), "space is given back", worker.server.program.log)
    for path in files_below(cache / "contents"):
        assert wire.digest(path.read_bytes()).hex() == path.name.removesuffix("-x"), path
    assert {path.name for path in (cache / "tc").iterdir()} == set(worker.scheduler.heartbeats[worker.nonce]["toolchains"])
    data = secrets.token_bytes(100)
    result, outputs = worker.shell(shell, "cat in > out", [data], files=(wire.file(b"/work/in", data),), outputs=(b"/work/out",))
    assert (result.status, outputs) == (0, {b"/work/out": data})
    assert "Traceback" not in worker.server.program.text(), worker.server.program.text()[-5000:]


def test_contents_that_fill_it(worker, shell):
    """503 while they are written; the small one that came before them in the same body may be kept, the large one is not."""
    small, large = secrets.token_bytes(1000), secrets.token_bytes(LARGE)
    files = (wire.file(b"/work/small", small), wire.file(b"/work/large", large))
    header = wire.shell_job(shell, "echo ran", files=files, sent=tuple(file.digest for file in files))
    job = new_job()
    answer = worker.run(job, worker.token(job, shell), wire.packed(header, small + large))
    assert answer.status == 503, answer
    assert "cannot be kept" in answer.json["error"]
    asked = JobHeader(**{**{name: getattr(header, name) for name in header.__struct_fields__}, "sent": ()})
    job = new_job()
    missing = wire.unpacked(worker.run(job, worker.token(job, shell), wire.packed(asked)).body).answer
    assert isinstance(missing, Missing)
    assert files[1].digest in missing.contents


def test_a_body_that_fills_it(worker, shell):
    """503 while it comes in."""
    data = secrets.token_bytes(SPACE + (16 << 20))
    file = wire.file(b"/work/in", data)
    job = new_job()
    header = wire.shell_job(shell, "echo ran", files=(file,), sent=(file.digest,))
    assert worker.run(job, worker.token(job, shell), wire.packed(header, data)).status == 503


def test_an_archive_that_fills_it(worker):
    """503 while it comes in."""
    data = secrets.token_bytes(SPACE + (16 << 20))
    toolchain = wire.digest(data).hex()
    answer = worker.put(toolchain, worker.token(new_job(), toolchain), data)
    assert answer.status == 503, answer
    assert "cannot be kept" in answer.json["error"]


def test_an_archive_that_fills_it_when_it_is_unpacked(worker):
    """503; nothing of it is a toolchain, and it is asked for again."""
    packed = wire.shell_toolchain((wire.member("random"), secrets.token_bytes(10 << 20)), (wire.member("zeros"), b"\1" * (SPACE + 1)))
    toolchain = wire.digest(packed).hex()
    answer = worker.put(toolchain, worker.token(new_job(), toolchain), packed)
    assert answer.status == 503, answer
    job = new_job()
    asked = wire.unpacked(worker.run(job, worker.token(job, toolchain), wire.packed(wire.shell_job(toolchain, "echo ran"))).body)
    assert asked.answer == Missing(toolchain=True)


def test_a_job_that_fills_it(worker, shell):
    """The command sees a full disk, as it would at home, and its exit code is told; it is no success, so the client compiles at home."""
    job = new_job()
    header = wire.shell_job(shell, "cat /dev/zero > out; code=$?; echo $code; exit $code", outputs=(b"/work/out",))
    answer = wire.unpacked(worker.run(job, worker.token(job, shell), wire.packed(header)).body).answer
    assert isinstance(answer, Failed) or (isinstance(answer, Result) and answer.status != 0), answer


def test_jobs_while_it_is_full(worker, shell):
    """One that keeps it full does not hurt those beside it for longer than it runs: each is done, refused or failed."""
    fill = "cat /dev/zero > out; sleep 3"
    job, data = new_job(), secrets.token_bytes(1 << 20)
    body = wire.packed(wire.shell_job(shell, fill))
    with wire.connect(worker.client, wire.parse(worker.server.address), tls=True) as sock:
        sock.sendall(worker.opening("POST", f"jobs/{job}/run", worker.token(job, shell), f"Content-Length: {len(body)}") + body)
        until(lambda: _free(worker) < 1 << 20, "it is full")
        file = wire.file(b"/work/in", data)
        header = wire.shell_job(shell, "cat in > out", files=(file,), sent=(file.digest,), outputs=(b"/work/out",))
        job = new_job()
        answer = worker.run(job, worker.token(job, shell), wire.packed(header, data))
        if answer.status == 200:
            ran = wire.unpacked(answer.body)
            assert not isinstance(ran.answer, Result) or ran.answer.status != 0 or ran.outputs[b"/work/out"] == data
        else:
            assert answer.status == 503, answer
