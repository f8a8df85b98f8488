"""From bytes to a Request, and from a Request to a SubscribeRequest."""

import re
from collections.abc import Callable
from dataclasses import astuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import RequestError
from common.position import Position
from edge.protocol import http as http_module
from edge.protocol.http import MAX_HEADERS, MAX_URL_BYTES, SINGLE, Request, check_unfinished, parse_request
from edge.protocol.subscribe import MAX_CHANNELS, SubscribeRequest, parse_subscribe
from tests.edge.edge_without_redis import get, head

ROOM = ("room",)


def asked(path: str, query: str = "", **headers: str) -> SubscribeRequest:
    """Return what a GET asks for."""
    return parse_subscribe(get(path, query, **headers))


def refusal_of(head_bytes: bytes) -> RequestError:
    """Return the error that a request head is refused with."""
    with pytest.raises(RequestError) as caught:
        parse_request(head_bytes)
    return caught.value


# The head.


def test_a_head_is_read_into_its_parts() -> None:
    """Method, path, query and headers are taken apart; header names are lower-case."""
    request = parse_request(b"GET /sub?id=1&x=%20 HTTP/1.1\r\nHost: edge\r\nLast-Event-ID: 3-103\r\n\r\n")
    headers = {"host": "edge", "last-event-id": "3-103"}
    assert astuple(request) == ("GET", "/sub", "id=1&x=%20", headers, False, True, 0)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/sub", "/sub", ""),
        ("/sub?", "/sub", ""),
        ("/s%75b?id=1", "/sub", "id=1"),
        ("/sub%3Fid=1", "/sub?id=1", ""),
        ("/sub?id=1?2", "/sub", "id=1?2"),
        ("/sub?id=1#part", "/sub", "id=1"),
        ("/%FF", "/\ufffd", ""),
    ],
)
def test_a_target_is_a_path_and_a_query(target: str, path: str, query: str) -> None:
    """The path is percent-decoded after it was cut at the question mark; a fragment is no part of the query."""
    request = parse_request(head(target))
    assert (request.path, request.query) == (path, query)


def test_a_target_may_be_a_whole_url() -> None:
    """A request in absolute form is answered like any other (RFC 9112 section 3.2.2)."""
    request = parse_request(head("http://edge/sub?id=1"))
    assert (request.path, request.query) == ("/sub", "id=1")


@pytest.mark.parametrize(
    ("version", "headers", "http10", "keep_alive"),
    [
        ("1.1", (), False, True),
        ("1.1", ("Connection: keep-alive",), False, True),
        ("1.1", ("Connection: close",), False, False),
        ("1.1", ("Connection: Close",), False, False),
        ("1.1", ("Connection: foo, close",), False, False),
        ("1.1", ("Connection: close", "Connection: foo"), False, False),
        ("1.0", (), True, False),
        ("1.0", ("Host: edge",), True, False),
    ],
)
def test_the_connections_fate_is_read_from_version_and_header(
    version: str, headers: tuple[str, ...], http10: bool, keep_alive: bool
) -> None:
    """HTTP/1.1 is kept alive unless the client says close; HTTP/1.0 needs no Host and is not kept."""
    request = parse_request(head("/sub?id=1", *headers, version=version))
    assert (request.http10, request.keep_alive) == (http10, keep_alive)


def test_a_websocket_handshake_is_a_complete_head() -> None:
    """What asks for an upgrade is read like any other request."""
    request = parse_request(head("/sub?id=1", "Upgrade: websocket", "Connection: Upgrade"))
    assert request.headers["upgrade"] == "websocket"


@pytest.mark.parametrize("value", ["room ", "room\t", " room", "  room \t "])
def test_white_space_around_a_headers_value_is_no_part_of_it(value: str) -> None:
    """Optional white space is excluded from a field's value (RFC 9112 section 5.1)."""
    assert parse_request(head("/", f"X-Name:{value}")).headers["x-name"] == "room"


