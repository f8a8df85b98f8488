"""Slow readers: what is parked for them is bounded in bytes, in time and in total."""

import json
import socket
from collections.abc import Iterator

import pytest
from websockets.frames import Opcode

from edge.counters import CloseReason, Counters
from edge.engine.outbox import MUCH_PARKED, Limits, MemoryTrimmer
from edge.engine.poller import make_poller
from edge.engine.seats import Seats
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.state import Seat
from tests.edge.edge_without_redis import Clock, small_edge
from tests.edge.websocket_client import speaker

MUCH = b"m" * 3_000_000  # more than any socket buffer takes


class Room:
    """Seats with a clock and small limits, and clients that do not read."""

    def __init__(self, limits: Limits) -> None:
        self.clock, self.counters, self.poller = Clock(), Counters(), make_poller()
        self.seats = Seats(self.poller, self.counters, self.clock, limits)
        self.clients: list[socket.socket] = []

    def stuck(self, parked: int) -> Seat:
        """Return a seat for which so many bytes are parked."""
        ours, client = socket.socketpair()
        ours.setblocking(False)
        self.clients.append(client)
        seat = self.seats.add(ours.detach())
        self.seats.write(seat, MUCH)
        assert seat.send_buffer is not None
        self.seats.replace_parked(seat, b"")
        self.seats.write(seat, b"p" * parked)
        return seat

    def close(self) -> None:
        for seat in self.seats:
            self.seats.abort(seat, CloseReason.CLIENT)
        for client in self.clients:
            client.close()
        self.poller.close()


@pytest.fixture
def room() -> Iterator[Room]:
    """Yield a room with limits of ten seconds and eight million bytes in all."""
    room = Room(Limits(seat_bytes=8_000_000, seat_seconds=10, total_bytes=8_000_000))
    yield room
    room.close()


def test_who_is_behind_for_too_long_is_removed(room: Room) -> None:
    """Ten seconds after it fell behind a seat goes; who fell behind later stays."""
    first = room.stuck(10)
    room.clock.now += 6
    second = room.stuck(10)
    room.clock.now += 5
    assert not room.seats.cut_stuck()
    assert (first.fd, second.fd >= 0) == (-1, True)


def test_the_sum_is_bounded(room: Room) -> None:
    """When all together hold too much, those that wait longest go first."""
    seats = [room.stuck(1_500_000) for _ in range(4)]
    assert (seats[0].fd, seats[-1].fd >= 0) == (-1, True)
    assert room.seats.parked_bytes <= 8_000_000
    assert room.seats.parked_bytes == sum(len(seat.send_buffer or b"") for seat in seats)


def test_what_is_gone_is_not_counted(room: Room) -> None:
    """Removing a seat gives its parked bytes back."""
    seat = room.stuck(1000)
    assert room.seats.parked_bytes > 0
    room.seats.abort(seat, CloseReason.CLIENT)
    assert room.seats.parked_bytes == 0


@pytest.fixture
def wide_room() -> Iterator[Room]:
    """Yield a room with limits of ten seconds, eight million bytes for each and forty million in all."""
    room = Room(Limits(seat_bytes=8_000_000, seat_seconds=10, total_bytes=40_000_000))
    yield room
    room.close()


def test_who_was_cut_is_counted_by_the_limit(wide_room: Room) -> None:
    """Operators see which of the three limits their readers cross."""
    seats = [wide_room.stuck(10) for _ in range(4)]
    for seat in seats:
        seat.framing = framing_for("stream", Variant())
    wide_room.seats.write(seats[0], b"p" * 9_000_000)
    wide_room.seats.write(seats[0], b"one too many")
    assert wide_room.counters.cut_total == {"bytes": 1, "seconds": 0, "total": 0}
    wide_room.seats.write(seats[1], b"p" * 40_000_000)
    assert wide_room.counters.cut_total == {"bytes": 1, "seconds": 0, "total": 1}
    wide_room.clock.now += 20
    assert not wide_room.seats.cut_stuck()
    assert wide_room.counters.cut_total == {"bytes": 1, "seconds": 2, "total": 1}


def test_many_stuck_readers_are_cut_a_few_at_a_time(wide_room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a connection with unsent bytes takes the kernel some time: others have their turn in between."""
    monkeypatch.setattr("edge.engine.outbox.CUTS_PER_TURN", 2)
    monkeypatch.setattr("edge.engine.seats.CUTS_PER_TURN", 2)
    for _ in range(3):
        wide_room.stuck(10)
    wide_room.clock.now += 20
    assert wide_room.seats.cut_stuck()
    assert len(wide_room.seats) == 1
    assert not wide_room.seats.cut_stuck()
    assert len(wide_room.seats) == 0


# Giving memory back.


async def test_a_slow_reader_is_told_1013_between_two_frames() -> None:
    """What was begun ends whole, what was parked is forgotten, and the close frame comes right behind."""
    async with small_edge() as edge:
        one = await speaker(edge, "room")
        (seat,) = edge.seats
        while seat.framing is not None:
            edge.publish("room", *[b"m" * 900] * 40)
            await edge.turns(5)
        assert edge.counters.closed_total["ws", "slow"] == 1
        offsets = []
        while (got := await one.next_frame()).opcode is Opcode.TEXT:
            offsets.append(json.loads(bytes(got.data))["seq"].split("-")[0])
        assert offsets == [str(number) for number in range(1, len(offsets) + 1)]
        assert int.from_bytes(bytes(got.data[:2])) == 1013


@pytest.mark.parametrize(
    ("parked", "times"),
    [
        ([0, 0], 0),
        ([MUCH_PARKED - 1, 0], 0),
        ([MUCH_PARKED, 1], 0),
        ([MUCH_PARKED, 0, 0], 1),
        ([MUCH_PARKED, MUCH_PARKED - 1, 0], 1),
        ([MUCH_PARKED, 0, 5, 0, MUCH_PARKED, 0], 2),
    ],
)
def test_memory_is_given_back_once_when_the_last_of_much_is_gone(parked: list[int], times: int) -> None:
    """Little is not worth it, and what is still parked will be needed."""
    given: list[None] = []
    looks = iter(parked)
    trimmer = MemoryTrimmer(lambda: next(looks), lambda: given.append(None))
    assert not any(trimmer.tick() for _ in parked)
    assert len(given) == times
