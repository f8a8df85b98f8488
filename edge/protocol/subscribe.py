"""Subscribe requests: what a GET asks for, and the framing that its answer gets; or an error with the reason. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import unquote_plus

from common.errors import BadRequestError, RequestError
from common.names import check_channel, check_parameter, missing_channel
from common.position import START, NamedPositions, NameList, Position, Positions, StoredCursor, is_long
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.transports import TRANSPORTS, framing_for
from edge.protocol.beginning import begin_after, begin_after_header
from edge.protocol.http import Request
from edge.protocol.limits import MAX_CHANNELS
from edge.protocol.origins import Origins
from edge.protocol.websocket import accept, wants_websocket

MAX_PARAMETERS = 2 * MAX_CHANNELS
MAX_HISTORY = 10_000
MAX_POLL_SECONDS = 300.0  # few proxies wait longer for an answer
PROPORTION = 30  # bytes of welcomes and resets for each byte of a request (edge/protocol/proportion.py)
FEW_CHANNELS = 8  # whose welcomes and resets are always in proportion, unless their names are stored
MOST_OF_CHANNEL = 600  # bytes: a welcome and a reset at their longest, on any transport, without the names in them
MOST_OF_NAME = 12  # bytes for each of a name, which may be escaped twice

DEFAULT_CALLBACKS = {"jsonp": "", "iframe": "comet"}  # only these transports call a function of the page
CHANNEL_PARAMETERS = frozenset({"id", "channel", "cname"})
SPELLINGS = {
    **dict.fromkeys(("last_event_id", "lastEventId", "lastEventID", "Last-Event-ID"), "since"),
    **dict.fromkeys(("cb", "jsonp"), "callback"),
}
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{0,9})?", re.ASCII)
_SESSION = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,63}", re.ASCII)


#: Where a subscriber begins on one channel: after a position, or without one with this many of the newest messages.
Start = tuple[Position | None, int]


@dataclass(slots=True)
class SubscribeRequest:
    """What a subscriber asks for; `since` has one position for each channel, and None stands for "from now on".

    Equal requests may be one object, so none is ever changed. (It is no tuple, because each poll reads ten of these
    fields, and to read a slot costs least.)
    """

    transport: str
    channels: tuple[str, ...]
    since: tuple[Position | None, ...] | None = None
    callback: str = ""
    timeout: float | None = None  # polls only: seconds
    envelope: bool = False  # SSE only: the data of each event is the whole JSON object
    history: int = 0  # without a position it begins with this many of the newest messages
    has_channel_names: bool = False  # its position names the channels, because they were changed before it reconnected
    session: str = ""  # polls only: the session that its client made up
    heartbeat_as_event: bool = False  # SSE only: heartbeats are events, which an EventSource passes to its page
    ws_accept: str = ""  # WebSocket only: the Sec-WebSocket-Accept that answers its handshake
    stored: StoredCursor | None = None  # the position's names are to be read; until then the channels are the URL's
    needs_names: bool = False  # its next cursors are too long to have their channels' names, unless these are stored
    names: NameList | None = None  # what its cursors refer to
    most_control: int = 0  # bytes of welcomes and resets that it may be answered with; 0: it is not near a bound

    @property
    def goes_back(self) -> bool:
        """Whether it asks for messages of the past."""
        return self.since is not None or self.history > 0

    def positions_at(self, starts: Sequence[Position | None]) -> Positions:
        """Return the positions of a subscriber that goes on from `starts`, one for each channel of the request."""
        positions = zip(self.channels, (str(start or START) for start in starts), strict=True)
        return NamedPositions(positions, self.names) if self.has_channel_names else Positions(positions)


#: What a subscriber asks for, and its framing, which all subscribers share that need the same bytes.
Negotiated = tuple[SubscribeRequest, Framing]


def negotiate(request: Request, origins: Origins, max_channels: int = MAX_CHANNELS, *, closing: bool) -> Negotiated:
    """Read what a GET asks for, and choose its framing; with `closing` its answer is the connection's last.

    Raises `RequestError`: as `parse_subscribe`, and 403 for a page that may not subscribe.
    """
    origin = origins.admit(request.headers.get("origin", ""))
    asked = parse_subscribe(request, max_channels)
    origins.admit_page(asked.transport, request.headers)
    framing = framing_for(asked.transport, _variant(request, asked, origins, origin, closing))
    if len(asked.channels) > FEW_CHANNELS:
        asked = bounded(asked, framing, request.size)
    return asked, framing


def bounded(asked: SubscribeRequest, framing: Framing, size: int) -> SubscribeRequest:
    """Return a request for many channels with its bound, if a request of `size` bytes may come near it."""
    if framing.single_response:
        return asked
    most = PROPORTION * size
    expected = len(asked.channels) * MOST_OF_CHANNEL + MOST_OF_NAME * sum(map(len, asked.channels))
    return asked if expected <= most else replace(asked, most_control=most)


def short_negotiator(origins: Origins, max_channels: int) -> Callable[[Request, bool], Negotiated]:
    """Return what negotiates a short request (`closing`: yes or no); cached, because equal ones are one object."""
    return lru_cache(maxsize=256)(lambda request, closing: negotiate(request, origins, max_channels, closing=closing))


def _variant(request: Request, asked: SubscribeRequest, origins: Origins, origin: str, closing: bool) -> Variant:
    """Return the variant of a subscriber's framing; all WebSockets share one."""
    if asked.transport == "ws":
        return Variant()
    return Variant(
        chunked=not request.http10,
        closing=closing or not request.keep_alive,
        origin=origin,
        callback=asked.callback,
        envelope=asked.envelope or asked.has_channel_names or len(asked.channels) > 1,
        ancestors=origins.ancestors if asked.transport == "iframe" else "*",
        session_size=len(asked.session),
        omit_event_name=asked.envelope,
        heartbeat_as_event=asked.heartbeat_as_event and asked.transport == "sse",
    )


