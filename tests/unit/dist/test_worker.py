"""The worker's rules, one by one; time is a number that the test says."""

import pytest

from sccache.dist.worker import DUTY_S, MAX_BACKLOG, RETURN_S, USED_UP_S, Duty, Verdict, Worker

JOB, OTHER = "a" * 32, "b" * 32
TOOLCHAIN = "cd" * 32


@pytest.fixture
def worker() -> Worker:
    return Worker("nonce", 4, 2)


def taken(worker: Worker, job: str = JOB) -> None:
    assert worker.arrive(job) == (Verdict.TAKEN, True)


# -- rights


def test_a_right_is_used_once(worker):
    """While the job runs, and after its end, until no token for it can be good."""
    taken(worker)
    assert worker.arrive(JOB) == (Verdict.USED, False)
    worker.end(JOB, 100.0)
    assert worker.arrive(JOB) == (Verdict.USED, False)
    worker.tick(100.0 + USED_UP_S - 1)
    assert worker.arrive(JOB) == (Verdict.USED, False)
    assert USED_UP_S > 300


def test_what_was_used_is_forgotten_in_the_end(worker):
    """Memory is bounded by time."""
    taken(worker)
    worker.end(JOB, 0.0)
    worker.tick(USED_UP_S)
    assert worker._used == {}


def test_a_client_returns_with_what_was_missing(worker):
    """It uses the same right; the scheduler was told of the job already; two cannot return at once."""
    taken(worker)
    worker.await_return(JOB, 0.0)
    assert worker.running == (JOB,)
    assert worker.arrive(JOB) == (Verdict.TAKEN, False)
    assert worker.arrive(JOB) == (Verdict.USED, False)


def test_a_client_that_does_not_return(worker):
    """The job is over after a while, and the scheduler is to be told."""
    taken(worker)
    worker.await_return(JOB, 0.0)
    assert worker.tick(RETURN_S - 1) == ()
    assert worker.tick(RETURN_S) == (JOB,)
    assert worker.tick(RETURN_S) == ()
    assert worker.running == ()
    assert worker.arrive(JOB) == (Verdict.USED, False)


def test_a_job_that_runs_is_not_lost(worker):
    """However long it takes."""
    taken(worker)
    assert worker.tick(1e9) == ()
    assert worker.running == (JOB,)


def test_too_many_jobs(worker):
    """More than a few times the slots: the scheduler would not have sent them."""
    for number in range(2 * MAX_BACKLOG):
        taken(worker, f"{number:032x}")
    assert worker.arrive(JOB) == (Verdict.BUSY, False)
    worker.end(f"{0:032x}", 0.0)
    taken(worker)


def test_draining(worker):
    """No new jobs; one that has begun is brought to its end, even if its client has to come back."""
    taken(worker)
    worker.await_return(JOB, 0.0)
    worker.is_draining = True
    assert worker.arrive(OTHER) == (Verdict.DRAINING, False)
    assert worker.arrive(JOB) == (Verdict.TAKEN, False)
    assert not worker.is_idle
    worker.end(JOB, 0.0)
    assert worker.is_idle
    assert worker.heartbeat("k", "c", ()).draining


def test_the_end_of_what_is_not_there(worker):
    """Says nothing of a job that never came."""
    worker.end(JOB, 0.0)
    taken(worker)


# -- toolchains


def test_one_uploads_and_others_wait(worker):
    """However many clients come."""
    taken(worker)
    taken(worker, OTHER)
    assert worker.need(JOB, TOOLCHAIN, 0.0, is_there=False) is Duty.UPLOAD
    assert worker.need(OTHER, TOOLCHAIN, 0.0, is_there=False) is Duty.WAIT
    assert worker.upload_begins(JOB, TOOLCHAIN, 1.0)
    assert worker.need(OTHER, TOOLCHAIN, 1e6, is_there=False) is Duty.WAIT
    worker.upload_ends(TOOLCHAIN, 1e6)
    assert worker.need(OTHER, TOOLCHAIN, 1e6, is_there=True) is Duty.READY


def test_a_toolchain_that_is_there(worker):
    """Needs nobody."""
    assert worker.need(JOB, TOOLCHAIN, 0.0, is_there=True) is Duty.READY


def test_different_toolchains_do_not_wait_for_each_other(worker):
    """Each has its own uploader."""
    assert worker.need(JOB, TOOLCHAIN, 0.0, is_there=False) is Duty.UPLOAD
    assert worker.need(OTHER, "ef" * 32, 0.0, is_there=False) is Duty.UPLOAD


def test_an_upload_that_does_not_begin(worker):
    """The next who waits gets the duty."""
    worker.need(JOB, TOOLCHAIN, 0.0, is_there=False)
    assert worker.need(OTHER, TOOLCHAIN, DUTY_S - 1, is_there=False) is Duty.WAIT
    assert worker.need(OTHER, TOOLCHAIN, DUTY_S, is_there=False) is Duty.UPLOAD
    assert worker.need(JOB, TOOLCHAIN, DUTY_S, is_there=False) is Duty.WAIT


def test_an_uploader_that_goes(worker):
    """Its duty is free at once."""
    taken(worker)
    worker.need(JOB, TOOLCHAIN, 0.0, is_there=False)
    worker.end(JOB, 1.0)
    assert worker.need(OTHER, TOOLCHAIN, 1.0, is_there=False) is Duty.UPLOAD


def test_an_upload_that_fails(worker):
    """Another is asked to."""
    worker.need(JOB, TOOLCHAIN, 0.0, is_there=False)
    worker.upload_begins(JOB, TOOLCHAIN, 0.0)
    worker.upload_ends(TOOLCHAIN, 5.0)
    assert worker.need(OTHER, TOOLCHAIN, 5.0, is_there=False) is Duty.UPLOAD


def test_two_uploads_at_once(worker):
    """The second is told; the first goes on."""
    assert worker.upload_begins(JOB, TOOLCHAIN, 0.0)
    assert not worker.upload_begins(OTHER, TOOLCHAIN, 0.0)


def test_a_long_upload_keeps_its_job(worker):
    """The client comes back when it has sent hundreds of megabytes."""
    taken(worker)
    worker.need(JOB, TOOLCHAIN, 0.0, is_there=False)
    worker.await_return(JOB, 0.0)
    worker.upload_begins(JOB, TOOLCHAIN, 1.0)
    assert worker.tick(RETURN_S + 1) == ()
    worker.upload_ends(TOOLCHAIN, 200.0)
    assert worker.tick(200.0 + RETURN_S - 1) == ()
    assert worker.arrive(JOB) == (Verdict.TAKEN, False)


# -- heartbeats


def test_heartbeat(worker):
    """What it has at this moment, with those that are awaited."""
    taken(worker)
    taken(worker, OTHER)
    worker.await_return(OTHER, 0.0)
    beat = worker.heartbeat("key", "certificate", (TOOLCHAIN,))
    assert (beat.nonce, beat.cores, beat.slots, beat.job_key, beat.certificate) == ("nonce", 4, 2, "key", "certificate")
    assert (beat.running, beat.toolchains, beat.draining) == ((JOB, OTHER), (TOOLCHAIN,), False)
