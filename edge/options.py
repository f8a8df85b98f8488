"""Options: how an edge behaves, as the settings of its process ask for; tests make their own."""

from typing import NamedTuple

from common.settings import Settings
from edge.engine.fanout import Policy
from edge.protocol.limits import USUAL_LIMITS, InputLimits
from edge.server.clients import ClientLimits


class Options(NamedTuple):
    """How an edge behaves; times are in seconds."""

    heartbeat: float
    poll_timeout: float
    linger: float
    header_timeout: float
    max_connections: int
    max_message_bytes: int
    max_lingering: int = 0
    max_age: float = 0.0
    flush_after: float = 0.0
    policy: Policy = "disconnect"
    keeps_history: bool = True
    allowed_origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    session_asks: int = 50
    clients: ClientLimits = ClientLimits()
    limits: InputLimits = USUAL_LIMITS


def options_from(settings: Settings, max_connections: int) -> Options:
    """Return the options that the settings of a process ask for."""
    return Options(
        heartbeat=settings.heartbeat,
        poll_timeout=settings.poll_timeout,
        linger=settings.linger,
        max_lingering=settings.max_lingering,
        header_timeout=settings.header_timeout,
        max_connections=max_connections,
        max_message_bytes=settings.max_message_bytes,
        max_age=settings.max_connection_age,
        flush_after=settings.flush_ms / 1000,
        policy=settings.slow_policy,
        keeps_history=settings.history_size > 0,
        allowed_origins=settings.allowed_origins,
        hosts=settings.hosts,
        session_asks=settings.session_asks,
        clients=ClientLimits(
            settings.trusted_proxies,
            settings.proxy_protocol,
            settings.max_connections_per_address,
            settings.new_channels_per_minute,
            settings.subscriptions_per_second,
            settings.history_bytes_per_second,
        ),
        limits=InputLimits(
            max_channels=settings.max_channels,
            max_operations=settings.max_operations,
            max_head_bytes=settings.max_head_bytes,
            max_url_bytes=settings.max_url_bytes,
            max_headers=settings.max_headers,
            max_body_bytes=settings.max_body_bytes,
            max_websocket_bytes=settings.max_websocket_bytes,
            websocket_rate=settings.websocket_rate,
        ),
    )
