"""Changes: a subscriber that is seated takes one channel more, or gives one up, and nobody else notices.

C1  Every operation is acknowledged once, or refused once: a `sub` by the welcome of its channel, then what was missed.
C2  A seat is settled before its channels change (`FanOut.settle`): so it stands on each channel where that channel's
    job ends, it gets nothing of a channel after the acknowledgement of its `unsub`, and nothing twice when it comes
    back in the middle of a job.
C3  A channel that is not ready yet keeps nothing else waiting; after ATTACH_TIMEOUT it is refused.
C4  A seat that goes waits for nothing any more (`forget`): nobody can enter a channel after its end.
C5  A poll cannot be told anything but by its answer. So it is asked again in its place, for the changed channels, from
    where it stands, and answered as soon as all of them are ready, the acknowledgements first.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from common.position import NamedPositions, Position, parse_position
from edge.channel_log import Channel
from edge.channels.attach import ATTACH_TIMEOUT, WELCOME
from edge.channels.hub import Hub
from edge.counters import Counters
from edge.engine.fanout import FanOut, stamp
from edge.engine.seats import Seat, Seats
from edge.engine.wheel import Wheel
from edge.framing import Framing, Item, framing_for
from edge.protocol.operations import Operation
from edge.protocol.subscribe import MAX_CHANNELS, SubscribeRequest
from edge.state import PendingJoin, PendingRepoll
from edge.subscribers.lifecycle import standing
from edge.subscribers.sessions import Sessions

NO_REDIS = "this edge cannot reach Redis now; try again"
OVERTAKEN = "the channel was given up before it was ready"
TOO_MANY = f"id: one connection holds at most {MAX_CHANNELS} channels; give one up first"

#: Gets the channels that a seat has after a change, or None if it went before that was done.
Done = Callable[[list[str] | None], None]


class ChannelChanges:
    """Applies operations to held seats."""

    def __init__(
        self,
        hub: Hub,
        fanout: FanOut,
        seats: Seats,
        sessions: Sessions,
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self.wheel: Wheel[PendingJoin] = Wheel(self._on_due, clock())
        self.seat_wheel: Wheel[Seat]  # set by the front
        hub.on_leave = self.forget
        self._hub = hub
        self._fanout = fanout
        self._seats = seats
        self._sessions = sessions
        self._counters = counters
        self._clock = clock
        self._done: dict[Seat, list[Done]] = {}  # who waits until a seat waits for nothing
        self._joining: dict[Seat, dict[str, PendingJoin]] = {}
        self._gathered: list[bytes] = []
        self._gathering: Seat | None = None

    @contextmanager
    def together(self, seat: Seat) -> Iterator[None]:
        """Give a seat everything it is told meanwhile in one write."""
        self._gathering = seat
        try:
            yield
        finally:
            self._write_gathered()
            self._gathering = None

    def say(self, seat: Seat, data: bytes) -> None:
        """Write to a seat, or gather what to write."""
        if seat is self._gathering:
            self._gathered.append(data)
        else:
            self._seats.write(seat, data)

    def tell(self, seat: Seat, *items: Item) -> None:
        """Tell a held seat something, after which it stands where it stood."""
        if seat.framing is not None:
            cursor = seat.cursor if seat.framing.cursor_in_bytes else ""
            self.say(seat, seat.framing.encode([item._replace(cursor=cursor) for item in items], cursor))

    def apply(self, seat: Seat, operation: Operation) -> None:
        """Do what a held subscriber wants."""
        if operation.op == "sub":
            self._subscribe(seat, operation)
        elif operation.op == "unsub":
            self._unsubscribe(seat, operation)
        else:
            self.tell(seat, Item("pong", ref=operation.ref))

    def change(self, seat: Seat, operations: Sequence[Operation], done: Done) -> None:
        """Do what was asked for a held seat on another connection; `done` is called when all of it is done."""
        framing = seat.framing
        if framing is None:
            done(None)
        elif framing.single_response:
            self._reopen(seat, framing, operations, done)
        else:
            self._change_held(seat, operations, done)

    def forget(self, seat: Seat) -> None:
        """Let a seat wait for nothing any more; its session ends."""
        self._sessions.forget(seat)
        if self._joining:
            for pending_join in self._joining.pop(seat, {}).values():
                self._hub.give_up(pending_join)
        if self._done:
            for done in self._done.pop(seat, ()):
                done(None)

    def _change_held(self, seat: Seat, operations: Sequence[Operation], done: Done) -> None:
        with self.together(seat):
            for operation in operations:
                self.apply(seat, operation)
        if seat.framing is None:
            done(None)
        elif seat in self._joining:
            self._done.setdefault(seat, []).append(done)
        else:
            done(_names(seat))

    def _subscribe(self, seat: Seat, operation: Operation) -> None:
        awaited = self._joining.get(seat, {})
        channel = _channel(seat, operation.channel)
        if operation.channel in awaited:
            awaited[operation.channel].operations.append(operation)
        elif channel is not None:
            self._settle(seat)
            self._welcome_again(seat, channel, operation)
        elif len(seat.channels) + len(awaited) >= MAX_CHANNELS:
            self._refuse(seat, operation, 400, TOO_MANY)
        elif seat.framing is not None:
            self._join(seat, seat.framing, operation)

    def _join(self, seat: Seat, framing: Framing, operation: Operation) -> None:
        pending_join = PendingJoin(seat, framing, self._hub.channel(operation.channel), operation, self._on_joined)
        self._joining.setdefault(seat, {})[operation.channel] = pending_join
        self.wheel.schedule(pending_join, self._clock() + ATTACH_TIMEOUT)
        self._hub.join(pending_join)

    def _on_joined(self, pending_join: PendingJoin) -> None:
        """The channel is ready: from here on the seat is in it."""
        seat, channel = pending_join.seat, pending_join.channel
        seat.channels += (channel,)  # before anything can end the seat: what it is in, it is taken out of (S2)
        self._drop(pending_join)
        self._settle(seat)
        self._reshape(seat)
        first, *others = pending_join.operations
        start = pending_join.starts[0]
        if seat.positions is not None:
            seat.positions[channel.name] = str(start) if start is not None else channel.told
        self.tell(seat, self._welcome(seat, channel.name, str(start or ""), first))
        if pending_join.items and seat.framing is not None:
            items = stamp(pending_join.items, seat.positions)
            self.say(seat, seat.framing.encode(items, items[-1].cursor))
        for operation in others:
            self._welcome_again(seat, channel, operation)
        self._check_done(seat)

    def _welcome_again(self, seat: Seat, channel: Channel, operation: Operation) -> None:
        seq = channel.told if channel.last is not None else ""
        self.tell(seat, self._welcome(seat, channel.name, seq, operation))

    def _welcome(self, seat: Seat, name: str, seq: str, operation: Operation) -> Item:
        session = self._sessions.name_of(seat) or self._sessions.of(seat) if seat.fd >= 0 else ""
        return Item("welcome", name, WELCOME, seq, ref=operation.ref, session=session)

    def _unsubscribe(self, seat: Seat, operation: Operation) -> None:
        pending_join = self._joining.get(seat, {}).get(operation.channel)
        if pending_join is not None:
            self._give_up(pending_join, 409, OVERTAKEN)
        channel = _channel(seat, operation.channel)
        if channel is not None:
            self._settle(seat)
            self._hub.part(seat, channel)
            self._reshape(seat)
            if seat.positions is not None:
                seat.positions.pop(channel.name, None)
        self.tell(seat, Item("unsub", operation.channel, ref=operation.ref))

    def _settle(self, seat: Seat) -> None:
        if self._fanout.is_busy(seat):
            self._write_gathered()
            self._fanout.settle(seat)

    def _reshape(self, seat: Seat) -> None:
        """Let the seat's bytes be those that its channels need now."""
        framing = seat.framing
        if framing is not None and framing.cursor_in_bytes and not isinstance(seat.positions, NamedPositions):
            told = seat.positions or {channel.name: channel.told for channel in seat.channels}
            seat.positions = NamedPositions(told)
            seat.framing = framing_for(framing.transport, framing.variant._replace(envelope=True))
        seat.shares_bytes = framing is not None and seat.positions is None and len(seat.channels) == 1
        seat.fast_path = seat.shares_bytes and seat.send_buffer is None

    def _on_due(self, pending_joins: Sequence[PendingJoin]) -> None:
        for pending_join in pending_joins:
            if pending_join.alive:
                self._give_up(pending_join, 503, NO_REDIS)

    def _give_up(self, pending_join: PendingJoin, code: int, sentence: str) -> None:
        self._drop(pending_join)
        self._hub.give_up(pending_join)
        for operation in pending_join.operations:
            self._refuse(pending_join.seat, operation, code, sentence)
        self._check_done(pending_join.seat)

    def _drop(self, pending_join: PendingJoin) -> None:
        """Wait for it no longer."""
        pending_join.given_up = True
        awaited = self._joining[pending_join.seat]
        del awaited[pending_join.channel.name]
        if not awaited:
            del self._joining[pending_join.seat]

    def _check_done(self, seat: Seat) -> None:
        if seat not in self._joining:
            for done in self._done.pop(seat, ()):
                done(_names(seat))

    def _refuse(self, seat: Seat, operation: Operation, code: int, sentence: str) -> None:
        self.tell(seat, _refusal(operation, code, sentence))

    # Polls (C5).

    def _reopen(self, seat: Seat, framing: Framing, operations: Sequence[Operation], done: Done) -> None:
        self._settle(seat)
        if seat.framing is None:
            done(None)  # it was just answered
            return
        told = seat.positions or {channel.name: channel.told for channel in seat.channels}
        wanted: dict[str, tuple[Position | None, int]] = {name: (parse_position(at), 0) for name, at in told.items()}
        for operation in operations:
            if operation.op == "unsub":
                wanted.pop(operation.channel, None)
            elif operation.op == "sub" and len(wanted) < MAX_CHANNELS:
                wanted.setdefault(operation.channel, (operation.since, operation.history))
        session = self._sessions.name_of(seat)
        self._seats.free(seat, "changed")
        request = SubscribeRequest(framing.transport, tuple(wanted), named=True, session=session)
        self._done[seat] = [done]
        self.seat_wheel.schedule(seat, self._clock() + ATTACH_TIMEOUT)
        self._hub.open(PendingRepoll(seat, request, framing, wanted, list(operations), self._on_reopened))

    def _on_reopened(self, repoll: PendingRepoll) -> None:
        """All channels of a changed poll are ready: answer it."""
        seat = repoll.seat
        seat.pending, seat.framing = None, repoll.framing
        seat.positions = standing(repoll.request, repoll.starts)
        self._counters.opened(repoll.framing.transport)
        self._sessions.name(seat, repoll.request.session)
        channels, waiting = _names(seat), self._done.pop(seat)
        self._fanout.deliver(seat, [*self._acknowledgements(repoll), *repoll.items])
        for done in waiting:
            done(channels)

    def _acknowledgements(self, repoll: PendingRepoll) -> Iterator[Item]:
        names = repoll.request.channels
        for operation in repoll.operations:
            if operation.op == "ping":
                yield Item("pong", ref=operation.ref)
            elif operation.op == "unsub":
                yield Item("unsub", operation.channel, ref=operation.ref)
            elif operation.channel in names:
                start = repoll.starts[names.index(operation.channel)]
                yield self._welcome(repoll.seat, operation.channel, str(start or ""), operation)
            elif len(names) < MAX_CHANNELS:
                yield _refusal(operation, 409, OVERTAKEN)
            else:
                yield _refusal(operation, 400, TOO_MANY)

    def _write_gathered(self) -> None:
        seat, gathered, self._gathered = self._gathering, self._gathered, []
        if seat is not None and seat.framing is not None:
            self._seats.write(seat, b"".join(gathered))


def _refusal(operation: Operation, code: int, sentence: str) -> Item:
    return Item("error", operation.channel, sentence, code=code, op=operation.op, ref=operation.ref)


def _names(seat: Seat) -> list[str]:
    return [channel.name for channel in seat.channels]


def _channel(seat: Seat, name: str) -> Channel | None:
    """Return the channel of a name, if the seat is in it."""
    return next((channel for channel in seat.channels if channel.name == name), None)
