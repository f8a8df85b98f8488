"""What publishers have an edge do: close a channel's connections, broadcast to every channel."""

import asyncio
from typing import Any

import pytest

from common.errors import BadRequestError, UnavailableError
from edge.app import Edge
from edge.cluster.commands import MAX_COMMANDS, Commands, channel_name
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.real_edges import WEBSOCKET, publish_plainly, sums, until


async def test_close_ends_a_channels_connections_on_every_edge(edges: list[Edge], subscribe: Any) -> None:
    """Streams and SSE are told and ended, polls answered; other channels stay; clients that come back are let in."""
    a, b = edges
    stream = await subscribe(a, "id=room")
    several = await subscribe(a, "id=lobby&id=room", 2)
    websocket = await subscribe(b, "id=room", 0, WEBSOCKET)
    sse = await subscribe(b, "id=room&transport=sse", 0)
    poll = await subscribe(b, "id=room&transport=poll", 0)
    other = await subscribe(b, "id=lobby")
    await until(lambda: sum(len(c.seats) for c in b._hub.channels.values()) == 4)
    asked = await b.peers.ask(None, "close", {"id": "room"})
    assert sums(asked.replies, "closed") == {a.id: 2, b.id: 3}
    for held in (stream, several):
        told = await held.object()
        assert (told["type"], told["id"]) == ("close", "room")
        assert (await held.rest()).endswith(b"0\r\n\r\n")
    assert b"event: close\n" in await sse.rest()
    assert (await websocket.rest()).endswith(b'connections"}' + b"\x88\x02\x03\xe8")
    assert [item["type"] for item in (await poll.object())["messages"]] == ["close"]
    await subscribe(a, "id=room")
    asked = await b.peers.ask(None, "info", {"id": "room"})
    assert sums(asked.replies, "subscribers") == {a.id: 1, b.id: 0}
    assert (await b.peers.ask(a.id, "info", {"id": "lobby"})).replies[0].fields == {"subscribers": 0}
    assert b._counters.closed_total["sse", "closed"] == 1
    await publish_plainly(b, "lobby", b"still here")
    assert (await other.object())["content"] == "still here"


async def test_what_was_published_before_a_close_arrives_before_it(edges: list[Edge], subscribe: Any) -> None:
    """A last message and a close right after it: every subscriber gets both, in order."""
    a, b = edges
    stream = await subscribe(a, "id=room")
    poll = await subscribe(a, "id=room&transport=poll", 0)
    await until(lambda: len(a._hub.channels["room"].seats) == 2)
    await publish_plainly(a, "room", b"the end")
    assert (await stream.object())["content"] == "the end"
    await b.peers.ask(None, "close", {"id": "room"})
    assert (await stream.object())["type"] == "close"
    assert (await poll.object())["messages"][0]["content"] == "the end"


# Without a Redis.


@pytest.fixture
def commands(edge: EdgeWithoutRedis) -> Commands:
    """Return what is tested."""
    return Commands(edge.hub, edge.fanout, edge.lifecycle, edge.clock)


async def test_a_broadcast_reaches_the_subscribers_of_every_channel(edge: EdgeWithoutRedis, commands: Commands) -> None:
    """Live, without a position, with the name of the channel that each has; the reply counts subscribers."""
    stream = await edge.held("/sub?id=room")
    events = await edge.held("/sse?id=lobby", transport="sse")
    poll = await edge.held("/poll?id=room", transport="poll")
    assert await commands.on_broadcast({"content": "hi", "event": "news"}) == {"subscribers": 3}
    assert b'{"type":"data","id":"room","content":"hi","event":"news"}' in await stream.until(b"}\n")
    assert b"event: news\ndata: hi\n" in await events.until(b"hi\n")
    assert (await poll.answer()).contents == ["hi"]


async def test_a_close_is_replied_to_before_it_is_carried_out(edge: EdgeWithoutRedis, commands: Commands) -> None:
    """The count is that of the connections it is about to end; a channel without any has none."""
    client = await edge.held("/sub?id=room")
    assert await commands.on_close({"id": "nowhere"}) == {"closed": 0}
    assert await commands.on_close({"id": "room"}) == {"closed": 1}
    assert edge.counters.held("stream") == 1
    assert b"the publisher closed this channel's connections" in await client.rest()
    assert edge.counters.closed_total["stream", "closed"] == 1


async def test_a_close_forgets_the_pollers_that_are_away(edge: EdgeWithoutRedis, commands: Commands) -> None:
    """A poller between two polls counts as connected, until its channel is closed."""
    client = await edge.held("/poll?id=room", transport="poll")
    edge.publish("room", b"hi")
    await client.answer()
    room = edge.hub.channels["room"]
    assert room.subscribers(edge.clock()) == 1
    await commands.on_close({"id": "room"})
    await edge.until(lambda: room.subscribers(edge.clock()) == 0)


async def test_more_commands_than_there_is_room_for_are_refused(edge: EdgeWithoutRedis, commands: Commands) -> None:
    """They are told to try again; those that are under way are carried out."""
    client = await edge.held("/sub?id=room")
    asked = [commands.on_broadcast({"content": str(number)}) for number in range(MAX_COMMANDS + 1)]
    replies = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(reply, UnavailableError) for reply in replies] == [False] * MAX_COMMANDS + [True]
    assert b'"31"' in await client.until(b'"31"')


@pytest.mark.parametrize(
    "fields", [{}, {"content": 7}, {"content": None}, {"content": "hi", "event": ["news"]}], ids=str
)
async def test_a_broadcast_needs_its_content(commands: Commands, fields: dict[str, Any]) -> None:
    """The error names the fields."""
    with pytest.raises(BadRequestError, match="content, event"):
        await commands.on_broadcast(fields)


@pytest.mark.parametrize("fields", [{}, {"id": None}, {"id": 7}, {"id": ""}, {"id": "a b"}], ids=str)
def test_a_request_that_names_no_channel_is_refused(fields: dict[str, Any]) -> None:
    """The error names the field, as that of a subscriber does."""
    with pytest.raises(BadRequestError, match=r"^id"):
        channel_name(fields)


async def test_commands_under_way_are_left_when_the_edge_stops(edge: EdgeWithoutRedis, commands: Commands) -> None:
    """What was not carried out yet is not carried out any more."""
    await edge.held("/sub?id=room")
    await commands.on_close({"id": "room"})
    await commands.stop()
    await edge.turns()
    assert edge.counters.held("stream") == 1
