"""Overflow: while clients together have sent too much that cannot be served yet, those that wait longest are ended."""

from collections.abc import Callable

from websockets.frames import CloseCode

from edge.counters import CloseReason, Counters
from edge.engine.inbox import Inbox
from edge.framing.websocket import close_frame
from edge.server.answers import Answers
from edge.state import Seat
from edge.subscribers.lifecycle import Lifecycle

SENTENCE = "this edge has too many unfinished requests; send yours again, in one go"
LAST_FRAME = close_frame(
    CloseCode.TRY_AGAIN_LATER, "too many unfinished messages; connect again and send yours in one go"
)


class Overflow:
    """Ends the seats that `Inbox.longest` names, in a turn of the loop of its own."""

    def __init__(
        self,
        inbox: Inbox,
        lifecycle: Lifecycle,
        answers: Answers,
        counters: Counters,
        call_soon: Callable[..., object],
    ) -> None:
        self._inbox = inbox
        self._lifecycle = lifecycle
        self._answers = answers
        self._counters = counters
        self._call_soon = call_soon
        self._is_due = False

    def on_over(self) -> None:
        """More is kept than may be: what is being read now is read to its end first."""
        if not self._is_due:
            self._is_due = True
            self._call_soon(self._make_room)

    def _make_room(self) -> None:
        self._is_due = False
        while (seat := self._inbox.longest()) is not None:
            self._counters.limited_total["input_bytes"] += 1
            try:
                self._end(seat)
            except Exception:
                self._lifecycle.fail(seat)

    def _end(self, seat: Seat) -> None:
        """End a connection: with an error for its unfinished request, or else as its transport ends."""
        if seat.framing is not None and seat.framing.bidirectional:
            self._lifecycle.close(seat, LAST_FRAME, CloseReason.UNAVAILABLE)
        elif seat.framing is not None or seat.pending is not None:
            self._lifecycle.turn_out(seat, CloseReason.UNAVAILABLE)
        else:
            self._answers.refuse_last(seat, 503, SENTENCE)
