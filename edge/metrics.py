"""What an edge shows to Prometheus besides its counters: each gauge is one field (common/metrics/fields.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.metrics.fields import shown_as
from common.metrics.series import DRAINING, KEY_USES, REDIS_RECONNECTS, REDIS_UP, Series


@dataclass
class Gauges:
    """The values at the time of a scrape."""

    connections: Mapping[str, int] = field(
        metadata=shown_as(
            Series(
                "comet_connections",
                "gauge",
                "subscribers held now: `stream`, `sse`, `poll`, `jsonp`, `iframe`, `ws`",
                "near the limit; a sudden fall",
                ("transport",),
            )
        )
    )
    limit: int = field(
        metadata=shown_as(
            Series(
                "comet_connections_limit",
                "gauge",
                "subscribers that may be held: `COMET_MAX_CONNECTIONS`, or what the open files allow",
                "`comet_connections` above 80 % of it",
            )
        )
    )
    channels: int = field(
        metadata=shown_as(
            Series(
                "comet_channels",
                "gauge",
                "channels this edge is subscribed to in Redis, lingering ones too",
                "far above what your application has",
            )
        )
    )
    subscriptions: int = field(
        metadata=shown_as(
            Series("comet_subscriptions", "gauge", "subscribers in channels; one with three channels counts three")
        )
    )
    parked_bytes: int = field(
        metadata=shown_as(
            Series(
                "comet_parked_bytes",
                "gauge",
                "bytes kept for readers that are behind, each once",
                "near `COMET_SLOW_TOTAL_BYTES`",
            )
        )
    )
    input_bytes: int = field(
        metadata=shown_as(
            Series(
                "comet_input_bytes",
                "gauge",
                "bytes kept of requests and frames that are not complete or wait for their turn",
                "near `COMET_INPUT_BYTES`",
            )
        )
    )
    redis_up: bool = field(metadata=shown_as(REDIS_UP))
    redis_reconnects: int = field(metadata=shown_as(REDIS_RECONNECTS))
    draining: bool = field(metadata=shown_as(DRAINING))
    key_uses: Mapping[str, int] = field(metadata=shown_as(KEY_USES))
