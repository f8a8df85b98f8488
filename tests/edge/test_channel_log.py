"""The state machine of a channel: what becomes of each message, and of each sync result, without a socket."""

import pytest

from common.message import Join, Message
from common.position import Position
from common.scripts.results import Bare, SyncQuery, SyncResult
from edge.chain import MESSAGE_OVERHEAD
from edge.channel_log import MAX_BUFFERED, MAX_BUFFERED_BYTES, ChannelLog, LogRules, State, Step
from tests.edge.usual_log import at, channel_at, log, stored

BARE = Message(b"bare", bare=True)
LIVE_ONLY = Message(b"from the publisher, without a position")


def live_at(offset: int, *, ring: int = 0) -> ChannelLog:
    """Return a log that is live at an offset of the usual log."""
    channel = channel_at(offset, ring=ring)
    channel.state = State.LIVE
    return channel


def syncing_at(offset: int, *, ring: int = 0) -> ChannelLog:
    """Return a log whose sync, of its first attempt, is under way."""
    channel = channel_at(offset, ring=ring)
    channel.subscribe(1)
    channel.begin_sync()
    return channel


# From SUBSCRIBE to LIVE.


def test_a_subscription_is_acknowledged_and_then_the_log_is_read() -> None:
    """STALE, SUBSCRIBING, SYNCING, LIVE: each step is one call, and the query begins where the channel stands."""
    channel = channel_at(5)
    assert channel.state is State.STALE
    channel.subscribe(7)
    assert (channel.state, channel.attempt) == (State.SUBSCRIBING, 7)
    assert channel.on_subscribed(LogRules()) == SyncQuery("room", 5, None)
    assert channel.is_syncing(7)
    assert not channel.is_syncing(6)
    assert channel.on_synced(7, at(5), SyncResult(at(5), []), LogRules()) == (Step.DELIVER, ())
    assert channel.go_live() == ()
    assert channel.is_live


def test_with_adoption_an_edge_joins_after_the_epoch_that_it_knows() -> None:
    """The query of a new subscription names the newest bare epoch that was seen."""
    channel = ChannelLog("room")
    channel.bare_epoch = 12
    assert channel.on_subscribed(LogRules(adopts=True)) == SyncQuery("room", None, 12)


def test_without_history_there_is_nothing_to_read() -> None:
    """A channel of a deployment without history is live at once, and stands nowhere."""
    channel = ChannelLog("room")
    assert channel.on_subscribed(LogRules(keeps_history=False)) is None
    assert (channel.is_live, channel.last) == (True, None)


# Messages.


@pytest.mark.parametrize(
    ("message", "rules", "step"),
    [
        (stored(6), LogRules(), Step.DELIVER),
        (stored(5), LogRules(), Step.DROP),
        (stored(4), LogRules(), Step.DROP),
        (stored(7), LogRules(), Step.REPAIR),
        (stored(6, prev=999), LogRules(), Step.REPAIR),
        (stored(4, tag=999), LogRules(), Step.REPAIR),
        (stored(7), LogRules(keeps_history=False), Step.DELIVER),
        (LIVE_ONLY, LogRules(adopts=True), Step.DELIVER),
        (BARE, LogRules(), Step.DELIVER),
        (BARE, LogRules(adopts=True), Step.DROP),  # before this edge's own join frame
        (BARE, LogRules(max_message_bytes=3), Step.TOO_LARGE),
        (LIVE_ONLY, LogRules(max_message_bytes=3), Step.TOO_LARGE),
        (stored(6, b"larger"), LogRules(max_message_bytes=3), Step.DELIVER),
        (Join(13), LogRules(adopts=True), Step.DROP),
    ],
)
def test_what_a_live_channel_does_with_a_message(message: Message | Join, rules: LogRules, step: Step) -> None:
    """L1: what chains is delivered, what was seen is dropped, anything else starts a repair."""
    assert live_at(5, ring=3).receive(message, rules) is step


