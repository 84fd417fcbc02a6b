"""Local cores beside a farm."""

from contextlib import ExitStack

import pytest

from sccache.dist.placement import PROMISE_S, Placement


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_core_is_kept_until_the_compile_starts() -> None:
    """What is told to run here counts before it does, and not twice when it does."""
    placement = Placement(2, Clock())
    assert placement.take()
    assert placement.take()
    assert not placement.take()
    with placement.local():
        assert placement.running == 2
        assert not placement.take()
    assert placement.running == 1


def test_a_promise_that_is_not_used_ends() -> None:
    """A compile that never comes blocks no core for ever."""
    clock = Clock()
    placement = Placement(1, clock)
    assert placement.take()
    clock.now += PROMISE_S
    assert placement.running == 0
    assert placement.take()


def test_the_first_in_line_gets_the_next_core() -> None:
    """One core that gets free is one compile's, in the order in which they came; who comes later does not overtake them."""
    placement, told = Placement(1, Clock()), []
    with placement.local():
        for name in "abc":
            placement.wait(lambda name=name: told.append(name))
        assert told == []
    assert told == ["a"]
    assert not placement.take()
    with placement.local():
        assert told == ["a"]
    assert told == ["a", "b"]


def test_who_leaves_gives_its_core_to_the_next() -> None:
    """A compile that found a place in the farm meanwhile."""
    placement, told = Placement(1, Clock()), []
    with placement.local():
        tickets = {name: placement.wait(lambda name=name: told.append(name)) for name in "abc"}
        placement.leave(tickets["b"])
    assert told == ["a"]
    placement.leave(tickets["a"])
    assert told == ["a", "c"]
    placement.leave(tickets["c"])
    assert placement.running == 0


def test_one_who_waits_is_told_at_once_if_a_core_is_free() -> None:
    """Between a look and the wait a core may have got free."""
    placement, told = Placement(1, Clock()), []
    placement.wait(lambda: told.append("a"))
    assert told == ["a"]


def test_compiles_that_did_not_ask_count_too() -> None:
    """After a failure of the farm all are compiled here, more than there are cores if need be."""
    placement, told = Placement(2, Clock()), []
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(placement.local())
        assert placement.running == 3
        assert not placement.take()
        placement.wait(lambda: told.append("a"))
    assert told == ["a"]
    assert placement.running == 1


def test_a_compile_that_raises_ends_too() -> None:
    """Whatever happens in it."""
    placement = Placement(1, Clock())
    with pytest.raises(ZeroDivisionError), placement.local():
        _ = 1 / 0
    assert placement.take()
