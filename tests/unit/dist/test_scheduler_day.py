"""A day of a large farm, in a few seconds: time is a heap of events.

Builds of many clients come in waves; workers crash, are started anew, are cut off and come back, take their leave; clients give up in the
queue and hang up with a place in their hands; twice the scheduler is started anew and knows nothing.  Every job must end: compiled
by a worker, or by the client itself where it was refused, and nobody may be given more than it runs.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from sccache.dist.messages import Allocate, Heartbeat, Report
from sccache.dist.scheduler import Decision, Grant, Rules, Scheduler

DAY_S = 86_400.0
WORKERS = 2000
CLIENTS = 100
BUILDS = 500
JOBS_OF_A_BUILD = 150
AT_A_TIME = 40
RULES = Rules(interval_s=2700.0, heartbeats_per_s=1e9)
"""Workers speak seldom, or the day would be nothing but four million heartbeats."""


@dataclass
class Machine:
    """A worker as it really is."""

    name: str
    cores: int
    nonce: int = 0
    jobs: dict[str, int] = field(default_factory=dict)
    """Job → life in which it began."""
    toolchains: set[str] = field(default_factory=set)
    is_up: bool = True
    is_cut_off: bool = False


@dataclass
class Build:
    """A client with a number of compiles, some at a time."""

    client: str
    toolchain: str
    left: int = JOBS_OF_A_BUILD
    at_a_time: int = AT_A_TIME
    under_way: int = 0
    compiled: int = 0


class Day:
    """The world around the scheduler."""

    def __init__(self) -> None:
        self.random = random.Random(6)
        self.now = 0.0
        self.order = count()
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.machines = {name: Machine(name, self.random.choice((4, 8, 16))) for name in (f"w{n}:1" for n in range(WORKERS))}
        self.jobs, self.tickets = (f"{n:032x}" for n in count()), count()
        self.asked: dict[int, tuple[Build, tuple[str, ...]]] = {}
        self.outcome: Counter[str] = Counter()
        self.scheduler = self.new_scheduler()

    def new_scheduler(self) -> Scheduler:
        return Scheduler(lambda: next(self.jobs), self.now, RULES)

    def at(self, delay_s: float, what: Callable[[], None]) -> None:
        heappush(self.agenda, (self.now + delay_s, next(self.order), what))

    def run(self) -> None:
        while self.agenda:
            self.now, _, what = heappop(self.agenda)
            what()

    # -- workers

    def beats(self, machine: Machine) -> None:
        """Every heartbeat sets up the next one."""
        if machine.is_up:
            self.speak(machine)
        if self.now < DAY_S:
            self.at(RULES.interval_s * 0.9, lambda: self.beats(machine))

    def speak(self, machine: Machine, *, draining: bool = False) -> None:
        if machine.is_cut_off:
            return
        running = tuple(machine.jobs)
        beat = Heartbeat(str(machine.nonce), machine.cores, machine.cores, "k", "c", running, tuple(machine.toolchains), draining)
        _, decisions = self.scheduler.heartbeat(machine.name, beat, self.now)
        self.carry_out(decisions)

    def report(self, machine: Machine, report: Report) -> None:
        if not machine.is_cut_off:
            self.carry_out(self.scheduler.report(machine.name, report, self.now))

    def crash(self, machine: Machine) -> None:
        machine.is_up, machine.nonce = False, machine.nonce + 1
        machine.jobs.clear()
        self.at(self.random.uniform(1, 9000), lambda: self.come_back(machine))

    def cut_off(self, machine: Machine) -> None:
        machine.is_cut_off = True
        self.at(self.random.uniform(1, 20_000), lambda: self.come_back(machine))

    def drain(self, machine: Machine) -> None:
        machine.is_up, machine.nonce = False, machine.nonce + 1
        machine.jobs.clear()
        self.speak(machine, draining=True)
        self.at(500, lambda: self.come_back(machine))

    def come_back(self, machine: Machine) -> None:
        machine.is_up, machine.is_cut_off = True, False
        self.speak(machine)

    # -- clients

    def go_on(self, build: Build) -> None:
        while build.left and build.under_way < build.at_a_time:
            build.left -= 1
            build.under_way += 1
            self.ask(build, ())

    def ask(self, build: Build, without: tuple[str, ...]) -> None:
        ticket = next(self.tickets)
        self.asked[ticket] = build, without
        request = Allocate(build.toolchain, self.random.choice((1.0, 1.0, 1.0, 4.0)), 60.0, without)
        self.carry_out(self.scheduler.ask(ticket, build.client, request, self.now))
        if ticket in self.asked and self.random.random() < 0.05:
            self.at(self.random.uniform(0, 30), lambda: self.give_up(ticket))

    def give_up(self, ticket: int) -> None:
        if ticket in self.asked:
            self.scheduler.leave(ticket)
            self.done(self.asked.pop(ticket)[0], "gave up")

    def carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            build, without = self.asked.pop(decision.ticket)
            if isinstance(decision, Grant):
                self.use(decision, build, without)
            else:
                self.done_later(build, decision.why)

    def use(self, grant: Grant, build: Build, without: tuple[str, ...]) -> None:
        machine = self.machines[grant.worker.address]
        assert len(grant.worker.jobs) <= machine.cores, "more than it runs"
        chance = self.random.random()
        if chance < 0.002:
            self.done_later(build, "hung up with a place")
        elif chance < 0.004:
            self.at(0.01, lambda: self.carry_out(self.scheduler.give_back(grant, self.now)))
            self.done_later(build, "gave it back")
        else:
            self.at(0.01, lambda: self.begin(machine, grant, build, without))

    def begin(self, machine: Machine, grant: Grant, build: Build, without: tuple[str, ...]) -> None:
        is_there = machine.is_up and not machine.is_cut_off and str(machine.nonce) == grant.worker.nonce
        if not is_there or len(machine.jobs) >= machine.cores:
            self.failed(machine, build, without)
            return
        machine.toolchains.add(grant.toolchain)
        machine.jobs[grant.job] = machine.nonce
        self.report(machine, Report(str(machine.nonce), (grant.job,)))
        seconds = self.random.expovariate(1 / 20)
        self.at(seconds, lambda: self.finish(machine, grant.job, build, without))

    def finish(self, machine: Machine, job: str, build: Build, without: tuple[str, ...]) -> None:
        if machine.jobs.pop(job, None) is None or machine.is_cut_off:
            self.failed(machine, build, without)
            return
        self.report(machine, Report(str(machine.nonce), (), (job,)))
        self.done(build, "compiled")

    def failed(self, machine: Machine, build: Build, without: tuple[str, ...]) -> None:
        self.outcome["failures"] += 1
        if without:
            self.done_later(build, "failed twice")
        else:
            self.ask(build, (machine.name,))

    def done_later(self, build: Build, how: str) -> None:
        self.at(1.0, lambda: self.done(build, how))

    def done(self, build: Build, how: str) -> None:
        self.outcome[how] += 1
        build.compiled += how == "compiled"
        build.under_way -= 1
        self.go_on(build)

    # -- the scheduler

    def tick(self) -> None:
        self.carry_out(self.scheduler.tick(self.now))
        if self.now < DAY_S + 20_000:
            self.at(30.0, self.tick)

    def restart(self) -> None:
        """It knows nothing; connections of those that wait are gone; workers speak soon."""
        for build, _ in self.asked.values():
            self.done_later(build, "the scheduler went")
        self.asked.clear()
        self.scheduler = self.new_scheduler()
        for machine in self.machines.values():
            self.at(self.random.uniform(0, 30), lambda machine=machine: machine.is_up and self.speak(machine))


def test_a_day():
    """Every one of 75,000 jobs ends, nearly all of them compiled by workers; at night nothing is left."""
    day = Day()
    for machine in day.machines.values():
        day.at(day.random.uniform(0, 60), lambda machine=machine: day.beats(machine))
    for _ in range(BUILDS):
        build = Build(f"c{day.random.randrange(CLIENTS)}", f"{day.random.randrange(12):064x}")
        day.at(day.random.choice((9, 13, 17)) * 3600 + day.random.uniform(0, 2000), lambda build=build: day.go_on(build))
    for machine in day.random.sample(list(day.machines.values()), 400):
        trouble = day.random.choice((day.crash, day.cut_off, day.drain))
        day.at(day.random.choice((9, 13, 17)) * 3600 + day.random.uniform(0, 3000), lambda machine=machine, it=trouble: it(machine))
    day.at(60, day.tick)
    for hour in (9.2, 17.2):
        day.at(hour * 3600, day.restart)
    day.run()

    jobs = BUILDS * JOBS_OF_A_BUILD
    ways = sum(number for how, number in day.outcome.items() if how != "failures")
    assert ways == jobs, "each job ended once"
    assert day.outcome["compiled"] > 0.98 * jobs, day.outcome
    assert day.outcome["failures"] > 0
    assert not day.asked
    assert day.scheduler.status().in_progress == 0
    assert day.scheduler.status().waiting == 0


def test_a_farm_that_is_far_too_small():
    """One client asks for fourteen times as much as six others each: these get all that they ask for, it gets the rest."""
    day = Day()
    day.machines = dict(list(day.machines.items())[:10])
    for machine in day.machines.values():
        day.at(0, lambda machine=machine: day.beats(machine))
    modest = [Build(f"c{number}", "t", left=100, at_a_time=5) for number in range(6)]
    greedy = [Build("greedy", "u", left=100) for _ in range(14)]
    for build in modest + greedy:
        day.at(60, lambda build=build: day.go_on(build))
    day.at(60, day.tick)
    day.run()
    assert sum(build.compiled for build in modest) > 0.9 * 600, day.outcome
    assert 0 < sum(build.compiled for build in greedy) < 0.7 * 1400, day.outcome
    assert day.outcome["late"] > 0
    assert day.scheduler.status().in_progress == 0
