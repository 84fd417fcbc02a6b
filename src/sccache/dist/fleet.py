"""The workers that the scheduler knows, in the order in which they are to get work.  Pure: time is told to it.

A worker's load is the weight of its jobs by its cores.  Work goes to the least loaded; among equals to the one that has waited longest.
A toolchain that would have to be sent first counts as some load, so a worker that has it is preferred until it is that much busier.
A worker that failed a client is a suspect: it gets work when nobody else can take it.

Weights are counted in thousandths of a core, as integers: sums of them come back to nothing exactly.

Owns: jobs by worker, loads, the ranking, who has which toolchain, suspicion.  Must not know: clients' queue, clocks, sockets, tokens.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Collection, Iterable

from msgspec import Struct, field

from sccache.dist.messages import Heartbeat

CORE = 1000
"""Weight of one core."""
FEW_HOLDERS = 64
"""Up to so many workers with a toolchain are compared one by one; among more the ranking soon meets one."""


class Job(Struct):
    """A place that was given away."""

    toolchain: str
    """Empty: learned from a worker's heartbeat, after the scheduler was started anew."""
    weight: int
    """In thousandths of a core."""
    since: float
    started_beat: int = -1
    """How many heartbeats of the worker had come when it was known to run; -1: the client was not heard there yet."""

    @property
    def is_started(self) -> bool:
        """The worker has it."""
        return self.started_beat >= 0


class Worker(Struct):
    """What is known of one."""

    address: str
    nonce: str
    cores: int
    slots: int
    job_key: str
    certificate: str
    turn: int
    """Rises with every job given away: the lowest has waited longest."""
    heard_at: float
    silent_at: float
    """When it is taken for lost."""
    beats: int = 0
    is_draining: bool = False
    toolchains: frozenset[str] = frozenset()
    expected: set[str] = field(default_factory=set)
    """Toolchains that its jobs bring there."""
    jobs: dict[str, Job] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    """Jobs that ended since the last heartbeat: the next one may have been written before."""
    used: int = 0
    """Weight of its jobs."""
    is_suspect: bool = False
    failures: int = 0
    """Suspicions in a row."""
    good: int = 0
    """Jobs that ended since a client last complained."""
    rank: tuple[float, int, str] | None = None
    """Its entry in the ranking."""

    @property
    def load(self) -> float:
        """1.0: as many cores are busy as there are."""
        return self.used / (CORE * self.cores)

    @property
    def is_open(self) -> bool:
        """It takes one more job, of any weight: a heavy one may overload it, or it would wait for a whole machine to be idle."""
        return not self.is_draining and len(self.jobs) < self.slots and self.used < CORE * max(self.slots, self.cores)

    def at_hand(self) -> set[str] | frozenset[str]:
        """All toolchains that it has or is about to have."""
        return self.toolchains | self.expected


