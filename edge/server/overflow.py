"""Overflow: while clients together have sent too much that cannot be served yet, those that wait longest are ended."""

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
    """Ends the seats that `Inbox.longest` names."""

    def __init__(
        self,
        inbox: Inbox,
        lifecycle: Lifecycle,
        answers: Answers,
        counters: Counters,
    ) -> None:
        self._inbox = inbox
        self._lifecycle = lifecycle
        self._answers = answers
        self._counters = counters

    def make_room(self) -> None:
        """End those that wait longest until no more is kept than may be; no seat is being read meanwhile."""
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
