"""A thousand pollers that come back at once, for more than all slow readers together may have parked."""

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cluster.clients import Connection
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.faults.lines import HOST

pytestmark = pytest.mark.system

POLLERS = 1000
KEPT = "x" * 50_000
COUNT = 10  # messages: 500 KB
SECONDS = 40.0
LIMITS = ("bytes", "seconds", "total")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with the default limits for slow readers."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a")) as cluster:
        yield cluster


class Poller:
    """One client that reads an answer as it comes, with a small buffer in the kernel."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        self.socket.connect((HOST, port))
        self.socket.setblocking(False)
        self.size = 0
        self.head = self.end = b""

    def read(self) -> bool:
        """Read what is here; return whether the answer is whole, or has ended before."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.size += len(data)
        self.head, self.end = (self.head + data)[:100], (self.end + data)[-10:]
        return not data or self.end.endswith(b"]}\n")


@pytest.mark.parametrize("channels", [1, 10])
def test_a_thousand_pollers_get_500_kb_each(cluster: Cluster, channels: int) -> None:
    """None is cut, none is refused, and the edge does not grow beyond its limit for slow readers."""
    with Connection(cluster.publisher.port) as backend:
        for number in range(channels):
            for _ in range(COUNT):
                assert backend.post("/pub", {"id": f"room-{number}", "content": KEPT}).status == 200
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        pollers = [Poller(cluster.a.port) for _ in range(POLLERS)]
        for number, poller in enumerate(pollers):
            stack.callback(poller.socket.close)
            selector.register(poller.socket, selectors.EVENT_READ, poller)
            target = f"/poll?id=room-{number % channels}&since=0"
            poller.socket.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        most_parked = read_all(cluster, selector)
        assert {poller.head[:15] for poller in pollers} == {b"HTTP/1.1 200 OK"}
        assert sum(poller.size > COUNT * len(KEPT) and poller.end.endswith(b"]}\n") for poller in pollers) == POLLERS
    assert sum(cluster.a.metric(f'comet_slow_readers_cut_total{{limit="{limit}"}}') for limit in LIMITS) == 0
    assert most_parked < 67_108_864


def read_all(cluster: Cluster, selector: selectors.BaseSelector) -> float:
    """Read until every answer has ended, or the time is over; return how much the edge had parked at most."""
    deadline, looked, most = time.monotonic() + SECONDS, 0.0, 0.0
    while selector.get_map() and time.monotonic() < deadline:
        if time.monotonic() > looked + 0.5:
            looked, most = time.monotonic(), max(most, cluster.a.metric("comet_parked_bytes"))
        for key, _ in selector.select(0.5):
            if key.data.read():
                selector.unregister(key.fileobj)
    return most
