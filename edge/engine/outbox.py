"""The outbox: the bytes for each seat that the kernel has not accepted yet (S4, S5 of seats.py). No I/O.

When the kernel accepts only a part of a write, the rest is parked in `Seat.send_buffer`, and all later bytes are
appended there. The outbox counts, and names the seats that are over a limit; `Seats` (edge/engine/seats.py) writes, and
evicts them. These are the limits:

O1  A seat is stuck if the kernel has accepted too few of its bytes for some seconds: fewer than the lowest rate allows.
    Its clock starts anew as soon as enough were accepted, so what counts is how much a seat takes, not how long it is
    behind.
O2  A seat is choked while it has more bytes parked than one seat may have, without the write that is under way: that is
    a welcome, a replay or an answer, which may be of any size. A seat that is choked for longer than a burst may last
    is too slow.
O3  So is a seat that has a large share of the total parked behind that write, at once.
O4  If all seats together have too many bytes parked, those go first whose clock started first: they take nothing.
O5  Long answers and replays leave half of the total to live messages: a subscriber whose answer has no room waits.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from edge.state import NEVER, Seat

BUFFER_OVERHEAD = 1.25  # bytes of memory for each parked byte: a bytearray that grows is larger than what it holds
SWEEP_PERIOD = 0.5  # seconds, at most, between two looks at the seats that are behind
MAX_SHARE = 0.25  # of the total, for one seat (O3)
ANSWERS_SHARE = 0.5  # of the total, for long answers (O5)
SHORT_ANSWER = 65_536  # bytes: the kernel accepts so much at once, so it needs no room here
EVICTIONS_PER_TURN = 64  # the kernel needs some time to close a connection with unsent bytes
TRIM_THRESHOLD = 4_194_304  # bytes; if less was parked, the C library gives enough memory back by itself


class Limits(NamedTuple):
    """How much may be parked: bytes and seconds of one seat, bytes of all, and bytes a second that a seat has to take.

    `burst_seconds` is how long a seat may be choked (O2).
    """

    seat_bytes: int = 262_144
    seat_seconds: float = 10.0
    total_bytes: int = 67_108_864
    seat_rate: int = 1024
    burst_seconds: float = 0.0


class Parked:
    """What is parked for one seat: the sizes of its writes, since when, and how much the kernel accepts."""

    __slots__ = ("choked_since", "is_begun", "is_counted", "since", "sizes", "taken")

    def __init__(self, since: float) -> None:
        self.since = since  # when its clock started (O1), in seconds
        self.taken = 0  # bytes that the kernel has accepted since then
        self.choked_since = NEVER  # when it was choked (O2), in seconds; NEVER while it is not
        self.sizes: deque[int] = deque()  # of the writes in its buffer; of the first one only what is left
        self.is_begun = True  # the kernel has accepted a part of the first write
        self.is_counted = False  # as evicted; it may be told so, and be evicted again

    def accept(self, count: int) -> None:
        """The kernel has accepted `count` bytes more."""
        self.taken += count
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
        self.parked: dict[Seat, Parked] = {}  # in the order in which their clocks started
        self._limits = limits
        self._max_bytes = max(limits.seat_bytes, int(limits.total_bytes * MAX_SHARE))  # of one seat (O3)
        self._progress = limits.seat_rate * limits.seat_seconds  # bytes that start a seat's clock anew (O1)
        self._clock = clock

    def park(self, seat: Seat, rest: bytes) -> None:
        """Park the rest of a write for a seat that has nothing parked."""
        seat.send_buffer = bytearray()
        seat.refresh_fast_path()
        self.parked[seat] = Parked(self._clock())
        self.append(seat, rest)

    def append(self, seat: Seat, data: bytes) -> None:
        """Park bytes behind those that are parked for a seat."""
        if seat.send_buffer is not None:
            seat.send_buffer += data
            self.parked_bytes += len(data)
            parked = self.parked[seat]
            parked.sizes.append(len(data))
            if parked.choked_since == NEVER and self._behind(seat, parked) > self._limits.seat_bytes:
                parked.choked_since = self._clock()

    def accept(self, seat: Seat, count: int) -> bool:
        """The kernel has accepted `count` parked bytes of a seat; return whether none is left."""
        if seat.send_buffer is None:
            return True
        del seat.send_buffer[:count]
        self.parked_bytes -= count
        parked = self.parked[seat]
        parked.accept(count)
        if not seat.send_buffer:
            self.forget(seat)
            return True
        if parked.taken >= self._progress:
            self._restart_clock(seat, parked)
        if self._behind(seat, parked) <= self._limits.seat_bytes:
            parked.choked_since = NEVER
        return False

    def _restart_clock(self, seat: Seat, parked: Parked) -> None:
        """Let a seat's clock start now, so that it is the last in the order of the clocks."""
        parked.since, parked.taken = self._clock(), 0
        del self.parked[seat]
        self.parked[seat] = parked

    def replace(self, seat: Seat, data: bytes) -> None:
        """Drop what is parked for a seat, except a write that is begun, and park `data` instead."""
        if seat.send_buffer is not None:
            parked = self.parked[seat]
            kept = parked.drop()
            self.parked_bytes -= len(seat.send_buffer) - kept
            del seat.send_buffer[kept:]
            parked.choked_since = NEVER
            self.append(seat, data)

    def forget(self, seat: Seat) -> None:
        """Drop what is parked for a seat, if anything is."""
        if seat.send_buffer is not None:
            self.parked_bytes -= len(seat.send_buffer)
            seat.send_buffer = None
            del self.parked[seat]
            seat.refresh_fast_path()

    def is_choked(self, seat: Seat) -> bool:
        """Say whether more is parked for a seat than one seat may have (O2)."""
        return seat.send_buffer is not None and self.parked[seat].choked_since != NEVER

    def is_too_slow(self, seat: Seat) -> bool:
        """Say whether nothing more may be parked for a seat: it is choked for too long (O2), or has too much (O3)."""
        parked = self.parked.get(seat)
        if parked is None or parked.choked_since == NEVER:
            return False
        seconds = self._clock() - parked.choked_since
        return seconds >= self._limits.burst_seconds or self._behind(seat, parked) > self._max_bytes

    def _behind(self, seat: Seat, parked: Parked) -> int:
        """Return how many bytes of a seat are parked behind the write that is under way."""
        return len(seat.send_buffer or b"") - (parked.sizes[0] if parked.sizes else 0)

    def has_room(self, size: int) -> bool:
        """Say whether an answer of `size` bytes may be parked besides what is parked now (O5)."""
        room = self._limits.total_bytes * ANSWERS_SHARE
        return size <= SHORT_ANSWER or (self.parked_bytes + size) * BUFFER_OVERHEAD <= room

    def count(self, seat: Seat) -> bool:
        """Count a seat as evicted; return False if it was counted before, or has nothing parked."""
        parked = self.parked.get(seat)
        if parked is None or parked.is_counted:
            return False
        parked.is_counted = True
        return True

    def longest(self) -> Seat | None:
        """Return the seat whose clock started first, if more is parked for all seats than they may have (O4)."""
        if self.parked_bytes * BUFFER_OVERHEAD <= self._limits.total_bytes:
            return None
        return next(iter(self.parked), None)

    def stuck(self) -> list[Seat]:
        """Return the seats that are stuck (O1), at most EVICTIONS_PER_TURN of them."""
        before = self._latest_start()
        return [seat for seat, parked in islice(self.parked.items(), EVICTIONS_PER_TURN) if parked.since <= before]

    def is_stuck(self, seat: Seat) -> bool:
        """Say whether too few bytes of a seat were accepted for too long (O1)."""
        parked = self.parked.get(seat)
        return parked is not None and parked.since <= self._latest_start()

    def _latest_start(self) -> float:
        """Return when the clock of a seat that is stuck now has started, at the latest."""
        return self._clock() - max(self._limits.seat_seconds - SWEEP_PERIOD, 0)


class MemoryTrimmer:
    """Gives memory back to the system once little is kept, if much was: the C library would keep most of it."""

    def __init__(
        self,
        parked_bytes: Callable[[], int],
        give_back: Callable[[], None],
        much: int = TRIM_THRESHOLD,
        little: int = 0,
    ) -> None:
        self._parked_bytes = parked_bytes
        self._give_back = give_back
        self._much = much
        self._little = little
        self._is_due = False

    def tick(self) -> bool:
        """Look at how much is parked; return False, because there is nothing more to do in this turn."""
        parked = self._parked_bytes()
        if parked >= self._much:
            self._is_due = True
        elif self._is_due and parked <= self._little:
            self._is_due = False
            self._give_back()
        return False
