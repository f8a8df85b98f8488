"""Seats: the connections of an edge, and the only code that writes to them or closes them.

A held connection is a file descriptor, not a coroutine. At rest it is one `Seat` (edge/state.py) with a few slots: no
parser, no task, no timer, no buffer. To send a message to 10,000 subscribers is to call `write(fd, shared_bytes)`
10,000 times in a plain loop; nine tenths of that time are spent in the kernel's TCP.

The worst bug that this design can have is a message to the wrong client. The kernel reuses a descriptor number as soon
as it is closed, so a number that is kept somewhere too long would send to the connection that has it next. These
invariants prevent that, and a property-based test (tests/edge/engine/test_seats.py) checks them:

S1  Only a `Seat` and the table in `Seats` keep a descriptor number. Everything else keeps the `Seat`.
S2  Only `abort` closes a descriptor. It marks the seat dead (`fd = -1`), has it detached from every channel, removes
    it from the table and from the poller, and closes the descriptor last.
S3  A dead `Seat` stays dead: the next connection, even with the same number, is a new object.
S4  The bytes for a seat leave in the order in which they were written to it. What the kernel does not accept at once is
    parked in the seat's `send_buffer`, and all later writes behind it; no other seat waits.
S5  Parked bytes have limits (O1 to O5 of edge/engine/outbox.py). A seat that is too slow when more come is evicted,
    unless the fan-out replaces what is parked; so is a seat that is stuck (`evict_stuck`); and while all seats together
    have too many, the one that takes nothing for longest. A client that is evicted reconnects with its position and
    loses nothing. A WebSocket that is too slow gets a close frame in place of what was parked, but after the write that
    was begun: a close frame never stands inside another frame.
"""

import os
import socket
import sys
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Sized
from itertools import islice

from edge.counters import CloseReason, Counters
from edge.engine.inbox import MAX_BYTES, Inbox
from edge.engine.interest import WATCHED, Interest
from edge.engine.outbox import EVICTIONS_PER_TURN, Limits, Outbox
from edge.engine.poller import Poller
from edge.framing.base import SHORT_DATA, Framing
from edge.state import ENDING, Seat

#: Bytes: what is longer is flushed, a part in each turn, so that who asks for it keeps nobody waiting.
LONG_DATA = 65_536
LAST_JOB = sys.maxsize  # a job number that is greater than all others


