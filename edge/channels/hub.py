"""The hub: which channels this edge is subscribed to in Redis, and which subscribers are attached to them here.

A channel is created, STALE, when its first subscriber is attached, and removed when it has lingered without one
(linger.py). Between the two it moves as edge/channel_log.py describes. The hub leads subscribers to their channels
(attach.py lets them enter), hands messages to the tracker (tracker.py carries out what the channel's log decides), and
subscribes. It is plain synchronous code that the event loop calls: between two calls the state is consistent, and no
call waits.

H1  A subscriber enters a channel only when it is LIVE: after its welcome it misses nothing that is published (I5).
H2  An acknowledgement counts only for the attempt that it belongs to (I8).
H3  No subscriber enters a channel between the receipt of a message and the beginning of its job, so none gets a message
    from before its start.
H4  The edge is subscribed to exactly the channels that have a subscriber here or linger (I9).
H5  A held subscriber may `join` one more channel under the same rules (H1, H3), or `unsubscribe` from one.
H6  A subscriber that is behind is welcomed as soon as its position is proven, and enters a channel when it has caught
    up there. Until then it is in the channel's `behind`, which keeps the channel as a seat in it would.
"""

from collections.abc import Callable
from itertools import count, islice
from typing import Protocol

from common.errors import FrameError
from common.logs import get_logger
from common.message import Message, decode
from common.names import RedisNames
from edge.chain import Gap
from edge.channel_log import LIVE, LogRules
from edge.channels.adoption import Adopter
from edge.channels.attach import ENTRIES_PER_TURN, Attacher, Reader
from edge.channels.linger import Lingering
from edge.channels.repeats import Repeats
from edge.channels.tracker import ChannelTracker
from edge.counters import Counters
from edge.engine.fanout import FanOut
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Channel, Entry, PendingAttach, Seat

QUIET_SECONDS = 60.0  # between two log lines of forged frames


class Subscriptions(Protocol):
    """The part of pub/sub that the hub uses (common/redis/pubsub.py)."""

    def subscribe(self, name: bytes, attempt: int) -> None:
        """Send SUBSCRIBE; the acknowledgement comes back with the number of the attempt."""

    def unsubscribe(self, name: bytes) -> None:
        """Send UNSUBSCRIBE."""


