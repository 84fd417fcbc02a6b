"""The statistics: what is counted, and how it is shown as JSON.  As text: stats_text.py.

Owns: the counters (class Stats is the one table: a field's name and position are its place in the JSON, its Row its
place in the text), their meaning, the JSON, and the file that keeps them over restarts.
Must not know: who counts, sockets, configuration.
"""

import contextlib
import os
from typing import Annotated

import msgspec
from msgspec import Struct, field

NS_PER_S = 1_000_000_000


class Row(Struct, frozen=True):
    """Where a counter stands in the text, and what it is called there."""

    position: int
    label: str


ADVANCED_LANGUAGES = {"objcHeader": "objc", "objc++Header": "objc++", "cudaPreprocessed": "cuda", "hipPreprocessed": "hip"}
"""What sccache counts together also where languages stand with their compilers (reference 1.5)."""


class PerLanguage(Struct):
    """A counter per language: by plain name ("C/C++") and by advanced name ("c [gcc]")."""

    counts: dict[str, int] = field(default_factory=dict)
    adv_counts: dict[str, int] = field(default_factory=dict)

    def add(self, language: str, advanced: str) -> None:
        """Count one."""
        self.counts[language] = self.counts.get(language, 0) + 1
        name, space, compiler = advanced.partition(" ")
        key = f"{ADVANCED_LANGUAGES.get(name, name)}{space}{compiler}"
        self.adv_counts[key] = self.adv_counts.get(key, 0) + 1

    def total(self) -> int:
        """All languages together."""
        return sum(self.counts.values())


class Duration(Struct):
    """A sum of times, in the two parts that the JSON has."""

    secs: int = 0
    nanos: int = 0

    def add(self, ns: int) -> None:
        """Add `ns` nanoseconds; a clock that went back adds nothing."""
        total = self.total_ns() + max(ns, 0)
        self.secs, self.nanos = divmod(total, NS_PER_S)

    def total_ns(self) -> int:
        """The sum in nanoseconds."""
        return self.secs * NS_PER_S + self.nanos


class LevelStats(Struct):
    """One level of a multi-level cache."""

    name: str
    location: str = ""
    hits: int = 0
    misses: int = 0
    writes: int = 0
    write_failures: int = 0
    backfills_from: int = 0
    backfills_to: int = 0
    hit_duration: Duration = field(default_factory=Duration)
    write_duration: Duration = field(default_factory=Duration)


class RemoteStats(Struct):
    """One remote storage: how its requests ended.  A read is counted in exactly one of the first eight."""

    name: str
    location: str = ""
    hits: int = 0
    misses: int = 0
    denied: int = 0
    rate_limited: int = 0
    timed_out: int = 0
    unreachable: int = 0
    errors: int = 0
    skipped: int = 0
    """Not asked, because it had failed before."""
    writes: int = 0
    write_failures: int = 0
    lost_uploads: int = 0
    """Results that were to be sent and were not, for whatever reason."""
    fetched_ahead: int = 0
    """Hits that no compile had asked for yet."""
    used_ahead: int = 0
    """Those of them that one asked for then."""


