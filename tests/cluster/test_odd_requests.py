"""Requests that servers understand differently are refused by an edge, with one answer, and nothing after it."""

import json
import socket

import pytest

from tests.cluster.clients import get
from tests.cluster.odd_requests import ANSWERED, CHANGE, DEADLINE, HIDDEN, HOST, REFUSED, SMUGGLED, say
from tests.cluster.processes import Cluster

pytestmark = pytest.mark.system  # with its clusters it takes many seconds


@pytest.mark.parametrize(("request_bytes", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_request_gets_one_answer(cluster: Cluster, request_bytes: bytes, status: int) -> None:
    """One line says what is wrong, the connection ends, and the request behind it is not served."""
    for data in (request_bytes, request_bytes + HIDDEN):
        exchange = say(cluster.a.port, data)

        assert (exchange.statuses, exchange.closed) == ((status,), True)
        head, _, body = exchange.received.partition(b"\r\n\r\n")
        assert b"connection: close" in head.lower()
        assert json.loads(body)["code"] == status
        assert body.count(b"\n") == 1


@pytest.mark.parametrize(("request_bytes", "statuses", "closed"), ANSWERED.values(), ids=ANSWERED.keys())
def test_what_is_a_request_is_answered(
    cluster: Cluster, request_bytes: bytes, statuses: tuple[int, ...], closed: bool
) -> None:
    """As RFC 9112 has it, each request gets its answer, and the connection stays if HTTP/1.1 says so."""
    exchange = say(cluster.a.port, request_bytes)

    assert (exchange.statuses, exchange.closed) == (statuses, closed)


def test_nothing_of_it_was_smuggled(cluster: Cluster) -> None:
    """No request that stood inside another one, or behind one that was refused, has been served."""
    for data, _ in REFUSED.values():
        say(cluster.b.port, data + HIDDEN)

    assert get(cluster.publisher.port, "/info", id=SMUGGLED).json["subscribers"] == 0


@pytest.mark.parametrize("first", [b"GET /poll?id=odd HTTP/1.1\n", b"GET /poll?id=odd\r\n", b"GET / RTSP/1.0\r\n"])
def test_a_first_line_that_is_wrong_is_not_waited_for(cluster: Cluster, first: bytes) -> None:
    """What can never become a request is refused before its end, however it drips in."""
    with socket.create_connection((HOST, cluster.a.port), DEADLINE) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in first:
            raw.sendall(bytes([byte]))
        assert raw.recv(4096).split()[1] in {b"400", b"505"}


def test_an_expectation_gets_its_100_before_the_answer(cluster: Cluster) -> None:
    """A client that waits for it sends the body then; one that does not wait gets the answer only."""
    head = CHANGE + b"Content-Length: 2\r\nExpect: 100-Continue\r\n\r\n"
    with socket.create_connection((HOST, cluster.a.port), DEADLINE) as raw:
        raw.sendall(head)
        assert raw.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(b"[]")
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert say(cluster.a.port, head + b"[]").statuses == (400,)


def test_http_1_0_has_no_expectations(cluster: Cluster) -> None:
    """RFC 9110 section 10.1.1: from a client of HTTP/1.0 the header is ignored."""
    head = b"POST /sub/0123456789abcdef HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection((HOST, cluster.a.port), DEADLINE) as raw:
        raw.sendall(head)
        raw.settimeout(0.2)
        with pytest.raises(TimeoutError):
            raw.recv(4096)
        raw.settimeout(DEADLINE)
        raw.sendall(b"[]")
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_the_refusal_of_a_head_has_no_body(cluster: Cluster) -> None:
    """A client of HEAD would take a body for the next answer."""
    exchange = say(cluster.a.port, b"HEAD /poll?id=odd HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")

    assert exchange.received.startswith(b"HTTP/1.1 400 ")
    assert exchange.received.endswith(b"\r\n\r\n")
    assert exchange.closed
