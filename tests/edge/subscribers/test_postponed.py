"""Long answers are made one after the other: who has no room in the outbox waits, and is attached again."""

import pytest

from edge.counters import CloseReason
from edge.engine.outbox import SHORT_ANSWER
from edge.state import Phase, Seat
from edge.subscribers.postponed import ADMITTED_PER_TURN, POSTPONE_TIMEOUT
from edge.tokens.guard import EXPIRED
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import Answer, HttpClient, head
from tests.edge.tokens_in_memory import TokensInMemory
from tests.edge.usual_log import at
from tests.pure_only import pure_only

HALF = b"m" * 34_000_000  # more than answers may have parked
POLL = "/poll?id=room&since=0"


def long(text: bytes) -> bytes:
    """Return a message of which two make a long answer."""
    return text.ljust(SHORT_ANSWER // 2 + 1, b".")


def texts(answer: Answer) -> list[str]:
    """Return the contents of an answer, without what makes them long."""
    return [content.rstrip(".") for content in answer.contents]


async def crowded(edge: EdgeWithoutRedis) -> Seat:
    """Keep four messages, and hold a reader that takes nothing of much; return its seat."""
    edge.publish("room", long(b"one"), long(b"two"))
    await edge.held("/stream?id=room")
    (seat,) = edge.seats
    edge.seats.write(seat, HALF)
    edge.publish("room", long(b"three"), long(b"four"))
    return seat


async def postponed(edge: EdgeWithoutRedis, target: str = POLL) -> HttpClient:
    """Return a client whose answer has no room."""
    client, before = await edge.connect(), waiting(edge)
    await client.send(head(target))
    await edge.until(lambda: waiting(edge) > before)
    await edge.turns()
    return client


def waiting(edge: EdgeWithoutRedis) -> int:
    """Return how many subscribers wait."""
    return sum(seat.phase is Phase.WAITING for seat in edge.seats)


@pytest.mark.parametrize("since", [0, 2])
async def test_who_asks_for_more_than_there_is_room_waits(edge: EdgeWithoutRedis, since: int) -> None:
    """Whether the ring or the log has its messages; once there is room, it gets all of them."""
    stuck = await crowded(edge)
    client = await postponed(edge, f"/poll?id=room&since={at(since) if since else 0}")
    edge.pass_time(POSTPONE_TIMEOUT - 1)
    await edge.turns()
    assert client.received == b""
    assert len(edge.hub.channels["room"].seats) == 1
    edge.publish("room", b"five")
    edge.seats.abort(stuck, CloseReason.SLOW)
    assert not edge.lifecycle.postponed.admit()
    assert texts(await client.answer()) == ["one", "two", "three", "four", "five"][since:]


@pytest.mark.parametrize("since", ["", f"&since={at(3)}"])
async def test_who_asks_for_little_does_not_wait(edge: EdgeWithoutRedis, since: str) -> None:
    """A poll that waits for a message needs no room yet, and a short answer needs none at all."""
    await crowded(edge)
    client = await edge.connect()
    await client.send(head(f"/poll?id=room{since}"))
    await edge.until(lambda: edge.counters.opened_total["poll"])
    edge.publish("room", b"five")
    assert texts(await client.answer()) == (["four"] if since else ["five"])


async def test_when_there_is_no_room_for_long_it_is_told_so(edge: EdgeWithoutRedis) -> None:
    """The sentence says what was waited for; the connection stays."""
    await crowded(edge)
    client = await postponed(edge)
    edge.pass_time(POSTPONE_TIMEOUT + 1)
    answer = await client.answer()
    assert (answer.status, "long answers" in answer.json["content"]) == (503, True)
    assert "retry-after" in answer.headers
    assert (await client.ask(head("/nowhere"))).status == 404


@pytest.mark.parametrize("expires_while_waiting", [True, False])
async def test_the_token_of_one_that_waits_goes_on(expires_while_waiting: bool) -> None:
    """Its time ends the subscriber while it waits, and when it is served at last."""
    tokens = TokensInMemory("room")
    tokens.make("good", expires=1010.0)  # the fake clock begins at 1000
    async with edge_without_redis(tokens=tokens) as edge:
        stuck = await crowded(edge)
        client = await postponed(edge, f"/stream?id=room&since={at(2)}&token=good")
        if not expires_while_waiting:
            edge.seats.abort(stuck, CloseReason.SLOW)
            assert not edge.lifecycle.postponed.admit()
            await client.until(b"four")
        edge.pass_time(11.25)
        said = await client.rest()
        assert EXPIRED.encode() in said
        assert said.startswith(b"HTTP/1.1 401") is expires_while_waiting
        assert len(edge.lifecycle._grants) == 0


async def test_some_are_served_in_a_turn(edge: EdgeWithoutRedis) -> None:
    """Who has gone meanwhile is passed by, and the others have their turn in the order of their coming."""
    stuck = await crowded(edge)
    clients = [await postponed(edge) for _ in range(ADMITTED_PER_TURN + 2)]
    clients[0].reset()
    await edge.until(lambda: len(edge.seats) == len(clients))
    edge.seats.abort(stuck, CloseReason.SLOW)
    assert edge.lifecycle.postponed.admit()
    assert not edge.lifecycle.postponed.admit()
    for client in clients[1:]:
        assert len((await client.answer()).contents) == 4


async def test_who_has_gone_is_forgotten_though_there_is_no_room(edge: EdgeWithoutRedis) -> None:
    """I10: clients that come and go while others are stuck leave nothing behind."""
    await crowded(edge)
    for _ in range(3):
        (await postponed(edge)).reset()
        await edge.until(lambda: not waiting(edge))
    assert not edge.lifecycle.postponed.admit()
    assert not edge.lifecycle.postponed._queue


async def test_a_flushed_seat_makes_room(edge: EdgeWithoutRedis) -> None:
    """When a reader has taken all of its own, those that wait have their turn at once."""
    stuck = await crowded(edge)
    client = await postponed(edge)
    edge.seats.outbox.forget(stuck)
    edge.seats.on_flushed(stuck)
    assert texts(await client.answer()) == ["one", "two", "three", "four"]


@pure_only
async def test_a_bug_costs_the_one_that_waited(edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception on the second way to its channels ends its connection, and nothing else."""
    stuck = await crowded(edge)
    client = await postponed(edge)
    edge.seats.abort(stuck, CloseReason.SLOW)
    monkeypatch.setattr(edge.hub, "attach_at_once", lambda seat, request: 1 / 0)
    assert not edge.lifecycle.postponed.admit()
    assert await client.rest() == b""


async def test_who_asks_for_what_is_parked_already_does_not_wait(edge: EdgeWithoutRedis) -> None:
    """The bytes are there: another reader of them takes no room. Those of another transport are not."""
    for _ in range(5):
        edge.logs.append("room", b"m" * 1_000_000)
    await edge.held("/stream?id=other")
    (stuck,) = edge.seats
    first, second, third = [await edge.connect() for _ in range(3)]
    await first.send(head(POLL))
    await edge.until(lambda: edge.seats.parked)
    edge.seats.write(stuck, HALF)
    await second.send(head(POLL))
    await third.send(head("/jsonp?id=room&since=0&callback=f"))
    await edge.until(lambda: edge.counters.opened_total["poll"] == 2)
    await edge.until(lambda: waiting(edge) == 1)
    for client in (first, second):
        assert len((await client.answer()).contents) == 5


async def test_those_who_ask_for_the_same_are_admitted_together(edge: EdgeWithoutRedis) -> None:
    """They need room for one of them."""
    stuck = await crowded(edge)
    edge.publish("room", b"m" * 9_000_000)
    clients = [await postponed(edge) for _ in range(5)]
    edge.seats.abort(stuck, CloseReason.SLOW)
    assert not edge.lifecycle.postponed.admit()
    for client in clients:
        assert len((await client.answer()).contents) == 5
