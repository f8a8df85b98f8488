"""Turns, on real connections: one answer after the other, and what is still answered when the client has ended."""

import pytest

from edge.state import Phase
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import HttpClient, head

POLL = "/poll?id=room"
AT_ONCE = "/poll?id=room&timeout=0"
BIG = b"x" * 990
COUNT = 1000  # messages: more than the kernel takes at once


async def parked(edge: EdgeWithoutRedis, *ahead: bytes) -> HttpClient:
    """Return a client that has a long answer parked, and that sent some bytes behind its request."""
    keep_much(edge)
    client, before = await edge.connect(), parked_seats(edge)
    await client.send(head(POLL + "&since=0") + b"".join(ahead))
    await edge.until(lambda: parked_seats(edge) > before)
    return client


def keep_much(edge: EdgeWithoutRedis) -> None:
    """Have Redis keep many messages, if it does not already."""
    for _ in range(COUNT - len(edge.logs.messages.get("room", ()))):
        edge.logs.append("room", BIG)


def parked_seats(edge: EdgeWithoutRedis) -> int:
    """Return how many seats have something parked."""
    return sum(seat.send_buffer is not None for seat in edge.seats)


async def test_the_next_request_waits_until_the_answer_was_taken(edge: EdgeWithoutRedis) -> None:
    """It stays in the kernel; then it is served like any other."""
    client = await parked(edge)
    await client.send(head("/nowhere"))
    await edge.turns(50)
    (seat,) = edge.seats
    assert (seat.recv_buffer, seat.phase, edge.counters.refused_total[404]) == (b"", Phase.IDLE, 0)
    assert len((await client.answer()).contents) == COUNT
    assert (await client.answer()).status == 404


async def test_a_request_that_was_read_ahead_waits_too(edge: EdgeWithoutRedis) -> None:
    """It came with the first one."""
    client = await parked(edge, head("/nowhere"))
    await edge.turns(50)
    assert edge.counters.refused_total[404] == 0
    assert len((await client.answer()).contents) == COUNT
    assert (await client.answer()).status == 404


async def test_no_time_out_ends_an_answer_that_is_being_taken(edge: EdgeWithoutRedis) -> None:
    """Neither that of an idle connection nor that of one that is closed behind the answer."""
    client = await parked(edge)
    last = await parked(edge, head("/nowhere", "Connection: close"))
    edge.pass_time(200)
    assert len((await client.answer()).contents) == COUNT
    assert len((await last.answer()).contents) == COUNT
    assert (await last.answer()).status == 404
    assert await last.rest() == b""


@pytest.mark.parametrize("ahead", [(), (head(AT_ONCE), head(AT_ONCE))])
async def test_who_has_ended_gets_every_answer(edge: EdgeWithoutRedis, ahead: tuple[bytes, ...]) -> None:
    """Those that are parked, and those to the requests behind; then the connection is closed."""
    client = await parked(edge, *ahead)
    client.end()
    assert len((await client.answer()).contents) == COUNT
    for _ in ahead:
        assert (await client.answer()).status == 200
    assert await client.rest() == b""
    await edge.until(lambda: not len(edge.seats))


@pytest.mark.parametrize("second", [POLL, "/stream?id=room"])
async def test_behind_the_end_nobody_is_held(edge: EdgeWithoutRedis, second: str) -> None:
    """A poll sent ahead is answered with what there is; a stream has no end, so it is closed."""
    keep_much(edge)
    await edge.held("/stream?id=room")
    client = await parked(edge, head(second))
    client.end()
    await edge.turns()
    assert len((await client.answer()).contents) == COUNT
    if second == POLL:
        assert (await client.answer()).contents == []
    await client.rest()
    await edge.until(lambda: len(edge.seats) == 1)


async def test_a_poll_that_waits_is_answered_at_its_clients_end(edge: EdgeWithoutRedis) -> None:
    """With no message; it is counted as the client's going."""
    client = await edge.held(POLL, transport="poll")
    client.end()
    assert (await client.answer()).contents == []
    assert await client.rest() == b""
    assert edge.counters.closed_total["poll", "client"] == 1
    assert len(edge.seats) == 0


async def test_a_poll_that_waits_for_redis_is_answered_after_its_clients_end(edge: EdgeWithoutRedis) -> None:
    """As soon as it is in its channels."""
    client = await edge.waiting(POLL)
    client.end()
    await edge.until(lambda: edge.seats.half_closed)
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    assert (await client.answer()).contents == []
    await edge.until(lambda: not len(edge.seats))


@pytest.mark.parametrize("transport", ["stream", "sse"])
async def test_a_held_connection_goes_with_its_client(edge: EdgeWithoutRedis, transport: str) -> None:
    """There is no end to wait for."""
    client = await edge.held(f"/{transport}?id=room", transport=transport)
    client.end()
    assert await client.rest() == b""
    assert edge.counters.closed_total[transport, "client"] == 1


@pytest.mark.parametrize("transport", ["stream", "sse"])
async def test_empty_lines_behind_a_request_are_ignored(edge: EdgeWithoutRedis, transport: str) -> None:
    """With the request and after the welcome; the connection stays."""
    client = await edge.connect()
    await client.send(head(f"/{transport}?id=room") + b"\r\n")
    await client.until(b"hello world!")
    await client.send(b"\r\n\n\r")
    await edge.turns()
    edge.publish("room", b"still here")
    await client.until(b"still here")
