"""The scheduler's rules, one by one: who gets a job, who waits."""

import pytest
from tests.unit.dist.scheduler_words import TOOLCHAIN, Farm, addresses

from sccache.dist.scheduler import Grant

OTHER = "cd" * 32


@pytest.fixture
def farm() -> Farm:
    return Farm()


# -- who gets a job


def test_load_is_weight_by_cores(farm):
    """A machine of eight cores gets four times the jobs of one of two."""
    farm.beat("small", cores=2)
    farm.beat("large", cores=8)
    places = [farm.place(toolchain=f"{number:064x}").worker.address for number in range(10)]
    assert (places.count("small"), places.count("large")) == (2, 8)


def test_heavy_job_counts_for_more(farm):
    """After one job of weight 3 on one worker the next three go to the other."""
    farm.beat("a", cores=4, toolchains=(TOOLCHAIN,))
    farm.beat("b", cores=4, toolchains=(TOOLCHAIN,))
    first = farm.place(weight=3.0).worker.address
    rest = [farm.place().worker.address for _ in range(3)]
    assert first not in rest


def test_heavy_job_does_not_wait_for_an_idle_machine(farm):
    """One free core is enough: whoever is heavy would starve behind the light ones."""
    farm.beat("a", cores=2)
    farm.place()
    farm.place(weight=16.0)
    assert farm.refused().why == "full"


def test_equals_take_turns(farm):
    """Idle workers are used one after the other, the one that has waited longest first."""
    for name in "abc":
        farm.beat(name, toolchains=(TOOLCHAIN,))
    used = []
    for _ in range(6):
        grant = farm.place()
        used.append(grant.worker.address)
        farm.started(grant)
        farm.finished(grant)
    assert used == ["a", "b", "c", "a", "b", "c"]


def test_slots_are_the_limit(farm):
    """A worker that runs less than it has cores gets no more than it runs."""
    farm.beat("a", cores=8, slots=3)
    for _ in range(3):
        farm.place()
    assert farm.refused().why == "full"


def test_many_light_jobs_are_limited_by_slots_too(farm):
    """They weigh nothing, yet each needs a place."""
    farm.beat("a", cores=2, slots=3)
    for _ in range(3):
        farm.place(weight=0.0001)
    assert farm.refused().why == "full"


def test_weights_come_back_to_nothing(farm):
    """Thousands of odd weights leave no rest behind."""
    farm.beat("a", cores=4)
    for number in range(3000):
        grant = farm.place(weight=0.1 + number % 7 / 3)
        farm.finished(grant)
    assert farm.scheduler.fleet.workers["a"].used == 0


# -- toolchains


def test_a_worker_with_the_toolchain_is_preferred(farm):
    """As long as it is not much busier than the others."""
    farm.beat("a", cores=4)
    farm.beat("b", cores=4, toolchains=(TOOLCHAIN,))
    places = [farm.place() for _ in range(5)]
    assert addresses(places) == ["b", "b", "b", "b", "a"]
    assert [place.has_toolchain for place in places] == [True, True, True, True, False]


def test_a_toolchain_on_its_way_counts(farm):
    """The second job follows the first: the toolchain is sent once."""
    farm.beat("a", cores=4)
    farm.beat("b", cores=4)
    places = [farm.place() for _ in range(3)]
    assert len(set(addresses(places))) == 1
    assert not any(place.has_toolchain for place in places), "nobody has seen it there yet"


def test_a_toolchain_that_did_not_arrive_counts_no_more(farm):
    """The worker's own list is the truth, as soon as no job brings it there any more."""
    farm.beat("a")
    farm.beat("b")
    grant = farm.place()
    farm.finished(grant)
    farm.beat(grant.worker.address)
    assert farm.scheduler.fleet.holders() == {}
    assert farm.place().worker is not grant.worker


def test_an_evicted_toolchain_is_forgotten(farm):
    """What a heartbeat does not name is not there."""
    farm.beat("a", toolchains=(TOOLCHAIN, OTHER))
    assert farm.scheduler.fleet.holders() == {TOOLCHAIN: 1, OTHER: 1}
    farm.beat("a", toolchains=(OTHER,))
    assert farm.scheduler.fleet.holders() == {OTHER: 1}


