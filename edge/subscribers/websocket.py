"""What clients send on held WebSockets: operations in text frames, pings, and the close.

A client is served one message, and the control frames before it, at a time. If it has sent more, it is not read from
until its next turn. All such clients share the budget of one turn: a flood delays its sender, and no other client.
"""

from collections.abc import Callable

from common.tasks import TURN_BUDGET, TurnBudget
from edge.counters import CloseReason
from edge.engine.seats import Seats
from edge.framing.websocket import close_frame, close_reply, pong_frame
from edge.protocol.operations import (
    BadOperationError,
    Op,
    Operation,
    bad_operation_item,
    load_operations,
    parse_operation,
)
from edge.protocol.websocket import Received, parse_frames
from edge.state import HELD, Seat
from edge.subscribers.changes import ChannelChanges
from edge.subscribers.lifecycle import Lifecycle
from edge.subscribers.output import Output

AS_ABOVE = "as above"  # in place of a sentence that another error in answer to the same message has


class WebSocketReader:
    """Reads the frames of held WebSockets (edge/protocol/websocket.py) and applies their operations (changes.py)."""

    def __init__(
        self,
        seats: Seats,
        lifecycle: Lifecycle,
        changes: ChannelChanges,
        output: Output,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        refuse_join: Callable[[Seat, Operation], str] | None = None,
    ) -> None:
        self._refuse_join = refuse_join  # says why an operation may not be carried out, or ""; None: all may
        self._seats = seats
        self._inbox = seats.inbox
        self._lifecycle = lifecycle
        self._changes = changes
        self._output = output
        self._clock = clock
        self._call_soon = call_soon
        self._behind: dict[Seat, None] = {}  # seats that may have sent more, in the order of their turns

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """Bytes arrived on a held WebSocket; none if those that came before its welcome are to be read."""
        if seat in self._behind:
            self._inbox.keep(seat, seat.recv_buffer + data)
        elif self._read(seat, seat.recv_buffer + data):
            self._seats.pause_reading(seat)
            if not self._behind:
                self._call_soon(self._work)
            self._behind[seat] = None

    def _work(self) -> None:
        """Serve the clients that have sent more, as long as the budget of one turn lasts."""
        budget = TurnBudget(self._clock, TURN_BUDGET)
        for seat in list(self._behind):
            self._behind.pop(seat, None)
            try:
                self._take_turn(seat)
            except Exception:
                self._lifecycle.fail(seat)
            if budget.is_spent:
                break
        if self._behind:
            self._call_soon(self._work)

    def _take_turn(self, seat: Seat) -> None:
        if self._read(seat, seat.recv_buffer):
            self._behind[seat] = None
        elif seat.fd >= 0:
            self._seats.resume_reading(seat)

    def _read(self, seat: Seat, data: bytes) -> bool:
        """Serve what a client sent, up to one message; return whether it may have sent more."""
        if seat.phase is not HELD:
            return False
        received = parse_frames(data)
        self._keep_rest(seat, received)
        with self._output.cork(seat):
            for payload in received.pings:
                self._output.write(seat, pong_frame(payload))
            if received.text is not None:
                self._apply(seat, received.text)
        self._close_if_over(seat, received)
        return received.more and seat.phase is HELD

    def _keep_rest(self, seat: Seat, received: Received) -> None:
        """Keep what is left; only a whole message, or the end of all bytes, ends the wait of what came before."""
        if received.text is not None and received.rest:
            self._inbox.keep_rest(seat, received.rest)
        elif received.rest or seat.recv_buffer:
            self._inbox.keep(seat, received.rest)

    def _apply(self, seat: Seat, text: str) -> None:
        """Carry out the operations of one message; each one that is wrong gets an error, and the others are done.

        A sentence is said once: else a message of a few bytes would bring many.
        """
        try:
            values = load_operations(text)
        except BadOperationError as error:
            self._output.send(seat, bad_operation_item(error))
            return
        said: set[str] = set()
        for value in values:
            try:
                operation = parse_operation(value)
                if operation.op is Op.SUB and self._refuse_join is not None:
                    self._check_join(seat, operation, self._refuse_join)
                self._changes.apply(seat, operation)
            except BadOperationError as error:
                item = bad_operation_item(error)
                self._output.send(seat, item._replace(content=AS_ABOVE) if error.sentence in said else item)
                said.add(error.sentence)

    def _check_join(self, seat: Seat, operation: Operation, refuse: Callable[[Seat, Operation], str]) -> None:
        """Raise `BadOperationError` if a subscriber may not join a channel now."""
        sentence = refuse(seat, operation)
        if sentence:
            error = BadOperationError(sentence, operation.op.value, operation.channel, operation.ref)
            error.status = 429
            raise error

    def _close_if_over(self, seat: Seat, received: Received) -> None:
        if seat.phase is not HELD:
            return
        if received.close is not None:
            self._lifecycle.close(seat, close_reply(received.close), CloseReason.CLIENT)
        elif received.fault is not None:
            last_words = close_frame(received.fault.code, received.fault.sentence)
            self._lifecycle.close(seat, last_words, CloseReason.ERROR)
