"""What the publisher shows to Prometheus: each metric is one field, see `common.metrics.fields`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.metrics.fields import counted, shown_as
from common.metrics.series import (
    DRAINING,
    FOREIGN_REQUESTS,
    KEY_USES,
    LOOP_LAG,
    REDIS_PROBE,
    REDIS_RECONNECTS,
    REDIS_UP,
    Histogram,
    Series,
)

SOURCE = "http"  # the only way to publish that passes through here


@dataclass
class Counters:
    """What a publisher has done since its start."""

    duration: Histogram = counted(
        Series(
            "comet_publish_duration_seconds",
            "histogram",
            "seconds of one pipeline of messages to Redis, without the wait for receipts",
            "above 10 ms: Redis is busy",
        )
    )
    published_total: Counter[tuple[str, int]] = counted(
        Series(
            "comet_publish_total",
            "counter",
            "messages, by the HTTP status of each result; `source` is `http`",
            '`code="503"`',
            ("source", "code"),
        ),
        (SOURCE, 200),
        (SOURCE, 503),
    )
    unreadable_total: int = counted(
        Series(
            "comet_announcements_unreadable_total",
            "counter",
            "announcements that no edge can have made, so that the dashboard leaves them out; once for each look",
            "any: another program writes to the keys of this deployment",
        )
    )
    loop_lag: Histogram = counted(LOOP_LAG)
    probe: Histogram = counted(REDIS_PROBE)
    foreign_total: Counter[int] = counted(FOREIGN_REQUESTS, 403, 421)

    def unreadable(self, number: int) -> None:
        """Count announcements that cannot be read."""
        self.unreadable_total += number

    def published(self, status: int) -> None:
        """Count one message, or one request that could not be read, by the HTTP status it was answered with."""
        self.published_total[SOURCE, status] += 1


@dataclass
class Gauges:
    """What is looked up at every scrape."""

    receipts_ignored: int = field(
        metadata=shown_as(
            Series(
                "comet_receipts_ignored_total",
                "counter",
                "answers of edges that came after 250 ms, or were no answers",
                "rises: an edge or Redis is slow",
            )
        )
    )
    tails: int = field(
        metadata=shown_as(
            Series("comet_tails", "gauge", "pages of operators that follow a channel", "near 32: more are turned away")
        )
    )
    redis_up: bool = field(metadata=shown_as(REDIS_UP))
    redis_reconnects: int = field(metadata=shown_as(REDIS_RECONNECTS))
    draining: bool = field(metadata=shown_as(DRAINING))
    key_uses: Mapping[str, int] = field(metadata=shown_as(KEY_USES))
