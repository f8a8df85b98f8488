"""Places: who is served at a full edge, and the silent connections that yield to newcomers.

A connection is silent while it has not sent a whole request since it was accepted, or for almost as long as it may
between two. It is told by its deadline, so that connections need no record of their own for this. To look for silent
ones is to look at all seats: that may take a small share of the time, whatever newcomers do.
"""

from collections import deque
from collections.abc import Callable

from edge.counters import CloseReason
from edge.engine.seats import Seats
from edge.state import IDLE, Seat

SILENCE = 1.0  # seconds after which a connection yields its place to one that has sent a request
REST = 19  # times as long as a look took there is no other


class Places:
    """The places of an edge; `header_timeout` is in seconds."""

    def __init__(
        self, seats: Seats, clock: Callable[[], float], *, max_connections: int, header_timeout: float
    ) -> None:
        self._seats = seats
        self._clock = clock
        self._max_connections = max_connections
        self._header_timeout = header_timeout
        self._silence = min(SILENCE, header_timeout / 2)
        self._silent: deque[Seat] = deque()  # may have spoken since; the oldest first
        self._next_look = 0.0

    def has_place(self, seat: Seat) -> bool:
        """Say whether a connection that asks for something has a place; those that are silent for long yield theirs."""
        surplus = len(self._seats) - self._max_connections
        if surplus <= 0 or not self._seats.is_among_newest(seat, surplus):
            return True
        self._look()
        yielding = [one for one in self._silent if one is not seat and self._is_silent(one, self._silence)]
        if len(yielding) < surplus:
            return False
        for one in yielding[:surplus]:
            self._seats.abort(one, CloseReason.IDLE)
        return True

    def vacate(self) -> bool:
        """Abort the connection that is silent for longest; return False if none is."""
        if not self._silent:
            self._look()
        while self._silent:
            seat = self._silent.popleft()
            if self._is_silent(seat, 0):
                self._seats.abort(seat, CloseReason.IDLE)
                return True
        return False

    def _look(self) -> None:
        began = self._clock()
        if began >= self._next_look:
            silent = [seat for seat in self._seats if self._is_silent(seat, 0)]
            self._silent = deque(silent[:-1])  # the newest may have sent its request, which was not read yet
            ended = self._clock()
            self._next_look = ended + REST * (ended - began)

    def _is_silent(self, seat: Seat, seconds: float) -> bool:
        """Say whether a connection is silent for some seconds."""
        if seat.phase is not IDLE or seat.send_buffer is not None:
            return False
        return seat.deadline <= self._clock() + self._header_timeout - seconds
