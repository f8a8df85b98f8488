"""Server-Sent Events (WHATWG HTML, section 9.2). Pure."""

import re
from functools import lru_cache

from edge.framing.base import Kind
from edge.framing.http import Variant, chunk
from edge.framing.items import Item, ItemKind, json_object
from edge.framing.streaming import StreamingFraming

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class SseFraming(StreamingFraming):
    """One event for each item: the position is its id, and a message's content its data.

    With an envelope (asked for, or because there are several channels) the data is the whole JSON object. A client that
    asks for one reads the event's name there, and the event itself has none: an EventSource passes on only the events
    that its page listens for by name.
    """

    kind = Kind("sse", cursor_in_bytes=True)
    content_type = "text/event-stream; charset=utf-8"  # always UTF-8, but some clients go by the header alone
    beat = b":\n"  # an empty line after it would end a block, of which some clients make an event without data
    named_beat = b"event: heartbeat\ndata:\n\n"  # without an id: the client stays where it is

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        if variant.heartbeat_as_event:
            self.heartbeat = self._wrap(self.named_beat)

    def head(self, retry_ms: int, ws_accept: str = "") -> bytes:
        """Return the response head, and after how many milliseconds a browser shall reconnect: it begins an event."""
        return self._head + self.retry(retry_ms)

    def retry(self, retry_ms: int) -> bytes:
        """Return a `retry:` field, by which a browser waits before it reconnects: a line of the event that follows."""
        return _retry(retry_ms, self.variant.chunked)

    def encode_item(self, item: Item) -> bytes:
        """Return one event; an item that is no message has its kind as the name, and the JSON object as data."""
        control = item.kind is not ItemKind.DATA
        name = item.kind.value if control else "" if self.variant.omit_event_name else item.event
        data = json_object(item).decode() if control or self.variant.envelope else item.content or ""
        return sse_event(data, name=name, event_id=item.cursor)

    def farewell(self, cursor: str) -> bytes:
        """Return the end of the response: an EventSource reconnects by itself, after its `retry:` time."""
        return self.end

    def refusal(self, status: int, sentence: str, retry_after: float) -> bytes:
        """Return a 200 that ends at once: after any other status a native EventSource never reconnects."""
        comment = "".join(f": {line}\n" for line in _LINE_BREAK.split(sentence))
        return self.head(int(max(retry_after, 1) * 1000)) + self._wrap(comment.encode()) + self.end


@lru_cache(maxsize=256)
def _retry(retry_ms: int, chunked: bool) -> bytes:
    """Return a `retry:` field; cached, because heads have one of a few values."""
    data = b"retry: %d\n" % retry_ms
    return chunk(data) if chunked else data


def sse_event(data: str, *, name: str = "", event_id: str = "") -> bytes:
    """Return one event; every CR, LF and CRLF in the data begins a new `data:` line.

    A line break or a NUL in a name or an id could forge fields: it is removed, with everything after it.
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
