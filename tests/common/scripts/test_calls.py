"""Reading logs in pieces on a real Valkey: the limits, what is foreign, and what has no position."""

import pytest

from common.message import Message
from common.position import START, Position
from common.scripts.calls import PieceLimit
from common.scripts.results import SyncOutcome, SyncQuery, SyncResult, Unreadable
from tests.common.scripts.real_log import Log

PIECE = PieceLimit(1000, 10)
FIRST = PieceLimit(0, 1)


async def read(log: Log, offset: int, limit: PieceLimit = PIECE) -> SyncResult:
    """Read a piece of the log."""
    (outcome,) = await log.scripts.read([SyncQuery("room", offset)], limit)
    assert isinstance(outcome, SyncResult)
    return outcome


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ([1] * 30, 10),
        ([100] * 30, 9),
        ([1000, 1], 1),
        ([5000, 5000], 1),
        ([1, 5000, 1], 2),
        ([10, 10, 900, 900, 1], 4),
        ([3], 1),
        ([], 0),
    ],
)
async def test_a_piece_ends_after_the_message_that_reaches_a_limit(log: Log, sizes: list[int], taken: int) -> None:
    """It has the oldest messages after the offset, at least one, and tells where the log stands."""
    top = await log.top()
    await log.publish(b"before")
    for size in sizes:
        top = await log.publish(b"x" * size)
    piece = await read(log, 1)
    assert [len(message.payload) for message in piece.messages] == sizes[:taken]
    assert [message.offset for message in piece.messages] == list(range(2, 2 + taken))
    assert piece.top == top or not sizes


async def test_pieces_one_after_the_other_give_the_whole_log(log: Log) -> None:
    """Each begins where the one before ended."""
    contents = [b"%d" % number * (number % 60 * 10 + 1) for number in range(80)]
    for content in contents:
        await log.publish(content)
    got: list[Message] = []
    while piece := (await read(log, len(got))).messages:
        got += piece
    assert [message.payload for message in got] == contents
    assert [message.prev for message in got[1:]] == [message.tag for message in got[:-1]]


async def test_the_first_message_comes_without_its_payload(log: Log) -> None:
    """It tells where the messages after a position begin, whatever their size, and nothing is written."""
    genesis = await log.top()
    first = await log.publish(b"x" * 5000)
    second = await log.publish(b"two")
    for offset, position, prev in ((0, first, genesis.tag), (1, second, first.tag)):
        result = await read(log, offset, FIRST)
        assert result == SyncResult(second, [Message(b"", position.offset, position.tag, prev)])
    assert await read(log, 2, FIRST) == SyncResult(second, [])


async def test_several_channels_are_read_in_one_call(log: Log) -> None:
    """Each from its own offset; one without a position has none, and gets none."""
    top = await log.publish(b"one")
    keys = await log.keys()
    queries = [SyncQuery("room", 0), SyncQuery("new", 0), SyncQuery("room", 1)]
    outcomes: list[SyncOutcome] = await log.scripts.read(queries, PIECE)
    assert [len(one.messages) for one in outcomes if isinstance(one, SyncResult)] == [1, 0, 0]
    assert [one.top for one in outcomes if isinstance(one, SyncResult)] == [top, START, top]
    assert await log.keys() == keys


async def test_foreign_entries_break_the_chain_and_nothing_else(log: Log) -> None:
    """What another program wrote names no predecessor; ids beyond what Lua can count end the piece at its limit."""
    await log.publish(b"one")
    await log.client.xadd(log.log_key, {"name": "value"}, id="7-1")
    for number in range(30):
        await log.client.xadd(log.log_key, {"d": "x", "p": 1}, id=f"18446744073709551000-{number + 1}")
    piece = await read(log, 0)
    assert [message.prev for message in piece.messages][1] == -1
    assert len(piece.messages) <= PIECE.max_entries


async def test_a_log_that_is_no_stream_is_empty(log: Log) -> None:
    """It proves nothing, so that its subscribers are reset; a position that is none cannot be read at all."""
    top = await log.publish(b"one")
    await log.client.delete(log.log_key)
    await log.client.set(log.log_key, "foreign")
    assert await read(log, 0) == SyncResult(top, [])
    assert await read(log, 0, FIRST) == SyncResult(top, [])
    await log.client.set(log.top_key, "foreign")
    (outcome,) = await log.scripts.read([SyncQuery("room", 0)], PIECE)
    assert isinstance(outcome, Unreadable)


async def test_an_offset_that_no_log_has_finds_nothing(log: Log) -> None:
    """The largest that a client can send, and the one that stands for a foreign position."""
    top = await log.publish(b"one")
    for offset in (10**19 - 1, 10**18):
        assert await read(log, offset) == SyncResult(top, [])
    assert await read(log, Position(1, 0).offset) == SyncResult(top, [])
