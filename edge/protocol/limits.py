"""Limits of what a client may send at once: in a request, in a message, on a connection. Pure."""

from dataclasses import dataclass

MAX_CHANNELS = 128  # a setting can only lower it: cursors, lists of names and comet.js are made for so many
MAX_OPERATIONS = 256  # a setting can only lower it, too: one message must not keep the edge busy for long


@dataclass(frozen=True, slots=True, eq=False)
class InputLimits:
    """Each is the setting of its name (common/settings.py), and is counted by it; compared by identity, a cheap key."""

    max_channels: int = MAX_CHANNELS  # of one connection
    max_operations: int = MAX_OPERATIONS  # of one message or body
    max_head_bytes: int = 16_384
    max_url_bytes: int = 8_192
    max_headers: int = 100
    max_body_bytes: int = 16_384
    max_websocket_bytes: int = 16_384  # of one message
    websocket_rate: int = 0  # messages and pings a second of one connection; 0: no limit


USUAL_LIMITS = InputLimits()
