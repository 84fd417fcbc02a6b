"""stats.py: what is counted, both layouts, the file."""

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sccache.stats import Duration, LevelStats, PerLanguage, RemoteStats, ServerInfo, Stats, render_json
from sccache.stats_text import AVERAGES, LABELLED, RATE_POSITION, render_text

KNOWN_STATS_FIELDS = [
    "compile_requests",
    "requests_unsupported_compiler",
    "requests_not_compile",
    "requests_not_cacheable",
    "requests_executed",
    "cache_errors",
    "cache_hits",
    "cache_misses",
    "cache_timeouts",
    "cache_read_errors",
    "non_cacheable_compilations",
    "forced_recaches",
    "cache_write_errors",
    "cache_writes",
    "cache_write_duration",
    "cache_read_hit_duration",
    "compilations",
    "compiler_write_duration",
    "compile_fails",
    "not_cached",
    "dist_compiles",
    "dist_errors",
    "multi_level",
]
KNOWN_INFO_FIELDS = ["stats", "cache_location", "cache_size", "max_cache_size", "use_preprocessor_cache_mode", "version", "basedirs"]

FRESH_TEXT = """\
Compile requests                      0
Compile requests executed             0
Cache hits                            0
Cache misses                          0
Cache hits rate                       -
Cache timeouts                        0
Cache read errors                     0
Forced recaches                       0
Cache write errors                    0
Cache errors                          0
Compilations                          0
Compilation failures                  0
Non-cacheable compilations            0
Non-cacheable calls                   0
Non-compilation calls                 0
Unsupported compiler calls            0
Average cache write               0.000 s
Average compiler                  0.000 s
Average cache read hit            0.000 s
Failed distributed compilations       0
Cache location                  Local disk: "/c"
Base directories                (none)
Use direct/preprocessor mode?   yes
Version (client)                1.2.3
Max cache size                       10 GiB
"""


def info(stats: Stats | None = None, **changes: object) -> ServerInfo:
    facts: dict[str, object] = {
        "cache_location": 'Local disk: "/c"',
        "cache_size": None,
        "max_cache_size": 10 << 30,
        "use_preprocessor_cache_mode": True,
        "version": "1.2.3",
        "basedirs": [],
        **changes,
    }
    return ServerInfo(stats=stats or Stats(), **facts)  # type: ignore[arg-type]


def lines(stats: Stats, *, advanced: bool = False) -> list[str]:
    return render_text(info(stats), advanced=advanced).splitlines()


def test_fresh_text():
    """Text of fresh statistics, line by line and blank by blank."""
    assert render_text(info(), advanced=False) == FRESH_TEXT


def test_rates_literal():
    """The literal rows that sccache's own tests expect."""
    stats = Stats()
    stats.cache_hits = PerLanguage({"C/C++": 5, "Rust": 2, "Cuda": 0}, {})
    stats.cache_misses = PerLanguage({"Rust": 1, "Cuda": 3}, {})
    shown = lines(stats)
    assert "Cache hits rate (C/C++)           100.00 %" in shown
    assert "Cache hits rate (Cuda)              0.00 %" in shown
    assert "Cache hits rate (Rust)             66.67 %" in shown


def test_total_rate_literal():
    """6 of 13 is 46.15 %."""
    stats = Stats()
    stats.cache_hits = PerLanguage({"C/C++": 6}, {})
    stats.cache_misses = PerLanguage({"Rust": 7}, {})
    assert "Cache hits rate                    46.15 %" in lines(stats)


def test_digits_line_up():
    """The last digit of a number stands above the last digit of a percentage and of a duration."""
    stats = Stats(compile_requests=12345)
    stats.hit("C/C++", "c [gcc]", 1_500_000_000, direct=True)
    shown = {line[:31].strip(): line for line in lines(stats)[:24]}
    number_end = len(shown["Compile requests"])
    assert shown["Cache hits rate"].endswith("100.00 %")
    assert len(shown["Cache hits rate"]) == number_end + 2
    assert len(shown["Average cache read hit"]) == number_end + 2
    assert shown["Average cache read hit"].endswith("1.500 s")