@pytest.mark.parametrize(
    ("lines", "name", "value"),
    [
        (("Connection: keep-alive", "connection: Upgrade"), "connection", "keep-alive, Upgrade"),
        (("Upgrade: h2c", "X: 1", "Upgrade: websocket"), "upgrade", "h2c, websocket"),
        (("Accept: text/html", "ACCEPT: text/event-stream"), "accept", "text/html, text/event-stream"),
        (("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b, c"), "sec-websocket-protocol", "a, b, c"),
        (("Origin: https://a.example",) * 3, "origin", "https://a.example"),
        (("Sec-WebSocket-Version: 13",) * 2, "sec-websocket-version", "13"),
    ],
)
def test_a_header_on_several_lines_is_one_list(lines: tuple[str, ...], name: str, value: str) -> None:
    """RFC 9110 section 5.3: in their order, whatever stands between; what can only be one value may be repeated."""
    assert parse_request(head("/sub?id=1", *lines)).headers[name] == value


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_two_values_where_one_is_meant_are_refused(name: str) -> None:
    """Nobody guesses which of two origins, tokens or keys is the right one; the answer names the header."""
    error = refusal_of(head("/sub?id=1", f"{name}: one", "X: y", f"{name.upper()}: other"))
    assert error.status == 400
    assert error.sentence.lower().startswith(f"{name}: ")


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Accept", "accept", "Origin", "ORIGIN", "Last-Event-ID", "Upgrade", "Connection", "X"]),
        st.sampled_from(["a", "b", "a, b", "text/event-stream", "websocket", ""]),
    ),
    max_size=8,
)


