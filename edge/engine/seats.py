"""Seats: the connections an edge holds, and the only code that writes to them or closes them.

A held connection is a file descriptor, not a coroutine. At rest it is one `Seat` with a few slots: no parser, no
task, no timer, no buffer. Delivering a message to ten thousand subscribers is ten thousand calls of `write(fd,
shared_bytes)` in a plain loop, and nine tenths of that time are the kernel's TCP.

The catastrophic bug of this design is a message to the wrong person: descriptor numbers are reused as soon as they
are closed, so a stale number somewhere would deliver to whoever came next. Hence these invariants, which a
property-based test hammers:

S1  Nobody keeps a descriptor number but its `Seat` and the table `Seats`. Everybody else holds the `Seat`.
S2  `remove` is the only place that closes. It marks the seat dead (`fd = -1`), has it taken out of every channel,
    out of the table and out of the poller, and only then closes.
S3  A `Seat` never comes back to life: the next connection, even with the same number, is a new object.
S4  Bytes for one seat leave in the order they were given. What the kernel does not take at once is parked in the
    seat's outbox, and everything later queues behind it; no other seat waits.
S5  Parked bytes are bounded three ways: per seat in bytes (one that has too much when more comes is removed, unless
    the fan-out replaces what is parked), per seat in time (`cut_stuck`), and in total, where those that wait longest
    go first. Who is removed comes back with its position and loses nothing. A WebSocket that has too much is told so
    in place of what was parked, behind the write that was begun: a close frame never lands inside another frame.
"""

import os
import socket
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from common.position import Positions
from edge.channel_log import Channel
from edge.counters import Counters
from edge.engine.poller import READ, READ_HANGUP, WRITE, Poller
from edge.framing import Framing
from edge.state import PendingAttach

WATCHED = READ | READ_HANGUP
NEVER = float("inf")
OUTBOX_OVERHEAD = 1.25  # bytes of memory for each byte parked: a growing bytearray takes more than it holds
SWEEP_PERIOD = 0.5  # seconds between two calls of `cut_stuck`, at most
CUTS = 64  # seats removed in one call of it: closing a connection with unsent bytes takes the kernel some time


class Seat:
    """One connection, from its acceptance to its end."""

    __slots__ = (
        "attached_at_job",
        "channels",
        "deadline",
        "ending",
        "expires",
        "fast_path",
        "fd",
        "framing",
        "inbox",
        "pending",
        "positions",
        "send_buffer",
        "shares_bytes",
        "tick",
    )

    def __init__(self, fd: int) -> None:
        self.fd = fd  # -1 once the connection is closed
        self.framing: Framing | None = None  # how to talk to it, once seated; None between two requests
        self.channels: tuple[Channel, ...] = ()
        self.pending: PendingAttach | None = None  # while it waits to be seated
        self.positions: Positions | None = None  # if its bytes depend on where it stands on several channels
        self.shares_bytes = False  # takes its one channel's shared bytes as they are
        self.fast_path = False  # sharing, and nothing is parked: the fast path
        self.inbox = b""  # received, not yet served
        self.send_buffer: bytearray | None = None  # given to us, not yet taken by the kernel
        self.attached_at_job = 0  # how many fan-out jobs had begun when it was attached
        self.expires = NEVER  # when its connection is old enough to be closed, at its next deadline
        self.ending = False  # our side is done; only the outbox and the peer's goodbye are outstanding
        self.deadline = 0.0
        self.tick = 0

    @property
    def cursor(self) -> str:
        """What the client sends back to go on after everything it was given."""
        if self.positions is not None:
            return self.positions.cursor
        return self.channels[0].cursor if self.channels else ""


class Parked:
    """What is known of a seat with parked bytes."""

    __slots__ = ("is_begun", "since", "sizes")

    def __init__(self, since: float) -> None:
        self.since = since  # when it fell behind
        self.sizes: deque[int] = deque()  # of the writes in its outbox; of the first, what is left
        self.is_begun = True  # the kernel has taken a part of the first

    def take(self, count: int) -> None:
        """The kernel took so many bytes more."""
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


class Limits(NamedTuple):
    """How much may be parked: bytes of one seat, seconds of one seat, bytes of all."""

    seat_bytes: int = 262_144
    seat_seconds: float = 10.0
    total_bytes: int = 67_108_864


