"""Attaching: what a subscriber that goes on from a position is given of the ring and of the log."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from common.message import Message
from common.names import RedisNames
from common.position import FOREIGN, FORGOTTEN, Position
from common.redis.client import connect
from common.settings import load_settings
from edge.app import Edge
from edge.chain import Gap
from edge.channels.attach import LOST
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Channel, PendingAttach, Seat
from tests.common.scripts.real_log import Backend
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head
from tests.edge.real_edges import running, subscribers
from tests.edge.usual_log import GENESIS
from tests.pure_only import pure_only

POLL = "/poll?id=room"
NOW = 1_795_540_228.0  # seconds
HOUR = 3600.0


# Positions, without a Redis.


async def test_an_unproven_position_is_told_as_a_reset(edge: EdgeWithoutRedis) -> None:
    """A poller from a lost log gets a reset as an object of its batch, with the position to go on from."""
    client = await edge.connect()
    answer = await client.ask(head(POLL + "&since=7-777"))
    assert answer.json == {
        "seq": f"0-{GENESIS}",
        "messages": [{"type": "reset", "id": "room", "seq": f"0-{GENESIS}"}],
    }


async def test_a_client_from_a_quicker_edge_is_not_reset(edge: EdgeWithoutRedis) -> None:
    """I7: a position that this edge has not reached yet is good; the edge catches up, and no client misses anything."""
    stream = await edge.held("/sub?id=room")
    for number in range(1, 9):
        edge.logs.append("room", b"%d" % number)  # stored, but not yet on this edge's connection
    client = await edge.connect()
    answer = await client.ask(head(POLL + "&since=7-107"))
    assert (answer.contents, answer.json["seq"]) == (["8"], "8-108")
    assert b'"content":"8"' in await stream.until(b'"seq":"8-108"}\n')


async def test_all_that_is_kept_can_be_asked_for(edge: EdgeWithoutRedis) -> None:
    """`since=0` on a channel that has no subscriber here brings the log."""
    for payload in (b"a", b"b"):
        edge.logs.append("room", payload)
    client = await edge.connect()
    answer = await client.ask(head(POLL + "&since=0"))
    assert (answer.contents, answer.json["seq"]) == (["a", "b"], "2-102")


async def test_those_who_wait_for_a_read_enter_a_few_at_a_time(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have their turn in between; one that has gone is passed by; a message that comes meanwhile is not lost."""
    monkeypatch.setattr("edge.channels.attach.ENTRIES_PER_TURN", 2)
    edge.logs.append("room", b"a")
    await edge.held("/sub?id=room")
    clients = [await edge.connect() for _ in range(7)]
    reads = edge.logs.reads
    for client in clients:
        await client.send(head("/sub?id=room&since=0"))
    await edge.until(lambda: edge.counters.opened_total["stream"] > 1)
    assert edge.counters.opened_total["stream"] < 8
    clients[-1].reset()
    edge.publish("room", b"b")
    for client in clients[:-1]:
        assert b'"content":"a"' in await client.until(b'"content":"b"')
    assert edge.logs.reads == reads + 2, "where it begins, and what is there"


async def test_a_wiped_log_keeps_no_subscriber_waiting(edge: EdgeWithoutRedis) -> None:
    """The log was lost under a quiet channel: a client that asks for all of it gets an answer, not endless reads."""
    edge.logs.append("room", b"a")
    await edge.held("/sub?id=room")
    edge.logs.messages.clear()
    client = await edge.connect()
    before = edge.logs.reads
    await client.send(head(POLL + "&since=0&timeout=0"))
    await edge.until(lambda: edge.logs.reads > before)
    await edge.turns(200)
    assert edge.logs.reads - before < 20
    assert edge.counters.opened_total["poll"] == 1


# Messages with a time to live, on a real Valkey, by clocks that are right and by clocks that are wrong.


class WallClock:
    """The wall clock of the edges, as far as they look at it for an expiry."""

    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """Return the clock that the edges of this test go by."""
    clock = WallClock()
    monkeypatch.setattr("edge.channels.attach.time", clock)
    monkeypatch.setattr("edge.channels.pieces.time", clock)
    monkeypatch.setattr("edge.channels.tracker.time", clock)
    return clock


@pytest.fixture
async def edges(valkey_url: str, prefix: str, clock: WallClock) -> AsyncIterator[list[Edge]]:
    """Yield two edges."""
    async with running(valkey_url, prefix) as edges:
        yield edges


