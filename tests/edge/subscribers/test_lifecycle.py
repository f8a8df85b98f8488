"""A subscriber's life on real connections: its heartbeats, its greatest age, its end."""

import pytest
from websockets.frames import Opcode

from edge.engine.wheel import THINGS_PER_TURN
from edge.framing.http import Variant
from edge.framing.transports import TRANSPORTS, framing_for
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.framing.reading import read_line
from tests.edge.http_client import head
from tests.edge.seats_on_sockets import unsent
from tests.edge.usual_log import GENESIS
from tests.edge.websocket_client import HANDSHAKE, welcomed_websocket

POLL = "/poll?id=room"


# Heartbeats.


@pytest.mark.parametrize(("transport", "beat"), [("stream", b"1\r\n\n\r\n"), ("sse", b"2\r\n:\n\r\n")])
async def test_a_quiet_connection_gets_heartbeats(edge: EdgeWithoutRedis, transport: str, beat: bytes) -> None:
    """The first comes within the period, jittered; then one a period."""
    client = await edge.held(f"/{transport}?id=room", transport=transport)
    edge.pass_time(9.75)
    await edge.turns()
    assert client.received == b""
    edge.pass_time(10.75)
    assert await client.until(beat) == beat
    edge.pass_time(20.5)
    assert await client.until(beat) == beat


async def test_a_heartbeat_may_be_an_event(edge: EdgeWithoutRedis) -> None:
    """A client that asks gets an event without a position, and all others beside it what they always get."""
    named = [await edge.held(f"/sse?id=room&heartbeat=event&n={number}", transport="sse") for number in range(2)]
    plain = await edge.held("/sse?id=room&heartbeat=comment", transport="sse")
    several = await edge.held("/sse?id=room&id=hall&heartbeat=event", transport="sse")
    edge.pass_time(20.5)
    for client in (*named, several):
        assert await client.until(b"\n\n\r\n") == b"18\r\nevent: heartbeat\ndata:\n\n\r\n"
    assert await plain.until(b"\n\r\n") == b"2\r\n:\n\r\n"
    assert len({seat.framing for seat in edge.seats}) == 3


async def test_a_heartbeat_as_an_event_is_nothing_to_other_transports(edge: EdgeWithoutRedis) -> None:
    """They share their framing with connections that did not ask for one."""
    for query in ("", "&heartbeat=event"):
        await edge.held(f"/stream?id=room{query}")
    assert len({seat.framing for seat in edge.seats}) == 1


async def test_data_is_a_heartbeat(edge: EdgeWithoutRedis) -> None:
    """While messages go out there is no other sign of life; a period after the last one there is."""
    client = await edge.held("/sub?id=room")
    for _ in range(8):
        edge.pass_time(9.0)
        edge.publish("room", b"hi")
    for _ in range(8):
        assert read_line(await client.until(b"}\n\r\n"))["content"] == "hi"
    edge.pass_time(19.5)
    await edge.turns()
    assert client.received == b""
    edge.pass_time(1.0)
    assert await client.until(b"\n\r\n") == b"1\r\n\n\r\n"


@pytest.mark.parametrize("transport", ["stream", "sse", "ws"])
async def test_heartbeats_that_are_due_together_are_sent_in_steps(transport: str) -> None:
    """After a message all subscribers are due at the same time: what else there is has its turn in between."""
    async with edge_without_redis() as edge:
        headers = HANDSHAKE if transport == "ws" else ()
        count = 2 * THINGS_PER_TURN + 1
        for _ in range(count):
            await edge.held(f"/{transport}?id=room", *headers, transport=transport)
        edge.publish("room", b"hi")
        sent = edge.counters.bytes_total[transport]
        beat = len(framing_for(transport, Variant()).heartbeat)
        steps, edge.clock.now = 1, edge.clock.now + 20.5
        while edge.seat_wheel.advance(edge.clock.now):
            steps += 1
            assert edge.counters.bytes_total[transport] - sent <= steps * THINGS_PER_TURN * beat
        assert edge.counters.bytes_total[transport] - sent == count * beat
        assert steps >= 3