def test_many_holders(farm):
    """Where hundreds have it, the least loaded of them gets the job, though others are idle."""
    for number in range(200):
        farm.beat(f"with-{number}", cores=2, toolchains=(TOOLCHAIN,))
    farm.beat("without", cores=2)
    places = [farm.place() for _ in range(200)]
    assert len(set(addresses(places))) == 200
    assert all(place.has_toolchain for place in places)


def test_many_holders_that_are_full(farm):
    """The idle one without gets it."""
    for number in range(100):
        farm.beat(f"with-{number}", cores=1, toolchains=(TOOLCHAIN,))
    farm.beat("without", cores=1)
    places = [farm.place() for _ in range(101)]
    assert places[-1].worker.address == "without"


# -- workers that fail


def test_whom_the_client_excludes(farm):
    """Not there, even if nobody else is left."""
    farm.beat("a", toolchains=(TOOLCHAIN,))
    farm.beat("b")
    assert farm.place(without=("a",)).worker.address == "b"
    refusal = farm.refused(without=("a", "b"), wait_s=60.0)
    assert refusal.why == "alone"
    assert "failed" in refusal.reason


def test_a_suspect_is_the_last_resort(farm):
    """What one client met spares the others the same; a suspect is better than nobody."""
    farm.beat("a", cores=1, toolchains=(TOOLCHAIN,))
    farm.beat("b", cores=1)
    farm.beat("c", cores=1)
    farm.place(without=("a",))
    farm.place("another client")
    assert farm.place("another client").worker.address == "a"


def test_the_least_failing_suspect_first(farm):
    """If all are suspects, who failed less often; among equals load decides as ever."""
    farm.beat("a", cores=4)
    farm.beat("b", cores=4)
    complain(farm, "a", "b")
    farm.now += 10
    keep(farm, "a", "b")
    complain(farm, "a", "b")
    assert [worker.failures for worker in farm.scheduler.fleet.workers.values()] == [2, 2]
    assert sorted(addresses([farm.place() for _ in range(4)])) == ["a", "a", "b", "b"]
    farm.scheduler.fleet.workers["a"].failures = 3
    assert farm.place().worker.address == "b"


def complain(farm: Farm, *names: str) -> None:
    """A client says that they failed it; what it gets instead is given back."""
    for decision in farm.ask(without=names):
        if isinstance(decision, Grant):
            farm.scheduler.give_back(decision, farm.now)


def keep(farm: Farm, *names: str) -> None:
    """They speak, and time is told."""
    for name in names:
        farm.beat(name, cores=4)
    farm.scheduler.tick(farm.now)


def test_suspicion_ends(farm):
    """After a while it is one of many again; whoever fails again at once is left alone for twice as long."""
    farm.beat("a", cores=4)
    farm.beat("b", cores=4)
    worker = farm.scheduler.fleet.workers["a"]
    for pause_s in (10, 20, 40, 80, 160, 300, 300):
        complain(farm, "a")
        complain(farm, "a")
        for _ in range(pause_s):
            assert worker.is_suspect
            farm.now += 1
            keep(farm, "a", "b")
        assert not worker.is_suspect
    assert farm.scheduler.counts["complaints"] == 14


def test_a_job_that_fails_everywhere_is_not_the_workers_fault(farm):
    """Many good ones between two complaints, and the next is a first one."""
    farm.beat("a", cores=4)
    worker = farm.scheduler.fleet.workers["a"]
    complain(farm, "a")
    assert worker.failures == 1
    for _ in range(16):
        farm.finished(farm.place())
    assert worker.failures == 0


def test_a_waiting_job_may_go_to_a_suspect(farm):
    """It has waited until all were busy; it does not wait for the end of the suspicion."""
    farm.beat("a", cores=1)
    taken = farm.place()
    assert farm.ask(wait_s=60.0) == []
    farm.ask("another", without=("a",))
    (grant,) = farm.finished(taken)
    assert isinstance(grant, Grant)


def test_unknown_workers_in_without(farm):
    """Nobody is made up from a client's words."""
    farm.beat("a")
    farm.place(without=("x", "y"))
    assert list(farm.scheduler.fleet.workers) == ["a"]
    assert not farm.scheduler.fleet.suspects


