import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from common.metrics import BOUNDS, Histogram


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
