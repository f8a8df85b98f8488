"""The outbox: the bytes for each seat that the kernel has not accepted yet (S4, S5 of seats.py). No I/O.

When the kernel accepts only a part of a write, the rest is parked in `Seat.send_buffer`, and all later bytes are
appended there. Three limits hold: bytes of one seat, seconds that one seat is behind, and bytes of all seats together.
The outbox counts and names the seats that are over a limit; `Seats` (edge/engine/seats.py) writes, and evicts them.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from edge.state import Seat

BUFFER_OVERHEAD = 1.25  # bytes of memory for each parked byte: a bytearray that grows is larger than what it holds
SWEEP_PERIOD = 0.5  # seconds, at most, between two looks at the seats that are behind
EVICTIONS_PER_TURN = 64  # the kernel needs some time to close a connection with unsent bytes
TRIM_THRESHOLD = 4_194_304  # bytes; if less was parked, the C library gives enough memory back by itself


class Limits(NamedTuple):
    """How much may be parked: bytes of one seat, seconds of one seat, bytes of all."""

    seat_bytes: int = 262_144
    seat_seconds: float = 10.0
    total_bytes: int = 67_108_864


class Parked:
    """What is parked for one seat: the sizes of its writes, and since when."""

    __slots__ = ("is_begun", "since", "sizes")

    def __init__(self, since: float) -> None:
        self.since = since  # when it fell behind, in seconds
        self.sizes: deque[int] = deque()  # of the writes in its buffer; of the first one only what is left
        self.is_begun = True  # the kernel has accepted a part of the first write

    def accept(self, count: int) -> None:
        """The kernel has accepted `count` bytes more."""
        while self.sizes and count >= self.sizes[0]:
            count -= self.sizes.popleft()
            self.is_begun = False
        if count and self.sizes:
            self.sizes[0] -= count
            self.is_begun = True

    def drop(self) -> int:
        """Drop all writes but the one that is begun, and return how many bytes of that are left."""
        kept = self.sizes[0] if self.is_begun and self.sizes else 0
        self.sizes = deque([kept] if kept else ())
        return kept


class Outbox:
    """The parked bytes of all seats of an edge; `parked_bytes` is their sum."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.parked_bytes = 0
        self._limits = limits
        self._clock = clock
        self._parked: dict[Seat, Parked] = {}  # in the order in which the seats fell behind

    def park(self, seat: Seat, rest: bytes) -> None:
        """Park the rest of a write for a seat that has nothing parked."""
        seat.send_buffer = bytearray()
        seat.refresh_fast_path()
        self._parked[seat] = Parked(self._clock())
        self.append(seat, rest)

    def append(self, seat: Seat, data: bytes) -> None:
        """Park bytes behind those that are parked for a seat."""
        if seat.send_buffer is not None:
            seat.send_buffer += data
            self._parked[seat].sizes.append(len(data))
            self.parked_bytes += len(data)

    def accept(self, seat: Seat, count: int) -> bool:
        """The kernel has accepted `count` parked bytes of a seat; return whether none is left."""
        if seat.send_buffer is None:
            return True
        del seat.send_buffer[:count]
        self.parked_bytes -= count
        self._parked[seat].accept(count)
        if seat.send_buffer:
            return False
        self.forget(seat)
        return True

    def replace(self, seat: Seat, data: bytes) -> None:
        """Drop what is parked for a seat, except a write that is begun, and park `data` instead."""
        if seat.send_buffer is not None:
            kept = self._parked[seat].drop()
            self.parked_bytes -= len(seat.send_buffer) - kept
            del seat.send_buffer[kept:]
            self.append(seat, data)

    def forget(self, seat: Seat) -> None:
        """Drop what is parked for a seat, if anything is."""
        if seat.send_buffer is not None:
            self.parked_bytes -= len(seat.send_buffer)
            seat.send_buffer = None
            del self._parked[seat]
            seat.refresh_fast_path()

    def is_choked(self, seat: Seat) -> bool:
        """Say whether more is parked for a seat than one seat may have."""
        return seat.send_buffer is not None and len(seat.send_buffer) > self._limits.seat_bytes

    def longest(self) -> Seat | None:
        """Return the seat that is behind longest, if more is parked for all seats together than they may have."""
        if self.parked_bytes * BUFFER_OVERHEAD <= self._limits.total_bytes:
            return None
        return next(iter(self._parked), None)

    def stuck(self) -> list[Seat]:
        """Return the seats that are behind for too long, at most EVICTIONS_PER_TURN of them."""
        before = self._clock() - max(self._limits.seat_seconds - SWEEP_PERIOD, 0)
        return [seat for seat, parked in islice(self._parked.items(), EVICTIONS_PER_TURN) if parked.since <= before]


class MemoryTrimmer:
    """Gives memory back to the system once nothing is parked, if much was: the C library would keep most of it."""

    def __init__(self, parked_bytes: Callable[[], int], give_back: Callable[[], None]) -> None:
        self._parked_bytes = parked_bytes
        self._give_back = give_back
        self._is_due = False

    def tick(self) -> bool:
        """Look at how much is parked; return False, because there is nothing more to do in this turn."""
        parked = self._parked_bytes()
        if parked >= TRIM_THRESHOLD:
            self._is_due = True
        elif self._is_due and not parked:
            self._is_due = False
            self._give_back()
        return False
