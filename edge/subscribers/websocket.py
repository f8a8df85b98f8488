"""What clients send on held WebSockets: operations in text frames, pings, and the close.

Who sends more messages and pings than `COMET_WEBSOCKET_RATE` is told so: each operation of such a message is answered
by an error 429 in place of being carried out, with its `ref`, so that a client can send it again later. They count all
the same: who goes on for another second's worth is closed with 1008.

A client is served one message, and the control frames before it, at a time. If it has sent more, it is not read from
until its next turn. All such clients share the budget of one turn: a flood delays its sender, and no other client.
"""

from collections.abc import Callable

from websockets.frames import CloseCode

from common.access.rates import Rate
from common.tasks import TurnQueue
from edge.counters import CloseReason, Counters
from edge.engine.seats import Seats
from edge.framing.websocket import close_frame, close_reply, pong_frame
from edge.protocol.limits import InputLimits
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
        counters: Counters,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        limits: InputLimits,
        rate: Rate[Seat],
        refuse_join: Callable[[Seat, Operation], str] | None = None,
    ) -> None:
        self._limits = limits
        self._rate = rate
        self._refuse_join = refuse_join  # says why an operation may not be carried out, or ""; None: all may
        self._seats = seats
        self._inbox = seats.inbox
        self._lifecycle = lifecycle
        self._changes = changes
        self._output = output
        self._counters = counters
        self._turns: TurnQueue[Seat] = TurnQueue(clock, call_soon, self._take_turn)  # of seats that may have sent more

    def on_bytes(self, seat: Seat, data: bytes) -> None:
        """Bytes arrived on a held WebSocket; none if those that came before its welcome are to be read."""
        if seat in self._turns.waiting:
            self._inbox.keep(seat, seat.recv_buffer + data)
        elif self._read(seat, seat.recv_buffer + data):
            self._seats.pause_reading(seat)
            self._turns.add(seat)

    def _take_turn(self, seat: Seat) -> None:
        try:
            self._go_on(seat)
        except Exception:
            self._lifecycle.fail(seat)

    def _go_on(self, seat: Seat) -> None:
        if self._read(seat, seat.recv_buffer):
            self._turns.add(seat)
        elif seat.fd >= 0:
            self._seats.resume_reading(seat)

    def _read(self, seat: Seat, data: bytes) -> bool:
        """Serve what a client sent, up to one message; return whether it may have sent more."""
        if seat.phase is not HELD:
            return False
        received = parse_frames(data, self._limits.max_websocket_bytes)
        self._keep_rest(seat, received)
        left = self._rate.spend(seat, len(received.pings) + (received.text is not None)) if self._rate.burst else 0.0
        with self._output.cork(seat):
            for payload in received.pings:
                self._output.write(seat, pong_frame(payload))
            if received.text is not None:
                self._apply(seat, received.text, is_too_soon=left < 0)
        self._close_if_over(seat, received, left)
        return received.more and seat.phase is HELD

    def _keep_rest(self, seat: Seat, received: Received) -> None:
        """Keep what is left; only a whole message, or the end of all bytes, ends the wait of what came before."""
        if received.text is not None and received.rest:
            self._inbox.keep_rest(seat, received.rest)
        elif received.rest or seat.recv_buffer:
            self._inbox.keep(seat, received.rest)

    def _apply(self, seat: Seat, text: str, *, is_too_soon: bool) -> None:
        """Carry out the operations of one message; each one that is wrong gets an error, and the others are done.

        A sentence is said once: else a message of a few bytes would bring many.
        """
        if is_too_soon:
            self._counters.limited_total["websocket_rate"] += 1
        try:
            values = load_operations(text, self._limits.max_operations)
        except BadOperationError as error:
            if error.limit:
                self._counters.limited_total[error.limit] += 1
            self._output.send(seat, bad_operation_item(error))
            return
        said: set[str] = set()
        for value in values:
            try:
                operation = parse_operation(value)
                if is_too_soon:
                    raise _postponed(operation, self._over_rate("send this later"))
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
            raise _postponed(operation, sentence)

    def _close_if_over(self, seat: Seat, received: Received, left: float) -> None:
        if seat.phase is not HELD:
            return
        if left < -self._rate.burst:
            self._counters.limited_total["websocket_rate"] += 1
            last_words = close_frame(CloseCode.POLICY_VIOLATION, self._over_rate("send less"))
            self._lifecycle.close(seat, last_words, CloseReason.ERROR)
        elif received.close is not None:
            self._lifecycle.close(seat, close_reply(received.close), CloseReason.CLIENT)
        elif received.fault is not None:
            if received.fault.limit:
                self._counters.limited_total[received.fault.limit] += 1
            last_words = close_frame(received.fault.code, received.fault.sentence)
            self._lifecycle.close(seat, last_words, CloseReason.ERROR)

    def _over_rate(self, advice: str) -> str:
        most = f"{self._limits.websocket_rate} messages and pings a second (COMET_WEBSOCKET_RATE)"
        return f"a connection may send {most}; {advice}"


def _postponed(operation: Operation, sentence: str) -> BadOperationError:
    """Return the error of an operation that may be carried out if it is sent again later."""
    error = BadOperationError(sentence, operation.op.value, operation.channel, operation.ref)
    error.status = 429
    return error
