"""Following: each channel goes along its log; what chains is handed on, and what is missing is repaired.

L1  A message that chains goes out, even before the channel is LIVE again; one seen before is dropped; anything else
    starts one repair for all subscribers of the channel, who get what was missing, or a reset (I3, I4, I6).
L2  A sync result counts only for the attempt it was made for (I8).
L3  What all rings hold together is bounded: when they are full, a channel that goes on keeps only a little (I10).
"""

from collections.abc import Callable
from functools import partial

from common.message import Join, Message
from common.position import Position
from common.scripts.results import SyncQuery, SyncResult
from edge.channel_log import NOTHING, RING_BYTES, Channel, State, proven
from edge.channels.adoption import Adopter
from edge.channels.attach import data_item, missed_items
from edge.channels.sync import LogReader, SyncRequest
from edge.counters import Counters
from edge.engine.fanout import FanOut
from edge.framing import Item

ALL_RINGS_BYTES = 67_108_864
LEAST_RING_BYTES = 4096  # of a channel, when all rings together have more than that; the newest message is kept anyway


class ChannelTracker:
    """Takes what comes on the channels of an edge."""

    def __init__(
        self,
        fanout: FanOut,
        log_reader: LogReader,
        counters: Counters,
        *,
        adopter: Adopter | None = None,
        max_message_bytes: int,
        keeps_history: bool,
    ) -> None:
        self.on_astray: Callable[[Channel], None]  # set by the hub: begin anew, with another subscription
        self.on_live: Callable[[Channel], None]  # set by the hub: newcomers may enter
        self._fanout = fanout
        self._log_reader = log_reader
        self._counters = counters
        self._adopter = adopter
        self._max_message_bytes = max_message_bytes
        self._keeps_history = keeps_history
        self._ring_bytes = 0  # of all channels

    def begin(self, channel: Channel) -> None:
        """Every message arrives from now on: find out where the log stands."""
        if self._keeps_history:
            self._sync(channel, channel.epoch if self._adopter is not None else None)
        else:
            self._go_live(channel)

    def take(self, channel: Channel, message: Message | Join) -> None:
        """Take a message, or keep it back until its channel is live."""
        if channel.takes_now(message):
            self._take_now(channel, message)
        elif not channel.hold(message):
            self.on_astray(channel)

    def repair(self, channel: Channel) -> None:
        """Compare a live channel with its log and give its subscribers what is missing."""
        if channel.state is State.LIVE and self._keeps_history:
            self._sync(channel)

    def forget(self) -> None:
        """The Redis connection is gone: what is being read counts no more."""
        self._log_reader.forget()

    def let_go(self, channel: Channel) -> None:
        """Nobody listens to a channel any more."""
        self._ring_bytes -= channel.ring_bytes

    def _take_now(self, channel: Channel, message: Message | Join) -> None:
        """Hand a message of a live channel on, drop it, or start a repair (L1)."""
        if isinstance(message, Join):
            if not channel.on_join_frame(message.epoch):
                self.on_astray(channel)
        elif not message.offset:
            self._take_live(channel, message)
        elif channel.chains(message):
            self._advance(channel, message)
            self._fanout.add(channel, data_item(channel.name, message))
        elif not self._keeps_history:
            self._fanout.add(channel, data_item(channel.name, message))
        elif not channel.saw(message):
            # What does not chain was in the log before it was sent: the sync will bring it, or show a reset.
            self._sync(channel)

    def _take_live(self, channel: Channel, message: Message) -> None:
        """Hand on a message without a position; a bare one is first offered to the log, which sends it again."""
        if len(message.payload) > self._max_message_bytes:
            self._counters.dropped_total["too_large"] += 1
        elif not message.bare or self._adopter is None:
            self._fanout.add(channel, data_item(channel.name, message))
        elif (bare := channel.count_bare(message.payload)) is not None:
            self._adopter.hand_in(channel, bare)

    def _sync(self, channel: Channel, known: int | None = None) -> None:
        """Read where the log stands, and what it holds after our place in it; `known` is an epoch to join after."""
        channel.state = State.SYNCING
        wanted = SyncQuery(channel.name, channel.last.offset if channel.last else None, known)
        done = partial(self._on_synced, channel, channel.attempt, channel.last)
        self._log_reader.ask(SyncRequest(wanted, done, partial(channel.is_syncing, channel.attempt)))

    def _on_synced(self, channel: Channel, attempt: int, stood: Position | None, synced: SyncResult) -> None:
        """Bring a channel up to its log; it `stood` there when the log was asked, and may have gone on since (L2)."""
        if not channel.is_syncing(attempt):
            return
        channel.joined = synced.epoch or channel.joined
        last, top = channel.last, synced.top
        if last is None:
            self._restart(channel, top)
        elif last != stood and top.offset < last.offset:  # read before the messages that chained since
            if channel.tail(top) is None:
                self._sync(channel)  # they are more than the ring holds
                return
        elif last != top:
            self._bring_up(channel, last, synced)
        self._go_live(channel)

    def _bring_up(self, channel: Channel, last: Position, synced: SyncResult) -> None:
        """Give every subscriber what the channel missed, or tell them that it cannot be known."""
        missed = [message for message in synced.messages if message.offset > last.offset]
        if proven(last, synced.top, missed):
            self._counters.repairs_total["repaired"] += bool(missed)
            for message in missed:
                self._advance(channel, message)
            for item in missed_items(channel, missed):
                self._fanout.add(channel, item)
        else:
            self._counters.repairs_total["reset"] += 1
            self._restart(channel, synced.top)
            self._fanout.add(channel, Item("reset", channel.name, seq=channel.cursor, cursor=channel.cursor))

    def _advance(self, channel: Channel, message: Message) -> None:
        """Step to the very next message (L3)."""
        before = channel.ring_bytes
        channel.advance(message, RING_BYTES if self._ring_bytes < ALL_RINGS_BYTES else LEAST_RING_BYTES)
        self._ring_bytes += channel.ring_bytes - before

    def _restart(self, channel: Channel, top: Position) -> None:
        self._ring_bytes -= channel.ring_bytes
        channel.restart(top)

    def _go_live(self, channel: Channel) -> None:
        """Take what was held back, write it, and let in who waited."""
        channel.state = State.LIVE
        held, channel.held = channel.held, NOTHING
        for message in held:
            if channel.state is not State.LIVE and isinstance(message, Message) and message.offset:
                continue  # a hole was found just now: the sync that was asked for will read this one, too
            if not channel.is_past(message):
                self.take(channel, message)
        if channel.fresh:
            self._fanout.flush()
        self.on_live(channel)
