"""Slow readers: what is parked for them is bounded in bytes, in time and in total."""

import json
import socket
from collections.abc import Iterator

import pytest
from websockets.frames import Opcode

from edge.counters import CloseReason, Counters
from edge.engine.outbox import TRIM_THRESHOLD, Limits, MemoryTrimmer, Outbox
from edge.engine.poller import make_poller
from edge.engine.seats import Seats
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.state import Seat
from tests.edge.edge_without_redis import FakeClock, edge_without_redis
from tests.edge.seats_on_sockets import unsent
from tests.edge.websocket_client import welcomed_websocket

MUCH = b"m" * 3_000_000  # more than any socket buffer takes


class SlowReaders:
    """Seats with a clock and small limits, and clients that do not read."""

    def __init__(self, limits: Limits) -> None:
        self.clock, self.counters, self.poller = FakeClock(), Counters(), make_poller()
        self.seats = Seats(self.poller, self.counters, self.clock, limits)
        self.clients: list[socket.socket] = []

    def stuck(self, parked: int) -> Seat:
        """Return a seat for which some bytes are parked."""
        ours, client = socket.socketpair()
        ours.setblocking(False)
        self.clients.append(client)
        seat = self.seats.add(ours.detach())
        self.seats.write(seat, MUCH)
        self.seats.flush(seat)
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


# The account, without a socket.


@pytest.fixture
def clock() -> FakeClock:
    """Return the clock of the outbox."""
    return FakeClock()


@pytest.fixture
def outbox(clock: FakeClock) -> Outbox:
    """Return an outbox with limits of 10 bytes and 10 seconds for each seat, and of 40 bytes in all."""
    return Outbox(Limits(seat_bytes=10, seat_seconds=10, total_bytes=40), clock)


def test_parked_bytes_wait_in_order_and_are_counted(outbox: Outbox) -> None:
    """What the kernel takes leaves the account; a seat of which all was taken is parked no more."""
    seat = Seat(7)
    outbox.park(seat, 0, b"abc")
    outbox.append(seat, b"defgh")
    assert (unsent(seat), outbox.parked_bytes) == (b"abcdefgh", 8)
    assert not outbox.accept(seat, 5)
    assert (unsent(seat), outbox.parked_bytes) == (b"fgh", 5), "a chunk is kept whole until all of it is sent"
    assert outbox.accept(seat, 3)
    assert (seat.send_buffer, outbox.parked_bytes) == (None, 0)


def test_two_seats_have_one_account(outbox: Outbox) -> None:
    """Forgetting one of them takes its bytes out; forgetting it again changes nothing."""
    first, second = Seat(7), Seat(8)
    outbox.park(first, 0, b"abc")
    outbox.park(second, 0, b"de")
    outbox.forget(first)
    outbox.forget(first)
    assert (outbox.parked_bytes, first.send_buffer, unsent(second)) == (2, None, b"de")


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        (0, b"begun|new"),  # a write that the kernel took a part of is never broken off
        (4, b"n|new"),
        (6, b"new"),  # the next one was not begun, and goes
        (8, b"cond|new"),
    ],
)
def test_what_replaces_parked_bytes_follows_the_write_that_was_begun(outbox: Outbox, taken: int, left: bytes) -> None:
    """S5: of all that is parked only a write that the kernel has taken a part of is kept."""
    seat = Seat(7)
    outbox.park(seat, 0, b"begun|")
    outbox.append(seat, b"second|")
    outbox.accept(seat, taken)
    outbox.replace(seat, b"new")
    assert unsent(seat) == left
    outbox.accept(seat, len(left))
    assert (seat.send_buffer, outbox.parked_bytes) == (None, 0)


def test_a_seat_is_choked_by_more_than_its_bytes(outbox: Outbox) -> None:
    """At its limit it is not; one that has nothing parked never is. The write under way may be of any size."""
    seat = Seat(7)
    assert not outbox.is_choked(seat)
    outbox.park(seat, 0, b"x" * 11)
    outbox.append(seat, b"x" * 10)
    assert not outbox.is_choked(seat)
    outbox.append(seat, b"x")
    assert outbox.is_choked(seat)


def test_over_the_total_the_seat_whose_clock_started_first_is_named(clock: FakeClock) -> None:
    """Each chunk that a seat holds takes some memory besides its bytes: three of them here leave room for 808."""
    outbox = Outbox(Limits(total_bytes=1000), clock)
    first, second = Seat(7), Seat(8)
    outbox.park(first, 0, b"x" * 400)
    outbox.park(second, 0, b"y" * 400)
    assert outbox.longest() is None
    outbox.append(second, b"z" * 9)
    assert outbox.longest() is first
    outbox.forget(first)
    assert outbox.longest() is None


def test_seats_that_are_behind_for_too_long_are_named(outbox: Outbox, clock: FakeClock) -> None:
    """By the time since which they are behind: what was taken meanwhile is too little to count."""
    first, second = Seat(7), Seat(8)
    outbox.park(first, 0, b"abc")
    clock.now += 6
    outbox.park(second, 0, b"abc")
    outbox.accept(first, 2)
    assert outbox.stuck() == []
    clock.now += 4
    assert outbox.stuck() == [first]
    outbox.accept(first, 1)
    outbox.park(first, 0, b"abc")
    clock.now += 6
    assert outbox.stuck() == [second]


# Seats with limits, on sockets.


@pytest.fixture
def readers() -> Iterator[SlowReaders]:
    """Yield readers with limits of ten seconds and eight million bytes in all."""
    readers = SlowReaders(Limits(seat_bytes=8_000_000, seat_seconds=10, total_bytes=8_000_000))
    yield readers
    readers.close()


