"""Catching up: a subscriber that is behind on channels is given what it missed, one piece at a time.

A held one is welcomed first, and each piece is written to it. A poll is answered once, so its pieces are collected.

R1  A piece is asked for only while nothing is parked for the seat. So one that stops reading costs a piece.
R2  A subscriber's position on a channel is the end of what was written to it of that channel, whatever else happens.
R3  What the log does not lead to is told by a reset. Then the subscriber goes on from where the channel stands.
R4  A poll is answered when it holds as much as an answer may, or when it holds something and there is no room for more
    bytes under way: its client comes back for the rest. So none that waits for others keeps others waiting.
R5  A write whose cursor has all channels is worth it: small pieces of several channels are gathered for it, and leave
    before a channel of theirs is entered, so that no live message overtakes them. They leave at once if something is
    parked, or if there is no room for more: so none that gathers keeps others waiting (R4).
"""

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from common.message import Message
from common.position import Position
from edge.chain import PIECE_BYTES, PIECE_MESSAGES, Gap, size_of
from edge.channels.hub import Hub
from edge.channels.pieces import Gathered, Piece, PieceReader
from edge.framing.base import SHORT_DATA, Batch, Encoded, Framing
from edge.framing.items import Item, stamp
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Behind, Channel, Entry, PendingAttach, Seat


class Owner(Protocol):
    """The part of `Replays` that its subscribers use."""

    hub: Hub
    pieces: PieceReader

    def go_on(self, one: "CatchUp") -> None:
        """Let a subscriber have its turn soon."""

    def has_room(self, one: "CatchUp", size: int) -> bool:
        """Say whether that much may be written to it; if not, it has its turn when there may be room."""

    def write(self, seat: Seat, framing: Framing, data: bytes, count: int) -> None:
        """Write messages to a held seat."""

    def end(self, one: "CatchUp") -> None:
        """It is behind no longer."""

    def fail(self, seat: Seat) -> None:
        """There is a bug."""


class CatchUp(PendingAttach):
    """A subscriber that is behind; `todo` are its entries that can go on, and `current` the one that is being read."""

    __slots__ = ("_replays", "current", "is_over", "remaining", "todo")

    catches_up = True

    def __init__(self, seat: Seat, framing: Framing, behind: Sequence[Behind], replays: Owner) -> None:
        names = tuple(channel.name for channel, _ in behind)
        super().__init__(seat, SubscribeRequest(framing.transport, names), framing)
        self.remaining: dict[str, Entry] = {}  # of the channels on which it is behind, by their names
        self.todo: deque[Entry] = deque()
        self.current: Entry | None = None
        self.is_over = False
        self.room = 0
        self._replays = replays
        self.add(behind)

    @property
    def is_alive(self) -> bool:
        """Whether it is still behind."""
        return not self.is_over

    @property
    def is_blocked(self) -> bool:
        """Whether nothing may be given to it now."""
        return False

    def takes(self, channel: Channel, tail: Sequence[Message]) -> bool:
        """A ring holds no more than a piece."""
        return True

    def admit(self, entry: Entry, enter: Callable[[Entry], None]) -> None:
        """The channel of an entry that waited for it is open: enter it now, for it may not be open at the next turn."""
        if self.current is None and not self.is_blocked:
            enter(entry)
        else:
            self.todo.append(entry)
        self._replays.go_on(self)

    def fall_behind(self, entry: Entry, since: Position) -> None:
        """Have a piece read."""
        self.current = entry
        self._replays.pieces.ask(self, entry.channel, since)

    def awaits(self, channel: Channel, since: Position) -> bool:
        """Say whether it still waits for the piece of a channel after a position."""
        current = self.current
        return current is not None and current.channel is channel and current.since == since

    def give(self, outcome: Piece | Gap | None) -> None:
        """Take a piece; if that cannot be now, it is read again later."""
        try:
            self._give(outcome)
        except Exception:
            self._replays.fail(self.seat)

    def _give(self, outcome: Piece | Gap | None) -> None:
        entry, self.current = self.current, None
        if entry is None:
            return
        if self.is_blocked or outcome is None or isinstance(outcome, Piece):
            self.todo.appendleft(entry)
        if not self.is_blocked:
            if isinstance(outcome, Piece):
                self.take(entry, outcome)
            elif isinstance(outcome, Gap):
                self._replays.hub.settle(entry, outcome)
        self._replays.go_on(self)

    def add(self, behind: Sequence[Behind]) -> None:
        """Be behind on more channels."""
        entries = [Entry(self, channel, at, 0) for channel, at in behind]
        self.remaining |= {entry.channel.name: entry for entry in entries}
        self.todo += entries

    def leave(self, name: str) -> None:
        """Be behind on a channel no longer."""
        entry = self.remaining.pop(name)
        entry.channel.stop_waiting(entry)
        entry.channel.catch_up(self.seat)
        if entry is self.current:
            self.current = None
        elif entry in self.todo:
            self.todo.remove(entry)
        self._replays.go_on(self)

    def end(self) -> None:
        """Wait for nothing any more."""
        for entry in self.remaining.values():
            entry.channel.stop_waiting(entry)
            entry.channel.catch_up(self.seat)
        self.is_over, self.current, self.remaining = True, None, {}
        self.todo.clear()

    @abstractmethod
    def take(self, entry: Entry, piece: Piece) -> None:
        """Give a piece to the subscriber, and move its position."""

    @abstractmethod
    def step(self) -> None:
        """Do the next thing."""


