"""From bytes to a Request, or to an error that names the fault."""

from collections.abc import Callable
from dataclasses import astuple
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import RequestError
from edge.protocol import http as http_module
from edge.protocol.http import (
    SINGLE,
    Request,
    check_unfinished,
    is_change,
    parse_request,
    short_parser,
)
from edge.protocol.limits import USUAL_LIMITS, InputLimits
from tests.edge.http_client import head

LIMITS = InputLimits(max_head_bytes=200, max_url_bytes=100, max_headers=10, max_body_bytes=50)
parse_short = short_parser()
parse_unhurried = partial(http_module._parse, limits=USUAL_LIMITS, is_short=True)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["Accept", "accept", "Origin", "ORIGIN", "Last-Event-ID", "Upgrade", "Connection", "X"]),
        st.sampled_from(["a", "b", "a, b", "text/event-stream", "websocket", ""]),
    ),
    max_size=8,
)
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


def refusal_of(head_bytes: bytes) -> RequestError:
    """Return the error that a request head is refused with."""
    with pytest.raises(RequestError) as caught:
        parse_request(head_bytes)
    return caught.value


def test_a_head_is_read_into_its_parts() -> None:
    """Method, path, query and headers are taken apart; header names are lower-case."""
    request = parse_request(b"GET /sub?id=1&x=%20 HTTP/1.1\r\nHost: edge\r\nLast-Event-ID: 3-103\r\n\r\n")
    headers = {"host": "edge", "last-event-id": "3-103"}
    assert astuple(request) == ("GET", "/sub", "id=1&x=%20", headers, False, True, 0, False)
    assert request.size == 64


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
        (("Cookie: a=1", "Cookie: b=2; c=3"), "cookie", "a=1; b=2; c=3"),
        (("Sec-WebSocket-Version: 13",) * 2, "sec-websocket-version", "13"),
    ],
)
def test_a_header_on_several_lines_is_one_list(lines: tuple[str, ...], name: str, value: str) -> None:
    """RFC 9110 section 5.3: in their order, whatever stands between; what can only be one value may be repeated.

    Cookies are separated as in one header (RFC 9113 section 8.2.3).
    """
    assert parse_request(head("/sub?id=1", *lines)).headers[name] == value


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_two_values_where_one_is_meant_are_refused(name: str) -> None:
    """It cannot be guessed which of two origins, tokens or keys is the right one; the answer names the header."""
    error = refusal_of(head("/sub?id=1", f"{name}: one", "X: y", f"{name.upper()}: other"))
    assert error.status == 400
    assert error.sentence.lower().startswith(f"{name}: ")


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
        (b"GET /sub HTTP/1.2\r\nHost: a\r\n\r\n", 505, "HTTP/1.2"),
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
        (b"POST /pub HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 413, "body"),
        (b"POST /sub HTTP/1.1\r\nHost: a\r\nComet-Session: x\r\n\r\n", 411, "Content-Length"),
        (b"POST /sub HTTP/1.1\r\nHost: a\r\nContent-Length: 16385\r\n\r\n", 413, "16384"),
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
        (b"GET /" + b"a" * USUAL_LIMITS.max_url_bytes + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "8192"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * USUAL_LIMITS.max_headers + b"\r\n", 431, "101"),
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
    request = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * (USUAL_LIMITS.max_headers - 1) + b"\r\n")
    assert request.headers["x"].split(", ") == ["b"] * (USUAL_LIMITS.max_headers - 1)


def url_of(size: int) -> bytes:
    """Return the head of a request whose URL has this many bytes."""
    return b"GET " + b"/sub?id=1&x=".ljust(size, b"y") + b" HTTP/1.1\r\nHost: a\r\n\r\n"


def head_of(size: int) -> bytes:
    """Return a head of this many bytes."""
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    return start.ljust(size - 4, b"b") + b"\r\n\r\n"


def headers_of(count: int) -> bytes:
    """Return a head with this many headers."""
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: b\r\n" * (count - 1) + b"\r\n"


def body_of(size: int) -> bytes:
    """Return the head of a change of channels whose body has this many bytes."""
    return b"POST /sub/session HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size


@pytest.mark.parametrize("limits", [USUAL_LIMITS, LIMITS], ids=["usual", "lowered"])
@pytest.mark.parametrize(
    ("request_of", "limit", "status"),
    [
        (url_of, "max_url_bytes", 414),
        (head_of, "max_head_bytes", 431),
        (headers_of, "max_headers", 431),
        (body_of, "max_body_bytes", 413),
    ],
)
def test_each_limit_itself_is_allowed_and_one_more_is_not(
    request_of: Callable[[int], bytes], limit: str, status: int, limits: InputLimits
) -> None:
    """The refusal names the setting and its value, and the limit that it is counted by; short and long heads alike."""
    most: int = getattr(limits, limit)
    parses: tuple[Callable[[bytes], Request], ...] = (partial(parse_request, limits=limits), short_parser(limits))
    for parse in parses:
        assert parse(request_of(most)).method
        with pytest.raises(RequestError) as caught:
            parse(request_of(most + 1))
        assert (caught.value.status, caught.value.limit) == (status, limit)
        assert f"{most} " in caught.value.sentence
        assert f"COMET_{limit.upper()}" in caught.value.sentence


