"""Framings of connections that stay open: the seed's stream, and Server-Sent Events."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

from edge.framing.base import (
    GOING_AWAY,
    LAST_CHUNK,
    NO_STORE,
    Framing,
    Item,
    Variant,
    chunk,
    json_object,
    response_head,
)

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class StreamingFraming(Framing):
    """A response that never ends by itself: chunked, or raw until the close for HTTP/1.0."""

    beat: ClassVar[bytes]

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        self.heartbeat = self._wrap(self.beat)
        self.end = LAST_CHUNK if variant.chunked else b""
        headers = [f"Content-Type: {self.content_type}", *NO_STORE, *self.more_headers(), "X-Accel-Buffering: no"]
        if variant.chunked:
            headers.append("Transfer-Encoding: chunked")
        self._head = response_head(200, headers, variant)

    def more_headers(self) -> Sequence[str]:
        """Return what this transport's head has besides."""
        return ()

    def head(self, retry_ms: int, key: str = "") -> bytes:
        """Return the response head."""
        return self._head

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return one chunk with all items."""
        return self._wrap(b"".join(map(self.encode_item, items)))

    def encode_item(self, item: Item) -> bytes:
        """Return the bytes of one item, without chunking."""
        raise NotImplementedError

    def _wrap(self, data: bytes) -> bytes:
        return chunk(data) if self.variant.chunked else data


class StreamFraming(StreamingFraming):
    """The seed's transport: one JSON object a line; an empty line is a heartbeat."""

    transport = "stream"
    content_type = "application/x-ndjson"
    beat = b"\n"

    def encode_item(self, item: Item) -> bytes:
        """Return a JSON line."""
        return json_object(item) + b"\n"

    def farewell(self, cursor: str) -> bytes:
        """Return a close object and the end of the response."""
        return self.encode([Item("close", content=GOING_AWAY)], cursor) + self.end


class SseFraming(StreamingFraming):
    """Server-Sent Events (WHATWG HTML, section 9.2): the position is the event id, the content its data.

    With an envelope (asked for, or because there are several channels) the data is the whole JSON object. Who asks for
    it reads the event's name there, so the event has none: an EventSource hears only the names that it knows.
    """

    transport = "sse"
    cursor_in_bytes = True
    content_type = "text/event-stream"
    beat = b":\n\n"
    named_beat = b"event: heartbeat\ndata:\n\n"  # without an id: the client stays where it is

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        if variant.heartbeat_as_event:
            self.heartbeat = self._wrap(self.named_beat)

    def head(self, retry_ms: int, key: str = "") -> bytes:
        """Return the response head and the pause after which the browser shall reconnect."""
        return self._head + self.pause(retry_ms)

    def pause(self, retry_ms: int) -> bytes:
        """Return the pause after which the browser shall reconnect."""
        return _pause(retry_ms, self.variant.chunked)

    def encode_item(self, item: Item) -> bytes:
        """Return one event; control objects are events of their own name, with the object as data."""
        control = item.kind != "data"
        name = item.kind if control else "" if self.variant.omit_event_name else item.event
        data = json_object(item).decode() if control or self.variant.envelope else item.content or ""
        return sse_event(data, name=name, event_id=item.cursor)

    def farewell(self, cursor: str) -> bytes:
        """Return the end of the response: an EventSource reconnects by itself, after its `retry:`."""
        return self.end

    def refusal(self, status: int, sentence: str, retry_after: float) -> bytes:
        """Return a 200 that ends at once: after any other status a native EventSource gives up for ever."""
        comment = "".join(f": {line}\n" for line in _LINE_BREAK.split(sentence))
        return self.head(int(max(retry_after, 1) * 1000)) + self._wrap(comment.encode() + b"\n") + self.end


@lru_cache(maxsize=256)
def _pause(retry_ms: int, chunked: bool) -> bytes:
    """Return a `retry:`; remembered, because newcomers are told one of a few."""
    data = b"retry: %d\n\n" % retry_ms
    return chunk(data) if chunked else data


def sse_event(data: str, *, name: str = "", event_id: str = "") -> bytes:
    """Return one event; every CR, LF and CRLF in the data starts a new `data:` line.

    A name or id that holds a line break or NUL would forge fields; the offending part is cut off.
    """
    lines = []
    if event_id:
        lines.append(f"id: {_one_line(event_id)}")
    if name:
        lines.append(f"event: {_one_line(name)}")
    if "\n" in data or "\r" in data:
        lines.extend(f"data: {line}" for line in _LINE_BREAK.split(data))
    else:
        lines.append(f"data: {data}")
    return ("\n".join(lines) + "\n\n").encode()


def _one_line(text: str) -> str:
    return re.split(r"[\r\n\0]", text, maxsplit=1)[0]
