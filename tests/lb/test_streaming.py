"""Through each load balancer, events come at once, and a quiet connection outlives the balancer's patience."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster.clients import Connection, JsonpClient, PollClient, SseClient, StreamClient, get
from tests.cluster.processes import Cluster
from tests.cluster.waiting import until
from tests.lb.balancers import Balancer
from tests.lb.talking import CurlStream, WebSocketClient

pytestmark = pytest.mark.system

BAR = 0.1  # seconds from the publisher's call to the subscriber's line
EVENTS = 50  # in a row, each of them within the bar
WELCOMES = 10
RUNS = 2  # the whole once more if the machine was busy for a moment: a balancer that buffers is late every time


def test_the_first_byte_comes_at_once(balancer: Balancer, channel: str) -> None:
    """From the connect to the first byte it takes less than 100 ms, and to the welcome as well."""
    all_in_time(lambda: [welcome_delay(balancer, channel) for _ in range(WELCOMES)])


@pytest.mark.parametrize("client", [StreamClient, SseClient, WebSocketClient])
def test_every_event_comes_at_once(
    balancer: Balancer, edges: Cluster, channel: str, client: type[StreamClient]
) -> None:
    """Nothing waits for a buffer to fill or for the next chunk: each event is there within 100 ms."""
    with client(balancer.port, channel) as subscriber:
        all_in_time(lambda: delays(edges, channel, subscriber))


def test_every_event_comes_at_once_by_http2(tls_balancer: Balancer, edges: Cluster, channel: str) -> None:
    """TLS and HTTP/2 end at the balancer, and events are as quick."""
    with CurlStream(tls_balancer.tls_port, channel) as subscriber:
        assert subscriber.head[0].startswith("HTTP/2 200")
        all_in_time(lambda: delays(edges, channel, subscriber))


def test_a_websocket_comes_by_tls_too(tls_balancer: Balancer, edges: Cluster, channel: str) -> None:
    """Where HTTP/2 is offered, a WebSocket still gets HTTP/1.1, and its events are as quick."""
    with WebSocketClient(tls_balancer.tls_port, channel, tls=True) as subscriber:
        all_in_time(lambda: delays(edges, channel, subscriber))


def test_a_websocket_talks_both_ways(balancer: Balancer, edges: Cluster, channel: str) -> None:
    """What the client sends gets to the edge at once: it takes another channel and gets that one's messages."""
    with WebSocketClient(balancer.port, channel) as subscriber:
        subscriber.socket.send(json.dumps({"op": "sub", "id": f"{channel}-more"}))
        assert subscriber.next_object()["id"] == f"{channel}-more"
        edges.publish(f"{channel}-more", "hi")
        assert subscriber.receive() == "hi"


def test_channels_change_by_requests_that_any_edge_gets(balancer: Balancer, edges: Cluster, channel: str) -> None:
    """A POST is taken to some edge, whichever way it names the session; the held connection gets the new channel."""
    with StreamClient(balancer.port, channel) as subscriber, StreamClient(balancer.port, channel):
        session = subscriber.welcomes[0]["session"]
        for way in ("path", "header", "body"):
            more = f"{channel}-{way}"
            operation = {"op": "sub", "id": more}
            with Connection(balancer.port) as connection:
                if way == "path":
                    answer = connection.post(f"/sub/{session}", operation)
                elif way == "header":
                    answer = connection.post("/sub", operation, **{"Comet-Session": session})
                else:
                    answer = connection.post("/sub", {"session": session, "ops": [operation]})
            assert (answer.status, answer.json["type"]) == (200, "ack"), answer
            assert subscriber.next_object()["id"] == more
            edges.publish(more, "hi")
            assert subscriber.receive() == "hi"


@pytest.mark.parametrize("client", [PollClient, JsonpClient])
def test_polls_are_held_and_answered(
    balancer: Balancer, edges: Cluster, channel: str, client: type[PollClient]
) -> None:
    """A poll waits behind the balancer, too, until there is a message."""
    with client(balancer.port, channel) as subscriber:
        edges.publish_and_receive(subscriber, channel, "hi")
        assert subscriber.receive() == "hi"


def test_a_quiet_connection_outlives_the_time_out(hasty_balancer: Balancer, edges: Cluster, channel: str) -> None:
    """Heartbeats keep each kind of held connection through more than twice the balancer's time-out."""
    with ExitStack() as stack:
        kinds = (StreamClient, SseClient, WebSocketClient)
        held = [stack.enter_context(kind(hasty_balancer.port, channel)) for kind in kinds]
        ends = time.monotonic() + 2.5
        until(lambda: time.monotonic() > ends)
        edges.publish(channel, "still here")
        assert [one.receive() for one in held] == ["still here"] * len(kinds)


def test_the_shortened_time_out_is_real(hasty_balancer: Balancer, channel: str) -> None:
    """A poll, which has no heartbeats, is cut after that second: the test before this one shows something."""
    answer = get(hasty_balancer.port, "/poll", id=channel, timeout="7")
    assert answer.status in {502, 504}, answer


@pytest.mark.parametrize("client", [StreamClient, SseClient, PollClient, WebSocketClient])
def test_a_client_that_leaves_is_gone_at_the_edge(
    balancer: Balancer, edges: Cluster, channel: str, client: type[StreamClient]
) -> None:
    """A client that closes its connection frees its seat at once, not at the next write to it."""
    until(lambda: held(edges) == 0)
    with client(balancer.port, channel):
        until(lambda: held(edges) == 1)
    until(lambda: held(edges) == 0, 3)


def all_in_time(measure: Callable[[], list[float]]) -> None:
    """Check that everything in a run took less than the bar; one run may be repeated."""
    slowest = []
    for _ in range(RUNS):
        slowest.append(max(measure()))
        if slowest[-1] < BAR:
            return
    raise AssertionError(f"the slowest of each run took {slowest} s")


def welcome_delay(balancer: Balancer, channel: str) -> float:
    """Subscribe; return the seconds until the welcome."""
    began = time.monotonic()
    with StreamClient(balancer.port, channel):
        return time.monotonic() - began


def delays(cluster: Cluster, channel: str, subscriber: Any) -> list[float]:
    """Publish some messages, one after another; return the seconds that each took to arrive."""
    took = []
    for text in map(str, range(EVENTS)):
        began = time.monotonic()
        cluster.publish(channel, text)
        assert subscriber.receive() == text
        took.append(time.monotonic() - began)
    return took


def held(cluster: Cluster) -> int:
    """Return how many subscribers the edges hold."""
    return sum(edge.held for edge in cluster.edges)  # type: ignore[attr-defined]
