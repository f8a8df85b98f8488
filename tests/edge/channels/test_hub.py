"""The hub: a channel from its subscription to the end of its linger, and the subscribers that wait for it."""

import pytest

from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head
from tests.edge.model.client import STREAM, ModelClient
from tests.edge.model.edge import ModelEdge
from tests.edge.model.redis import ModelRedis

NAME = "room"


async def test_the_welcome_waits_for_redis(edge: EdgeWithoutRedis) -> None:
    """Nothing is sent before the subscription is acknowledged; what is published after that is not missed."""
    client = await edge.waiting("/sub?id=room")
    await edge.turns()
    assert edge.counters.opened_total["stream"] == 0
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    await client.until(b"hello world!")
    edge.publish("room", b"hi")
    await client.until(b'"hi"')


async def test_an_acknowledgement_of_another_attempt_welcomes_no_subscriber(edge: EdgeWithoutRedis) -> None:
    """I8: only the attempt that counts opens the channel."""
    await edge.waiting("/sub?id=room")
    name, attempt = edge.pubsub.asked[0]
    edge.hub.on_subscribed(name, attempt + 1)
    await edge.turns()
    assert edge.counters.opened_total["stream"] == 0


async def test_subscribers_of_a_channel_share_one_subscription(edge: EdgeWithoutRedis) -> None:
    """The second one is welcomed at once, and both get every message."""
    first, second = await edge.held("/sub?id=room"), await edge.held("/sub?id=room")
    edge.publish("room", b"hi")
    assert await first.until(b"\n\r\n") == await second.until(b"\n\r\n")
    assert [name for name, _ in edge.pubsub.asked] == [b"t:room"]


async def test_a_channel_is_given_up_after_its_linger(edge: EdgeWithoutRedis) -> None:
    """The subscription stays for 30 seconds after the last one left, and then goes."""
    client = await edge.held("/sub?id=room")
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.pass_time(29.5)
    assert edge.pubsub.given_up == []
    edge.pass_time(1.0)
    assert edge.pubsub.given_up == [b"t:room"]


async def test_a_channel_is_not_given_up_while_a_subscriber_is_brought_up_to_date(edge: EdgeWithoutRedis) -> None:
    """A client that comes at the end of a linger and needs the log is not let into a channel that is gone by then."""
    edge.logs.append("room", b"old")
    client = await edge.held("/sub?id=room")
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.pass_time(29)
    edge.logs.failing = True
    client, reads = await edge.connect(), edge.logs.reads
    await client.send(head("/sub?id=room&since=0"))
    await edge.until(lambda: edge.logs.reads > reads)
    edge.pass_time(2)
    assert edge.pubsub.given_up == []
    edge.logs.failing = False
    await client.until(b'"old"')
    edge.publish("room", b"new")
    await client.until(b'"new"')


async def test_a_client_that_goes_while_it_waits_is_forgotten(edge: EdgeWithoutRedis) -> None:
    """A client that leaves before the welcome leaves nothing behind."""
    client = await edge.waiting("/sub?id=room")
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    assert not edge.hub.channels["room"].is_occupied
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    await edge.turns()
    assert edge.counters.opened_total["stream"] == 0


def test_subscribers_that_waited_are_let_in_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage many wait for one channel: others have their turn while these enter, and none gets a hole."""
    monkeypatch.setattr("edge.channels.hub.ENTRIES_PER_TURN", 2)
    redis = ModelRedis(history=10_000)
    edge = ModelEdge(redis)
    edge.connect()
    waiting = [ModelClient(redis, (NAME,), STREAM) for _ in range(7)]
    for client in waiting:
        edge.attach(client)
    edge.deliver(10)
    edge.execute_reads()
    edge.answer_reads()
    assert len(edge.hub.channels[NAME].seats) == 2
    redis.publish(NAME, b"first")
    edge.deliver(10)
    edge.pass_turn()
    redis.publish(NAME, b"second")
    for _ in range(6):
        edge.settle()
    assert [client.got[NAME] for client in waiting[:2]] == [["first", "second"]] * 2
    assert all(client.got[NAME] in (["first", "second"], ["second"], []) for client in waiting)
    assert all(client.at[NAME] == redis.top(NAME) for client in waiting)