@given(HEADERS)
def test_lines_say_what_their_list_says(headers: list[tuple[str, str]]) -> None:
    """Any mix of repeated headers is read as if each had been written once, or refused if it must be one value."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    lines = [f"{name}: {value}" for name, value in headers]
    if any(len(set(values.get(name, ()))) > 1 for name in SINGLE):
        assert refusal_of(head("/", *lines)).status == 400
        return
    once = {name: texts[0] if name in SINGLE else ", ".join(texts) for name, texts in values.items()}
    assert parse_request(head("/", *lines)).headers == {"host": "edge"} | once


@pytest.mark.parametrize(
    ("bad", "status", "sentence"),
    [
        (b"GET /sub\r\n\r\n", 505, "HTTP/0.9"),
        (b"GET /sub HTTP/0.9\r\nHost: a\r\n\r\n", 505, "HTTP/0.9"),
        (b"GET /sub HTTP/2.0\r\nHost: a\r\n\r\n", 505, "HTTP/2.0"),
        (b"PRI * HTTP/2.0\r\n\r\n", 505, "HTTP/2.0"),
        (b"GET /sub HTTP/1.2\r\nHost: a\r\n\r\n", 400, "version"),
        (b"GET /sub HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET /sub HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "Host"),
        (b"GET /sub HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400, "Host"),
        (b"GET /sub HTTP/1.1\nHost: a\n\r\n\r\n", 400, "well-formed"),
        (b"GET /sub HTTP/1.1\r\nHost: a\n\r\n\r\n", 400, "well-formed"),
        (b"GET /sub HTTP/1.1\rHost: a\r\n\r\n", 400, "well-formed"),
        (b"GET /sub HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "well-formed"),
        (b"GET /sub HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "well-formed"),
        (b"GET /sub\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "well-formed"),
        (b"GET /sub HTTP/1.1\r\nHost : a\r\n\r\n", 400, "well-formed"),
        (b"GET /sub HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n", 400, "well-formed"),
        (b"GET /sub?id=a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "well-formed"),
        (b"FROB /sub HTTP/1.1\r\nHost: a\r\n\r\n", 400, "well-formed"),
        (b"HTTP/1.1 200 OK\r\n\r\n", 400, "well-formed"),
        (b"HELLO\r\n\r\n", 400, "well-formed"),
        (b"get /sub HTTP/1.1\r\nHost: a\r\n\r\n", 400, "not an HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "TLS"),
        (b"\r\n\r\n", 400, "not an HTTP request"),
        (b"\0\r\n\r\n", 400, "not an HTTP request"),
        (b"POST /sub HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 413, "body"),
        (b"GET /sub HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 413, "body"),
        (b"POST /sub HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 413, "body"),
        (b"POST /sub HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "well-formed"),
        (b"POST /sub HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, "Content-Length"),
        (
            b"POST /sub HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            400,
            "Content-Length",
        ),
        (
            b"POST /sub HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "Transfer-Encoding",
        ),
        (b"GET /" + b"a" * MAX_URL_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "8192"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * MAX_HEADERS + b"\r\n", 431, "101"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 16384 + b"\r\n\r\n", 431, "16384"),
    ],
)
def test_a_bad_head_is_refused_with_its_status(bad: bytes, status: int, sentence: str) -> None:
    """Each way to be wrong has its status, and a sentence that says what it was."""
    error = refusal_of(bad)
    assert error.status == status
    assert sentence in error.sentence
    assert "\n" not in error.sentence


def test_a_hundred_headers_are_taken() -> None:
    """The limit itself is allowed, Host included."""
    request = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * (MAX_HEADERS - 1) + b"\r\n")
    assert request.headers["x"].split(", ") == ["b"] * (MAX_HEADERS - 1)


def test_an_empty_body_is_no_body() -> None:
    """A request that says it has zero bytes of body is read."""
    assert parse_request(head("/sub?id=1", "Content-Length: 0", method="POST")).method == "POST"


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"GET /" + b"a" * 8192, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 16384, 431),
        (b"\x16\x03\x01", 400),
        (b"\x80", 400),
        (b"{", 400),
    ],
)
def test_a_hopeless_beginning_is_refused_at_once(beginning: bytes, status: int) -> None:
    """Nobody waits for the end of a head that cannot become a good one."""
    with pytest.raises(RequestError) as caught:
        check_unfinished(beginning)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "beginning", [b"", b"G", b"GET /sub?id=1", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET /" + b"a" * 8187]
)
def test_a_good_beginning_is_waited_for(beginning: bytes) -> None:
    """What can still become a request is not refused."""
    check_unfinished(beginning)


LINES = st.sampled_from(
    [
        *(
            b"GET /sub?id=1 HTTP/1.1",
            b"GET / HTTP/1.0",
            b"PRI * HTTP/2.0",
            b"OPTIONS * HTTP/1.1",
            b"CONNECT a:1 HTTP/1.1",
        ),
        *(b"Host: a", b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Upgrade: h2c"),
        *(b"Connection: close", b"Connection: upgrade", b" folded", b"X: \xff", b"", b"\0", b"5\r\nhello", b"GET"),
    ]
)


@given(st.one_of(st.binary(), st.lists(st.one_of(LINES, st.binary(max_size=8))).map(b"\r\n".join)))
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a")
@example(b"PRI * HTTP/2.0\r\n\r\nSM")
@example(b"")
def test_any_head_is_read_or_refused(data: bytes) -> None:
    """Whatever bytes end in an empty line give a request or a RequestError, and nothing else."""
    try:
        request = parse_request(data + b"\r\n\r\n")
    except RequestError:
        return
    assert request.method.isascii()
    assert all(name == name.lower() for name in request.headers)


# The subscription.


@pytest.mark.parametrize(
    ("path", "query", "accept", "transport"),
    [
        ("/sub", "id=room", "", "stream"),
        ("/sub", "id=room", "*/*", "stream"),
        ("/sub", "id=room", "text/event-stream", "sse"),
        ("/sub", "id=room", "text/html, text/event-stream;q=0.9", "sse"),
        ("/sub", "id=room", "Text/Event-Stream", "sse"),
        ("/sub", "id=room&transport=stream", "text/event-stream", "stream"),
        ("/sub", "id=room&transport=sse", "", "sse"),
        ("/sub", "id=room&transport=poll", "text/event-stream", "poll"),
        ("/sub", "id=room&transport=", "text/event-stream", "sse"),
        ("/sub", "id=room&transport=jsonp&callback=f", "", "jsonp"),
        ("/sub", "id=room&callback=f", "", "jsonp"),
        ("/sub", "id=room&cb=f", "text/event-stream", "jsonp"),
        ("/sub", "id=room&jsonp=f", "", "jsonp"),
        ("/sub", "id=room&callback=f&transport=poll", "", "jsonp"),
        ("/sub", "id=room&callback=f&transport=sse", "", "sse"),
        ("/stream", "id=room", "text/event-stream", "stream"),
        ("/stream", "id=room&transport=sse", "", "stream"),
        ("/sse", "id=room", "", "sse"),
        ("/poll", "id=room", "text/event-stream", "poll"),
        ("/poll", "id=room&callback=f", "", "poll"),
        ("/jsonp", "id=room&callback=f", "", "jsonp"),
    ],
)
def test_the_transport_is_negotiated(path: str, query: str, accept: str, transport: str) -> None:
    """The path decides, then the name, then a callback, then Accept; without any of them it is the seed's stream."""
    assert asked(path, query, accept=accept).transport == transport