def test_only_what_chains_moves_the_position() -> None:
    """K1: neither a hole nor a repeated message moves `last`."""
    channel = live_at(5, ring=3)
    for message in (stored(7), stored(5), LIVE_ONLY, Message(b"", 6, 999, 1)):
        channel.receive(message, LogRules())
        assert channel.last == at(5)
    channel.receive(stored(6), LogRules())
    assert channel.last == at(6)


def test_what_chains_need_not_wait_for_the_sync() -> None:
    """After an outage a message that chains is itself the proof; what does not chain waits, and all that follows it."""
    channel = syncing_at(5)
    messages = (stored(6), stored(8), stored(7), LIVE_ONLY)
    steps = [channel.receive(message, LogRules()) for message in messages]
    assert steps == [Step.DELIVER, Step.BUFFER, Step.BUFFER, Step.BUFFER]
    assert channel.last == at(6)


def test_nothing_overtakes_what_is_buffered() -> None:
    """A channel that has joined counts bare messages at once, but not before those that came earlier and still wait."""
    rules = LogRules(adopts=True)
    channel = syncing_at(5)
    channel.own_epoch = 12
    assert [channel.receive(message, rules) for message in (Join(12), BARE, stored(6))] == [
        Step.DROP,
        Step.OFFER,
        Step.DELIVER,
    ]
    assert channel.receive(stored(8), rules) is Step.BUFFER
    assert [channel.receive(message, rules) for message in (BARE, stored(7), Join(13))] == [Step.BUFFER] * 3


def test_what_is_buffered_is_bounded() -> None:
    """During a long sync there is room for MAX_BUFFERED messages; at one more the channel starts over."""
    channel = syncing_at(0)
    assert all(channel.receive(stored(9), LogRules()) is Step.BUFFER for _ in range(MAX_BUFFERED))
    assert channel.receive(stored(9), LogRules()) is Step.REJOIN


def test_what_is_buffered_is_bounded_in_bytes_too() -> None:
    """A few hundred of the largest messages are as much as thousands of small ones."""
    channel, large = syncing_at(0), b"x" * 65_536
    most = MAX_BUFFERED_BYTES // (MESSAGE_OVERHEAD + len(large))
    assert all(channel.receive(stored(9, large), LogRules()) is Step.BUFFER for _ in range(most))
    assert channel.receive(stored(9, large), LogRules()) is Step.REJOIN
    channel.forget_subscription()
    assert channel.receive(stored(9, large), LogRules()) is Step.BUFFER


# Bare messages.


def test_bare_messages_are_counted_from_the_join_frame_of_our_own() -> None:
    """L4: each later join frame begins to count from one; those before our own are not ours to judge."""
    channel, rules = live_at(5), LogRules(adopts=True)
    channel.own_epoch = 12
    seen = [channel.receive(message, rules) for message in (Join(11), BARE, Join(12), BARE, BARE)]
    assert seen == [Step.DROP, Step.DROP, Step.DROP, Step.OFFER, Step.OFFER]
    assert channel.bare(b"bare") == Bare(12, 2, b"bare")
    channel.receive(Join(15), rules)
    assert channel.receive(BARE, rules) is Step.OFFER
    assert channel.bare(b"bare") == Bare(15, 1, b"bare")
    assert channel.first_bare_epoch == 12


def test_a_join_frame_of_a_log_that_went_back_asks_for_another_join() -> None:
    """The frames before our own are not ours to judge; after it each is newer than the last, or the log went back."""
    channel, rules = live_at(5), LogRules(adopts=True)
    channel.own_epoch = 12
    assert [channel.receive(Join(epoch), rules) for epoch in (10, 11, 12, 13, 15)] == [Step.DROP] * 5
    assert channel.receive(Message(b"hi", bare=True), rules) is Step.OFFER
    assert channel.bare(b"hi") == Bare(15, 1, b"hi")
    assert [channel.receive(Join(epoch), rules) for epoch in (15, 14, 3)] == [Step.REJOIN] * 3
    channel.forget_subscription()
    channel.state = State.LIVE
    assert channel.receive(Message(b"hi", bare=True), rules) is Step.DROP
    assert channel.bare_epoch > 15  # it joins after every epoch that another edge may count in