class Fleet:
    """All workers; `workers` is ordered by when they were last heard, longest ago first."""

    def __init__(self, toolchain_load: float) -> None:
        """`toolchain_load`: how much load one that has a toolchain may have more than one that has not, to be preferred."""
        self.workers: OrderedDict[str, Worker] = OrderedDict()
        self.suspects: dict[str, float] = {}
        """Address → when it is one of many again."""
        self._toolchain_load = toolchain_load
        self._ranking: list[tuple[float, int, str]] = []
        self._holders: dict[str, set[str]] = {}
        self._turn = 0
        self.cores = 0
        self.jobs = 0

    # -- who comes and goes

    def join(self, address: str, heartbeat: Heartbeat, now: float) -> Worker:
        """A worker that was not known, or in an earlier life."""
        self.leave(address)
        worker = Worker(
            address,
            heartbeat.nonce,
            heartbeat.cores,
            heartbeat.slots,
            heartbeat.job_key,
            heartbeat.certificate,
            self._next_turn(),
            now,
            now,
        )
        self.workers[address] = worker
        self.cores += worker.cores
        return worker

    def leave(self, address: str) -> None:
        """A worker with all its jobs; nothing if it is not known."""
        worker = self.workers.pop(address, None)
        if worker is None:
            return
        self._holds(worker, worker.at_hand(), ())
        self.suspects.pop(address, None)
        worker.is_draining = True
        self._rank(worker)
        self.cores -= worker.cores
        self.jobs -= len(worker.jobs)

    def update(self, worker: Worker, heartbeat: Heartbeat, now: float, silent_at: float) -> None:
        """What a heartbeat says of the worker itself."""
        self.cores += heartbeat.cores - worker.cores
        worker.cores, worker.slots, worker.is_draining = heartbeat.cores, heartbeat.slots, heartbeat.draining
        worker.job_key, worker.certificate = heartbeat.job_key, heartbeat.certificate
        worker.heard_at, worker.silent_at = now, silent_at
        self.workers.move_to_end(worker.address)
        expected = {job.toolchain for job in worker.jobs.values() if job.toolchain}
        toolchains = frozenset(heartbeat.toolchains)
        if toolchains != worker.toolchains or expected != worker.expected:
            before = worker.at_hand()
            worker.toolchains, worker.expected = toolchains, expected
            self._holds(worker, before, worker.at_hand())
        self._rank(worker)

    def _holds(self, worker: Worker, before: Iterable[str], after: Collection[str]) -> None:
        for toolchain in before:
            if toolchain not in after:
                holders = self._holders[toolchain]
                holders.discard(worker.address)
                if not holders:
                    del self._holders[toolchain]
        for toolchain in after:
            self._holders.setdefault(toolchain, set()).add(worker.address)

    # -- jobs

    def add(self, worker: Worker, job: str, made: Job) -> None:
        """The worker has one more."""
        worker.jobs[job] = made
        worker.used += made.weight
        worker.turn = self._next_turn()
        self.jobs += 1
        if made.toolchain and made.toolchain not in worker.expected:
            worker.expected.add(made.toolchain)
            self._holds(worker, (), (made.toolchain,))
        self._rank(worker)

    def drop(self, worker: Worker, job: str) -> bool:
        """It has ended, or never began; False if there is no such."""
        gone = worker.jobs.pop(job, None)
        if gone is None:
            return False
        worker.used -= gone.weight
        self.jobs -= 1
        self._rank(worker)
        return True

    # -- who gets work

    def suspect(self, worker: Worker, until: float) -> None:
        """A client says that this one failed it."""
        worker.is_suspect = True
        worker.failures += 1
        self.suspects[worker.address] = until
        self._rank(worker)

    def trust(self, now: float) -> None:
        """Those that have been left alone long enough are as good as others."""
        for address in [address for address, until in self.suspects.items() if until <= now]:
            del self.suspects[address]
            worker = self.workers[address]
            worker.is_suspect = False
            self._rank(worker)

    def best(self, toolchain: str, without: Collection[str]) -> Worker | None:
        """Who is to compile; None if all that may are full."""
        first = next((entry for entry in self._ranking if entry[2] not in without), None)
        if first is None:
            return self._best_suspect(without)
        limit = first[0] + self._toolchain_load
        holder = self._best_holder(toolchain, without, limit)
        return self.workers[first[2] if holder is None or holder[0] > limit else holder[2]]

    def _best_suspect(self, without: Collection[str]) -> Worker | None:
        suspects = (self.workers[address] for address in self.suspects)
        able = (worker for worker in suspects if accepts(worker, without))
        return min(able, key=lambda worker: (worker.failures, worker.load, worker.turn), default=None)

    def _best_holder(self, toolchain: str, without: Collection[str], limit: float) -> tuple[float, int, str] | None:
        holders = self._holders.get(toolchain)
        if not holders:
            return None
        if len(holders) <= FEW_HOLDERS:
            ranks = (self.workers[address].rank for address in holders if address not in without)
            return min((rank for rank in ranks if rank is not None), default=None)
        for entry in self._ranking:
            if entry[0] > limit:
                break
            if entry[2] in holders and entry[2] not in without:
                return entry
        return None

    def holders(self) -> dict[str, int]:
        """How many workers have each toolchain, or are about to."""
        return {toolchain: len(holders) for toolchain, holders in self._holders.items()}

    def _rank(self, worker: Worker) -> None:
        is_ranked = worker.is_open and not worker.is_suspect
        rank = (worker.load, worker.turn, worker.address) if is_ranked else None
        if rank == worker.rank:
            return
        if worker.rank is not None:
            del self._ranking[bisect_left(self._ranking, worker.rank)]
        if rank is not None:
            insort(self._ranking, rank)
        worker.rank = rank

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn


def accepts(worker: Worker, without: Collection[str]) -> bool:
    """Whether a job that must not go to some may go there, now."""
    return worker.is_open and worker.address not in without
