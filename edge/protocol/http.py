"""HTTP/1.1 requests: the bytes of a head become a `Request`, or an error that says what is wrong (RFC 9112). Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from urllib.parse import unquote

import httptools

from common.errors import BadRequestError, RequestError
from edge.protocol.limits import USUAL_LIMITS, InputLimits
from edge.protocol.syntax import LINE_ENDS, check_fields, check_host, check_line, malformed, origin_form

MAX_METHOD_BYTES = 16
MAX_CACHED_BYTES = 1024  # of what is parsed once for all who send the same; longer ones are rare and would fill memory

CHANGE_PATH = "/sub/"  # followed by a session, whose channels a POST changes
SESSION_HEADER = "comet-session"
HEAD_END = b"\r\n\r\n"
# Headers that hold one value, not a list: with two different values it is not clear which one is meant. (httptools
# refuses a second Content-Length.)
SINGLE = frozenset(
    {
        "authorization",
        "comet-session",
        "content-type",
        "last-event-id",
        "origin",
        "referer",
        "sec-fetch-dest",
        "sec-fetch-site",
        "sec-websocket-key",
        "sec-websocket-version",
    }
)
_PLAIN_LINE = re.compile(rb"GET (/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*) HTTP/1\.1")


@dataclass(slots=True, eq=False)
class Request:
    """One parsed request head; header names are lower-case.

    Equal bytes give the same object as long as it is cached: so none is ever changed. It is compared by identity, and
    is a cheap key itself.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    http10: bool
    keep_alive: bool
    length: int = 0  # of the body, in bytes
    is_short: bool = False  # at most MAX_CACHED_BYTES: what is read from it is cached

    @property
    def size(self) -> int:
        """How many bytes the head has, at least: it is asked for rarely, so it is not kept."""
        fields = sum(len(name) + len(value) + 3 for name, value in self.headers.items())
        return len(f"{self.method} {self.path}?{self.query} HTTP/1.1\r\n\r\n") + fields

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits for a 100 before it sends its body (RFC 9110 section 10.1.1)."""
        return not self.http10 and self.headers.get("expect", "").lower() == "100-continue"


class _Collector:
    """Collects what httptools calls back with for one request head; no callback raises, httptools would hide it."""

    def __init__(self) -> None:
        self.error: BadRequestError | None = None  # the first header that must not be as it is
        self.url = b""
        self.headers: dict[str, str] = {}
        self.count = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count += 1
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t")
        if key not in self.headers:
            self.headers[key] = text
        elif sentence := _why_not_twice(key, self.headers[key], text):
            self.error = self.error or BadRequestError(sentence)
        elif key not in SINGLE:
            # A list may stand on several lines (RFC 9110 section 5.3); so may cookies in HTTP/2 (RFC 9113 8.2.3).
            self.headers[key] += f"; {text}" if key == "cookie" else f", {text}"


def _why_not_twice(key: str, before: str, again: str) -> str:
    """Say why a header may not occur again with this value; an empty string if it may."""
    if key == "host":
        return "a request has one Host header, this one has several"
    if key in SINGLE and before != again:
        return f"{key.title()}: give one value; this request has several that differ"
    return ""


def check_unfinished(data: bytes, limits: InputLimits = USUAL_LIMITS) -> None:
    """Raise `RequestError` (400, 414, 431, 505) if the beginning of a head shows that it cannot become valid."""
    _check_beginning(data, limits)
    end = data.find(b"\n") + 1
    if end and not data.endswith(LINE_ENDS, 0, end):
        check_line(data[:end].removesuffix(b"\r\n"))


def _check_beginning(data: bytes, limits: InputLimits) -> None:
    """Raise for what is too long, and for what is not HTTP at first sight."""
    if len(data) > limits.max_url_bytes and _has_long_url(data, limits.max_url_bytes):
        raise _too_long_url(limits)
    if len(data) > limits.max_head_bytes:
        sentence = f"the request head is longer than {limits.max_head_bytes} bytes (COMET_MAX_HEAD_BYTES)"
        raise RequestError(sentence, 431, "max_head_bytes")
    if data and not 65 <= data[0] <= 90:  # A to Z: every HTTP method begins so
        raise BadRequestError("this is not an HTTP request; TLS ends at the load balancer, this port speaks HTTP/1.1")


def _has_long_url(data: bytes, most: int) -> bool:
    """Say whether the URL goes on beyond its limit, whether or not its end is there."""
    start = data.find(b" ", 0, MAX_METHOD_BYTES) + 1
    end = start + most + 1
    return len(data) >= end and data.find(b" ", start, end) < 0 and data.find(b"\r", start, end) < 0


def _too_long_url(limits: InputLimits) -> RequestError:
    sentence = f"the URL is longer than {limits.max_url_bytes} bytes (COMET_MAX_URL_BYTES)"
    return RequestError(sentence, 414, "max_url_bytes")


def parse_request(head: bytes, limits: InputLimits = USUAL_LIMITS) -> Request:
    """Parse one complete request head, which ends with an empty line.

    Raises `RequestError`: 400 if it is malformed (RFC 9112), 411, 413 and 415 for its body, 414 and 431 if it is too
    long, 505 for another version of HTTP.
    """
    _check_beginning(head, limits)
    return _parse(head, limits)


def short_parser(limits: InputLimits = USUAL_LIMITS) -> Callable[[bytes], Request]:
    """Return what parses a head of at most MAX_CACHED_BYTES; cached, because pollers of a channel send equal ones."""
    return lru_cache(maxsize=256)(partial(_parse_short, limits=limits))


def _parse_short(head: bytes, limits: InputLimits) -> Request:
    _check_beginning(head, limits)
    line, _, block = head.partition(b"\r\n")
    plain = _PLAIN_LINE.fullmatch(line)
    if plain is None:
        return _parse(head, limits, is_short=True)
    path, query = _split_short_target(plain[1])
    headers, keep_alive = _plain_headers(block, limits)
    return Request("GET", path, query, headers, False, keep_alive, is_short=True)


@lru_cache(maxsize=1024)
def _plain_headers(block: bytes, limits: InputLimits) -> tuple[dict[str, str], bool]:
    """Parse the headers of a plain GET; cached, because a poller sends the same ones with each poll."""
    request = _parse(b"GET / HTTP/1.1\r\n" + block, limits)
    return request.headers, request.keep_alive


def _parse(head: bytes, limits: InputLimits, *, is_short: bool = False) -> Request:
    line, _, block = head.partition(b"\r\n")
    check_line(line)
    check_fields(block)
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # a WebSocket handshake, or an upgrade that is not made here; the head is complete
    except httptools.HttpParserError as error:
        raise collector.error or malformed(error) from None
    if collector.error is not None:
        raise collector.error
    http10, headers = parser.get_http_version() == "1.0", collector.headers
    _check_head(collector, limits, http10=http10)
    method = parser.get_method().decode("latin-1")
    path, query = _split_target(origin_form(collector.url, method))
    keep_alive = not http10 and "close" not in headers.get("connection", "").lower()
    length = _body_length(headers, limits, allowed=is_change(method, path, headers))
    return Request(method, path, query, headers, http10, keep_alive, length, is_short)


@lru_cache(maxsize=256)
def _split_short_target(target: bytes) -> tuple[str, str]:
    """Return path and query of a short request target; cached, because pollers of one channel differ in headers."""
    return _split_target(target)


def _split_target(target: bytes) -> tuple[str, str]:
    """Return path and query of a request target that begins with its path."""
    path, _, query = target.decode("latin-1").partition("#")[0].partition("?")
    return unquote(path) if "%" in path else path, query


def _check_head(collector: _Collector, limits: InputLimits, *, http10: bool) -> None:
    """Raise for what httptools accepts and this edge does not."""
    headers = collector.headers
    if collector.count > limits.max_headers:
        most = f"{limits.max_headers} headers (COMET_MAX_HEADERS)"
        raise RequestError(f"a request has at most {most}, this one has {collector.count}", 431, "max_headers")
    if len(collector.url) > limits.max_url_bytes:
        raise _too_long_url(limits)
    if http10 and "transfer-encoding" in headers:
        raise BadRequestError("HTTP/1.0 has no Transfer-Encoding")
    if not http10 and "host" not in headers:
        raise BadRequestError("an HTTP/1.1 request needs a Host header")
    check_host(headers.get("host", ""))


def is_change(method: str, path: str, headers: dict[str, str]) -> bool:
    """Say whether a request changes the channels of a session: no other one may have a body.

    The session may be in the body. So a POST to /sub without body and header is a client that wants to subscribe.
    """
    if method != "POST" or not path.startswith("/sub"):
        return False
    names_session = SESSION_HEADER in headers or headers.get("content-length", "0") != "0"
    return path.startswith(CHANGE_PATH) or (path == "/sub" and names_session)


def _body_length(headers: dict[str, str], limits: InputLimits, *, allowed: bool) -> int:
    """Return the length of a request's body in bytes; only a change of channels may have one."""
    length = headers.get("content-length", "0" if not allowed else "")
    if allowed and headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError("content-encoding: a body is read as it is here; send it without an encoding", 415)
    if not allowed:
        if "transfer-encoding" in headers or length != "0":
            raise RequestError("this request must not have a body; publish with the publisher's /pub", 413)
        return 0
    if "transfer-encoding" in headers or not length:
        raise RequestError("this request needs a body and its Content-Length", 411)
    most = limits.max_body_bytes
    if len(length) > len(str(most)) or int(length) > most:  # httptools accepts digits only
        raise RequestError(f"a body has at most {most} bytes (COMET_MAX_BODY_BYTES)", 413, "max_body_bytes")
    return int(length)
