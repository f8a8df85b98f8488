"""`POST /sub/<session>` where channels need a token: by the session's, or by one that comes with the request."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.edge.change_requests import OWN, posted, sub
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import Answer, HttpClient, head
from tests.edge.tokens_in_memory import TokensInMemory
from tests.edge.websocket_client import WebSocketClient, open_websocket

PAGE = "https://app.example"


@pytest.fixture
async def guarded() -> AsyncIterator[EdgeWithoutRedis]:
    """Yield an edge where Bob's token `good` is for `room` and `cart`, and his `wide` for all channels."""
    tokens = TokensInMemory()
    tokens.make("good", ["room", "cart"])
    tokens.make("wide", ["*"])
    tokens.make("of-eve", ["*"], user="eve")
    tokens.make("narrow", ["cart"])
    async with edge_without_redis(tokens=tokens, allowed_origins=(PAGE,)) as edge:
        yield edge


async def change(edge: EdgeWithoutRedis, session: str, body: object, *headers: str) -> Answer:
    """Send a change and return its answer."""
    client = await edge.connect()
    return await client.ask(posted(session, body, *headers))


async def held(edge: EdgeWithoutRedis) -> WebSocketClient:
    """Return a client whose session is known."""
    one = await open_websocket(edge, "/ws?id=room&token=good")
    await one.next_object()
    return one


async def test_the_sessions_token_decides(guarded: EdgeWithoutRedis) -> None:
    """What it does not name is refused on the held connection, as any other operation is; the rest is done."""
    one = await held(guarded)
    answer = await change(guarded, one.session, [sub("private-bob", ref=1), sub("cart", ref=2)])
    assert (answer.status, answer.json["channels"]) == (200, ["room", "cart"])
    error, welcome = await one.objects(2)
    assert (error["type"], error["id"], error["code"], error["op"], error["ref"]) == (
        "error",
        "private-bob",
        403,
        "sub",
        1,
    )
    assert (welcome["id"], welcome["ref"]) == ("cart", 2)


@pytest.mark.parametrize("way", ["header", "query", "cookie", "operation"])
async def test_a_token_in_the_request_replaces_it_first(guarded: EdgeWithoutRedis, way: str) -> None:
    """Then what it names may be had, now and later."""
    one = await held(guarded)
    headers = {"header": ["Authorization: Bearer wide"], "cookie": ["Cookie: comet_token=wide", f"Origin: {PAGE}"]}
    operations = [{"op": "token", "token": "wide"}] if way == "operation" else []
    session = f"{one.session}?token=wide" if way == "query" else one.session
    answer = await change(guarded, session, [*operations, sub("private-bob")], *headers.get(way, []))
    assert (answer.status, answer.json["channels"]) == (200, ["room", "private-bob"])
    if way == "operation":
        assert await one.next_object() == {"type": "token"}
    assert (await one.next_object())["id"] == "private-bob"
    await one.send(sub("secret"))
    assert (await one.next_object())["type"] == "welcome"


async def test_a_cookie_without_an_origin_is_none(guarded: EdgeWithoutRedis) -> None:
    """It replaces nothing."""
    one = await held(guarded)
    answer = await change(guarded, one.session, sub("private-bob"), "Cookie: comet_token=wide")
    assert (answer.status, answer.json["channels"]) == (200, ["room"])


@pytest.mark.parametrize("body", [b"", b"[]"])
async def test_a_request_may_bring_nothing_but_a_token(guarded: EdgeWithoutRedis, body: bytes) -> None:
    """Without one, such a request asks for nothing and is wrong."""
    one = await held(guarded)
    answer = await change(guarded, one.session, body, "Authorization: Bearer wide")
    assert (answer.status, answer.json) == (200, {"type": "ack", "channels": ["room"]})
    assert (await change(guarded, one.session, body)).status == 400
    await one.send(sub("private-bob"))
    assert (await one.next_object())["type"] == "welcome"


