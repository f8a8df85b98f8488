"""What every framing has in common: the objects it carries, and the HTTP around them."""

from collections.abc import Sequence
from math import ceil
from typing import ClassVar, NamedTuple

import orjson

REASONS = {
    101: "Switching Protocols",
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    414: "URI Too Long",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PREFLIGHT = (
    "Access-Control-Allow-Methods: GET, POST, OPTIONS",
    "Access-Control-Allow-Headers: Authorization, Cache-Control, Content-Type, Last-Event-ID",
    "Access-Control-Max-Age: 600",
    "Content-Length: 0",
)
# Line separators are legal in JSON strings and were not in JavaScript ones before ES2019.
_SEPARATORS = (("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))
GOING_AWAY = "this edge is going away; connect again"
NO_STORE = ("Cache-Control: no-store", "X-Content-Type-Options: nosniff")


class Item(NamedTuple):
    """One object on a subscriber's wire.

    `seq` is the object's own position; `cursor` is what the subscriber sends back to go on after it: the same for
    one channel, a list for several. Both are empty for a live-only message.
    """

    kind: str  # welcome, data, reset, close, error; unsub and pong acknowledge operations
    channel: str = ""
    content: str | None = None
    seq: str = ""
    cursor: str = ""
    event: str = ""
    code: int = 0
    op: str = ""  # of an error: the operation that failed
    ref: str | int | None = None  # what the client named its operation
    session: str = ""


class Variant(NamedTuple):
    """What makes two connections of one transport need different bytes."""

    chunked: bool = True  # HTTP/1.1; an HTTP/1.0 client gets the body as it is, until the connection closes
    closing: bool = False  # the answer is the connection's last
    origin: str = "*"  # value of Access-Control-Allow-Origin; empty: none is sent
    callback: str = ""  # JSONP and iframe only
    envelope: bool = False  # SSE only: data is the JSON object
    ancestors: str = "*"  # iframe only: the pages that may show it, as the CSP's frame-ancestors
    session_size: int = 0  # polls only: characters of the session that the answer carries, as `*` for each
    omit_event_name: bool = False  # SSE only: a message is an event without a name, whatever its publisher called it
    heartbeat_as_event: bool = False  # SSE only: a heartbeat is an event


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

    def head(self, retry_ms: int, key: str = "") -> bytes:
        """Return what is sent before the first object; `key` is the answer to a WebSocket handshake."""
        raise NotImplementedError

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return the bytes for some objects; `cursor` is the position after the last of them."""
        raise NotImplementedError

    def pause(self, retry_ms: int) -> bytes:
        """Return what tells a client when to come back after the end, if the transport has such a thing."""
        return b""

    def farewell(self, cursor: str) -> bytes:
        """Return what a subscriber is told when the edge goes away."""
        raise NotImplementedError

    def refusal(self, status: int, sentence: str, retry_after: float) -> bytes:
        """Return the whole answer to a subscriber that cannot be seated, but may come back after so many seconds."""
        extra = retry_headers(retry_after) if retry_after else ()
        variant = self.variant if self.single_response else self.variant._replace(closing=True)
        return error_response(status, sentence, variant, extra)


def json_object(item: Item) -> bytes:
    """Return an item as the JSON object that the wire has carried since the seed."""
    fields: dict[str, object] = {"type": item.kind}
    if item.channel:
        fields["id"] = item.channel
    if item.op:
        fields["op"] = item.op
    if item.code:
        fields["code"] = item.code
    if item.content is not None:
        fields["content"] = item.content
    if item.seq:
        fields["seq"] = item.seq
    if item.event:
        fields["event"] = item.event
    if item.ref is not None:
        fields["ref"] = item.ref
    if item.session:
        fields["session"] = item.session
    return orjson.dumps(fields)


def as_script(data: bytes) -> bytes:
    """Return JSON as it may stand in a script: the line separators that JavaScript did not allow are escaped."""
    for separator, escaped in _SEPARATORS:
        data = data.replace(separator, escaped)
    return data


def retry_headers(seconds: float) -> tuple[str, str]:
    """Return what tells a client when to come back, and lets a script of a foreign origin read it (Fetch, 3.2.5)."""
    return f"Retry-After: {ceil(seconds)}", "Access-Control-Expose-Headers: Retry-After"


def chunk(data: bytes) -> bytes:
    """Return data as one chunk (RFC 9112 section 7.1); no data gives no chunk, for an empty one would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"


def response_head(status: int, headers: Sequence[str], variant: Variant) -> bytes:
    """Return a status line and headers, with what CORS and the connection's fate ask for."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *headers]
    if variant.origin:
        lines.append(f"Access-Control-Allow-Origin: {variant.origin}")
        if variant.origin != "*":
            lines.append("Vary: Origin")
    if variant.closing:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def full_response(status: int, content_type: str, body: bytes, variant: Variant, extra: Sequence[str] = ()) -> bytes:
    """Return a complete response with a body of known length."""
    headers = (f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *NO_STORE, *extra)
    return response_head(status, headers, variant) + body


def change_response(channels: Sequence[str], variant: Variant) -> bytes:
    """Return the answer to a change of channels: those that the session has now."""
    body = orjson.dumps({"type": "ack", "channels": channels}, option=orjson.OPT_APPEND_NEWLINE)
    return full_response(200, "application/json", body, variant)


def preflight(variant: Variant) -> bytes:
    """Return the answer to a browser that asks what it may send."""
    return response_head(204, PREFLIGHT, variant)


def error_response(
    status: int, sentence: str, variant: Variant, extra: Sequence[str] = (), *, body: bool = True
) -> bytes:
    """Return an error answer: one line of JSON that says what was wrong; no body when the request was HEAD."""
    text = json_object(Item("error", content=sentence, code=status)) + b"\n" if body else b""
    return full_response(status, "application/json", text, variant, extra)
