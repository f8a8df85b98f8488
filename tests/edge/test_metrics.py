"""What an edge shows to Prometheus besides its counters."""

from prometheus_client import CollectorRegistry

from common.metrics.fields import FieldCollector, series_of
from edge.counters import Counters
from edge.metrics import Gauges


def test_each_gauge_is_a_series_of_its_own_name() -> None:
    """The names are an interface of dashboards and alerts."""
    assert [series.name for series in series_of(Gauges)] == [
        "comet_connections",
        "comet_connections_limit",
        "comet_channels",
        "comet_subscriptions",
        "comet_parked_bytes",
        "comet_input_bytes",
        "comet_redis_up",
        "comet_redis_reconnects_total",
        "comet_draining",
        "comet_key_uses_total",
    ]


def test_gauges_are_shown_with_the_values_of_their_scrape() -> None:
    """Numbers as they are, conditions as 0 or 1, connections by transport."""
    gauges = Gauges(
        connections={"stream": 3, "ws": 0},
        limit=1000,
        channels=2,
        subscriptions=4,
        parked_bytes=17,
        input_bytes=18,
        redis_up=True,
        redis_reconnects=5,
        draining=False,
        key_uses={},
    )
    registry = CollectorRegistry()
    registry.register(FieldCollector(Counters(), lambda: gauges))
    assert registry.get_sample_value("comet_connections", {"transport": "stream"}) == 3
    assert registry.get_sample_value("comet_connections", {"transport": "ws"}) == 0
    assert registry.get_sample_value("comet_parked_bytes") == 17
    assert registry.get_sample_value("comet_input_bytes") == 18
    assert registry.get_sample_value("comet_redis_up") == 1
    assert registry.get_sample_value("comet_redis_reconnects_total") == 5
    assert registry.get_sample_value("comet_draining") == 0
