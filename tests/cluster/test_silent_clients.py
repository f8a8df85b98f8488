"""The ports that aiohttp serves: connections that say nothing, or too little, are closed in time, others are served."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.cluster.clients import HOST, Connection
from tests.cluster.processes import Cluster

pytestmark = pytest.mark.system

COUNT = 300
TIMEOUT = 1.0  # COMET_HEADER_TIMEOUT of the cluster
LATE = b'{"type":"error","code":408,"content":"the request was not complete after 1 seconds"}\n'
UNKNOWN = b"/pub is not a path of this server"  # what an internal port says before the body is complete
PARTS = {
    "nothing": b"",
    "half a head": b"POST /pub HTTP/1.1\r\nHost: x\r\nX: ",
    "half a body": b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
}
PORTS: dict[str, Callable[[Cluster], int]] = {
    "the publisher's port": lambda cluster: cluster.publisher.port,
    "the publisher's internal port": lambda cluster: cluster.publisher.admin_port,
    "an edge's internal port": lambda cluster: cluster.a.admin_port,
}


@contextmanager
def connections(port: int, part: bytes) -> Iterator[list[socket.socket]]:
    """Open connections, and send a part of a request on each."""
    with ExitStack() as stack:
        opened: list[socket.socket] = []
        for _ in range(COUNT):
            opened.append(stack.enter_context(socket.create_connection((HOST, port), 5)))
            opened[-1].sendall(part)  # at once: its time begins with the connection
        yield opened


def words(one: socket.socket) -> bytes | None:
    """Return what was said before a connection was closed; None while it is open."""
    if not select.select([one], [], [], 0)[0]:
        return None
    said = b""
    while data := one.recv(65_536):
        said += data
    return said


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS.keys())
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_300_unfinished_requests_are_ended_in_time(
    cluster: Cluster, part: bytes, port: Callable[[Cluster], int], channel: str
) -> None:
    """Whoever has begun a request is answered; a backend publishes all the while."""
    before, slowest, said = cluster.publisher.open_files, 0.0, list[bytes]()
    with connections(port(cluster), part) as still_open, Connection(cluster.publisher.port) as backend:
        began = time.monotonic()
        while still_open:
            assert time.monotonic() - began < TIMEOUT + 3, f"{len(still_open)} are open"
            asked = time.monotonic()
            assert backend.post("/pub", {"id": channel, "content": "hi"}).status == 200
            slowest = max(slowest, time.monotonic() - asked)
            looked = [(one, words(one)) for one in still_open]
            said += [text for _, text in looked if text is not None]
            still_open[:] = [one for one, text in looked if text is None]
    assert len(said) == COUNT
    assert all(text.endswith(LATE) or UNKNOWN in text if part else not text for text in said)
    assert slowest <= 0.5
    assert cluster.publisher.open_files <= before + 10
