"""The scheduler's status page: what it shows, as numbers, and the page that asks for them.

The page is one file without anything from outside; its policy allows only its own script and style, by their digests, and to ask
the scheduler.  All that workers and clients have said is put in as text.

Owns: what of the farm everybody may see.  Must not know: HTTP, clocks; keys, tokens and whole job names never come here.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from heapq import nlargest
from importlib import resources

from msgspec import Struct

from sccache import __version__
from sccache.dist.fleet import Worker
from sccache.dist.scheduler import Scheduler

MOST_WORKERS = 1000
MOST_JOBS = 500
MOST_TOOLCHAINS = 100
JOB_DIGITS = 8
"""Of a job's name: enough to find it in a log."""


class WorkerRow(Struct, frozen=True):
    """A worker; times in seconds."""

    address: str
    state: str
    """`ready`, `full`, `failing` (a client said so) or `draining`."""
    cores: int
    slots: int
    jobs: int
    load: float
    """1.0: all cores busy."""
    toolchains: int
    heard_s: float
    """Since it was last heard."""


class ToolchainRow(Struct, frozen=True):
    """A toolchain."""

    id: str
    workers: int
    """That have it or are about to."""
    jobs: int


class JobRow(Struct, frozen=True):
    """A job."""

    job: str
    """The first digits."""
    worker: str
    toolchain: str
    """Empty if the scheduler was started after it."""
    state: str
    """`granted` or `running`."""
    for_s: float


class Overview(Struct, frozen=True):
    """GET /api/v2/overview."""

    version: str
    up_s: float
    num_servers: int
    num_cpus: int
    in_progress: int
    waiting: int
    longest_wait_s: float
    counts: dict[str, int]
    """Since the scheduler was started; see scheduler.COUNTS."""
    workers: tuple[WorkerRow, ...]
    """The busiest."""
    toolchains: tuple[ToolchainRow, ...]
    """The most used."""
    jobs: tuple[JobRow, ...]
    """The longest."""
    num_toolchains: int


def overview(scheduler: Scheduler, now: float, started_at: float) -> Overview:
    """The farm at this moment."""
    status, workers = scheduler.status(), scheduler.fleet.workers.values()
    toolchains = _toolchains(scheduler, workers)
    return Overview(
        version=__version__,
        up_s=now - started_at,
        num_servers=status.num_servers,
        num_cpus=status.num_cpus,
        in_progress=status.in_progress,
        waiting=status.waiting,
        longest_wait_s=max((now - waiting.since for waiting in scheduler.queue), default=0.0),
        counts=dict(scheduler.counts),
        workers=tuple(nlargest(MOST_WORKERS, (_worker(worker, now) for worker in workers), key=lambda row: (row.load, row.address))),
        toolchains=tuple(toolchains[:MOST_TOOLCHAINS]),
        jobs=tuple(nlargest(MOST_JOBS, _jobs(workers, now), key=lambda row: (row.for_s, row.job))),
        num_toolchains=len(toolchains),
    )


def _state(worker: Worker) -> str:
    if worker.is_draining:
        return "draining"
    if worker.is_suspect:
        return "failing"
    return "ready" if worker.is_open else "full"


def _worker(worker: Worker, now: float) -> WorkerRow:
    return WorkerRow(
        address=worker.address,
        state=_state(worker),
        cores=worker.cores,
        slots=worker.slots,
        jobs=len(worker.jobs),
        load=round(worker.load, 3),
        toolchains=len(worker.toolchains),
        heard_s=now - worker.heard_at,
    )


def _toolchains(scheduler: Scheduler, workers: Iterable[Worker]) -> list[ToolchainRow]:
    jobs = Counter(job.toolchain for worker in workers for job in worker.jobs.values())
    rows = [ToolchainRow(name, number, jobs[name]) for name, number in scheduler.fleet.holders().items()]
    return sorted(rows, key=lambda row: (-row.jobs, -row.workers, row.id))


def _jobs(workers: Iterable[Worker], now: float) -> Iterable[JobRow]:
    for worker in workers:
        for name, job in worker.jobs.items():
            state = "running" if job.is_started else "granted"
            yield JobRow(name[:JOB_DIGITS], worker.address, job.toolchain, state, now - job.since)


def _digest(kind: str) -> str:
    (text,) = re.findall(f"<{kind}>(.*?)</{kind}>", PAGE, re.DOTALL)
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


PAGE = resources.files(__package__).joinpath("status_page.html").read_text("utf-8")
POLICY = (
    f"default-src 'none'; script-src 'sha256-{_digest('script')}'; style-src 'sha256-{_digest('style')}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page (w3.org/TR/CSP3)."""
