"""What the framings of held HTTP responses share: stream, SSE and iframe. Pure."""

from collections.abc import Sequence
from typing import ClassVar

from edge.framing.base import Framing
from edge.framing.http import LAST_CHUNK, NO_STORE, Variant, chunk, response_head
from edge.framing.items import Item


class StreamingFraming(Framing):
    """A response without an end: chunked, or for HTTP/1.0 a body that ends with the connection."""

    beat: ClassVar[bytes]  # the heartbeat, without chunking

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        self.heartbeat = self._wrap(self.beat)
        self.end = LAST_CHUNK if variant.chunked else b""
        headers = [f"Content-Type: {self.content_type}", *NO_STORE, *self.extra_headers(), "X-Accel-Buffering: no"]
        if variant.chunked:
            headers.append("Transfer-Encoding: chunked")
        self._head = response_head(200, headers, variant)

    def extra_headers(self) -> Sequence[str]:
        """Return the headers that only this transport has."""
        return ()

    def head(self, retry_ms: int, ws_accept: str = "") -> bytes:
        """Return the response head."""
        return self._head

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return one chunk with all items."""
        return self._wrap(b"".join(map(self.encode_item, items)))

    def encode_item(self, item: Item) -> bytes:
        """Return the bytes of one item, before chunking."""
        raise NotImplementedError

    def _wrap(self, data: bytes) -> bytes:
        return chunk(data) if self.variant.chunked else data
