"""Pieces: logs are read for subscribers that are behind in pieces, for which the channels take turns.

T1  The bytes of all pieces that are asked for, or read and still needed, have a limit: before a piece is asked for,
    room for the largest is reserved. A piece is needed until it is handed to the kernel or to the outbox, alone or as a
    part of an answer.
T2  Those that wait for the same position get one piece. One read serves all positions of its channel that lie in it, so
    the oldest position is read first; but no other one is passed over twice for that.
    A piece is kept for a moment after its last use, as long as nobody else needs the room.
T3  Joins of channels have reads of their own (sync.py). So a join waits for no piece.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from common.message import Message
from common.position import Position, Positions
from common.scripts.results import SyncQuery, SyncResult
from common.tasks import TurnQueue
from edge.chain import Gap, catch_up, size_of
from edge.channels.attach import Reader
from edge.channels.kept import Kept, first_expiry
from edge.channels.sync import SyncRequest
from edge.framing.base import SHORT_DATA, Encoded, Framing
from edge.framing.items import Item, mark, unexpired_items
from edge.state import Channel

MAX_BYTES_UNDER_WAY = 16_777_216  # T1
MAX_READS = 4  # under way at a time
WRAPPING = 100  # about how many bytes are around a content

Key = tuple[Channel, Position]


class Waiting(Protocol):
    """A subscriber that waits for a piece."""

    def awaits(self, channel: Channel, since: Position) -> bool:
        """Say whether it still waits for the piece of a channel after a position."""

    def give(self, outcome: "Piece | Gap | None") -> None:
        """End the wait with messages, with the reason why there are none, or with None if none are missing."""


class Lease:
    """Bytes that count as under way as long as anything refers to this."""

    __slots__ = ("_give_back", "_size")

    def __init__(self, size: int, give_back: Callable[[int], None]) -> None:
        self._size = size
        self._give_back = give_back

    def __del__(self) -> None:
        self._give_back(self._size)


class Piece:
    """Consecutive messages of a channel, encoded once for each framing; `end` is the position after them."""

    __slots__ = ("_encoded", "_lease", "end", "expires", "items")

    def __init__(self, channel: Channel, messages: Sequence[Message], now: float, lease: Lease | None = None) -> None:
        last = messages[-1]
        self.end = Position(last.offset, last.tag)
        self.items: list[Item] = unexpired_items(channel.name, messages, now)
        self.expires = first_expiry(messages, now)
        self._encoded: dict[Framing, Encoded] = {}
        self._lease = lease

    def encode(self, framing: Framing) -> Encoded:
        """Return the messages in a framing."""
        encoded = self._encoded.get(framing)
        if encoded is None:
            data = framing.part(self.items) if self.items else b""
            encoded = self._encoded[framing] = Encoded(data, len(self.items), self._lease)
        return encoded


class Gathered:
    """Small pieces of several channels that leave in one write, since each write has a cursor of all channels."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: dict[Channel, Piece] = {}
        self._size = 0

    def __contains__(self, channel: Channel) -> bool:
        return channel in self._pieces

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, channel: Channel, piece: Piece) -> bool:
        """Keep the piece of one more channel; return whether there is enough for a write."""
        self._pieces[channel] = piece
        self._size += sum([len(item.content or "") + WRAPPING for item in piece.items])
        return self._size >= SHORT_DATA

    def discard(self, channel: Channel) -> None:
        """Drop the piece of a channel, if there is one."""
        self._pieces.pop(channel, None)

    def take(self, positions: Positions) -> list[Item]:
        """Return the messages, the last with the cursor, and move positions over them; nothing is kept any more."""
        pieces, self._pieces, self._size = self._pieces, {}, 0
        items = [item for piece in pieces.values() for item in piece.items]
        positions.update({channel.name: str(piece.end) for channel, piece in pieces.items()})
        return mark(items, len(items) - 1, positions.cursor) if items else []


class Delivery:
    """What follows a position, for all who wait for it; what was read is decided when it is given first."""

    __slots__ = ("_kept", "_key", "_lease", "_outcome", "_result")

    def __init__(
        self,
        key: Key,
        kept: Kept[Key, Piece],
        outcome: Piece | Gap | None = None,
        result: SyncResult | None = None,
        lease: Lease | None = None,
    ) -> None:
        self._key = key
        self._kept = kept
        self._outcome = outcome
        self._result = result
        self._lease = lease

    def give(self, subscriber: Waiting) -> None:
        """Give it to a subscriber, if that still waits for it."""
        if subscriber.awaits(*self._key):
            self._decide()
            subscriber.give(self._outcome)

    def _decide(self) -> None:
        """Decide once for all what the subscribers get."""
        result, lease, self._result = self._result, self._lease, None
        if result is None or lease is None:
            return
        channel, since = self._key
        messages = catch_up(since, result, channel)
        if isinstance(messages, Gap):
            self._outcome = messages
        elif messages:
            self._outcome = self._kept.keep(self._key, Piece(channel, messages, time.time(), lease))


