"""A position in a channel's log, and the newest messages up to it: what they prove needs no read of the log. Pure.

Each stored message carries its own tag and that of its predecessor. A message chains if it is the next one after the
last: its offset is one greater, and it names the last one's tag.

K1  `last` moves only along a proven link: to a message that chains, or, with a reset, to the top of the log (I3).
K2  The ring holds consecutive stored messages up to `last`. So it proves every position that lies within it.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import pairwise

from common.message import Join, Message
from common.position import START, Position
from common.scripts.results import SyncResult

EMPTY: tuple[()] = ()  # in place of a list: most channels hold nothing most of the time

MAX_RING_MESSAGES = 64  # what a poller may miss between two polls without a read from Redis; cut at twice as many
MAX_RING_BYTES = 262_144
MESSAGE_OVERHEAD = 200  # bytes of memory that a message uses besides its payload

#: What a subscriber is given in one go of what it missed; the message that reaches one of these is the last.
PIECE_BYTES = 262_144
PIECE_MESSAGES = 256


class Gap(Enum):
    """Why the messages from a position up to the channel's own position are not known."""

    UNPROVEN = "the log does not lead from one to the other"
    BEHIND = "the channel is not at the top of its log; it must be repaired before a subscriber enters"


class Chain:
    """The newest messages of a log, linked up to `last`."""

    __slots__ = ("last", "moved", "ring", "ring_bytes", "start")

    def __init__(self) -> None:
        # All messages up to this position are delivered; None until the first sync, and always without history.
        self.last: Position | None = None
        self.moved = False  # since the auditor's last look; the audit skips a channel that has moved
        self.start = 0  # the offset at which this edge began: no subscriber here gets that message or an older one
        self.ring: list[Message] | tuple[()] = EMPTY
        self.ring_bytes = 0

    def chains(self, message: Message) -> bool:
        """Say whether a stored message is the next one after `last`."""
        last = self.last
        return last is not None and message.prev == last.tag and message.offset == last.offset + 1

    def saw(self, message: Message) -> bool:
        """Say whether a stored message was received before, as far as the ring reaches."""
        if not self.ring or not self.ring[0].offset <= message.offset <= self.ring[-1].offset:
            return self.last == (message.offset, message.tag)
        return self.ring[message.offset - self.ring[0].offset].tag == message.tag

    def advance(self, message: Message, room: int = MAX_RING_BYTES) -> None:
        """Move to the next stored message, which chains, and keep it in the ring; the ring has `room` bytes."""
        self.last, self.moved = Position(message.offset, message.tag), True
        if not isinstance(self.ring, list):
            self.ring = []
        self.ring.append(message)
        self.ring_bytes += size_of(message)
        if len(self.ring) >= 2 * MAX_RING_MESSAGES or self.ring_bytes > room:
            self._shorten_ring(self.ring, room)

    def restart(self, top: Position) -> None:
        """Go on from another position in the log, to which no known message leads."""
        self.last, self.start = top, top.offset
        self.ring, self.ring_bytes = EMPTY, 0

    def tail(self, since: Position) -> Sequence[Message] | None:
        """Return the messages after `since` if the ring proves that none is missing (K2), else None."""
        if since == self.last:
            return []
        if not self.ring:
            return None
        index = since.offset - self.ring[0].offset + 1
        if not 0 <= index < len(self.ring):
            return None
        before = self.ring[index - 1].tag if index else self.ring[0].prev
        return self.ring[index:] if since.tag in (before, 0) else None

    def position_before(self, seq: str) -> str:
        """Return the position before the message at `seq`; if the ring does not hold that message, `seq` itself."""
        for message in reversed(self.ring):
            if str(message.position) == seq:
                return str(Position(message.offset - 1, message.prev))
        return seq

    @property
    def cursor(self) -> str:
        """What a subscriber sends back to go on from here; `0-0` if there is no position."""
        return str(self.last or START)

    def _shorten_ring(self, ring: list[Message], room: int) -> None:
        """Drop the oldest messages, many at a time because that is cheaper; the newest stays even if it is large."""
        keep = ring[-MAX_RING_MESSAGES:]
        size = sum(map(size_of, keep))
        while size > room // 2 and len(keep) > 1:
            size -= size_of(keep.pop(0))
        self.ring, self.ring_bytes = keep, size


def proven(since: Position, top: Position, messages: Sequence[Message]) -> bool:
    """Say whether `messages` are all that the log holds after `since`, up to and including `top`.

    They are if each one names its predecessor's tag, and the first one that of `since`. A `since` with tag 0 names no
    message: after it comes whatever the log still holds.
    """
    if not messages:
        return since == top or since.tag == 0
    first = messages[0]
    if since.tag and (first.offset, first.prev) != (since.offset + 1, since.tag):
        return False
    return _linked(messages) and (messages[-1].offset, messages[-1].tag) == top


def begin_after(since: Position, result: SyncResult) -> Position | Gap:
    """Return the position from which a subscriber at `since` goes on, by the first message that its log has after it.

    That is `since` itself if the log proves it. A `since` with tag 0 becomes the one before the first message.
    """
    top = result.top
    if not result.messages:
        is_proven = top.tag and (since == top or since.tag == 0)
        return top if is_proven else Gap.UNPROVEN if top.tag else Gap.BEHIND
    first = result.messages[0]
    before = Position(first.offset - 1, first.prev)
    return before if first.prev > 0 and (since == before or since.tag == 0) else Gap.UNPROVEN


def catch_up(since: Position, result: SyncResult, chain: Chain) -> Sequence[Message] | Gap:
    """Return the next messages after `since`, a read of its log brings the oldest; none if `since` is at `last`.

    Messages may have arrived by pub/sub between the read and now, or be in the log and not have arrived yet. The ring
    adds the former; the latter are left out, because pub/sub will deliver them, or a later read.
    """
    if not follows(since, result.messages, result.top):
        return Gap.UNPROVEN
    last = chain.last
    if last is None or since.offset > last.offset:
        return Gap.BEHIND
    messages = [message for message in result.messages if message.offset <= last.offset]
    reached = messages[-1].position if messages else since
    if reached is not None and reached.offset == last.offset:
        return messages if reached == last else Gap.UNPROVEN
    if messages:
        return messages
    tail = chain.tail(since)
    return Gap.BEHIND if tail is None else tail


def follows(since: Position, messages: Sequence[Message], top: Position) -> bool:
    """Say whether messages follow `since` without a hole, as far as they go; if there are none, it must be the top."""
    if not messages:
        return since == top
    first, last = messages[0], messages[-1]
    if (first.offset, first.prev) != (since.offset + 1, since.tag) or not _linked(messages):
        return False
    return last.offset < top.offset or (last.offset, last.tag) == top


def _linked(messages: Iterable[Message]) -> bool:
    return all(after.prev == before.tag and after.offset == before.offset + 1 for before, after in pairwise(messages))


def size_of(message: Message | Join) -> int:
    """Return about how many bytes of memory a message uses."""
    return MESSAGE_OVERHEAD + len(message.payload) if isinstance(message, Message) else MESSAGE_OVERHEAD
