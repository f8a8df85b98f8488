"""Replays: all subscribers that are behind on channels, and their turns.

Each is given what it missed piece by piece (catch_up.py), and enters a channel when it has caught up there (H6).
"""

from collections.abc import Callable, Sequence
from itertools import islice

from common.logs import get_logger
from common.position import Position, parse_position
from common.tasks import TurnQueue
from edge.channels.hub import Hub
from edge.channels.pieces import PieceReader
from edge.counters import CloseReason, Counters
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.base import Batch, Framing
from edge.state import Behind, Channel, PendingAttach, Seat
from edge.subscribers.catch_up import CatchUp, HeldCatchUp, PollCatchUp
from edge.subscribers.output import Output

COLLECT_TIMEOUT = 20.0  # seconds that a poll waits for its pieces before it is rejected
WOKEN_PER_TURN = 16  # subscribers that wait for room in the outbox


class Replays:
    """All subscribers that are behind; `wheel` has the deadlines of seats."""

    def __init__(
        self,
        hub: Hub,
        pieces: PieceReader,
        seats: Seats,
        output: Output,
        wheel: Wheel[Seat],
        counters: Counters,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        *,
        sent_history: Callable[[Seat, int], None] | None = None,
    ) -> None:
        self.hub = hub
        self.pieces = pieces
        self.by_seat: dict[Seat, CatchUp] = {}
        self._seats = seats
        self._output = output
        self._wheel = wheel
        self._counters = counters
        self._clock = clock
        self._sent_history = sent_history  # is told of a subscriber's missed messages, and their bytes
        self._turns: TurnQueue[CatchUp] = TurnQueue(clock, call_soon, self._take_turn)  # of those that may go on
        self._roomless: dict[CatchUp, None] = {}  # those that wait for room in the outbox

    def hold(self, seat: Seat, framing: Framing, behind: Sequence[Behind]) -> None:
        """Give a held subscriber what it missed, besides what it is given already; it is in these channels later."""
        for channel, _ in behind:
            seat.leave(channel)
        seat.refresh_fast_path()
        one = self.by_seat.get(seat)
        if one is None:
            one = self.by_seat[seat] = HeldCatchUp(seat, framing, behind, self)
        else:
            one.add(behind)
        self.go_on(one)

    def collect(self, poll: PendingAttach) -> None:
        """Collect what a poll missed; it is ready again when it can be answered."""
        poll.batch = Batch(poll.positions)
        one = self.by_seat[poll.seat] = PollCatchUp(poll, poll.batch, self)
        self._wheel.schedule(poll.seat, self._clock() + COLLECT_TIMEOUT)
        self.go_on(one)

    def names(self, seat: Seat) -> Sequence[str]:
        """Return the channels on which a seat is behind."""
        one = self.by_seat.get(seat)
        return tuple(one.remaining) if one is not None else ()

    def position(self, seat: Seat, name: str) -> Position | None:
        """Return the position of a seat on a channel on which it is behind; None if it is not."""
        one = self.by_seat.get(seat)
        entry = one.remaining.get(name) if one is not None else None
        if entry is None or seat.positions is None:
            return entry.since if entry is not None else None
        return parse_position(seat.positions[name])

    def leave(self, seat: Seat, name: str) -> Channel | None:
        """Give a seat nothing more of a channel on which it is behind, and return that."""
        one = self.by_seat.get(seat)
        if one is None or name not in one.remaining:
            return None
        channel = one.remaining[name].channel
        one.leave(name)
        return channel

    def detach(self, seat: Seat) -> None:
        """A seat is detached: give it nothing more."""
        one = self.by_seat.get(seat)
        if one is not None:
            one.entries = tuple(one.remaining.values())
            self.end(one)
            self.hub.cancel(one)

    def end(self, one: CatchUp) -> None:
        """A subscriber is behind no longer."""
        one.end()
        self.by_seat.pop(one.seat, None)
        self._turns.discard(one)
        self._roomless.pop(one, None)

    def write(self, seat: Seat, framing: Framing, data: bytes, count: int) -> None:
        """Write messages to a held seat."""
        if self._sent_history is not None:
            self._sent_history(seat, len(data))
        self._counters.delivered(framing.transport, count, len(data))
        self._output.write(seat, data)

    def fail(self, seat: Seat) -> None:
        """A bug costs one client its connection; it goes on from where it stands."""
        get_logger().exception("missed messages could not be given; the connection is closed")
        self._seats.abort(seat, CloseReason.ERROR)

    # Turns.

    def go_on(self, one: CatchUp) -> None:
        """Let a subscriber have its turn soon."""
        if not one.is_over:
            self._turns.add(one)

    def _take_turn(self, one: CatchUp) -> None:
        try:
            one.step()
        except Exception:
            self.fail(one.seat)

    # Room in the outbox.

    def has_room(self, one: CatchUp, size: int) -> bool:
        """Say whether that much may be written to a subscriber; if not, it has its turn when there may be."""
        if not self._seats.parked or self._seats.outbox.has_room(size):
            return True
        self._roomless[one] = None
        return False

    def on_flushed(self, seat: Seat) -> None:
        """Nothing is parked for a seat any more: it may go on, and others may have room."""
        one = self.by_seat.get(seat)
        if one is not None:
            self.go_on(one)
        if self._roomless:
            self.admit()

    def admit(self) -> bool:
        """Let some of those that wait for room have their turn; return False: the rest wait for the next look."""
        for one in list(islice(self._roomless, WOKEN_PER_TURN)):
            del self._roomless[one]
            self.go_on(one)
        return False
