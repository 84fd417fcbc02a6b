"""The scheduler's rules, one by one: jobs from grant to end, and what workers say in any order."""

import pytest
from tests.unit.dist.scheduler_words import Farm, addresses

from sccache.dist.messages import Report
from sccache.dist.scheduler import COUNTS, Grant, Refusal

OTHER = "cd" * 32


@pytest.fixture
def farm() -> Farm:
    return Farm()


# -- jobs from grant to end


def test_an_unclaimed_grant_is_dropped(farm):
    """After a minute, and the place is given to who waits."""
    farm.beat("a", cores=1)
    farm.place()
    farm.ask(wait_s=60.0)
    farm.now += 59
    farm.beat("a", cores=1)
    assert farm.scheduler.tick(farm.now) == []
    farm.now += 1
    decisions = farm.scheduler.tick(farm.now)
    assert [type(decision) for decision in decisions] == [Refusal], "its own patience ended at that very moment"
    assert farm.in_progress == 0
    assert farm.scheduler.counts["unclaimed"] == 1


def test_a_started_job_is_not_dropped(farm):
    """However long it runs, as long as heartbeats have it."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.started(grant)
    for _ in range(100):
        farm.now += 10
        farm.beat("a", running=(grant.job,), cores=1)
        assert farm.scheduler.tick(farm.now) == []
    assert farm.in_progress == 1


def test_a_heartbeat_claims_too(farm):
    """The report was lost."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.beat("a", running=(grant.job,), cores=1)
    farm.now += 70
    farm.beat("a", running=(grant.job,), cores=1)
    farm.scheduler.tick(farm.now)
    assert farm.in_progress == 1


def test_what_is_given_back_is_free(farm):
    """The client hung up before it was told."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.ask(wait_s=9.0)
    (next_one,) = farm.scheduler.give_back(grant, farm.now)
    assert isinstance(next_one, Grant)
    assert farm.scheduler.give_back(grant, farm.now) == []


def test_what_has_started_is_not_given_back(farm):
    """The client was told after all."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.started(grant)
    assert farm.scheduler.give_back(grant, farm.now) == []
    assert farm.in_progress == 1


# -- what workers say, in any order


def test_a_lost_report_of_an_end(farm):
    """Gone with the second heartbeat that does not have it: the first may have been written before it began."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.started(grant)
    farm.beat("a", cores=1)
    assert farm.in_progress == 1
    farm.beat("a", cores=1)
    assert farm.in_progress == 0
    assert farm.scheduler.counts["vanished"] == 1


def test_a_heartbeat_that_was_overtaken_by_an_end(farm):
    """It does not bring the job back to life; a later one would."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.started(grant)
    farm.finished(grant)
    farm.beat("a", running=(grant.job,), cores=1)
    assert farm.in_progress == 0
    farm.beat("a", running=(grant.job,), cores=1)
    assert farm.in_progress == 1


def test_an_end_that_overtakes_the_start(farm):
    """The job is over."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.finished(grant)
    farm.started(grant)
    assert farm.in_progress == 0


def test_a_restarted_scheduler_relearns(farm):
    """What runs takes its place; nothing that a worker runs is lost."""
    farm.beat("a", running=("x", "y"), cores=2)
    assert farm.answer.is_new
    assert farm.in_progress == 2
    assert farm.refused().why == "full"
    farm.scheduler.report("a", Report("n", (), ("x",)), farm.now)
    assert farm.place().worker.address == "a"


def test_a_restarted_worker_has_lost_its_jobs(farm):
    """Another nonce is another life."""
    farm.beat("a", cores=1)
    farm.started(farm.place())
    farm.beat("a", cores=1, nonce="m")
    assert farm.answer.is_new
    assert farm.in_progress == 0
    assert farm.scheduler.counts["lost_jobs"] == 1
    assert farm.scheduler.status().num_cpus == 1
    assert farm.place().worker.nonce == "m"


def test_a_report_from_an_earlier_life(farm):
    """Ends nothing."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.scheduler.report("a", Report("an earlier one", (), (grant.job,)), farm.now)
    farm.scheduler.report("nobody", Report("n", ("x",), (grant.job,)), farm.now)
    assert farm.in_progress == 1
    assert farm.scheduler.counts["stale"] == 2


def test_a_worker_speaks_of_its_own_jobs_only(farm):
    """Another's job is not ended by it."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.started(grant)
    farm.beat("b", cores=1)
    farm.scheduler.report("b", Report("n", (), (grant.job,)), farm.now)
    farm.beat("b", running=(grant.job,), cores=1)
    farm.beat("b", cores=1)
    farm.beat("b", cores=1)
    assert farm.in_progress == 1


def test_a_silent_worker_is_lost_and_comes_back(farm):
    """After three intervals; what it still runs is known again when it speaks."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.started(grant)
    farm.now += 3 * farm.answer.interval_s
    farm.scheduler.tick(farm.now)
    assert (farm.scheduler.status().num_servers, farm.in_progress) == (0, 0)
    assert farm.refused(wait_s=9.0).why == "alone"
    farm.beat("a", running=(grant.job,), cores=1)
    assert farm.answer.is_new
    assert farm.in_progress == 1


def test_speaking_keeps_a_worker(farm):
    """Others fall silent beside it."""
    for name in "abc":
        farm.beat(name)
    for _ in range(10):
        farm.now += farm.answer.interval_s
        farm.beat("b")
        farm.scheduler.tick(farm.now)
    assert list(farm.scheduler.fleet.workers) == ["b"]


def test_a_large_farm_speaks_less_often(farm):
    """At most fifty heartbeats a second, and nobody is lost for it."""
    for _ in range(2):
        farm.now += 4
        for number in range(1000):
            farm.beat(f"w{number}")
    assert farm.answer.interval_s == 20.0
    farm.now += 59
    farm.scheduler.tick(farm.now)
    assert farm.scheduler.status().num_servers == 1000


def test_a_draining_worker_gets_nothing_and_goes(farm):
    """With its last job; it is not missed."""
    farm.beat("a", cores=2)
    grant = farm.place()
    farm.started(grant)
    farm.beat("a", running=(grant.job,), draining=True)
    assert farm.refused().why == "full"
    farm.finished(grant)
    assert farm.refused().why == "full"
    farm.beat("a", draining=True)
    farm.beat("a", draining=True)
    assert farm.scheduler.status().num_servers == 0
    assert (farm.scheduler.counts["drained"], farm.scheduler.counts["lost"], farm.scheduler.counts["joined"]) == (1, 0, 1)


def test_a_worker_grows(farm):
    """What a heartbeat says of cores and slots counts from then on."""
    farm.beat("a", cores=1)
    farm.place()
    farm.ask(wait_s=5.0)
    assert len(addresses(farm.beat("a", cores=4))) == 1
    assert farm.scheduler.status().num_cpus == 4


def test_a_scheduler_that_ends(farm):
    """All that wait are told so, all that ask too; workers are listened to."""
    farm.beat("a", cores=1)
    grant = farm.place()
    farm.ask(wait_s=30.0)
    farm.ask(wait_s=30.0)
    assert [decision.why for decision in farm.scheduler.end() if isinstance(decision, Refusal)] == ["ending", "ending"]
    assert farm.finished(grant) == []
    assert farm.refused(wait_s=5.0).why == "ending"


def test_all_that_is_counted_is_explained(farm):
    """Each count has a line in the table that becomes the help of /metrics."""
    farm.beat("a", cores=1)
    farm.place()
    farm.refused()
    farm.now += 1000
    farm.scheduler.tick(farm.now)
    assert set(farm.scheduler.counts) <= set(COUNTS)
