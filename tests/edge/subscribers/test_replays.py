"""The turns of subscribers that are behind: room in the outbox, and bugs that cost one connection."""

import pytest

from edge.counters import CloseReason
from edge.subscribers.catch_up import CatchUp
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head
from tests.pure_only import pure_only

HALF = b"m" * 34_000_000  # more than answers may have parked


async def test_who_has_no_room_waits_for_it(edge: EdgeWithoutRedis) -> None:
    """While others have much parked, a subscriber is welcomed and given nothing; then it is given all."""
    await edge.held("/stream?id=other")
    (slow,) = edge.seats
    edge.seats.write(slow, HALF)
    for number in range(9):
        edge.logs.append("room", b"%d" % number)
    client = await edge.held("/stream?id=room&since=0")
    await edge.turns(50)
    assert len(edge.replays.by_seat) == 1
    reads = edge.logs.reads
    edge.replays.admit()
    await edge.turns(50)
    assert (edge.logs.reads, client.received) == (reads, b"")
    edge.seats.abort(slow, CloseReason.CLIENT)
    assert edge.replays.admit() is False
    text = await client.until(b'"content":"8"')
    assert [text.count(b'"content":"%d"' % number) for number in range(9)] == [1] * 9


@pure_only
async def test_a_bug_costs_one_connection(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is logged; the client comes back with its position, and others go on."""
    edge.logs.append("room", b"one")
    other = await edge.held("/stream?id=other")
    taken = CatchUp._give
    monkeypatch.setattr(CatchUp, "_give", lambda self, outcome: 1 / 0)
    broken = await edge.held("/stream?id=room&since=0")
    await broken.rest()
    assert "missed messages could not be given" in capsys.readouterr().out
    assert not edge.replays.by_seat
    monkeypatch.setattr(CatchUp, "_give", taken)
    again = await edge.held("/stream?id=room&since=0")
    await again.until(b'"one"')
    edge.publish("other", b"live")
    await other.until(b'"live"')


async def test_a_turn_of_the_loop_is_shared_by_turns(edge: EdgeWithoutRedis) -> None:
    """One with many channels does not keep others from theirs: each goes on by one step."""
    edge.logs.entries_of_a_piece = 1
    for name in ("a", "b"):
        for number in range(20):
            edge.logs.append(name, b"%s%d" % (name.encode(), number))
    first, second = await edge.connect(), await edge.connect()
    await first.send(head("/stream?id=a&since=0"))
    await second.send(head("/stream?id=b&since=0"))
    await second.until(b'"b1"')
    assert len(edge.replays.by_seat) == 2
    await first.until(b'"a19"')
    await second.until(b'"b19"')


@pure_only
async def test_a_poll_that_waits_in_vain_is_rejected(edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told to come again, and leaves nothing behind."""
    edge.logs.append("room", b"one")
    await edge.held("/stream?id=room")
    client = await edge.connect()
    monkeypatch.setattr(edge.replays.pieces, "ask", lambda *arguments: None)
    await client.send(head("/poll?id=room&since=0"))
    await edge.until(lambda: edge.replays.by_seat)
    await edge.turns(10)
    edge.pass_time(19)
    assert client.received == b""
    edge.pass_time(2)
    answer = await client.answer()
    assert (answer.status, "too many long answers" in answer.body.decode()) == (503, True)
    assert not edge.replays.by_seat
