"""SIGTERM of real processes: every client is evicted politely, in time, and none misses anything."""

import json
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

from tests.cluster.clients import HOST, Connection, SseClient, StreamClient, get
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # half a minute: each drain takes its seconds

SECONDS = 6.0  # of the drain: half of it is for load balancers to notice
KINDS = ("stream", "sse", "poll", "ws")
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
RESTART = b"\x03\xf4"  # 1012, in a WebSocket close frame
CLOSE = b"\x88\x82\0\0\0\0" + RESTART
GRACE = 5.0  # what a drain may take longer than it was given


@pytest.fixture(scope="module")
def draining_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose services drain when they are told to end."""
    folder = tmp_path_factory.mktemp("cluster")
    with running(Cluster(folder, COMET_DRAIN_SECONDS=str(SECONDS), COMET_HEARTBEAT="60")) as cluster:
        yield cluster
        for service in cluster.services:
            service.kill()


@pytest.fixture
def cluster(draining_cluster: Cluster) -> Iterator[Cluster]:
    """Return that cluster, with what an earlier test ended running again."""
    for service in draining_cluster.services:
        if not service.alive:
            service.start()
    draining_cluster.wait_ready()
    yield draining_cluster
    for service in draining_cluster.services:
        if service.alive and not service.ready:
            service.kill()


class HeldConnection:
    """One raw held connection: what it asks for, what it got, and when it ended."""

    def __init__(self, port: int, number: int) -> None:
        kind = KINDS[number % len(KINDS)]
        self.kind = kind
        self.got = b""
        self.ended_at = 0.0
        self.error: OSError | None = None
        self.socket = socket.create_connection((HOST, port))
        upgrade = UPGRADE if kind == "ws" else ""
        self.socket.sendall(f"GET /{kind}?id=room-{number % 5} HTTP/1.1\r\nHost: edge\r\n{upgrade}\r\n".encode())
        self.socket.setblocking(False)

    def read(self) -> None:
        """Take what has come, or the end."""
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            self.error, data = error, b""
        self.got += data
        if self.kind == "ws" and RESTART in data:
            self.socket.sendall(CLOSE)
        if not data:
            self.ended_at = time.monotonic()
            self.socket.close()

    @property
    def was_polite(self) -> bool:
        """Whether it ended as its transport should."""
        if self.kind == "ws":
            return self.error is None and self.got.startswith(b"HTTP/1.1 101 ") and RESTART in self.got
        if self.error is not None or not self.got.startswith(b"HTTP/1.1 200 OK\r\n"):
            return False
        if self.kind == "poll":
            head, _, body = self.got.partition(b"\r\n\r\n")
            return b"Connection: close" in head and "seq" in json.loads(body)
        told = b'"type":"close"' if self.kind == "stream" else b"retry: "
        return told in self.got.rpartition(b"hello world!")[2] and self.got.endswith(b"\r\n0\r\n\r\n")


class HeldConnections(Thread):
    """Many held connections, read by one thread until all have ended."""

    def __init__(self, port: int, count: int) -> None:
        super().__init__(daemon=True)
        self.all = [HeldConnection(port, number) for number in range(count)]

    def run(self) -> None:
        """Read until no client is left."""
        with selectors.DefaultSelector() as selector:
            for one in self.all:
                selector.register(one.socket, selectors.EVENT_READ, one)
            while selector.get_map():
                for key, _ in selector.select():
                    one = key.data
                    fd = one.socket.fileno()
                    one.read()
                    if one.ended_at:
                        selector.unregister(fd)

    def ends(self, *kinds: str) -> list[float]:
        """Return when the connections of some kinds ended, in order."""
        return sorted(one.ended_at for one in self.all if one.kind in kinds)


def test_a_thousand_connections_are_let_go_politely_and_evenly(cluster: Cluster) -> None:
    """Each transport gets its goodbye, polls first, held connections spread over the time; a message still arrives."""
    edge = cluster.a
    connections = HeldConnections(edge.port, 1000)
    until(lambda: sum(edge.metric(f'comet_connections{{transport="{kind}"}}') for kind in KINDS) == 1000)
    connections.start()
    begun = time.monotonic()
    edge.signal(signal.SIGTERM)
    until(lambda: edge.status("/readyz") == 503)
    assert edge.status("/healthz") == 200
    with SseClient(edge.port, "late") as late:  # a load balancer that has not noticed yet
        cluster.publish("late", "still served")
        assert late.receive() == "still served"
    until(lambda: connections.ends("poll")[0], SECONDS)
    for number in range(5):
        cluster.publish(f"room-{number}", "while draining")
    code, ended = edge.ended(SECONDS + GRACE), time.monotonic()
    connections.join(GRACE)

    assert code == 0
    assert ended - begun <= SECONDS + GRACE
    impolite = [(one.kind, one.error, one.got[-200:]) for one in connections.all if not one.was_polite]
    assert impolite == []
    polls, held = connections.ends("poll"), connections.ends("stream", "sse", "ws")
    assert polls[0] - begun >= SECONDS / 2
    assert polls[-1] - polls[0] < 1
    assert_spread(held, polls[0], SECONDS / 2 - 1)  # the last second is for requests on their way
    got_it = [one for one in connections.all if b"while draining" in one.got]
    assert len(got_it) > 500  # those that were still there


def assert_spread(ends: list[float], begin: float, seconds: float) -> None:
    """Check that no fifth of the time saw more than twice its share of the ends, and little came later."""
    share = [0] * 6
    for at in ends:
        share[min(int((at - begin) / seconds * 5), 5)] += 1
    assert max(share) < 2 * len(ends) / 5, share
    assert share[5] < len(ends) / 5, share


def test_a_message_reaches_every_client_that_is_still_there(cluster: Cluster) -> None:
    """Publishing goes on while an edge drains: a client that was not evicted yet gets everything, in order."""
    with StreamClient(cluster.a.port, "room") as stream, SseClient(cluster.a.port, "room") as events:
        cluster.a.signal(signal.SIGTERM)
        until(lambda: not cluster.a.ready)
        for number in range(20):
            assert cluster.publish("room", str(number)).text == "ok\n"
        assert [stream.receive() for _ in range(20)] == [str(number) for number in range(20)]
        assert [events.receive() for _ in range(20)] == [str(number) for number in range(20)]
    assert cluster.a.ended(SECONDS + GRACE) == 0


def test_a_poller_is_led_away_without_an_error_and_misses_nothing(cluster: Cluster) -> None:
    """Its kept-alive connection ends with an answer that says so, and the other edge goes on from its position."""
    with Connection(cluster.a.port) as connection:
        connection.ask("/poll", {"id": "room", "timeout": "0"})
        seq = connection.answer().json["seq"]
        cluster.a.signal(signal.SIGTERM)
        until(lambda: not cluster.a.ready)
        cluster.publish("room", "one")
        connection.ask("/poll", {"id": "room", "since": seq})
        answer = connection.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert [item["content"] for item in answer.json["messages"]] == ["one"]
    cluster.publish("room", "two")
    batch = get(cluster.b.port, "/poll", id="room", since=answer.json["seq"]).json
    assert [item["content"] for item in batch["messages"]] == ["two"]
    assert cluster.a.ended(SECONDS + GRACE) == 0


def test_it_ends_early_when_no_client_is_left(cluster: Cluster) -> None:
    """Nothing is waited for but the time in which load balancers notice."""
    begun = time.monotonic()
    cluster.a.signal(signal.SIGTERM)
    assert cluster.a.ended(SECONDS) == 0
    assert SECONDS / 2 <= time.monotonic() - begun < SECONDS


def test_a_second_sigterm_ends_it_at_once(cluster: Cluster) -> None:
    """An operator that cannot wait does not have to."""
    with StreamClient(cluster.a.port, "room"):
        cluster.a.signal(signal.SIGTERM)
        until(lambda: not cluster.a.ready)
        cluster.a.signal(signal.SIGTERM)
        assert cluster.a.ended(SECONDS / 2) == 128 + signal.SIGTERM


def test_sigint_says_goodbye_at_once(cluster: Cluster) -> None:
    """Ctrl-C evicts all clients together, politely all the same."""
    with StreamClient(cluster.a.port, "room") as stream:
        cluster.a.signal(signal.SIGINT)
        assert stream.next_object()["type"] == "close"
        assert cluster.a.ended(SECONDS / 2) == 0


def test_asked_over_http_it_drains_and_ends(cluster: Cluster) -> None:
    """POST /drain on the internal port is SIGTERM for an operator that cannot send one; the signal may still come."""
    with Connection(cluster.a.admin_port) as admin:
        answer = admin.post("/drain", "")
    assert (answer.status, answer.json) == (202, {"connections": 0, "draining": True, "seconds": SECONDS})
    until(lambda: not cluster.a.ready)
    cluster.a.signal(signal.SIGTERM)
    assert cluster.a.ended(SECONDS) == 0


def test_a_publisher_serves_on_while_load_balancers_notice(cluster: Cluster) -> None:
    """It is not ready at once; until it stops listening every answer is its connection's last."""
    cluster.publisher.signal(signal.SIGTERM)
    until(lambda: cluster.publisher.status("/readyz") == 503)
    answer = cluster.publish("empty", "no subscriber is connected")
    assert (answer.status, answer.headers["connection"]) == (404, "close")
    assert cluster.publisher.ended(SECONDS) == 0


def test_a_publisher_finishes_what_it_accepted(tmp_path: Path) -> None:
    """A request that Redis holds up while the publisher stops listening is answered all the same."""
    with running(Cluster(tmp_path, edges="a", COMET_DRAIN_SECONDS="0.4")) as cluster:
        with Connection(cluster.publisher.port) as connection:
            connection.ask("/pub", {"id": "first", "content": "to load the script"})
            assert connection.answer().status == 404
        with ThreadPoolExecutor() as pool, Connection(cluster.publisher.port) as connection:
            cluster.valkey.pause()
            answer = pool.submit(connection.post, "/pub", {"id": "room", "content": "in flight"})
            cluster.publisher.signal(signal.SIGTERM)
            until(lambda: refuses(cluster.publisher.port))
            cluster.valkey.resume()
            assert (answer.result().status, answer.result().json["edges"]) == (200, 0)
        assert cluster.publisher.ended(GRACE) == 0


def refuses(port: int) -> bool:
    """Say whether nothing listens on a port."""
    try:
        socket.create_connection((HOST, port), 0.1).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:
        pass
    return False
