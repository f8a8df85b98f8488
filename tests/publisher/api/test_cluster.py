"""The HTTP side of the cluster, with real edges on a real Valkey."""

import json
from typing import Any

import pytest

from edge.app import Edge
from tests.edge.real_edges import until
from tests.publisher.conftest import Client, told

JSON = {"Content-Type": "application/json"}


async def test_check_tells_whether_anybody_is_there(client: Client, edges: list[Edge], subscribe: Any) -> None:
    """One subscriber on one edge is enough."""
    await subscribe(edges[1], "id=room")
    assert (await told(client, "GET", "/check?id=room"))["connected"]
    assert not (await told(client, "GET", "/check?id=empty"))["connected"]


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
    """Live, without a position; a subscriber of several channels gets it on each, a poll is answered with it."""
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
