"""Limits of requests, messages and connections, all set low, on real processes: allowed itself, one more refused."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.cluster.clients import HOST, Answer, Connection, StreamClient, exchange
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system

LIMITS = {
    "COMET_MAX_CHANNELS": "3",
    "COMET_MAX_OPERATIONS": "4",
    "COMET_MAX_HEAD_BYTES": "1200",
    "COMET_MAX_URL_BYTES": "600",
    "COMET_MAX_HEADERS": "12",
    "COMET_MAX_BODY_BYTES": "300",
    "COMET_MAX_WEBSOCKET_BYTES": "256",
    "COMET_WEBSOCKET_RATE": "5",
}
PING = {"op": "ping"}
PATIENCE = 8.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with one edge that has low limits, and one as it is by default."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    cluster.a.configure(LIMITS)
    with running(cluster) as cluster:
        yield cluster


def refused(edge: Service, setting: str) -> float:
    """Return how often a limit was crossed."""
    return edge.metric(f'comet_refused_total{{limit="{setting.removeprefix("COMET_").lower()}"}}')


def polled(target: str, *headers: str) -> bytes:
    """Return a request that is answered at once."""
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def padded_head(size: int) -> bytes:
    """Return a request whose head has so many bytes."""
    request = polled("/poll?id=a&timeout=0", "X: ")
    return request.replace(b"X: ", b"X: " + b"x" * (size - len(request)))


REQUESTS = {
    "COMET_MAX_CHANNELS": (lambda most: polled("/poll?timeout=0" + "".join(f"&id={n}" for n in range(most))), 400),
    "COMET_MAX_URL_BYTES": (lambda most: polled("/poll?id=a&timeout=0&x=".ljust(most, "y")), 414),
    "COMET_MAX_HEADERS": (lambda most: polled("/poll?id=a&timeout=0", *["X: y"] * (most - 1)), 431),
    "COMET_MAX_HEAD_BYTES": (padded_head, 431),
}


@pytest.mark.parametrize("setting", REQUESTS)
def test_a_request_over_a_limit_is_refused(cluster: Cluster, setting: str) -> None:
    """The other edge, as it is by default, takes it."""
    (request_of, status), most = REQUESTS[setting], int(LIMITS[setting])
    assert exchange(cluster.a.port, request_of(most))[0].status == 200
    assert refused(cluster.a, setting) == 0
    answer, _ = exchange(cluster.a.port, request_of(most + 1))
    assert (answer.status, setting in answer.json["content"], str(most) in answer.json["content"]) == (
        status,
        True,
        True,
    )
    assert refused(cluster.a, setting) == 1
    assert exchange(cluster.b.port, request_of(most + 1))[0].status == 200


def change(edge: Service, session: str, body: bytes) -> Answer:
    """Change the channels of a session."""
    request = f"POST /sub/{session} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    return exchange(edge.port, request, "POST")[0]


def test_a_change_over_a_limit_is_refused(cluster: Cluster, channel: str) -> None:
    """Through the edge with the limits, which does not hold the session; the other one lets it through."""
    with StreamClient(cluster.b.port, channel) as held:
        session = str(held.welcomes[0]["session"])
        bodies = {
            "COMET_MAX_OPERATIONS": (json.dumps([PING] * 4).encode(), json.dumps([PING] * 5).encode(), 400),
            "COMET_MAX_BODY_BYTES": (json.dumps(PING).encode().ljust(300), json.dumps(PING).encode().ljust(301), 413),
        }
        for setting, (allowed, over, status) in bodies.items():
            assert change(cluster.a, session, allowed).status == 200
            answer = change(cluster.a, session, over)
            assert (answer.status, setting in answer.json["content"]) == (status, True)
            assert refused(cluster.a, setting) == 1
            assert change(cluster.b, session, over).status == 200


def test_an_edge_carries_out_what_another_let_through(cluster: Cluster, channel: str) -> None:
    """While settings are changed edges differ: what a client may send is for the edge to say that it sends it to."""
    with StreamClient(cluster.a.port, channel) as held:
        session = str(held.welcomes[0]["session"])
        assert change(cluster.b, session, json.dumps([PING] * 20).encode()).json["channels"] == [channel]
        assert [held.next_object()["type"] for _ in range(20)] == ["pong"] * 20
        before = refused(cluster.a, "COMET_MAX_CHANNELS")
        subs = json.dumps([{"op": "sub", "id": f"{channel}-{n}"} for n in range(3)]).encode()
        assert len(change(cluster.b, session, subs).json["channels"]) == 3
        assert refused(cluster.a, "COMET_MAX_CHANNELS") == before + 1


@contextmanager
def speaking(edge: Service, channel: str) -> Iterator[ClientConnection]:
    """Open a WebSocket that is welcomed."""
    with connect(f"ws://{HOST}:{edge.port}/ws?id={channel}", proxy=None, open_timeout=PATIENCE) as client:
        client.recv(timeout=PATIENCE)
        yield client


def said(client: ClientConnection, text: str) -> Any:
    """Send a message and return the object that answers it."""
    client.send(text)
    return json.loads(client.recv(timeout=PATIENCE))


def flood(client: ClientConnection) -> None:
    """Send pings without a pause, until the connection is closed."""
    for _ in range(1000):
        said(client, json.dumps(PING))


def test_a_websocket_message_has_so_many_bytes(cluster: Cluster, channel: str) -> None:
    """One more is close code 1009."""
    with speaking(cluster.a, channel) as client:
        assert said(client, json.dumps(PING).ljust(256))["type"] == "pong"
        with pytest.raises(ConnectionClosed) as caught:
            said(client, json.dumps(PING).ljust(257))
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, "COMET_MAX_WEBSOCKET_BYTES" in caught.value.rcvd.reason) == (1009, True)
    assert refused(cluster.a, "COMET_MAX_WEBSOCKET_BYTES") == 1


def test_a_websocket_may_send_so_often(cluster: Cluster, channel: str) -> None:
    """Over it each operation is told to come later; who goes on is closed with 1008."""
    with speaking(cluster.a, channel) as client:
        answers = [said(client, json.dumps(PING)) for _ in range(5)]
        assert [each["type"] for each in answers] == ["pong"] * 5
        again = json.dumps({"op": "sub", "id": channel, "ref": 1})
        late = until(lambda: (answer := said(client, again))["type"] == "error" and answer)
        assert (late["code"], late["id"], late["op"], late["ref"]) == (429, channel, "sub", 1)
        assert refused(cluster.a, "COMET_WEBSOCKET_RATE") >= 1
    with speaking(cluster.a, channel) as client, pytest.raises(ConnectionClosed) as caught:
        flood(client)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, "COMET_WEBSOCKET_RATE" in caught.value.rcvd.reason) == (1008, True)


def test_nobody_else_notices(cluster: Cluster, channel: str) -> None:
    """A connection that is held gets its messages, and a kept-alive one its answers."""
    with StreamClient(cluster.a.port, channel) as held, Connection(cluster.a.port) as kept:
        with speaking(cluster.a, channel) as client, pytest.raises(ConnectionClosed):
            flood(client)
        cluster.publish(channel, "hi")
        assert held.receive() == "hi"
        kept.ask("/poll", {"id": channel, "timeout": "0"})
        assert kept.answer().status == 200
