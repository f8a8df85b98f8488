"""Catching up: where a subscriber begins, and which messages it is given next, by its log and by the ring."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.message import Message
from common.position import START, Position, unproven
from common.scripts.results import SyncResult
from edge.chain import Gap, begin_after, catch_up
from edge.state import Channel
from tests.edge.true_log import TrueLog
from tests.edge.usual_log import at, channel_at, log, stored

# Where a subscriber begins, by the first message that its log has after its position.


@pytest.mark.parametrize(
    ("since", "top", "first", "start"),
    [
        (at(3), at(5), stored(4), at(3)),
        (at(5), at(5), None, at(5)),
        (START, at(5), stored(4), at(3)),
        (START, at(5), stored(1), at(0)),
        (START, at(5), None, at(5)),
        (unproven(2), at(5), stored(3), at(2)),
        # The log was trimmed after the position, lost, or never led there.
        (at(2), at(5), stored(4), Gap.UNPROVEN),
        (at(2), at(5), None, Gap.UNPROVEN),
        (at(9), at(5), None, Gap.UNPROVEN),
        (Position(3, 999), at(5), stored(4), Gap.UNPROVEN),
        (Position(5, 999), at(5), None, Gap.UNPROVEN),
        (START, at(5), stored(4, prev=-1), Gap.UNPROVEN),
        # It has no position: it must be synced.
        (START, START, None, Gap.BEHIND),
        (at(2), START, None, Gap.BEHIND),
    ],
)
def test_the_first_message_proves_a_start(
    since: Position, top: Position, first: Message | None, start: Position | Gap
) -> None:
    """It names its predecessor's tag; a position with tag 0 becomes the one before it."""
    assert begin_after(since, SyncResult(top, [first] if first else [])) == start


# Catching up from the log and the ring, piece by piece.


@pytest.mark.parametrize(
    ("since", "synced", "channel", "messages"),
    [
        # The log was read at the very place where the channel stands.
        (at(5), SyncResult(at(5), []), channel_at(5), []),
        (at(2), SyncResult(at(5), log(3, 5)), channel_at(5), log(3, 5)),
        (at(2), SyncResult(at(5), log(3, 5)), channel_at(5, ring=1), log(3, 5)),
        # The read ended before the top.
        (at(2), SyncResult(at(5), log(3, 4)), channel_at(5), log(3, 4)),
        (at(2), SyncResult(at(9), log(3, 4)), channel_at(5), log(3, 4)),
        # The log is ahead: pub/sub will bring the rest.
        (at(2), SyncResult(at(7), log(3, 7)), channel_at(5, ring=1), log(3, 5)),
        (at(5), SyncResult(at(7), log(6, 7)), channel_at(5), []),
        # The log is behind: the channel went on while it was read, and its ring has the rest, for the next time.
        (at(2), SyncResult(at(4), log(3, 4)), channel_at(6, ring=2), log(3, 4)),
        (at(4), SyncResult(at(4), []), channel_at(6, ring=2), log(5, 6)),
        # … but it went on further than the ring reaches.
        (at(3), SyncResult(at(3), []), channel_at(6, ring=2), Gap.BEHIND),
        # The log was trimmed after the position.
        (at(2), SyncResult(at(5), log(4, 5)), channel_at(5), Gap.UNPROVEN),
        (at(2), SyncResult(at(5), []), channel_at(5), Gap.UNPROVEN),
        # The position was never ours, or comes from a log that was lost.
        (Position(5, 999), SyncResult(at(5), []), channel_at(5), Gap.UNPROVEN),
        (Position(2, 999), SyncResult(at(5), log(3, 5)), channel_at(5), Gap.UNPROVEN),
        (at(9), SyncResult(at(5), []), channel_at(5), Gap.UNPROVEN),
        # Within the piece there is a hole, or it ends with another message than the log.
        (at(2), SyncResult(at(5), [stored(3), stored(5)]), channel_at(5), Gap.UNPROVEN),
        (at(2), SyncResult(Position(4, 999), log(3, 4)), channel_at(5), Gap.UNPROVEN),
    ],
)
def test_a_position_is_brought_up_to_date(
    since: Position, synced: SyncResult, channel: Channel, messages: list[Message] | Gap
) -> None:
    """The log proves the way from the position, the ring what the log lacks; what it has more is left to pub/sub."""
    assert catch_up(since, synced, channel) == messages


def test_a_channel_on_another_branch_is_no_continuation() -> None:
    """When the log runs past the channel by another chain, the two do not fit together."""
    channel = channel_at(5)
    channel.restart(Position(5, 999))
    assert catch_up(at(2), SyncResult(at(7), log(3, 7)), channel) is Gap.UNPROVEN


def test_a_client_ahead_of_a_slow_edge_is_not_reset() -> None:
    """A position that the log proves is good, also when this edge's pub/sub has not come so far yet (I7)."""
    assert catch_up(at(7), SyncResult(at(8), log(8, 8)), channel_at(5)) is Gap.BEHIND


@given(
    st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 6), st.integers(0, 12), st.integers(1, 9)
)
def test_a_piece_is_the_exact_continuation_or_a_gap(
    since: int, read: int, last: int, ring: int, trimmed: int, most: int
) -> None:
    """Wherever client, log and channel stand, the piece is what follows the client, and never beyond the channel."""
    kept = [message for message in log(1, read) if message.offset > max(since, trimmed)][:most]
    channel = channel_at(last, ring=min(ring, last))
    piece = catch_up(at(since), SyncResult(at(read), kept), channel)
    if not isinstance(piece, Gap):
        assert piece == log(since + 1, since + len(piece))
        assert since + len(piece) <= last
        assert piece or since == last
    if trimmed <= since < min(read, last):
        assert not isinstance(piece, Gap)


@given(
    st.lists(st.sampled_from(["append", "append", "trim", "back", "piece", "piece"]), max_size=80), st.integers(1, 4)
)
def test_pieces_give_exactly_the_messages_or_a_reset(deeds: list[str], most: int) -> None:
    """While messages come, are trimmed, and the log goes back, a reader has every message, or is told of a gap."""
    true_log, channel = TrueLog(), Channel("room")
    channel.last = true_log.top
    for _ in range(3):
        channel.advance(true_log.append())
    at_first = reader = Position(0, 100)
    got: list[Message] = []
    for deed in [*deeds, *["piece"] * 200]:
        if deed == "append":
            channel.advance(true_log.append())
        elif deed == "trim":
            true_log.trim(2)
        elif deed == "back":
            true_log.wipe()
            channel.restart(true_log.top)
        else:
            kept = [message for message in true_log.kept if message.offset > reader.offset][:most]
            piece = catch_up(reader, SyncResult(true_log.top, kept), channel)
            if isinstance(piece, Gap):
                reader, got, at_first = channel.last or reader, [], channel.last or reader  # as after a reset
            elif piece:
                got += piece
                reader = Position(piece[-1].offset, piece[-1].tag)
            assert got == true_log.after.get(at_first, [])[: len(got)] or at_first in true_log.gone
    assert reader == channel.last
