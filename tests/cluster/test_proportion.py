"""What a stranger is sent for one request, without any message: at most thirty times the request, whatever is in it.

Counted are the bytes after the head of the answer, and after the 101 of a WebSocket those of its frames: welcomes,
resets, acknowledgements, pongs, errors and cursors. The requests are as short as they can be.
"""

import json
import socket
from collections.abc import Iterator
from string import ascii_letters, digits

import pytest

from tests.cluster.clients import HOST, Connection
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running

pytestmark = pytest.mark.system  # it waits for silence after each of many answers

PROPORTION = 30
CHARACTERS = ascii_letters + digits + "-_.~$(),;@"
NAMES = [*CHARACTERS, *(f"{one}a" for one in CHARACTERS)][:128]
LONG = [f"{number:03d}".ljust(255, "<") for number in range(127)]  # which an iframe writes in six bytes each
IDS = "&".join(f"id={name}" for name in NAMES)
UPGRADE = (
    "Host:x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
UNPROVABLE = ",".join(["1-1"] * 128)
CALLBACK = "f" * 64
PADDING = b" " * 1024 + b"-->\n"  # of an iframe's page, before what is counted
TARGETS = {
    "stream": f"/stream?{IDS}",
    "sse": f"/sse?{IDS}",
    "iframe": f"/iframe?cb=f&{IDS}",
    "iframe with a long callback": f"/iframe?cb={CALLBACK}&{IDS}",
    "poll": f"/poll?timeout=0&{IDS}",
    "jsonp": f"/jsonp?timeout=0&cb={CALLBACK}&{IDS}",
    "ws": f"/ws?{IDS}",
}
STARTS = {
    "from now on": ("", ""),
    "unprovable": (f"&since={UNPROVABLE}", ""),
    "a foreign Last-Event-ID": ("", "Last-Event-ID:x\r\n"),
    "names in Last-Event-ID": ("&", "Last-Event-ID:" + "&".join(f"{name}=" for name in NAMES) + "\r\n"),
    "unprovable names": ("&", "Last-Event-ID:" + "&".join(f"{name}=1-1" for name in NAMES) + "\r\n"),
}
BROWSER = (
    "Host: comet.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    "Accept: text/event-stream\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.com/\r\nOrigin: https://www.example.com\r\nConnection: keep-alive\r\n"
    "Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-site\r\nPragma: no-cache\r\n"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster of one edge in which nothing was published."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def edge(cluster: Cluster) -> Service:
    """Return the edge."""
    return cluster.a


def rest(client: socket.socket) -> bytes:
    """Return all that comes until nothing more comes for half a second."""
    received = b""
    client.settimeout(3)
    try:
        while data := client.recv(1 << 20):
            received += data
            client.settimeout(0.5)
    except TimeoutError:
        pass
    return received


def asked(edge: Service, request: bytes) -> tuple[int, bytes]:
    """Send a request; return the status, and what comes after the head."""
    with socket.create_connection((HOST, edge.port), 8) as client:
        client.sendall(request)
        head, _, control = rest(client).partition(b"\r\n\r\n")
    return int(head.split()[1]), control


def shortest(target: str, start: str) -> bytes:
    """Return a request with as few bytes as it can have."""
    query, header = STARTS[start]
    if query == "&":
        target = target.replace(IDS, "")
    version = f"HTTP/1.1\r\n{UPGRADE}" if target.startswith("/ws") else "HTTP/1.0\r\n"
    return f"GET {target}{query.removeprefix('&&')} {version}{header}\r\n".encode()


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_128_channels_bring_no_more(edge: Service, target: str, start: str) -> None:
    """Whatever their transport and their positions: they are welcome, or refused in one sentence."""
    request = shortest(target, start)
    status, control = asked(edge, request)
    assert status in {101, 200, 400}
    assert len(control.partition(PADDING)[2] or control) <= PROPORTION * len(request)


@pytest.mark.parametrize("start", STARTS)
def test_a_browser_is_never_out_of_proportion(edge: Service, start: str) -> None:
    """Its headers alone are half a kilobyte."""
    query, header = STARTS[start]
    target = TARGETS["sse"].replace(IDS, "") if query == "&" else TARGETS["sse"]
    status, control = asked(edge, f"GET {target}{query} HTTP/1.1\r\n{BROWSER}{header}\r\n".encode())
    assert (status, control.count(b"event: welcome")) == (200, 128)


@pytest.mark.parametrize(("start", "letters"), [("since=0", "bc"), ("history=1", "de")])
def test_a_message_of_each_of_128_channels_brings_no_more(cluster: Cluster, start: str, letters: str) -> None:
    """The edge reads them from the logs; whatever is no message is counted, the cursors above all."""
    names = [f"{first}{second}" for second in letters for first in CHARACTERS][:128]
    with Connection(cluster.publisher.port) as backend:
        assert backend.post("/pub", {"ids": names, "content": "x"}).status == 200
    target = f"/sse?{'&'.join(f'id={name}' for name in names)}&{start}"
    for request in (f"GET {target} HTTP/1.0\r\n\r\n".encode(), f"GET {target} HTTP/1.1\r\n{BROWSER}\r\n".encode()):
        status, answer = asked(cluster.a, request)
        lines = [line for line in answer.split(b"\n") if not line.startswith(b'data: {"type":"data"')]
        assert (status, answer.count(b'{"type":"data"')) in {(200, 128), (400, 0)}
        assert len(b"\n".join(lines)) <= PROPORTION * len(request)
    assert status == 200


def frames(edge: Service, message: str) -> tuple[int, int]:
    """Send a message on a WebSocket; return how many bytes it has, and how many come."""
    data = b"\x81\xfe" + len(message).to_bytes(2) + b"\0\0\0\0" + message.encode()
    with socket.create_connection((HOST, edge.port), 8) as client:
        client.sendall(f"GET /ws HTTP/1.1\r\n{UPGRADE}\r\n".encode())
        rest(client)
        client.sendall(data)
        return len(data), len(rest(client))


@pytest.mark.parametrize(
    "operation",
    [
        "1",
        "{}",
        '{"op":"ping"}',
        '{"op":"sub"}',
        '{"op":"sub","id":"!"}',
        '{"op":"sub","id":"a","since":"1-1"}',
        '{"op":"sub","id":"b"},{"op":"unsub","id":"b"}',
    ],
)
def test_256_operations_of_a_websocket_bring_no_more(edge: Service, operation: str) -> None:
    """A sentence is said once, however often it would fit."""
    sent, received = frames(edge, "[" + ",".join([operation] * (256 // (1 + operation.count("},{")))) + "]")
    assert received <= PROPORTION * sent


def changed(edge: Service, session: str, operations: str) -> tuple[int, bytes]:
    """Post a change of channels; return how many bytes the request has, and the answer."""
    head = f"POST /sub/{session} HTTP/1.0\r\nContent-Length:{len(operations)}\r\n\r\n"
    status, answer = asked(edge, (head + operations).encode())
    assert status == 200, answer
    return len(head) + len(operations), answer


def session_of(client: socket.socket) -> str:
    """Return the session in the welcome that comes."""
    return rest(client).partition(b'"session":"')[2].partition(b'"')[0].decode()


@pytest.mark.parametrize("target", ["/sse?id=a", f"/iframe?id=a&cb={CALLBACK}"])
@pytest.mark.parametrize(
    "operations",
    [
        '{"op":"ping"}',
        ",".join(['{"op":"ping"}'] * 256),
        ",".join(['{"op":"sub","id":"b"},{"op":"unsub","id":"b"}'] * 128),
        ",".join(f'{{"op":"sub","id":"{name}","since":"1-1"}}' for name in NAMES[:127]),
        '{"op":"unsub","id":"a"}',
    ],
)
def test_operations_of_a_request_bring_no_more(edge: Service, target: str, operations: str) -> None:
    """Neither where they are sent, nor where their subscriber is; it has 128 channels of the longest names."""
    with socket.create_connection((HOST, edge.port), 8) as client:
        client.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        session = session_of(client)
        if operations.count("}") == 1:
            for start in range(0, len(LONG), 50):
                changed(edge, session, json.dumps([{"op": "sub", "id": name} for name in LONG[start : start + 50]]))
            rest(client)
        sent, answer = changed(edge, session, f"[{operations}]")
        assert len(answer) <= PROPORTION * sent
        assert len(rest(client)) <= PROPORTION * sent


@pytest.mark.parametrize("transport", ["sse", "stream", "iframe", "poll"])
def test_a_cursor_whose_names_are_stored_brings_no_more(edge: Service, transport: str) -> None:
    """It is short, and the names are not."""
    with socket.create_connection((HOST, edge.port), 8) as client:
        client.sendall(b"GET /sse?id=a HTTP/1.0\r\n\r\n")
        session = session_of(client)
        for start in range(0, len(LONG), 50):
            changed(edge, session, json.dumps([{"op": "sub", "id": name} for name in LONG[start : start + 50]]))
        cursor = [line for line in rest(client).splitlines() if line.startswith(b"id: ")][-1].removeprefix(b"id: ")
    query = "?timeout=0" if transport == "poll" else ""
    request = f"GET /{transport}{query} HTTP/1.0\r\nLast-Event-ID:".encode() + cursor + b"\r\n\r\n"
    status, control = asked(edge, request)
    assert status in {200, 400}
    assert len(control.partition(PADDING)[2] or control) <= PROPORTION * len(request)
