"""What a channel remembers, and what it can prove from that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.message import Join, Message
from common.position import START, Position, unproven
from common.scripts.results import Bare
from edge.channel_log import (
    MESSAGE_BYTES,
    MOST_HELD,
    MOST_HELD_BYTES,
    NOTHING,
    RING_BYTES,
    RING_MESSAGES,
    Channel,
    State,
    proven,
)
from tests.edge.building import at, channel_at, log, stored


def test_a_new_channel_stands_nowhere() -> None:
    """Before the first sync there is no position, nothing chains, and nothing is remembered."""
    channel = Channel("room")
    assert not channel.occupied
    assert channel.cursor == "0-0"
    assert not channel.chains(stored(1))
    assert not channel.saw(stored(1))
    assert channel.tail(at(0)) is None
    assert channel.ring is NOTHING


@pytest.mark.parametrize(
    ("message", "chains"),
    [
        (stored(6), True),
        (stored(5), False),
        (stored(7), False),
        (stored(6, prev=104), False),
        (stored(7, prev=105), False),
        (stored(6, tag=999), True),
        (Message(b"bare"), False),
    ],
)
def test_only_the_very_next_message_chains(message: Message, chains: bool) -> None:
    """The next message has the next offset and names the tag we stand at."""
    assert channel_at(5, ring=2).chains(message) is chains


def test_a_channel_steps_along_its_chain() -> None:
    """Each message that is taken moves the position and is remembered, in order."""
    channel = channel_at(5, ring=0)
    for message in log(6, 8):
        channel.advance(message)
    assert channel.last == at(8)
    assert channel.cursor == "8-108"
    assert channel.ring == log(6, 8)


@pytest.mark.parametrize(
    ("message", "saw"),
    [
        (stored(5), True),
        (stored(4), True),
        (stored(3), True),
        (stored(2), False),
        (stored(6), False),
        (stored(4, tag=999), False),
        (stored(5, tag=999), False),
    ],
)
def test_a_message_in_the_ring_was_seen(message: Message, saw: bool) -> None:
    """A message counts as seen if the ring holds it with this very tag; a forged or foreign one does not."""
    assert channel_at(5, ring=3).saw(message) is saw


def test_without_a_ring_only_the_newest_was_seen() -> None:
    """A channel that just synced knows its own position and nothing else."""
    channel = channel_at(5)
    assert channel.saw(stored(5))
    assert not channel.saw(stored(4))


@pytest.mark.parametrize(
    ("since", "tail"),
    [
        (at(5), []),
        (at(4), log(5, 5)),
        (at(3), log(4, 5)),
        (at(2), log(3, 5)),  # named by the oldest message as its predecessor
        (at(1), None),
        (at(6), None),
        (START, None),
        (unproven(1), None),
        (unproven(2), log(3, 5)),
        (unproven(4), log(5, 5)),
        (unproven(6), None),
        (Position(5, 999), None),
        (Position(4, 999), None),
        (Position(2, 999), None),
        (Position(2**62, 7), None),
    ],
)
def test_the_tail_is_what_the_ring_proves(since: Position, tail: list[Message] | None) -> None:
    """From a position the ring knows comes all that followed; from any other comes nothing at all."""
    assert channel_at(5, ring=3).tail(since) == tail


def test_without_a_ring_only_the_newest_position_has_a_tail() -> None:
    """Whoever stands where the channel stands has missed nothing."""
    assert channel_at(5).tail(at(5)) == []
    assert channel_at(5).tail(at(4)) is None


def test_a_tail_is_the_callers_own() -> None:
    """What a caller does with a tail does not change what the channel remembers."""
    channel = channel_at(5, ring=3)
    for since in (at(2), at(3)):
        tail = channel.tail(since)
        assert tail
        tail.clear()
    assert channel.ring == log(3, 5)


def test_the_ring_is_bounded_in_messages() -> None:
    """It forgets the oldest and always proves at least its nominal length."""
    channel = channel_at(0)
    for message in log(1, 1000):
        channel.advance(message)
        assert len(channel.ring) < 2 * RING_MESSAGES
    assert channel.tail(at(1000 - RING_MESSAGES)) == log(1001 - RING_MESSAGES, 1000)


def test_the_ring_is_bounded_in_bytes() -> None:
    """Large messages are forgotten sooner, and the bytes are counted right."""
    channel = channel_at(0)
    for offset in range(1, 40):
        channel.advance(stored(offset, b"x" * 65_536))
        weight = sum(MESSAGE_BYTES + len(message.payload) for message in channel.ring)
        assert channel.ring_bytes == weight <= RING_BYTES
    assert channel.last == at(39)


def test_a_single_message_over_the_bound_is_kept() -> None:
    """The newest message stays, however large, so that the next one finds its predecessor."""
    channel = channel_at(1, ring=1)
    channel.advance(stored(2, b"x" * (RING_BYTES + 1)))
    assert [message.offset for message in channel.ring] == [2]
    assert channel.tail(at(1)) == channel.ring


def test_after_a_restart_nothing_old_is_proven() -> None:
    """A channel that goes on from another place forgets the ring that led to the old one."""
    channel = channel_at(5, ring=3)
    channel.restart(Position(2, 777))
    assert (channel.last, channel.ring, channel.ring_bytes) == (Position(2, 777), [], 0)
    assert channel.tail(at(5)) is None
    assert channel.chains(Message(b"x", 3, 888, 777))


def test_what_is_held_back_is_bounded() -> None:
    """During a long sync there is room for so many messages and no more; who has no room is told so."""
    channel = channel_at(0)
    assert all(channel.hold(stored(1)) for _ in range(MOST_HELD))
    assert not channel.hold(stored(1))


def test_what_is_held_back_is_bounded_in_bytes_too() -> None:
    """A few hundred of the largest messages are as much as thousands of small ones."""
    channel, large = channel_at(0), b"x" * 65_536
    most = MOST_HELD_BYTES // (MESSAGE_BYTES + len(large))
    assert all(channel.hold(stored(1, large)) for _ in range(most))
    assert not channel.hold(stored(1, large))
    channel.forget_subscription()
    assert channel.hold(stored(1, large))


def test_pollers_away_count_until_they_are_overdue() -> None:
    """A client between two polls is connected until its time is over."""
    channel = channel_at(5)
    channel.poller_left(100.0, until=130.0)
    channel.poller_left(110.0, until=140.0)
    assert [channel.subscribers(now) for now in (100.0, 129.9, 130.0, 139.9, 140.0)] == [2, 2, 1, 1, 0]


def test_pollers_that_never_come_back_are_not_remembered_for_ever() -> None:
    """Who polls without a position is not recognised when it comes back; its place is given up when it is overdue."""
    channel = channel_at(5)
    for now in range(1000):
        channel.poller_left(now, until=now + 30)
    assert channel.away is not None
    assert len(channel.away) == 30


def test_a_poller_that_came_back_is_counted_once() -> None:
    """A client that polls again is no longer away; more returns than departures do no harm."""
    channel = channel_at(5)
    channel.poller_came_back()
    channel.poller_left(100.0, until=130.0)
    channel.poller_left(100.0, until=130.0)
    channel.poller_came_back()
    assert channel.subscribers(100.0) == 1
    channel.poller_came_back()
    channel.poller_came_back()
    assert channel.subscribers(100.0) == 0


@pytest.mark.parametrize(
    ("since", "top", "messages", "is_proven"),
    [
        (at(5), at(5), [], True),
        (at(4), at(5), [], False),
        (at(5), Position(5, 999), [], False),
        (at(6), at(5), [], False),
        (at(3), at(5), log(4, 5), True),
        (at(3), at(5), log(5, 5), False),
        (at(3), at(5), [stored(4), stored(5, prev=999)], False),
        (at(3), at(5), [stored(4), stored(6, prev=104)], False),
        (at(3), at(6), log(4, 5), False),
        (at(3), Position(5, 999), log(4, 5), False),
        (Position(3, 999), at(5), log(4, 5), False),
        (at(2), at(5), log(4, 5), False),
        (at(0), at(2), log(1, 2), True),
        (START, at(0), [], True),
        (START, at(5), [], True),
        (START, at(5), log(1, 5), True),
        (START, at(5), log(4, 5), True),
        (START, at(5), [stored(3), stored(5)], False),
        (START, at(6), log(4, 5), False),
        (unproven(3), at(5), log(4, 5), True),
        (unproven(3), at(5), [], True),
    ],
)
def test_a_position_is_proven_by_links_up_to_the_top(
    since: Position, top: Position, messages: list[Message], is_proven: bool
) -> None:
    """Each message names its predecessor, the first one the position itself; tag 0 is followed by what is kept."""
    assert proven(since, top, messages) is is_proven


class Life:
    """A channel's true log through appends, trims and wipes; tags never repeat, offsets do after a wipe."""

    def __init__(self) -> None:
        self.tag = 100
        self.top = Position(0, 100)
        self.kept: list[Message] = []
        self.after: dict[Position, list[Message]] = {self.top: []}  # what truly followed each position of this log
        self.gone: list[Position] = []

    def append(self) -> Message:
        """Store the next message."""
        self.tag += 1
        message = Message(b"%d" % self.tag, self.top.offset + 1, self.tag, self.top.tag)
        self.top = Position(message.offset, message.tag)
        self.kept.append(message)
        for following in self.after.values():
            following.append(message)
        self.after[self.top] = []
        return message

    def trim(self, count: int) -> None:
        """Forget the oldest messages."""
        del self.kept[:count]

    def wipe(self) -> None:
        """Lose everything and begin again."""
        self.gone += self.after
        self.tag += 1
        self.top = Position(0, self.tag)
        self.kept, self.after = [], {self.top: []}

    def positions(self) -> list[Position]:
        """Return positions of every kind: real ones, ones of a log that was wiped, and forged ones."""
        real = [*self.after, *self.gone]
        return [*real, *(Position(p.offset + 1, p.tag) for p in real), *(Position(p.offset, p.tag + 1) for p in real)]


