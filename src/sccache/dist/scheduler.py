"""Who compiles what: the scheduler without its sockets and clocks.  Events in, decisions out; every method is an event.

    client ──ask──▶ Grant at once, or it waits ──▶ Grant, or Refusal (time over, queue full, the scheduler ends)
    worker ──heartbeat, report──▶ what it runs is corrected, places become free ──▶ Grants for those that wait
    clock ──tick──▶ what is overdue: waits, grants that nobody used, workers that are silent, suspicions

A worker's word on what it runs is the truth, for the scheduler may have been started anew, and messages overtake one another:
- A job that a heartbeat has and the scheduler has not is taken over, unless it has ended since the heartbeat before.
- A job that is known to run and that a heartbeat has not is over, if it began before the heartbeat before: a worker writes the next one
  when the last was answered, so that one must have it.
- A grant that no heartbeat has is in the client's hands yet; after `unclaimed_s` it is dropped.

Owns: these rules.  Must not know: HTTP, tokens, clocks, randomness, files.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable

from msgspec import Struct

from sccache.dist.fleet import CORE, Fleet, Job, Worker, accepts
from sccache.dist.messages import Allocate, Heartbeat, HeartbeatAnswer, Report, Status
from sccache.dist.waiting import Queue, Waiting


class Rules(Struct, frozen=True):
    """Times in seconds."""

    interval_s: float = 5.0
    """Between heartbeats, in a small farm."""
    heartbeats_per_s: float = 50.0
    """In a large farm workers speak less often, so that there are not more than these."""
    lost_after: float = 3.0
    """Intervals of silence."""
    unclaimed_s: float = 60.0
    avoid_s: float = 10.0
    """How long a worker is a suspect after a client said that it failed; each further time twice as long,"""
    longest_avoid_s: float = 300.0
    """up to this,"""
    forgiven_after: int = 16
    """and anew after so many jobs without a complaint: some jobs fail wherever they go."""
    longest_wait_s: float = 60.0
    most_waiting: int = 4096
    """Each holds a connection."""
    toolchain_load: float = 0.75
    """See Fleet."""


class Grant(Struct, frozen=True):
    """A place was found."""

    ticket: int
    job: str
    worker: Worker
    toolchain: str
    has_toolchain: bool
    waited_s: float


class Refusal(Struct, frozen=True):
    """There is none."""

    ticket: int
    why: str
    """One word, for counting."""
    reason: str
    """A sentence."""
    retry_after_s: float = 0.0


Decision = Grant | Refusal
COUNTS = {
    "granted": "places given to clients",
    "full": "requests refused as all workers were busy and the client did not want to wait",
    "late": "requests refused as no worker became free in time",
    "crowded": "requests refused as the queue was full",
    "alone": "requests refused as there is no worker, or none that has not failed the client",
    "ending": "requests refused as the scheduler is about to end",
    "left": "clients that went while they waited",
    "unclaimed": "places given back or never used",
    "finished": "jobs that ended",
    "vanished": "jobs that a worker did not have any more",
    "relearned": "jobs learned from a worker",
    "lost_jobs": "jobs of workers that were lost or started anew",
    "joined": "workers that came, or came back",
    "lost": "workers that fell silent",
    "restarted": "workers that were started anew",
    "drained": "workers that took their leave",
    "complaints": "failures of workers that clients told of",
    "stale": "reports by workers that are not known, or of an earlier life",
}
"""Everything in `Scheduler.counts`."""
RETRY_AFTER_S = 1.0


class Scheduler:
    """The farm as the scheduler sees it."""

    def __init__(self, new_job: Callable[[], str], now: float, rules: Rules | None = None) -> None:
        """`new_job` gives a name that cannot be guessed, never the same one again."""
        self.rules = rules or Rules()
        self.fleet = Fleet(self.rules.toolchain_load)
        self.queue = Queue(self.rules.most_waiting)
        self.counts: Counter[str] = Counter()
        self._new_job = new_job
        self._grants: deque[tuple[float, str, str]] = deque()
        """(when it is dropped if unclaimed, worker, job), in this order."""
        self._is_ending = False
        self._settled_at = now + self.silence_s
        """Until then workers may not have been heard yet."""

    # -- clients

    def ask(self, ticket: int, client: str, request: Allocate, now: float) -> list[Decision]:
        """A client wants a place."""
        without = frozenset(request.without)
        for address in without:
            self._complain(address, now)
        if self._is_ending:
            return [self._refuse(ticket, "ending", "The scheduler is about to end", RETRY_AFTER_S)]
        weight = max(round(request.weight * CORE), 1)
        wait_s = min(request.wait_s, self.rules.longest_wait_s)
        waiting = Waiting(ticket, client, request.toolchain, weight, without, now, now + wait_s)
        worker = self.fleet.best(request.toolchain, without)
        if worker is not None:
            return [self._grant(waiting, worker, now)]
        if now >= self._settled_at and not self.fleet.workers.keys() - without:
            return [self._refuse(ticket, "alone", self._why_alone(), RETRY_AFTER_S)]
        if wait_s <= 0:
            return [self._refuse(ticket, "full", f"All {len(self.fleet.workers)} workers are busy", RETRY_AFTER_S)]
        turned_away = self.queue.add(waiting)
        if turned_away is None:
            return []
        return [self._refuse(turned_away.ticket, "crowded", f"{self.rules.most_waiting} requests wait already", RETRY_AFTER_S)]

    def leave(self, ticket: int) -> None:
        """The client does not wait any more."""
        if self.queue.remove(ticket) is not None:
            self.counts["left"] += 1

    def give_back(self, grant: Grant, now: float) -> list[Decision]:
        """The client was gone before it could be told."""
        return self._drop_unclaimed(grant.worker.address, grant.job, now)

    def end(self) -> list[Decision]:
        """From now on nobody gets a place."""
        self._is_ending = True
        return [self._turn_away(waiting, "ending", "The scheduler is about to end") for waiting in list(self.queue)]

    # -- workers

    def heartbeat(self, address: str, heartbeat: Heartbeat, now: float) -> tuple[HeartbeatAnswer, list[Decision]]:
        """A worker is there; its token has proved its address."""
        worker = self.fleet.workers.get(address)
        is_new = worker is None or worker.nonce != heartbeat.nonce
        is_leaving = heartbeat.draining and not heartbeat.running
        if worker is None and is_leaving:
            return HeartbeatAnswer(is_new, self.interval_s), []
        if worker is None or is_new:
            self.counts["joined" if worker is None else "restarted"] += 1
            self._forget_jobs(worker)
            worker = self.fleet.join(address, heartbeat, now)
        self._reconcile(worker, frozenset(heartbeat.running), now)
        self.fleet.update(worker, heartbeat, now, now + self.silence_s)
        answer = HeartbeatAnswer(is_new, self.interval_s)
        if is_leaving:
            self.counts["drained"] += 1
            self._forget_jobs(worker)
            self.fleet.leave(address)
            return answer, []
        return answer, self._serve(worker, now)

    def report(self, address: str, report: Report, now: float) -> list[Decision]:
        """What began and ended at a worker since its last heartbeat."""
        worker = self.fleet.workers.get(address)
        if worker is None or worker.nonce != report.nonce:
            self.counts["stale"] += 1
            return []
        for job in report.started:
            self._has_started(worker, job, now)
        for job in report.finished:
            worker.finished.add(job)
            if self.fleet.drop(worker, job):
                self._has_finished(worker)
        return self._serve(worker, now)

    def tick(self, now: float) -> list[Decision]:
        """Time has passed."""
        late = [self._turn_away(waiting, "late", "No worker became free in time") for waiting in self.queue.expired(now)]
        decisions: list[Decision] = [*late]
        while self._grants and self._grants[0][0] <= now:
            _, address, job = self._grants.popleft()
            decisions += self._drop_unclaimed(address, job, now)
        for worker in list(self._silent(now)):
            self.counts["lost"] += 1
            self._forget_jobs(worker)
            self.fleet.leave(worker.address)
        self.fleet.trust(now)
        return decisions

    # -- what is seen from outside

    @property
    def interval_s(self) -> float:
        """How often workers are to speak."""
        return max(self.rules.interval_s, len(self.fleet.workers) / self.rules.heartbeats_per_s)

    @property
    def silence_s(self) -> float:
        """How long a worker may be silent."""
        return self.rules.lost_after * self.interval_s

    def status(self) -> Status:
        """In numbers."""
        return Status(len(self.fleet.workers), self.fleet.cores, self.fleet.jobs, len(self.queue))

    # -- rules

    def _grant(self, waiting: Waiting, worker: Worker, now: float) -> Grant:
        job = self._new_job()
        grant = Grant(waiting.ticket, job, worker, waiting.toolchain, waiting.toolchain in worker.toolchains, now - waiting.since)
        self.fleet.add(worker, job, Job(waiting.toolchain, waiting.weight, now))
        self._grants.append((now + self.rules.unclaimed_s, worker.address, job))
        self.counts["granted"] += 1
        return grant

    def _serve(self, worker: Worker, now: float) -> list[Decision]:
        """Give a worker's free places to those that wait; a suspect's too, for nobody else had one for them."""
        decisions: list[Decision] = []
        while worker.is_open and (waiting := self.queue.take(lambda it: accepts(worker, it.without))) is not None:
            decisions.append(self._grant(waiting, worker, now))
        return decisions

    def _reconcile(self, worker: Worker, running: frozenset[str], now: float) -> None:
        for job in [name for name, known in worker.jobs.items() if known.is_started and known.started_beat < worker.beats]:
            if job not in running:
                self.counts["vanished"] += self.fleet.drop(worker, job)
        for job in running:
            self._has_started(worker, job, now)
        worker.beats += 1
        worker.finished.clear()

    def _has_started(self, worker: Worker, job: str, now: float) -> None:
        known = worker.jobs.get(job)
        if known is None:
            if job in worker.finished:
                return
            self.counts["relearned"] += 1
            known = Job("", CORE, now)
            self.fleet.add(worker, job, known)
        if not known.is_started:
            known.started_beat = worker.beats

    def _has_finished(self, worker: Worker) -> None:
        self.counts["finished"] += 1
        worker.good += 1
        if worker.good >= self.rules.forgiven_after:
            worker.failures = 0

    def _complain(self, address: str, now: float) -> None:
        worker = self.fleet.workers.get(address)
        if worker is None:
            return
        self.counts["complaints"] += 1
        worker.good = 0
        if not worker.is_suspect:  # the jobs that it had at the time fail together: that is one failure
            pause_s = min(self.rules.avoid_s * 2.0 ** min(worker.failures, 30), self.rules.longest_avoid_s)
            self.fleet.suspect(worker, now + pause_s)

    def _drop_unclaimed(self, address: str, job: str, now: float) -> list[Decision]:
        worker = self.fleet.workers.get(address)
        known = None if worker is None else worker.jobs.get(job)
        if worker is None or known is None or known.is_started:
            return []
        self.fleet.drop(worker, job)
        self.counts["unclaimed"] += 1
        return self._serve(worker, now)

    def _silent(self, now: float) -> Iterable[Worker]:
        for worker in self.fleet.workers.values():
            if worker.silent_at > now:
                return
            yield worker

    def _forget_jobs(self, worker: Worker | None) -> None:
        if worker is not None:
            self.counts["lost_jobs"] += len(worker.jobs)

    def _why_alone(self) -> str:
        return "All workers have failed this client" if self.fleet.workers else "No worker is known to the scheduler"

    def _turn_away(self, waiting: Waiting, why: str, reason: str) -> Refusal:
        self.queue.remove(waiting.ticket)
        return self._refuse(waiting.ticket, why, reason)

    def _refuse(self, ticket: int, why: str, reason: str, retry_after_s: float = 0.0) -> Refusal:
        self.counts[why] += 1
        return Refusal(ticket, why, reason, retry_after_s)
