"""What GET /metrics tells: counters, gauges and histograms of scheduler and workers, as Prometheus reads them.

Families are rows of a table in the module that counts; counting is one addition in a dictionary, and what can be read off a state is
read when it is asked for.  prometheus_client makes the text.

Owns: the numbers, and that none is counted which no table has.  Must not know: what is counted, HTTP.
Source: prometheus.io/docs/instrumenting/exposition_formats, and its naming rules (seconds, bytes, `_total`).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
"""Upper bounds of a histogram of times."""
Labels = tuple[str, ...]
Source = Callable[[], Mapping[Labels, float]]


class Family(Struct, frozen=True):
    """One name.  Counters' names end with `_total`; a histogram has bounds and no labels."""

    name: str
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()
    expected: tuple[Labels, ...] = ()
    """Label values that are there with zero from the start: a rate needs a beginning."""


class Metrics(Collector):
    """The numbers of one process."""

    def __init__(self, families: Iterable[Family]) -> None:
        """Nothing is counted yet."""
        self._families = {family.name: family for family in families}
        self._values: dict[str, dict[Labels, float]] = {
            name: dict.fromkeys(family.expected or (() if family.labels else ((),)), 0.0) for name, family in self._families.items()
        }
        self._sources: dict[str, Source] = {}
        self._buckets = {name: [0] * (len(family.bounds) + 1) for name, family in self._families.items() if family.bounds}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Something happened; KeyError if there is no such family."""
        values = self._values[name]
        values[labels] = values.get(labels, 0.0) + by

    def observe(self, name: str, value: float) -> None:
        """A histogram's value."""
        self._buckets[name][bisect_left(self._families[name].bounds, value)] += 1
        self._values[name][()] += value

    def watch(self, name: str, source: Source) -> None:
        """A family whose values are asked for at each reading."""
        if name not in self._families:
            raise KeyError(name)
        self._sources[name] = source

    def value(self, name: str, *labels: str) -> float:
        """Of a counter or gauge; 0 if it was never counted."""
        source = self._sources.get(name)
        return (self._values[name] if source is None else source()).get(labels, 0.0)

    def text(self) -> bytes:
        """All of it, with CONTENT_TYPE."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Registering reads nothing."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client wants it."""
        for family in self._families.values():
            if family.bounds:
                yield self._histogram(family)
                continue
            source = self._sources.get(family.name)
            kind = CounterMetricFamily if family.name.endswith("_total") else GaugeMetricFamily
            metric = kind(family.name, family.help, labels=family.labels)
            for labels, value in sorted((self._values[family.name] if source is None else source()).items()):
                metric.add_metric(labels, value)
            yield metric

    def _histogram(self, family: Family) -> Metric:
        metric = HistogramMetricFamily(family.name, family.help)
        total, buckets = 0, []
        for bound, number in zip((*map(str, family.bounds), "+Inf"), self._buckets[family.name], strict=True):
            total += number
            buckets.append((bound, float(total)))
        metric.add_metric((), buckets, self._values[family.name][()])
        return metric
