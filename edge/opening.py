"""An opening: a subscriber on its way to its seat, until every channel it asked for is ready."""

from typing import TYPE_CHECKING

from common.position import Position
from edge.framing import Framing, Item
from edge.request import SubscribeRequest

if TYPE_CHECKING:
    from edge.seats import Seat


class Opening:
    """What one subscriber waits for, and what it will be told first.

    A channel that is ready before the others already collects this subscriber's messages here, so that none is
    missed while the rest catches up.
    """

    __slots__ = ("framing", "items", "missing", "request", "seat", "starts")

    def __init__(self, seat: "Seat", request: SubscribeRequest, framing: Framing) -> None:
        self.seat = seat
        self.request = request
        self.framing = framing
        self.missing = len(request.channels)
        self.starts: list[Position | None] = [None] * self.missing
        self.items: list[Item] = []

    @property
    def alive(self) -> bool:
        """Whether the subscriber still waits: it has neither gone nor been seated."""
        return self.seat.opening is self

    def since(self, index: int) -> Position | None:
        """Return the position it goes on from on its index-th channel."""
        return self.request.since[index] if self.request.since else None
