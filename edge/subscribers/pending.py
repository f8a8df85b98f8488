"""What a subscriber waits for: its channels, or other channels while it is held."""

from collections.abc import Callable, Mapping, Sequence

from edge.framing.base import Framing
from edge.protocol.operations import Operation
from edge.protocol.subscribe import Start, SubscribeRequest
from edge.state import Channel, Entry, PendingAttach, Seat

ATTACH_TIMEOUT = 3.0  # seconds that a subscriber waits for Redis before it is rejected


class PendingSubscribe(PendingAttach):
    """A newcomer that waits for the channels of its request."""

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
        """Tell who waits for it."""
        self._on_ready(self)


class PendingRepoll(PendingAttach):
    """A poll whose channels change while it is held: it asks again, for other channels, from where it stands."""

    __slots__ = ("_on_ready", "operations", "starts")

    def __init__(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        starts: Mapping[str, Start],
        operations: Sequence[Operation],
        on_ready: "Callable[[PendingRepoll], None]",
    ) -> None:
        super().__init__(seat, request, framing)
        self.starts = starts  # by channel
        self.operations = operations  # to be acknowledged, in this order
        self._on_ready = on_ready

    def enter_all(self, channels: Sequence[Channel]) -> Sequence[Entry]:
        """Return an entry for each channel, from where the poll stands on it or wants to begin."""
        self.missing = len(channels)
        self.entries = [Entry(self, channel, *self.starts[channel.name]) for channel in channels]
        return self.entries

    def ready(self) -> None:
        """Answer the poll."""
        self._on_ready(self)


class PendingJoin(PendingAttach):
    """A held subscriber on its way into one more channel; the channels that it has go on meanwhile."""

    __slots__ = ("_on_ready", "channel", "deadline", "is_given_up", "operations", "tick")

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
        self.operations = [operation]  # that asked for it: each is acknowledged
        self.is_given_up = False
        self.deadline = 0.0
        self.tick = 0
        self._on_ready = on_ready

    @property
    def is_alive(self) -> bool:
        """Whether the subscriber still waits for the channel."""
        return not self.is_given_up

    def ready(self) -> None:
        """Let the subscriber into the channel."""
        self._on_ready(self)