def test_advanced_rows():
    """Advanced statistics are by language and compiler, the total stays that of the plain names."""
    stats = Stats()
    stats.hit("C/C++", "c [gcc]", 1, direct=True)
    stats.hit("C/C++", "c++ [clang]", 1, direct=False)
    stats.miss("C/C++", "c [gcc]", 1, "new")
    shown = lines(stats, advanced=True)
    names = [line[: line.rindex("  ")].strip() for line in shown[:9]]
    assert names == [
        "Compile requests",
        "Compile requests executed",
        "Cache hits",
        "Cache hits (c [gcc])",
        "Cache hits (c++ [clang])",
        "Cache misses",
        "Cache misses (c [gcc])",
        "Cache hits rate",
        "Cache hits rate (c [gcc])",
    ]
    assert "66.67 %" in shown[7]
    assert "50.00 %" in shown[8]
    assert not any("(C/C++)" in line for line in shown)


def test_names_sorted():
    """Languages are in order of their names."""
    stats = Stats()
    for language in ("Rust", "Assembler", "C/C++"):
        stats.hit(language, language, 1, direct=True)
    hits = [line for line in lines(stats) if line.startswith("Cache hits (")]
    assert [line.split("(")[1].split(")")[0] for line in hits] == ["Assembler", "C/C++", "Rust"]


def test_reasons_order():
    """Reasons: the most frequent first, equals by name, a blank line around."""
    stats = Stats()
    for reason in ("-E", "-save-temps", "-E", "-M", "@"):
        stats.count_not_cached(reason)
    shown = lines(stats)
    at = shown.index("Non-cacheable reasons:")
    assert shown[at - 1] == ""
    assert [row.split()[0] for row in shown[at + 1 : at + 5]] == ["-E", "-M", "-save-temps", "@"]
    assert shown[at + 1] == "-E                                    2"
    assert shown[at + 5] == ""
    assert shown[at + 6].startswith("Cache location")
    assert stats.requests_not_cacheable == 5


def test_workers_equal_counts():
    """Workers with equal counts are in order of their names."""
    stats = Stats(dist_compiles={"10.0.0.2:1": 3, "10.0.0.1:1": 3, "10.0.0.9:1": 7})
    shown = lines(stats)
    at = shown.index("Successful distributed compiles")
    assert shown[at + 1] == "  10.0.0.9:1                          7"
    assert [row.split()[0] for row in shown[at + 2 : at + 4]] == ["10.0.0.1:1", "10.0.0.2:1"]


def test_levels():
    """Each level of a multi-level cache has its rows and its location."""
    level = LevelStats("L0 (disk)", location="Local disk: /l0", hits=1, misses=3, writes=2, write_duration=Duration(0, 500_000_000))
    shown = lines(Stats(multi_level=[level]))
    assert "Multi-level cache levels              1" in shown
    assert f"{'  L0 (disk) hit rate':<31} {'25.00 %':>9}" in shown
    assert f"{'  L0 (disk) avg cache write':<31} {'0.250 s':>9}" in shown
    assert any(line.startswith("  L0 (disk) ") and line.endswith(" Local disk: /l0") for line in shown)


def test_direct_mode_works_everywhere():
    """The line on direct mode is shown for remote storage, too."""
    text = render_text(info(cache_location="s3, name: b, prefix: /"), advanced=False)
    assert "Use direct/preprocessor mode?   yes\n" in text


def test_requests_to_remote_storages():
    """What happened to them, without what did not."""
    remotes = [RemoteStats("redis", hits=3, timed_out=2, lost_uploads=1), RemoteStats("s3")]
    text = render_text(info(stats=Stats(remotes=remotes)), advanced=False)
    block = text[text.index("Requests to redis:") :].splitlines()
    assert [line.split() for line in block[:4]] == [
        ["Requests", "to", "redis:"],
        ["hits", "3"],
        ["timed", "out", "2"],
        ["lost", "uploads", "1"],
    ]
    assert "Requests to s3" not in text


def test_cache_sizes():
    """Sizes are shown when known, in the largest unit that they fill."""
    text = render_text(info(cache_size=512, max_cache_size=None), advanced=False)
    assert "Cache size                          512 bytes\n" in text
    assert "Max cache size" not in text


def test_own_lines_last():
    """What sccache does not show comes after all that it does, and only if there is something to say."""
    stats = Stats()
    stats.hit("C/C++", "c [gcc]", 1, direct=True)
    text = render_text(info(stats, notes=["A thing is so."]), advanced=False).splitlines()
    assert text[-3:] == ["Direct mode hits                       1", "Hits after preprocessing               0", "Note: A thing is so."]
    assert text.index("Max cache size                        10 GiB") == len(text) - 4


def test_json_order():
    """Field names and order are what scripts parse; ours follow."""
    shown = json.loads(render_json(info()))
    assert list(shown) == KNOWN_INFO_FIELDS
    assert list(shown["stats"])[: len(KNOWN_STATS_FIELDS)] == KNOWN_STATS_FIELDS


