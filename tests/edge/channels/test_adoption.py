"""Adoption: plain messages after a channel's keys have vanished, and when an edge ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis

from common.message import Message
from common.names import RedisNames
from common.redis.client import connect
from common.scripts.results import Adopted, AdoptionState, Bare
from common.settings import load_settings
from edge.app import Edge
from edge.channels.adoption import Adopter
from edge.counters import Counters
from edge.state import Channel
from tests.common.scripts.real_log import Backend
from tests.edge.real_edges import running, subscribers, until

KEYS = [("top",), ("log",), ("top", "log")]


class RoomOnTwoEdges:
    """A channel on two edges: what its backends, its operator and its pollers do."""

    def __init__(self, edges: Sequence[Edge], redis: Redis, names: RedisNames) -> None:
        self.edges = edges
        self.redis = redis
        self.names = names
        self._backend = Backend(redis, names, load_settings())
        self._plain = 0  # messages

    async def poll(self, edge: Edge, **query: str) -> tuple[str, list[str]]:
        """Poll once; return the position, and the contents or `reset`."""
        wanted = "&".join(f"{name}={value}" for name, value in query.items())
        async with subscribers() as subscribe:
            poller = await subscribe(edge, f"id=room&transport=poll&{wanted}", 0, "Connection: close\r\n")
            _, _, body = (await poller.rest()).partition(b"\r\n\r\n")
        batch = json.loads(body)
        return batch["seq"], [item.get("content", item["type"]) for item in batch["messages"]]

    async def publish_plainly(self, *contents: str) -> None:
        for content in contents:
            assert await self.redis.publish(self.names.channel("room"), content) == len(self.edges)
            self._plain += 1

    async def handed_in(self) -> None:
        """Wait until no edge holds a plain message any more: after a wipe it would be stored again."""
        await until(lambda: all(edge._counters.adopted_total == self._plain for edge in self.edges))

    async def stands_at(self, offset: int) -> None:
        """Wait until every edge has come so far."""
        channels = [edge._hub.channels["room"] for edge in self.edges]
        await until(lambda: all(channel.last and channel.last.offset == offset for channel in channels))

    async def publish(self, content: str) -> None:
        await self._backend.publish("room", Message(content.encode()))

    async def vanish(self, *keys: str) -> None:
        await self.redis.delete(*[f"{{{self.names.prefix}room}}:{key}" for key in keys])


@pytest.fixture
async def room(valkey_url: str, prefix: str) -> AsyncIterator[RoomOnTwoEdges]:
    """Yield a channel on two edges, where a poller was on each."""
    async with running(valkey_url, prefix) as edges, connect(valkey_url) as redis:
        room = RoomOnTwoEdges(edges, redis, RedisNames(prefix))
        for edge in edges:
            await room.poll(edge, timeout="0")
        yield room


@pytest.mark.parametrize("keys", KEYS, ids="+".join)
async def test_pollers_get_every_plain_message_that_follows(room: RoomOnTwoEdges, keys: tuple[str, ...]) -> None:
    """A reset stands for what was before; from its position on nothing is missing, on either edge."""
    await room.publish_plainly("one")
    old, contents = await room.poll(room.edges[0], since="0")
    assert contents == ["one"]
    await room.handed_in()
    await room.vanish(*keys)
    await room.publish("two")
    seq, contents = await room.poll(room.edges[0], since=old)
    assert contents == (["reset"] if "top" in keys else ["two"])
    await room.publish_plainly("three", "four")
    await room.stands_at(3 if "top" in keys else 4)
    for edge in room.edges:
        assert (await room.poll(edge, since=seq, timeout="2"))[1] == ["three", "four"]


@pytest.mark.parametrize("keys", KEYS, ids="+".join)
async def test_the_first_message_that_follows_may_be_a_plain_one(room: RoomOnTwoEdges, keys: tuple[str, ...]) -> None:
    """It is stored once, in the new log, and nothing goes out without a position."""
    await room.publish_plainly("one")
    old, _ = await room.poll(room.edges[0], since="0")
    await room.handed_in()
    await room.vanish(*keys)
    await room.publish_plainly("two", "three")
    await room.stands_at(2 if "top" in keys else 3)
    told = [await room.poll(edge, since=old) for edge in room.edges]
    assert {tuple(contents) for _, contents in told} == {("reset",) if "top" in keys else ("two", "three")}
    assert (await room.poll(room.edges[1], since="0"))[1][-2:] == ["two", "three"]
    assert not any(sum(edge._counters.not_adopted_total.values()) for edge in room.edges)


async def test_what_an_edge_holds_when_the_log_vanishes_is_stored_again(room: RoomOnTwoEdges) -> None:
    """The log that had it is gone, so nobody can tell: it comes once more, after the reset, and nothing is lost."""
    slow, may_go_on = room.edges[1]._parts.adopter, asyncio.Event()
    assert slow is not None
    adopt = slow._adopt

    async def adopt_late(name: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        await may_go_on.wait()
        return await adopt(name, first_epoch, messages)

    slow._adopt = adopt_late
    await room.publish_plainly("one")
    old, contents = await room.poll(room.edges[0], since="0")
    assert contents == ["one"]
    await room.vanish("top", "log")
    await room.publish("two")
    seq, contents = await room.poll(room.edges[0], since=old)
    assert contents == ["reset"]
    may_go_on.set()
    await room.stands_at(2)
    await room.publish_plainly("three", "four")
    await room.stands_at(4)
    for edge in room.edges:
        assert (await room.poll(edge, since=seq, timeout="2"))[1] == ["one", "three", "four"]


async def test_streams_are_reset_and_go_on(room: RoomOnTwoEdges) -> None:
    """A connected client is told of the wipe once, and gets every message that follows, once and in order."""
    async with subscribers() as subscribe:
        streams = [await subscribe(edge, "id=room") for edge in room.edges]
        await room.publish_plainly("one")
        assert [(await stream.object())["content"] for stream in streams] == ["one", "one"]
        await room.vanish("top", "log")
        contents = [f"plain {number}" for number in range(50)]
        await room.publish_plainly(*contents)
        for stream in streams:
            told = [await stream.object()]
            while told[-1].get("content") != contents[-1]:
                told.append(await stream.object())
            assert [item["type"] for item in told].count("reset") == 1
            assert told[0]["type"] == "reset"
            got = [item["content"] for item in told[1:]]
            assert got == contents[len(contents) - len(got) :]
            assert all(item["seq"] for item in told)


# The end of an edge.


class PausedAdoptScript:
    """An adopt script that stores messages once it is let go on."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.open = asyncio.Event()

    async def adopt(self, name: str, first_epoch: int, messages: Sequence[Bare]) -> Adopted:
        """Store all messages."""
        await self.open.wait()
        self.stored += [bare.payload for bare in messages]
        return Adopted(len(messages), AdoptionState.DONE)


def hand_in_two(script: PausedAdoptScript) -> Adopter:
    """Return an adopter with two messages on their way."""
    adopter = Adopter(script.adopt, lambda name, payloads: None, Counters(), time.monotonic)
    channel = Channel("room")
    for number, payload in enumerate((b"one", b"two"), 1):
        adopter.hand_in(channel, Bare(1, number, payload))
    return adopter


async def test_what_an_edge_still_holds_when_it_ends_is_stored() -> None:
    """The end waits for the messages on their way into the log."""
    script = PausedAdoptScript()
    finish = asyncio.create_task(hand_in_two(script).finish(8))
    await asyncio.sleep(0)
    script.open.set()
    await finish
    assert script.stored == [b"one", b"two"]


async def test_an_edge_ends_although_its_messages_cannot_be_stored() -> None:
    """It waits no longer than it was told to, and leaves no task behind."""
    script = PausedAdoptScript()
    await hand_in_two(script).finish(0.01)
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert script.stored == []


async def test_an_edge_that_never_had_a_plain_message_ends_at_once() -> None:
    """There is nothing to wait for."""
    await Adopter(PausedAdoptScript().adopt, lambda name, payloads: None, Counters(), time.monotonic).finish(8)