class Stats(Struct):
    """All counters.  A new one is a line here: name, Row (its place in the text), start value.

    Up to `multi_level` names and order are what scripts parse today; our own counters follow it.
    """

    compile_requests: Annotated[int, Row(1, "Compile requests")] = 0
    requests_unsupported_compiler: Annotated[int, Row(16, "Unsupported compiler calls")] = 0
    requests_not_compile: Annotated[int, Row(15, "Non-compilation calls")] = 0
    requests_not_cacheable: Annotated[int, Row(14, "Non-cacheable calls")] = 0
    requests_executed: Annotated[int, Row(2, "Compile requests executed")] = 0
    cache_errors: Annotated[PerLanguage, Row(10, "Cache errors")] = field(default_factory=PerLanguage)
    cache_hits: Annotated[PerLanguage, Row(3, "Cache hits")] = field(default_factory=PerLanguage)
    cache_misses: Annotated[PerLanguage, Row(4, "Cache misses")] = field(default_factory=PerLanguage)
    cache_timeouts: Annotated[int, Row(6, "Cache timeouts")] = 0
    cache_read_errors: Annotated[int, Row(7, "Cache read errors")] = 0
    non_cacheable_compilations: Annotated[int, Row(13, "Non-cacheable compilations")] = 0
    forced_recaches: Annotated[int, Row(8, "Forced recaches")] = 0
    cache_write_errors: Annotated[int, Row(9, "Cache write errors")] = 0
    cache_writes: int = 0
    cache_write_duration: Duration = field(default_factory=Duration)
    cache_read_hit_duration: Duration = field(default_factory=Duration)
    compilations: Annotated[int, Row(11, "Compilations")] = 0
    compiler_write_duration: Duration = field(default_factory=Duration)
    compile_fails: Annotated[int, Row(12, "Compilation failures")] = 0
    not_cached: dict[str, int] = field(default_factory=dict)
    dist_compiles: dict[str, int] = field(default_factory=dict)
    dist_errors: Annotated[int, Row(20, "Failed distributed compilations")] = 0
    multi_level: list[LevelStats] | None = None
    direct_hits: int = 0
    """Hits found by a manifest, without a preprocessor run."""
    preprocessed_hits: int = 0
    """Hits found after a preprocessor run."""
    miss_reasons: dict[str, int] = field(default_factory=dict)
    """Why a compile was a miss; the sum is the number of misses."""
    remotes: list[RemoteStats] | None = None
    """Requests to remote storages, of entries and of all else, since the daemon started."""

    def count(self, name: str, by: int = 1) -> None:
        """Add to a plain counter."""
        setattr(self, name, getattr(self, name) + by)

    def count_language(self, name: str, language: str, advanced: str) -> None:
        """Add one to a counter that is kept per language."""
        counter: PerLanguage = getattr(self, name)
        counter.add(language, advanced)

    def count_not_cached(self, reason: str) -> None:
        """A compile that cannot be cached, and why."""
        self.requests_not_cacheable += 1
        self.not_cached[reason] = self.not_cached.get(reason, 0) + 1

    def add_duration(self, name: str, ns: int) -> None:
        """Add to a sum of times."""
        duration: Duration = getattr(self, name)
        duration.add(ns)

    def hit(self, language: str, advanced: str, ns: int, *, direct: bool) -> None:
        """An entry was found and its outputs written, in `ns`."""
        self.cache_hits.add(language, advanced)
        self.cache_read_hit_duration.add(ns)
        if direct:
            self.direct_hits += 1
        else:
            self.preprocessed_hits += 1

    def miss(self, language: str, advanced: str, compile_ns: int, reason: str) -> None:
        """A compile ran, succeeded and can be stored; `reason` names why there was no entry."""
        self.compiled(compile_ns)
        self.cache_misses.add(language, advanced)
        self.miss_reasons[reason] = self.miss_reasons.get(reason, 0) + 1

    def compiled(self, compile_ns: int) -> None:
        """A compile ran that is neither hit nor miss (SCCACHE_NO_CACHE)."""
        self.compilations += 1
        self.compiler_write_duration.add(compile_ns)

    def compile_failed(self, compile_ns: int) -> None:
        """A compile ran and failed: nothing to store, not a miss."""
        self.compiled(compile_ns)
        self.compile_fails += 1

    def distributed(self, worker: str) -> None:
        """A compile ran on this worker of a farm."""
        self.dist_compiles[worker] = self.dist_compiles.get(worker, 0) + 1

    def stored(self, ns: int) -> None:
        """An entry was written, in `ns`."""
        self.cache_writes += 1
        self.cache_write_duration.add(ns)

    def zero(self) -> None:
        """Start again."""
        fresh = Stats()
        for name in self.__struct_fields__:
            setattr(self, name, getattr(fresh, name))

    def to_json(self) -> bytes:
        """Compact JSON in the field order above."""
        return msgspec.json.encode(self, order="deterministic")

    @classmethod
    def from_json(cls, data: bytes | str) -> "Stats":
        """Read `to_json` of any version: unknown fields are dropped, missing ones zero; damaged ones raise ValueError."""
        return msgspec.json.decode(data, type=cls)

    def save(self, path: str) -> None:
        """Keep the counters in a file, replaced whole, in a directory that is made if need be; raises OSError."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        save_atomically(path, self.to_json())

    @classmethod
    def load(cls, path: str) -> "Stats":
        """Counters kept by `save`; a missing or damaged file is a start from zero."""
        try:
            with open(path, "rb") as file:
                return cls.from_json(file.read())
        except (OSError, ValueError):  # msgspec's errors are ValueErrors
            return cls()


class ServerInfo(Struct, omit_defaults=True):
    """All that --show-stats shows.  Up to `basedirs` the field order is what scripts parse today; none of them may be left out."""

    stats: Stats
    cache_location: str
    cache_size: int | None
    max_cache_size: int | None
    use_preprocessor_cache_mode: bool
    version: str
    basedirs: list[str]
    notes: list[str] = field(default_factory=list)
    """Whole sentences for the user, such as a setting that has no effect yet; not in the JSON if there are none."""

    def to_json(self) -> bytes:
        """Compact JSON."""
        return render_json(self).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> "ServerInfo":
        """Read `to_json`; raises ValueError."""
        return msgspec.json.decode(data, type=cls)


def save_atomically(path: str, data: bytes) -> None:
    """Write beside, then rename: a reader or a crash sees the old file or the new one."""
    beside = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        with open(beside, "wb") as file:
            file.write(data)
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):  # it was never made
            os.unlink(beside)
        raise


def render_json(info: ServerInfo) -> str:
    """The JSON of --stats-format json: compact, no newline at the end."""
    shown = msgspec.structs.replace(
        info,
        cache_location=printable(info.cache_location),
        basedirs=[printable(path) for path in info.basedirs],
        notes=[printable(note) for note in info.notes],
    )
    return msgspec.json.encode(shown, order="deterministic").decode()


def printable(text: str) -> str:
    r"""Text with the bytes of a path that are not UTF-8 as `\xff`: JSON has no other place for them."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
