"""From the bytes of a request head to a SubscribeRequest, or to an error that names what is wrong. Pure."""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

import httptools

from common.channels import check_channel
from common.errors import BadRequestError, RequestError
from common.position import Position, parse_named_positions, parse_positions
from edge.framing import TRANSPORTS
from edge.handshake import accept, wants_websocket

MAX_HEAD_BYTES = 16384
MAX_URL_BYTES = 8192
MAX_HEADERS = 100
MAX_CHANNELS = 128
MAX_PARAMETERS = 2 * MAX_CHANNELS
MOST_HISTORY = 10_000
LONGEST_POLL = 300.0  # seconds; no proxy on the way is likely to bear more

CHANNEL_PARAMETERS = frozenset({"id", "channel", "cname"})
SPELLINGS = {
    **dict.fromkeys(("last_event_id", "lastEventId", "lastEventID", "Last-Event-ID"), "since"),
    **dict.fromkeys(("cb", "jsonp"), "callback"),
}
HEAD_END = b"\r\n\r\n"
_PLAIN_LINE = re.compile(rb"GET (/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*) HTTP/1\.1\r\n")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?", re.ASCII)
_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,63}", re.ASCII)


class Request(NamedTuple):
    """One parsed request head; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    http10: bool
    keep_alive: bool


class SubscribeRequest(NamedTuple):
    """What a subscriber asks for; `since` has one position per channel, or is None for "from now on"."""

    transport: str
    channels: tuple[str, ...]
    since: tuple[Position, ...] | None = None
    callback: str = ""
    timeout: float | None = None  # seconds, polls only
    envelope: bool = False
    history: int = 0  # the newest messages to begin with, if there is no position to go on from
    named: bool = False  # the position named the channels: they have changed since the subscriber chose its own
    key: str = ""  # WebSocket only: the answer to its handshake


class _Collector:
    """Takes httptools' callbacks for one request head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.count = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count += 1
        key = name.decode("latin-1").lower()
        if key == "host" and key in self.headers:
            raise BadRequestError("a request has one Host header, this one has several")
        self.headers[key] = value.decode("latin-1").rstrip(" \t")


def check_unfinished(data: bytes) -> None:
    """Raise as soon as the beginning of a request head shows that it cannot become a good one."""
    if len(data) > MAX_URL_BYTES and b"\r\n" not in data[:MAX_URL_BYTES]:
        raise RequestError(f"the URL is longer than {MAX_URL_BYTES} bytes", 414)
    if len(data) > MAX_HEAD_BYTES:
        raise RequestError(f"the request head is longer than {MAX_HEAD_BYTES} bytes", 431)
    if data and not 65 <= data[0] <= 90:  # A to Z: every method we might be sent
        raise BadRequestError("this is not an HTTP request; TLS ends at the load balancer, this port speaks HTTP/1.1")


def parse_request(head: bytes) -> Request:
    """Parse one complete request head (it ends with an empty line).

    Raises `RequestError`: 400 malformed (RFC 9112), 413 with a body, 414 and 431 too long, 505 foreign version.
    """
    check_unfinished(head)
    plain = _PLAIN_LINE.match(head)
    if plain is None:
        return _parse(head)
    headers, keep_alive = _plain_headers(head[plain.end() :])
    path, query = _split_target(plain[1])
    return Request("GET", path, query, headers, False, keep_alive)


@lru_cache(maxsize=256)
def _plain_headers(block: bytes) -> tuple[dict[str, str], bool]:
    """Parse the headers of a plain GET; remembered, because a poller sends the same ones with each poll."""
    request = _parse(b"GET / HTTP/1.1\r\n" + block)
    return request.headers, request.keep_alive


def _parse(head: bytes) -> Request:
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # a WebSocket handshake: the head is complete all the same
    except httptools.HttpParserError as error:
        raise error.__context__ if isinstance(error.__context__, RequestError) else _malformed(error) from None
    version = parser.get_http_version()
    _check_head(collector, version)
    path, query = _split_target(collector.url)
    http10 = version == "1.0"
    keep_alive = not http10 and "close" not in collector.headers.get("connection", "").lower()
    return Request(parser.get_method().decode("latin-1"), path, query, collector.headers, http10, keep_alive)


@lru_cache(maxsize=256)
def _split_target(target: bytes) -> tuple[str, str]:
    """Return path and query of a request target, which may also be a whole URL (RFC 9112 section 3.2.2)."""
    text = target.decode("latin-1")
    if not text.startswith("/") and "://" in text:
        text = "/" + text.partition("://")[2].partition("/")[2]
    path, _, query = text.partition("#")[0].partition("?")
    return unquote(path) if "%" in path else path, query


def _malformed(error: Exception) -> BadRequestError:
    return BadRequestError(f"this is not a well-formed HTTP/1.1 request: {error}")


def _check_head(collector: _Collector, version: str) -> None:
    """Refuse what the parser lets pass and we do not."""
    headers = collector.headers
    if version not in {"1.0", "1.1"}:
        raise RequestError(f"HTTP/{version} is not spoken here, HTTP/1.1 is", 505)
    if collector.count > MAX_HEADERS:
        raise RequestError(f"a request has at most {MAX_HEADERS} headers, this one has {collector.count}", 431)
    if len(collector.url) > MAX_URL_BYTES:
        raise RequestError(f"the URL is longer than {MAX_URL_BYTES} bytes", 414)
    if version == "1.1" and "host" not in headers:
        raise BadRequestError("an HTTP/1.1 request needs a Host header")
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise RequestError("a request here has no body; publish with the publisher's /pub", 413)