#: Something for one of those that wait for it.
Handout = tuple[Delivery, Waiting]


class PieceReader:
    """Reads pieces for subscribers; `largest` is how many bytes of memory one may take."""

    def __init__(
        self,
        reader: Reader,
        clock: Callable[[], float],
        call_soon: Callable[..., object],
        *,
        largest: int,
    ) -> None:
        self._reader = reader
        self._call_soon = call_soon
        self._largest = largest
        self._bytes = 0  # under way
        self._waiting: dict[Channel, dict[Position, list[Waiting]]] = {}  # the channel whose turn is next comes first
        self._passed: set[Key] = set()  # positions that have waited for a read from an older one
        self._reading: dict[Key, list[Waiting]] = {}
        # At the end of a turn more is asked for, because what is only kept then gives way.
        self._handouts: TurnQueue[Handout] = TurnQueue(clock, call_soon, _hand_out, self._ask_for_more)
        self.kept: Kept[Key, Piece] = Kept(clock)

    def make_room(self) -> bool:
        """Return whether one more piece may be asked for, as far as the bytes under way allow that."""
        while self._bytes and self._bytes + self._largest > MAX_BYTES_UNDER_WAY:
            if not self.kept.drop_oldest():
                return False
        return True

    def ask(self, subscriber: Waiting, channel: Channel, since: Position) -> None:
        """Have a piece read after a position, and give it to a subscriber if that still waits for it then."""
        kept = self.kept.find((channel, since), time.time())
        if kept is not None:
            self._give(Delivery((channel, since), self.kept, kept), [subscriber])
            return
        those = self._reading.get((channel, since))
        if those is None:
            those = self._waiting.setdefault(channel, {}).setdefault(since, [])
        those.append(subscriber)
        self._ask_for_more()

    def _ask_for_more(self) -> None:
        while self._waiting and len(self._reading) < MAX_READS and self.make_room():
            channel = next(iter(self._waiting))
            positions = self._waiting.pop(channel)
            since = self._choose(channel, positions)
            key = channel, since
            self._reading[key] = positions.pop(since)
            if positions:
                self._waiting[channel] = positions
            self._bytes += self._largest
            query = SyncQuery(channel.name, since.offset)
            self._reader.ask(SyncRequest(query, partial(self._on_read, key), partial(self._is_awaited, key)))

    def _choose(self, channel: Channel, positions: dict[Position, list[Waiting]]) -> Position:
        """Return the position to read from (T2)."""
        first = next(iter(positions))
        oldest = min(positions)
        if first == oldest or (channel, first) in self._passed:
            self._passed.discard((channel, first))
            return first
        self._passed.add((channel, first))
        return oldest

    def _is_awaited(self, key: Key) -> bool:
        """Say whether a subscriber still waits for a read; if none does, forget it."""
        if any(one.awaits(*key) for one in self._reading.get(key, ())):
            return True
        if self._reading.pop(key, None) is not None:
            self._give_back(self._largest)
        return False

    def _give_back(self, size: int) -> None:
        self._bytes -= size
        if self._waiting:
            self._call_soon(self._ask_for_more)

    def _on_read(self, key: Key, result: SyncResult | None) -> None:
        those = self._reading.pop(key, None)
        if those is None:
            return
        channel, since = key
        self._bytes -= self._largest
        if result is None:
            self._give(Delivery(key, self.kept, Gap.UNPROVEN), those)
        else:
            size = sum(map(size_of, result.messages))
            self._bytes += size
            lease = Lease(size, self._give_back)
            self._give(Delivery(key, self.kept, None, result, lease), those)
            for at in self._covered(channel, since, result.messages):
                part = SyncResult(result.top, result.messages[at.offset - since.offset :])
                self._give(Delivery((channel, at), self.kept, None, part, lease), self._take(channel, at))
        self._ask_for_more()

    def _covered(self, channel: Channel, since: Position, messages: Sequence[Message]) -> list[Position]:
        """Return the positions that wait and lie within some messages after `since`, before the last of them."""
        waiting = self._waiting.get(channel, ())
        places = ((at, at.offset - since.offset) for at in waiting)
        return [at for at, place in places if 0 < place < len(messages) and messages[place - 1].position == at]

    def _take(self, channel: Channel, at: Position) -> list[Waiting]:
        """Return those that wait at a position, and let them wait no longer."""
        positions = self._waiting[channel]
        those = positions.pop(at)
        self._passed.discard((channel, at))
        if not positions:
            del self._waiting[channel]
        return those

    def _give(self, delivery: Delivery, those: Iterable[Waiting]) -> None:
        """Give subscribers what was read, soon."""
        for one in those:
            self._handouts.add((delivery, one))


def _hand_out(handout: Handout) -> None:
    delivery, subscriber = handout
    delivery.give(subscriber)
