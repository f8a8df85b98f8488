"""Clients that send nothing more after their request and read on (`nc -N`, some relays), or an empty line too many."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.clients import HOST, Connection
from tests.cluster.processes import Cluster

TIMES = 10
BIG = "x" * 4000


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """Open a connection to an edge."""
    with socket.create_connection((HOST, port), 8) as client:
        yield client


def last_words(port: int, request: str) -> bytes:
    """Send a request and the end; return all that comes."""
    with connected(port) as client:
        client.sendall(request.encode())
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def get(target: str, version: str = "1.1") -> str:
    """Return a GET."""
    return f"GET {target} HTTP/{version}\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", ["/poll", "/jsonp"])
def test_a_poll_is_answered_whole_every_time(cluster: Cluster, channel: str, path: str, version: str) -> None:
    """Whether the edge has the channel or must ask Redis for it: no answer is lost to a race."""
    for number in range(TIMES):
        answer = last_words(
            cluster.a.port, get(f"{path}?id={channel}-{version}-{number}&timeout=0&callback=f", version)
        )
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b'"messages":[]' in answer


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_long_answer_arrives_whole(cluster: Cluster, channel: str, version: str) -> None:
    """It does not matter that most of it waits in the edge when the end comes."""
    with Connection(cluster.publisher.port) as backend:
        assert backend.post("/pub", [{"id": channel, "content": BIG} for _ in range(100)]).status == 200
    answer = last_words(cluster.a.port, get(f"/poll?id={channel}&since=0", version))
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert [message["content"] for message in body["messages"]] == [BIG] * 100


def test_a_poll_that_waits_is_answered_at_once(cluster: Cluster, channel: str) -> None:
    """With no messages, and the position from which to go on; the default would be to wait for 25 seconds."""
    for _ in range(TIMES):
        answer = last_words(cluster.a.port, get(f"/poll?id={channel}"))
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["messages"] == []


def test_each_of_several_requests_is_answered(cluster: Cluster, channel: str) -> None:
    """A client may send them ahead, and the end with them."""
    answers = last_words(cluster.a.port, get(f"/poll?id={channel}&timeout=0") * 3)
    assert answers.count(b"HTTP/1.1 200 OK") == 3


def test_a_change_of_channels_is_answered(cluster: Cluster) -> None:
    """It asks the other edges first, so the answer takes a while."""
    body = '{"op":"sub","id":"room"}'
    request = f"POST /sub/c75530b5.AAANyFRAqoi2jXMCQyrrb1fK HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    assert last_words(cluster.a.port, request + body).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("transport", ["stream", "sse", "iframe"])
def test_a_held_connection_is_closed(cluster: Cluster, channel: str, transport: str) -> None:
    """Its answer has no end that could be waited for."""
    assert b"0\r\n\r\n" not in last_words(cluster.a.port, get(f"/{transport}?id={channel}"))


@pytest.mark.parametrize("count", [1, 3])
def test_a_publisher_answers_each_request(cluster: Cluster, channel: str, count: int) -> None:
    """GET, and POST with a whole body: what was published is always told, and a page comes whole."""
    body = json.dumps({"id": channel, "content": BIG})
    post = f"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    for request in (get(f"/pub?id={channel}&content=hi"), post + body, get("/info"), get("/static/comet.js")):
        for _ in range(TIMES):
            answers = last_words(cluster.publisher.port, count * request)
            assert answers.count(b"HTTP/1.1 ") == count, answers[:500]


def test_a_body_that_is_cut_off_is_not_published(cluster: Cluster, channel: str) -> None:
    """Nothing more of it will come."""
    post = f"POST /pub?id={channel} HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\ncontent=x"
    for _ in range(TIMES):
        assert b"HTTP/1.1 2" not in last_words(cluster.publisher.port, post)
    answer = last_words(cluster.a.port, get(f"/poll?id={channel}&since=0&timeout=0"))
    assert b'"messages":[]' in answer


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_an_internal_port_answers(cluster: Cluster, path: str) -> None:
    """Of an edge and of a publisher."""
    for service in (cluster.a, cluster.publisher):
        for _ in range(TIMES):
            assert last_words(service.admin_port, get(path)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("transport", ["stream", "sse", "iframe"])
@pytest.mark.parametrize("known", [True, False])
def test_empty_lines_after_a_request_are_ignored(cluster: Cluster, channel: str, transport: str, known: bool) -> None:
    """With the request, before the welcome and after it; anything else ends the connection with a sentence."""
    if known:
        last_words(cluster.a.port, get(f"/poll?id={channel}&timeout=0"))
    with connected(cluster.a.port) as client:
        client.sendall(get(f"/{transport}?id={channel}").encode() + b"\r\n")
        client.sendall(b"\r\n")
        received_until(client, b"hello world!")
        for stray in (b"\r\n", b"\r", b"\n", b"\r\n\r\n"):
            client.sendall(stray)
        cluster.publish(channel, "still here")
        received_until(client, b"still here")
        client.sendall(b"\r\nGET / HTTP/1.1\r\n\r\n")
        assert b"held by a stream" in received_until(client, b"0\r\n\r\n")


def received_until(client: socket.socket, end: bytes) -> bytes:
    """Read until something came."""
    data = b""
    while end not in data:
        more = client.recv(65536)
        assert more, f"the connection has ended: {data!r}"
        data += more
    return data