def parse_subscribe(request: Request, max_channels: int = MAX_CHANNELS) -> SubscribeRequest:
    """Read what a GET on one of the subscribers' paths asks for.

    Raises `RequestError`: 404 for another path, 400 for a parameter that is missing or wrong, 426 for a WebSocket
    of another version.
    """
    headers = request.headers
    preferred = "ws" if wants_websocket(headers) else "sse" if _accepts_events(headers) else "stream"
    parse = _parse_short_target if request.is_short else _parse_target
    asked = parse(request.path, request.query, preferred, headers.get("last-event-id", ""), max_channels)
    if asked.transport != "ws":
        return asked
    if request.http10:
        raise BadRequestError("a WebSocket needs HTTP/1.1")
    return replace(asked, ws_accept=accept(headers))


def _accepts_events(headers: dict[str, str]) -> bool:
    return "text/event-stream" in headers.get("accept", "").lower()


@lru_cache(maxsize=256)
def _parse_short_target(
    path: str, query: str, preferred: str, last_event_id: str, max_channels: int
) -> SubscribeRequest:
    """Read a request of the usual length; cached, because the subscribers of a channel begin with equal requests."""
    return _parse_target(path, query, preferred, last_event_id, max_channels)


def _parse_target(path: str, query: str, preferred: str, last_event_id: str, max_channels: int) -> SubscribeRequest:
    """Read a subscriber's request; the arguments are all that it depends on."""
    forced = path[1:]
    if forced not in TRANSPORTS and forced != "sub":
        raise RequestError(f"there is nothing at {path[:60]}; subscribe at /sub?id=CHANNEL", 404)
    named_in_query, parameters = _parse_query(query)
    transport = _transport(forced, parameters, preferred)
    if not parameters and not last_event_id and transport not in DEFAULT_CALLBACKS:
        return _parse_plain(named_in_query, transport, max_channels)
    if last_event_id:
        beginning = begin_after_header(last_event_id, named_in_query, transport)
    else:
        beginning = begin_after(parameters.get("since", ""), named_in_query)
    has_channel_names, channels, since, stored = beginning
    callback = DEFAULT_CALLBACKS.get(transport)
    check_count(channels, max_channels, optional=transport == "ws" or stored is not None)
    return SubscribeRequest(
        transport,
        channels,
        since,
        _callback(parameters.get("callback", callback), transport) if callback is not None else "",
        _timeout(parameters.get("timeout", "")),
        parameters.get("envelope", "") not in {"", "0"},
        _history(parameters.get("history", "")),
        has_channel_names,
        _session(parameters.get("session", "")) if transport in {"poll", "jsonp"} else "",
        _heartbeat_as_event(parameters.get("heartbeat", "")),
        stored=stored,
        needs_names=has_channel_names and TRANSPORTS[transport].kind.cursor_in_bytes and is_long(channels),
    )


