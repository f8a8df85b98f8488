"""One channel's place in its log, and what becomes of the next message. Pure: every decision is a return value.

A channel of an edge goes STALE -> SUBSCRIBING -> SYNCING -> LIVE, and is STALE again while the Redis connection is
down. `ChannelLog` is that state machine: it is told what happens and returns a `Step`, which the tracker
(edge/channels/tracker.py) carries out. Where it stands and what it remembers is the `Chain` below it.

L1  What chains is delivered, even before the channel is LIVE again; what was seen before is dropped; anything else
    starts one repair for all subscribers of the channel, who get what was missing, or a reset (I3, I4, I6).
L2  While the channel is not LIVE, what does not chain is buffered, and nothing overtakes what is buffered.
L3  A result or an acknowledgement counts only for the attempt that it belongs to (I8).
L4  Bare messages are counted from the join frame of this edge's own join on, as every other edge counts them
    (docs/adoption.md); what was seen before is left to the edges that joined earlier.
"""

from collections.abc import Sequence
from enum import IntEnum

from common.message import Join, Message
from common.position import Position
from common.scripts.results import Bare, SyncQuery, SyncResult
from edge.chain import EMPTY, MAX_RING_BYTES, Chain, proven, size_of

MAX_ALL_RINGS_BYTES = 67_108_864
SMALL_RING_BYTES = 4096  # of a channel, when all rings together have more than that; the newest message is kept anyway
MAX_BUFFERED = 10_000  # messages that are kept back during a sync; at more, the channel starts over
MAX_BUFFERED_BYTES = 8_388_608


class State(IntEnum):
    """How far a channel is on its way from "not asked for" to "nothing is missed"."""

    STALE = 0  # its Redis connection is down, or was never up
    SUBSCRIBING = 1  # SUBSCRIBE is sent, not acknowledged
    SYNCING = 2  # acknowledged; its place in the log is being read or repaired
    LIVE = 3  # every message that is published arrives, or shows as a hole


class Step(IntEnum):
    """What has to be done about a message, or about a sync result."""

    DROP = 0  # nothing: it was seen before, is out of date, or is no message
    BUFFER = 1  # nothing now: it waits for the sync
    DELIVER = 2  # give it to the subscribers
    OFFER = 3  # hand it in to the log as `bare(payload)`; the log sends it again with a position
    TOO_LARGE = 4  # nothing but to count it
    REPAIR = 5  # read the log: something is missing
    REJOIN = 6  # subscribe anew
    RESET = 7  # tell the subscribers that what is missing cannot be known


# Members by their own names: an attribute of an Enum costs five times as much as a global, and this is per message.
STALE, SUBSCRIBING, SYNCING, LIVE = State
DROP, BUFFER, DELIVER, OFFER, TOO_LARGE, REPAIR, REJOIN, RESET = Step


class LogRules:
    """What holds for all channels of an edge, and the bytes that their rings hold together (I10)."""

    def __init__(self, *, keeps_history: bool = True, adopts: bool = False, max_message_bytes: int = 65_536) -> None:
        self.keeps_history = keeps_history
        self.adopts = adopts
        self.max_message_bytes = max_message_bytes
        self.ring_bytes = 0

    @property
    def room_of_a_ring(self) -> int:
        """How many bytes one channel's ring may hold now."""
        return MAX_RING_BYTES if self.ring_bytes < MAX_ALL_RINGS_BYTES else SMALL_RING_BYTES


class MessageBuffer:
    """Messages that are kept back, and about how many bytes of memory they take."""

    __slots__ = ("messages", "size")

    def __init__(self) -> None:
        self.messages: list[Message | Join] = []
        self.size = 0

    def add(self, message: Message | Join) -> bool:
        """Keep a message; return whether there was room for it."""
        self.messages.append(message)
        self.size += size_of(message)
        return len(self.messages) <= MAX_BUFFERED and self.size <= MAX_BUFFERED_BYTES


