"""What the publisher counts, for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.build_info import register_build_info

BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)


class Metrics:
    """The publisher's series, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.duration = Histogram(
            "comet_publish_duration_seconds",
            "Seconds of one call of the publish script, without the wait for receipts.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._published = Counter(
            "comet_publish",
            "Messages that were to be published, by the HTTP status of each one's result.",
            ("source", "code"),
            registry=self.registry,
        )
        register_build_info(self.registry)

    def count(self, code: int) -> None:
        """Count one message, or one request that could not be read, by the status it was answered with."""
        self._published.labels("http", str(code)).inc()

    def watch(self, up: Callable[[], bool], reconnects: Callable[[], int], ignored: Callable[[], int]) -> None:
        """Read these at every scrape: is Redis up, how often did we reconnect, how many receipts were no use."""
        self.registry.register(_Watched(up, reconnects, ignored))


class _Watched(Collector):
    def __init__(self, up: Callable[[], bool], reconnects: Callable[[], int], ignored: Callable[[], int]) -> None:
        self._up, self._reconnects, self._ignored = up, reconnects, ignored

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("comet_redis_up", "1 if a probe came back lately.", value=self._up())
        yield CounterMetricFamily("comet_redis_reconnects", "Connections to Redis lost.", value=self._reconnects())
        yield CounterMetricFamily("comet_receipts_ignored", "Late or bad answers of edges.", value=self._ignored())