class Seats:
    """All seats of an edge."""

    def __init__(
        self,
        poller: Poller,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        limits: Limits = Limits(),  # noqa: B008  # it cannot be changed
        max_input_bytes: int = MAX_BYTES,
    ) -> None:
        self.on_detach: Callable[[Seat], None] = lambda seat: None  # upward: detach the seat from its channels
        self.on_flushed: Callable[[Seat], None] = lambda seat: None  # upward: nothing is parked for it any more
        self.outbox = Outbox(limits, clock)
        self.parked: Collection[Seat] = self.outbox.parked
        self.inbox = Inbox(max_input_bytes)
        self._poller = poller
        self._interest = Interest(poller)
        self.half_closed, self.paused = self._interest.half_closed, self._interest.paused
        self._counters = counters
        self._by_fd: dict[int, Seat] = {}  # the oldest connection first
        self.open: Sized = self._by_fd  # their number is asked for with each request: no Python code runs for that
        self._generations = array("Q")  # how many connections each descriptor number has had

    def __len__(self) -> int:
        return len(self._by_fd)

    def __iter__(self) -> Iterator[Seat]:
        """Iterate over the seats that there are now, the oldest first; seats may be added and aborted meanwhile."""
        return iter(list(self._by_fd.values()))

    def is_among_newest(self, seat: Seat, count: int) -> bool:
        """Say whether a seat is one of the `count` newest."""
        return count > 0 and seat in islice(reversed(self._by_fd.values()), count)

    def get(self, fd: int) -> Seat | None:
        """Return the seat of a descriptor, if it has one."""
        return self._by_fd.get(fd)

    def generation(self, fd: int) -> int:
        """Return how many connections a descriptor number has had; number and generation together are unique."""
        return self._generations[fd]

    # Connections begin and end.

    def add(self, fd: int) -> Seat:
        """Make a seat for a new, non-blocking descriptor; if it cannot be watched, close it and raise `OSError`."""
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
        """Detach a seat and close its connection at once, in the order of S2; a dead seat stays as it is."""
        if seat.fd < 0:
            return
        fd = seat.die()
        self.detach(seat, reason)
        if seat.send_buffer is not None:
            self.outbox.forget(seat)
        if seat.recv_buffer:
            self.inbox.forget(seat)
        if self.paused or self.half_closed:
            self._interest.forget(seat)
        del self._by_fd[fd]
        self._poller.unregister(fd)
        os.close(fd)

    def close(self, seat: Seat, data: bytes, reason: CloseReason, more: Sequence[bytes] = ()) -> None:
        """Detach a seat, write to it, and close this side of its connection; the caller aborts it after a while.

        To close both sides at once would discard bytes that the peer has not read yet, if it has sent any that were
        not read here (RFC 9112 section 9.6).
        """
        self.detach(seat, reason)
        self.inbox.forget(seat)
        seat.end()
        self.write(seat, data, more)
        if seat.fd >= 0 and seat.send_buffer is None:
            _shut_down(seat.fd)

    def detach(self, seat: Seat, reason: CloseReason) -> None:
        """Detach a seat from its channels; its connection stays open, for another request or until it is closed."""
        self.on_detach(seat)
        if seat.framing is not None:
            self._counters.closed_total[seat.framing.transport, reason] += 1
        seat.detach()

    # Bytes are sent.

    def broadcast(
        self,
        seats: Iterable[Seat],
        encode: Callable[[Framing], bytes],
        messages: int = 0,
        job_number: int = LAST_JOB,
    ) -> list[Seat]:
        """Write the same bytes to all seats on the fast path; return the other seats, to which nothing is written.

        `encode` is called whenever the framing changes from one seat to the next, and should cache; `messages` is the
        number of messages in its bytes. The job `job_number` does not mean the seats that were attached after it began:
        they are returned, too.
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
                self._park(seat, taken, data)
        if framing is not None:
            self._counters.delivered(framing.transport, sent_to * messages, sent_to * size)
        for seat in broken:
            self.abort(seat, CloseReason.CLIENT)
        return aside

    def write(self, seat: Seat, data: bytes, more: Sequence[bytes] = ()) -> None:
        """Write bytes to one seat, after what is parked (S4); `more` may be shared, and is not copied if it is long."""
        if more:
            if sum(map(len, more)) >= SHORT_DATA and seat.fd >= 0:
                self._park(seat, 0, data, *more)
                return
            data = b"".join((data, *more))
        size = len(data)
        if seat.fd < 0 or not size:
            return
        if size > LONG_DATA or seat.send_buffer is not None:
            self._park(seat, 0, data)
            return
        try:
            taken = os.write(seat.fd, data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.abort(seat, CloseReason.CLIENT)
            return
        if taken != size:
            self._park(seat, taken, data)

    def flush(self, seat: Seat) -> None:
        """Write a seat's parked bytes, as many as the kernel accepts now."""
        if seat.send_buffer is None:
            return
        try:
            taken = os.writev(seat.fd, seat.send_buffer.pieces())
        except BlockingIOError:
            return
        except OSError:
            self.abort(seat, CloseReason.CLIENT)
            return
        if self.outbox.accept(seat, taken):
            self._interest.update(seat)
            if seat.phase is ENDING:
                _shut_down(seat.fd)
            self.on_flushed(seat)

    # Readers that are behind (S5).

    def replace_parked(self, seat: Seat, data: bytes) -> None:
        """Drop what is parked for a seat, except a write that is begun, and park `data` instead."""
        self.outbox.replace(seat, data)
        self._evict_longest()

    def evict_stuck(self) -> bool:
        """Evict some of the seats that are stuck, and of those that have too much; return whether there may be more."""
        stuck = self.outbox.stuck()
        for seat in stuck:
            self.flush(seat)  # the poller reports a seat only when a third of the kernel's buffer is free
            if self.outbox.is_stuck(seat):
                self._count_evicted(seat, "seconds")
                self.abort(seat, CloseReason.SLOW)
        return self._evict_longest() or len(stuck) == EVICTIONS_PER_TURN

    def _park(self, seat: Seat, taken: int, *chunks: bytes) -> None:
        """Park a write of which the kernel has accepted `taken` bytes; a seat that is too slow for it is evicted."""
        if seat.send_buffer is None:
            self.outbox.park(seat, taken, *chunks)
            self._interest.update(seat)
        elif self.outbox.is_too_slow(seat):
            self._evict_choked(seat)
            return
        else:
            self.outbox.append(seat, *chunks)
        self._evict_longest()

    def _evict_choked(self, seat: Seat) -> None:
        """Evict a seat that is too slow; if its transport can send the reason, it is closed with that."""
        last_words = seat.framing.too_slow if seat.framing is not None else b""
        self._count_evicted(seat, "bytes")
        if not last_words:
            self.abort(seat, CloseReason.SLOW)
            return
        self.detach(seat, CloseReason.SLOW)
        self.inbox.forget(seat)
        seat.end()
        self.replace_parked(seat, last_words)

    def _evict_longest(self) -> bool:
        """Evict those that take nothing for longest, while too much is parked; return whether there are too many."""
        for _ in range(EVICTIONS_PER_TURN):
            seat = self.outbox.longest()
            if seat is None:
                return False
            self._count_evicted(seat, "total")
            self.abort(seat, CloseReason.SLOW)
        return True

    def _count_evicted(self, seat: Seat, limit: str) -> None:
        """Count an eviction by the limit that was crossed; each seat is counted once, whatever its phase."""
        if self.outbox.count(seat):
            self._counters.cut_total[limit] += 1

    # Bytes are received.

    def pause_reading(self, seat: Seat) -> None:
        """Read nothing from a client; its bytes stay in the kernel, and its hang-up is still noticed."""
        self._interest.pause(seat)

    def resume_reading(self, seat: Seat) -> None:
        """Read from a client again."""
        self._interest.resume(seat)

    def end_reading(self, seat: Seat) -> None:
        """Read nothing more from a client that has closed its side of the connection and is still to be answered."""
        self._interest.end(seat)


def _shut_down(fd: int) -> None:
    """Close this side of a connection; its descriptor stays open."""
    sock = socket.socket(fileno=fd)
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the peer has closed it already; the poller reports that
    finally:
        sock.detach()
