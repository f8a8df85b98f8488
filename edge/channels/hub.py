"""The hub: which channels this edge listens to in Redis, who listens to them here, and what each is told.

A channel goes ABSENT -> STALE -> SUBSCRIBING -> SYNCING -> LIVE and, when its last subscriber is gone long enough,
back to ABSENT; it is STALE again while the Redis connection is down. How a channel goes along its log, and how what is
missing is repaired, stands in edge/channels/tracker.py. Everything here is plain synchronous code run
from the event loop: between two calls the state is consistent, and no call waits for anybody.

H1  A subscriber enters a channel only when it is LIVE: after the welcome nothing published is missed.
H2  An acknowledgement counts only for the attempt it was made for (I8).
H3  Nobody joins a channel between the taking of a message and the beginning of its fan-out, so a newcomer never
    gets a message from before its start.
H4  The edge is subscribed to exactly the channels somebody here listens to or left less than a linger ago (I9).
H5  Who is seated may `join` one channel more, like everybody else (H1, H3), or `part` from one.
"""

from collections.abc import Callable, Sequence
from itertools import count, islice
from typing import Protocol

from common.errors import FrameError
from common.message import Message, decode
from common.names import RedisNames
from common.position import Position
from edge.channel_log import NOBODY, Channel, State
from edge.channels.attach import Attacher, data_item
from edge.channels.tracker import ChannelTracker
from edge.counters import Counters
from edge.engine.fanout import FanOut
from edge.engine.seats import Seat
from edge.engine.wheel import Wheel
from edge.framing import Framing, Item
from edge.protocol.subscribe import SubscribeRequest
from edge.state import PendingAttach, PendingJoin

AT_ONCE = 64  # of those who waited for a channel, let in before the loop may do something else


class Subscriptions(Protocol):
    """The part of the bus that the hub uses."""

    def subscribe(self, name: bytes, attempt: int) -> None:
        """Ask Redis for a channel."""

    def unsubscribe(self, name: bytes) -> None:
        """Give a channel up."""


class OnReady(Protocol):
    """Seats a subscriber that has all its channels, and begins with `items`."""

    def __call__(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        starts: Sequence[Position | None],
        items: list[Item],
    ) -> None:
        """Seat it; on its channels it stands at `starts`."""


