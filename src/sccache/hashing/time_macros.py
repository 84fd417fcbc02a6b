"""Macros whose value is the time: found in source text, and, as a back-stop, by their expansion in what was produced.

Owns: the three macros and how gcc and clang spell their values.  Must not know: files, clocks, what follows from a find.
"""

import re
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

TIME, DATE, TIMESTAMP = 1, 2, 4
"""Bits of `FileFacts.time_macros`."""

PIECES = re.compile(
    rb"(?<!\w)(?:__(?:T|TI|TIM|TIME|TIME_|TIMES|TIMEST|TIMESTA|TIMESTAM|TIMESTAMP|TIMESTAMP_|D|DA|DAT|DATE|DATE_)"
    rb"|(?:_?TIME|IME|ME|_?DATE|ATE|TE|_?TIMESTAMP|STAMP)__)(?!\w)"
)
"""Words that are parts of the macros, to be pasted together."""

_MACROS = ((b"__TIME__", TIME), (b"__DATE__", DATE), (b"__TIMESTAMP__", TIMESTAMP))
# "Tue Nov 14 22:13:23 2023"
_TIMESTAMP = re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ 0-9]\d \d\d:(\d\d):(\d\d) \d{4}")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
# Zones differ from UTC by a multiple of a quarter of an hour, at most by 14 hours, and the caller's TZ need not be ours.
_QUARTERS = (0, 15, 30, 45)
_FARTHEST_ZONE = timedelta(hours=15)
# Longer than any compile: past it every time of day is possible, so anything that looks like one counts.
_LONG = timedelta(minutes=59)


def macros_in(data: bytes) -> int:
    """Which of the macros occur anywhere in `data` (comments count), as bits.  Line splices must be gone already."""
    if b"__TIME" not in data and b"__DATE__" not in data:
        return 0
    return sum(bit for name, bit in _MACROS if name in data)


def expansions_in(data: bytes, start: datetime, end: datetime) -> bool:
    """Does `data` hold the text of a second or a day between `start` and `end`, in any time zone?

    `start` and `end`: one zone, whichever.  This finds the macros that no scan of the source can see (`__TI ## ME__`);
    a compiler may split such a string into 8-byte constants, so of a date only the first eight characters are looked for.
    """
    return any(day in data for day in _days(start, end)) or _has_time(data, start - timedelta(seconds=1), end + timedelta(seconds=1))


def timestamps_in(data: bytes, stamps_s: AbstractSet[int]) -> bool:
    """Does `data` hold the text that __TIMESTAMP__ has for one of these modification times (seconds), in any time zone?

    Only what has the form is looked at, and minutes and seconds are compared: zones move both hour and day.
    """
    wanted = {((stamp // 60 + quarter) % 60, stamp % 60) for stamp in stamps_s for quarter in _QUARTERS}
    return any((int(match[1]), int(match[2])) in wanted for match in _TIMESTAMP.finditer(data))


def _days(start: datetime, end: datetime) -> set[bytes]:
    day, last = start - _FARTHEST_ZONE, end + _FARTHEST_ZONE
    texts = set()
    while day < last + timedelta(days=1) and day.date() <= last.date():
        texts.add(b"%s %2d %d" % (_MONTHS[day.month - 1], day.day, day.year // 1000))
        day += timedelta(days=1)
    return texts


def _has_time(data: bytes, start: datetime, end: datetime) -> bool:
    """Look for `:MM:SS` with a plausible hour before it; the hour itself depends on the zone."""
    if end - start > _LONG:
        return any(_has_minute(data, minute, None) for minute in range(60))
    seconds: dict[int, set[int]] = {}
    moment = start
    while moment <= end:
        for quarter in _QUARTERS:
            seconds.setdefault((moment.minute + quarter) % 60, set()).add(moment.second)
        moment += timedelta(seconds=1)
    return any(_has_minute(data, minute, wanted) for minute, wanted in seconds.items())


def _has_minute(data: bytes, minute: int, wanted: set[int] | None) -> bool:
    pattern = b":%02d:" % minute
    at = data.find(pattern)
    while at >= 0:
        hour, second = data[max(at - 2, 0) : at], data[at + 4 : at + 6]
        if len(hour) == 2 and hour.isdigit() and int(hour) < 24 and len(second) >= 1 and _is_second(second, wanted):
            return True
        at = data.find(pattern, at + 1)
    return False


def _is_second(text: bytes, wanted: set[int] | None) -> bool:
    return len(text) == 2 and text.isdigit() and (wanted is None or int(text) in wanted)
