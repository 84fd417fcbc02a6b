"""The statistics as text: what --show-stats prints.

Owns: the layout.  Must not know: who counts, what the counters mean.

A row is `<name padded to the longest name> <value padded to the widest value>`; percentages and durations stand two columns
further right, so that their digits line up with the plain numbers.
"""

from collections.abc import Iterator, Mapping
from typing import get_args

from msgspec import Struct

from sccache.stats import Duration, PerLanguage, RemoteStats, Row, ServerInfo, Stats
from sccache.util.sizes import human_size

SUFFIX_WIDTH = 2  # " %" and " s"


class TextRow(Struct, frozen=True):
    """One line of the first block."""

    label: str
    value: str
    suffix_width: int = 0


def _labelled() -> tuple[tuple[Row, str], ...]:
    rows: list[tuple[Row, str]] = []
    for name, annotation in Stats.__annotations__.items():
        rows.extend((extra, name) for extra in get_args(annotation) if isinstance(extra, Row))
    return tuple(sorted(rows, key=lambda pair: pair[0].position))


LABELLED = _labelled()
"""The counters that stand in the text under their own name, in text order."""
RATE_POSITION = 5
AVERAGES = (
    # position, label, sum of times, number of them
    (17, "Average cache write", "cache_write_duration", "cache_writes"),
    (18, "Average compiler", "compiler_write_duration", "compilations"),
    (19, "Average cache read hit", "cache_read_hit_duration", "cache_hits"),
)


def render_text(info: ServerInfo, *, advanced: bool) -> str:
    """The text of --show-stats, or of --show-adv-stats; every line ends in a newline."""
    rows = [row for _, row in sorted(_rows(info.stats, advanced=advanced), key=lambda pair: pair[0])]
    rows += _level_rows(info.stats)
    name_width = max(len(row.label) for row in rows)
    value_width = max(len(row.value) for row in rows)
    lines = [f"{row.label:<{name_width}} {row.value:>{value_width + row.suffix_width}}" for row in rows]
    lines += _dist_lines(info.stats.dist_compiles, name_width, value_width)
    lines += _reason_lines("Non-cacheable reasons:", info.stats.not_cached, name_width, value_width)
    lines += _info_lines(info, name_width, value_width)
    lines += _own_lines(info, name_width, value_width, advanced=advanced)
    return "".join(f"{line}\n" for line in lines)


def _rows(stats: Stats, *, advanced: bool) -> Iterator[tuple[int, TextRow]]:
    for row, name in LABELLED:
        value = getattr(stats, name)
        if not isinstance(value, PerLanguage):
            yield row.position, TextRow(row.label, str(value))
            continue
        yield row.position, TextRow(row.label, str(value.total()))
        for key, count in sorted((value.adv_counts if advanced else value.counts).items()):
            yield row.position, TextRow(f"{row.label} ({key})", str(count))
    for rate in _rate_rows(stats, advanced=advanced):
        yield RATE_POSITION, rate
    for position, label, total, number in AVERAGES:
        count = getattr(stats, number)
        times = count.total() if isinstance(count, PerLanguage) else count
        yield position, _average(label, getattr(stats, total), times)


def _rate_rows(stats: Stats, *, advanced: bool) -> Iterator[TextRow]:
    yield _rate("Cache hits rate", stats.cache_hits.total(), stats.cache_misses.total())
    hits = stats.cache_hits.adv_counts if advanced else stats.cache_hits.counts
    misses = stats.cache_misses.adv_counts if advanced else stats.cache_misses.counts
    for key in sorted(hits.keys() | misses.keys()):
        yield _rate(f"Cache hits rate ({key})", hits.get(key, 0), misses.get(key, 0))


def _rate(label: str, hits: int, misses: int) -> TextRow:
    if hits + misses == 0:
        return TextRow(label, "-")
    return TextRow(label, f"{100 * hits / (hits + misses):.2f} %", SUFFIX_WIDTH)


