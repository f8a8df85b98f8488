"""Seats: the connections an edge holds, and the only code that writes to them or closes them.

A held connection is a file descriptor, not a coroutine. At rest it is one `Seat` (edge/state.py) with a few slots: no
parser, no task, no timer, no buffer. Delivering a message to ten thousand subscribers is ten thousand calls of
`write(fd, shared_bytes)` in a plain loop, and nine tenths of that time are the kernel's TCP.

The catastrophic bug of this design is a message to the wrong person: descriptor numbers are reused as soon as they
are closed, so a stale number somewhere would deliver to whatever connection came next. Hence these invariants, which a
property-based test hammers:

S1  Nothing keeps a descriptor number but its `Seat` and the table `Seats`. Everything else holds the `Seat`.
S2  `abort` is the only place that closes. It marks the seat dead (`fd = -1`), has it taken out of every channel,
    out of the table and out of the poller, and only then closes.
S3  A `Seat` never comes back to life: the next connection, even with the same number, is a new object.
S4  Bytes for one seat leave in the order they were given. What the kernel does not take at once is parked in the
    seat's send buffer, and everything later queues behind it; no other seat waits.
S5  Parked bytes are bounded three ways (edge/engine/outbox.py): per seat in bytes (one that has too much when more
    comes is cut, unless the fan-out replaces what is parked), per seat in time (`cut_stuck`), and in total, where
    those that wait longest go first. A seat that is cut comes back with its position and loses nothing. A WebSocket
    that has too much is told so in place of what was parked, behind the write that was begun: a close frame never
    lands inside another frame.
"""

import os
import socket
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from edge.counters import CloseReason, Counters
from edge.engine.outbox import CUTS_PER_TURN, Limits, Outbox
from edge.engine.poller import READ, READ_HANGUP, WRITE, Poller
from edge.framing.base import Framing
from edge.state import ENDING, Seat

WATCHED = READ | READ_HANGUP
EVERY_JOB = sys.maxsize  # the number of a job that is later than all others


