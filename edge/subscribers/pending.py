"""The waits of a subscriber: a newcomer for its channels, a poll for other channels, a held one for one more."""

from collections.abc import Callable, Mapping, Sequence

from edge.framing.base import Framing
from edge.framing.items import Item
from edge.protocol.operations import Operation
from edge.protocol.subscribe import Start, SubscribeRequest
from edge.state import Channel, Entry, PendingAttach, Seat

ATTACH_TIMEOUT = 3.0  # seconds that each of these waits may last
NOT_JOINED = f"Redis did not let this edge join the channels within {ATTACH_TIMEOUT:g} seconds; try again"
NO_MEMORY = "Redis has no memory left for a new channel; try again later"


#: Gets the names of the channels that a seat has after a change, or None if it was detached first.
OnDone = Callable[[list[str] | None], None]


class PendingSubscribe(PendingAttach):
    """A newcomer on its way into the channels of its request."""

    __slots__ = ("_on_ready",)

    def __init__(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        on_ready: "Callable[[PendingSubscribe], None]",
    ) -> None:
        super().__init__(seat, request, framing)
        self._on_ready = on_ready

    def ready(self) -> None:
        """Call back."""
        self._on_ready(self)


class PendingRepoll(PendingAttach):
    """A held poll whose channels change: it is attached again, to other channels, from its positions (C5)."""

    __slots__ = ("_on_ready", "on_done", "operations", "starts")

    def __init__(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        starts: Mapping[str, Start],
        operations: Sequence[tuple[Operation, Item | None]],
        on_ready: "Callable[[PendingRepoll], None]",
        on_done: OnDone,
    ) -> None:
        super().__init__(seat, request, framing)
        self.starts = starts  # by the channels' names
        self.operations = operations  # to be acknowledged, in this order, with the answers that are known already
        self._on_ready = on_ready
        self.on_done = on_done

    def detached(self) -> None:
        """Tell who changed the channels that the poll is gone (C4)."""
        super().detached()
        self.on_done(None)

    def enter_all(self, channels: Sequence[Channel]) -> Sequence[Entry]:
        """Make an entry for each channel, from where the poll goes on or begins there, and return them."""
        self.missing = len(channels)
        self.entries = [Entry(self, channel, *self.starts[channel.name]) for channel in channels]
        return self.entries

    def ready(self) -> None:
        """Call back."""
        self._on_ready(self)


class PendingJoin(PendingAttach):
    """A held subscriber on its way into one more channel; those that it has deliver meanwhile."""

    __slots__ = ("_on_ready", "channel", "deadline", "is_cancelled", "operations", "tick")

    def __init__(
        self,
        seat: Seat,
        framing: Framing,
        channel: Channel,
        operation: Operation,
        on_ready: "Callable[[PendingJoin], None]",
    ) -> None:
        since, history = operation.start
        request = SubscribeRequest(framing.transport, (operation.channel,), (since,), history=history)
        super().__init__(seat, request, framing)
        self.channel = channel
        self.operations = [operation]  # the ones that ask for this channel: each is acknowledged
        self.is_cancelled = False
        self.deadline = 0.0
        self.tick = 0  # the wheel's
        self._on_ready = on_ready

    @property
    def is_alive(self) -> bool:
        """Whether the subscriber still waits for the channel."""
        return not self.is_cancelled

    def ready(self) -> None:
        """Call back."""
        self._on_ready(self)
