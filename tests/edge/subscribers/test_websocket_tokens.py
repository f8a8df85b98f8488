"""Held WebSockets where channels need a token: later channels, and a fresh token without reconnecting."""

from collections.abc import AsyncIterator

import pytest

from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.tokens_in_memory import TokensInMemory
from tests.edge.websocket_client import WebSocketClient, open_websocket


@pytest.fixture
async def guarded() -> AsyncIterator[EdgeWithoutRedis]:
    """Yield an edge where `good` is Bob's token for `room` and `cart`, and `news` is for all."""
    tokens = TokensInMemory("news")
    tokens.make("good", ["room", "cart"])
    async with edge_without_redis(tokens=tokens) as edge:
        yield edge


async def held(edge: EdgeWithoutRedis, target: str = "/ws?id=room&token=good") -> WebSocketClient:
    """Return a client that was welcomed to one channel."""
    one = await open_websocket(edge, target)
    assert (await one.next_object())["type"] == "welcome"
    return one


async def test_a_channel_that_the_token_does_not_name_is_refused(guarded: EdgeWithoutRedis) -> None:
    """The connection stays, and the other operations of the message are done; Redis is not asked for that channel."""
    one = await held(guarded)
    subs = [{"op": "sub", "id": name, "ref": name} for name in ("private-bob", "cart", "news", "room")]
    await one.send(subs)
    got = {item["ref"]: item for item in await one.objects(4)}
    assert got["private-bob"] == {
        "type": "error",
        "id": "private-bob",
        "op": "sub",
        "code": 403,
        "content": "id: private-bob is not named by the token",
        "ref": "private-bob",
    }
    assert {got[name]["type"] for name in ("cart", "news", "room")} == {"welcome"}
    assert b"t:private-bob" not in [name for name, _ in guarded.pubsub.asked]
    assert guarded.counters.token_refused_total["channel"] == 1


async def test_who_came_without_a_token_has_what_is_for_all(guarded: EdgeWithoutRedis) -> None:
    """Until it shows one, which may be anybody's."""
    one = await held(guarded, "/ws")
    await one.send([{"op": "sub", "id": "news"}, {"op": "sub", "id": "room"}])
    assert sorted(item.get("code", 200) for item in await one.objects(2)) == [200, 401]
    await one.send([{"op": "token", "token": "good", "ref": 1}, {"op": "sub", "id": "room"}])
    assert [(item["type"], item.get("ref")) for item in await one.objects(2)] == [("token", 1), ("welcome", None)]


async def test_a_fresh_token_takes_the_place_of_the_old_one(guarded: EdgeWithoutRedis) -> None:
    """It is acknowledged by its ref; from the next operation on it counts."""
    one = await held(guarded)
    guarded.tokens.make("fresh", ["room", "private-bob"])
    await one.send(
        [{"op": "token", "token": "fresh", "ref": "t"}, *({"op": "sub", "id": i} for i in ("cart", "private-bob"))]
    )
    acknowledged, refused, welcome = await one.objects(3)
    assert acknowledged == {"type": "token", "ref": "t"}
    assert (refused["id"], refused["code"]) == ("cart", 403)
    assert (welcome["id"], welcome["type"]) == ("private-bob", "welcome")


@pytest.mark.parametrize(
    ("token", "code", "sentence"),
    [
        ("bad", 401, "token: wrong"),
        ("of-eve", 403, "another user"),
        ("narrow", 403, "id: cart is not named"),
        ("", 400, "token: give a fresh token"),
        (7, 400, "token: give a fresh token"),
    ],
)
async def test_a_token_that_will_not_do_leaves_the_old_one(
    guarded: EdgeWithoutRedis, token: object, code: int, sentence: str
) -> None:
    """It must be the same user's, and name all channels that the connection has, also those that it waits for."""
    guarded.tokens.make("of-eve", user="eve")
    guarded.tokens.make("narrow", ["room"])
    one = await held(guarded)
    await one.send([{"op": "sub", "id": "cart"}, {"op": "token", "token": token, "ref": 9}])
    error = next(item for item in await one.objects(2) if item["type"] == "error")
    assert (error["op"], error["code"], error["ref"]) == ("token", code, 9)
    assert sentence in error["content"]
    await one.send({"op": "sub", "id": "cart"})
    assert (await one.next_object())["type"] == "welcome"


async def test_while_there_are_no_keys_a_fresh_token_may_come_again(guarded: EdgeWithoutRedis) -> None:
    """The old one counts meanwhile."""
    one = await held(guarded)
    guarded.tokens.has_keys = False
    await one.send([{"op": "token", "token": "good"}, {"op": "sub", "id": "cart"}])
    assert [item.get("code") for item in await one.objects(2)] == [503, None]


async def test_without_a_key_a_token_is_no_operation(edge: EdgeWithoutRedis) -> None:
    """Whoever sends one is told why."""
    one = await held(edge, "/ws?id=room")
    await one.send({"op": "token", "token": "x", "ref": 1})
    error = await one.next_object()
    assert (error["code"], error["op"], error["ref"]) == (400, "token", 1)
    assert "COMET_TOKEN_KEY is not set" in error["content"]
