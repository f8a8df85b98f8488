"""Overflow on real connections: who is ended when all together have sent too much that is not complete."""

import pytest
from websockets.frames import Opcode

from edge.server import overflow as overflow_module
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import HttpClient, head
from tests.edge.websocket_client import HANDSHAKE, frame

BUDGET = 65_536
PART = b"GET /sub?id=room HTTP/1.1\r\nX: " + b"a" * 5000  # unfinished
ROOM = BUDGET // len(PART)  # so many of them are kept


async def with_part(edge: EdgeWithoutRedis, part: bytes = PART) -> HttpClient:
    """Return a client whose unfinished request the edge has read."""
    client, before = await edge.connect(), edge.seats.inbox.kept_bytes
    await client.send(part)
    await edge.until(lambda: edge.seats.inbox.kept_bytes >= before + len(part) or edge.counters.limited_total.total())
    return client


async def test_the_oldest_unfinished_head_is_told_to_come_again() -> None:
    """It gets a 503 with a time, is counted, and those that came later are kept and served."""
    async with edge_without_redis(input_bytes=BUDGET) as edge:
        clients = [await with_part(edge) for _ in range(ROOM)]
        assert edge.counters.limited_total["input_bytes"] == 0
        clients.append(await with_part(edge))
        answer = await clients[0].answer()
        assert (answer.status, answer.json["content"]) == (503, overflow_module.SENTENCE)
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert await clients[0].rest() == b""
        assert edge.counters.limited_total["input_bytes"] == 1
        assert edge.seats.inbox.kept_bytes <= BUDGET
        for client in clients[1:]:
            await client.send(b"\r\nHost: x\r\n\r\n")
            assert await client.until(b"hello world!")
        assert edge.seats.inbox.kept_bytes == 0


async def test_sending_slowly_does_not_renew_the_wait() -> None:
    """A client that drips is ended before those that began after it."""
    async with edge_without_redis(input_bytes=BUDGET) as edge:
        dripping = await with_part(edge)
        for _ in range(ROOM - 1):
            await with_part(edge)
        await dripping.send(b"a")
        await edge.turns()
        await with_part(edge)
        assert (await dripping.answer()).status == 503


async def test_an_unfinished_body_counts_too() -> None:
    """Head and body are kept until the last byte is there."""
    async with edge_without_redis(input_bytes=BUDGET) as edge:
        client = await with_part(edge, head("/sub/x", "Content-Length: 16000", method="POST") + b"a" * 15_000)
        for _ in range(ROOM):
            await with_part(edge)
        assert (await client.answer()).status == 503


async def test_an_unfinished_message_ends_its_websocket() -> None:
    """The close frame says that it may come again, with code 1013."""
    async with edge_without_redis(input_bytes=BUDGET) as edge:
        client = await edge.held("/ws?id=room", *HANDSHAKE, transport="ws")
        await client.send(frame(Opcode.TEXT, b"a" * 8000)[:-1])
        await edge.until(lambda: edge.seats.inbox.kept_bytes)
        for _ in range(ROOM + 1):
            await with_part(edge)
        rest = await client.rest()
        assert rest.endswith(overflow_module.LAST_FRAME)
        assert edge.counters.closed_total["ws", "unavailable"] == 1
        assert edge.hub.channels["room"].seats == ()


@pytest.mark.parametrize("waiting", [False, True])
async def test_a_poll_with_requests_behind_it_is_answered_and_closed(waiting: bool) -> None:
    """What it sent ahead is not served; it goes on from its position on another connection."""
    async with edge_without_redis(input_bytes=BUDGET) as edge:
        client = await (edge.waiting("/poll?id=a") if waiting else edge.held("/poll?id=a", transport="poll"))
        await client.send(b"x" * 900)
        await edge.until(lambda: edge.seats.inbox.kept_bytes)
        for _ in range(ROOM + 1):
            await with_part(edge)
        answer = await client.answer()
        assert answer.status == (503 if waiting else 200)
        assert await client.rest() == b""


async def test_a_poll_with_a_message_on_its_way_is_torn_off() -> None:
    """To answer it without the message would lose that one; its client asks again from where it was."""
    async with edge_without_redis(input_bytes=BUDGET) as edge:
        client = await edge.held("/poll?id=a", transport="poll")
        await client.send(b"x" * 900)
        await edge.until(lambda: edge.seats.inbox.kept_bytes)
        (seat,) = edge.seats
        edge.begin_read("a", b"for a")
        edge.seats.inbox.max_bytes = 0
        edge.overflow.make_room()
        assert seat.fd < 0


@pytest.mark.parametrize("part", [PART, head("/sub/x", "Content-Length: 99", method="POST") + b"a"])
async def test_what_is_kept_goes_with_its_connection(edge: EdgeWithoutRedis, part: bytes) -> None:
    """S13: nothing outlives its descriptor, though the wheel still knows the seat; a body counts as a head does."""
    client = await with_part(edge, part)
    (seat,) = edge.seats
    client.close()
    await edge.until(lambda: seat.fd < 0)
    assert (seat.recv_buffer, edge.seats.inbox.kept_bytes) == (b"", 0)


async def test_what_was_sent_before_the_end_is_served_up_to_what_is_not_complete(edge: EdgeWithoutRedis) -> None:
    """A client that sends requests and a part of one, and then its end, gets the answers and is let go."""
    client = await edge.connect()
    await client.send(head("/nowhere") + head("/nowhere") + PART)
    client.end()
    assert [(await client.answer()).status for _ in range(2)] == [404, 404]
    assert await client.rest() == b""
    assert (len(edge.seats), edge.seats.inbox.kept_bytes) == (0, 0)


async def test_the_budget_holds_while_many_readers_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the listener handles its batches in another order, and makes room after them all the same."""
    monkeypatch.setattr("edge.server.listener.FLUSHES_PER_TURN", 0)
    async with edge_without_redis(input_bytes=BUDGET) as edge:
        await edge.held("/stream?id=room")
        (stuck,) = edge.seats
        edge.seats.write(stuck, b"m" * 20_000_000)
        clients = [await with_part(edge) for _ in range(ROOM + 1)]
        assert edge.seats.parked
        assert (await clients[0].answer()).status == 503
        assert edge.seats.inbox.kept_bytes <= BUDGET
