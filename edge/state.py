"""An opening: a subscriber on its way to its seat, or to one more channel, until what it asked for is ready."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from common.position import Position
from edge.framing import Framing, Item
from edge.protocol.operations import Operation
from edge.protocol.subscribe import SubscribeRequest

if TYPE_CHECKING:
    from edge.channel_log import Channel
    from edge.engine.seats import Seat


class PendingAttach:
    """What one subscriber waits for, and what it will be told first.

    A channel that is ready before the others already collects this subscriber's messages here, so that none is
    missed while the rest catches up.
    """

    __slots__ = ("done", "framing", "items", "missing", "request", "seat", "starts")

    def __init__(self, seat: "Seat", request: SubscribeRequest, framing: Framing, done: Callable[[Any], None]) -> None:
        self.seat = seat
        self.request = request
        self.framing = framing
        self.done = done  # called with this, once every channel is ready
        self.missing = len(request.channels)
        self.starts: list[Position | None] = [None] * self.missing
        self.items: list[Item] = []

    @property
    def alive(self) -> bool:
        """Whether the subscriber still waits: it has neither gone nor been seated."""
        return self.seat.pending is self

    def since(self, index: int) -> Position | None:
        """Return the position it goes on from on its index-th channel."""
        return self.request.since[index] if self.request.since else None

    def history(self, index: int) -> int:
        """Return with how many of the newest messages it begins on its index-th channel, without a position."""
        return self.request.history


class PendingRepoll(PendingAttach):
    """A poll whose channels are changed while it is held: it asks again, for other channels, from where it stands."""

    __slots__ = ("operations", "positions")

    def __init__(
        self,
        seat: "Seat",
        request: SubscribeRequest,
        framing: Framing,
        positions: dict[str, tuple[Position | None, int]],
        operations: list[Operation],
        done: Callable[[Any], None],
    ) -> None:
        super().__init__(seat, request, framing, done)
        self.positions = list(positions.values())
        self.operations = operations  # to be acknowledged, in this order

    def since(self, index: int) -> Position | None:
        """Return the position it goes on from on its index-th channel."""
        return self.positions[index][0]

    def history(self, index: int) -> int:
        """Return with how many of the newest messages it begins on its index-th channel, without a position."""
        return self.positions[index][1]


class PendingJoin(PendingAttach):
    """A seated subscriber on its way into one more channel; what it has already goes on meanwhile."""

    __slots__ = ("channel", "deadline", "given_up", "operations", "tick")

    def __init__(
        self, seat: "Seat", framing: Framing, channel: "Channel", operation: Operation, done: Callable[[Any], None]
    ) -> None:
        since = None if operation.since is None else (operation.since,)
        request = SubscribeRequest(framing.transport, (operation.channel,), since, history=operation.history)
        super().__init__(seat, request, framing, done)
        self.channel = channel
        self.operations = [operation]  # that asked for it: each is acknowledged
        self.given_up = False
        self.deadline = 0.0
        self.tick = 0

    @property
    def alive(self) -> bool:
        """Whether the subscriber still waits for the channel."""
        return not self.given_up