@pytest.mark.parametrize(
    ("query", "channels"),
    [
        ("id=room", ("room",)),
        ("channel=room", ("room",)),
        ("cname=room", ("room",)),
        ("id=b&id=a", ("b", "a")),
        ("id=c&channel=a&cname=b", ("c", "a", "b")),
        ("id=a&id=a", ("a",)),
        ("id=b&cname=a&id=b", ("b", "a")),
        ("id=%C3%BC", ("ü",)),
        ("id=a%2Bb", ("a+b",)),
        ("id=a%26b%3Dc", ("a&b=c",)),
        ("id=a=b", ("a=b",)),
        ("i%64=room", ("room",)),
        ("&id=room&", ("room",)),
        ("id=" + "a" * 255, ("a" * 255,)),
        ("id=a/b.c:d_e-f", ("a/b.c:d_e-f",)),
        ("&".join(f"id={n}" for n in range(MAX_CHANNELS)), tuple(str(n) for n in range(MAX_CHANNELS))),
        ("&".join(["id=a"] * (2 * MAX_CHANNELS)), ("a",)),
    ],
)
def test_channels_are_named_in_the_order_asked(query: str, channels: tuple[str, ...]) -> None:
    """`id` has synonyms and may be repeated; a channel asked for twice is kept once, at its first place."""
    assert asked("/sub", query).channels == channels