def parse_subscribe(request: Request) -> SubscribeRequest:
    """Read what a GET on one of the subscribers' paths asks for.

    Raises `RequestError`: 404 for another path, 400 for a parameter that is missing or wrong, 426 for a WebSocket
    of another version.
    """
    headers = request.headers
    preferred = "ws" if wants_websocket(headers) else "sse" if _accepts_events(headers) else "stream"
    asked = _parse_target(request.path, request.query, preferred, headers.get("last-event-id", ""))
    if asked.transport != "ws":
        return asked
    if request.http10:
        raise BadRequestError("a WebSocket needs HTTP/1.1")
    return asked._replace(key=accept(headers))


def _accepts_events(headers: dict[str, str]) -> bool:
    return "text/event-stream" in headers.get("accept", "")


@lru_cache(maxsize=256)
def _parse_target(path: str, query: str, preferred: str, last_event_id: str) -> SubscribeRequest:
    """Read a subscriber's request from all that it depends on.

    Remembered, because the subscribers of one channel ask alike: all of them at first, pollers for ever.
    """
    forced = path[1:]
    if forced not in TRANSPORTS and forced != "sub":
        raise RequestError(f"there is nothing at {path[:60]}; subscribe at /sub?id=CHANNEL", 404)
    channels, parameters = _parse_query(query)
    transport = _transport(forced, parameters, preferred)
    asked_since = last_event_id or parameters.get("since", "")
    named = "=" in asked_since
    positions = parse_named_positions(asked_since) if named else None
    channels = _checked(tuple(positions) if positions else channels, optional=transport == "ws")
    return SubscribeRequest(
        transport,
        channels,
        tuple(positions.values()) if positions else _since(asked_since, channels),
        _callback(parameters.get("callback", "")) if transport == "jsonp" else "",
        _timeout(parameters.get("timeout", "")),
        parameters.get("envelope", "") not in {"", "0"},
        _history(parameters.get("history", "")),
        named,
    )


def _parse_query(query: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the channels in the order asked, and the other parameters by their first spelling."""
    fields = query.split("&")
    if len(fields) > MAX_PARAMETERS:
        raise BadRequestError(f"the query has {len(fields)} parameters, at most {MAX_PARAMETERS} are read")
    channels: list[str] = []
    parameters: dict[str, str] = {}
    for field in fields:
        name, _, value = field.partition("=")
        if "%" in field or "+" in field:
            name, value = _unquote(name), _unquote(value)
        if name in CHANNEL_PARAMETERS:
            channels.append(check_channel(value))
        else:
            parameters[SPELLINGS.get(name, name)] = value
    return tuple(dict.fromkeys(channels)) if len(channels) > 1 else tuple(channels), parameters


def _unquote(text: str) -> str:
    """Undo percent-encoding and `+` (WHATWG URL, application/x-www-form-urlencoded)."""
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise BadRequestError("the query is not UTF-8; percent-encode it as such") from None


def _since(text: str, channels: tuple[str, ...]) -> tuple[Position, ...] | None:
    return tuple(parse_positions(text, len(channels))) if text else None


def _checked(channels: tuple[str, ...], *, optional: bool) -> tuple[str, ...]:
    if not channels and not optional:
        raise BadRequestError("id: a channel name is missing; write for example ?id=room")
    if len(channels) > MAX_CHANNELS:
        raise BadRequestError(
            f"id: one connection holds at most {MAX_CHANNELS} channels, {len(channels)} were asked for"
        )
    return channels


def _transport(forced: str, parameters: dict[str, str], preferred: str) -> str:
    """Choose the transport: by path, by name, by a JSONP callback, or by what the headers prefer."""
    if forced != "sub":
        return forced
    asked = parameters.get("transport", "")
    if asked and asked not in TRANSPORTS:
        raise BadRequestError(f"transport: {asked[:20]!r} is not one of {', '.join(TRANSPORTS)}")
    if "callback" in parameters and asked in {"", "poll", "jsonp"}:
        return "jsonp"
    if asked:
        return asked
    return preferred


def _callback(name: str) -> str:
    if not _CALLBACK.fullmatch(name):
        raise BadRequestError(
            "callback: give the name of a function, like callback=f: a letter, _ or $, "
            "then at most 63 letters, digits, _, $ or dots"
        )
    return name


def _timeout(text: str) -> float | None:
    if not text:
        return None
    seconds = float(text) if _DECIMAL.fullmatch(text) else -1.0
    if not 0 <= seconds <= LONGEST_POLL:
        raise BadRequestError(f"timeout: give seconds from 0 to {LONGEST_POLL:.0f}, not {text[:20]!r}")
    return seconds


def _history(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= MOST_HISTORY):
        raise BadRequestError(f"history: give a number of messages from 0 to {MOST_HISTORY}, not {text[:20]!r}")
    return int(text)
