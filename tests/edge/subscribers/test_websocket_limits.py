"""The limits of held WebSockets: size, operations, channels and rate; each itself is allowed, one more is not."""

from collections.abc import AsyncIterator

import pytest
from websockets.frames import Opcode

from edge.counters import CloseReason
from edge.protocol.limits import InputLimits
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.websocket_client import Json, frame, text, welcomed_websocket

LIMITS = InputLimits(max_channels=3, max_operations=4, max_websocket_bytes=200, websocket_rate=5)
PING = {"op": "ping"}
PONG = {"type": "pong"}


@pytest.fixture
async def edge() -> AsyncIterator[EdgeWithoutRedis]:
    """Return an edge with low limits."""
    async with edge_without_redis(limits=LIMITS) as edge:
        yield edge


def refused(edge: EdgeWithoutRedis) -> Json:
    """Return how often each limit was crossed, if it was."""
    return {limit: count for limit, count in edge.counters.limited_total.items() if count}


async def test_a_message_has_so_many_bytes(edge: EdgeWithoutRedis) -> None:
    """One more closes the connection, with the setting in the reason."""
    one = await welcomed_websocket(edge, "room")
    await one.client.send(text('{"op":"ping"}'.ljust(200)))
    assert await one.next_object() == PONG
    await one.client.send(text('{"op":"ping"}'.ljust(201)))
    closed = await one.next_frame()
    assert bytes(closed.data[:2]) == (1009).to_bytes(2)
    assert closed.data[2:] == b"a message has at most 200 bytes (COMET_MAX_WEBSOCKET_BYTES)"
    assert refused(edge) == {"max_websocket_bytes": 1}


async def test_fragments_count_together(edge: EdgeWithoutRedis) -> None:
    """What is kept of an unfinished message counts as well."""
    one = await welcomed_websocket(edge, "room")
    await one.client.send(frame(Opcode.TEXT, b'{"op":"ping"}'.ljust(100), fin=False) + frame(Opcode.CONT, b" " * 100))
    assert await one.next_object() == PONG
    await one.client.send(frame(Opcode.TEXT, b'{"op":"ping"}'.ljust(100), fin=False) + frame(Opcode.CONT, b" " * 101))
    assert await one.close_code() == 1009


async def test_a_message_has_so_many_operations(edge: EdgeWithoutRedis) -> None:
    """One more and none of them is carried out; the connection stays. None at all crosses no limit."""
    one = await welcomed_websocket(edge, "room")
    await one.send([PING] * 4)
    assert await one.objects(4) == [PONG] * 4
    await one.send([PING] * 5)
    error = await one.next_object()
    assert (error["code"], error["content"]) == (
        400,
        "an array holds 1 to 4 operations (COMET_MAX_OPERATIONS), this one 5",
    )
    await one.send([])
    assert (await one.next_object())["code"] == 400
    assert refused(edge) == {"max_operations": 1}


async def test_a_connection_has_so_many_channels(edge: EdgeWithoutRedis) -> None:
    """Those of its request count; after an unsub there is room again."""
    one = await welcomed_websocket(edge, "a")
    await one.send([{"op": "sub", "id": name} for name in "bcd"])
    found = {each["id"]: each for each in await one.objects(3)}
    assert [found[name]["type"] for name in "bcd"] == ["welcome", "welcome", "error"]
    assert "at most 3 channels (COMET_MAX_CHANNELS)" in found["d"]["content"]
    await one.send([{"op": "unsub", "id": "a"}, {"op": "sub", "id": "d"}])
    assert [each["type"] for each in await one.objects(2)] == ["unsub", "welcome"]
    assert refused(edge) == {"max_channels": 1}


# The rate.


async def test_so_many_messages_a_second(edge: EdgeWithoutRedis) -> None:
    """Five at once; each operation of the sixth is told to come later, and then is carried out."""
    one = await welcomed_websocket(edge, "room")
    await one.send(*[PING] * 5, [{"op": "sub", "id": "b", "ref": 1}, {"op": "ping", "ref": 2}, {"op": "shout"}])
    assert await one.objects(5) == [PONG] * 5
    sub, ping, wrong = await one.objects(3)
    assert sub == {
        "type": "error",
        "code": 429,
        "id": "b",
        "op": "sub",
        "ref": 1,
        "content": "a connection may send 5 messages and pings a second (COMET_WEBSOCKET_RATE); send this later",
    }
    assert (ping["code"], ping["op"], ping["ref"], wrong["code"]) == (429, "ping", 2, 400)
    assert (refused(edge), "b" in edge.hub.channels) == ({"websocket_rate": 1}, False)
    edge.pass_time(0.5)
    await one.send({"op": "sub", "id": "b"})
    assert (await one.next_object())["type"] == "welcome"


async def test_who_goes_on_is_closed(edge: EdgeWithoutRedis) -> None:
    """Another second's worth is answered, and one more ends the connection with 1008."""
    one = await welcomed_websocket(edge, "room")
    await one.send(*[PING] * 11)
    assert await one.objects(5) == [PONG] * 5
    assert [each["code"] for each in await one.objects(6)] == [429] * 6
    closed = await one.next_frame()
    assert (closed.opcode, bytes(closed.data[:2])) == (Opcode.CLOSE, (1008).to_bytes(2))
    assert b"COMET_WEBSOCKET_RATE" in closed.data
    assert edge.counters.closed_total["ws", CloseReason.ERROR] == 1


async def test_who_keeps_to_it_is_never_refused(edge: EdgeWithoutRedis) -> None:
    """Five a second for a minute."""
    one = await welcomed_websocket(edge, "room")
    for _ in range(300):
        edge.pass_time(0.21)
        await one.send(PING)
        assert await one.next_object() == PONG
    assert refused(edge) == {}


async def test_pings_count_and_are_answered(edge: EdgeWithoutRedis) -> None:
    """A flood of control frames is one, too; a pong, an answer, is none."""
    one = await welcomed_websocket(edge, "room")
    await one.client.send(frame(Opcode.PONG) * 30 + frame(Opcode.PING, b"x") * 5 + text(PING))
    assert [(await one.next_frame()).opcode for _ in range(5)] == [Opcode.PONG] * 5
    assert (await one.next_object())["code"] == 429
    await one.client.send(frame(Opcode.PING, b"x") * 6)
    assert [(await one.next_frame()).opcode for _ in range(7)] == [*[Opcode.PONG] * 6, Opcode.CLOSE]


async def test_each_connection_has_its_own_rate_and_leaves_nothing_behind(edge: EdgeWithoutRedis) -> None:
    """One that floods costs no other a message."""
    one, two = await welcomed_websocket(edge, "room"), await welcomed_websocket(edge, "room")
    await one.send(*[PING] * 20)
    await two.send(PING)
    assert await two.next_object() == PONG
    rate = edge.handler._websockets._rate
    assert len(rate._buckets) <= 2
    two.client.close()
    await edge.until(lambda: edge.counters.held("ws") == 0)
    assert rate._buckets == {}


async def test_without_a_rate_nothing_is_noted() -> None:
    """It is off by default, and then costs nothing."""
    async with edge_without_redis() as edge:
        one = await welcomed_websocket(edge, "room")
        await one.send(*[PING] * 50)
        assert await one.objects(50) == [PONG] * 50
        assert (edge.handler._websockets._rate._buckets, edge.seats.on_detach) == ({}, edge.changes.detach)
