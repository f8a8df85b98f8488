"""The main job: subscribe on any edge, publish anywhere, on every transport."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.cluster.clients import Connection, JsonpClient, PollClient, SseClient, StreamClient, Subscriber, get, poll
from tests.cluster.processes import Cluster
from tests.cluster.waiting import until

Ask = Callable[[int, str], Subscriber]

ASKS: dict[str, Ask] = {
    "stream by negotiation": StreamClient,
    "sse by negotiation": SseClient,
    "poll by negotiation": PollClient,
    "jsonp by negotiation": JsonpClient,
    "/stream": partial(StreamClient, path="/stream"),
    "/sse": partial(SseClient, path="/sse"),
    "/poll": partial(PollClient, path="/poll"),
    "/jsonp": partial(JsonpClient, path="/jsonp"),
}
every_transport = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS.keys())
held_transports = pytest.mark.parametrize("ask", [ASKS["/stream"], ASKS["/sse"]], ids=["/stream", "/sse"])
either_edge = pytest.mark.parametrize("edge", ["a", "b"])
TEXT = 'hi "there" \u2028 \N{SNOWMAN}'


@every_transport
@either_edge
def test_a_message_from_the_publisher_arrives(cluster: Cluster, ask: Ask, edge: str, channel: str) -> None:
    """What goes in at the publisher comes out at whichever edge the subscriber is on."""
    with ask(cluster.edge(edge).port, channel) as subscriber:
        cluster.publish_and_receive(subscriber, channel, TEXT)
        assert subscriber.receive() == TEXT


@every_transport
def test_a_plain_publish_arrives_on_both_edges(cluster: Cluster, ask: Ask, channel: str) -> None:
    """PUBLISH comet:room from any backend reaches the subscribers of every edge."""
    with ask(cluster.a.port, channel) as first, ask(cluster.b.port, channel) as second:
        # A poll does not say when it is attached, so it is told again until it answers.
        until(lambda: cluster.valkey.publish(channel, TEXT) == 2 and first.answered and second.answered)

        assert first.receive() == TEXT
        assert second.receive() == TEXT


@either_edge
def test_the_first_publish_after_the_welcome_is_received(cluster: Cluster, edge: str, channel: str) -> None:
    """After the welcome nothing published is missed, and the publisher says ok."""
    with StreamClient(cluster.edge(edge).port, channel) as subscriber:
        answer = cluster.publish(channel, "at once")

        assert (answer.status, answer.text) == (200, "ok\n")
        assert subscriber.receive() == "at once"


def test_a_plain_publish_right_after_the_welcome_is_received(cluster: Cluster, channel: str) -> None:
    """A bare PUBLISH, too, is delivered from the welcome on."""
    with StreamClient(cluster.a.port, channel) as subscriber:
        assert cluster.valkey.publish(channel, "bare") == 1
        assert subscriber.receive() == "bare"


def test_the_stream_has_the_fields_of_the_wire(cluster: Cluster, channel: str) -> None:
    """Welcome and data lines have their type, channel and content, and a position; the welcome names the session."""
    with StreamClient(cluster.a.port, channel) as subscriber:
        welcome = subscriber.welcomes[0]
        cluster.publish(channel, "hi")
        data = subscriber.next_object()
        cluster.valkey.publish(channel, "bare")
        bare = subscriber.next_object()

    expected = {"type": "welcome", "id": channel, "content": "hello world!"}
    assert welcome == expected | {"seq": welcome["seq"], "session": welcome["session"]}
    assert data == {"type": "data", "id": channel, "content": "hi", "seq": data["seq"]}
    assert data["seq"] != welcome["seq"]
    assert bare | {"seq": ""} == {"type": "data", "id": channel, "content": "bare", "seq": ""}


def test_no_subscriber_is_there(cluster: Cluster) -> None:
    """The publisher answers 404 when no edge holds a subscriber of the channel."""
    answer = cluster.publish("nobody", "hi")

    assert (answer.status, answer.text) == (404, "id: nobody not connected\n")


@held_transports
def test_no_subscriber_is_there_after_the_last_one_left(cluster: Cluster, ask: Ask, channel: str) -> None:
    """A subscriber that closed its connection is not counted any more."""
    with ask(cluster.a.port, channel), ask(cluster.b.port, channel):
        assert cluster.publish(channel, "hi").status == 200

    until(lambda: cluster.publish(channel, "hi").status == 404)


@every_transport
def test_two_on_one_channel_get_everything(cluster: Cluster, ask: Ask, channel: str) -> None:
    """A second subscriber takes nothing away from the first."""
    port = cluster.a.port
    with StreamClient(port, channel) as first, ask(port, channel) as second:
        until(lambda: cluster.publish(channel, "both").status == 200 and second.answered)

        assert first.receive() == "both"
        assert second.receive() == "both"


def test_the_second_stays_when_the_first_leaves(cluster: Cluster, channel: str) -> None:
    """One subscriber's end does not end the others'."""
    with StreamClient(cluster.a.port, channel) as second:
        with StreamClient(cluster.a.port, channel):
            pass
        for content in ("one", "two"):
            assert cluster.publish(channel, content).text == "ok\n"

        assert [second.receive(), second.receive()] == ["one", "two"]


def test_messages_arrive_in_order_and_once(cluster: Cluster, channel: str) -> None:
    """Each way of publishing keeps its order, nothing is lost or doubled, and both edges see the same order."""
    by_http, by_redis = ([f"{way} {number}" for number in range(100)] for way in ("http", "redis"))
    with StreamClient(cluster.a.port, channel) as a, StreamClient(cluster.b.port, channel) as b:
        for http, redis in zip(by_http, by_redis, strict=True):
            cluster.publish(channel, http)
            cluster.valkey.publish(channel, redis)
        seen = [a.receive() for _ in range(200)]

        assert [content for content in seen if content.startswith("http")] == by_http
        assert [content for content in seen if content.startswith("redis")] == by_redis
        assert [b.receive() for _ in seen] == seen


def test_one_connection_holds_two_channels(cluster: Cluster, channel: str) -> None:
    """A repeated id subscribes to each channel, and each object names its own."""
    other = channel + "-other"
    with StreamClient(cluster.a.port, channel, other) as subscriber:
        cluster.publish(channel, "one")
        cluster.publish(other, "two")
        got = [subscriber.next_object() for _ in range(2)]

    assert [one["id"] for one in subscriber.welcomes] == [channel, other]
    assert [(item["id"], item["content"]) for item in got] == [(channel, "one"), (other, "two")]


def test_a_poll_goes_on_from_the_last(cluster: Cluster, channel: str) -> None:
    """Polls on alternating edges, each from the position of the last, together miss nothing."""
    got: list[str] = []
    seq = poll(cluster.a.port, channel, timeout="0")["seq"]
    for turn in range(6):
        cluster.publish(channel, f"{turn}")
        batch = poll(cluster.edge("ab"[turn % 2]).port, channel, since=seq)
        got += [item["content"] for item in batch["messages"]]
        seq = batch["seq"]

    assert got == ["0", "1", "2", "3", "4", "5"]


def test_a_poll_that_hears_nothing_answers_all_the_same(cluster: Cluster, channel: str) -> None:
    """After its timeout a poll gives an empty batch and a position to go on from."""
    batch = poll(cluster.a.port, channel, timeout="0.3")

    assert batch["messages"] == []
    assert batch["seq"]


def test_polls_share_one_connection(cluster: Cluster, channel: str) -> None:
    """A poll's connection is kept open for the next poll."""
    with Connection(cluster.a.port) as connection:
        for _ in range(3):
            connection.ask("/poll", {"id": channel, "timeout": "0"})
            assert connection.answer().status == 200


def test_content_goes_through_unchanged(cluster: Cluster, channel: str) -> None:
    """Line breaks, quotes, a NUL and a four-byte character arrive as they were sent, also over SSE."""
    content = 'a\n\nb "q" \\ \0 \N{GRINNING FACE} </script> data: x'
    with StreamClient(cluster.a.port, channel) as stream, SseClient(cluster.b.port, channel) as sse:
        cluster.publish(channel, content)

        assert stream.receive() == content
        assert sse.receive() == content


def test_every_service_is_alive_ready_and_measured(cluster: Cluster) -> None:
    """Each internal port answers health, readiness and metrics."""
    for service in cluster.services:
        assert [service.status(page) for page in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
        assert get(service.admin_port, "/metrics").text.startswith("#")
