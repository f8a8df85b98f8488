"""Tokens that expire: each transport's subscriber is told so, and its connection ends."""

import json
from collections.abc import AsyncIterator

import pytest

from edge.counters import CloseReason
from edge.framing.websocket import OWN_CODES
from edge.protocol.operations import Op, Operation
from edge.subscribers.lifecycle import EXPIRED_PER_TURN
from edge.tokens.guard import EXPIRED
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head
from tests.edge.tokens_in_memory import TokensInMemory
from tests.edge.websocket_client import open_websocket

ENDS = 1010.0  # the fake clock begins at 1000
ERROR = {"type": "error", "code": 401, "content": EXPIRED}


@pytest.fixture
async def guarded() -> AsyncIterator[EdgeWithoutRedis]:
    """Yield an edge where `good` is a token for all channels that ends soon, and `fresh` one that ends later."""
    tokens = TokensInMemory("news")
    tokens.make("good", expires=ENDS)
    tokens.make("fresh", expires=ENDS + 20)
    async with edge_without_redis(tokens=tokens) as edge:
        yield edge


@pytest.mark.parametrize(
    ("transport", "target", "end"),
    [
        ("stream", "/stream?id=room", b"0\r\n\r\n"),
        ("sse", "/sse?id=room", b"\n\n\r\n0\r\n\r\n"),
        ("iframe", "/iframe?id=room", b"</script>\n\r\n0\r\n\r\n"),
    ],
)
async def test_a_held_response_says_so_and_ends(
    guarded: EdgeWithoutRedis, transport: str, target: str, end: bytes
) -> None:
    """An error object is the last one; before the time is over nothing happens."""
    client = await guarded.held(f"{target}&token=good", transport=transport)
    guarded.pass_time(9.75)
    guarded.publish("room", b"still here")
    assert guarded.counters.closed_total.total() == 0
    guarded.pass_time(1.5)
    rest = await client.rest()
    assert rest.index(b"still here") < rest.index(b'{"type":"error","code":401,"content":"' + EXPIRED.encode())
    assert rest.endswith(end)
    assert guarded.counters.closed_total == {(transport, CloseReason.TOKEN): 1}
    assert len(guarded.lifecycle._grants) == 0


async def test_a_websocket_closes_with_a_code_of_its_own(guarded: EdgeWithoutRedis) -> None:
    """After the error object; a page reads the code, and fetches a new token."""
    one = await open_websocket(guarded, "/ws?id=room&token=good")
    await one.next_object()
    guarded.pass_time(11.25)
    assert await one.next_object() == ERROR
    assert await one.close_code() == OWN_CODES + 401 == 4401


@pytest.mark.parametrize("target", ["/poll?id=room&timeout=60", "/jsonp?id=room&timeout=60&callback=f"])
async def test_a_held_poll_is_answered_with_the_error(guarded: EdgeWithoutRedis, target: str) -> None:
    """Its next poll with the same token gets 401, on the same connection."""
    client = await guarded.connect()
    await client.send(head(f"{target}&token=good"))
    await guarded.until(lambda: guarded.counters.opened_total.total() == 1)
    guarded.pass_time(11.25)
    answer = await client.answer()
    body = answer.body.removeprefix(b"/**/f(").rstrip(b";)\n")
    assert (answer.status, json.loads(body)["messages"]) == (200, [ERROR])
    del guarded.tokens.grants["good"]
    assert (await client.ask(head(f"{target}&token=good"))).status == 401


async def test_what_was_published_before_is_sent_before(guarded: EdgeWithoutRedis) -> None:
    """Nothing is lost that was on its way."""
    client = await guarded.held("/stream?id=room&token=good")
    guarded.clock.now = ENDS + 2
    guarded.publish("room", b"last")
    guarded.pass_time(0.25)
    rest = await client.rest()
    assert rest.index(b'"last"') < rest.index(b'"error"')


async def test_a_newcomer_that_still_waits_is_turned_away(guarded: EdgeWithoutRedis) -> None:
    """It has no answer yet: it gets one with the status."""
    guarded.clock.now = ENDS - 1
    client = await guarded.waiting("/stream?id=room&token=good")
    guarded.pass_time(2.25)
    answer = await client.answer()
    assert (answer.status, answer.json["content"]) == (401, EXPIRED)


async def test_one_that_does_not_take_what_it_is_sent_is_cut(guarded: EdgeWithoutRedis) -> None:
    """The last words would wait behind all that is parked, for as long as it is read at all."""
    await guarded.held("/stream?id=room&token=good")
    (seat,) = guarded.seats
    guarded.seats.write(seat, b"x" * 34_000_000)
    assert seat.send_buffer is not None
    guarded.pass_time(11.25)
    assert seat.fd == -1
    assert guarded.counters.closed_total == {("stream", CloseReason.TOKEN): 1}


async def test_a_token_for_one_that_has_just_ended_is_kept_by_nobody(guarded: EdgeWithoutRedis) -> None:
    """An operation before it may end a connection."""
    await guarded.held("/stream?id=room&token=good")
    (seat,) = guarded.seats
    guarded.seats.abort(seat, CloseReason.CLIENT)
    guarded.changes.apply(seat, Operation(Op.TOKEN, token="fresh"))
    assert len(guarded.lifecycle._grants) == 0


async def test_a_fresh_token_keeps_the_connection(guarded: EdgeWithoutRedis) -> None:
    """Until that ends; another connection is not touched."""
    one = await open_websocket(guarded, "/ws?id=room&token=good")
    other = await guarded.held("/stream?id=news")
    await one.next_object()
    await one.send({"op": "token", "token": "fresh"})
    assert await one.next_object() == {"type": "token"}
    guarded.pass_time(25)
    guarded.publish("room", b"hi")
    assert (await one.next_object())["content"] == "hi"
    guarded.pass_time(6)
    assert await one.next_object() == ERROR
    assert await one.close_code() == 4401
    guarded.publish("news", b"hi")
    await other.until(b'"hi"')


async def test_a_connection_between_two_polls_is_not_ended(guarded: EdgeWithoutRedis) -> None:
    """Its last token was that of an answered poll."""
    client = await guarded.connect()
    assert (await client.ask(head("/poll?id=room&timeout=0&token=good"))).status == 200
    assert len(guarded.lifecycle._grants) == 0
    guarded.pass_time(12)
    assert (await client.ask(head("/poll?id=room&timeout=0&token=fresh"))).status == 200


async def test_many_that_expire_together_are_ended_a_few_at_a_time(guarded: EdgeWithoutRedis) -> None:
    """Between two turns the loop delivers to others."""
    count = EXPIRED_PER_TURN + 10
    for _ in range(count):
        await guarded.held("/stream?id=room&token=good")
    guarded.clock.now = ENDS + 1
    assert guarded.lifecycle.end_expired()
    assert guarded.counters.held("stream") == 10
    assert not guarded.lifecycle.end_expired()
    assert guarded.counters.held("stream") == 0
