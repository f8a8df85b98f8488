"""Seats: their phases, and the fast path; what a newcomer may take, and who occupies a channel."""

import pytest

from common.position import Position
from edge.chain import PIECE_BYTES
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for
from edge.parked import Parked
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Channel, Pending, PendingAttach, Phase, Seat
from tests.edge.usual_log import stored

STREAM, EVENTS, POLL = [framing_for(transport, Variant()) for transport in ("stream", "sse", "poll")]


def held(framing: Framing = STREAM, *names: str) -> Seat:
    """Return a seat that is held on some channels, on one if none is named."""
    seat = Seat(7)
    seat.attach(tuple(map(Channel, names or ("room",))), 0)
    seat.hold(framing, None)
    return seat


def test_a_seat_goes_through_its_phases() -> None:
    """P1: each transition is one method, and what belongs to a phase goes with it."""
    seat = Seat(7)
    assert seat.phase is Phase.IDLE
    pending = Pending(seat, STREAM)
    seat.wait(pending)
    assert (seat.phase, pending.is_alive) == (Phase.WAITING, True)
    seat.hold(STREAM, None)
    assert (seat.phase, seat.framing, pending.is_alive) == (Phase.HELD, STREAM, False)
    seat.detach()
    assert (seat.phase, seat.framing, seat.channels) == (Phase.IDLE, None, ())
    seat.end()
    seat.detach()
    assert seat.phase is Phase.ENDING
    assert (seat.die(), seat.fd, seat.phase) == (7, -1, Phase.DEAD)
    seat.detach()
    assert seat.phase is Phase.DEAD


@pytest.mark.parametrize(
    ("seat", "is_fast"),
    [
        (held(), True),
        (held(EVENTS), True),
        (held(POLL), False),
        (held(STREAM, "a", "b"), False),
        (Seat(7), False),
    ],
)
def test_which_seats_are_on_the_fast_path(seat: Seat, is_fast: bool) -> None:
    """P2: held on one channel, by a response that goes on, with the shared bytes."""
    seat.refresh_fast_path()
    assert seat.fast_path is is_fast


def test_parked_bytes_keep_a_seat_off_the_fast_path() -> None:
    """P2, S4: bytes that were given later must not overtake those that wait."""
    seat = held()
    seat.send_buffer = Parked(0.0)
    seat.refresh_fast_path()
    assert (seat.shares_bytes, seat.fast_path) == (True, False)
    seat.send_buffer = None
    seat.refresh_fast_path()
    assert seat.fast_path


def test_a_seat_that_is_held_behind_parked_bytes_waits_for_them() -> None:
    """A stream that is asked for while a poll's answer still waits in the buffer begins off the fast path."""
    seat = Seat(7)
    seat.send_buffer = Parked(0.0)
    seat.attach((Channel("room"),), 0)
    seat.hold(STREAM, None)
    assert not seat.fast_path


def test_a_channel_is_unused_until_something_comes() -> None:
    """A stored message, one that is being stored, one without a position, or messages from before this edge had it."""
    channels = {name: Channel(name) for name in ("new", "read", "stored", "counted", "sent", "older")}
    channels["read"].last = Position(0, 7)
    channels["stored"].fresh = [Item(ItemKind.DATA, "stored", "hi")]
    channels["counted"].bare_count = 1
    channels["sent"].sent_at = 1.0
    channels["older"].last = Position(1, 8)
    assert [name for name, channel in channels.items() if channel.is_unused] == ["new", "read"]


@pytest.mark.parametrize(
    ("framing", "names", "messages", "taken"),
    [
        (STREAM, "a", [PIECE_BYTES], 1),
        (STREAM, "ab", [100_000, 100_000], 2),
        (STREAM, "abc", [100_000, 100_000, 100_000], 2),
        (POLL, "abc", [100_000, 100_000, 100_000], 2),
        (EVENTS, "ab", [100_000, 100_000], 2),
    ],
)
def test_a_newcomer_takes_a_piece_from_rings(framing: Framing, names: str, messages: list[int], taken: int) -> None:
    """One large message always has room, more of them only as long as all together are no more than a piece."""
    pending = PendingAttach(Seat(7), SubscribeRequest("", tuple(names)), framing)
    pending.enter_all(tuple(map(Channel, names)))
    answers = [
        pending.takes(Channel(name), [stored(1, b"x" * size)]) for name, size in zip(names, messages, strict=False)
    ]
    assert sum(answers) == taken


def test_a_subscriber_that_is_behind_occupies_a_channel() -> None:
    """Until it has caught up, or has gone; then nothing is left of it."""
    channel, seat = Channel("room"), Seat(7)
    channel.fall_behind(seat)
    assert (channel.is_occupied, channel.subscribers(0.0), len(channel.seats)) == (True, 1, 0)
    channel.catch_up(seat)
    channel.catch_up(seat)
    assert (channel.is_occupied, channel.subscribers(0.0), channel.behind) == (False, 0, ())


def test_a_channel_keeps_nothing_for_those_who_have_entered() -> None:
    """One may wait while another is behind; the record of both goes with the last of them."""
    channel, seat = Channel("room"), Seat(7)
    (entry,) = PendingAttach(Seat(8), SubscribeRequest("", ("room",)), STREAM).enter_all((channel,))
    channel.fall_behind(seat)
    channel.let_wait(entry)
    assert (list(channel.waiting), list(channel.behind)) == ([entry], [seat])
    channel.catch_up(seat)
    assert (channel.is_occupied, list(channel.waiting)) == (True, [entry])
    channel.stop_waiting(entry)
    channel.stop_waiting(entry)
    assert (channel.is_occupied, channel.newcomers, channel.waiting) == (False, None, ())