@pytest.mark.parametrize(
    ("query", "headers", "since"),
    [
        ("", {}, None),
        ("&since=", {}, None),
        ("&since=3-103", {}, (Position(3, 103),)),
        ("&since=0", {}, (Position(0, 0),)),
        ("&since=0-0", {}, (Position(0, 0),)),
        ("&since=9223372036854775807-9223372036854775807", {}, (Position(2**63 - 1, 2**63 - 1),)),
        ("&last_event_id=3-103", {}, (Position(3, 103),)),
        ("&lastEventId=3-103", {}, (Position(3, 103),)),
        ("&lastEventID=3-103", {}, (Position(3, 103),)),
        ("&Last-Event-ID=3-103", {}, (Position(3, 103),)),
        ("", {"last_event_id": "3-103"}, (Position(3, 103),)),
        ("&since=1-101", {"last_event_id": "3-103"}, (Position(3, 103),)),
        ("&since=1-101", {"last_event_id": ""}, (Position(1, 101),)),
        ("&id=hall&since=3-103,7-9", {}, (Position(3, 103), Position(7, 9))),
        ("&id=hall&since=3-103%2C7-9", {}, (Position(3, 103), Position(7, 9))),
        ("&id=hall&since=0,7-9", {}, (Position(0, 0), Position(7, 9))),
        ("&id=hall&since=0", {}, (Position(0, 0), Position(0, 0))),
        ("&id=room&since=3-103", {}, (Position(3, 103),)),
        ("&id=room&since=3-103,7-9", {}, (Position(3, 103),)),
        ("&id=hall&id=room&since=3-103,7-9,8-9", {}, (Position(3, 103), Position(7, 9))),
        ("&id=hall&id=room&since=3-103,7-9", {}, (Position(3, 103), Position(7, 9))),
        ("&id=hall&id=room&since=0", {}, (Position(0, 0), Position(0, 0))),
        ("&id=hall&since=0,%200", {}, (Position(0, 0), Position(0, 0))),
        ("&id=hall&since=0,+7-9", {}, (Position(0, 0), Position(7, 9))),
        ("&id=hall&since=3-103,+", {}, (Position(3, 103), None)),
        ("&id=hall", {"last_event_id": "3-103, 7-9"}, (Position(3, 103), Position(7, 9))),
        ("&since=0&last_event_id=", {}, (Position(0, 0),)),
        ("&last_event_id=&since=3-103&lastEventId=&lastEventID", {}, (Position(3, 103),)),
        ("&since=&last_event_id=3-103&since=", {}, (Position(3, 103),)),
    ],
)
def test_a_position_has_many_spellings(query: str, headers: dict[str, str], since: tuple[Position, ...] | None) -> None:
    """The header wins over the query; several channels have a list; a single `0` stands for all of them."""
    assert asked("/sub", "id=room" + query, **headers).since == since


@pytest.mark.parametrize(
    ("query", "timeout"),
    [("", None), ("&timeout=", None), ("&timeout=0", 0.0), ("&timeout=2.5", 2.5), ("&timeout=300", 300.0)],
)
def test_a_timeout_is_seconds(query: str, timeout: float | None) -> None:
    """A poll may say how long it waits; without that the edge decides."""
    assert asked("/poll", "id=room" + query).timeout == timeout


@pytest.mark.parametrize(
    ("query", "envelope"), [("", False), ("&envelope=", False), ("&envelope=0", False), ("&envelope=1", True)]
)
def test_an_envelope_can_be_asked_for(query: str, envelope: bool) -> None:
    """`envelope=1` asks for whole objects in SSE."""
    assert asked("/sse", "id=room" + query).envelope is envelope


@pytest.mark.parametrize(
    ("query", "named"), [("", False), ("&heartbeat=", False), ("&heartbeat=comment", False), ("&heartbeat=event", True)]
)
def test_heartbeats_may_be_events(query: str, named: bool) -> None:
    """`heartbeat=event` asks for what a page can hear."""
    assert asked("/sse", "id=room" + query).heartbeat_as_event is named


@pytest.mark.parametrize(
    ("query", "history"), [("", 0), ("&history=", 0), ("&history=0", 0), ("&history=7", 7), ("&history=10000", 10_000)]
)
def test_history_is_a_number_of_messages(query: str, history: int) -> None:
    """Without a position a subscriber may begin some messages back."""
    assert asked("/sub", "id=room" + query).history == history


@pytest.mark.parametrize("name", ["f", "$", "_", "jQuery.fn_1$", "a" * 64, "A.b.c"])
def test_a_callback_is_the_name_of_a_function(name: str) -> None:
    """Letters, digits, `_`, `$` and dots, up to 64 of them."""
    assert asked("/jsonp", f"id=room&callback={name}").callback == name


def test_a_callback_matters_to_jsonp_only() -> None:
    """Another transport takes no notice of a callback, good or bad: its connections all share one framing."""
    assert asked("/poll", "id=room&callback=f").callback == ""
    assert asked("/stream", "id=room&callback=a(b").callback == ""


