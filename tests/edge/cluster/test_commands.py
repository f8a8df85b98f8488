"""What publishers have an edge do: close a channel's connections, broadcast to every channel."""

from typing import Any

from edge.app import Edge
from tests.edge.real_edges import WEBSOCKET, publish_plainly, sums, until


async def test_close_ends_a_channels_connections_on_every_edge(edges: list[Edge], subscribe: Any) -> None:
    """Streams and SSE are told and ended, polls answered; other channels stay, and who comes back is let in."""
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
    """A last message and a close right after it: everybody gets both, in order."""
    a, b = edges
    stream = await subscribe(a, "id=room")
    poll = await subscribe(a, "id=room&transport=poll", 0)
    await until(lambda: len(a._hub.channels["room"].seats) == 2)
    await publish_plainly(a, "room", b"the end")
    assert (await stream.object())["content"] == "the end"
    await b.peers.ask(None, "close", {"id": "room"})
    assert (await stream.object())["type"] == "close"
    assert (await poll.object())["messages"][0]["content"] == "the end"
