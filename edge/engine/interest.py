"""Interest: the events that each seat is watched for, and no others: one that nobody handles keeps the loop busy."""

from edge.engine.poller import READ, READ_HANGUP, WRITE, Poller
from edge.state import IDLE, Seat

WATCHED = READ | READ_HANGUP


class Interest:
    """Tells the poller which events are wanted of each seat; errors, and hang-ups of both sides, it reports always."""

    def __init__(self, poller: Poller) -> None:
        self.half_closed: set[Seat] = set()  # seats whose client sends nothing more and is still to be answered
        self._poller = poller
        self.paused: set[Seat] = set()  # seats that are not read from

    def pause(self, seat: Seat) -> None:
        """Read nothing from a client; its bytes stay in the kernel, and its hang-up is still noticed."""
        if seat not in self.paused:
            self.paused.add(seat)
            self.update(seat)

    def resume(self, seat: Seat) -> None:
        """Read from a client again."""
        if seat in self.paused:
            self.paused.remove(seat)
            self.update(seat)

    def end(self, seat: Seat) -> None:
        """Read nothing more from a client that has closed its side of the connection and is still to be answered."""
        self.half_closed.add(seat)
        self.update(seat)

    def update(self, seat: Seat) -> None:
        """Have the poller watch a seat for the events that are wanted now.

        While an answer is parked, the next request on its connection stays in the kernel.
        """
        is_parked = seat.send_buffer is not None
        if seat in self.half_closed:
            reading = 0
        elif seat in self.paused or (is_parked and seat.phase is IDLE):
            reading = READ_HANGUP
        else:
            reading = WATCHED
        self._poller.modify(seat.fd, reading | (WRITE if is_parked else 0))

    def forget(self, seat: Seat) -> None:
        """Forget a seat whose connection is closed."""
        self.paused.discard(seat)
        self.half_closed.discard(seat)
