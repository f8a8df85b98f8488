"""What is wrong is refused with one clear line, and no other client is disturbed."""

import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.cluster.clients import SseClient, StreamClient, exchange, get
from tests.cluster.processes import Cluster
from tests.cluster.waiting import until


def head(target: str, method: str = "GET", headers: str = "") -> bytes:
    """Return a request head."""
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()


BAD = {
    "no id": (head("/sub"), 400, "id"),
    "an empty id": (head("/sub?id="), 400, "id"),
    "an illegal id": (head("/sub?id=a%20b"), 400, "id"),
    "an id that is not UTF-8": (head("/sub?id=%ff"), 400, "UTF-8"),
    "an id over 255 bytes": (head("/sub?id=" + "x" * 256), 400, "255"),
    "our own control name": (head("/sub?id=!probe"), 400, "id"),
    "an unknown transport": (head("/sub?id=1&transport=pigeon"), 400, "transport"),
    "a broken callback": (head("/sub?id=1&callback=alert(1)"), 400, "callback"),
    "no callback": (head("/jsonp?id=1"), 400, "callback"),
    "a position that is none": (head("/poll?id=1&since=yesterday"), 400, "since"),
    "a timeout that is none": (head("/poll?id=1&timeout=soon"), 400, "timeout"),
    "an unknown path": (head("/nothing?id=1"), 404, "/nothing"),
    "POST": (head("/sub?id=1", "POST", "Content-Length: 0\r\n"), 405, "POST"),
    "DELETE": (head("/sub?id=1", "DELETE"), 405, "DELETE"),
    "a body": (head("/sub?id=1", "GET", "Content-Length: 5\r\n") + b"hello", 413, "body"),
    "a URL of 9 KB": (head("/sub?id=1&x=" + "x" * 9000), 414, "8192"),
    "headers of 20 KB": (head("/sub?id=1", headers=f"X-Long: {'x' * 20000}\r\n"), 431, "16384"),
    "no Host": (b"GET /sub?id=1 HTTP/1.1\r\n\r\n", 400, "Host"),
    "two origins": (head("/sub?id=1", headers="Origin: http://a\r\nOrigin: http://b\r\n"), 400, "Origin"),
    "a heartbeat that is none": (head("/sse?id=1&heartbeat=loud"), 400, "heartbeat"),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60, 400, "HTTP"),
    "garbage in letters": (b"HELLO THERE\r\n\r\n", 400, "HTTP"),
}


@pytest.fixture
def bystander(cluster: Cluster, channel: str) -> Iterator[None]:
    """Hold a connection during the test, and show at the end that it still receives."""
    name = channel + "-bystander"
    with StreamClient(cluster.a.port, name) as subscriber:
        yield
        assert cluster.publish(name, "still here").text == "ok\n"
        assert subscriber.receive() == "still here"


@pytest.mark.parametrize(("request_bytes", "status", "word"), BAD.values(), ids=BAD.keys())
@pytest.mark.usefixtures("bystander")
def test_a_bad_request_gets_one_clear_line(cluster: Cluster, request_bytes: bytes, status: int, word: str) -> None:
    """The status fits, and the body is one line that names what is wrong."""
    answer, closed = exchange(cluster.a.port, request_bytes)

    assert answer.status == status
    assert (answer.json["type"], answer.json["code"]) == ("error", status)
    assert word in answer.json["content"]
    assert answer.text.count("\n") == 1
    assert closed == (answer.headers.get("connection") == "close")


