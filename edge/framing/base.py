"""The interface of a framing, which turns items (items.py) into the bytes of one transport. Pure."""

from collections.abc import Sequence
from typing import ClassVar

from edge.framing.http import Variant, error_response, retry_headers
from edge.framing.items import Item


class Framing:
    """Makes the bytes of one transport.

    All connections that need the same bytes share one instance, so that a message is encoded once for all of them.
    Therefore an instance knows nothing about a single connection.
    """

    transport: ClassVar[str]
    single_response: ClassVar[bool] = False  # answered once (long-poll, JSONP); else the connection is held open
    bidirectional: ClassVar[bool] = False  # the client may send, too, while it is held
    cursor_in_bytes: ClassVar[bool] = False  # the bytes of an item depend on the positions on all channels
    content_type: ClassVar[str]
    heartbeat: bytes = b""
    end: bytes = b""  # ends a held response
    too_slow: bytes = b""  # the last bytes for a reader that is evicted because it is too slow; none: it gets none

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def head(self, retry_ms: int, ws_accept: str = "") -> bytes:
        """Return what is sent before the first item.

        `retry_ms` is after how many milliseconds a client shall reconnect; `ws_accept` answers a WebSocket handshake.
        """
        raise NotImplementedError

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return the bytes of some items; `cursor` is what a client sends back to go on after the last of them."""
        raise NotImplementedError

    def part(self, items: Sequence[Item]) -> bytes:
        """Return the bytes of some items, which are a part of what a subscriber gets of one channel."""
        return self.encode(items, items[-1].cursor)

    def answer(self, parts: Sequence[bytes], cursor: str) -> bytes:
        """Return the one answer with these parts; only for a framing with a `single_response`."""
        raise NotImplementedError

    def retry(self, retry_ms: int) -> bytes:
        """Return what makes a client wait before it reconnects, in milliseconds, if the transport can say that."""
        return b""

    def farewell(self, cursor: str) -> bytes:
        """Return the last bytes for a subscriber that is evicted; its client goes on from `cursor`."""
        raise NotImplementedError

    def refusal(self, status: int, sentence: str, retry_after: float) -> bytes:
        """Return the whole answer to a subscriber that is rejected and may try again after `retry_after` seconds."""
        extra = retry_headers(retry_after) if retry_after else ()
        variant = self.variant if self.single_response else self.variant._replace(closing=True)
        return error_response(status, sentence, variant, extra)
