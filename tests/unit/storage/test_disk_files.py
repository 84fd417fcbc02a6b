"""Choosing what goes: by age, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from sccache.storage.disk_files import MAX_AGES, _Ages

SECOND = 10**9
times = st.integers(0, 2**62)


@given(st.lists(st.tuples(times, st.integers(0, 1000)), max_size=50), st.integers(1, 60_000))
def test_the_limit_frees_enough_and_not_more(files: list[tuple[int, int]], excess: int) -> None:
    """All that is older than the limit is too little; with what is of that age it is enough, or all there is."""
    ages = _Ages()
    for mtime_ns, size in files:
        ages.add(mtime_ns, size)
    limit = ages.age_freeing(excess)
    older = sum(size for mtime_ns, size in files if ages.age_of(mtime_ns) < limit)
    equal = sum(size for mtime_ns, size in files if ages.age_of(mtime_ns) == limit)
    if sum(size for _, size in files) >= excess:
        assert older < excess <= older + equal
    else:
        assert older == sum(size for _, size in files)


def test_many_ages_are_told_apart_more_coarsely() -> None:
    """However many different ages there are, memory is bounded and no byte is lost."""
    ages = _Ages()
    for number in range(3 * MAX_AGES):
        ages.add(number * 100 * SECOND, 1)
        assert len(ages._bytes) <= MAX_AGES
    assert sum(ages._bytes.values()) == 3 * MAX_AGES
    limit = ages.age_freeing(1000)
    older = sum(1 for number in range(3 * MAX_AGES) if ages.age_of(number * 100 * SECOND) < limit)
    assert 900 < older < 1000
