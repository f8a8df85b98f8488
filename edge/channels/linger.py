"""Lingering: a channel stays subscribed for a while after its last subscriber left, who may be between two polls.

A channel that carried messages lingers for its whole time: a poller that is away must not miss a plain PUBLISH. Names
that never carried one cost nothing to make up, so only some of these linger, and the oldest are let go first.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from edge.engine.wheel import Wheel
from edge.state import Channel

CHANNELS_PER_TURN = 128  # that are let go before the event loop may do something else


class Lingering:
    """The channels that nobody holds; `let_go` gives one up unless it is held again. Times are in seconds."""

    def __init__(
        self, clock: Callable[[], float], seconds: float, most: int, let_go: Callable[[Channel], None]
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most  # without messages
        self._let_go = let_go
        self._wheel: Wheel[Channel] = Wheel(clock(), self._on_due)
        self._unused: OrderedDict[Channel, float] = OrderedDict()  # with their deadlines, the earliest first

    def begin(self, channel: Channel) -> None:
        """The last subscriber of a channel has left."""
        deadline = self._clock() + self._seconds
        if not channel.is_unused:
            self._wheel.schedule(channel, deadline)
            return
        channel.deadline = self._unused[channel] = deadline
        self._unused.move_to_end(channel)
        if len(self._unused) > self._most:
            self._end(self._unused.popitem(last=False)[0])

    def go_on(self, channel: Channel) -> None:
        """Let a channel linger once more, whatever it carried."""
        self._wheel.schedule(channel, self._clock() + self._seconds)

    def advance(self, now: float) -> bool:
        """Let go of the next few channels whose time is over; return whether there are more."""
        return self._advance_unused(now) | self._wheel.advance(now)

    def _advance_unused(self, now: float) -> bool:
        unused = self._unused
        for _ in range(CHANNELS_PER_TURN):
            channel = next(iter(unused), None)
            if channel is None or unused[channel] > now:
                return False
            del unused[channel]
            self._end(channel)
        return True

    def _end(self, channel: Channel) -> None:
        """Let go of a channel, or let it linger for the rest of its time if it has carried a message meanwhile."""
        if channel.is_unused:
            self._let_go(channel)
        elif not channel.is_occupied:
            self._wheel.schedule(channel, channel.deadline)

    def _on_due(self, channels: Sequence[Channel]) -> None:
        for channel in channels:
            self._let_go(channel)
