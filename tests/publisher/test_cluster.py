"""What the publisher asks of all edges, with real edges on a real Valkey."""

import asyncio
from typing import Any

import pytest

from edge.app import Edge
from tests.publisher.conftest import Client, told


async def test_info_of_a_channel_counts_its_subscribers_per_edge(
    client: Client, edges: list[Edge], subscribe: Any
) -> None:
    """The sum over all edges, and each edge's part of it; `cname` and `channel` are as good as `id`."""
    a, b = edges
    for edge in (a, b, b):
        await subscribe(edge, "id=room")
    expected = {"id": "room", "subscribers": 3, "edges": {a.id: 1, b.id: 2}, "silent": 0}
    assert await told(client, "GET", "/info?id=room") == expected
    assert await told(client, "GET", "/info?cname=room") == expected


async def test_info_of_everything_lists_the_edges(client: Client, edges: list[Edge], subscribe: Any) -> None:
    """Each edge tells of itself; their connections are summed."""
    a, b = edges
    await subscribe(a, "id=room")
    await subscribe(b, "id=room&id=lobby", 2)
    answer = await told(client, "GET", "/info")
    assert (answer["connections"], answer["silent"]) == (2, 0)
    assert [edge["id"] for edge in answer["edges"]] == sorted([a.id, b.id])
    assert {edge["id"]: edge["channels"] for edge in answer["edges"]} == {a.id: 1, b.id: 2}


async def test_without_edges_there_are_no_subscribers(client: Client) -> None:
    """No edge, no waiting, and no error."""
    async with asyncio.timeout(2):
        assert await told(client, "GET", "/info") == {"connections": 0, "edges": [], "silent": 0}
        assert await told(client, "GET", "/check?id=room") == {"id": "room", "connected": False, "silent": 0}
        assert await told(client, "POST", "/close?id=room") == {"id": "room", "closed": 0, "edges": {}, "silent": 0}
        assert await told(client, "POST", "/broadcast?content=x") == {"subscribers": 0, "edges": {}, "silent": 0}


async def test_an_edge_that_does_not_answer_is_counted_as_silent(
    client: Client, edges: list[Edge], subscribe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum is of the edges that answered, and says that it may be short."""
    a, b = edges
    await subscribe(a, "id=room")
    monkeypatch.setattr(b._rpc_server._replies, "_publish", lost)
    answer = await told(client, "GET", "/info?id=room")
    assert answer == {"id": "room", "subscribers": 1, "edges": {a.id: 1}, "silent": 1}


async def lost(messages: object) -> None:
    """Stand in for a Redis that takes answers and loses them."""


async def test_an_edge_that_cannot_is_named(client: Client, edges: list[Edge]) -> None:
    """An older edge does not know every operation: its sentence is in the answer."""
    a, b = edges
    del b._rpc_server._handlers["broadcast"]  # type: ignore[attr-defined]
    answer = await told(client, "POST", "/broadcast?content=x")
    assert answer["edges"] == {a.id: 0}
    assert list(answer["errors"]) == [b.id]
    assert "does not know 'broadcast'" in answer["errors"][b.id]


async def test_close_ends_connections_on_every_edge(client: Client, edges: list[Edge], subscribe: Any) -> None:
    """By query or form body; afterwards no subscriber is there."""
    a, b = edges
    one, two = await subscribe(a, "id=room"), await subscribe(b, "id=room")
    answer = await told(client, "POST", "/close", data={"id": "room"})
    assert answer == {"id": "room", "closed": 2, "edges": {a.id: 1, b.id: 1}, "silent": 0}
    for subscriber in (one, two):
        assert (await subscriber.object())["type"] == "close"
        assert await subscriber.rest() == b"\r\n0\r\n\r\n"
    assert not (await told(client, "GET", "/check?id=room"))["connected"]


async def test_a_broadcast_to_very_many_channels_takes_turns(client: Client, edges: list[Edge], subscribe: Any) -> None:
    """Every subscriber of 600 channels gets it once."""
    a, b = edges
    names = [f"c{number}" for number in range(600)]
    held = [
        await subscribe(edge, "&".join(f"id={name}" for name in names[start : start + 30]), 30)
        for edge in (a, b)
        for start in range(0, len(names), 30)
    ]
    answer = await told(client, "POST", "/broadcast", json={"content": "hi"})
    assert answer["subscribers"] == 1200
    for subscriber in held:
        got = [(await subscriber.object())["id"] for _ in range(30)]
        assert len(set(got)) == 30