def _average(label: str, total: Duration, count: int) -> TextRow:
    milliseconds = total.total_ns() // count // 1_000_000 if count else 0
    secs, rest = divmod(milliseconds, 1000)
    return TextRow(label, f"{secs}.{rest:03} s", SUFFIX_WIDTH)


def _level_rows(stats: Stats) -> list[TextRow]:
    if stats.multi_level is None:
        return []
    rows = [TextRow("Multi-level cache levels", str(len(stats.multi_level)))]
    for level in stats.multi_level:
        name = f"  {level.name}"
        rows += [
            TextRow(f"{name} hits", str(level.hits)),
            TextRow(f"{name} misses", str(level.misses)),
            _rate(f"{name} hit rate", level.hits, level.misses),
            TextRow(f"{name} writes", str(level.writes)),
            TextRow(f"{name} write failures", str(level.write_failures)),
            TextRow(f"{name} backfills from", str(level.backfills_from)),
            TextRow(f"{name} backfills to", str(level.backfills_to)),
            _average(f"{name} avg cache write", level.write_duration, level.writes),
            _average(f"{name} avg cache read hit", level.hit_duration, level.hits),
        ]
    return rows


def _by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _dist_lines(compiles: Mapping[str, int], name_width: int, value_width: int) -> list[str]:
    if not compiles:
        return []
    rows = [f"  {worker:<{name_width - 2}} {count:>{value_width}}" for worker, count in _by_count(compiles)]
    return ["", "Successful distributed compiles", *rows]


def _reason_lines(title: str, reasons: Mapping[str, int], name_width: int, value_width: int) -> list[str]:
    if not reasons:
        return []
    rows = [f"{reason:<{name_width}} {count:>{value_width}}" for reason, count in _by_count(reasons)]
    return ["", title, *rows, ""]


def _info_lines(info: ServerInfo, name_width: int, value_width: int) -> list[str]:
    facts = [("Cache location", info.cache_location)]
    facts += [(f"  {level.name}", level.location) for level in info.stats.multi_level or ()]
    facts.append(("Base directories", ", ".join(info.basedirs) or "(none)"))
    facts.append(("Use direct/preprocessor mode?", "yes" if info.use_preprocessor_cache_mode else "no"))
    facts.append(("Version (client)", info.version))
    for name, size_bytes in (("Cache size", info.cache_size), ("Max cache size", info.max_cache_size)):
        if size_bytes is not None:
            number, unit = human_size(size_bytes)
            facts.append((name, f"{number:>{value_width}} {unit}"))
    return [f"{name:<{name_width}} {value}" for name, value in facts]


def _own_lines(info: ServerInfo, name_width: int, value_width: int, *, advanced: bool) -> list[str]:
    """What sccache does not show; after everything that it does, so that scripts find their lines where they were."""
    stats = info.stats
    lines: list[str] = []
    if stats.direct_hits or stats.preprocessed_hits:
        lines.append(f"{'Direct mode hits':<{name_width}} {stats.direct_hits:>{value_width}}")
        lines.append(f"{'Hits after preprocessing':<{name_width}} {stats.preprocessed_hits:>{value_width}}")
    blocks = [block for remote in stats.remotes or () if (block := _remote_lines(remote, name_width, value_width))]
    for block in blocks:
        lines += ["", *block]
    lines += [""] if blocks else []
    if advanced:
        lines += _reason_lines("Miss reasons:", stats.miss_reasons, name_width, value_width)
    lines += [f"Note: {note}" for note in info.notes]
    return lines


def _remote_lines(remote: RemoteStats, name_width: int, value_width: int) -> list[str]:
    """What happened to requests to one remote storage; what did not happen is not shown."""
    counts = {name: getattr(remote, name) for name in remote.__struct_fields__ if name not in ("name", "location")}
    shown = [(f"  {name.replace('_', ' ')}", count) for name, count in counts.items() if count]
    return [f"Requests to {remote.name}:", *(f"{name:<{name_width}} {count:>{value_width}}" for name, count in shown)] if shown else []
