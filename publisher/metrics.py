"""What the publisher counts, for Prometheus; what each series means is said in `publisher.series`."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from common import metrics as common_series
from common.histogram import Histogram
from common.service.process import register_process
from publisher import series


class Gauges(NamedTuple):
    """What is looked up at every scrape; `receipts_ignored` are answers of edges that were no use."""

    redis_up: bool
    redis_reconnects: int
    receipts_ignored: int
    tails: int
    draining: bool


class Metrics(Collector):
    """The publisher's series, in a registry of its own."""

    def __init__(self, gauges: Callable[[], Gauges]) -> None:
        self.duration, self.loop_lag, self.probe = Histogram(), Histogram(), Histogram()
        self.registry = CollectorRegistry()
        self._gauges = gauges
        self._published = Counter({200: 0, 503: 0})  # from 0: Prometheus sees no increase in what was not there
        register_process(self.registry)
        self.registry.register(self)

    def count(self, code: int) -> None:
        """Count one message, or one request that could not be read, by the status it was answered with."""
        self._published[code] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield every series."""
        gauges = self._gauges()
        yield series.DURATION.times(self.duration)
        yield series.PUBLISHED.values({("http", code): count for code, count in self._published.items()})
        yield series.IGNORED.value(gauges.receipts_ignored)
        yield series.TAILS.value(gauges.tails)
        yield common_series.REDIS_UP.value(gauges.redis_up)
        yield common_series.REDIS_RECONNECTS.value(gauges.redis_reconnects)
        yield common_series.LOOP_LAG.times(self.loop_lag)
        yield common_series.REDIS_PROBE.times(self.probe)
        yield common_series.DRAINING.value(gauges.draining)
