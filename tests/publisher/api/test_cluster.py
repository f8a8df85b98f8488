"""What the publisher asks of all edges, with real edges on a real Valkey."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from edge.app import Edge
from tests.edge.real import running as edges_running
from tests.edge.real import subscribers, until
from tests.publisher.conftest import Client

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def edges(client: Client, valkey_url: str, prefix: str) -> AsyncIterator[list[Edge]]:
    """Yield two edges beside the publisher."""
    async with edges_running(valkey_url, prefix, max_message_bytes=1000) as it:
        yield it


@pytest.fixture
async def subscribe() -> AsyncIterator[Any]:
    """Yield a function that subscribes at an edge."""
    async with subscribers() as it:
        yield it


async def told(client: Client, method: str, target: str, **options: Any) -> Any:
    """Send a request that must be answered with 200, and return the JSON answer."""
    answer, text = await client.request(method, target, **options)
    assert (answer.status, answer.content_type) == (200, "application/json"), text
    return json.loads(text)


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


async def test_without_edges_there_is_nobody(client: Client) -> None:
    """No edge, no waiting, and no error."""
    async with asyncio.timeout(2):
        assert await told(client, "GET", "/info") == {"connections": 0, "edges": [], "silent": 0}
        assert await told(client, "GET", "/check?id=room") == {"id": "room", "connected": False, "silent": 0}
        assert await told(client, "POST", "/close?id=room") == {"id": "room", "closed": 0, "edges": {}, "silent": 0}
        assert await told(client, "POST", "/broadcast?content=x") == {"subscribers": 0, "edges": {}, "silent": 0}


async def test_check_tells_whether_anybody_is_there(client: Client, edges: list[Edge], subscribe: Any) -> None:
    """One subscriber on one edge is enough."""
    await subscribe(edges[1], "id=room")
    assert (await told(client, "GET", "/check?id=room"))["connected"]
    assert not (await told(client, "GET", "/check?id=empty"))["connected"]


async def test_an_edge_that_does_not_answer_is_counted_as_silent(
    client: Client, edges: list[Edge], subscribe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum is of those who answered, and says that it may be short."""
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
    del b._control.handlers["broadcast"]
    answer = await told(client, "POST", "/broadcast?content=x")
    assert answer["edges"] == {a.id: 0}
    assert list(answer["errors"]) == [b.id]
    assert "does not know 'broadcast'" in answer["errors"][b.id]


async def test_close_ends_connections_on_every_edge(client: Client, edges: list[Edge], subscribe: Any) -> None:
    """By query or form body; afterwards nobody is there."""
    a, b = edges
    one, two = await subscribe(a, "id=room"), await subscribe(b, "id=room")
    answer = await told(client, "POST", "/close", data={"id": "room"})
    assert answer == {"id": "room", "closed": 2, "edges": {a.id: 1, b.id: 1}, "silent": 0}
    for subscriber in (one, two):
        assert (await subscriber.object())["type"] == "close"
        assert await subscriber.rest() == b"\r\n0\r\n\r\n"
    assert not (await told(client, "GET", "/check?id=room"))["connected"]


@pytest.mark.parametrize(
    "options",
    [
        {"json": {"content": "ü\n", "event": "news"}},
        {"data": {"content": "ü\n", "event": "news"}},
        {"params": {"content": "ü\n", "event": "news"}},
    ],
    ids=["json", "form", "query"],
)
async def test_a_broadcast_reaches_every_channel_of_every_edge(
    client: Client, edges: list[Edge], subscribe: Any, options: dict[str, Any]
) -> None:
    """Live, without a position; who has several channels gets it on each, a waiting poll is answered with it."""
    a, b = edges
    room = await subscribe(a, "id=room")
    both = await subscribe(b, "id=room&id=lobby", 2)
    poll = await subscribe(b, "id=poll&transport=poll", 0)
    await until(lambda: "poll" in b._hub.channels and b._hub.channels["poll"].seats)
    answer = await told(client, "POST", "/broadcast", **options)
    assert answer == {"subscribers": 4, "edges": {a.id: 1, b.id: 3}, "silent": 0}
    expected = {"type": "data", "content": "ü\n", "event": "news"}
    assert await room.object() == expected | {"id": "room"}
    assert [await both.object(), await both.object()] == [expected | {"id": "room"}, expected | {"id": "lobby"}]
    assert (await poll.object())["messages"] == [expected | {"id": "poll"}]


async def test_the_longest_message_can_be_broadcast(client: Client, edges: list[Edge], subscribe: Any) -> None:
    """A payload at the limit, of bytes that need six in JSON, arrives; one byte more is a 413."""
    subscriber = await subscribe(edges[0], "id=room")
    assert (await told(client, "POST", "/broadcast", json={"content": "\x00" * 1000}))["silent"] == 0
    assert (await subscriber.object())["content"] == "\x00" * 1000
    answer, _ = await client.request("POST", "/broadcast", json={"content": "x" * 1001})
    assert answer.status == 413


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


@pytest.mark.parametrize(
    ("method", "target", "options", "status", "word"),
    [
        ("GET", "/info?id=no%20room", {}, 400, "id: ' ' is not allowed"),
        ("GET", "/info?id=a&id=b", {}, 400, "id: name one channel"),
        ("GET", "/info?name=a", {}, 400, "name: is not a parameter here"),
        ("GET", "/info?id=%FF", {}, 400, "the parameters must be UTF-8"),
        ("GET", "/check", {}, 400, "id: name one channel"),
        ("POST", "/close", {}, 400, "id: name one channel"),
        ("GET", "/close?id=room", {}, 405, "GET is not allowed here; use POST"),
        ("GET", "/broadcast?content=x", {}, 405, "GET is not allowed here; use POST"),
        ("POST", "/broadcast", {}, 400, "content: is missing"),
        ("POST", "/broadcast", {"json": {"content": "x", "id": "room"}}, 400, "id: is not a field here"),
        ("POST", "/broadcast", {"json": [{"content": "x"}]}, 400, "a message must be a JSON object"),
        ("POST", "/broadcast", {"data": b"{", "headers": JSON}, 400, "the body is not JSON"),
        ("POST", "/broadcast?content=x", {"json": {"content": "x"}}, 400, "the query string must be empty"),
        ("POST", "/broadcast", {"data": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "content-type:"),
        ("POST", "/broadcast?content=x&event=reset", {}, 400, "event: 'reset' is reserved"),
    ],
)
async def test_what_is_wrong_is_one_json_line(
    client: Client, method: str, target: str, options: dict[str, Any], status: int, word: str
) -> None:
    """The sentence names the field."""
    answer, text = await client.request(method, target, **options)
    assert answer.status == status
    assert json.loads(text)["content"].startswith(word)
