"""The state machine of a channel: what is done about each message and each sync result. Pure.

A channel of an edge goes STALE -> SUBSCRIBING -> SYNCING -> LIVE, and back to STALE while the Redis connection is down.
Each method takes one event and returns the decision, most often a `Step`. ChannelTracker (edge/channels/tracker.py)
carries it out: it reads logs, gives messages to the fan-out, and subscribes anew. The position in the log and the
newest messages are in the base class, `Chain` (edge/chain.py); the subscribers are in the subclass, `Channel`
(edge/state.py).

L1  A message that chains is delivered, even before the channel is LIVE again. A message that was seen before is
    dropped. Any other one starts one repair for all subscribers of the channel: they get what they missed, or a reset
    (I3, I4, I6).
L2  While the channel is not LIVE, what does not chain is buffered, and nothing overtakes the buffer.
L3  A sync result or an acknowledgement counts only for the attempt that it belongs to (I8).
L4  Bare messages are counted from the join frame of this edge's own join on, as every other edge counts them
    (docs/adoption.md). Earlier ones are left to the edges that joined earlier.
"""

from collections.abc import Sequence
from enum import IntEnum

from common.message import Join, Message
from common.position import Position
from common.scripts.results import Bare, SyncQuery, SyncResult
from edge.chain import EMPTY, MAX_RING_BYTES, Chain, proven, size_of

MAX_ALL_RINGS_BYTES = 67_108_864
MAX_SMALL_RING_BYTES = 4096  # of one ring while all rings together exceed their limit; the newest message stays anyway
MAX_BUFFERED = 10_000  # messages in a channel's buffer; with more, the edge subscribes to the channel anew
MAX_BUFFERED_BYTES = 8_388_608  # the same in bytes of memory


class State(IntEnum):
    """How far a channel is between "no subscription" and "no message is missed"."""

    STALE = 0  # the Redis connection is down, or was never up
    SUBSCRIBING = 1  # SUBSCRIBE is sent and not acknowledged
    SYNCING = 2  # SUBSCRIBE is acknowledged; the log is being read
    LIVE = 3  # every message that is published arrives, or leaves a hole that the next one shows


class Step(IntEnum):
    """What to do about a message, or about a sync result."""

    DROP = 0  # nothing: it was seen before, is out of date, or is no message
    BUFFER = 1  # nothing now: it is in the buffer until the sync is over
    DELIVER = 2  # send it to the subscribers
    OFFER = 3  # hand it in to the log as `bare(payload)`; the log sends it again with a position
    TOO_LARGE = 4  # count it, and nothing else
    REPAIR = 5  # read the log: messages are missing
    REJOIN = 6  # subscribe anew
    RESET = 7  # send the subscribers a reset: what is missing cannot be known


# Members by their own names: an attribute of an Enum costs five times as much as a global, and this is per message.
STALE, SUBSCRIBING, SYNCING, LIVE = State
DROP, BUFFER, DELIVER, OFFER, TOO_LARGE, REPAIR, REJOIN, RESET = Step


class LogRules:
    """The rules that all channels of an edge share, and the bytes that their rings hold together (I10)."""

    def __init__(self, *, keeps_history: bool = True, adopts: bool = False, max_message_bytes: int = 65_536) -> None:
        self.keeps_history = keeps_history  # whether channels have logs
        self.adopts = adopts  # whether bare messages are handed in to the logs
        self.max_message_bytes = max_message_bytes  # of a bare message's payload
        self.ring_bytes = 0


class MessageBuffer:
    """Messages that wait for the end of a sync, and about how many bytes of memory they use."""

    __slots__ = ("messages", "size")

    def __init__(self) -> None:
        self.messages: list[Message | Join] = []
        self.size = 0

    def add(self, message: Message | Join) -> bool:
        """Keep a message; return whether the buffer is within its limits."""
        self.messages.append(message)
        self.size += size_of(message)
        return len(self.messages) <= MAX_BUFFERED and self.size <= MAX_BUFFERED_BYTES