class HeldCatchUp(CatchUp):
    """A held subscriber that is behind; `_goes_in` is whether the channel whose turn it is has nothing to gather."""

    __slots__ = ("_gathered", "_goes_in", "_needed")

    def __init__(self, seat: Seat, framing: Framing, behind: Sequence[Behind], replays: Owner) -> None:
        super().__init__(seat, framing, behind, replays)
        self._needed = PIECE_BYTES  # of room for the next piece
        self._gathered = Gathered()  # of channels that are in `todo`
        self._goes_in = False

    @property
    def is_blocked(self) -> bool:
        """Whether something is parked."""
        return self.seat.send_buffer is not None

    @property
    def _gathers(self) -> bool:
        """Whether each write has a cursor of all channels."""
        positions = self.seat.positions
        return positions is not None and not positions.is_plain

    def step(self) -> None:
        """Go on with the next channel; what is gathered leaves before, if it is of that one or cannot become more."""
        if self.current is not None or not self.todo:
            return
        may_ask = not self.is_blocked and self._replays.has_room(self, self._needed)
        self._goes_in = self.todo[0].channel in self._gathered
        if self._gathered and (self._goes_in or not (may_ask and self._replays.pieces.make_room())):
            self._write_gathered()
        if may_ask and self.todo and not self.is_blocked:
            self._replays.hub.enter(self.todo.popleft())
            self._replays.go_on(self)

    def takes(self, channel: Channel, tail: Sequence[Message]) -> bool:
        """The short end of a ring is gathered like a piece, but once: its channel is entered with what is new then."""
        return self._goes_in or not self._gathers or sum(map(size_of, tail)) >= SHORT_DATA

    def fall_behind(self, entry: Entry, since: Position) -> None:
        """Have a piece read, unless the ring has it."""
        tail = entry.channel.tail(since) if self._gathers else None
        if tail:
            self.todo.appendleft(entry)
            self._gather(entry, Piece(entry.channel, tail, time.time()))
        else:
            super().fall_behind(entry, since)

    def take(self, entry: Entry, piece: Piece) -> None:
        """Write a piece; if its bytes depend on all channels, they are made for this subscriber alone."""
        framing = self.seat.framing
        if self._gathers:
            self._gather(entry, piece)
        elif framing is not None:
            encoded = piece.encode(framing)
            self._needed = max(PIECE_BYTES, len(encoded.data))
            if self._replays.has_room(self, self._needed):
                self._replays.write(self.seat, framing, encoded.data, encoded.count)
                self._move(entry.channel.name, piece.end)
                entry.since = piece.end

    def _gather(self, entry: Entry, piece: Piece) -> None:
        """Keep a piece for the next write; while that is short, the other channels have their turn first."""
        entry.since = piece.end
        if self._gathered.add(entry.channel, piece):
            self._write_gathered()
        else:
            self.todo.rotate(-1)

    def _write_gathered(self) -> None:
        if self.seat.positions is not None:
            self._write(self._gathered.take(self.seat.positions))

    def _write(self, items: list[Item]) -> None:
        framing = self.seat.framing
        if items and framing is not None:
            self._replays.write(self.seat, framing, framing.part(items), len(items))

    def _move(self, name: str, at: Position) -> None:
        if self.seat.positions is not None:
            self.seat.positions[name] = str(at)

    def entered(self, entry: Entry) -> None:
        """It has caught up with a channel: live messages come to it from now on."""
        seat, channel = self.seat, entry.channel
        seat.channels += (channel,)  # first of all: a seat that ends is detached from these channels (S2)
        channel.catch_up(seat)
        del self.remaining[channel.name]
        items, self.items = stamp(self.items, seat.positions), []
        if channel.last is not None:
            self._move(channel.name, channel.last)
        if not self.remaining:
            self._replays.end(self)
            if seat.positions is not None and seat.positions.is_plain:
                seat.positions = None
        seat.refresh_fast_path()
        self._write(items)

    def leave(self, name: str) -> None:
        """Be behind on a channel no longer."""
        self._gathered.discard(self.remaining[name].channel)
        super().leave(name)
        if not self.remaining:
            self._replays.end(self)

    def end(self) -> None:
        """Wait for nothing any more, and keep no piece."""
        super().end()
        self._gathered = Gathered()


class PollCatchUp(CatchUp):
    """A poll that is behind; `poll` is ready once the pieces are collected in its batch."""

    __slots__ = ("_batch", "_poll")

    def __init__(self, poll: PendingAttach, batch: Batch, replays: Owner) -> None:
        super().__init__(poll.seat, poll.framing, poll.behind, replays)
        self._poll: PendingAttach | None = poll
        self._batch = batch

    def end(self) -> None:
        """Wait for nothing any more, and keep no piece."""
        super().end()
        self._poll, self._batch = None, Batch([])

    def step(self) -> None:
        """Go on with the next channel, or answer."""
        poll, batch = self._poll, self._batch
        if poll is None or self.current is not None:
            return
        is_much = batch.is_full or len(poll.items) > PIECE_MESSAGES
        is_enough = is_much or (batch.count and not self._replays.pieces.make_room())
        if not self.remaining or is_enough or (batch.count and not self.todo):
            self._replays.end(self)
            poll.ready()
        elif self.todo:
            self._replays.hub.enter(self.todo.popleft())
            self._replays.go_on(self)

    def take(self, entry: Entry, piece: Piece) -> None:
        """Put a piece into the answer."""
        part = piece.encode(self.framing)
        if part.count:
            self._batch.add(part)
        self._batch.positions[entry.channel.name] = entry.since = piece.end

    def entered(self, entry: Entry) -> None:
        """It has caught up with a channel."""
        channel, items, self.items = entry.channel, self.items, []
        channel.catch_up(self.seat)
        del self.remaining[channel.name]
        if items:
            self._batch.add(Encoded(self.framing.part(items), len(items)))
        if channel.last is not None:
            self._batch.positions[channel.name] = channel.last
        self._replays.go_on(self)
