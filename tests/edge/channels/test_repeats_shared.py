"""Who comes back to one channel from one position has references to the same bytes parked, whatever the transport."""

import pytest

from edge.engine.seats import LONG_DATA
from edge.state import IDLE, Seat
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import HttpClient, head
from tests.edge.seats_on_sockets import unsent
from tests.edge.usual_log import at

PART = b"m" * LONG_DATA
MUCH = b"m" * 3_000_000  # more than any socket buffer takes
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


async def behind(edge: EdgeWithoutRedis, target: str, *headers: str) -> tuple[HttpClient, Seat]:
    """Return a client that has asked for much and has read nothing of it, and its seat."""
    client = await edge.connect()
    *_, seat = edge.seats
    await client.send(head(target, *headers))
    await edge.until(lambda: seat.send_buffer is not None)
    return client, seat


@pytest.mark.parametrize(
    "target",
    ["/stream?id=room", "/sse?id=room", "/iframe?id=room&callback=f", "/poll?id=room", "/jsonp?id=room&callback=f"],
)
@pytest.mark.parametrize("since", [0, 1])
async def test_what_is_parked_is_the_same_object(target: str, since: int) -> None:
    """Whether it comes from the log or from the ring; and it counts once."""
    async with edge_without_redis() as edge:
        edge.publish("room", PART, PART)
        await edge.held("/stream?id=room")
        edge.publish("room", PART, PART)
        edge.publish("room", PART)
        query = f"{target}&since={at(since + 1) if since else 0}"
        seats = [(await behind(edge, query))[1] for _ in range(3)]
        rests = {id(seat.send_buffer.chunks[-1]) for seat in seats if seat.send_buffer is not None}
        assert len(rests) == 1
        most = max(len(unsent(seat)) for seat in seats)
        assert len(PART) < edge.seats.outbox.parked_bytes < most + 4000


async def test_websockets_share_as_well(edge: EdgeWithoutRedis) -> None:
    """The answer to a handshake is each one's own; the frames are everybody's."""
    edge.logs.append("room", MUCH)
    seats = [(await behind(edge, "/ws?id=room&since=0", *HANDSHAKE))[1] for _ in range(2)]
    first, second = (seat.send_buffer.chunks[-1] for seat in seats if seat.send_buffer is not None)
    assert first is second


async def test_polls_with_sessions_share_all_but_the_beginning(edge: EdgeWithoutRedis) -> None:
    """Each answer names its own session, and the rest is one object."""
    for _ in range(3):
        edge.logs.append("room", PART)
    names = ["a" * 20, "b" * 20]
    ones = [await behind(edge, f"/poll?id=room&since=0&session={name}") for name in names]
    rests = [seat.send_buffer.chunks[-1] for _, seat in ones if seat.send_buffer is not None]
    assert rests[0] is rests[1]
    for name, (client, _) in zip(names, ones, strict=True):
        answer = await client.answer()
        assert (answer.json["session"], answer.contents) == (name, [PART.decode()] * 3)


@pytest.mark.parametrize("closing", [(), ("Connection: close",)])
async def test_a_long_answer_comes_whole(edge: EdgeWithoutRedis, closing: tuple[str, ...]) -> None:
    """In pieces as the client takes them; then the connection is free, or closed."""
    for _ in range(40):
        edge.logs.append("room", PART)
    client, seat = await behind(edge, f"/poll?id=room&since=0&session={'a' * 20}", *closing)
    answer = await client.answer()
    assert answer.contents == [PART.decode()] * 40
    await edge.until(lambda: seat.send_buffer is None)
    assert (seat.phase is IDLE) is (not closing)
    assert edge.seats.outbox.parked_bytes == 0


async def test_live_messages_follow_what_was_missed(edge: EdgeWithoutRedis) -> None:
    """S4: what is published while a replay is parked waits behind it."""
    for _ in range(3):
        edge.logs.append("room", PART)
    client, _ = await behind(edge, "/stream?id=room&since=0")
    edge.publish("room", b"live")
    assert (await client.until(b'"live"')).count(b'"type":"data"') == 4
