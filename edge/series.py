"""The series that only edges show; see `common.series` for what a series is, and docs/metrics.md for the page."""

from common.metrics import OF_EVERY_PROCESS, Series

CONNECTIONS = Series(
    "comet_connections",
    "gauge",
    "subscribers held now: `stream`, `sse`, `poll`, `jsonp`, `iframe`, `ws`",
    "near the limit; a sudden fall",
    ("transport",),
)
LIMIT = Series(
    "comet_connections_limit",
    "gauge",
    "subscribers that may be held: `COMET_MAX_CONNECTIONS`, or what the open files allow",
    "`comet_connections` above 80 % of it",
)
CHANNELS = Series(
    "comet_channels",
    "gauge",
    "channels this edge is subscribed to in Redis, lingering ones too",
    "far above what your application has",
)
SUBSCRIPTIONS = Series("comet_subscriptions", "gauge", "subscribers in channels; one with three channels counts three")
OPENED = Series(
    "comet_connections_opened_total",
    "counter",
    "subscribers seated",
    "a jump: clients reconnect together",
    ("transport",),
)
CLOSED = Series(
    "comet_connections_closed_total",
    "counter",
    "subscribers gone, see below",
    "`slow`, `error`, `unavailable` rise",
    ("transport", "reason"),
)
DELIVERED = Series(
    "comet_messages_delivered_total",
    "counter",
    "messages handed to the kernel, one per subscriber",
    "0 while messages are published",
    ("transport",),
)
BYTES = Series(
    "comet_bytes_sent_total",
    "counter",
    "bytes written to subscribers: heads, welcomes, messages, heartbeats",
    "near what the network carries",
    ("transport",),
)
PARKED = Series(
    "comet_parked_bytes", "gauge", "bytes kept for readers that are behind", "near `COMET_SLOW_TOTAL_BYTES`"
)
CUT = Series(
    "comet_slow_readers_cut_total",
    "counter",
    "slow readers let go, by what they crossed: `bytes` (`COMET_SLOW_BYTES`), `seconds`, `total`",
    "`total` rises: one edge has too many of them",
    ("limit",),
)
SKIPPED = Series(
    "comet_skipped_total",
    "counter",
    "slow readers taken forward to the newest message (`COMET_SLOW_POLICY=latest`)",
    "rises: clients cannot take so much",
)
DROPPED = Series(
    "comet_messages_dropped_total",
    "counter",
    "messages from Redis that were not passed on: `too_large` (a plain PUBLISH over the limit), `malformed` (looks "
    "like our frame and is not), `receipt` (a receipt or reply could not be sent)",
    "any `malformed`; `too_large`: tell the publisher",
    ("reason",),
)
REPAIRS = Series(
    "comet_repairs_total",
    "counter",
    "holes found in a channel: `repaired` from the history, or `reset`",
    "any `reset` that nobody can explain: Redis lost data",
    ("result",),
)
REPLAY = Series(
    "comet_replay_total",
    "counter",
    "subscribers that went on from a position: `hit` from memory, `read` from Redis, `reset`",
    "`reset` rises: clients are away longer than the history",
    ("result",),
)
ADOPTED = Series(
    "comet_adopted_total",
    "counter",
    "plain messages that got a position; each edge that has the channel counts them",
    "0 while others PUBLISH",
)
NOT_ADOPTED = Series(
    "comet_not_adopted_total",
    "counter",
    "plain messages that went out without a position: `refused` by Redis, `unreachable`, "
    "`too_many`, `skipped` (another edge had to send it out so)",
    "any",
    ("reason",),
)
RECEIPTS = Series(
    "comet_receipts_total", "counter", "receipts sent to publishers, and replies to what the edge was asked"
)
CONTROL = Series(
    "comet_control_total",
    "counter",
    "requests of publishers and other edges over Redis, by operation (`info`, `close`, `broadcast`, `change`); "
    "`refused`: not known here or too many; `malformed`",
    "`refused` after an upgrade of all; any `malformed`",
    ("op",),
)
REFUSED = Series(
    "comet_requests_refused_total",
    "counter",
    "requests answered with an error status",
    "503: full, or no Redis. 400 in numbers: a broken client",
    ("code",),
)
LATENCY = Series(
    "comet_delivery_latency_seconds",
    "histogram",
    "seconds from a message's publish to the write to its last subscriber here, once for each fan-out",
    "p99 above what you promise",
)
FANOUT = Series(
    "comet_fanout_duration_seconds",
    "histogram",
    "seconds from the first write of a fan-out to its last",
    "the greater part of the latency: too many subscribers for one process",
)

OF_AN_EDGE = (
    CONNECTIONS,
    LIMIT,
    CHANNELS,
    SUBSCRIPTIONS,
    OPENED,
    CLOSED,
    DELIVERED,
    BYTES,
    PARKED,
    CUT,
    SKIPPED,
    DROPPED,
    REPAIRS,
    REPLAY,
    ADOPTED,
    NOT_ADOPTED,
    RECEIPTS,
    CONTROL,
    REFUSED,
    LATENCY,
    FANOUT,
    *OF_EVERY_PROCESS,
)