class Seats:
    """All seats of an edge."""

    def __init__(
        self,
        poller: Poller,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits = Limits(),  # noqa: B008  # it cannot be changed
    ) -> None:
        self.on_leave: Callable[[Seat], None] = lambda seat: None  # set by the app: take it out of its channels
        self.parked_bytes = 0
        self._poller = poller
        self._counters = counters
        self._clock = clock
        self._limits = limits
        self._by_fd: dict[int, Seat] = {}  # in the order of their coming
        self._generations = array("Q")  # how many connections each descriptor number has had
        self._parked: dict[Seat, Parked] = {}  # in the order of their falling behind
        self._unread: set[Seat] = set()  # whose bytes stay in the kernel for now

    def __len__(self) -> int:
        return len(self._by_fd)

    def __iter__(self) -> Iterator[Seat]:
        """Go through all seats, those that came first first; they may come and go meanwhile."""
        return iter(list(self._by_fd.values()))

    def came_last(self, seat: Seat, count: int) -> bool:
        """Say whether a seat is one of the so many that came last."""
        return count > 0 and seat in islice(reversed(self._by_fd.values()), count)

    def get(self, fd: int) -> Seat | None:
        """Return the seat of a descriptor that the poller reported."""
        return self._by_fd.get(fd)

    def generation(self, fd: int) -> int:
        """Return how many connections a descriptor number has had: number and generation are never used again."""
        return self._generations[fd]

    def add(self, fd: int) -> Seat:
        """Seat a newly accepted, non-blocking descriptor; raises OSError, and closes it, if it cannot be watched."""
        try:
            self._poller.register(fd, WATCHED)
        except OSError:
            os.close(fd)
            raise
        seat = self._by_fd[fd] = Seat(fd)
        if fd >= len(self._generations):
            self._generations.extend([0] * (fd + 1 - len(self._generations)))
        self._generations[fd] += 1
        return seat

    def remove(self, seat: Seat, reason: str) -> None:
        """Take a seat out of everything and close it; the order is the point (S2). Idempotent."""
        fd = seat.fd
        if fd < 0:
            return
        seat.fd = -1
        seat.deadline = 0.0  # so that the wheel lets go of it at its next look
        self.free(seat, reason)
        self._forget_parked(seat)
        self._unread.discard(seat)
        del self._by_fd[fd]
        self._poller.unregister(fd)
        os.close(fd)

    def broadcast(
        self, seats: Iterable[Seat], encode: Callable[[Framing], bytes], messages: int = 0, number: float = NEVER
    ) -> list[Seat]:
        """Write the same bytes to many seats; return those that are not on the fast path, untouched.

        `encode` is called for each change of framing along the way and should remember its answers; what it returns
        holds so many messages. `number` is that of the fan-out job: a seat that was attached since is on another
        errand.
        """
        write = os.write
        framing, data, size, sent_to = None, b"", 0, 0
        aside: list[Seat] = []
        broken: list[Seat] = []
        for seat in seats:
            if not seat.fast_path or seat.attached_at_job >= number:
                aside.append(seat)
                continue
            if seat.framing is not framing:
                if framing is not None:
                    self._counters.delivered(framing.transport, sent_to * messages, sent_to * size)
                framing, sent_to = seat.framing, 0
                data = encode(framing)  # type: ignore[arg-type]  # a direct seat has a framing
                size = len(data)
            try:
                taken = write(seat.fd, data)
            except BlockingIOError:
                taken = 0
            except OSError:
                broken.append(seat)
                continue
            sent_to += 1
            if taken != size:
                self._park(seat, data[taken:])
        if framing is not None:
            self._counters.delivered(framing.transport, sent_to * messages, sent_to * size)
        for seat in broken:
            self.remove(seat, "client")
        return aside

    def write(self, seat: Seat, data: bytes) -> None:
        """Give bytes to one seat; they leave at once, or in order behind what is parked."""
        if seat.fd < 0 or not data:
            return
        if seat.send_buffer is not None:
            self._queue(seat, data)
            return
        try:
            taken = os.write(seat.fd, data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.remove(seat, "client")
            return
        if taken != len(data):
            self._park(seat, data[taken:])

    def _queue(self, seat: Seat, data: bytes) -> None:
        """Park bytes behind others; a seat that has too many of them is removed."""
        if self.is_choked(seat):
            self._cut(seat)
        else:
            self._append(seat, data)

    def _cut(self, seat: Seat) -> None:
        """Let go of a seat that has too much parked; who can be told why hears it if it reads on soon."""
        last_words = seat.framing.too_slow if seat.framing is not None else b""
        self._count_cut(seat, "bytes")
        if not last_words:
            self.remove(seat, "slow")
            return
        self.free(seat, "slow")
        seat.ending, seat.inbox = True, b""
        self.replace_parked(seat, last_words)

    def is_choked(self, seat: Seat) -> bool:
        """Say whether a seat has as much parked as it may."""
        return seat.send_buffer is not None and len(seat.send_buffer) > self._limits.seat_bytes

    def replace_parked(self, seat: Seat, data: bytes) -> None:
        """Forget what is parked for a seat, but for the write that was begun, and park `data` instead."""
        if seat.send_buffer is not None:
            kept = self._parked[seat].drop()
            self.parked_bytes -= len(seat.send_buffer) - kept
            del seat.send_buffer[kept:]
            self._append(seat, data)

    def cut_stuck(self) -> bool:
        """Remove some of the seats that have been behind for too long, and say whether there may be more."""
        before = self._clock() - max(self._limits.seat_seconds - SWEEP_PERIOD, 0)
        stuck = [seat for seat, parked in islice(self._parked.items(), CUTS) if parked.since <= before]
        for seat in stuck:
            self._count_cut(seat, "seconds")
            self.remove(seat, "slow")
        return len(stuck) == CUTS

    def _park(self, seat: Seat, rest: bytes) -> None:
        seat.send_buffer = bytearray()
        seat.fast_path = False
        self._parked[seat] = Parked(self._clock())
        self._watch(seat)
        self._append(seat, rest)

    def _append(self, seat: Seat, data: bytes) -> None:
        """Park bytes; if all seats together hold too much, those that wait longest are removed."""
        if seat.send_buffer is not None:
            seat.send_buffer += data
            self._parked[seat].sizes.append(len(data))
            self.parked_bytes += len(data)
        while self.parked_bytes * OUTBOX_OVERHEAD > self._limits.total_bytes:
            longest = next(iter(self._parked))
            self._count_cut(longest, "total")
            self.remove(longest, "slow")

    def _count_cut(self, seat: Seat, limit: str) -> None:
        """Count a slow reader that is let go, once, by the limit that it crossed."""
        if seat.framing is not None:
            self._counters.cut_total[limit] += 1

    def _forget_parked(self, seat: Seat) -> None:
        if seat.send_buffer is not None:
            self.parked_bytes -= len(seat.send_buffer)
            seat.send_buffer = None
            del self._parked[seat]

    def flush(self, seat: Seat) -> None:
        """Hand the kernel what it takes now of a seat's parked bytes."""
        if seat.send_buffer is None:
            return
        try:
            taken = os.write(seat.fd, seat.send_buffer)
        except BlockingIOError:
            return
        except OSError:
            self.remove(seat, "client")
            return
        del seat.send_buffer[:taken]
        self.parked_bytes -= taken
        self._parked[seat].take(taken)
        if not seat.send_buffer:
            self._forget_parked(seat)
            seat.fast_path = seat.shares_bytes
            self._watch(seat)
            if seat.ending:
                _shut_down(seat.fd)

    def free(self, seat: Seat, reason: str) -> None:
        """Take a seat out of its channels; its connection stays, for another request or for its end."""
        self.on_leave(seat)
        if seat.framing is not None:
            self._counters.closed(seat.framing.transport, reason)
            seat.framing = None

    def end(self, seat: Seat, data: bytes, reason: str) -> None:
        """Say goodbye: send `data`, then our end of the connection; the peer's end is awaited by the caller's clock.

        Closing at once would throw away bytes the peer has not read yet whenever it has sent any that we did not
        read (RFC 9112 section 9.6).
        """
        self.free(seat, reason)
        seat.ending = True
        seat.inbox = b""
        self.write(seat, data)
        if seat.fd >= 0 and seat.send_buffer is None:
            _shut_down(seat.fd)

    def watch(self, seat: Seat, *, reading: bool) -> None:
        """Stop or go on being told about bytes from a client (its hang-up is always told)."""
        if reading is (seat not in self._unread):
            return
        if reading:
            self._unread.remove(seat)
        else:
            self._unread.add(seat)
        self._watch(seat)

    def _watch(self, seat: Seat) -> None:
        """Have the poller watch a seat for what we want to know of it."""
        reading = READ_HANGUP if seat in self._unread else WATCHED
        self._poller.modify(seat.fd, reading | (WRITE if seat.send_buffer is not None else 0))


def _shut_down(fd: int) -> None:
    """Close our direction of a connection whose descriptor we keep."""
    sock = socket.socket(fileno=fd)
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the peer was quicker; the poller reports it
    finally:
        sock.detach()
