import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from common.metrics.series import BOUNDS, OF_EVERY_PROCESS, Histogram, Series


def values(histogram: Histogram) -> dict[str, float]:
    """Return its samples by bound, with `sum` and `count`."""
    found = {}
    for sample in histogram.series("wait_seconds", "Waited.").samples:
        found[sample.labels.get("le", sample.name.rpartition("_")[2])] = sample.value
    return found


def test_each_bound_counts_what_was_so_long_or_shorter() -> None:
    """Buckets are cumulative, and a duration that equals a bound belongs to it."""
    histogram = Histogram()
    for seconds in (0.0, 0.001, 0.0011, 9.0, 60.0):
        histogram.observe(seconds)
    counted = values(histogram)
    assert (counted["0.0005"], counted["0.001"], counted["0.002"], counted["10.0"], counted["+Inf"]) == (1, 2, 3, 4, 5)
    assert (counted["count"], counted["sum"]) == (5, pytest.approx(69.0021))
    assert histogram.count == 5


def test_prometheus_gets_every_bound_even_of_an_empty_one() -> None:
    """A rate over a histogram that has seen nothing is 0, not missing."""

    class One(Collector):
        def collect(self) -> list[HistogramMetricFamily]:
            return [Histogram().series("wait_seconds", "Waited.")]

    registry = CollectorRegistry()
    registry.register(One())
    text = generate_latest(registry).decode()
    assert text.count("wait_seconds_bucket{") == len(BOUNDS) + 1
    assert 'wait_seconds_bucket{le="+Inf"} 0.0\n' in text
    assert "wait_seconds_sum 0.0\n" in text


def samples(metric: Metric) -> list[tuple[str, dict[str, str], float]]:
    """Return the samples of a metric."""
    return [(sample.name, sample.labels, sample.value) for sample in metric.samples]


def test_a_series_without_labels_has_one_value() -> None:
    """A counter's name ends with `_total`, a gauge's is as it is; the meaning is the HELP text."""
    gauge = Series("seats", "gauge", "held connections").value(3)
    assert (gauge.type, gauge.documentation, samples(gauge)) == ("gauge", "held connections", [("seats", {}, 3)])
    counter = Series("sent_total", "counter", "messages").value(4)
    assert (counter.type, samples(counter)) == ("counter", [("sent_total", {}, 4)])


def test_a_series_with_labels_has_a_value_for_each() -> None:
    """One label or a tuple of them, sorted; a label that is a number is shown as text."""
    one = Series("refused_total", "counter", "requests", labels=("status",))
    assert samples(one.values({503: 2, 404: 1})) == [
        ("refused_total", {"status": "404"}, 1),
        ("refused_total", {"status": "503"}, 2),
    ]
    two = Series("closed_total", "counter", "connections", labels=("transport", "reason"))
    assert samples(two.values({("sse", "left"): 5})) == [("closed_total", {"transport": "sse", "reason": "left"}, 5)]


def test_a_series_of_a_histogram_has_its_counts() -> None:
    """Under the name of the series."""
    histogram = Histogram()
    histogram.observe(0.3)
    names = {name: value for name, _, value in samples(Series("wait_seconds", "histogram", "waits").times(histogram))}
    assert (names["wait_seconds_count"], names["wait_seconds_sum"]) == (1, 0.3)


def test_the_series_of_every_process_have_different_names() -> None:
    """Prometheus would mix two of one name."""
    assert len({series.name for series in OF_EVERY_PROCESS}) == len(OF_EVERY_PROCESS)