@pytest.mark.parametrize(
    ("path", "query", "status", "field"),
    [
        ("/", "id=room", 404, "/sub?id="),
        ("/pub", "id=room", 404, "/pub"),
        ("/sub/", "id=room", 404, "/sub/"),
        ("//sub", "id=room", 404, "//sub"),
        ("/SUB", "id=room", 404, "/SUB"),
        ("", "id=room", 404, "/sub?id="),
        ("/sub", "", 400, "id"),
        ("/sub", "x=1", 400, "id"),
        ("/sub", "id=", 400, "id"),
        ("/sub", "id", 400, "id"),
        ("/sub", "ID=room", 400, "id"),
        ("/sub", "id=a+b", 400, "id"),
        ("/sub", "id=a%20b", 400, "id"),
        ("/sub", "id=a%00", 400, "id"),
        ("/sub", "id=a%0D%0Ab", 400, "id"),
        ("/sub", "id=%7Broom%7D", 400, "id"),
        ("/sub", "id=!probe", 400, "id"),
        ("/sub", "id=*", 400, "id"),
        ("/sub", "id=room&id=", 400, "id"),
        ("/sub", "id=" + "a" * 256, 400, "id"),
        ("/sub", "id=" + "%C3%BC" * 128, 400, "id"),
        ("/sub", "id=%FF", 400, "UTF-8"),
        ("/sub", "id=%ED%A0%80", 400, "UTF-8"),
        ("/sub", "&".join(f"id={n}" for n in range(MAX_CHANNELS + 1)), 400, "id"),
        ("/sub", "id=room" + "&a" * 256, 400, "parameters"),
        ("/sub", "id=room&transport=smoke", 400, "transport"),
        ("/sub", "id=room&transport=SSE", 400, "transport"),
        ("/sub", "id=room&transport=sub", 400, "transport"),
        ("/sub", "id=room&callback=", 400, "callback"),
        ("/jsonp", "id=room", 400, "callback"),
        ("/jsonp", "id=room&callback=1f", 400, "callback"),
        ("/jsonp", "id=room&callback=f()", 400, "callback"),
        ("/jsonp", "id=room&callback=f%0A", 400, "callback"),
        ("/jsonp", "id=room&callback=%C3%BC", 400, "callback"),
        ("/jsonp", "id=room&callback=f%5B0%5D", 400, "callback"),
        ("/jsonp", "id=room&callback=" + "a" * 65, 400, "callback"),
        ("/sub", "id=room&since=x", 400, "since"),
        ("/sub", "id=room&since=1", 400, "since"),
        ("/sub", "id=room&since=1-", 400, "since"),
        ("/sub", "id=room&since=01-1", 400, "since"),
        ("/sub", "id=room&since=-1-1", 400, "since"),
        ("/sub", "id=room&since=1-1%0A", 400, "since"),
        ("/sub", "id=room&since=1-%D9%A1", 400, "since"),
        ("/sub", "id=room&since=12345678901234567890-1", 400, "since"),
        ("/sub", "id=room&since=1-1,2-2", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1,x", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1,2-2,3-3", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1,++2-2", 400, "since"),
        ("/sub", "id=room&id=hall&since=1-1+,2-2", 400, "since"),
        ("/sub", "id=room&id=room&id=hall&since=1-1,2-2,3-3,4-4", 400, "since"),
        ("/sub", "id=room&since=+1-1", 400, "since"),
        ("/sub", "id=room&since=1-0", 400, "since"),
        ("/sse", "id=room&heartbeat=Event", 400, "heartbeat"),
        ("/sub", "id=room&heartbeat=1", 400, "heartbeat"),
        ("/sub", "id=room&history=x", 400, "history"),
        ("/sub", "id=room&history=-1", 400, "history"),
        ("/sub", "id=room&history=10001", 400, "history"),
        ("/sub", "id=room&history=1_0", 400, "history"),
        ("/poll", "id=room&timeout=x", 400, "timeout"),
        ("/poll", "id=room&timeout=nan", 400, "timeout"),
        ("/poll", "id=room&timeout=inf", 400, "timeout"),
        ("/poll", "id=room&timeout=-inf", 400, "timeout"),
        ("/poll", "id=room&timeout=-1", 400, "timeout"),
        ("/poll", "id=room&timeout=300.1", 400, "timeout"),
        ("/poll", "id=room&timeout=1e999", 400, "timeout"),
    ],
)
def test_a_bad_subscription_is_told_which_field_is_wrong(path: str, query: str, status: int, field: str) -> None:
    """Each bad input has its status and one sentence that names the field."""
    with pytest.raises(RequestError) as caught:
        asked(path, query)
    assert caught.value.status == status
    assert field in caught.value.sentence
    assert "\n" not in caught.value.sentence


def test_a_bad_position_in_the_header_is_refused_too() -> None:
    """Last-Event-ID is checked like the query's position."""
    with pytest.raises(RequestError, match="since"):
        asked("/sse", "id=room&since=1-101", last_event_id="x")


FIELDS = st.sampled_from(
    ["id", "channel", "since", "transport", "callback", "timeout", "envelope", "heartbeat", "x", "%", ""]
)
VALUES = st.one_of(st.sampled_from(["room", "0", "1-101", "1-101,2-102", "sse", "f", "%C3%BC", "%FF", "+"]), st.text())


@given(
    st.sampled_from(["/sub", "/sse", "/poll", "/jsonp", "/stream", "/x"]),
    st.one_of(
        st.text(st.characters(max_codepoint=255)),
        st.lists(st.tuples(FIELDS, VALUES).map("=".join)).map("&".join),
    ),
    st.one_of(st.just(""), st.text(st.characters(max_codepoint=255))),
)
def test_any_query_is_understood_or_refused(path: str, query: str, last_event_id: str) -> None:
    """Whatever the query holds, it gives a good SubscribeRequest or a RequestError, and nothing else."""
    try:
        request = asked(path, query, last_event_id=last_event_id)
    except RequestError:
        return
    assert len(set(request.channels)) == len(request.channels) > 0
    assert all(re.fullmatch(r"[^\s{}!*]+", name) for name in request.channels)
    assert request.since is None or len(request.since) == len(request.channels)
    assert request.timeout is None or 0 <= request.timeout <= 300
    assert 0 <= request.history <= 10_000


@pytest.mark.parametrize(
    "target",
    ["/sub?id=1", "/poll?id=a%20b&since=1-2", "/sub?id=1#fragment", "/sub?id=<1>", "/", "/sub?id=a+b&id=c", "/s\x7fub"],
)
@pytest.mark.parametrize("headers", [["Host: edge"], ["Host: edge", "Connection: close"], [], ["Host: a", "Host: b"]])
def test_what_is_remembered_is_what_would_be_parsed(target: str, headers: list[str]) -> None:
    """A plain GET whose headers were seen before is read as the parser itself reads it, faults included."""
    data = ("\r\n".join([f"GET {target} HTTP/1.1", *headers]) + "\r\n\r\n").encode()
    assert outcome(http_module._parse, data) == outcome(parse_request, data) == outcome(parse_request, data)


def test_the_same_bytes_are_the_same_request() -> None:
    """What follows from a request can be remembered with it, and is found again without a look at its parts."""
    assert parse_request(head("/poll?id=again")) is parse_request(head("/poll?id=again"))
    assert parse_request(head("/poll?id=again")) != parse_request(head("/poll?id=other"))


def outcome(parse: Callable[[bytes], Request], data: bytes) -> object:
    """Return the request, or the status of its refusal."""
    try:
        return astuple(parse(data))
    except RequestError as error:
        return error.status
