"""What is sent to a held subscriber besides the messages of its channels: acknowledgements, errors, pongs."""

from collections.abc import Iterator
from contextlib import contextmanager

from edge.engine.seats import Seats
from edge.framing.items import Item
from edge.state import Seat


class Output:
    """Writes to held seats, and can cork one of them: what is written to that seat meanwhile leaves in one write."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._corked: Seat | None = None
        self._kept: list[bytes] = []

    @contextmanager
    def cork(self, seat: Seat) -> Iterator[None]:
        """Keep what is written to a seat until the end of the block, or until `flush`."""
        self._corked = seat
        try:
            yield
        finally:
            self.flush()
            self._corked = None

    def flush(self) -> None:
        """Write what is kept, before something that is not written here and must not overtake it."""
        seat, kept, self._kept = self._corked, self._kept, []
        if seat is not None and seat.framing is not None:
            self._seats.write(seat, b"".join(kept))

    def write(self, seat: Seat, data: bytes) -> None:
        """Write bytes to a seat, or keep them while it is corked."""
        if seat is self._corked:
            self._kept.append(data)
        else:
            self._seats.write(seat, data)

    def send(self, seat: Seat, *items: Item) -> None:
        """Send items to a held seat that leave its position as it is; to any other seat, nothing."""
        if seat.framing is not None:
            cursor = seat.cursor if seat.framing.cursor_in_bytes else ""
            self.write(seat, seat.framing.encode([item._replace(cursor=cursor) for item in items], cursor))
