from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from common.metrics.fields import FieldCollector, counted, series_of, shown_as
from common.metrics.series import Histogram, Series

SKIPPED = Series("skipped_total", "counter", "skipped")
CUT = Series("cut_total", "counter", "cut", labels=("limit",))
CLOSED = Series("closed_total", "counter", "closed", labels=("transport", "reason"))
WAIT = Series("wait_seconds", "histogram", "waited")
OPEN = Series("open", "gauge", "open now")
HELD = Series("held", "gauge", "held now", labels=("transport",))


@dataclass
class Counters:
    """One counter of each type."""

    skipped_total: int = counted(SKIPPED)
    cut_total: Counter[str] = counted(CUT, "bytes", "seconds")
    closed_total: Counter[tuple[str, str]] = counted(CLOSED)
    wait: Histogram = counted(WAIT)


@dataclass
class Gauges:
    """One gauge without labels, and one with."""

    open: bool = field(metadata=shown_as(OPEN))
    held: Mapping[str, int] = field(metadata=shown_as(HELD))


def registry_of(counters: Counters) -> CollectorRegistry:
    """Return a registry that shows the counters, and gauges that do not change."""
    registry = CollectorRegistry()
    registry.register(FieldCollector(counters, lambda: Gauges(open=True, held={"sse": 3})))
    return registry


def test_what_is_counted_is_shown() -> None:
    """A counter is a plain attribute of the type its series asks for, and its value reaches the registry."""
    counters = Counters()
    registry = registry_of(counters)
    counters.skipped_total += 2
    counters.cut_total["bytes"] += 1
    counters.closed_total["sse", "client"] += 4
    counters.wait.observe(0.5)
    assert registry.get_sample_value("skipped_total") == 2
    assert registry.get_sample_value("cut_total", {"limit": "bytes"}) == 1
    assert registry.get_sample_value("closed_total", {"transport": "sse", "reason": "client"}) == 4
    assert registry.get_sample_value("wait_seconds_count") == 1


def test_a_counter_starts_at_zero_and_named_labels_are_shown_from_zero() -> None:
    """Labels that are named are there before they are counted, others are not."""
    registry = registry_of(Counters())
    assert registry.get_sample_value("skipped_total") == 0
    assert registry.get_sample_value("cut_total", {"limit": "seconds"}) == 0
    assert registry.get_sample_value("cut_total", {"limit": "total"}) is None


def test_two_records_share_nothing() -> None:
    """What one record counts, another does not."""
    first, second = Counters(), Counters()
    first.cut_total["bytes"] += 1
    first.wait.observe(1.0)
    assert (second.cut_total["bytes"], second.wait.count) == (0, 0)


def test_gauges_are_looked_up() -> None:
    """A gauge shows the value of its record, by label if it has one."""
    registry = registry_of(Counters())
    assert registry.get_sample_value("open") == 1
    assert registry.get_sample_value("held", {"transport": "sse"}) == 3


def test_the_series_come_in_the_order_of_the_fields() -> None:
    """A record and its class tell the same series: the tables of docs/metrics.md are made from the class."""
    assert series_of(Counters) == series_of(Counters()) == (SKIPPED, CUT, CLOSED, WAIT)
    assert series_of(Gauges) == (OPEN, HELD)
