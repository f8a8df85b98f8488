"""What an edge counts: each counter is one field, which describes its series (common/metrics/fields.py)."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

from common.metrics.fields import counted
from common.metrics.series import FOREIGN_REQUESTS, LOOP_LAG, REDIS_PROBE, Histogram, Series


class CloseReason(StrEnum):
    """Why a connection ends or a poll is answered: the label `reason` of `comet_connections_closed_total`."""

    ANSWERED = "answered"  # a poll got its answer
    CHANGED = "changed"  # the channels of a poll change: it is attached again
    CLIENT = "client"  # the client closed it, or it broke
    CLOSED = "closed"  # the publisher closed the channel's connections
    DRAIN = "drain"  # the edge stops
    ERROR = "error"  # the client broke the protocol, or there is a bug
    IDLE = "idle"  # no request arrived
    MAX_AGE = "max_age"
    REFUSED = "refused"  # its last request got an error
    SHED = "shed"  # an operator asked for fewer connections
    SLOW = "slow"  # it reads too slowly
    TOKEN = "token"  # noqa: S105  # its token has expired
    UNAVAILABLE = "unavailable"  # it is rejected: the edge is full, drains, or has no Redis


ANSWERED = CloseReason.ANSWERED  # a global costs a fifth of an attribute of an Enum, and this is per poll


@dataclass
class Counters:
    """What an edge has done since its start; the hot paths count by plain attributes."""

    opened_total: Counter[str] = counted(
        Series(
            "comet_connections_opened_total",
            "counter",
            "subscribers that were held",
            "a jump: clients reconnect together",
            ("transport",),
        ),
    )
    closed_total: Counter[tuple[str, CloseReason]] = counted(
        Series(
            "comet_connections_closed_total",
            "counter",
            "subscribers that are no longer held, see below",
            "`slow`, `error`, `unavailable` rise",
            ("transport", "reason"),
        ),
    )
    delivered_total: Counter[str] = counted(
        Series(
            "comet_messages_delivered_total",
            "counter",
            "messages handed to the kernel, one per subscriber",
            "0 while messages are published",
            ("transport",),
        ),
    )
    bytes_total: Counter[str] = counted(
        Series(
            "comet_bytes_sent_total",
            "counter",
            "bytes written to subscribers: heads, welcomes, messages, heartbeats",
            "near what the network carries",
            ("transport",),
        ),
    )
    cut_total: Counter[str] = counted(
        Series(
            "comet_slow_readers_cut_total",
            "counter",
            "slow readers evicted, polls too, by the limit that they crossed: `bytes` (`COMET_SLOW_BYTES`), `seconds` "
            "(`COMET_SLOW_RATE`), `total`",
            "`total` rises: one edge has too many of them",
            ("limit",),
        ),
        "bytes",
        "seconds",
        "total",
    )
    skipped_total: int = counted(
        Series(
            "comet_skipped_total",
            "counter",
            "times that a slow reader skipped to the newest message (`COMET_SLOW_POLICY=latest`)",
            "rises: clients read less than is published",
        ),
    )
    dropped_total: Counter[str] = counted(
        Series(
            "comet_messages_dropped_total",
            "counter",
            "messages from Redis that were not delivered: `too_large` (a plain PUBLISH over the limit), `malformed` "
            "(begins like a frame of the cluster and is none), `receipt` (a receipt or reply could not be sent)",
            "any `malformed`; `too_large`: tell the publisher",
            ("reason",),
        ),
        "too_large",
        "malformed",
        "receipt",
    )
    repairs_total: Counter[str] = counted(
        Series(
            "comet_repairs_total",
            "counter",
            "holes found in a channel: `repaired` from the history, or `reset`",
            "any `reset` without a known cause: Redis lost data",
            ("result",),
        ),
        "repaired",
        "reset",
    )
    replays_total: Counter[str] = counted(
        Series(
            "comet_replay_total",
            "counter",
            "subscribers that went on from a position: `hit` from memory, `read` from Redis, `reset`",
            "`reset` rises: clients are away longer than the history",
            ("result",),
        ),
        "hit",
        "read",
        "reset",
    )
    adopted_total: int = counted(
        Series(
            "comet_adopted_total",
            "counter",
            "plain messages that got a position; each edge that has the channel counts them",
            "0 while others PUBLISH",
        ),
    )
    not_adopted_total: Counter[str] = counted(
        Series(
            "comet_not_adopted_total",
            "counter",
            "plain messages that went out without a position: `refused` by Redis, `unreachable`, "
            "`too_many`, `skipped` (another edge had to send it that way)",
            "any",
            ("reason",),
        ),
        "refused",
        "unreachable",
        "too_many",
        "skipped",
    )
    receipts_total: int = counted(
        Series("comet_receipts_total", "counter", "receipts sent to publishers, and replies to requests over Redis"),
    )
    control_total: Counter[str] = counted(
        Series(
            "comet_control_total",
            "counter",
            "requests of publishers and other edges over Redis, by operation (`info`, `close`, `broadcast`, `change`); "
            "`refused`: not known here or too many; `malformed`",
            "`refused` once all processes are upgraded; any `malformed`",
            ("op",),
        ),
    )
    refused_total: Counter[int] = counted(
        Series(
            "comet_requests_refused_total",
            "counter",
            "requests answered with an error status",
            "503: full, or no Redis. 400 in numbers: a broken client",
            ("code",),
        ),
        503,
    )
    limited_total: Counter[str] = counted(
        Series(
            "comet_refused_total",
            "counter",
            "requests, operations and connections refused, by the setting that limits them, see limits.md",
            "rises: a client misbehaves, or the limit is too low",
            ("limit",),
        ),
        "input_bytes",
        "session_asks",
        "names_bytes",
        "max_channels",
        "max_operations",
        "max_head_bytes",
        "max_url_bytes",
        "max_headers",
        "max_body_bytes",
        "max_websocket_bytes",
        "websocket_rate",
        "max_connections",
        "max_connections_per_address",
        "new_channels_per_minute",
        "subscriptions_per_second",
        "history_bytes_per_second",
    )
    token_refused_total: Counter[str] = counted(
        Series(
            "comet_token_refused_total",
            "counter",
            "subscribers and operations refused for their token: `missing`, `malformed`, `algorithm`, `signature`, "
            "`expired`, `not_yet`, `claim`, `channel` (the token does not name it), `user` (a fresh token of another)",
            "`signature`, `algorithm`: forged, or a key is missing; `not_yet`: clocks differ",
            ("reason",),
        ),
        "missing",
        "malformed",
        "algorithm",
        "signature",
        "expired",
        "not_yet",
        "claim",
        "channel",
        "user",
    )
    latency: Histogram = counted(
        Series(
            "comet_delivery_latency_seconds",
            "histogram",
            "seconds from a message's publish to the write to its last subscriber here, once for each fan-out",
            "p99 above what you promise",
        ),
    )
    fanout: Histogram = counted(
        Series(
            "comet_fanout_duration_seconds",
            "histogram",
            "seconds from the first write of a fan-out to its last",
            "the greater part of the latency: too many subscribers for one process",
        ),
    )
    loop_lag: Histogram = counted(LOOP_LAG)
    probe: Histogram = counted(REDIS_PROBE)
    foreign_total: Counter[int] = counted(FOREIGN_REQUESTS, 403, 421)

    def held(self, transport: str) -> int:
        """Return how many subscribers are held now."""
        gone = sum(count for (name, _), count in self.closed_total.items() if name == transport)
        return self.opened_total[transport] - gone

    def opened(self, transport: str) -> None:
        """Count a subscriber that is held from now on."""
        self.opened_total[transport] += 1

    def delivered(self, transport: str, messages: int, size: int) -> None:
        """Count what was written to subscribers of a transport: `size` bytes with `messages` messages in them."""
        self.delivered_total[transport] += messages
        self.bytes_total[transport] += size
