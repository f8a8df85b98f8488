"""The edge's numbers, for Prometheus; what each means is said in `edge.series`."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from common import metrics as common_series
from edge import series
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
        yield from _looked_up(self._gauges())
        yield from _counted(self._counters)
        yield from _timed(self._counters)


def _looked_up(gauges: Gauges) -> Iterator[Metric]:
    yield series.LIMIT.value(gauges.limit)
    yield series.CHANNELS.value(gauges.channels)
    yield series.SUBSCRIPTIONS.value(gauges.subscriptions)
    yield series.PARKED.value(gauges.parked_bytes)
    yield common_series.DRAINING.value(gauges.draining)
    yield common_series.REDIS_UP.value(gauges.redis_up)
    yield common_series.REDIS_RECONNECTS.value(gauges.redis_reconnects)


def _counted(counters: Counters) -> Iterator[Metric]:
    yield series.CONNECTIONS.values({transport: counters.held(transport) for transport in TRANSPORTS})
    yield series.OPENED.values(counters.opened_total)
    yield series.CLOSED.values(counters.closed_total)
    yield series.DELIVERED.values(counters.delivered_total)
    yield series.BYTES.values(counters.bytes_total)
    yield series.CUT.values(counters.cut_total)
    yield series.SKIPPED.value(counters.skipped_total)
    yield series.DROPPED.values(counters.dropped_total)
    yield series.REPAIRS.values(counters.repairs_total)
    yield series.REPLAY.values(counters.replays_total)
    yield series.ADOPTED.value(counters.adopted_total)
    yield series.NOT_ADOPTED.values(counters.not_adopted_total)
    yield series.RECEIPTS.value(counters.receipts_total)
    yield series.CONTROL.values(counters.control_total)
    yield series.REFUSED.values(counters.refused_total)


def _timed(counters: Counters) -> Iterator[Metric]:
    yield series.LATENCY.times(counters.latency)
    yield series.FANOUT.times(counters.fanout)
    yield common_series.LOOP_LAG.times(counters.loop_lag)
    yield common_series.REDIS_PROBE.times(counters.probe)
