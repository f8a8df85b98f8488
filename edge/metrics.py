"""The edge's numbers as Prometheus series; see docs/metrics.md for what each means."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.counters import Counters
from edge.framing import TRANSPORTS


class Gauges(NamedTuple):
    """What is looked up, not counted."""

    channels: int
    subscriptions: int
    redis_up: bool
    redis_reconnects: int
    parked_bytes: int
    draining: bool
    limit: int


class EdgeCollector(Collector):
    """Turns the counters into series when somebody asks for them."""

    def __init__(self, counters: Counters, gauges: Callable[[], Gauges]) -> None:
        self._counters = counters
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """Yield every series."""
        counters, gauges = self._counters, self._gauges()
        held = GaugeMetricFamily("comet_connections", "Connections held now.", labels=["transport"])
        for transport in TRANSPORTS:
            held.add_metric([transport], counters.held(transport))
        yield held
        limit = "Connections that may be held; beyond, newcomers are turned away."
        yield GaugeMetricFamily("comet_connections_limit", limit, value=gauges.limit)
        yield GaugeMetricFamily("comet_draining", "1 while everybody is sent away.", value=int(gauges.draining))
        yield GaugeMetricFamily("comet_channels", "Channels subscribed in Redis.", value=gauges.channels)
        yield GaugeMetricFamily("comet_subscriptions", "Seats in channels.", value=gauges.subscriptions)
        yield GaugeMetricFamily("comet_redis_up", "1 if a probe came back lately.", value=int(gauges.redis_up))
        yield CounterMetricFamily("comet_redis_reconnects", "Redis connections lost.", value=gauges.redis_reconnects)
        yield CounterMetricFamily("comet_receipts", "Receipts and replies sent.", value=counters.receipts_total)
        yield GaugeMetricFamily("comet_parked_bytes", "Bytes kept for slow readers.", value=gauges.parked_bytes)
        yield CounterMetricFamily("comet_skipped", "Slow readers taken to the newest.", value=counters.skipped_total)
        yield from _counted(counters)
        yield from _timed(counters)


def _counted(counters: Counters) -> Iterator[Metric]:
    yield _counter("comet_connections_opened", "Subscribers seated.", ["transport"], counters.opened_total)
    yield _counter("comet_connections_closed", "Subscribers gone.", ["transport", "reason"], counters.closed_total)
    yield _counter("comet_messages_delivered", "Messages written.", ["transport"], counters.delivered_total)
    yield _counter("comet_bytes_sent", "Bytes written to subscribers.", ["transport"], counters.bytes_total)
    yield _counter("comet_slow_readers_cut", "Slow readers let go, by the limit.", ["limit"], counters.cut_total)
    yield _counter("comet_messages_dropped", "Messages from Redis not passed on.", ["reason"], counters.dropped_total)
    yield _counter("comet_repairs", "Holes found in a channel.", ["result"], counters.repairs_total)
    yield _counter("comet_replay", "Subscribers that went on from a position.", ["result"], counters.replays_total)
    yield _counter("comet_not_adopted", "Plain messages without a position.", ["reason"], counters.not_adopted_total)
    yield _counter("comet_control", "Requests of publishers and other edges.", ["op"], counters.control_total)
    yield _counter("comet_requests_refused", "Requests answered with an error.", ["code"], counters.refused_total)


def _timed(counters: Counters) -> Iterator[Metric]:
    latency = "Seconds from a message's tag to the write to its last subscriber, once for each fan-out."
    yield counters.latency.series("comet_delivery_latency_seconds", latency)
    fanout = "Seconds from the beginning of a fan-out to its end."
    yield counters.fanout.series("comet_fanout_duration_seconds", fanout)
    yield counters.loop_lag.series("comet_event_loop_lag_seconds", "Seconds that a timer was late.")
    yield counters.probe.series("comet_redis_probe_seconds", "Seconds from a probe's publish to its coming back.")


def _counter(name: str, text: str, labels: list[str], values: Mapping[Any, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items(), key=str):
        family.add_metric([str(part) for part in _parts(key)], value)
    return family


def _parts(key: object) -> Iterable[object]:
    return key if isinstance(key, tuple) else (key,)
