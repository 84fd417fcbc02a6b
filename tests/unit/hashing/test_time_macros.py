"""Time macros in source text, and their expansions in what was produced."""

from datetime import UTC, datetime, timedelta

import pytest

from sccache.hashing.time_macros import expansions_in, macros_in

NOON = datetime(2026, 11, 7, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        (b"", 0),
        (b"int main() {}", 0),
        (b"__TIME__", 1),
        (b"x = __DATE__;", 2),
        (b"// __TIMESTAMP__", 4),
        (b"__TIMESTAMP__ __DATE__ __TIME__", 7),
        (b"__TIM E__ __DAT __TIMESTAMP", 0),
        (b"___TIME___", 1),
    ],
)
def test_macros_anywhere_in_the_text(text: bytes, bits: int) -> None:
    """Each macro has a bit; comments count."""
    assert macros_in(text) == bits


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\0 12:34:56\0", True),
        (b"12:34:59", True),
        (b"12:34:55", True),  # the compiler's clock may be a second off
        (b"12:35:30", False),
        (b"02:34:57", True),  # another zone
        (b"18:04:57", True),  # India
        (b"18:19:57", True),  # Nepal
        (b"18:05:57", False),
        (b"99:34:57", False),
        (b"1:34:57", False),
        (b"12:34:5", False),
        (b"12:34", False),
        (b"Nov  7 2026", True),
        (b"Nov  6 2026", True),
        (b"Nov  8 2026", True),
        (b"Nov 17 2026", False),
        (b"Nov  7 2\xc7\x44\x24\x08026\0", True),  # in two machine instructions
        (b"Oct  7 2026", False),
        (b"", False),
    ],
)
def test_the_present_time_in_an_object(data: bytes, *, found: bool) -> None:
    """Seconds and days between start and end, in any time zone."""
    assert expansions_in(data, NOON, NOON + timedelta(seconds=3)) is found


def test_a_long_compile() -> None:
    """After an hour any time of day counts; across midnight and a year's end, both days do."""
    assert expansions_in(b"03:59:01", NOON, NOON + timedelta(hours=2))
    assert not expansions_in(b"03:61:01", NOON, NOON + timedelta(hours=2))
    eve = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert expansions_in(b"Dec 31 2026", eve, eve + timedelta(seconds=2))
    assert expansions_in(b"Jan  1 2027", eve, eve + timedelta(seconds=2))
    assert expansions_in(b"00:00:01", eve, eve + timedelta(seconds=2))
