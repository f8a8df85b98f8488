"""What a chain remembers, what it can prove from that, and how it brings others up to date."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.message import Message
from common.position import START, Position, unproven
from edge.chain import EMPTY, MAX_RING_BYTES, MAX_RING_MESSAGES, MESSAGE_OVERHEAD, proven
from edge.state import Channel
from tests.edge.true_log import TrueLog
from tests.edge.usual_log import at, channel_at, log, stored


def test_a_new_channel_stands_nowhere() -> None:
    """Before the first sync there is no position, nothing chains, and nothing is remembered."""
    channel = Channel("room")
    assert not channel.is_occupied
    assert channel.cursor == "0-0"
    assert not channel.chains(stored(1))
    assert not channel.saw(stored(1))
    assert channel.tail(at(0)) is None
    assert channel.ring is EMPTY


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
    """A client that stands where the channel stands has missed nothing."""
    assert channel_at(5).tail(at(5)) == []
    assert channel_at(5).tail(at(4)) is None


def test_a_tail_is_the_callers_own() -> None:
    """What a caller does with a tail does not change what the channel remembers."""
    channel = channel_at(5, ring=3)
    for since in (at(2), at(3)):
        tail = channel.tail(since)
        assert isinstance(tail, list)
        assert tail
        tail.clear()
    assert channel.ring == log(3, 5)


def test_the_ring_is_bounded_in_messages() -> None:
    """It forgets the oldest and always proves at least its nominal length."""
    channel = channel_at(0)
    for message in log(1, 1000):
        channel.advance(message)
        assert len(channel.ring) < 2 * MAX_RING_MESSAGES
    assert channel.tail(at(1000 - MAX_RING_MESSAGES)) == log(1001 - MAX_RING_MESSAGES, 1000)


def test_the_ring_is_bounded_in_bytes() -> None:
    """Large messages are forgotten sooner, and the bytes are counted right."""
    channel = channel_at(0)
    for offset in range(1, 40):
        channel.advance(stored(offset, b"x" * 65_536))
        weight = sum(MESSAGE_OVERHEAD + len(message.payload) for message in channel.ring)
        assert channel.ring_bytes == weight <= MAX_RING_BYTES
    assert channel.last == at(39)


def test_a_single_message_over_the_bound_is_kept() -> None:
    """The newest message stays, however large, so that the next one finds its predecessor."""
    channel = channel_at(1, ring=1)
    channel.advance(stored(2, b"x" * (MAX_RING_BYTES + 1)))
    assert [message.offset for message in channel.ring] == [2]
    assert channel.tail(at(1)) == channel.ring


def test_after_a_restart_nothing_old_is_proven() -> None:
    """A channel that goes on from another place forgets the ring that led to the old one."""
    channel = channel_at(5, ring=3)
    channel.restart(Position(2, 777))
    assert (channel.last, channel.ring, channel.ring_bytes) == (Position(2, 777), EMPTY, 0)
    assert channel.tail(at(5)) is None
    assert channel.chains(Message(b"x", 3, 888, 777))


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


DEEDS = st.lists(st.sampled_from(["append", "append", "append", "trim", "wipe", "restart"]), max_size=60)


@given(DEEDS)
def test_nothing_is_proven_but_the_exact_continuation(deeds: list[str]) -> None:
    """Over any life of a log, ring and log prove a position only with all that truly followed it, and nothing else."""
    true_log, channel = TrueLog(), Channel("room")
    channel.last = true_log.top
    for deed in deeds:
        if deed == "append":
            channel.advance(true_log.append())
        elif deed == "trim":
            true_log.trim(2)
        else:
            if deed == "wipe":
                true_log.wipe()
            channel.restart(true_log.top)
    for since in true_log.positions():
        truth = true_log.after.get(since)
        kept = [message for message in true_log.kept if message.offset > since.offset]
        tail = channel.tail(since)
        assert tail is None or tail == truth
        assert not proven(since, true_log.top, kept) or kept == truth
        if since == true_log.top:
            assert tail == []


@given(DEEDS, st.data())
def test_a_log_with_a_hole_proves_nothing(deeds: list[str], data: st.DataObject) -> None:
    """If any one message is missing, twice there or out of order, the position is not proven."""
    true_log = TrueLog()
    for deed in ["append", "append", *deeds]:
        if deed == "append":
            true_log.append()
    since = data.draw(st.sampled_from([position for position in true_log.after if position != true_log.top]))
    messages = list(true_log.after[since])
    place = data.draw(st.integers(0, len(messages) - 1))
    spoil = data.draw(st.sampled_from(["missing", "twice", "swapped"]))
    if spoil == "missing":
        del messages[place]
    elif spoil == "twice":
        messages.insert(place, messages[place])
    else:
        messages.append(messages.pop(place))
    assert proven(since, true_log.top, messages) is (messages == true_log.after[since])
