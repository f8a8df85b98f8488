"""The hub: which channels this edge listens to in Redis, and which subscribers listen to them here.

A channel goes ABSENT -> STALE -> SUBSCRIBING -> SYNCING -> LIVE and, when its last subscriber is gone for longer than a
linger, back to ABSENT; it is STALE again while the Redis connection is down. What becomes of a message is decided by
edge/channel_log.py. Everything here is plain synchronous code run from the event loop: between two calls the state is
consistent, and no call waits.

H1  A subscriber enters a channel only when it is LIVE: after the welcome nothing published is missed (I5).
H2  An acknowledgement counts only for the attempt it was made for (I8).
H3  No subscriber joins a channel between the receipt of a message and the beginning of its fan-out, so a newcomer
    never gets a message from before its start.
H4  The edge is subscribed to exactly the channels that have a subscriber here or had one less than a linger ago (I9).
H5  A held subscriber may `join` one more channel under the same rules (H1, H3), or `unsubscribe` from one.
"""

from collections.abc import Callable, Sequence
from itertools import count, islice
from typing import Protocol

from common.errors import FrameError
from common.message import Message, decode
from common.names import RedisNames
from edge.channel_log import LogRules
from edge.channels.adoption import Adopter
from edge.channels.attach import Attacher, Reader
from edge.channels.tracker import ChannelTracker
from edge.counters import Counters
from edge.engine.fanout import FanOut
from edge.engine.wheel import Wheel
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Channel, PendingAttach, Seat

ENTRIES_PER_TURN = 64  # subscribers that waited for a channel, let in before the loop may do something else


class Subscriptions(Protocol):
    """The part of pub/sub that the hub uses."""

    def subscribe(self, name: bytes, attempt: int) -> None:
        """Ask Redis for a channel."""

    def unsubscribe(self, name: bytes) -> None:
        """Give a channel up."""


class Hub:
    """All channels of an edge; the consumer of its pub/sub connection."""

    def __init__(
        self,
        names: RedisNames,
        pubsub: Subscriptions,
        fanout: FanOut,
        reader: Reader,
        rules: LogRules,
        counters: Counters,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        *,
        channels: dict[str, Channel],
        adopter: Adopter | None,
        send_receipt: Callable[[str, int], None],
        linger: float,
    ) -> None:
        self.channels = channels
        self.wheel: Wheel[Channel] = Wheel(clock(), self._on_linger_over)
        self._tracker = ChannelTracker(self, fanout, reader, counters, rules, adopter)
        self._attacher = Attacher(reader, self.repair, counters, keeps_history=rules.keeps_history)
        self._names = names
        self._pubsub = pubsub
        self._fanout = fanout
        self._counters = counters
        self._clock = clock
        self._call_soon = call_soon
        self._send_receipt = send_receipt
        self._linger = linger
        self._attempts = count(1)

    # Subscribers come and go.

    def attach_at_once(self, seat: Seat, request: SubscribeRequest) -> Channel | None:
        """Attach a subscriber of one channel that misses nothing of it, and return the channel; else None."""
        if len(request.channels) != 1 or request.history:
            return None
        channel = self.channels.get(request.channels[0])
        since = request.since[0] if request.since is not None else None
        if channel is None or not channel.is_open_at(since):
            return None
        seat.attach((channel,), self._fanout.jobs_begun)
        channel.add(seat)
        return channel

    def attach(self, pending: PendingAttach) -> None:
        """Lead a subscriber to its channels; it is ready when it is in all of them."""
        channels = tuple(map(self.channel, pending.request.channels))
        pending.seat.attach(channels, self._fanout.jobs_begun, pending)
        for entry in pending.enter_all(channels):
            self._attacher.enter(entry)
        if not channels:
            pending.ready()

    def join(self, pending: PendingAttach, channel: Channel) -> None:
        """Lead a held subscriber into one more channel, maybe at once (H5)."""
        for entry in pending.enter_all((channel,)):
            self._attacher.enter(entry)

    def cancel(self, pending: PendingAttach) -> None:
        """Forget that a subscriber waits for channels."""
        for entry in pending.entries:
            entry.channel.stop_waiting(entry)
            self._linger_if_empty(entry.channel)
        pending.forget_entries()

    def channel(self, name: str) -> Channel:
        """Return a channel, and subscribe to it if this edge does not listen to it yet."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
            self.resubscribe(channel)
        return channel

    def unsubscribe(self, seat: Seat, channel: Channel) -> None:
        """Take a seat out of one of its channels (H5)."""
        channel.discard(seat)
        seat.channels = tuple(other for other in seat.channels if other is not channel)
        self._linger_if_empty(channel)

    def detach(self, seat: Seat) -> None:
        """Take a seat out of its channels, and out of the queue of any."""
        pending = seat.pending
        if pending is not None and isinstance(pending, PendingAttach):
            for entry in pending.entries:
                entry.channel.stop_waiting(entry)
            pending.forget_entries()
        for channel in seat.channels:
            channel.discard(seat)
            if not channel.seats:
                self._linger_if_empty(channel)

    def repair(self, channel: Channel) -> None:
        """Compare a live channel with its log and give its subscribers what is missing."""
        self._tracker.repair(channel)

    def _linger_if_empty(self, channel: Channel) -> None:
        if not channel.is_occupied:
            self.wheel.schedule(channel, self._clock() + self._linger)

    def _on_linger_over(self, channels: Sequence[Channel]) -> None:
        for channel in channels:
            if self._attacher.is_reading(channel.name):
                self._linger_if_empty(channel)
            elif not channel.is_occupied and self.channels.get(channel.name) is channel:
                del self.channels[channel.name]
                channel.forget_subscription()
                self._tracker.let_go(channel)
                self._pubsub.unsubscribe(self._names.channel(channel.name))

    # Redis speaks: the hub is the consumer of pub/sub.

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
            self._send_receipt(message.inbox, channel.reached(message, self._clock()))
        self._tracker.receive(channel, message)

    def on_read_end(self) -> None:
        """Write what this read from Redis brought."""
        self._fanout.flush()

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Redis acknowledged: from here on every message arrives (H2)."""
        channel = self.channels.get(self._names.name_of(name))
        if channel is not None and channel.attempt == attempt:
            self._tracker.on_subscribed(channel)

    def on_up(self) -> None:
        """Ask for every channel again, those with subscribers first."""
        for channel in sorted(self.channels.values(), key=lambda channel: not channel.is_occupied):
            self.resubscribe(channel)

    def on_down(self) -> None:
        """Keep the subscribers and wait for the connection; what is under way on the old one counts no more."""
        self._tracker.forget_reads()
        self._attacher.requeue_readers()
        for channel in self.channels.values():
            channel.forget_subscription()

    # The tracker and the fan-out speak.

    def resubscribe(self, channel: Channel) -> None:
        """Subscribe to a channel with a new attempt."""
        channel.subscribe(next(self._attempts))
        self._pubsub.subscribe(self._names.channel(channel.name), channel.attempt)

    def admit(self, channel: Channel) -> None:
        """Let in the subscribers that waited, some in a turn, if the channel is open (H3)."""
        waiting = channel.waiting
        if not waiting or not channel.is_open:
            return
        for entry in list(islice(waiting, ENTRIES_PER_TURN)):
            waiting.pop(entry, None)
            if entry.pending.is_alive:  # letting one in may cost another its connection
                self._attacher.enter(entry)
        if waiting:
            self._call_soon(self.admit, channel)
        else:
            channel.waiting = None