DEEDS = st.lists(st.sampled_from(["append", "append", "append", "trim", "wipe", "restart"]), max_size=60)


@given(DEEDS)
def test_nothing_is_proven_but_the_exact_continuation(deeds: list[str]) -> None:
    """Over any life of a log, ring and log prove a position only with all that truly followed it, and nothing else."""
    life, channel = Life(), Channel("room")
    channel.last = life.top
    for deed in deeds:
        if deed == "append":
            channel.advance(life.append())
        elif deed == "trim":
            life.trim(2)
        else:
            if deed == "wipe":
                life.wipe()
            channel.restart(life.top)
    for since in life.positions():
        truth = life.after.get(since)
        kept = [message for message in life.kept if message.offset > since.offset]
        tail = channel.tail(since)
        assert tail is None or tail == truth
        assert not proven(since, life.top, kept) or kept == truth
        if since == life.top:
            assert tail == []


@given(DEEDS, st.data())
def test_a_log_with_a_hole_proves_nothing(deeds: list[str], data: st.DataObject) -> None:
    """If any one message is missing, twice there or out of order, the position is not proven."""
    life = Life()
    for deed in ["append", "append", *deeds]:
        if deed == "append":
            life.append()
    since = data.draw(st.sampled_from([position for position in life.after if position != life.top]))
    messages = list(life.after[since])
    place = data.draw(st.integers(0, len(messages) - 1))
    spoil = data.draw(st.sampled_from(["missing", "twice", "swapped"]))
    if spoil == "missing":
        del messages[place]
    elif spoil == "twice":
        messages.insert(place, messages[place])
    else:
        messages.append(messages.pop(place))
    assert proven(since, life.top, messages) is (messages == life.after[since])


def test_a_join_frame_of_a_log_that_went_back_asks_for_another_join() -> None:
    """The frames before our own are not ours to judge; after it each is newer than the last, or the log went back."""
    channel = Channel("room")
    channel.joined = 12
    assert [channel.on_join_frame(epoch) for epoch in (10, 11, 12, 13, 15)] == [True] * 5
    assert channel.count_bare(b"hi") == Bare(15, 1, b"hi")
    assert [channel.on_join_frame(epoch) for epoch in (15, 14, 3)] == [False] * 3
    channel.forget_subscription()
    assert channel.count_bare(b"hi") is None
    assert channel.epoch > 15  # it joins after all that anybody may count in


def test_nothing_overtakes_what_is_held_back() -> None:
    """A channel that has joined counts bare messages at once, but not before those that came earlier and still wait."""
    channel = channel_at(5)
    channel.state, channel.joined = State.SYNCING, 12
    bare, framed, join = Message(b"bare", bare=True), stored(6), Join(13)
    assert [channel.takes_now(message) for message in (bare, framed, join)] == [True] * 3
    channel.hold(stored(7))
    assert [channel.takes_now(message) for message in (bare, framed, join)] == [False] * 3