class Hub:
    """All channels of an edge; the consumer of its bus."""

    def __init__(
        self,
        names: RedisNames,
        fanout: FanOut,
        attacher: Attacher,
        tracker: ChannelTracker,
        counters: Counters,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        *,
        linger: float,
    ) -> None:
        self.channels: dict[str, Channel] = {}
        self.pubsub: Subscriptions  # set by the app: bus and hub know each other
        self.on_leave: Callable[[Seat], None] = lambda seat: None  # set by the changes: it waits for nothing more
        self.on_receipt: Callable[[str, int], None] = lambda inbox, subscribers: None
        self.on_ready: OnReady  # set by the app: a subscriber has all its channels
        self.wheel: Wheel[Channel] = Wheel(self._on_linger_over, clock())
        self._names = names
        self._fanout = fanout
        self._attacher = attacher
        attacher.repair = tracker.repair
        fanout.on_begun = tracker.on_live = self._admit
        tracker.on_astray = self._subscribe
        self._tracker = tracker
        self._counters = counters
        self._clock = clock
        self._call_soon = call_soon
        self._linger = linger
        self._attempts = count(1)

    # A subscriber comes and goes.

    def attach(self, seat: Seat, request: SubscribeRequest, framing: Framing) -> None:
        """Lead a subscriber to its channels; it is seated when all of them are ready, in the usual case at once."""
        channel = self._open_channel(request)
        if channel is None:
            self.open(PendingAttach(seat, request, framing, self._on_opened))
            return
        seat.channels, seat.attached_at_job = (channel,), self._fanout.jobs_begun
        channel.add(seat)
        self.on_ready(seat, request, framing, (channel.last,), [])

    def _open_channel(self, request: SubscribeRequest) -> Channel | None:
        """Return the one channel of a subscriber that may join at once, because it misses nothing of it."""
        if len(request.channels) != 1 or request.history:
            return None
        channel = self.channels.get(request.channels[0])
        since = request.since[0] if request.since is not None else None
        return channel if channel is not None and channel.is_open_at(since) else None

    def _on_opened(self, pending: PendingAttach) -> None:
        self.on_ready(pending.seat, pending.request, pending.framing, pending.starts, pending.items)

    def open(self, pending: PendingAttach) -> None:
        """Lead an opening's subscriber to its channels."""
        seat = pending.seat
        seat.pending, seat.attached_at_job = pending, self._fanout.jobs_begun
        seat.channels = tuple(map(self.channel, pending.request.channels))
        for index, channel in enumerate(seat.channels):
            self._attacher.enter(channel, pending, index)
        if not pending.request.channels:
            pending.done(pending)

    def channel(self, name: str) -> Channel:
        """Return a channel, which is asked for if nobody here listens to it."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
            self._subscribe(channel)
        return channel

    def join(self, pending_join: PendingJoin) -> None:
        """Lead a seated subscriber into one more channel, maybe at once."""
        self._attacher.enter(pending_join.channel, pending_join, 0)

    def give_up(self, pending_join: PendingJoin) -> None:
        """Forget that a subscriber waits for a channel."""
        pending_join.given_up = True
        pending_join.channel.waiting.pop(pending_join, None)
        self._linger_if_empty(pending_join.channel)

    def part(self, seat: Seat, channel: Channel) -> None:
        """Take a seat out of one of its channels."""
        channel.discard(seat)
        seat.channels = tuple(other for other in seat.channels if other is not channel)
        self._linger_if_empty(channel)

    def leave(self, seat: Seat) -> None:
        """Take a seat out of its channels, and out of the way to any."""
        self.on_leave(seat)
        for channel in seat.channels:
            channel.discard(seat)
            if seat.pending is not None:
                channel.waiting.pop(seat.pending, None)
            if not channel.seats:
                self._linger_if_empty(channel)
        seat.channels = ()
        seat.pending = seat.positions = None
        seat.shares_bytes = seat.fast_path = False

    def _linger_if_empty(self, channel: Channel) -> None:
        if not channel.occupied:
            self.wheel.schedule(channel, self._clock() + self._linger)

    def _on_linger_over(self, channels: Sequence[Channel]) -> None:
        for channel in channels:
            if self._attacher.is_reading(channel.name):
                self._linger_if_empty(channel)
            elif not channel.occupied and self.channels.get(channel.name) is channel:
                del self.channels[channel.name]
                channel.attempt = 0
                self._tracker.let_go(channel)
                self.pubsub.unsubscribe(self._names.channel(channel.name))

    # Redis speaks: the bus' consumer.

    def on_message(self, name: bytes, payload: bytes) -> None:
        """Take a message from pub/sub."""
        channel = self.channels.get(self._names.name_of(name))
        if channel is None:
            return
        try:
            message = decode(payload)
        except FrameError:
            self._counters.dropped_total["malformed"] += 1
            return
        if isinstance(message, Message) and message.inbox:
            self.on_receipt(message.inbox, channel.reached(message, self._clock()))
        self._tracker.take(channel, message)

    def on_read_end(self) -> None:
        """Write what this read from Redis brought."""
        self._fanout.flush()

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Redis acknowledged: from here on every message arrives (H2)."""
        channel = self.channels.get(self._names.name_of(name))
        if channel is not None and channel.attempt == attempt:
            self._tracker.begin(channel)

    def on_up(self) -> None:
        """Ask for every channel again, those with subscribers first."""
        for channel in sorted(self.channels.values(), key=lambda channel: not channel.occupied):
            self._subscribe(channel)

    def on_down(self) -> None:
        """Keep the subscribers and wait for the connection; nothing that is under way counts any more."""
        self._tracker.forget()
        self._attacher.hold_readers()
        for channel in self.channels.values():
            channel.forget_subscription()

    def _subscribe(self, channel: Channel) -> None:
        channel.forget_subscription()
        channel.state, channel.attempt = State.SUBSCRIBING, next(self._attempts)
        self.pubsub.subscribe(self._names.channel(channel.name), channel.attempt)

    def on_not_adopted(self, name: str, messages: list[bytes]) -> None:
        """Hand on live what could not be stored."""
        channel = self.channels.get(name)
        if channel is None:
            return
        for payload in messages:
            self._fanout.add(channel, data_item(name, Message(payload)))
        self._fanout.flush()

    def _admit(self, channel: Channel) -> None:
        """Let in who waited, some in a turn, unless messages were taken that are not on their way yet (H3)."""
        if not channel.waiting or channel.state is not State.LIVE or channel.fresh:
            return
        for pending, index in list(islice(channel.waiting.items(), AT_ONCE)):
            del channel.waiting[pending]
            if pending.alive:  # letting one in may cost another its connection
                self._attacher.enter(channel, pending, index)
        if channel.waiting:
            self._call_soon(self._admit, channel)
        else:
            channel.waiting = NOBODY
