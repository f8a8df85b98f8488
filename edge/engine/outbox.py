"""The outbox: the bytes for each seat that the kernel has not accepted yet (S4, S5 of seats.py). No I/O.

When the kernel accepts only a part of a write, the write is parked in `Seat.send_buffer`, and all later ones behind it.
What is parked is a reference to the bytes object that was to be written (edge/parked.py), and seats that are behind on
the same one share it. The outbox counts, and names the seats that are over a limit; `Seats` (edge/engine/seats.py)
writes, and evicts them. These are the limits:

O1  A seat is stuck if the kernel has accepted too few of its bytes for some seconds: fewer than the lowest rate allows.
    Its clock starts anew as soon as enough were accepted, so what counts is how much a seat takes, not how long it is
    behind.
O2  A seat is choked while it has more bytes parked than one seat may have, without the write that is under way: that is
    a welcome, a replay or an answer, which may be of any size. A seat that is choked for longer than a burst may last
    is too slow.
O3  So is a seat that has a large share of the total parked behind that write, at once.
O4  If the bytes that are parked for all seats, each counted once, are too many, seats go in the order in which their
    clocks started, until the rest fits: they have taken nothing for longest. One that shares all it has frees little,
    and then the next one follows.
O5  Long answers and replays leave half of the total to live messages: a subscriber whose answer has no room waits. An
    answer that another seat has parked already needs none.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from edge.engine.chunks import Chunks
from edge.parked import NEVER, Parked
from edge.state import Seat

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


class Outbox:
    """What is parked for all seats of an edge."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.parked: dict[Seat, Parked] = {}  # in the order in which their clocks started
        self._chunks = Chunks()
        self._limits = limits
        self._max_bytes = max(limits.seat_bytes, int(limits.total_bytes * MAX_SHARE))  # of one seat (O3)
        self._progress = limits.seat_rate * limits.seat_seconds  # bytes that start a seat's clock anew (O1)
        self._clock = clock

    @property
    def parked_bytes(self) -> int:
        """How many bytes are parked for all seats, those that several of them share counted once."""
        return self._chunks.size

    def park(self, seat: Seat, taken: int, *chunks: bytes) -> None:
        """Park a write of which the kernel has accepted `taken` bytes, for a seat that has nothing parked."""
        parked = seat.send_buffer = self.parked[seat] = Parked(self._clock())
        seat.refresh_fast_path()
        parked.append(*chunks)
        for chunk in chunks:
            self._chunks.hold(chunk)
        self._let_go(parked.accept(taken))

    def append(self, seat: Seat, *chunks: bytes) -> None:
        """Park a write behind those that are parked for a seat."""
        parked = seat.send_buffer
        if parked is not None:
            parked.append(*chunks)
            for chunk in chunks:
                self._chunks.hold(chunk)
            if parked.choked_since == NEVER and parked.behind > self._limits.seat_bytes:
                parked.choked_since = self._clock()

    def accept(self, seat: Seat, count: int) -> bool:
        """The kernel has accepted `count` parked bytes of a seat; return whether none is left."""
        parked = seat.send_buffer
        if parked is None:
            return True
        self._let_go(parked.accept(count))
        parked.taken += count
        if not parked.size:
            self.forget(seat)
            return True
        if parked.taken >= self._progress:
            self._restart_clock(seat, parked)
        if parked.behind <= self._limits.seat_bytes:
            parked.choked_since = NEVER
        return False

    def _restart_clock(self, seat: Seat, parked: Parked) -> None:
        """Let a seat's clock start now, so that it is the last in the order of the clocks."""
        parked.since, parked.taken = self._clock(), 0
        del self.parked[seat]
        self.parked[seat] = parked

    def replace(self, seat: Seat, data: bytes) -> None:
        """Drop what is parked for a seat, except a write that is begun, and park `data` instead."""
        parked = seat.send_buffer
        if parked is not None:
            self._let_go(parked.drop())
            parked.choked_since = NEVER
            self.append(seat, data)

    def forget(self, seat: Seat) -> None:
        """Drop what is parked for a seat, if anything is."""
        parked = seat.send_buffer
        if parked is not None:
            self._let_go(parked.chunks)
            seat.send_buffer = None
            del self.parked[seat]
            seat.refresh_fast_path()

    def _let_go(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self._chunks.let_go(chunk)

    def is_choked(self, seat: Seat) -> bool:
        """Say whether more is parked for a seat than one seat may have (O2)."""
        return seat.send_buffer is not None and seat.send_buffer.choked_since != NEVER

    def is_too_slow(self, seat: Seat) -> bool:
        """Say whether nothing more may be parked for a seat: it is choked for too long (O2), or has too much (O3)."""
        parked = seat.send_buffer
        if parked is None or parked.choked_since == NEVER:
            return False
        seconds = self._clock() - parked.choked_since
        return seconds >= self._limits.burst_seconds or parked.behind > self._max_bytes

    def has_room(self, size: int, data: bytes | None = None) -> bool:
        """Say whether an answer of `size` bytes may be parked besides what is parked now (O5).

        `data` is the part of it that others may share, if that is made already.
        """
        if size <= SHORT_ANSWER or (data is not None and self._chunks.has(data)):
            return True
        return self._chunks.memory + size <= self._limits.total_bytes * ANSWERS_SHARE

    def count(self, seat: Seat) -> bool:
        """Count a seat as evicted; return False if it was counted before, or has nothing parked."""
        parked = seat.send_buffer
        if parked is None or parked.is_counted:
            return False
        parked.is_counted = True
        return True

    def longest(self) -> Seat | None:
        """Return the seat whose clock started first, if more is parked for all seats than they may have (O4)."""
        if self._chunks.memory <= self._limits.total_bytes:
            return None
        return next(iter(self.parked), None)

    def stuck(self) -> list[Seat]:
        """Return the seats that are stuck (O1), at most EVICTIONS_PER_TURN of them."""
        before = self._latest_start()
        return [seat for seat, parked in islice(self.parked.items(), EVICTIONS_PER_TURN) if parked.since <= before]

    def is_stuck(self, seat: Seat) -> bool:
        """Say whether too few bytes of a seat were accepted for too long (O1)."""
        return seat.send_buffer is not None and seat.send_buffer.since <= self._latest_start()

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
