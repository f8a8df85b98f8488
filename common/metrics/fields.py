"""Metrics as fields of a dataclass: a field declares the attribute, its series and its row in docs/metrics.md at once.

    @dataclass
    class Counters:
        skipped_total: int = counted(Series("comet_skipped_total", "counter", "slow readers that …"))
        cut_total: Counter[str] = counted(Series(…, labels=("limit",)), "bytes", "seconds")
        latency: Histogram = counted(Series("comet_delivery_latency_seconds", "histogram", …))

    @dataclass
    class Gauges:
        channels: int = field(metadata=shown_as(Series("comet_channels", "gauge", "channels that …")))

A counter starts empty and lives as long as the process. It is a plain attribute: an `int`, a `collections.Counter` by
label (by a tuple of labels if its series has several), or a `Histogram`. Code counts by `counters.skipped_total += 1`.
Gauges are looked up: their record is made anew for every scrape. `FieldCollector` shows both records to Prometheus.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, fields
from functools import partial
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from common.metrics.series import Histogram, Series

_SERIES = "series"


def shown_as(series: Series) -> dict[str, Series]:
    """Return the metadata of a field whose value Prometheus shows as a series."""
    return {_SERIES: series}


def counted(series: Series, *from_zero: object) -> Any:
    """Return a field that starts empty, of the type that the series asks for.

    `from_zero` are labels, or tuples of labels, that are shown before they are counted: Prometheus sees no increase in
    a series that did not exist.
    """
    start: Callable[[], object] = int
    if series.kind == "histogram":
        start = Histogram
    elif series.labels:
        start = partial(Counter, dict.fromkeys(from_zero, 0))
    return field(default_factory=start, metadata=shown_as(series))


def series_of(record: Any) -> tuple[Series, ...]:
    """Return the series of a record, or of its class, in the order of their fields."""
    return tuple(each.metadata[_SERIES] for each in fields(record))


class FieldCollector(Collector):
    """Shows a record of counters, and the record of gauges that `gauges` returns at each scrape."""

    def __init__(self, counters: Any, gauges: Callable[[], Any]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Yield every series with its value."""
        for record in (self._counters, self._gauges()):
            for each in fields(record):
                yield _metric(each.metadata[_SERIES], getattr(record, each.name))


def _metric(series: Series, value: Any) -> Metric:
    if isinstance(value, Histogram):
        return series.times(value)
    return series.values(value) if isinstance(value, Mapping) else series.value(value)