class ChannelLog(Chain):
    """One channel and its log."""

    __slots__ = (
        "attempt",
        "bare_count",
        "bare_epoch",
        "buffer",
        "first_bare_epoch",
        "name",
        "own_epoch",
        "state",
    )

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.state = STALE
        self.attempt = 0  # number of the SUBSCRIBE that counts
        self.buffer: MessageBuffer | None = None  # what arrived while not LIVE, to be looked at after the sync
        self.own_epoch = 0  # the bare epoch that this edge's join began; 0 before it joined
        self.first_bare_epoch = 0  # the first one that it counts in full: that of its own join frame, or of a later one
        self.bare_epoch = 0  # the one that the last join frame began; it joins after that if the log has gone back
        self.bare_count = 0  # bare messages seen in it

    @property
    def is_live(self) -> bool:
        """Whether every message that is published arrives, or shows as a hole."""
        return self.state is LIVE

    # The subscription.

    def subscribe(self, attempt: int) -> None:
        """A SUBSCRIBE goes out; only its acknowledgement counts from now on (L3)."""
        self.state, self.attempt, self.buffer = SUBSCRIBING, attempt, None
        self.own_epoch = self.first_bare_epoch = self.bare_count = 0

    def forget_subscription(self) -> None:
        """The subscription is gone: what was counted or buffered on it means nothing on the next."""
        self.subscribe(0)
        self.state = STALE

    def on_subscribed(self, rules: LogRules) -> SyncQuery | None:
        """Every message arrives from now on. Return what to read; None if there is no log, so that it is LIVE."""
        if rules.keeps_history:
            return self.begin_sync(self.bare_epoch if rules.adopts else None)
        self.state = LIVE
        return None

    def begin_sync(self, known_epoch: int | None = None) -> SyncQuery:
        """Begin to sync and return what to read; with a known bare epoch the edge joins after that."""
        self.state = SYNCING
        return SyncQuery(self.name, self.last.offset if self.last else None, known_epoch)

    def is_syncing(self, attempt: int) -> bool:
        """Say whether the sync of an attempt is still under way."""
        return self.attempt == attempt and self.state is SYNCING

    # Messages.

    def receive(self, message: Message | Join, rules: LogRules) -> Step:
        """Decide what becomes of a message that arrived."""
        if not self._is_decided_now(message):
            return self._buffer(message)
        if isinstance(message, Join):
            return DROP if self._on_join_frame(message.epoch) else REJOIN
        if not message.offset:
            return self._receive_unstored(message, rules)
        if self.chains(message):
            self._advance(message, rules)
            return DELIVER
        if not rules.keeps_history:
            return DELIVER
        # What does not chain was in the log before it was sent: the sync brings it, or shows that it cannot be known.
        return DROP if self.saw(message) else REPAIR

    def receive_buffered(self, message: Message | Join, rules: LogRules) -> Step:
        """Decide what becomes of a message from the buffer, after the sync."""
        if isinstance(message, Message) and message.offset and self._is_brought_by_sync(message):
            return DROP
        return self.receive(message, rules)

    def on_synced(
        self, attempt: int, read_from: Position | None, result: SyncResult, rules: LogRules
    ) -> tuple[Step, Sequence[Message]]:
        """Decide what a sync result means that was asked for at `read_from`; the channel may have gone on since.

        Returns DROP if it counts no more (L3), REPAIR if the log must be read again, else DELIVER with the messages
        that were missing, or RESET. After these two the channel is at the top of its log; `go_live` comes next.
        """
        if not self.is_syncing(attempt):
            return DROP, EMPTY
        self.own_epoch = result.epoch or self.own_epoch
        last, top = self.last, result.top
        if last is None:
            self._restart(top, rules)
        elif last != read_from and top.offset < last.offset:  # read before the messages that chained since
            return (REPAIR if self.tail(top) is None else DELIVER), EMPTY
        elif last != top:
            return self._bring_up(last, result, rules)
        return DELIVER, EMPTY

    def go_live(self) -> Sequence[Message | Join]:
        """The channel is LIVE; return what was buffered, each to be given to `receive_buffered`."""
        self.state = LIVE
        buffer, self.buffer = self.buffer, None
        return buffer.messages if buffer is not None else EMPTY

    def bare(self, payload: bytes) -> Bare:
        """Return the bare message that was counted last, as it is handed in to the log."""
        return Bare(self.bare_epoch, self.bare_count, payload)

    def _is_decided_now(self, message: Message | Join) -> bool:
        """Say whether a message need not wait until the channel is LIVE (L2).

        After the edge's own join, bare messages are counted at once: their order among themselves is what counts, and
        join frames must find it as every other edge does. A stored message that chains is itself the proof that none
        is missing before it: after an outage it does not wait until all channels are synced.
        """
        if self.state is LIVE:
            return True
        if self.buffer is not None:
            return False
        return self.own_epoch > 0 if isinstance(message, Join) or message.bare else self.chains(message)

    def _buffer(self, message: Message | Join) -> Step:
        if self.buffer is None:
            self.buffer = MessageBuffer()
        return BUFFER if self.buffer.add(message) else REJOIN

    def _receive_unstored(self, message: Message, rules: LogRules) -> Step:
        """Decide about a message without a position; a bare one is first offered to the log."""
        if len(message.payload) > rules.max_message_bytes:
            return TOO_LARGE
        if not message.bare or not rules.adopts:
            return DELIVER
        if not self.first_bare_epoch:
            return DROP
        self.bare_count += 1
        return OFFER

    def _on_join_frame(self, epoch: int) -> bool:
        """Count bare messages from one again (L4).

        Return False if the edge must join again: the log has gone back, and other edges count from an epoch that this
        one has been in before.
        """
        if self.first_bare_epoch and epoch <= self.bare_epoch:
            self.bare_epoch += 1  # the log may have begun this one, too, but not the same
            return False
        if self.own_epoch and epoch >= self.own_epoch:
            epoch = self.own_epoch if epoch == self.own_epoch else epoch  # one object for both: channels may be many
            self.first_bare_epoch = self.first_bare_epoch or epoch
            self.bare_epoch, self.bare_count = epoch, 0
        return True

    def _is_brought_by_sync(self, message: Message) -> bool:
        """Say whether the last sync brought a stored message, or the one that has just become necessary will."""
        return self.state is not LIVE or (self.last is not None and message.offset <= self.last.offset)

    def _bring_up(self, last: Position, result: SyncResult, rules: LogRules) -> tuple[Step, Sequence[Message]]:
        missed = [message for message in result.messages if message.offset > last.offset]
        if not proven(last, result.top, missed):
            self._restart(result.top, rules)
            return RESET, EMPTY
        for message in missed:
            self._advance(message, rules)
        return DELIVER, missed

    # The ring's share of what all rings may hold.

    def give_up_ring(self, rules: LogRules) -> None:
        """The channel is let go; its ring counts no longer."""
        rules.ring_bytes -= self.ring_bytes

    def _advance(self, message: Message, rules: LogRules) -> None:
        before = self.ring_bytes
        self.advance(message, rules.room_of_a_ring)
        rules.ring_bytes += self.ring_bytes - before

    def _restart(self, top: Position, rules: LogRules) -> None:
        rules.ring_bytes -= self.ring_bytes
        self.restart(top)
