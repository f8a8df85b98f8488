"""The end of a process: what it has accepted is answered, and it is gone in time whatever hangs."""

import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from tests.cluster.clients import HOST, Connection, get
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.test_drain import UPGRADE
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # a quarter of a minute: each end takes its seconds

CLIENTS = 12
BODY = b'{"id":"room","content":"hi"}'
PUBLISH = b"POST /pub HTTP/1.1\r\nHost: publisher\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
ANSWERED_WITHIN = 3.0  # seconds; a SYN that came too late is sent once more after one, and refused
REFUSED = "refused"


class Hammer(Thread):
    """Publishes as fast as it goes, each message by a connection of its own, until it is refused one."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self._port = port

    def run(self) -> None:
        """Publish; whatever happens is an outcome."""
        while not self.outcomes[REFUSED]:
            began = time.monotonic()
            self.outcomes[self._publish()] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)

    def _publish(self) -> str:
        try:
            connection = socket.create_connection((HOST, self._port), 8)
        except ConnectionRefusedError:
            return REFUSED
        except OSError as error:
            return f"connect: {error!r}"
        try:
            with connection:
                connection.sendall(PUBLISH)
                head = connection.recv(4096).partition(b"\r\n")[0]
        except OSError as error:
            return f"request: {error!r}"
        return head.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_that_reaches_a_publisher_that_ends_is_answered(tmp_path: Path, number: signal.Signals) -> None:
    """Each message of a crowd is acknowledged, or its connection was refused before a byte was sent; none waits."""
    with running(Cluster(tmp_path, edges="", COMET_DRAIN_SECONDS="0.5", COMET_HISTORY_SIZE="100000")) as cluster:
        crowd = [Hammer(cluster.publisher.port) for _ in range(CLIENTS)]
        for one in crowd:
            one.start()
        until(lambda: sum(one.outcomes.total() for one in crowd) > 300)
        cluster.publisher.signal(number)
        code = cluster.publisher.ended(8)
        for one in crowd:
            one.join(10)
        with cluster.valkey.client() as redis:
            stored = redis.xlen("{comet:room}:log")

    outcomes = sum((one.outcomes for one in crowd), Counter())
    assert outcomes == {"HTTP/1.1 200 OK": stored, REFUSED: CLIENTS}
    assert max(one.slowest for one in crowd) < ANSWERED_WITHIN
    assert code == 0


SECONDS = 0.5  # of the drain
EXIT = 5.0  # seconds after it at which the process is gone


def test_an_edge_ends_in_time_whatever_hangs(tmp_path: Path) -> None:
    """Redis paused, WebSockets that answer no close, a request on the internal port that never comes to its end."""
    with running(Cluster(tmp_path, edges="a", COMET_DRAIN_SECONDS=str(SECONDS))) as cluster, ExitStack() as stack:
        edge = cluster.a
        for _ in range(5):
            mute = stack.enter_context(socket.create_connection((HOST, edge.port)))
            mute.sendall(f"GET /ws?id=room HTTP/1.1\r\nHost: edge\r\n{UPGRADE}\r\n".encode())
        until(lambda: edge.metric('comet_connections{transport="ws"}') == 5)
        cluster.valkey.pause()
        endless = stack.enter_context(socket.create_connection((HOST, edge.admin_port)))
        endless.sendall(b"POST /drain?to=9 HTTP/1.1\r\nHost: edge\r\nContent-Length: 9\r\n\r\n")
        assert endless.recv(100).startswith(b"HTTP/1.1 202 ")
        edge.signal(signal.SIGTERM)
        assert edge.ended(SECONDS + EXIT) == 0
        cluster.valkey.resume()


def test_a_publisher_ends_in_time_whatever_hangs(tmp_path: Path) -> None:
    """Redis paused under requests, a body that never comes to its end, a page that follows a channel."""
    with running(Cluster(tmp_path, edges="", COMET_DRAIN_SECONDS=str(SECONDS))) as cluster, ExitStack() as stack:
        publisher = cluster.publisher
        requests = {
            publisher.port: [b"GET /admin/tail?id=room HTTP/1.1\r\nHost: p\r\n\r\n", PUBLISH[:-1], PUBLISH],
            publisher.admin_port: [b"POST /drain HTTP/1.1\r\nHost: p\r\nContent-Length: 9\r\n\r\n"],
        }
        cluster.valkey.pause()
        for port, lines in requests.items():
            for line in lines:
                stack.enter_context(socket.create_connection((HOST, port))).sendall(line)
        assert publisher.ended(SECONDS + EXIT) == 0
        cluster.valkey.resume()


def test_a_publisher_drains_when_it_is_asked_to_over_http(tmp_path: Path) -> None:
    """POST /drain on its internal port is SIGTERM for an operator that cannot send one; a parameter is refused."""
    with running(Cluster(tmp_path, edges="", COMET_DRAIN_SECONDS=str(SECONDS))) as cluster:
        with Connection(cluster.publisher.admin_port) as admin:
            assert admin.post("/drain?to=0", "").status == 400
            answer = admin.post("/drain", "")
        assert (answer.status, answer.json) == (202, {"draining": True, "seconds": SECONDS})
        until(lambda: not cluster.publisher.ready)
        assert get(cluster.publisher.port, "/check", id="room").headers["connection"] == "close"
        assert cluster.publisher.ended(SECONDS + EXIT) == 0
