"""A scheduler's words and answers, for tests of its rules: time is a number that the test says."""

from itertools import count

from sccache.dist.messages import Allocate, Heartbeat, Report
from sccache.dist.scheduler import Decision, Grant, Refusal, Rules, Scheduler

TOOLCHAIN = "ab" * 32


class Farm:
    """A scheduler, with the words that workers and clients say to it."""

    def __init__(self, **rules: float) -> None:
        jobs, self.tickets = (f"{number:032x}" for number in count(1)), count(1)
        self.scheduler = Scheduler(lambda: next(jobs), 0.0, Rules(**rules))
        self.now = 100.0

    def beat(self, name: str, running=(), *, cores=2, slots=None, nonce="n", toolchains=(), draining=False) -> list[Decision]:
        heartbeat = Heartbeat(nonce, cores, cores if slots is None else slots, f"key of {name}", "ff", running, toolchains, draining)
        self.answer, decisions = self.scheduler.heartbeat(name, heartbeat, self.now)
        return decisions

    def ask(self, client="c", toolchain=TOOLCHAIN, **more) -> list[Decision]:
        return self.scheduler.ask(next(self.tickets), client, Allocate(toolchain, **more), self.now)

    def place(self, client="c", toolchain=TOOLCHAIN, **more) -> Grant:
        (grant,) = self.ask(client, toolchain, **more)
        assert isinstance(grant, Grant), grant
        return grant

    def refused(self, **more) -> Refusal:
        (refusal,) = self.ask(**more)
        assert isinstance(refusal, Refusal), refusal
        return refusal

    def started(self, *grants: Grant) -> None:
        for grant in grants:
            assert self.scheduler.report(grant.worker.address, Report(grant.worker.nonce, (grant.job,)), self.now) == []

    def finished(self, *grants: Grant) -> list[Decision]:
        decisions: list[Decision] = []
        for grant in grants:
            decisions += self.scheduler.report(grant.worker.address, Report(grant.worker.nonce, (), (grant.job,)), self.now)
        return decisions

    @property
    def in_progress(self) -> int:
        return self.scheduler.status().in_progress


def addresses(decisions: list[Decision]) -> list[str]:
    return [decision.worker.address for decision in decisions if isinstance(decision, Grant)]
