"""The interface of a framing. Pure."""

from collections.abc import Sequence
from typing import ClassVar

from edge.framing.http import Variant, error_response, retry_headers
from edge.framing.items import Item


class Framing:
    """Turns objects into the bytes of one transport.

    Instances are shared by all connections that need the same bytes, so that a message is encoded once for all
    of them; hence they hold nothing of a single connection.
    """

    transport: ClassVar[str]
    single_response: ClassVar[bool] = False  # answered once (long-poll, JSONP), or held open
    bidirectional: ClassVar[bool] = False  # the client may speak, too, while it is held
    cursor_in_bytes: ClassVar[bool] = False  # the bytes depend on where a subscriber stands on all its channels
    content_type: ClassVar[str]
    heartbeat: bytes = b""
    end: bytes = b""
    too_slow: bytes = b""  # what a reader is told that is cut off because it is too slow

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def head(self, retry_ms: int, ws_accept: str = "") -> bytes:
        """Return what is sent before the first object; `ws_accept` answers a WebSocket handshake."""
        raise NotImplementedError

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return the bytes for some objects; `cursor` is the position after the last of them."""
        raise NotImplementedError

    def retry(self, retry_ms: int) -> bytes:
        """Return what tells a client when to come back after the end, if the transport has such a thing."""
        return b""

    def farewell(self, cursor: str) -> bytes:
        """Return what a subscriber is told when the edge goes away."""
        raise NotImplementedError

    def refusal(self, status: int, sentence: str, retry_after: float) -> bytes:
        """Return the whole answer to a subscriber that is rejected, and may come back after `retry_after` seconds."""
        extra = retry_headers(retry_after) if retry_after else ()
        variant = self.variant if self.single_response else self.variant._replace(closing=True)
        return error_response(status, sentence, variant, extra)