def _parse_plain(asked: Sequence[str], transport: str, max_channels: int) -> SubscribeRequest:
    """Read a request that names channels and nothing else, as most do: there is nothing more to look at."""
    channels = tuple(dict.fromkeys(asked))
    check_count(channels, max_channels, optional=transport == "ws")
    return SubscribeRequest(transport, channels)


def _parse_query(query: str) -> tuple[list[str], dict[str, str]]:
    """Return the channels in the order of the query, and the other parameters by the first of their SPELLINGS.

    A parameter without a value does not replace one that has a value, whatever the spelling of the two.
    """
    fields = query.split("&")
    if len(fields) > MAX_PARAMETERS:
        raise BadRequestError(f"the query has {len(fields)} parameters, at most {MAX_PARAMETERS} are allowed")
    channels: list[str] = []
    parameters: dict[str, str] = {}
    for field in fields:
        name, _, value = field.partition("=")
        if "%" in field or "+" in field:
            name, value = _unquote(name), _unquote(value)
            _check_escapes(name, field)
        if name in CHANNEL_PARAMETERS:
            channels.append(check_channel(value))
            continue
        check_parameter(name)
        if value:
            parameters[SPELLINGS.get(name, name)] = value
        else:
            parameters.setdefault(SPELLINGS.get(name, name), value)
    return channels, parameters


def _check_escapes(name: str, field: str) -> None:
    """Raise `BadRequestError` for a channel whose name another server may decode to a different one."""
    if name in CHANNEL_PARAMETERS and _BROKEN_ESCAPE.search(field) is not None:
        raise BadRequestError("id: after % there are two hexadecimal digits; the character % itself is written %25")


def _unquote(text: str) -> str:
    """Undo percent-encoding and `+` (WHATWG URL, application/x-www-form-urlencoded)."""
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise BadRequestError("the query is not UTF-8; percent-encode it as such") from None


def check_count(channels: Sequence[str], most: int, *, optional: bool) -> None:
    """Raise `BadRequestError` for too many channels, or for none unless that is allowed."""
    if not channels and not optional:
        raise missing_channel("?id=room")
    if len(channels) > most:
        sentence = (
            f"id: one connection holds at most {most} channels (COMET_MAX_CHANNELS), {len(channels)} were asked for"
        )
        raise BadRequestError(sentence, limit="max_channels")


def _transport(forced: str, parameters: dict[str, str], preferred: str) -> str:
    """Return the transport: that of the path, or of the parameters, or the one that the headers prefer."""
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


def _callback(name: str, transport: str) -> str:
    """Check the function that is called: a frame calls its parent's, not one that is found over a path of names."""
    if not _CALLBACK.fullmatch(name) or (transport == "iframe" and "." in name):
        most = "letters, digits, _ or $" if transport == "iframe" else "letters, digits, _, $ or dots"
        raise BadRequestError(
            f"callback: give the name of a function, like callback=f: a letter, _ or $, then at most 63 {most}"
        )
    return name


def _session(text: str) -> str:
    if text and not _SESSION.fullmatch(text):
        raise BadRequestError("session: give 16 to 64 letters, digits, - or _ that cannot be guessed")
    return text


def _heartbeat_as_event(text: str) -> bool:
    if text not in {"", "comment", "event"}:
        raise BadRequestError(f"heartbeat: give comment or event, not {text[:20]!r}")
    return text == "event"


def _timeout(text: str) -> float | None:
    if not text:
        return None
    seconds = float(text) if _DECIMAL.fullmatch(text) else -1.0
    if not 0 <= seconds <= MAX_POLL_SECONDS:
        raise BadRequestError(f"timeout: give seconds from 0 to {MAX_POLL_SECONDS:.0f}, not {text[:20]!r}")
    return seconds


def _history(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= MAX_HISTORY):
        raise BadRequestError(f"history: give a number of messages from 0 to {MAX_HISTORY}, not {text[:20]!r}")
    return int(text)
