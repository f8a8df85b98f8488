"""Conversation: what the clients of WebSockets say while they are held, and what they are answered.

A message and the control frames before it are taken at a time. Whoever has said more is not read from until its turn
comes; those who wait share one slice of each loop turn, so that a flood costs its sender time and nobody else.
"""

from collections.abc import Callable

from edge.engine.seats import Seat, Seats
from edge.framing import close_frame, close_reply, pong_frame
from edge.protocol.operations import BadOperationError, error_item, load_operations, parse_operation
from edge.protocol.websocket import Received, parse_frames
from edge.subscribers.changes import ChannelChanges

SLICE = 0.002  # seconds of listening after which the loop may do something else


class WebSocketReader:
    """Listens to held WebSockets."""

    def __init__(
        self,
        seats: Seats,
        changes: ChannelChanges,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        *,
        end: Callable[[Seat, bytes, str], None],
        on_bug: Callable[[Seat], None],
    ) -> None:
        self._seats = seats
        self._changes = changes
        self._clock = clock
        self._call_soon = call_soon
        self._end = end
        self._on_bug = on_bug
        self._behind: dict[Seat, None] = {}  # who said more than could be heard yet, in the order of their turns

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """A client sent something, or is heard for the first time."""
        seat.inbox += data
        if seat not in self._behind and self._listen(seat):
            self._seats.watch(seat, reading=False)
            if not self._behind:
                self._call_soon(self._work)
            self._behind[seat] = None

    def _work(self) -> None:
        """Listen to those who have more to say, for one slice."""
        ends_at = self._clock() + SLICE
        turns = len(self._behind)
        while self._behind and turns > 0 and self._clock() <= ends_at:
            turns -= 1
            seat = next(iter(self._behind))
            del self._behind[seat]
            try:
                self._take_turn(seat)
            except Exception:
                self._on_bug(seat)
        if self._behind:
            self._call_soon(self._work)

    def _take_turn(self, seat: Seat) -> None:
        if self._listen(seat):
            self._behind[seat] = None
        elif seat.fd >= 0:
            self._seats.watch(seat, reading=True)

    def _listen(self, seat: Seat) -> bool:
        """Take what a client said, up to one message; return whether it may have said more."""
        if seat.framing is None:
            return False
        received = parse_frames(seat.inbox)
        seat.inbox = received.rest
        with self._changes.together(seat):
            for payload in received.pings:
                self._changes.say(seat, pong_frame(payload))
            if received.text is not None:
                self._obey(seat, received.text)
        self._end_if_over(seat, received)
        return received.more and seat.framing is not None

    def _obey(self, seat: Seat, text: str) -> None:
        """Do what a message wants; what is wrong with one operation is no reason not to do the others."""
        try:
            values = load_operations(text)
        except BadOperationError as error:
            self._changes.tell(seat, error_item(error))
            return
        for value in values:
            try:
                self._changes.apply(seat, parse_operation(value))
            except BadOperationError as error:
                self._changes.tell(seat, error_item(error))

    def _end_if_over(self, seat: Seat, received: Received) -> None:
        if seat.framing is None:
            return
        if received.close is not None:
            self._end(seat, close_reply(received.close), "client")
        elif received.fault is not None:
            self._end(seat, close_frame(received.fault.code, received.fault.sentence), "error")
