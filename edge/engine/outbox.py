"""The outbox: bytes that were given to seats and that the kernel has not taken yet (S4, S5). No I/O.

A seat whose write was short is parked: the rest of its bytes waits in `Seat.send_buffer`, and everything later queues
behind it. What waits is bounded three ways: per seat in bytes, per seat in time, and in total, where the seats that
wait longest are cut first. This keeps the account; `Seats` writes, and cuts the seats that are named here.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from edge.state import Seat

BUFFER_OVERHEAD = 1.25  # bytes of memory for each byte parked: a growing bytearray takes more than it holds
SWEEP_PERIOD = 0.5  # seconds between two looks at the seats that are stuck, at most
CUTS_PER_TURN = 64  # closing a connection with unsent bytes takes the kernel some time
MUCH_PARKED = 4_194_304  # bytes, below which the C library's own ways to give memory back are good enough


class Limits(NamedTuple):
    """How much may be parked: bytes of one seat, seconds of one seat, bytes of all."""

    seat_bytes: int = 262_144
    seat_seconds: float = 10.0
    total_bytes: int = 67_108_864


class Parked:
    """The account of one parked seat."""

    __slots__ = ("is_begun", "since", "sizes")

    def __init__(self, since: float) -> None:
        self.since = since  # when it fell behind
        self.sizes: deque[int] = deque()  # of the writes in its buffer; of the first, what is left
        self.is_begun = True  # the kernel has taken a part of the first

    def take(self, count: int) -> None:
        """The kernel took `count` bytes more."""
        while self.sizes and count >= self.sizes[0]:
            count -= self.sizes.popleft()
            self.is_begun = False
        if count and self.sizes:
            self.sizes[0] -= count
            self.is_begun = True

    def drop(self) -> int:
        """Forget all writes but one that was begun; return how many bytes are left of that."""
        kept = self.sizes[0] if self.is_begun and self.sizes else 0
        self.sizes = deque([kept] if kept else ())
        return kept


class Outbox:
    """The parked bytes of all seats of an edge."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.parked_bytes = 0
        self._limits = limits
        self._clock = clock
        self._parked: dict[Seat, Parked] = {}  # in the order in which they fell behind

    def park(self, seat: Seat, rest: bytes) -> None:
        """Keep the rest of a write that the kernel took in part."""
        seat.send_buffer = bytearray()
        seat.refresh_fast_path()
        self._parked[seat] = Parked(self._clock())
        self.append(seat, rest)

    def append(self, seat: Seat, data: bytes) -> None:
        """Keep bytes behind those that a parked seat has already."""
        if seat.send_buffer is not None:
            seat.send_buffer += data
            self._parked[seat].sizes.append(len(data))
            self.parked_bytes += len(data)

    def take(self, seat: Seat, count: int) -> bool:
        """The kernel took `count` bytes of a parked seat; return whether none is left, so that it is parked no more."""
        if seat.send_buffer is None:
            return True
        del seat.send_buffer[:count]
        self.parked_bytes -= count
        self._parked[seat].take(count)
        if seat.send_buffer:
            return False
        self.forget(seat)
        return True

    def replace(self, seat: Seat, data: bytes) -> None:
        """Forget what is parked for a seat, but for the write that was begun, and park `data` instead."""
        if seat.send_buffer is not None:
            kept = self._parked[seat].drop()
            self.parked_bytes -= len(seat.send_buffer) - kept
            del seat.send_buffer[kept:]
            self.append(seat, data)

    def forget(self, seat: Seat) -> None:
        """Forget what is parked for a seat, if anything is."""
        if seat.send_buffer is not None:
            self.parked_bytes -= len(seat.send_buffer)
            seat.send_buffer = None
            del self._parked[seat]
            seat.refresh_fast_path()

    def is_choked(self, seat: Seat) -> bool:
        """Say whether a seat has as much parked as it may."""
        return seat.send_buffer is not None and len(seat.send_buffer) > self._limits.seat_bytes

    def longest(self) -> Seat | None:
        """Return the seat that waits longest, if all seats together have more parked than they may."""
        if self.parked_bytes * BUFFER_OVERHEAD <= self._limits.total_bytes:
            return None
        return next(iter(self._parked), None)

    def stuck(self) -> list[Seat]:
        """Return seats that have been behind for too long, at most CUTS_PER_TURN."""
        before = self._clock() - max(self._limits.seat_seconds - SWEEP_PERIOD, 0)
        return [seat for seat, parked in islice(self._parked.items(), CUTS_PER_TURN) if parked.since <= before]


class MemoryTrimmer:
    """Gives memory back when nothing is parked any more, if much was: the C library would keep most of it for good."""

    def __init__(self, parked_bytes: Callable[[], int], give_back: Callable[[], None]) -> None:
        self._parked_bytes = parked_bytes
        self._give_back = give_back
        self._is_due = False

    def tick(self) -> bool:
        """Look at how much is parked now; return that nothing more is to be done in this turn."""
        parked = self._parked_bytes()
        if parked >= MUCH_PARKED:
            self._is_due = True
        elif self._is_due and not parked:
            self._is_due = False
            self._give_back()
        return False
