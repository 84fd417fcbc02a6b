"""The numbers of scheduler and workers, read back by Prometheus' own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sccache.dist.metrics import Family, Metrics

FAMILIES = (
    Family("x_requests_total", "Requests.", ("reason",), expected=(("never",),)),
    Family("x_plain_total", "No labels."),
    Family("x_size", "Something that is now.", ("where",)),
    Family("x_wait_seconds", "A time.", bounds=(0.1, 1.0)),
)


def read(metrics: Metrics) -> dict[str, float]:
    """Sample with labels → value."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        assert family.documentation
        for sample in family.samples:
            found[sample.name + "".join(f" {key}={value}" for key, value in sample.labels.items())] = sample.value
    return found


def test_counters_start_at_zero():
    """A first increase is seen as one only if there was a value before; labels of a gauge are there when there is something."""
    assert read(Metrics(FAMILIES)) == {
        "x_requests_total reason=never": 0,
        "x_plain_total": 0,
        "x_wait_seconds_bucket le=0.1": 0,
        "x_wait_seconds_bucket le=1.0": 0,
        "x_wait_seconds_bucket le=+Inf": 0,
        "x_wait_seconds_count": 0,
        "x_wait_seconds_sum": 0,
    }


def test_counting():
    """By label; no other series come with it, as those with the time of creation would."""
    metrics = Metrics(FAMILIES)
    metrics.count("x_requests_total", "bad token")
    metrics.count("x_requests_total", "bad token", by=2)
    metrics.count("x_plain_total")
    assert metrics.value("x_requests_total", "bad token") == 3
    assert metrics.value("x_requests_total", "other") == 0
    found = read(metrics)
    assert (found["x_requests_total reason=bad token"], found["x_plain_total"]) == (3, 1)
    assert not [name for name in found if "created" in name]


def test_histogram():
    """Buckets contain those below; a value on a bound belongs to it."""
    metrics = Metrics(FAMILIES)
    for value in (0.05, 0.1, 0.5, 7.0):
        metrics.observe("x_wait_seconds", value)
    found = {name.removeprefix("x_wait_seconds_"): value for name, value in read(metrics).items() if "wait" in name}
    assert found == {"bucket le=0.1": 2, "bucket le=1.0": 3, "bucket le=+Inf": 4, "count": 4, "sum": pytest.approx(7.65)}


def test_what_is_watched_is_read_each_time():
    """And labels of any text come back as they were."""
    metrics, sizes = Metrics(FAMILIES), {}
    metrics.watch("x_size", lambda: sizes)
    sizes['a "b"\\\n',] = 5.0
    assert read(metrics)['x_size where=a "b"\\\n'] == 5
    sizes.clear()
    assert not [name for name in read(metrics) if name.startswith("x_size")]
    assert metrics.value("x_size", "a") == 0


@pytest.mark.parametrize("use", [lambda m: m.count("y"), lambda m: m.observe("y", 1.0), lambda m: m.watch("y", dict)])
def test_only_what_the_table_has(use):
    """A name with a typing error would be a number that nobody finds."""
    with pytest.raises(KeyError):
        use(Metrics(FAMILIES))
