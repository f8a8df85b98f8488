"""Plain counters that the hot paths bump; the metrics page reads them."""

from collections import Counter
from typing import TypeVar

from common.histogram import Histogram

T = TypeVar("T")


def from_zero(*names: T) -> Counter[T]:
    """Return a counter that shows these before they happen: Prometheus sees no increase in what was not there."""
    return Counter(dict.fromkeys(names, 0))


class Counters:
    """What an edge has done since its start."""

    def __init__(self) -> None:
        self.opened_total: Counter[str] = Counter()
        self.closed_total: Counter[tuple[str, str]] = Counter()  # by transport and reason
        self.delivered_total: Counter[str] = Counter()
        self.bytes_total: Counter[str] = Counter()
        # Messages that reached us and nobody else, by reason.
        self.dropped_total = from_zero("too_large", "malformed", "receipt")
        self.repairs_total = from_zero("repaired", "reset")  # chain breaks, by result
        self.replays_total = from_zero("hit", "read", "reset")  # subscribers that went on from a position
        self.refused_total = from_zero(503)  # requests answered with an error, by status
        self.adopted_total = 0  # bare messages that we handed in and that are in the log, whoever was first
        # Bare messages that went out without a position, by reason.
        self.not_adopted_total = from_zero("refused", "unreachable", "too_many", "skipped")
        self.control_total: Counter[str] = Counter()  # requests of publishers and other edges, by operation
        self.skipped_total = 0  # slow readers that were taken forward to the newest message
        self.cut_total = from_zero("bytes", "seconds", "total")  # slow readers that were let go, by the limit crossed
        self.receipts_total = 0
        self.latency = Histogram()  # from a message's tag to the end of its fan-out
        self.fanout = Histogram()  # from the beginning of a fan-out job to its end
        self.loop_lag = Histogram()
        self.probe = Histogram()  # from a probe's publish to its coming back

    def held(self, transport: str) -> int:
        """Return how many subscribers are seated now."""
        gone = sum(count for (name, _), count in self.closed_total.items() if name == transport)
        return self.opened_total[transport] - gone

    def opened(self, transport: str) -> None:
        """A subscriber was seated."""
        self.opened_total[transport] += 1

    def closed(self, transport: str, reason: str) -> None:
        """A subscriber left or was answered."""
        self.closed_total[transport, reason] += 1

    def delivered(self, transport: str, messages: int, size: int) -> None:
        """So many messages, with all that is around them so many bytes, were written to subscribers."""
        self.delivered_total[transport] += messages
        self.bytes_total[transport] += size
