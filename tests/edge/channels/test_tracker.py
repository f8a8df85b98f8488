"""Tracking: messages that come while a channel is synced, and the bytes that all rings of an edge hold together."""

import pytest

from common.message import Message
from common.scripts.results import Bare
from edge.chain import MAX_RING_MESSAGES
from edge.channel_log import ChannelLog, LogRules, State, Step
from tests.edge.edge_without_redis import edge_without_redis
from tests.edge.model.client import STREAM, ModelClient
from tests.edge.model.edge import ModelEdge
from tests.edge.model.redis import ModelRedis
from tests.pure_only import pure_only

NAME = "room"
LARGE = b"x" * 900


@pytest.fixture
def redis() -> ModelRedis:
    """Return a Redis that keeps everything."""
    return ModelRedis(history=10_000)


@pytest.fixture
def edge(redis: ModelRedis) -> ModelEdge:
    """Return an edge that is connected."""
    edge = ModelEdge(redis)
    edge.connect()
    return edge


@pytest.fixture
def client(redis: ModelRedis, edge: ModelEdge) -> ModelClient:
    """Return a client that has one message, and whose channel is being synced again after an outage."""
    client = ModelClient(redis, (NAME,), STREAM)
    edge.attach(client)
    edge.settle()
    redis.publish(NAME, b"before")
    edge.deliver(10)
    edge.disconnect()
    edge.connect()
    edge.deliver(10)
    assert edge.hub.channels[NAME].state is State.SYNCING
    return client


@pure_only
def test_a_message_that_chains_does_not_wait_for_the_sync(
    redis: ModelRedis, edge: ModelEdge, client: ModelClient
) -> None:
    """Nothing was missed in the outage: the first message after it says so itself."""
    redis.publish(NAME, b"after")
    edge.deliver(10)
    assert client.got[NAME] == ["before", "after"]
    edge.settle()
    assert (client.got[NAME], client.resets) == (["before", "after"], 0)


@pure_only
def test_a_message_after_a_hole_waits_for_the_sync(redis: ModelRedis, edge: ModelEdge, client: ModelClient) -> None:
    """What does not chain, and what follows it, goes out when the log has filled the hole."""
    redis.publish(NAME, b"lost")
    edge.deliver(1, lose=True)
    redis.publish(NAME, b"second")
    redis.publish(NAME, b"third")
    edge.deliver(10)
    assert client.got[NAME] == ["before"]
    edge.settle()
    assert (client.got[NAME], client.resets) == (["before", "lost", "second", "third"], 0)


@pure_only
@pytest.mark.parametrize("count", [1, MAX_RING_MESSAGES, 3 * MAX_RING_MESSAGES])
def test_messages_that_come_while_the_log_is_read(
    redis: ModelRedis, edge: ModelEdge, client: ModelClient, count: int
) -> None:
    """The log was read before them: they are no reason for a reset, however many they are."""
    edge.execute_reads()
    for number in range(count):
        redis.publish(NAME, b"%d" % number)
    edge.deliver(10_000)
    edge.answer_reads()
    edge.settle()
    assert client.got[NAME] == ["before", *map(str, range(count))]
    assert client.resets == 0
    assert edge.hub.channels[NAME].state is State.LIVE


@pure_only
def test_the_log_is_read_after_some_of_the_messages_and_before_others(
    redis: ModelRedis, edge: ModelEdge, client: ModelClient
) -> None:
    """What the log and pub/sub both bring goes out once."""
    redis.publish(NAME, b"1")
    edge.deliver(10)
    redis.publish(NAME, b"2")
    edge.execute_reads()
    redis.publish(NAME, b"3")
    edge.answer_reads()
    edge.settle()
    assert (client.got[NAME], client.resets) == (["before", "1", "2", "3"], 0)


@pure_only
def test_a_log_that_fell_back_is_a_reset(redis: ModelRedis, edge: ModelEdge, client: ModelClient) -> None:
    """An older state of the log, also one whose messages the ring holds, is no proof of anything."""
    kept = redis.snapshot()
    redis.publish(NAME, b"taken")
    edge.deliver(10)
    redis.restore(kept)
    edge.settle()
    redis.publish(NAME, b"on another branch")
    edge.settle()
    assert client.resets == 1
    assert client.at[NAME] == redis.top(NAME)


@pure_only
def test_a_log_that_went_back_under_a_standing_connection_is_joined_again() -> None:
    """Others count in epochs that this edge has been in before; after its own join all count alike."""
    redis = ModelRedis(history=10_000)
    edges = [ModelEdge(redis, adopts=True), ModelEdge(redis, adopts=True)]
    for edge in edges:
        edge.connect()
    edges[0].attach(ModelClient(redis, (NAME,), STREAM))
    edges[0].settle()
    kept = redis.snapshot()
    for _ in range(3):
        edges[0].hub.resubscribe(edges[0].hub.channels[NAME])
        edges[0].settle()
    redis.restore(kept)
    edges[1].attach(ModelClient(redis, (NAME,), STREAM))
    for _ in range(3):
        for edge in edges:
            edge.settle()
    one, other = [edge.hub.channels[NAME] for edge in edges]
    assert one.bare_epoch == other.bare_epoch == redis.log(NAME).epoch
    assert counted(one) == counted(other)


def counted(channel: ChannelLog) -> Bare:
    """Let a plain message arrive on a channel, and return it as it is handed in."""
    assert channel.receive(Message(b"hi", bare=True), LogRules(adopts=True)) is Step.OFFER
    return channel.bare(b"hi")


# The rings of all channels.


async def test_the_rings_of_all_channels_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """When they are full a channel remembers little more than its newest message; no client misses one."""
    monkeypatch.setattr("edge.channel_log.MAX_ALL_RINGS_BYTES", 20_000)
    async with edge_without_redis() as edge:
        for number in range(20):
            name = f"room{number}"
            client = await edge.held(f"/sub?id={name}")
            edge.publish(name, *[LARGE] * 40)
            for _ in range(40):
                await client.until(LARGE)
        rings = [channel.ring_bytes for channel in edge.hub.channels.values()]
        assert sum(rings) > 10_000
        assert sum(rings) < 20_000 + 20 * 4096
        assert all(rings)
        assert sum(rings) == edge.hub._tracker._rules.ring_bytes


async def test_a_channel_that_goes_gives_its_share_back() -> None:
    """After the linger, and after a reset, what it held is free for others."""
    async with edge_without_redis(linger=1.0) as edge:
        client = await edge.held("/sub?id=room")
        edge.publish("room", LARGE, LARGE)
        await client.until(LARGE)
        assert edge.hub._tracker._rules.ring_bytes > 1800
        client.close()
        await edge.until(lambda: not edge.hub.channels["room"].is_occupied)
        edge.pass_time(2.0)
        assert edge.hub._tracker._rules.ring_bytes == 0
