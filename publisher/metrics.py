"""What the publisher counts, for Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.histogram import Histogram
from common.process import register_process


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
        text = "Messages that were to be published, by the HTTP status of each one's result."
        published = CounterMetricFamily("comet_publish", text, labels=["source", "code"])
        for code, count in sorted(self._published.items()):
            published.add_metric(["http", str(code)], count)
        yield published
        gauges = self._gauges()
        yield GaugeMetricFamily("comet_redis_up", "1 if a probe came back lately.", value=gauges.redis_up)
        lost = "Connections to Redis lost."
        yield CounterMetricFamily("comet_redis_reconnects", lost, value=gauges.redis_reconnects)
        ignored = "Late or bad answers of edges."
        yield CounterMetricFamily("comet_receipts_ignored", ignored, value=gauges.receipts_ignored)
        yield GaugeMetricFamily("comet_tails", "Pages that follow a channel.", value=gauges.tails)
        yield GaugeMetricFamily("comet_draining", "1 while it waits for its end.", value=gauges.draining)
        duration = "Seconds of one call of the publish script, without the wait for receipts."
        yield self.duration.series("comet_publish_duration_seconds", duration)
        yield self.loop_lag.series("comet_event_loop_lag_seconds", "Seconds that a timer was late.")
        yield self.probe.series("comet_redis_probe_seconds", "Seconds from a probe's publish to its coming back.")
