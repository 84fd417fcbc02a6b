"""What is true of the scheduler after any sequence of events."""

from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sccache.dist.fleet import accepts
from sccache.dist.messages import Allocate, Heartbeat, Report
from sccache.dist.scheduler import COUNTS, Decision, Grant, Rules, Scheduler

WORKERS = st.sampled_from([f"w{number}" for number in range(5)])
CLIENTS = st.sampled_from(["x", "y", "z"])
TOOLCHAINS = st.sampled_from(["t", "u", "v"])
RULES = Rules(most_waiting=4)


class Anything(RuleBasedStateMachine):
    """Workers and clients that do whatever they like."""

    def __init__(self) -> None:
        super().__init__()
        jobs = (f"j{number}" for number in count())
        self.tickets = count()
        self.now = 1000.0
        self.scheduler = Scheduler(lambda: next(jobs), 0.0, RULES)
        self.undecided: set[int] = set()
        self.grants: list[Grant] = []
        self.nonces: dict[str, int] = {}

    def take(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            self.undecided.remove(decision.ticket)  # told once, to one that asked
            if isinstance(decision, Grant):
                assert decision.worker.address in self.scheduler.fleet.workers
                assert len(decision.worker.jobs) <= decision.worker.slots
                self.grants.append(decision)

    def job_of(self, index: int) -> Grant | None:
        return self.grants[index % len(self.grants)] if self.grants else None

    @rule(
        client=CLIENTS,
        toolchain=TOOLCHAINS,
        weight=st.sampled_from([0.3, 1.0, 5.0]),
        wait_s=st.sampled_from([0.0, 3.0, 100.0]),
        without=st.lists(WORKERS, max_size=2),
    )
    def ask(self, client, toolchain, weight, wait_s, without):
        ticket = next(self.tickets)
        self.undecided.add(ticket)
        fleet = self.scheduler.fleet
        loads = [worker.load for worker in fleet.workers.values() if worker.rank and worker.address not in without]
        decisions = self.scheduler.ask(ticket, client, Allocate(toolchain, weight, wait_s, tuple(without)), self.now)
        for grant in decisions:
            if isinstance(grant, Grant):
                assert grant.worker.address not in without
                before = grant.worker.load - max(round(weight * 1000), 1) / (1000 * grant.worker.cores)
                usual = [load for load in loads if not grant.worker.is_suspect]
                assert before <= min(usual, default=before) + RULES.toolchain_load + 1e-9
        self.take(decisions)
        assert wait_s or ticket not in self.undecided

    @rule(
        worker=WORKERS,
        is_new=st.integers(0, 9),
        cores=st.integers(1, 4),
        slots=st.integers(0, 5),
        forgotten=st.integers(0, 3),
        invented=st.booleans(),
        toolchains=st.lists(TOOLCHAINS),
        draining=st.integers(0, 5),
    )
    def heartbeat(self, worker, is_new, cores, slots, forgotten, invented, toolchains, draining):
        self.nonces[worker] = self.nonces.get(worker, 0) + (is_new == 0)
        known = self.scheduler.fleet.workers.get(worker)
        running = list(known.jobs)[forgotten:] if known else []
        running += ["invented"] if invented else []
        beat = Heartbeat(str(self.nonces[worker]), cores, slots, "k", "c", tuple(running), tuple(toolchains), draining == 0)
        answer, decisions = self.scheduler.heartbeat(worker, beat, self.now)
        assert answer.interval_s > 0
        self.take(decisions)

    @rule(worker=WORKERS, index=st.integers(0, 50), is_start=st.booleans(), is_own=st.integers(0, 9))
    def report(self, worker, index, is_start, is_own):
        grant = self.job_of(index)
        if grant is not None:
            address = grant.worker.address if is_own else worker
            jobs = (grant.job,)
            report = Report(grant.worker.nonce, jobs if is_start else (), () if is_start else jobs)
            self.take(self.scheduler.report(address, report, self.now))

    @rule(index=st.integers(0, 50))
    def give_back(self, index):
        grant = self.job_of(index)
        if grant is not None:
            self.take(self.scheduler.give_back(grant, self.now))

    @rule(index=st.integers(0, 50))
    def leave(self, index):
        waiting = sorted(self.undecided)
        if waiting:
            self.scheduler.leave(waiting[index % len(waiting)])
            self.undecided.remove(waiting[index % len(waiting)])

    @rule(seconds=st.sampled_from([0.5, 4.0, 30.0]))
    def time_passes(self, seconds):
        self.now += seconds
        self.take(self.scheduler.tick(self.now))
        assert all(worker.silent_at > self.now for worker in self.scheduler.fleet.workers.values())

    @invariant()
    def sums_are_right(self):
        fleet = self.scheduler.fleet
        workers = fleet.workers.values()
        assert fleet.jobs == sum(len(worker.jobs) for worker in workers)
        assert fleet.cores == sum(worker.cores for worker in workers)
        assert all(worker.used == sum(job.weight for job in worker.jobs.values()) for worker in workers)

    @invariant()
    def every_place_is_accounted_for(self):
        """What was given away or learned of is there still, or has ended in one way, once: no place is lost, none is freed twice."""
        counts = self.scheduler.counts
        ended = sum(counts[name] for name in ("finished", "vanished", "lost_jobs", "unclaimed"))
        assert counts["granted"] + counts["relearned"] == ended + self.scheduler.fleet.jobs

    def teardown(self):
        """Whatever has happened: when workers run nothing, soon nothing is held, and nobody waits any more."""
        for _ in range(2):  # jobs that began since the heartbeat before are believed for one more
            for address, worker in list(self.scheduler.fleet.workers.items()):
                self.take(self.scheduler.heartbeat(address, Heartbeat(worker.nonce, 1, 1, "k", "c"), self.now)[1])
        for seconds in (RULES.unclaimed_s, RULES.longest_wait_s, 1000.0):
            self.now += seconds
            self.take(self.scheduler.tick(self.now))
        self.every_place_is_accounted_for()
        assert self.scheduler.fleet.jobs == self.scheduler.fleet.cores == 0
        assert not self.undecided
        assert not self.scheduler._grants
        assert not self.scheduler.fleet._ranking
        assert not self.scheduler.fleet._holders

    @invariant()
    def the_ranking_has_all_that_take_work(self):
        fleet = self.scheduler.fleet
        ranked = [(w.load, w.turn, w.address) for w in fleet.workers.values() if w.is_open and not w.is_suspect]
        assert fleet._ranking == sorted(ranked)
        assert set(fleet.suspects) == {w.address for w in fleet.workers.values() if w.is_suspect}

    @invariant()
    def toolchains_are_where_they_are(self):
        fleet = self.scheduler.fleet
        held = {(toolchain, worker.address) for worker in fleet.workers.values() for toolchain in worker.at_hand()}
        assert {(toolchain, address) for toolchain, holders in fleet._holders.items() for address in holders} == held

    @invariant()
    def nobody_waits_for_what_is_there(self):
        workers = list(self.scheduler.fleet.workers.values())
        for waiting in self.scheduler.queue:
            assert not any(accepts(worker, waiting.without) for worker in workers)

    @invariant()
    def who_waits_is_known(self):
        assert {waiting.ticket for waiting in self.scheduler.queue} == self.undecided
        assert len(self.scheduler.queue) <= RULES.most_waiting
        assert set(self.scheduler.counts) <= set(COUNTS)


Anything.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestAnything = Anything.TestCase