def test_json_compact():
    """Compact and without a newline, so that scripts can match text."""
    stats = Stats()
    for _ in range(2):
        stats.hit("Rust", "rust", 1, direct=True)
    text = render_json(info(stats))
    assert '"cache_hits":{"counts":{"Rust":2},"adv_counts":{"rust":2}}' in text
    assert '"cache_write_duration":{"secs":0,"nanos":0}' in text
    assert '"multi_level":null' in text
    assert not text.endswith("\n")
    assert ": " not in text.replace("Local disk: ", "")


def test_info_round_trip():
    """The daemon's JSON is read by the command line."""
    before = info(Stats(compile_requests=3, multi_level=[LevelStats("L0")]), basedirs=["/a/"], notes=["x"])
    assert ServerInfo.from_json(before.to_json()) == before


def test_json_of_odd_paths():
    """Paths that are not UTF-8 can be shown as JSON, and read again."""
    shown = ServerInfo.from_json(info(basedirs=["/\udcff/"], cache_location="\udcfe").to_json())
    assert shown.basedirs == ["/\\xff/"]
    assert shown.cache_location == "\\xfe"


def test_older_file():
    """Statistics of another version: what is missing is zero, what is unknown is dropped."""
    read = Stats.from_json('{"compile_requests":4,"from_the_future":{"x":1}}')
    assert read == Stats(compile_requests=4)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"compile_requests":"many"}', b"\xff\x00", b'{"cache_hits":3}'])
def test_damaged_file(tmp_path: Path, content: bytes):
    """A damaged file is a start from zero."""
    path = tmp_path / "stats.json"
    path.write_bytes(content)
    assert Stats.load(str(path)) == Stats()


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes):
    """Random bytes are statistics or a ValueError."""
    with contextlib.suppress(ValueError):
        assert isinstance(Stats.from_json(content), Stats)


def test_save_and_load(tmp_path: Path):
    """Saved statistics are read again; no temporary file stays."""
    path = tmp_path / "deep" / "stats.json"
    stats = Stats(compile_requests=5)
    stats.miss("C/C++", "c [gcc]", 2_000_000_001, "new")
    stats.save(str(path))
    assert Stats.load(str(path)) == stats
    assert os.listdir(path.parent) == ["stats.json"]


def test_failed_save_leaves_nothing(tmp_path: Path):
    """When the file cannot be replaced, nothing is left beside it."""
    path = tmp_path / "stats.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        Stats().save(str(path))
    assert os.listdir(tmp_path) == ["stats.json"]


def test_zero():
    """Zeroed statistics are as new, and share nothing with another's."""
    stats = Stats()
    stats.hit("C/C++", "c [gcc]", 1, direct=True)
    stats.count_not_cached("-E")
    stats.zero()
    assert stats == Stats()
    stats.count_not_cached("-E")
    assert Stats().not_cached == {}


def test_miss_semantics():
    """A miss is a compilation and has a reason."""
    stats = Stats()
    stats.miss("C/C++", "c++ [gcc]", 3, "new")
    assert (stats.compilations, stats.cache_misses.total(), stats.miss_reasons) == (1, 1, {"new": 1})
    assert stats.compiler_write_duration == Duration(0, 3)


def test_failed_compile_is_no_miss():
    """A compile that failed counts as compilation and as failure only."""
    stats = Stats()
    stats.compile_failed(3)
    assert (stats.compilations, stats.compile_fails, stats.cache_misses.total()) == (1, 1, 0)


def test_stored():
    """A written entry counts with its time."""
    stats = Stats()
    stats.stored(1_000_000)
    stats.stored(3_000_000)
    assert "Average cache write               0.002 s" in lines(stats)


@given(st.lists(st.integers(0, 10**19), max_size=20))
def test_durations_add_up(parts: list[int]):
    """A sum of times is exact, and its nanoseconds stay below a second."""
    total = Duration()
    for part in parts:
        total.add(part)
    assert total.total_ns() == sum(parts)
    assert 0 <= total.nanos < 10**9


def test_clock_going_back():
    """A negative time adds nothing."""
    total = Duration(1, 0)
    total.add(-5)
    assert total == Duration(1, 0)


def test_rows_complete():
    """Every place of the text's first block is taken once."""
    taken = [row.position for row, _ in LABELLED] + [RATE_POSITION] + [position for position, *_ in AVERAGES]
    assert sorted(taken) == list(range(1, 21))
