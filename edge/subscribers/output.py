"""What is sent to a held subscriber besides the messages of its channels: acknowledgements, errors, pongs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from edge.engine.seats import Seats
from edge.framing.base import Framing
from edge.framing.items import Item, ItemKind, mark
from edge.state import Seat


class Output:
    """Writes to held seats, and can cork one of them: what is written to that seat meanwhile leaves in one write."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._corked: Seat | None = None
        self._kept: list[bytes] = []
        self._items: list[Item] = []  # kept behind those bytes: they are encoded together, with one cursor

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
        seat = self._corked
        if seat is not None:
            self._encode_kept(seat)
            kept, self._kept = self._kept, []
            if seat.framing is not None:
                self._seats.write(seat, b"".join(kept))

    def write(self, seat: Seat, data: bytes) -> None:
        """Write bytes to a seat, or keep them while it is corked."""
        if seat is self._corked:
            self._encode_kept(seat)
            self._kept.append(data)
        else:
            self._seats.write(seat, data)

    def send(self, seat: Seat, *items: Item, more: bool = False) -> None:
        """Send items to a held seat, which its positions have passed already; to any other seat, nothing.

        If `more` belongs to them and follows soon, they are sent without the seat's cursor, which that will have.
        """
        if seat is self._corked:
            self._items += items
        elif items and seat.framing is not None:
            self._seats.write(seat, _encode(seat, seat.framing, items, has_cursor=not more))

    def _encode_kept(self, seat: Seat) -> None:
        items, self._items = self._items, []
        if items and seat.framing is not None:
            self._kept.append(_encode(seat, seat.framing, items, has_cursor=True))


def _encode(seat: Seat, framing: Framing, items: Sequence[Item], *, has_cursor: bool) -> bytes:
    """Return the bytes of some items; the last one that is no pong has the seat's cursor, and the others have none.

    A seat without positions has its channels unchanged, so nothing that is sent here moves it.
    """
    moving = [index for index, item in enumerate(items) if item.kind is not ItemKind.PONG]
    if seat.positions is None or not moving or not has_cursor:
        return framing.encode([item._replace(cursor="") for item in items], "")
    cursor = seat.positions.cursor
    return framing.encode(mark(items, moving[-1], cursor), cursor)