def test_a_seat_that_is_behind_for_too_long_is_removed(readers: SlowReaders) -> None:
    """Ten seconds after it fell behind a seat goes; one that fell behind later stays."""
    first = readers.stuck(10)
    readers.clock.now += 6
    second = readers.stuck(10)
    readers.clock.now += 5
    assert not readers.seats.evict_stuck()
    assert (first.fd, second.fd >= 0) == (-1, True)


def test_the_sum_is_bounded(readers: SlowReaders) -> None:
    """When all together hold too much, those that take nothing for longest go first."""
    seats = [readers.stuck(1_500_000) for _ in range(4)]
    assert (seats[0].fd, seats[-1].fd >= 0) == (-1, True)
    assert readers.seats.outbox.parked_bytes <= 8_000_000
    assert readers.seats.outbox.parked_bytes == len(MUCH) + 1_500_000 * sum(seat.fd >= 0 for seat in seats)


def test_many_that_share_what_they_have_are_removed_a_few_at_a_time(
    readers: SlowReaders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of them free nothing: the next ones follow until the sum fits, and others have turns in between."""
    monkeypatch.setattr("edge.engine.seats.EVICTIONS_PER_TURN", 2)
    seats = [readers.stuck(10) for _ in range(5)]
    big = b"s" * 4_000_000
    for seat in seats[:4]:
        readers.seats.write(seat, big)
    assert all(seat.fd >= 0 for seat in seats)
    readers.seats.write(seats[4], b"o" * 2_000_000)
    assert [seat.fd >= 0 for seat in seats] == [False, False, True, True, True]
    while readers.seats.evict_stuck():
        pass
    assert [seat.fd >= 0 for seat in seats] == [False, False, False, False, True]


def test_what_is_gone_is_not_counted(readers: SlowReaders) -> None:
    """Removing a seat gives its parked bytes back."""
    seat = readers.stuck(1000)
    assert readers.seats.outbox.parked_bytes > 0
    readers.seats.abort(seat, CloseReason.CLIENT)
    assert readers.seats.outbox.parked_bytes == 0


@pytest.fixture
def many_readers() -> Iterator[SlowReaders]:
    """Yield readers with limits of ten seconds, eight million bytes for each and forty million in all."""
    readers = SlowReaders(Limits(seat_bytes=8_000_000, seat_seconds=10, total_bytes=40_000_000))
    yield readers
    readers.close()


def test_a_seat_that_is_cut_is_counted_by_the_limit(many_readers: SlowReaders) -> None:
    """Operators see which of the limits their readers cross."""
    seats = [many_readers.stuck(10) for _ in range(4)]
    for seat in seats:
        seat.framing = framing_for("stream", Variant())
    many_readers.seats.write(seats[0], b"p" * 9_000_000)
    many_readers.seats.write(seats[0], b"one too many")
    assert many_readers.counters.cut_total == {"bytes": 1, "seconds": 0, "total": 0}
    many_readers.seats.write(seats[1], b"p" * 40_000_000)
    assert many_readers.counters.cut_total == {"bytes": 1, "seconds": 0, "total": 1}
    many_readers.clock.now += 20
    assert not many_readers.seats.evict_stuck()
    assert many_readers.counters.cut_total == {"bytes": 1, "seconds": 2, "total": 1}


def test_many_stuck_readers_are_cut_a_few_at_a_time(many_readers: SlowReaders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a connection with unsent bytes takes the kernel some time: others have their turn in between."""
    monkeypatch.setattr("edge.engine.outbox.EVICTIONS_PER_TURN", 2)
    monkeypatch.setattr("edge.engine.seats.EVICTIONS_PER_TURN", 2)
    for _ in range(3):
        many_readers.stuck(10)
    many_readers.clock.now += 20
    assert many_readers.seats.evict_stuck()
    assert len(many_readers.seats) == 1
    assert not many_readers.seats.evict_stuck()
    assert len(many_readers.seats) == 0


# Giving memory back.


async def test_a_slow_reader_is_told_1013_between_two_frames() -> None:
    """What was begun ends whole, what was parked is forgotten, and the close frame comes right behind."""
    async with edge_without_redis() as edge:
        one = await welcomed_websocket(edge, "room")
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
        ([TRIM_THRESHOLD - 1, 0], 0),
        ([TRIM_THRESHOLD, 1], 0),
        ([TRIM_THRESHOLD, 0, 0], 1),
        ([TRIM_THRESHOLD, TRIM_THRESHOLD - 1, 0], 1),
        ([TRIM_THRESHOLD, 0, 5, 0, TRIM_THRESHOLD, 0], 2),
    ],
)
def test_memory_is_given_back_once_when_the_last_of_much_is_gone(parked: list[int], times: int) -> None:
    """Little is not worth it, and what is still parked will be needed."""
    given: list[None] = []
    looks = iter(parked)
    trimmer = MemoryTrimmer(lambda: next(looks), lambda: given.append(None))
    assert not any(trimmer.tick() for _ in parked)
    assert len(given) == times


def test_what_is_much_and_what_is_little_may_be_said() -> None:
    """Some bytes are always under way: memory is given back when few are."""
    given: list[None] = []
    looks = iter([99, 10, 100, 11, 10, 10])
    trimmer = MemoryTrimmer(lambda: next(looks), lambda: given.append(None), much=100, little=10)
    told = [trimmer.tick() or len(given) for _ in range(6)]
    assert told == [0, 0, 0, 0, 1, 1]