class Hub:
    """All channels of an edge; the consumer of its pub/sub connection.

    `linger` is in seconds, and `max_lingering` the number of channels without messages that may linger. `release` is
    called with each channel that this edge is not subscribed to any more.
    """

    def __init__(
        self,
        names: RedisNames,
        pubsub: Subscriptions,
        fanout: FanOut,
        reader: Reader,
        starts: Reader,
        repeats: Repeats,
        rules: LogRules,
        counters: Counters,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        *,
        channels: dict[str, Channel],
        adopter: Adopter | None,
        send_receipt: Callable[[str, int], None],
        release: Callable[[str], None],
        linger: float,
        max_lingering: int,
    ) -> None:
        self.channels = channels
        self.lingering = Lingering(clock, linger, max_lingering, self._let_go)
        self._tracker = ChannelTracker(self, fanout, reader, counters, rules, adopter)
        self._attacher = Attacher(starts, repeats, self.repair, counters, call_soon, keeps_history=rules.keeps_history)
        self._names = names
        self._pubsub = pubsub
        self._fanout = fanout
        self._counters = counters
        self._clock = clock
        self._call_soon = call_soon
        self._send_receipt = send_receipt
        self._release = release
        self._attempts = count(1)
        self._tells_again_at = 0.0  # of forged frames

    # Subscribers are attached and detached.

    def attach_at_once(self, seat: Seat, request: SubscribeRequest) -> Channel | None:
        """Attach a subscriber to its one channel if it has nothing to wait for, and return the channel; else None."""
        names, since = request.channels, request.since
        if len(names) != 1 or request.history:
            return None
        channel = self.channels.get(names[0])
        if channel is None or channel.state is not LIVE or channel.fresh:
            return None
        if since is not None and since[0] != channel.last:
            return None
        seat.attach((channel,), self._fanout.jobs_begun)
        channel.add(seat)
        return channel

    def attach(self, pending: PendingAttach) -> None:
        """Let a subscriber enter its channels; it is ready when it has entered all of them, maybe at once."""
        channels = tuple(map(self.channel, pending.request.channels))
        pending.seat.attach(channels, self._fanout.jobs_begun)
        pending.seat.wait(pending)
        for entry in pending.enter_all(channels):
            self._attacher.enter(entry)
        if not channels:
            pending.ready()

    def join(self, pending: PendingAttach, channel: Channel) -> None:
        """Let a held subscriber enter one more channel, maybe at once (H5)."""
        for entry in pending.enter_all((channel,)):
            self._attacher.enter(entry)

    def cancel(self, pending: PendingAttach) -> None:
        """Let a subscriber wait for channels no more."""
        for entry in pending.entries:
            entry.channel.stop_waiting(entry)
            self._linger_if_empty(entry.channel)
        pending.forget_entries()

    def channel(self, name: str) -> Channel:
        """Return a channel; if this edge does not have it yet, create it and subscribe to it."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
            self.resubscribe(channel)
        return channel

    def enter(self, entry: Entry) -> None:
        """Let a subscriber that was behind enter a channel if it has caught up, else have it read on (H6)."""
        self._attacher.enter(entry)

    def settle(self, entry: Entry, gap: Gap) -> None:
        """The log does not show what follows a subscriber's position: it is reset, or waits for its channel."""
        self._attacher.settle(entry, gap)

    def unsubscribe(self, seat: Seat, channel: Channel) -> None:
        """Detach a seat from one of its channels (H5)."""
        channel.discard(seat)
        seat.leave(channel)
        self._linger_if_empty(channel)

    def detach(self, seat: Seat) -> None:
        """Detach a seat from its channels, and let it wait for none."""
        pending = seat.pending
        if pending is not None and isinstance(pending, PendingAttach):
            for entry in pending.entries:
                entry.channel.stop_waiting(entry)
            for channel, _ in pending.behind:
                channel.catch_up(seat)
            pending.detached()
        for channel in seat.channels:
            channel.discard(seat)
            if not channel.seats:
                self._linger_if_empty(channel)

    def repair(self, channel: Channel) -> None:
        """Compare a live channel with its log, and send its subscribers what they missed."""
        self._tracker.repair(channel)

    def refuse(self, channel: Channel) -> None:
        """Redis has no room for a new channel: turn away those that wait for it, a few in each turn, and give it up."""
        if self.channels.get(channel.name) is not channel or channel.last is not None:
            return
        for entry in list(islice(channel.waiting, ENTRIES_PER_TURN)):
            channel.stop_waiting(entry)
            if entry.pending.is_alive:
                entry.pending.refuse()
        if channel.waiting:
            self._call_soon(self.refuse, channel)
        else:
            self._let_go(channel)

    def _linger_if_empty(self, channel: Channel) -> None:
        if not channel.is_occupied:
            self.lingering.begin(channel)

    def _let_go(self, channel: Channel) -> None:
        """Give up a channel that nobody holds (H4)."""
        if channel.is_occupied or self.channels.get(channel.name) is not channel:
            return
        if self._attacher.is_reading(channel.name):
            self.lingering.go_on(channel)
            return
        del self.channels[channel.name]
        channel.forget_subscription()
        self._tracker.release(channel)
        self._pubsub.unsubscribe(self._names.channel(channel.name))

    # Pub/sub calls its consumer.

    def on_message(self, name: bytes, payload: bytes) -> None:
        """Handle a message from pub/sub; `name` is the Redis name of its channel."""
        channel = self.channels.get(self._names.name_of(name))
        if channel is None:
            return
        try:
            message = decode(payload)
        except FrameError as error:
            self._on_malformed(channel, error)
            return
        if isinstance(message, Message) and message.inbox:
            self._send_receipt(message.inbox, channel.reached(message, self._clock()))
        self._tracker.receive(channel, message)

    def _on_malformed(self, channel: Channel, error: FrameError) -> None:
        """Drop and count what only looks like a frame; a stranger's flood of it is logged once a minute."""
        self._counters.dropped_total["malformed"] += 1
        now = self._clock()
        if now >= self._tells_again_at:
            self._tells_again_at = now + QUIET_SECONDS
            sentence = "a message in redis is a forged frame; it is dropped"
            get_logger().warning(sentence, channel=channel.name, error=str(error))

    def on_read_end(self) -> None:
        """Write the messages that one read from Redis brought."""
        self._fanout.flush()

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Redis acknowledged a SUBSCRIBE: from here on every message arrives (H2)."""
        channel = self.channels.get(self._names.name_of(name))
        if channel is not None and channel.attempt == attempt:
            self._tracker.on_subscribed(channel)

    def on_unsubscribed(self, name: bytes) -> None:
        """Redis acknowledged an UNSUBSCRIBE: let go of what it keeps of the channel, unless that is back."""
        channel = self._names.name_of(name)
        if channel not in self.channels:
            self._release(channel)

    def on_up(self) -> None:
        """The connection is up: subscribe to every channel anew, those with subscribers first."""
        for channel in sorted(self.channels.values(), key=lambda channel: not channel.is_occupied):
            self.resubscribe(channel)

    def on_down(self) -> None:
        """The connection is down: keep the subscribers, and drop what is under way on it."""
        self._tracker.forget_reads()
        self._attacher.requeue_readers()
        for channel in self.channels.values():
            channel.forget_subscription()

    # The tracker and the fan-out call back.

    def resubscribe(self, channel: Channel) -> None:
        """Subscribe to a channel with a new attempt."""
        channel.subscribe(next(self._attempts))
        self._pubsub.subscribe(self._names.channel(channel.name), channel.attempt)

    def admit(self, channel: Channel) -> None:
        """Let the subscribers that wait for a channel enter it if it is open (H3), a few in each turn."""
        newcomers = channel.newcomers
        if newcomers is None or not channel.is_open:
            return
        for entry in list(islice(newcomers.waiting, ENTRIES_PER_TURN)):
            channel.stop_waiting(entry)
            if entry.pending.is_alive:  # an earlier one of these may have ended this one's connection
                entry.pending.admit(entry, self._attacher.enter)
        if channel.waiting:
            self._call_soon(self.admit, channel)