# Sync results.


@pytest.mark.parametrize(
    ("channel", "attempt", "read_from", "result", "step", "missed", "last"),
    [
        (syncing_at(5), 1, at(5), SyncResult(at(5), []), Step.DELIVER, [], at(5)),
        (syncing_at(5), 1, at(5), SyncResult(at(7), log(6, 7)), Step.DELIVER, log(6, 7), at(7)),
        (syncing_at(5), 1, at(5), SyncResult(at(7), log(7, 7)), Step.RESET, [], at(7)),
        (syncing_at(5), 1, at(5), SyncResult(Position(5, 999), []), Step.RESET, [], Position(5, 999)),
        (syncing_at(5), 1, at(5), SyncResult(at(3), []), Step.RESET, [], at(3)),
        (syncing_at(5), 2, at(5), SyncResult(at(7), log(6, 7)), Step.DROP, [], at(5)),
        (live_at(5), 0, at(5), SyncResult(at(7), log(6, 7)), Step.DROP, [], at(5)),
        # Read before messages that chained meanwhile: the ring proves them, or the log is read again.
        (syncing_at(6, ring=1), 1, at(5), SyncResult(at(5), []), Step.DELIVER, [], at(6)),
        (syncing_at(6), 1, at(5), SyncResult(at(5), []), Step.REPAIR, [], at(6)),
    ],
)
def test_what_a_sync_result_means(
    channel: ChannelLog,
    attempt: int,
    read_from: Position,
    result: SyncResult,
    step: Step,
    missed: list[Message],
    last: Position,
) -> None:
    """What the log proves is delivered, what it does not prove is a reset, and an old result counts for nothing."""
    decided, delivered = channel.on_synced(attempt, read_from, result, LogRules())
    assert (decided, list(delivered), channel.last) == (step, missed, last)


def test_the_first_sync_places_a_channel() -> None:
    """There is nothing to compare with; messages from before are no subscriber's here."""
    channel = ChannelLog("room")
    channel.subscribe(1)
    channel.begin_sync()
    result = SyncResult(at(7), [], epoch=3)
    assert channel.on_synced(1, None, result, LogRules()) == (Step.DELIVER, ())
    assert (channel.last, channel.start, channel.own_epoch) == (at(7), 7, 3)


def test_what_was_buffered_is_decided_after_the_sync() -> None:
    """What the sync brought is dropped, what chains is delivered; after a new hole the next sync brings the rest."""
    channel, rules = syncing_at(5), LogRules()
    for message in (stored(7), stored(8), LIVE_ONLY, stored(10), stored(11), LIVE_ONLY):
        channel.receive(message, rules)
    channel.on_synced(1, at(5), SyncResult(at(7), log(6, 7)), rules)
    steps = []
    for message in channel.go_live():
        steps.append(step := channel.receive_buffered(message, rules))
        if step is Step.REPAIR:
            channel.begin_sync()
    assert steps == [Step.DROP, Step.DELIVER, Step.DELIVER, Step.REPAIR, Step.DROP, Step.BUFFER]
    assert channel.last == at(8)


def test_the_rings_of_all_channels_share_one_account() -> None:
    """What a channel takes is counted, and given back by a reset and when it is let go (I10)."""
    rules, one, other = LogRules(), live_at(5), live_at(5)
    one.receive(stored(6, b"x" * 100), rules)
    other.receive(stored(6), rules)
    assert rules.ring_bytes == one.ring_bytes + other.ring_bytes == 2 * MESSAGE_OVERHEAD + 101
    one.subscribe(1)
    one.begin_sync()
    one.on_synced(1, at(6), SyncResult(Position(9, 999), []), rules)
    assert rules.ring_bytes == other.ring_bytes
    other.release_ring(rules)
    assert rules.ring_bytes == 0
