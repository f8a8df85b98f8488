"""The hub: a channel from its subscription to the end of its linger, and the subscribers that wait for it."""

import pytest

from edge.subscribers.pending import NO_MEMORY
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head
from tests.edge.model.client import STREAM, ModelClient
from tests.edge.model.edge import ModelEdge
from tests.edge.model.redis import ModelRedis
from tests.pure_only import pure_only

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


async def test_what_redis_keeps_is_let_go_of_when_the_channel_is_given_up(edge: EdgeWithoutRedis) -> None:
    """Once the UNSUBSCRIBE is acknowledged: before that, Redis would take this edge for another one that has it."""
    (await edge.held("/sub?id=room")).close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.pubsub.acknowledging = False
    edge.pass_time(31)
    await edge.turns()
    assert (edge.pubsub.given_up, edge.released) == ([b"t:room"], [])
    edge.hub.on_unsubscribed(b"t:room")
    assert edge.released == ["room"]


async def test_a_channel_that_is_back_keeps_what_redis_has_of_it(edge: EdgeWithoutRedis) -> None:
    """A subscriber that comes between the UNSUBSCRIBE and its acknowledgement is not robbed of its position."""
    (await edge.held("/sub?id=room")).close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.pubsub.acknowledging = False
    edge.pass_time(31)
    edge.pubsub.acknowledging = True
    await edge.held("/sub?id=room")
    edge.hub.on_unsubscribed(b"t:room")
    assert edge.released == []


async def test_names_without_messages_give_way_and_others_linger() -> None:
    """A stranger's names push each other out, and not the channel of a poller that may be between two polls."""
    async with edge_without_redis(max_lingering=2) as edge:
        client = await edge.held("/sub?id=room")
        edge.publish("room", b"hi")
        client.close()
        await edge.until(lambda: len(edge.seats) == 0)
        stranger = await edge.connect()
        for number in range(6):
            await stranger.ask(head(f"/poll?id={number}&timeout=0"))
        assert list(edge.hub.channels) == ["room", "4", "5"]
        await edge.turns()
        assert edge.released == ["0", "1", "2", "3"]


async def test_a_new_channel_that_redis_has_no_room_for_is_refused(edge: EdgeWithoutRedis) -> None:
    """At once, with a time after which to try again; nothing stays, and the connection may ask for another one."""
    edge.logs.append("known", b"old")
    edge.logs.full = True
    client = await edge.connect()
    answer = await client.ask(head("/poll?id=known&id=new&timeout=0"))
    assert (answer.status, answer.json["content"]) == (503, NO_MEMORY)
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert "new" not in edge.hub.channels
    assert (await client.ask(head("/poll?id=known&timeout=0"))).status == 200
    edge.logs.full = False
    assert (await client.ask(head("/poll?id=new&timeout=0"))).status == 200


async def test_all_who_wait_for_a_channel_are_refused(edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few in each turn."""
    monkeypatch.setattr("edge.channels.hub.ENTRIES_PER_TURN", 2)
    edge.logs.full = True
    clients = [await edge.waiting("/poll?id=new") for _ in range(5)]
    await edge.until(lambda: len(edge.hub.channels["new"].waiting) == 5)
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    assert [(await client.answer()).status for client in clients] == [503] * 5
    assert "new" not in edge.hub.channels


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


@pure_only
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
