"""One channel as an edge sees it: who listens, where its log stands, and the messages that came last. Pure."""

from collections import deque
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from common.message import Join, Message
from common.position import START, Position
from common.scripts.results import Bare

if TYPE_CHECKING:
    from edge.engine.fanout import Job
    from edge.engine.seats import Seat
    from edge.framing import Item
    from edge.state import PendingAttach

# Shared empty values: a channel at rest owns no list it does not use. Compared by identity, never filled.
NOTHING: list[Any] = []
NOBODY: dict[Any, Any] = {}

RING_MESSAGES = 64  # what a poller may have missed between two polls without a read from Redis
RING_BYTES = 262_144
MESSAGE_BYTES = 200  # that a message takes besides its payload
MOST_HELD = 10_000  # messages kept back during a sync; at more, the channel starts over
MOST_HELD_BYTES = 8_388_608


class State(IntEnum):
    """How far a channel is on its way from "nobody asked" to "nothing is missed"."""

    STALE = 0  # its Redis connection is down, or was never up
    SUBSCRIBING = 1  # SUBSCRIBE is sent, not acknowledged
    SYNCING = 2  # acknowledged; its place in the log is being read or repaired
    LIVE = 3  # every message that is published reaches us, or shows as a hole


class Held(list[Message | Join]):
    """Messages that are kept back, and what they weigh together."""

    weight = 0


