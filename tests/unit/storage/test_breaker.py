"""The circuit breaker, without a clock."""

import pytest

from sccache.errors import StorageError, Trouble
from sccache.storage.breaker import DENIED_PAUSE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_RATE_LIMIT_S, OPENS_AFTER, Breaker


def breaker() -> Breaker:
    return Breaker(lambda: 1.0)


def error(trouble: Trouble, retry_after_s: float | None = None) -> StorageError:
    return StorageError("no", trouble, retry_after_s=retry_after_s)


def fail(one: Breaker, trouble: Trouble, now_s: float = 0) -> bool:
    """A request that began just now fails."""
    return one.failed(error(trouble), now_s, one.ticket())


@pytest.mark.parametrize(("trouble", "limit"), list(OPENS_AFTER.items()))
def test_it_opens_after_enough_failures_of_a_kind(trouble: Trouble, limit: int) -> None:
    """One less leaves it closed."""
    one = breaker()
    for number in range(limit):
        assert one.permit(0)
        assert fail(one, trouble) is (number == limit - 1)
    assert not one.is_closed
    assert not one.permit(0)


def test_a_success_between_starts_the_count_anew() -> None:
    """Only failures in a row count."""
    one = breaker()
    for _ in range(10):
        fail(one, Trouble.ERROR, 0)
        fail(one, Trouble.ERROR, 0)
        assert one.succeeded() is False
    assert one.permit(0)


@pytest.mark.parametrize("trouble", [Trouble.TOO_LARGE])
def test_what_is_about_one_object_never_opens_it(trouble: Trouble) -> None:
    """A blob that is too large says nothing about the service."""
    one = breaker()
    for _ in range(100):
        assert fail(one, trouble) is False
    assert one.is_closed


def test_after_the_pause_one_request_probes() -> None:
    """A second is refused until the first has ended; its success closes the circuit."""
    one = breaker()
    fail(one, Trouble.UNREACHABLE, 0)
    assert not one.permit(FIRST_PAUSE_S - 0.01)
    assert one.permit(FIRST_PAUSE_S)
    assert not one.permit(FIRST_PAUSE_S)
    assert one.succeeded() is True
    assert one.permit(FIRST_PAUSE_S)


def test_failing_probes_double_the_pause_up_to_a_minute() -> None:
    """1, 2, 4 … 60, 60."""
    one = breaker()
    now_s, pauses = 0.0, []
    fail(one, Trouble.UNREACHABLE, now_s)
    for _ in range(8):
        pauses.append(one.wait_s(now_s))
        now_s += one.wait_s(now_s)
        assert one.permit(now_s)
        assert fail(one, Trouble.UNREACHABLE, now_s) is False, "it was open already"
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_late_failures_do_not_move_the_end_of_the_pause() -> None:
    """Requests that were under way when it opened fail one by one."""
    one = breaker()
    fail(one, Trouble.UNREACHABLE, 0)
    for _ in range(50):
        fail(one, Trouble.UNREACHABLE, 0.5)
    assert one.permit(FIRST_PAUSE_S)


def test_a_probe_that_tells_nothing_lets_another_one_through() -> None:
    """It was cancelled."""
    one = breaker()
    fail(one, Trouble.UNREACHABLE, 0)
    assert one.permit(2)
    one.abandoned(one.ticket())
    assert one.permit(2)


@pytest.mark.parametrize(("said_s", "pause_s"), [(7.0, 8.0), (None, 6.0), (10_000.0, LONGEST_RATE_LIMIT_S + 1)])
def test_the_service_gets_the_pause_that_it_asks_for(said_s: float | None, pause_s: float) -> None:
    """Retry-After, within reason, and a little more so that not all come at once."""
    one = breaker()
    one.failed(error(Trouble.RATE_LIMITED, said_s), 0, one.ticket())
    assert one.wait_s(0) == pause_s


def test_denied_is_not_asked_again_soon() -> None:
    """Credentials do not mend themselves."""
    one = breaker()
    assert one.open(error(Trouble.DENIED), 0)
    assert not one.open(error(Trouble.UNREACHABLE), 0), "it is open"
    assert one.wait_s(0) == DENIED_PAUSE_S
    assert one.reason is not None
    assert one.reason.trouble is Trouble.DENIED


def test_kinds_are_counted_apart() -> None:
    """Two denied requests and one failure are not three failures."""
    one = breaker()
    for trouble in (Trouble.DENIED, Trouble.DENIED, Trouble.ERROR, Trouble.TIMED_OUT):
        assert fail(one, trouble) is False
    assert one.is_closed


def test_denied_reads_never_open_it_but_keep_it_open() -> None:
    """Only a read of what is known to be there proves that reading is denied."""
    one = breaker()
    for _ in range(100):
        assert fail(one, Trouble.DENIED) is False
    assert one.is_closed
    one.open(error(Trouble.DENIED), 0)
    assert one.permit(DENIED_PAUSE_S)
    fail(one, Trouble.DENIED, DENIED_PAUSE_S)
    assert one.wait_s(DENIED_PAUSE_S) == DENIED_PAUSE_S


def test_older_requests_do_not_decide_about_the_probe() -> None:
    """Neither one that is cancelled, nor one that fails, while the probe is under way."""
    one = breaker()
    old = one.ticket()
    fail(one, Trouble.UNREACHABLE)
    assert one.permit(FIRST_PAUSE_S)
    one.abandoned(old)
    assert not one.permit(FIRST_PAUSE_S), "a second probe"
    one.failed(error(Trouble.UNREACHABLE), FIRST_PAUSE_S, old)
    assert one.wait_s(FIRST_PAUSE_S) == 0
    assert one.succeeded()
    one.failed(error(Trouble.UNREACHABLE), FIRST_PAUSE_S, old)
    assert one.is_closed, "a request from before it closed"
