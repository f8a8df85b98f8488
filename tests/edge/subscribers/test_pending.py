"""What a subscriber waits for: its channels, other channels for a poll, or one more channel."""

from common.position import START
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.protocol.operations import Op, Operation
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Channel, Seat
from edge.subscribers.pending import PendingJoin, PendingRepoll, PendingSubscribe
from tests.edge.usual_log import at

POLL, STREAM = framing_for("poll", Variant()), framing_for("stream", Variant())
A, B = Channel("a"), Channel("b")


def test_a_newcomer_is_ready_once_when_it_is_in_all_of_its_channels() -> None:
    """In whatever order they get ready; each has the position at which it was asked for."""
    ready: list[PendingSubscribe] = []
    request = SubscribeRequest("stream", ("a", "b"), (at(3), None), history=7)
    pending = PendingSubscribe(Seat(7), request, STREAM, ready.append)
    first, second = pending.enter_all((A, B))
    assert [(entry.channel, entry.since, entry.history) for entry in (first, second)] == [(A, at(3), 7), (B, None, 7)]
    second.at = at(9)
    pending.entered(second)
    assert ready == []
    first.at = at(3)
    pending.entered(first)
    assert ready == [pending]


def test_a_newcomer_that_is_ready_has_its_positions_in_the_order_asked() -> None:
    """They are read when it is ready; afterwards no entry points back at it."""
    seen: list[object] = []
    request = SubscribeRequest("stream", ("a", "b"))
    pending = PendingSubscribe(Seat(7), request, STREAM, lambda one: seen.extend(one.positions))
    for entry, offset in zip(pending.enter_all((A, B)), (1, 2), strict=True):
        entry.at = at(offset)
        pending.entered(entry)
    assert seen == [at(1), at(2)]
    assert pending.entries == ()


def test_a_newcomer_that_is_behind_is_ready_before_it_is_in_the_channel() -> None:
    """Its position there is proven; the channel knows it as one of its subscribers until it ends."""
    ready: list[PendingSubscribe] = []
    seat, channel = Seat(7), Channel("a")
    pending = PendingSubscribe(seat, SubscribeRequest("stream", ("a",), (at(3),)), STREAM, ready.append)
    (entry,) = pending.enter_all((channel,))
    pending.fall_behind(entry, at(3))
    assert ready == [pending]
    assert pending.behind == [(channel, at(3))]
    assert (channel.is_occupied, channel.subscribers(0.0), channel.seats) == (True, 1, ())
    channel.catch_up(seat)
    assert not channel.is_occupied


def test_a_newcomer_lives_as_long_as_its_seat_waits_for_it() -> None:
    """A seat that waits for something else, or for nothing, is not led into channels."""
    seat = Seat(7)
    pending = PendingSubscribe(seat, SubscribeRequest("stream", ("a",)), STREAM, lambda one: None)
    assert not pending.is_alive
    seat.wait(pending)
    assert pending.is_alive
    seat.detach()
    assert not pending.is_alive


def test_a_poll_that_asks_again_starts_on_each_channel_where_it_stands() -> None:
    """Its starts are by channel: what was added to its request begins where the operation said."""
    request = SubscribeRequest("poll", ("b", "a"), has_channel_names=True)
    starts = {"a": (at(5), 0), "b": (None, 3)}
    repoll = PendingRepoll(Seat(7), request, POLL, starts, [], lambda one: None, lambda names: None)
    entries = repoll.enter_all((B, A))
    assert [(entry.channel, entry.since, entry.history) for entry in entries] == [(B, None, 3), (A, at(5), 0)]


def test_a_join_asks_for_its_channel_as_the_operation_did() -> None:
    """It is alive until it is given up, whatever else its seat is busy with."""
    operation = Operation(Op.SUB, "a", (START, 0), ref=1)
    ready: list[PendingJoin] = []
    join = PendingJoin(Seat(7), STREAM, A, operation, ready.append)
    (entry,) = join.enter_all((A,))
    assert (entry.since, join.request.channels, join.operations) == (START, ("a",), [operation])
    assert join.is_alive
    join.entered(entry)
    assert ready == [join]
    join.is_cancelled = True
    assert not join.is_alive