class Channel:
    """The edge's record of one channel; it lingers for a while after its last subscriber has left.

    `last` is the position up to which everything was handed on (None until the first sync, and for ever in a
    deployment without history). It moves only along a proven link (I3).
    """

    __slots__ = (
        "attempt",
        "away",
        "began",
        "counted",
        "deadline",
        "epoch",
        "first_epoch",
        "fresh",
        "held",
        "job",
        "joined",
        "last",
        "moved",
        "name",
        "ring",
        "ring_bytes",
        "seats",
        "sent_at",
        "state",
        "tick",
        "waiting",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = State.STALE
        self.attempt = 0  # number of the SUBSCRIBE that counts; acknowledgements of others are void (I8)
        self.last: Position | None = None
        self.moved = False  # along its chain, since the auditor last looked: then it need not be compared with its log
        self.began = 0  # the offset at which our log begins: nobody here got that message or an older one
        self.ring: list[Message] = NOTHING  # consecutive stored messages up to `last`
        self.ring_bytes = 0
        self.held: list[Message | Join] = NOTHING  # arrived while not LIVE, to be looked at after the sync
        self.fresh: list[Item] = NOTHING  # items taken in this turn, not yet written to anybody
        self.joined = 0  # adoption: the epoch our own join began; 0 while we have not joined
        self.first_epoch = 0  # the first epoch we count in full: that of our own join frame, or of a later one
        self.epoch = 0  # the epoch the last join frame began; we join after it if the log has gone back
        self.counted = 0  # bare messages seen in it
        self.seats: dict[Seat, None] | tuple[Seat] | tuple[()] = ()  # a tuple up to one: a dict costs 170 bytes more
        self.job: Job | None = None  # its messages that are being written now
        self.waiting: dict[PendingAttach, int] = NOBODY  # who waits for LIVE, and at which place it asked for us
        self.sent_at = 0.0  # when data last came for the seats
        self.away: deque[float] | None = None  # until when each poller between two polls counts as connected
        self.deadline = 0.0
        self.tick = 0

    @property
    def occupied(self) -> bool:
        """Whether anybody here listens or waits to."""
        return bool(self.seats or self.waiting)

    def add(self, seat: "Seat") -> None:
        """Let a seat listen."""
        if isinstance(self.seats, dict):
            self.seats[seat] = None
        else:
            self.seats = {self.seats[0]: None, seat: None} if self.seats else (seat,)

    def discard(self, seat: "Seat") -> None:
        """Take a seat away, if it is here."""
        if isinstance(self.seats, dict):
            self.seats.pop(seat, None)
        elif seat in self.seats:
            self.seats = ()

    @property
    def cursor(self) -> str:
        """What a subscriber sends back to go on from here; `0-0` where no positions are kept."""
        return str(self.last or START)

    @property
    def told(self) -> str:
        """The position of a seat that was given all that is on its way now (see `FanOut.settle`)."""
        return self.job.cursor if self.job is not None else self.cursor

    def subscribers(self, now: float) -> int:
        """Count the connected: held connections, and pollers that are expected back."""
        return len(self.seats) + self._pollers_away(now)

    def reached(self, message: Message, now: float) -> int:
        """Count who gets a message here; one from before our start, that comes late, is nobody's."""
        return 0 if 0 < message.offset <= self.began else self.subscribers(now)

    def is_open_at(self, since: Position | None) -> bool:
        """Say whether a subscriber that goes on from there (None: from now on) may join at once, and misses nothing."""
        return self.state is State.LIVE and not self.fresh and (since is None or since == self.last)

    def poller_left(self, now: float, until: float) -> None:
        """A poll was answered; its client counts as connected until it is overdue."""
        if self.away is None:
            self.away = deque()
        while self.away and self.away[0] <= now:
            self.away.popleft()
        self.away.append(until)

    def poller_came_back(self) -> None:
        """A poll came that goes on from an earlier one."""
        if self.away:
            self.away.popleft()

    def _pollers_away(self, now: float) -> int:
        if self.away is None:
            return 0
        while self.away and self.away[0] <= now:
            self.away.popleft()
        return len(self.away)

    def is_syncing(self, attempt: int) -> bool:
        """Say whether the sync of this attempt is still under way."""
        return self.attempt == attempt and self.state is State.SYNCING

    def chains(self, message: Message) -> bool:
        """Say whether a stored message is the very next one."""
        last = self.last
        return last is not None and message.prev == last.tag and message.offset == last.offset + 1

    def takes_now(self, message: Message | Join) -> bool:
        """Say whether a message need not wait until the channel is live.

        Once we have joined, bare messages are counted at once: their order among themselves is what counts, and join
        frames must find it as every other edge does. A stored message that chains is itself the proof that none is
        missing before it: after an outage it does not wait until all channels are synced. Nothing overtakes what waits.
        """
        if self.state is State.LIVE:
            return True
        if self.held:
            return False
        return self.joined > 0 if isinstance(message, Join) or message.bare else self.chains(message)

    def is_past(self, message: Message | Join) -> bool:
        """Say whether a message that was held back is covered by the sync already."""
        return isinstance(message, Message) and self.last is not None and 0 < message.offset <= self.last.offset

    def advance(self, message: Message, most_bytes: int = RING_BYTES) -> None:
        """Step to the very next stored message and remember it, as far as so many bytes go."""
        self.last, self.moved = Position(message.offset, message.tag), True
        if self.ring is NOTHING:
            self.ring = []
        self.ring.append(message)
        self.ring_bytes += _weight(message)
        if len(self.ring) >= 2 * RING_MESSAGES or self.ring_bytes > most_bytes:
            self._shorten_ring(most_bytes)

    def hold(self, message: Message | Join) -> bool:
        """Keep a message back until a sync has shown where it belongs; say whether there was room for it."""
        held = self.held = self.held if isinstance(self.held, Held) else Held()
        held.append(message)
        held.weight += _weight(message)
        return len(held) <= MOST_HELD and held.weight <= MOST_HELD_BYTES

    def on_join_frame(self, epoch: int) -> bool:
        """Begin to count from one; what was seen before our own join is left to the edges that joined earlier.

        Return False if we must join again: the log has gone back, and others count from where we have been before.
        """
        if self.first_epoch and epoch <= self.epoch:
            self.epoch += 1  # the log may have begun this one, too, but not the same
            return False
        if self.joined and epoch >= self.joined:
            epoch = self.joined if epoch == self.joined else epoch  # one object for both: there may be many channels
            self.first_epoch = self.first_epoch or epoch
            self.epoch, self.counted = epoch, 0
        return True

    def count_bare(self, payload: bytes) -> Bare | None:
        """Number a bare message, as every other edge that sees it does."""
        if not self.first_epoch:
            return None
        self.counted += 1
        return Bare(self.epoch, self.counted, payload)

    def forget_subscription(self) -> None:
        """The Redis connection is gone: what was counted or held back on it means nothing on the next."""
        self.state, self.attempt, self.held = State.STALE, 0, NOTHING
        self.joined = self.first_epoch = self.counted = 0

    def _shorten_ring(self, most_bytes: int) -> None:
        """Forget the oldest messages, many at once; the newest stays even if it is large."""
        keep = self.ring[-RING_MESSAGES:]
        size = sum(map(_weight, keep))
        while size > most_bytes // 2 and len(keep) > 1:
            size -= _weight(keep.pop(0))
        self.ring, self.ring_bytes = keep, size

    def saw(self, message: Message) -> bool:
        """Say whether a stored message was taken before."""
        if not self.ring or not self.ring[0].offset <= message.offset <= self.ring[-1].offset:
            return self.last == (message.offset, message.tag)
        return self.ring[message.offset - self.ring[0].offset].tag == message.tag

    def restart(self, top: Position) -> None:
        """Go on from another place in the log; what was known before no longer leads anywhere."""
        self.last, self.began = top, top.offset
        self.ring, self.ring_bytes = NOTHING, 0

    def position_before(self, seq: str) -> str:
        """Return the position before a message that the ring may hold; its own if the ring does not."""
        for message in reversed(self.ring):
            if str(message.position) == seq:
                return str(Position(message.offset - 1, message.prev))
        return seq

    def tail(self, since: Position) -> list[Message] | None:
        """Return the messages after `since`, if the ring proves that none is missing; else None."""
        if since == self.last:
            return []
        if not self.ring:
            return None
        index = since.offset - self.ring[0].offset + 1
        if not 0 <= index < len(self.ring):
            return None
        before = self.ring[index - 1].tag if index else self.ring[0].prev
        return self.ring[index:] if since.tag in (before, 0) else None


def _weight(message: Message | Join) -> int:
    """Return about how many bytes of memory a message takes."""
    return MESSAGE_BYTES + len(message.payload) if isinstance(message, Message) else MESSAGE_BYTES


def proven(since: Position, top: Position, messages: Sequence[Message]) -> bool:
    """Say whether `messages` are all that the log holds after `since`, up to and including `top`.

    That is so if each names its predecessor's tag, the first one that of `since`. A `since` with the tag 0 names no
    message and is followed by whatever is kept.
    """
    if not messages:
        return since == top or since.tag == 0
    first = messages[0]
    if since.tag and (first.offset, first.prev) != (since.offset + 1, since.tag):
        return False
    return _linked(messages) and (messages[-1].offset, messages[-1].tag) == top


def _linked(messages: Iterable[Message]) -> bool:
    return all(after.prev == before.tag and after.offset == before.offset + 1 for before, after in pairwise(messages))
