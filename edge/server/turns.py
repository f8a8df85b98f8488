"""Turns: a connection has one answer under way; once the client has taken it, the next request is served."""

from collections.abc import Callable

from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.state import ENDING, HELD, IDLE, Seat
from edge.subscribers.lifecycle import Lifecycle

IDLE_TIMEOUT = 75.0  # seconds between two requests of a connection


class Turns:
    """Decides when the next request of a connection is served; `serve` handles bytes of a seat."""

    def __init__(
        self,
        seats: Seats,
        lifecycle: Lifecycle,
        wheel: Wheel[Seat],
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        serve: Callable[[Seat, bytes], None],
    ) -> None:
        self._seats = seats
        self._half_closed = seats.half_closed
        self._lifecycle = lifecycle
        self._wheel = wheel
        self._clock = clock
        self._call_soon = call_soon
        self._serve = serve

    def on_answered(self, seat: Seat) -> None:
        """A request was answered: wait for the next one, which may have arrived already."""
        if seat.fd < 0:
            return
        self._wheel.schedule(seat, self._clock() + IDLE_TIMEOUT)
        if seat.recv_buffer:
            self._seats.pause_reading(seat)  # until these bytes are served: one request per turn
            if seat.send_buffer is None:
                self.go_on_soon(seat)
        elif seat in self._half_closed:
            self._lifecycle.let_go(seat)

    def on_flushed(self, seat: Seat) -> None:
        """All that was parked for a seat has been accepted: its next request has its turn, and there may be room."""
        if seat.phase is IDLE:
            self.on_answered(seat)
        elif seat.phase is ENDING and seat in self._half_closed:
            self._lifecycle.let_go(seat)
        self._lifecycle.on_flushed(seat)

    def go_on_soon(self, seat: Seat) -> None:
        """Handle the bytes that arrived too early, and read from the client again, in another turn of the loop."""
        self._call_soon(self._go_on, seat)

    def _go_on(self, seat: Seat) -> None:
        if seat.fd >= 0:
            self._seats.resume_reading(seat)
            self._serve(seat, b"")
            if seat.phase is HELD and seat in self._half_closed:
                self._lifecycle.on_half_closed(seat)
