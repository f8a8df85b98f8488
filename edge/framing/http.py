"""HTTP responses: heads, complete answers, and the chunks around a framing's bytes (RFC 9110, RFC 9112). Pure."""

import re
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import orjson

from edge.framing.items import error_item, json_object

REASONS = {
    101: "Switching Protocols",
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    410: "Gone",
    411: "Length Required",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    421: "Misdirected Request",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token (RFC 9110 section 5.6.2)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PREFLIGHT = (
    "Access-Control-Allow-Methods: GET, POST, OPTIONS",
    "Access-Control-Max-Age: 600",
    "Content-Length: 0",
)
OWN_HEADERS = ("Authorization", "Cache-Control", "Content-Type", "Last-Event-ID")  # that a page sends on purpose
NO_STORE = ("Cache-Control: no-store", "X-Content-Type-Options: nosniff")
NO_OPENER = "Cross-Origin-Opener-Policy: same-origin"  # as a page, it is out of reach of the one that opened it


class Variant(NamedTuple):
    """What makes the bytes of two connections of one transport different."""

    chunked: bool = True  # as in HTTP/1.1; an HTTP/1.0 client gets a body that ends with the connection
    closing: bool = False  # the answer is the connection's last
    origin: str = "*"  # value of Access-Control-Allow-Origin; empty: the header is not sent
    callback: str = ""  # JSONP and iframe only: the function of the page that is called
    envelope: bool = False  # SSE only: the data of each event is the whole JSON object
    ancestors: str = "*"  # iframe only: the pages that may show it, the value of frame-ancestors
    session_size: int = 0  # polls only: characters of the session in the answer; a SESSION_BLANK stands for each
    omit_event_name: bool = False  # SSE only: messages are events without a name, whatever name the publisher gave
    heartbeat_as_event: bool = False  # SSE only: heartbeats are events


def retry_headers(seconds: float) -> tuple[str, str]:
    """Return the headers that say when to try again, and let a page of another origin read that (Fetch, 3.2.5)."""
    return f"Retry-After: {ceil(seconds)}", "Access-Control-Expose-Headers: Retry-After"


def chunk(data: bytes) -> bytes:
    """Return data as one chunk (RFC 9112 section 7.1); no data gives no chunk, because an empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"


def response_head(status: int, headers: Sequence[str], variant: Variant) -> bytes:
    """Return a status line and headers, with those for CORS and for the end of the connection."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *headers]
    if variant.origin:
        lines.append(f"Access-Control-Allow-Origin: {variant.origin}")
        if variant.origin != "*":  # one of a list: who is named there may send cookies, too
            lines += ("Vary: Origin", "Access-Control-Allow-Credentials: true")
    if variant.closing:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def full_response(status: int, content_type: str, body: bytes, variant: Variant, extra: Sequence[str] = ()) -> bytes:
    """Return a complete response with a body of known length."""
    headers = (f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *NO_STORE, *extra)
    return response_head(status, headers, variant) + body


def long_response(content_type: str, body: Sequence[bytes], variant: Variant, extra: Sequence[str] = ()) -> list[bytes]:
    """Return a complete response whose body is given in parts; the first of them gets the head, no other is copied."""
    headers = (f"Content-Type: {content_type}", f"Content-Length: {sum(map(len, body))}", *NO_STORE, *extra)
    return [response_head(200, headers, variant) + body[0], *body[1:]]


def change_response(channels: Sequence[str], variant: Variant, most: int) -> bytes:
    """Return the answer to a change of channels: the names of those that the session has now, unless it is too long."""
    body = orjson.dumps({"type": "ack", "channels": channels}, option=orjson.OPT_APPEND_NEWLINE)
    if len(body) > most:
        body = orjson.dumps({"type": "ack"}, option=orjson.OPT_APPEND_NEWLINE)
    return full_response(200, "application/json", body, variant)


def preflight(asked: str, variant: Variant) -> bytes:
    """Return the answer to a browser that asks what it may send; `asked` is its Access-Control-Request-Headers.

    It may send whatever it asks for: tracers and HTTP libraries add headers of their own to every request, and an edge
    reads none of them.
    """
    more = [name for name in map(str.strip, asked.split(",")) if _HEADER_NAME.fullmatch(name)]
    names = {name.lower(): name for name in (*more, *OWN_HEADERS)}
    return response_head(
        204, (f"Access-Control-Allow-Headers: {', '.join(sorted(names.values()))}", *PREFLIGHT), variant
    )


def error_response(
    status: int, sentence: str, variant: Variant, extra: Sequence[str] = (), *, body: bool = True
) -> bytes:
    """Return an error response: one line of JSON with the sentence; without the body if the request was a HEAD."""
    text = json_object(error_item(status, sentence)) + b"\n" if body else b""
    return full_response(status, "application/json", text, variant, extra)
