"""The stream: one JSON object per line, the transport of a plain `curl`. Pure."""

from edge.framing.base import Kind
from edge.framing.items import Item, close_item, json_object
from edge.framing.streaming import StreamingFraming


class StreamFraming(StreamingFraming):
    """One JSON object per line (application/x-ndjson); an empty line is a heartbeat."""

    kind = Kind("stream")
    content_type = "application/x-ndjson"
    beat = b"\n"

    def encode_item(self, item: Item) -> bytes:
        """Return a JSON line."""
        return json_object(item) + b"\n"

    def farewell(self, cursor: str) -> bytes:
        """Return a close object and the end of the response."""
        return self.encode([close_item()], cursor) + self.end