@pytest.fixture
async def publish(valkey_url: str, prefix: str) -> AsyncIterator[Callable[..., Any]]:
    """Yield a function that publishes a message which expires some seconds after NOW, or never."""
    async with connect(valkey_url) as redis:
        backend = Backend(redis, RedisNames(prefix), load_settings())

        async def one(content: str, expires_after: float | None = None) -> str:
            expires = 0 if expires_after is None else round((NOW + expires_after) * 1000)
            published = await backend.publish("room", Message(content.encode(), expires=expires))
            return str(published.position)

        yield one


async def polled(edge: Edge, query: str) -> tuple[str, list[str]]:
    """Poll once without waiting; return the position, and the contents or `reset`."""
    async with subscribers() as subscribe:
        poller = await subscribe(edge, f"id=room&transport=poll&timeout=0&{query}", 0, "Connection: close\r\n")
        _, _, body = (await poller.rest()).partition(b"\r\n\r\n")
    batch = json.loads(body)
    return batch["seq"], [item.get("content", item["type"]) for item in batch["messages"]]


@pure_only
async def test_what_has_expired_is_replayed_neither_from_the_ring_nor_from_the_log(
    edges: list[Edge], publish: Callable[..., Any], clock: WallClock
) -> None:
    """Live subscribers have it; a client that comes back later is given the others, and stands where all stand."""
    async with subscribers() as subscribe:
        with_ring, without = edges
        live = await subscribe(with_ring, "id=room")
        start = await publish("one")
        await publish("two", 60)
        last = await publish("three")
        assert [(await live.object())["content"] for _ in range(3)] == ["one", "two", "three"]
        for edge in (with_ring, without):
            assert await polled(edge, f"since={start}") == (last, ["two", "three"])
        clock.now = NOW + 61
        for edge in (with_ring, without):
            assert await polled(edge, f"since={start}") == (last, ["three"])
            assert await polled(edge, "since=0") == (last, ["one", "three"])
            assert await polled(edge, "history=2") == (last, ["three"])
            assert await polled(edge, "history=3") == (last, ["one", "three"])


@pure_only
@pytest.mark.parametrize(("after", "replayed"), [(59.999, True), (60.0, False), (60.001, False)])
async def test_a_message_lives_to_the_millisecond(
    edges: list[Edge], publish: Callable[..., Any], clock: WallClock, after: float, replayed: bool
) -> None:
    """At its last moment it is over."""
    last = await publish("one", 60)
    clock.now = NOW + after
    assert await polled(edges[0], "since=0") == (last, ["one"] if replayed else [])


@pure_only
async def test_everything_that_has_expired_is_nothing_new(
    edges: list[Edge], publish: Callable[..., Any], clock: WallClock
) -> None:
    """Nothing is replayed and no client is reset: the position shows that the client has it all."""
    start = await publish("one")
    last = [await publish(f"short {number}", 1) for number in range(5)][-1]
    clock.now = NOW + 2
    assert await polled(edges[0], f"since={start}") == (last, [])
    assert await polled(edges[1], f"since={last}") == (last, [])


@pure_only
@pytest.mark.parametrize(("ahead", "contents"), [(HOUR, ["forever"]), (-HOUR, ["a minute", "forever"])])
async def test_an_edge_with_a_wrong_clock_resets_no_client(
    edges: list[Edge], publish: Callable[..., Any], clock: WallClock, ahead: float, contents: list[str]
) -> None:
    """An hour ahead it gives less, an hour behind it gives more; live messages and positions are as ever."""
    clock.now = NOW + ahead
    start = await publish("first")
    async with subscribers() as subscribe:
        live = await subscribe(edges[0], f"id=room&since={start}")
        await publish("a minute", 60)
        last = await publish("forever")
        assert [(await live.object())["content"] for _ in range(2)] == ["a minute", "forever"]
        for edge in edges:
            assert await polled(edge, f"since={start}") == (last, contents)


@pytest.mark.parametrize(("since", "kept"), [(FOREIGN, FOREIGN), (FORGOTTEN, FORGOTTEN), (Position(5, 105), LOST)])
async def test_who_is_settled_later_is_told_why(edge: EdgeWithoutRedis, since: Position, kept: Position) -> None:
    """A position that explains its reset is not replaced while the channel is not open."""
    pending = PendingAttach(Seat(7), SubscribeRequest("sse", ("room",), (since,)), framing_for("sse", Variant()))
    (entry,) = pending.enter_all((Channel("room"),))
    edge.hub.settle(entry, Gap.UNPROVEN)
    assert entry.since == kept
    assert list(entry.channel.waiting) == [entry]