class ChannelLog(Chain):
    """One channel's subscription, its place in the log, and what it counts."""

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
        self.attempt = 0  # number of the only SUBSCRIBE whose acknowledgement counts
        self.buffer: MessageBuffer | None = None  # what arrived while not LIVE, to be decided after the sync
        self.own_epoch = 0  # the bare epoch that this edge's join began; 0 before it joined
        self.first_bare_epoch = 0  # the first that this edge counts in full: its own, or a later one; 0: none yet
        self.bare_epoch = 0  # the one that the newest join frame began
        self.bare_count = 0  # bare messages seen in `bare_epoch`

    @property
    def is_live(self) -> bool:
        """Whether the channel is LIVE."""
        return self.state is LIVE

    # The subscription.

    def subscribe(self, attempt: int) -> None:
        """A SUBSCRIBE is sent; from now on only its acknowledgement counts (L3)."""
        self.state, self.attempt, self.buffer = SUBSCRIBING, attempt, None
        self.own_epoch = self.first_bare_epoch = self.bare_count = 0

    def forget_subscription(self) -> None:
        """The subscription is gone: what it counted and buffered means nothing for the next one."""
        self.subscribe(0)
        self.state = STALE

    def on_subscribed(self, rules: LogRules) -> SyncQuery | None:
        """SUBSCRIBE is acknowledged: return what to read, or None if there is no log, which makes the channel LIVE."""
        if rules.keeps_history:
            return self.begin_sync(self.bare_epoch if rules.adopts else None)
        self.state = LIVE
        return None

    def begin_sync(self, known_epoch: int | None = None) -> SyncQuery:
        """Begin to sync and return what to read; with `known_epoch`, the newest bare epoch seen, the edge joins too."""
        self.state = SYNCING
        return SyncQuery(self.name, self.last.offset if self.last else None, known_epoch)

    def is_syncing(self, attempt: int) -> bool:
        """Say whether the sync of an attempt is still awaited."""
        return self.attempt == attempt and self.state is SYNCING

    # Messages.

    def receive(self, message: Message | Join, rules: LogRules) -> Step:
        """Decide what to do about a message that arrived."""
        if self.state is not LIVE and not self._is_decided_now(message):
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
        # A stored message is in the log before it is sent: the sync brings it, or shows that it cannot be known.
        return DROP if self.saw(message) else REPAIR

    def receive_buffered(self, message: Message | Join, rules: LogRules) -> Step:
        """Decide what to do about a message from the buffer, after the sync."""
        if isinstance(message, Message) and message.offset and self._is_brought_by_sync(message):
            return DROP
        return self.receive(message, rules)

    def on_synced(
        self, attempt: int, read_from: Position | None, result: SyncResult, rules: LogRules
    ) -> tuple[Step, Sequence[Message]]:
        """Decide what to do about the result of a sync that began at position `read_from` (None: nowhere yet).

        Return DROP if it does not count (L3), REPAIR if the log must be read again, or else DELIVER with the messages
        that were missing, or RESET. After the last two the channel is at the top of its log, and `go_live` is next.
        """
        if not self.is_syncing(attempt):
            return DROP, EMPTY
        self.own_epoch = result.epoch or self.own_epoch
        last, top = self.last, result.top
        if last is None:
            self._restart(top, rules)
        elif last != read_from and top.offset < last.offset:  # read before messages that chained meanwhile
            return (REPAIR if self.tail(top) is None else DELIVER), EMPTY
        elif last != top:
            return self._bring_up(last, result, rules)
        return DELIVER, EMPTY

    def go_live(self) -> Sequence[Message | Join]:
        """Be LIVE, and return what was buffered: each is to be given to `receive_buffered`."""
        self.state = LIVE
        buffer, self.buffer = self.buffer, None
        return buffer.messages if buffer is not None else EMPTY

    def bare(self, payload: bytes) -> Bare:
        """Return the payload as the bare message that was counted last, to be handed in to the log."""
        return Bare(self.bare_epoch, self.bare_count, payload)

    def _is_decided_now(self, message: Message | Join) -> bool:
        """Say whether a message need not be buffered although the channel is not LIVE (L2).

        After the edge's own join, bare messages and join frames are counted at once, because every edge has to count
        them in the order in which they arrive. A stored message that chains proves that none is missing before it:
        after an outage it does not wait for the sync.
        """
        if self.buffer is not None:
            return False
        return self.own_epoch > 0 if isinstance(message, Join) or message.bare else self.chains(message)

    def _buffer(self, message: Message | Join) -> Step:
        if self.buffer is None:
            self.buffer = MessageBuffer()
        return BUFFER if self.buffer.add(message) else REJOIN

    def _receive_unstored(self, message: Message, rules: LogRules) -> Step:
        """Decide what to do about a message without a position; a bare one is first offered to the log."""
        if len(message.payload) > rules.max_message_bytes:
            return TOO_LARGE
        if not message.bare or not rules.adopts:
            return DELIVER
        if not self.first_bare_epoch:
            return DROP
        self.bare_count += 1
        return OFFER

    def _on_join_frame(self, epoch: int) -> bool:
        """Begin to count bare messages from one (L4); return False if the edge must join again.

        It must if the epoch is not newer than the last one: the log has gone back, and other edges count in an epoch
        that this edge has counted in before.
        """
        if self.first_bare_epoch and epoch <= self.bare_epoch:
            self.bare_epoch += 1  # the log may have begun an epoch of this number as well, but it is another one
            return False
        if self.own_epoch and epoch >= self.own_epoch:
            epoch = self.own_epoch if epoch == self.own_epoch else epoch  # share one int object: it saves memory
            self.first_bare_epoch = self.first_bare_epoch or epoch
            self.bare_epoch, self.bare_count = epoch, 0
        return True

    def _is_brought_by_sync(self, message: Message) -> bool:
        """Say whether a stored message was part of the last sync, or will be part of the one that is now needed."""
        return self.state is not LIVE or (self.last is not None and message.offset <= self.last.offset)

    def _bring_up(self, last: Position, result: SyncResult, rules: LogRules) -> tuple[Step, Sequence[Message]]:
        missed = [message for message in result.messages if message.offset > last.offset]
        if not proven(last, result.top, missed):
            self._restart(result.top, rules)
            return RESET, EMPTY
        for message in missed:
            self._advance(message, rules)
        return DELIVER, missed

    # The ring's share of the bytes that all rings may hold (I10).

    def release_ring(self, rules: LogRules) -> None:
        """The channel leaves this edge: subtract its ring's bytes from those of all rings."""
        rules.ring_bytes -= self.ring_bytes

    def _advance(self, message: Message, rules: LogRules) -> None:
        before = self.ring_bytes
        self.advance(message, MAX_RING_BYTES if rules.ring_bytes < MAX_ALL_RINGS_BYTES else MAX_SMALL_RING_BYTES)
        rules.ring_bytes += self.ring_bytes - before

    def _restart(self, top: Position, rules: LogRules) -> None:
        rules.ring_bytes -= self.ring_bytes
        self.restart(top)