# -- the queue


def test_waiting_is_served_when_a_job_ends(farm):
    """In order; the place goes to the next at once."""
    farm.beat("a", cores=1)
    first = farm.place()
    assert farm.ask(wait_s=30.0) == []
    assert farm.ask(wait_s=30.0) == []
    farm.now += 3
    (second,) = farm.finished(first)
    assert isinstance(second, Grant)
    assert (second.ticket, second.waited_s) == (2, 3.0)
    (third,) = farm.finished(second)
    assert isinstance(third, Grant)
    assert third.ticket == 3


def test_waiting_is_served_when_a_worker_comes(farm):
    """All that it takes."""
    farm.beat("a", cores=1)
    farm.place()
    for _ in range(3):
        farm.ask(wait_s=30.0)
    assert addresses(farm.beat("b", cores=2)) == ["b", "b"]
    assert farm.scheduler.status().waiting == 1


def test_lines_are_served_in_turn(farm):
    """A client with a hundred requests does not keep another's first one waiting."""
    farm.beat("a", cores=1)
    last = farm.place()
    for _ in range(100):
        farm.ask("greedy", wait_s=30.0)
    farm.ask("modest", wait_s=30.0)
    farm.ask("modest", wait_s=30.0)
    tickets = []
    for _ in range(4):
        (last,) = farm.finished(last)
        tickets.append(last.ticket)
    assert tickets == [2, 102, 3, 103]


def test_waiting_without_one(farm):
    """A place at a worker that has failed the client is for the next one who may have it."""
    farm.beat("a", cores=1)
    farm.beat("b", cores=1)
    places = {grant.worker.address: grant for grant in (farm.place(), farm.place())}
    farm.ask("x", without=("a",), wait_s=30.0)
    farm.ask("y", wait_s=30.0)
    (grant,) = farm.finished(places["a"])
    assert (grant.ticket, grant.worker.address) == (4, "a")
    (grant,) = farm.finished(places["b"])
    assert (grant.ticket, grant.worker.address) == (3, "b")


def test_waiting_ends_with_the_clients_patience(farm):
    """Refused by a tick; what is asked for is capped."""
    farm.beat("a", cores=1)
    farm.started(farm.place())
    farm.ask(wait_s=5.0)
    farm.ask(wait_s=1e6)
    farm.now += 5
    farm.beat("a", running=("0" * 31 + "1",), cores=1)
    (refusal,) = farm.scheduler.tick(farm.now)
    assert (refusal.ticket, refusal.why) == (2, "late")
    farm.now += 55
    (refusal,) = farm.scheduler.tick(farm.now)
    assert (refusal.ticket, refusal.why) == (3, "late")
    assert farm.scheduler.tick(farm.now + 1e9) == []


def test_who_leaves_the_queue_gets_nothing(farm):
    """The place goes to the next one."""
    farm.beat("a", cores=1)
    first = farm.place()
    farm.ask(wait_s=30.0)
    farm.ask(wait_s=30.0)
    farm.scheduler.leave(2)
    farm.scheduler.leave(2)
    (grant,) = farm.finished(first)
    assert grant.ticket == 3
    assert farm.scheduler.counts["left"] == 1


def test_the_queue_is_bounded_and_the_longest_line_gives_way():
    """Whoever asks for a lot is turned away first, and not for another's sake only."""
    farm = Farm(most_waiting=4)
    farm.beat("a", cores=1)
    farm.place()
    for _ in range(4):
        assert farm.ask("greedy", wait_s=30.0) == []
    assert farm.refused(client="greedy", wait_s=30.0).ticket == 6
    (refusal,) = farm.ask("modest", wait_s=30.0)
    assert (refusal.ticket, refusal.why) == (5, "crowded")
    assert refusal.retry_after_s > 0
    assert farm.scheduler.status().waiting == 4


def test_no_worker_at_all(farm):
    """Refused at once, as soon as those that are there have had time to say so."""
    assert farm.refused(wait_s=60.0).why == "alone"
    farm.now = 1.0
    assert farm.ask(wait_s=60.0) == []
    assert len(addresses(farm.beat("a"))) == 1