def test_a_connection_kept_after_an_error_is_of_use(cluster: Cluster, channel: str) -> None:
    """If an error leaves the connection open, the next request on it is answered as usual."""
    with socket.create_connection(("127.0.0.1", cluster.a.port), 5) as raw, raw.makefile("rb") as lines:
        raw.sendall(head("/nothing"))
        headers = b"".join(iter(lines.readline, b"\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", headers)
        assert length is not None
        lines.read(int(length[1]))
        if b"connection: close" in headers:
            assert lines.read() == b""
        else:
            raw.sendall(head(f"/poll?id={channel}&timeout=0"))
            assert b" 200 " in lines.readline()


@pytest.mark.usefixtures("bystander")
def test_head_is_refused_without_a_body(cluster: Cluster) -> None:
    """HEAD gets 405, the allowed methods, and, as HTTP wants it, no body."""
    answer, _ = exchange(cluster.a.port, head("/sub?id=1", "HEAD"), "HEAD")

    assert answer.status == 405
    assert "GET" in answer.headers["allow"]
    assert answer.text == ""


@pytest.mark.usefixtures("bystander")
def test_a_half_sent_request_is_ended(cluster: Cluster) -> None:
    """A client that does not finish a request head within the deadline gets 408, however it drips."""
    began = time.monotonic()
    answer, closed = exchange(cluster.a.port, b"GET /sub?id=1 HTTP/1.1\r\nHost:")

    assert (answer.status, closed) == (408, True)
    assert 0.5 < time.monotonic() - began < 4


@pytest.mark.usefixtures("bystander")
def test_a_silent_connection_is_ended(cluster: Cluster) -> None:
    """A client that connects and sends nothing is not kept for ever."""
    with socket.create_connection(("127.0.0.1", cluster.a.port), 5) as raw:
        assert b"".join(iter(lambda: raw.recv(4096), b"")).partition(b"\r\n")[0] in {
            b"",
            b"HTTP/1.1 408 Request Timeout",
        }


@pytest.mark.usefixtures("bystander")
def test_a_second_request_ends_a_held_stream(cluster: Cluster, channel: str) -> None:
    """A held stream that gets another request cannot answer it: it ends with an error object."""
    with StreamClient(cluster.a.port, channel) as subscriber:
        subscriber.send_raw(head(f"/sub?id={channel}"))

        assert subscriber.next_object()["type"] == "error"
        with pytest.raises(EOFError):
            subscriber.next_object()
    until(lambda: cluster.publish(channel, "hi").status == 404)


@pytest.mark.usefixtures("bystander")
def test_a_request_in_small_pieces_is_understood(cluster: Cluster, channel: str) -> None:
    """A head that comes byte by byte is as good as one in one piece."""
    with socket.create_connection(("127.0.0.1", cluster.a.port), 5) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head(f"/poll?id={channel}&timeout=0"):
            raw.sendall(bytes([byte]))

        assert raw.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")


def test_http_1_0_is_answered_without_chunks(cluster: Cluster, channel: str) -> None:
    """An HTTP/1.0 client gets the plain bytes, until the connection closes."""
    with socket.create_connection(("127.0.0.1", cluster.a.port), 5) as raw, raw.makefile("rb") as lines:
        raw.sendall(f"GET /sub?id={channel} HTTP/1.0\r\n\r\n".encode())
        headers = b"".join(iter(lines.readline, b"\r\n")).lower()
        assert b" 200 ok" in headers
        assert b"transfer-encoding" not in headers
        assert b"connection: close" in headers
        assert lines.readline().startswith(b'{"type":"welcome"')
        cluster.publish(channel, "old")
        assert b'"content":"old"' in lines.readline()


def test_an_http_1_0_poll_ends_with_its_connection(cluster: Cluster, channel: str) -> None:
    """A poll by HTTP/1.0 is answered once, then the connection closes."""
    request = f"GET /poll?id={channel}&timeout=0 HTTP/1.0\r\n\r\n".encode()
    answer, closed = exchange(cluster.a.port, request)

    assert (answer.status, closed) == (200, True)


def test_the_publisher_refuses_a_message_that_is_too_large(cluster: Cluster, channel: str) -> None:
    """One byte over COMET_MAX_MESSAGE_BYTES is 413; the limit itself passes."""
    with StreamClient(cluster.a.port, channel) as subscriber:
        assert get(cluster.publisher.port, "/pub", id=channel, content="x" * 4097).status == 413
        assert cluster.publish(channel, "x" * 4096).text == "ok\n"
        assert subscriber.receive() == "x" * 4096


def test_a_bare_message_that_is_too_large_is_dropped_and_counted(cluster: Cluster, channel: str) -> None:
    """A PUBLISH over the limit reaches no subscriber, is counted, and the next one arrives."""
    series = 'comet_messages_dropped_total{reason="too_large"}'
    before = cluster.a.metric(series)
    with StreamClient(cluster.a.port, channel) as subscriber:
        cluster.valkey.publish(channel, "x" * 4097)
        cluster.valkey.publish(channel, "small")

        assert subscriber.receive() == "small"
    assert cluster.a.metric(series) == before + 1


def test_a_bare_message_that_is_not_text_harms_no_subscriber(cluster: Cluster, channel: str) -> None:
    """Bytes that are not UTF-8, and a broken frame, leave the channel working."""
    with StreamClient(cluster.a.port, channel) as stream, SseClient(cluster.a.port, channel) as sse:
        cluster.valkey.publish(channel, b"\xff\xfe")
        cluster.valkey.publish(channel, b"\x01C1 not a frame")
        cluster.publish(channel, "last")

        until(lambda: stream.receive() == "last")
        until(lambda: sse.receive() == "last")


PUBLISHER_BAD = {
    "nothing": ({}, 400),
    "an illegal id": ({"id": "a b", "content": "x"}, 400),
    "an unknown field": ({"id": "1", "content": "x", "colour": "red"}, 400),
}


@pytest.mark.parametrize(("query", "status"), PUBLISHER_BAD.values(), ids=PUBLISHER_BAD.keys())
def test_the_publisher_refuses_bad_input(cluster: Cluster, query: dict[str, str], status: int) -> None:
    """The publisher, too, says in one line what is wrong."""
    answer = get(cluster.publisher.port, "/pub", **query)

    assert answer.status == status
    assert answer.text.count("\n") == 1
