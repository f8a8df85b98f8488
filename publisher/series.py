"""The series that only publishers show; see `common.series` for what a series is, and docs/metrics.md for the page."""

from common.metrics import OF_EVERY_PROCESS, Series

DURATION = Series(
    "comet_publish_duration_seconds",
    "histogram",
    "seconds of one call of Redis, without the wait for receipts",
    "above 10 ms: Redis is busy",
)
PUBLISHED = Series(
    "comet_publish_total",
    "counter",
    "messages, by the HTTP status of each result; `source` is `http`",
    '`code="503"`',
    ("source", "code"),
)
IGNORED = Series(
    "comet_receipts_ignored_total",
    "counter",
    "answers of edges that came after 250 ms, or were no answers",
    "rises: an edge or Redis is slow",
)
TAILS = Series("comet_tails", "gauge", "pages of operators that follow a channel", "near 32: more are turned away")

OF_A_PUBLISHER = (DURATION, PUBLISHED, IGNORED, TAILS, *OF_EVERY_PROCESS)
