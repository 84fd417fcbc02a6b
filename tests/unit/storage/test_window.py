"""How far is fetched ahead."""

from sccache.storage.trail import Pair, Trail
from sccache.storage.window import FIRST_PAIRS, MOST_PAIRS, REPEAT_S, Window


def pair(number: int) -> Pair:
    return f"m{number}", f"e{number}"


def window(*lengths: int) -> Window:
    """Runs of so many pairs, numbered through."""
    numbers = iter(range(sum(lengths)))
    return Window(Trail(tuple(tuple(pair(next(numbers)) for _ in range(length)) for length in lengths)))


def test_it_begins_small() -> None:
    """A file that is recompiled alone costs this much."""
    assert window(100).passed("m10", 0) == [pair(number) for number in range(11, 11 + FIRST_PAIRS)]


def test_it_doubles_with_each_right_guess_up_to_a_limit() -> None:
    """And only what is new is asked for."""
    ahead = window(1000)
    guessed = ahead.passed("m0", 0)
    place = 0
    while ahead.size < MOST_PAIRS:
        place += 1
        ahead.right()
        guessed += ahead.passed(f"e{place}", 0)
    ahead.right()
    assert ahead.size == MOST_PAIRS
    assert guessed == [pair(number) for number in range(1, place + 1 + MOST_PAIRS)]


def test_it_falls_back_with_each_wrong_guess() -> None:
    """To one pair, never to nothing: the next right one lets it grow again."""
    ahead = window(100)
    for _ in range(10):
        ahead.wrong()
    assert ahead.passed("m0", 0) == [pair(1)]
    ahead.right()
    assert len(ahead.passed("m1", 0)) == 2


def test_nothing_is_guessed_for_what_is_not_on_the_trail() -> None:
    """A source that has changed."""
    assert window(10).passed("m77", 0) == []
    assert window().passed("m0", 0) == []


def test_the_end_of_a_run_is_the_end() -> None:
    """What another build used first does not follow what this one used last."""
    ahead = window(3, 10)
    assert ahead.passed("m1", 0) == [pair(2)]
    assert ahead.passed("e2", 0) == []
    assert ahead.passed("m12", 0) == []


def test_what_was_passed_or_guessed_is_not_guessed_again_for_a_while() -> None:
    """Parallel compiles come in another order; the next build of this daemon walks the same way again."""
    ahead = window(5)
    ahead.saw("m2", 0)
    assert ahead.passed("e0", 1) == [pair(1), pair(3), pair(4)]
    assert ahead.passed("m1", 1) == []
    assert ahead.passed("m0", 1 + REPEAT_S) == [pair(number) for number in range(1, 5)]


def test_what_a_manifest_led_to() -> None:
    """By its key."""
    assert window(3).expected("m1") == "e1"
    assert window(3).expected("m5") is None