async def test_a_slow_client_gets_no_heartbeats(edge: EdgeWithoutRedis) -> None:
    """What waits in its outbox would only grow."""
    await edge.held("/sub?id=room")
    (seat,) = edge.seats
    edge.seats.write(seat, b"m" * 8_000_000)
    parked = unsent(seat)
    edge.pass_time(100)
    assert unsent(seat) == parked


# The greatest age of a connection.


async def test_a_stream_ends_when_it_is_old_enough() -> None:
    """With a greatest age of 100 seconds a stream lives 80 to 120 of them, heartbeats in between."""
    async with edge_without_redis(max_age=100.0) as edge:
        client = await edge.held("/sub?id=room")
        edge.pass_time(79.0)
        await edge.turns()
        assert len(edge.seats) == 1
        edge.pass_time(42.0)
        assert b'"type":"close"' in await client.rest()
        assert edge.counters.closed_total["stream", "max_age"] == 1


async def test_connections_that_came_together_do_not_end_together() -> None:
    """Their greatest ages differ by up to a fifth of it, either way."""
    async with edge_without_redis(max_age=100.0) as edge:
        for _ in range(60):
            await edge.held("/sub?id=room")
        ages = [seat.expires - edge.clock.now for seat in edge.seats]
        assert 80 <= min(ages) < 90
        assert 110 < max(ages) <= 120


async def test_an_old_pollers_next_answer_is_its_connections_last() -> None:
    """A long-poll connection is closed where it costs nothing: after an answer that says so."""
    async with edge_without_redis(max_age=10.0) as edge:
        client = await edge.connect()
        await client.send(head("/poll?id=room&timeout=0"))
        assert "connection" not in (await client.answer()).headers
        edge.pass_time(13.0)
        await client.send(head("/poll?id=room&timeout=0"))
        assert (await client.answer()).headers["connection"] == "close"


async def test_an_old_websocket_is_told_to_connect_again() -> None:
    """COMET_MAX_CONNECTION_AGE ends it with 1012, too."""
    async with edge_without_redis(max_age=100.0) as edge:
        one = await welcomed_websocket(edge, "room")
        edge.pass_time(121.0)
        while (got := await one.next_frame()).opcode is Opcode.PING:
            pass
        assert bytes(got.data[:2]) == (1012).to_bytes(2)
        assert edge.counters.closed_total["ws", "max_age"] == 1


# The end.


async def test_every_client_is_told_when_the_edge_goes(edge: EdgeWithoutRedis) -> None:
    """Streams get a close object, pollers an empty batch, event sources a retry, and idle connections are closed."""
    stream = await edge.held("/sub?id=room")
    sse = await edge.held("/sse?id=room", transport="sse")
    poll = await edge.held(POLL, transport="poll")
    idle = await edge.connect()
    edge.lifecycle.evict_all()
    assert read_line(await stream.rest())["type"] == "close"
    assert (await sse.rest()).partition(b"retry: ")[2][3:].lstrip(b"0123456789") == b"\n\r\n0\r\n\r\n"
    assert (await poll.answer()).json == {"seq": f"0-{GENESIS}", "messages": []}
    assert await poll.rest() == await idle.rest() == b""
    assert sum(map(edge.counters.held, TRANSPORTS)) == 0


async def test_a_subscriber_that_waits_is_answered_when_the_edge_goes(edge: EdgeWithoutRedis) -> None:
    """A client that has not been welcomed yet is told all the same, and no event source gets a 5xx."""
    edge.pubsub.acknowledging = False
    clients = [await edge.connect() for _ in range(2)]
    for client, path in zip(clients, ("/poll", "/sse"), strict=True):
        await client.send(head(f"{path}?id=room"))
    await edge.until(lambda: len(edge.hub.channels["room"].waiting) == 2 if edge.hub.channels else False)
    edge.lifecycle.evict_all()
    replies = [await client.rest() for client in clients]
    assert [answer[:12] for answer in replies] == [b"HTTP/1.1 503", b"HTTP/1.1 200"]
