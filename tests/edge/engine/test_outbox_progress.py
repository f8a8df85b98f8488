"""A slow reader is one that takes too little, or has too much waiting for too long; not one that got much at once."""

import socket
from collections.abc import Iterator

import pytest

from edge.counters import CloseReason, Counters
from edge.engine.outbox import Limits, Outbox
from edge.engine.poller import make_poller
from edge.engine.seats import Seats
from edge.state import Phase, Seat
from tests.edge.edge_without_redis import FakeClock

LIMITS = Limits(seat_bytes=1000, seat_seconds=10, total_bytes=40_000, seat_rate=100, burst_seconds=10)
WIDE_LIMITS = Limits(seat_bytes=1000, seat_seconds=10, total_bytes=80_000_000, seat_rate=100, burst_seconds=10)
MUCH = b"m" * 3_000_000  # more than any socket buffer takes


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def outbox(clock: FakeClock) -> Outbox:
    """Return an outbox that asks for 1,000 bytes in ten seconds, and keeps 40,000."""
    return Outbox(LIMITS, clock)


def parked(outbox: Outbox, size: int) -> Seat:
    """Return a seat that has so much parked."""
    seat = Seat(7)
    outbox.park(seat, 0, b"p" * size)
    return seat


def test_who_takes_the_lowest_rate_stays_for_as_long_as_it_takes(outbox: Outbox, clock: FakeClock) -> None:
    """1,000 bytes every nine seconds: after six minutes it has taken all."""
    seat = parked(outbox, 30_000)
    for left in range(29, -1, -1):
        clock.now += 9
        assert not outbox.stuck()
        assert outbox.accept(seat, 1000) is (left == 0)
    assert outbox.parked_bytes == 0


def test_who_takes_less_is_stuck(outbox: Outbox, clock: FakeClock) -> None:
    """999 bytes in ten seconds are too few, in however many pieces."""
    seat = parked(outbox, 30_000)
    for _ in range(9):
        clock.now += 1
        outbox.accept(seat, 111)
    clock.now += 1
    assert outbox.stuck() == [seat]
    outbox.accept(seat, 1)
    assert (outbox.stuck(), outbox.is_stuck(seat)) == ([], False)


def test_the_last_to_take_something_is_the_last_to_go(outbox: Outbox, clock: FakeClock) -> None:
    """Over the total the first to go is not who was parked first, but who takes nothing."""
    reading, sleeping = parked(outbox, 20_000), parked(outbox, 5_000)
    clock.now += 1
    outbox.accept(reading, 2000)
    outbox.append(reading, b"p" * 16_000)
    assert outbox.longest() is sleeping


@pytest.mark.parametrize("first", [10, 10_000])
def test_the_write_under_way_is_not_counted(outbox: Outbox, first: int) -> None:
    """An answer, a welcome or a replay may be of any size; what waits behind it may not."""
    seat = parked(outbox, first)
    outbox.append(seat, b"p" * 1000)
    assert not outbox.is_choked(seat)
    outbox.append(seat, b"p")
    assert outbox.is_choked(seat)


def test_a_burst_may_wait_for_some_seconds(outbox: Outbox, clock: FakeClock) -> None:
    """It is too much when it was too much all the time."""
    seat = parked(outbox, 10)
    for _ in range(5):
        outbox.append(seat, b"p" * 1000)
    clock.now += 9
    assert not outbox.is_too_slow(seat)
    clock.now += 1
    assert outbox.is_too_slow(seat)
    outbox.accept(seat, 10 + 3900)
    assert not outbox.is_choked(seat)
    outbox.append(seat, b"p" * 1000)
    clock.now += 9
    assert (outbox.is_choked(seat), outbox.is_too_slow(seat)) == (True, False)


def test_one_seat_never_has_more_than_a_quarter_of_all(outbox: Outbox) -> None:
    """A burst without end is none."""
    seat = parked(outbox, 10)
    outbox.append(seat, b"p" * 10_000)
    assert not outbox.is_too_slow(seat)
    outbox.append(seat, b"p")
    assert outbox.is_too_slow(seat)


class Readers:
    """Seats on real sockets whose clients read when they are told to."""

    def __init__(self) -> None:
        self.clock, self.counters, self.poller = FakeClock(), Counters(), make_poller()
        self.seats = Seats(self.poller, self.counters, self.clock, WIDE_LIMITS)
        self.clients: list[socket.socket] = []

    def answered(self) -> tuple[Seat, socket.socket]:
        """Return a seat of which the kernel has taken a part of an answer, and its client."""
        ours, client = socket.socketpair()
        ours.setblocking(False)
        self.clients.append(client)
        seat = self.seats.add(ours.detach())
        self.seats.write(seat, MUCH)
        self.seats.flush(seat)
        return seat, client


@pytest.fixture
def readers() -> Iterator[Readers]:
    """Yield readers whose sockets are closed at the end."""
    readers = Readers()
    yield readers
    for seat in readers.seats:
        readers.seats.abort(seat, CloseReason.CLIENT)
    for client in readers.clients:
        client.close()
    readers.poller.close()


def test_a_cut_answer_is_counted(readers: Readers) -> None:
    """A seat that was answered has no framing any more, and is a reader all the same."""
    seat, _ = readers.answered()
    assert seat.framing is None
    readers.clock.now += 10
    assert not readers.seats.evict_stuck()
    assert (seat.fd, readers.counters.cut_total["seconds"]) == (-1, 1)


def test_what_the_kernel_has_room_for_is_progress(readers: Readers) -> None:
    """The poller tells late that there is room: before a seat is evicted, it is given what there is room for."""
    seat, client = readers.answered()
    readers.clock.now += 10
    client.recv(200_000)
    readers.seats.evict_stuck()
    assert seat.fd >= 0
    readers.clock.now += 10
    readers.seats.evict_stuck()
    assert seat.phase is Phase.DEAD
