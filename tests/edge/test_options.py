"""An edge behaves as the settings of its process say."""

from dataclasses import asdict

from common.settings import load_settings
from edge.options import options_from
from edge.server.clients import ClientLimits

LIMITS = {
    "max_channels": 1,
    "max_operations": 2,
    "max_head_bytes": 2000,
    "max_url_bytes": 1000,
    "max_headers": 20,
    "max_body_bytes": 300,
    "max_websocket_bytes": 400,
    "websocket_rate": 5,
}


def test_the_options_are_those_of_the_settings() -> None:
    """Each limit has its setting."""
    options = options_from(
        load_settings(
            allowed_origins=("https://a.example",),
            hosts=("push.example.com",),
            trusted_proxies=("10.0.0.0/8",),
            proxy_protocol=True,
            max_connections_per_address=1,
            new_channels_per_minute=2,
            subscriptions_per_second=3,
            history_bytes_per_second=4,
            **LIMITS,
        ),
        99,
    )
    assert options.max_connections == 99
    assert (options.allowed_origins, options.hosts) == (("https://a.example",), ("push.example.com",))
    assert options.clients == ClientLimits(("10.0.0.0/8",), True, 1, 2, 3, 4)
    assert asdict(options.limits) == LIMITS
