"""Edges die, drain, or lose Redis: a load balancer keeps its clients served, and repeats nothing that counts."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.cluster.clients import PollClient, StreamClient, get
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import STARTING, until
from tests.lb.balancers import Balancer, Haproxy, edges_behind
from tests.lb.conftest import EACH, balancing
from tests.lb.talking import Backend, WebSocketClient, ask

pytestmark = pytest.mark.system

SERVICE_RESTART = 1012
NOT_READY = 14.0  # seconds: a probe is asked for every 5, and a proof lasts 10


def test_an_edge_is_killed(fragile_balancer: Balancer, fragile_edges: Cluster, channel: str) -> None:
    """Its streams end and go on elsewhere without a gap; its polls are answered; no other client notices anything."""
    cluster, port = fragile_edges, fragile_balancer.port
    with ExitStack() as stack:
        streams = [stack.enter_context(StreamClient(port, channel)) for _ in range(4)]
        assert [edge.held for edge in cluster.edges] == [2, 2]
        polls = [stack.enter_context(PollClient(port, channel)) for _ in range(4)]
        until(lambda: sum(edge.held for edge in cluster.edges) == 8)

        cluster.a.kill()
        statuses = [get(port, "/poll", id=channel, timeout="0").status for _ in range(10)]
        ended = until(lambda: two([stream for stream in streams if stream.answered]))
        until(lambda: cluster.b.held == 6)
        assert cluster.publish(channel, "one").text == "ok\n"

        assert statuses == [200] * 10
        assert [poll.receive() for poll in polls] == ["one"] * 4
        assert [stream.receive() for stream in streams if stream not in ended] == ["one"] * 2
        assert [resumed(port, channel, stream) for stream in ended] == ["one"] * 2


@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", EACH)
def test_every_edge_is_restarted(kind: type[Balancer], tmp_path: Path, channel: str) -> None:
    """While the edges drain and come back one after the other, no request fails and every client is told to move."""
    with ExitStack() as stack:
        cluster = stack.enter_context(running(edges_behind(tmp_path, COMET_DRAIN_SECONDS="3")))
        port = stack.enter_context(balancing(kind(tmp_path, cluster.edges, cluster.publisher))).port
        streams = [stack.enter_context(StreamClient(port, channel)) for _ in range(2)]
        sockets = [stack.enter_context(WebSocketClient(port, channel)) for _ in range(2)]
        statuses = stack.enter_context(polling(port, channel))
        for edge in cluster.edges:
            edge.stop()
            edge.start()
            until(lambda edge=edge: edge.ready, STARTING)
        assert [stream.next_object()["type"] for stream in streams] == ["close", "close"]
        assert [close_code(one) for one in sockets] == [SERVICE_RESTART] * 2
        cluster.publish(channel, "after")
        assert [resumed(port, channel, stream) for stream in streams] == ["after"] * 2
        enough = len(statuses) + 20
        until(lambda: len(statuses) > enough)
        seen = set(statuses)
        for service in cluster.services:
            service.kill()  # they would drain once more
    assert seen == {200}


def test_redis_is_down(fragile_balancer: Balancer, fragile_edges: Cluster, channel: str) -> None:
    """No edge is ready, and yet an EventSource gets an edge's answer: a 503 of the balancer would end it for ever."""
    fragile_edges.valkey.kill()
    until(lambda: not any(edge.ready for edge in fragile_edges.edges), NOT_READY)
    for _ in range(2):  # each waits 3 s at the edge; until the second the balancer has noticed, too
        answer = get(fragile_balancer.port, "/sse", id=channel)
        assert (answer.status, answer.text.startswith("retry:")) == (200, True), answer
    if isinstance(fragile_balancer, Haproxy):
        assert get(fragile_balancer.own_port, "/readyz").status == 503
        assert get(fragile_balancer.own_port, "/healthz").status == 200


@pytest.mark.parametrize("kind", EACH)
def test_what_was_sent_is_not_sent_again(kind: type[Balancer], tmp_path: Path) -> None:
    """An edge dies over a POST: the client is told, and no other edge gets it."""
    with backends(hanging_up=(True, True)) as (one, other), balancing(kind(tmp_path, [one, other], one)) as balancer:
        assert ask("127.0.0.1", balancer.port, "/sub/a.b", "POST").status == 502
        assert len(one.requests) + len(other.requests) == 1


@pytest.mark.parametrize("kind", EACH)
def test_a_subscribe_is_sent_again(kind: type[Balancer], tmp_path: Path) -> None:
    """An edge dies over a GET: another one gets it, because to subscribe twice does no harm."""
    with backends(hanging_up=(True, False)) as (one, other), balancing(kind(tmp_path, [one, other], one)) as balancer:
        answers: list[str] = []
        until(lambda: answers.append(ask("127.0.0.1", balancer.port, "/sub?id=1").text) or one.requests)
        assert set(answers) == {"ok\n"}
        assert len(other.requests) == len(answers)


@pytest.mark.parametrize("kind", EACH)
def test_a_connect_that_failed_is_tried_elsewhere(kind: type[Balancer], tmp_path: Path) -> None:
    """Nothing listens where an edge should be: even a POST goes to another one, once."""
    with backends() as (one, other), balancing(kind(tmp_path, [one, other], other)) as balancer:
        one.close()
        assert [ask("127.0.0.1", balancer.port, "/sub/a.b", "POST").text for _ in range(10)] == ["ok\n"] * 10
        assert len(other.requests) == 10


def close_code(client: WebSocketClient) -> int:
    """Check that a WebSocket is closed next; return the code."""
    with pytest.raises(ConnectionClosed) as closed:
        client.next_object()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def two(found: list[StreamClient]) -> list[StreamClient]:
    """Return them if they are two."""
    return found if len(found) == 2 else []


def resumed(port: int, channel: str, stream: StreamClient) -> str:
    """Check that a stream has ended; go on from its position, and return the next message."""
    with pytest.raises((EOFError, http.client.HTTPException, OSError)):
        stream.next_object()
    with StreamClient(port, channel, since=stream.welcomes[0]["seq"]) as again:
        return again.receive()


@contextmanager
def backends(hanging_up: tuple[bool, bool] = (False, False)) -> Iterator[tuple[Backend, Backend]]:
    """Run two stand-ins for edges, with the same port on two addresses."""
    with (
        Backend("127.0.0.1", hangs_up=hanging_up[0]) as one,
        Backend("127.0.0.2", one.port, hangs_up=hanging_up[1]) as other,
    ):
        yield one, other


@contextmanager
def polling(port: int, channel: str) -> Iterator[list[int]]:
    """Poll without a pause while the block runs; gives the list of statuses, which grows; 0: no answer."""
    statuses: list[int] = []
    over = threading.Event()

    def poll() -> None:
        while not over.wait(0.01):
            try:
                statuses.append(get(port, "/poll", id=channel, timeout="0").status)
            except (OSError, http.client.HTTPException):
                statuses.append(0)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()