@pytest.mark.parametrize(
    ("beginning", "limit"),
    [(b"GET /" + b"a" * 100, "max_url_bytes"), (b"GET / HTTP/1.1\r\nX: ".ljust(201, b"b"), "max_head_bytes")],
)
def test_a_beginning_is_held_against_the_limits_as_well(beginning: bytes, limit: str) -> None:
    """What is too long is not waited for."""
    check_unfinished(beginning[:-1], LIMITS)
    with pytest.raises(RequestError, match=f"COMET_{limit.upper()}"):
        check_unfinished(beginning, LIMITS)


@pytest.mark.parametrize(
    ("method", "target", "headers", "expected"),
    [
        ("POST", "/sub/x", ("Content-Length: 2",), True),
        ("POST", "/sub/x", ("Content-Length: 0",), True),
        ("POST", "/sub", ("Content-Length: 2",), True),
        ("POST", "/sub", ("Content-Length: 0", "Comet-Session: x"), True),
        ("POST", "/sub?id=room", (), False),
        ("POST", "/sub", ("Content-Length: 0",), False),
        ("POST", "/subway", ("Content-Length: 0", "Comet-Session: x"), False),
        ("PUT", "/sub", ("Content-Length: 0", "Comet-Session: x"), False),
        ("GET", "/sub", ("Comet-Session: x",), False),
    ],
)
def test_a_change_is_a_post_that_may_name_a_session(
    method: str, target: str, headers: tuple[str, ...], expected: bool
) -> None:
    """A body may name one; a POST to /sub with nothing at all is a client that wants to subscribe."""
    request = parse_request(head(target, *headers, method=method))
    assert is_change(request.method, request.path, request.headers) == expected


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
        (b"GET /sub\r\n", 505),
        (b"GET /sub HTTP/2.0\r\n", 505),
        (b"GET /sub HTTP/1.1\n", 400),
        (b"GET /sub RTSP/1.0\r\nHost", 400),
    ],
)
def test_a_hopeless_beginning_is_refused_at_once(beginning: bytes, status: int) -> None:
    """The end of a head that cannot become a good one is not waited for."""
    with pytest.raises(RequestError) as caught:
        check_unfinished(beginning)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "beginning", [b"", b"G", b"GET /sub?id=1", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET /" + b"a" * 8191]
)
def test_a_good_beginning_is_waited_for(beginning: bytes) -> None:
    """What can still become a request is not refused."""
    check_unfinished(beginning)


@given(st.one_of(st.binary(), st.lists(st.one_of(LINES, st.binary(max_size=8))).map(b"\r\n".join)))
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a")
@example(b"PRI * HTTP/2.0\r\n\r\nSM")
@example(b"")
def test_any_head_is_read_or_refused(data: bytes) -> None:
    """Whatever bytes end in an empty line give a request or a RequestError, and nothing else."""
    data += b"\r\n\r\n"
    assert outcome(parse_unhurried, data) == outcome(parse_short, data)
    try:
        request = parse_request(data)
    except RequestError:
        return
    assert request.method.isascii()
    assert all(name == name.lower() for name in request.headers)


@pytest.mark.parametrize(
    "target",
    ["/sub?id=1", "/poll?id=a%20b&since=1-2", "/sub?id=1#fragment", "/sub?id=<1>", "/", "/sub?id=a+b&id=c", "/s\x7fub"],
)
@pytest.mark.parametrize("headers", [["Host: edge"], ["Host: edge", "Connection: close"], [], ["Host: a", "Host: b"]])
def test_what_is_remembered_is_what_would_be_parsed(target: str, headers: list[str]) -> None:
    """A plain GET whose headers were seen before is read as the parser itself reads it, faults included."""
    data = ("\r\n".join([f"GET {target} HTTP/1.1", *headers]) + "\r\n\r\n").encode()
    assert outcome(parse_unhurried, data) == outcome(parse_short, data) == outcome(parse_short, data)


def test_the_same_bytes_are_the_same_request() -> None:
    """What follows from a request can be remembered with it, and is found again without a look at its parts."""
    assert parse_short(head("/poll?id=again")) is parse_short(head("/poll?id=again"))
    assert parse_short(head("/poll?id=again")) != parse_short(head("/poll?id=other"))


def outcome(parse: Callable[[bytes], Request], data: bytes) -> object:
    """Return the request, or the status of its refusal."""
    try:
        return astuple(parse(data))
    except RequestError as error:
        return error.status