@pytest.mark.parametrize(
    ("token", "status", "sentence"),
    [("bad", 401, "token: wrong"), ("of-eve", 403, "another user"), ("narrow", 403, "id: room is not named")],
)
async def test_a_token_that_will_not_do_refuses_the_request(
    guarded: EdgeWithoutRedis, token: str, status: int, sentence: str
) -> None:
    """Nothing of it is done, and the old token stays."""
    one = await held(guarded)
    headers = (f"Authorization: Bearer {token}", f"Origin: {PAGE}")
    answer = await change(guarded, one.session, sub("cart", ref=1), *headers)
    assert (answer.status, answer.json["code"]) == (status, status)
    assert sentence in answer.json["content"]
    assert answer.headers.get("www-authenticate") == ("bearer" if status == 401 else None)
    assert answer.headers["access-control-allow-origin"] == PAGE
    await one.send(sub("cart", ref=2))
    assert (await one.next_object())["ref"] == 2


async def test_two_tokens_are_one_too_many(guarded: EdgeWithoutRedis) -> None:
    """It is not clear which one counts."""
    one = await held(guarded)
    assert (await change(guarded, f"{one.session}?token=wide&token=wide", sub("cart"))).status == 400


async def test_while_there_are_no_keys_the_request_may_come_again(guarded: EdgeWithoutRedis) -> None:
    """It has a time for that."""
    one = await held(guarded)
    guarded.tokens.has_keys = False
    answer = await change(guarded, one.session, sub("cart"), "Authorization: Bearer wide")
    assert (answer.status, "retry-after" in answer.headers) == (503, True)


async def poll(edge: EdgeWithoutRedis, token: str) -> HttpClient:
    """Return a client whose poll is held."""
    before = edge.counters.opened_total["poll"]
    client = await edge.connect()
    await client.send(head(f"/poll?id=room&session={OWN}&token={token}"))
    await edge.until(lambda: edge.counters.opened_total["poll"] > before)
    return client


async def test_a_polls_token_decides_and_stays_while_it_asks_again(guarded: EdgeWithoutRedis) -> None:
    """Its answer has what was refused, at its place among the acknowledgements."""
    client = await poll(guarded, "good")
    operations = [sub("private-bob", ref=1), sub("cart", ref=2), {"op": "ping", "ref": 3}]
    answer = await change(guarded, OWN, operations)
    assert answer.json["channels"] == ["room", "cart"]
    messages = (await client.answer()).json["messages"]
    assert [(one["type"], one["ref"], one.get("code")) for one in messages] == [
        ("error", 1, 403),
        ("welcome", 2, None),
        ("pong", 3, None),
    ]
    assert len(guarded.lifecycle._grants) == 0


async def test_a_fresh_token_of_a_poll_counts_from_its_operation_on(guarded: EdgeWithoutRedis) -> None:
    """In the order of the operations."""
    client = await poll(guarded, "good")
    operations = [
        sub("private-a", ref=1),
        {"op": "token", "token": "wide", "ref": 2},
        sub("private-b", ref=3),
        {"op": "token", "token": "of-eve", "ref": 4},
    ]
    await change(guarded, OWN, operations)
    messages = json.loads((await client.answer()).body)["messages"]
    assert [(one["type"], one["ref"], one.get("code")) for one in messages] == [
        ("error", 1, 403),
        ("token", 2, None),
        ("welcome", 3, None),
        ("error", 4, 403),
    ]


async def test_a_poll_that_waits_for_its_channels_again_keeps_its_token(guarded: EdgeWithoutRedis) -> None:
    """So that it ends with it, whatever it waits for."""
    client = await poll(guarded, "good")
    guarded.pubsub.acknowledging = False
    changing = await guarded.connect()
    await changing.send(posted(OWN, sub("cart")))
    await guarded.until(lambda: b"t:cart" in [name for name, _ in guarded.pubsub.asked])
    assert len(guarded.lifecycle._grants) == 1
    client.reset()
    await guarded.until(lambda: len(guarded.lifecycle._grants) == 0)


async def test_without_a_key_a_token_in_the_request_is_not_looked_at(edge: EdgeWithoutRedis) -> None:
    """As before."""
    one = await open_websocket(edge, "/ws?id=room")
    await one.next_object()
    answer = await change(edge, f"{one.session}?token=a&token=b", sub("cart"), "Authorization: Bearer x")
    assert (answer.status, answer.json["channels"]) == (200, ["room", "cart"])