class Seats:
    """All seats of an edge."""

    def __init__(
        self,
        poller: Poller,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits = Limits(),  # noqa: B008  # it cannot be changed
    ) -> None:
        self.on_detach: Callable[[Seat], None] = lambda seat: None  # upward: a seat leaves its channels
        self._outbox = Outbox(limits, clock)
        self._poller = poller
        self._counters = counters
        self._by_fd: dict[int, Seat] = {}  # in the order of their coming
        self._generations = array("Q")  # how many connections each descriptor number has had
        self._paused: set[Seat] = set()  # whose bytes stay in the kernel for now

    def __len__(self) -> int:
        return len(self._by_fd)

    def __iter__(self) -> Iterator[Seat]:
        """Go through all seats, the oldest first; they may come and go meanwhile."""
        return iter(list(self._by_fd.values()))

    @property
    def parked_bytes(self) -> int:
        """How many bytes wait for readers that are behind."""
        return self._outbox.parked_bytes

    def is_among_newest(self, seat: Seat, count: int) -> bool:
        """Say whether a seat is one of the `count` newest."""
        return count > 0 and seat in islice(reversed(self._by_fd.values()), count)

    def get(self, fd: int) -> Seat | None:
        """Return the seat of a descriptor that the poller reported."""
        return self._by_fd.get(fd)

    def generation(self, fd: int) -> int:
        """Return how many connections a descriptor number has had: number and generation are never used again."""
        return self._generations[fd]

    # Connections come and go.

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

    def abort(self, seat: Seat, reason: CloseReason) -> None:
        """Take a seat out of everything and close it; the order is the point (S2). Idempotent."""
        if seat.fd < 0:
            return
        fd = seat.die()
        self.detach(seat, reason)
        self._outbox.forget(seat)
        self._paused.discard(seat)
        del self._by_fd[fd]
        self._poller.unregister(fd)
        os.close(fd)

    def close(self, seat: Seat, data: bytes, reason: CloseReason) -> None:
        """Send `data`, then this end of the connection; the peer's end is awaited by the caller's clock.

        Closing at once would throw away bytes that the peer has not read yet, whenever it has sent any that were not
        read here (RFC 9112 section 9.6).
        """
        self.detach(seat, reason)
        seat.end()
        self.write(seat, data)
        if seat.fd >= 0 and seat.send_buffer is None:
            _shut_down(seat.fd)

    def detach(self, seat: Seat, reason: CloseReason) -> None:
        """Take a seat out of its channels; its connection stays, for another request or for its end."""
        self.on_detach(seat)
        if seat.framing is not None:
            self._counters.closed(seat.framing.transport, reason)
        seat.detach()

    # Bytes go out.

    def broadcast(
        self,
        seats: Iterable[Seat],
        encode: Callable[[Framing], bytes],
        messages: int = 0,
        job_number: int = EVERY_JOB,
    ) -> list[Seat]:
        """Write the same bytes to many seats; return those that are not on the fast path, untouched.

        `encode` is called for each change of framing along the way and should remember its answers; `messages` is how
        many its bytes hold. A seat that was attached after the job `job_number` began is not one that the job means.
        """
        write = os.write
        framing, data, size, sent_to = None, b"", 0, 0
        aside: list[Seat] = []
        broken: list[Seat] = []
        for seat in seats:
            if not seat.fast_path or seat.attached_at_job >= job_number:
                aside.append(seat)
                continue
            if seat.framing is not framing:
                if framing is not None:
                    self._counters.delivered(framing.transport, sent_to * messages, sent_to * size)
                framing, sent_to = seat.framing, 0
                data = encode(framing)  # type: ignore[arg-type]  # a seat on the fast path has a framing
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
            self.abort(seat, CloseReason.CLIENT)
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
            self.abort(seat, CloseReason.CLIENT)
            return
        if taken != len(data):
            self._park(seat, data[taken:])

    def flush(self, seat: Seat) -> None:
        """Hand the kernel what it takes now of a seat's parked bytes."""
        if seat.send_buffer is None:
            return
        try:
            taken = os.write(seat.fd, seat.send_buffer)
        except BlockingIOError:
            return
        except OSError:
            self.abort(seat, CloseReason.CLIENT)
            return
        if self._outbox.take(seat, taken):
            self._update_poller(seat)
            if seat.phase is ENDING:
                _shut_down(seat.fd)

    # Readers that are behind (S5).

    def is_choked(self, seat: Seat) -> bool:
        """Say whether a seat has as much parked as it may."""
        return self._outbox.is_choked(seat)

    def replace_parked(self, seat: Seat, data: bytes) -> None:
        """Forget what is parked for a seat, but for the write that was begun, and park `data` instead."""
        self._outbox.replace(seat, data)
        self._cut_longest()

    def cut_stuck(self) -> bool:
        """Cut some of the seats that have been behind for too long, and return whether there may be more."""
        stuck = self._outbox.stuck()
        for seat in stuck:
            self._count_cut(seat, "seconds")
            self.abort(seat, CloseReason.SLOW)
        return len(stuck) == CUTS_PER_TURN

    def _park(self, seat: Seat, rest: bytes) -> None:
        self._outbox.park(seat, rest)
        self._update_poller(seat)
        self._cut_longest()

    def _queue(self, seat: Seat, data: bytes) -> None:
        """Park bytes behind others; a seat that has too many of them is cut."""
        if self._outbox.is_choked(seat):
            self._cut(seat)
        else:
            self._outbox.append(seat, data)
            self._cut_longest()

    def _cut(self, seat: Seat) -> None:
        """Let go of a seat that has too much parked; a transport that can say why says so to one that reads on soon."""
        last_words = seat.framing.too_slow if seat.framing is not None else b""
        self._count_cut(seat, "bytes")
        if not last_words:
            self.abort(seat, CloseReason.SLOW)
            return
        self.detach(seat, CloseReason.SLOW)
        seat.end()
        self.replace_parked(seat, last_words)

    def _cut_longest(self) -> None:
        """Cut the seats that wait longest while all seats together have too much parked."""
        while (seat := self._outbox.longest()) is not None:
            self._count_cut(seat, "total")
            self.abort(seat, CloseReason.SLOW)

    def _count_cut(self, seat: Seat, limit: str) -> None:
        """Count a slow reader that is cut, once, by the limit that it crossed."""
        if seat.framing is not None:
            self._counters.cut_total[limit] += 1

    # Bytes come in.

    def pause_reading(self, seat: Seat) -> None:
        """Leave a client's bytes in the kernel; its hang-up is noticed all the same."""
        if seat not in self._paused:
            self._paused.add(seat)
            self._update_poller(seat)

    def resume_reading(self, seat: Seat) -> None:
        """Read a client's bytes again."""
        if seat in self._paused:
            self._paused.remove(seat)
            self._update_poller(seat)

    def _update_poller(self, seat: Seat) -> None:
        """Have the poller watch a seat for what is wanted of it now."""
        reading = READ_HANGUP if seat in self._paused else WATCHED
        self._poller.modify(seat.fd, reading | (WRITE if seat.send_buffer is not None else 0))


def _shut_down(fd: int) -> None:
    """Close this direction of a connection whose descriptor is kept."""
    sock = socket.socket(fileno=fd)
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the peer was quicker; the poller reports it
    finally:
        sock.detach()
