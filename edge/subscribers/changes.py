"""Channel changes: a held subscriber joins one more channel, or unsubscribes from one; no other subscriber notices.

An operation comes from the subscriber's own WebSocket (websocket.py), or in a request on another connection, which
edge/cluster/forwarding.py leads to the edge that holds the session.

C1  Every operation is answered once: with an acknowledgement or with an error. A `sub` is acknowledged by the welcome
    of its channel; then come the messages that were missed there.
C2  What is on its way to a seat is written before its channels change (`FanOut.flush_to`, F5). So the seat gets nothing
    of a channel after the acknowledgement of its `unsub`, and nothing twice if it is back before a job is done.
C3  While a channel is not ready, nothing else waits for it; after ATTACH_TIMEOUT its `sub` gets an error.
C4  A seat that is detached waits for nothing: it enters no channel after its end.
C5  Nothing can be sent to a poll except its answer. So a poll is attached again, to the changed channels, from its
    positions, and is answered as soon as all of them are ready. The acknowledgements come first in the answer.
"""

from collections.abc import Callable, Iterator, Sequence

from common.errors import ForeignChannelError
from common.names import ForeignNames
from common.position import NamedPositions, parse_position
from edge.channels.hub import Hub
from edge.counters import CloseReason, Counters
from edge.engine.absences import Absences
from edge.engine.fanout import FanOut
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.base import Framing
from edge.framing.items import Item, ItemKind, stamp, welcome_item
from edge.framing.transports import framing_for
from edge.protocol.operations import Op, Operation
from edge.protocol.subscribe import MAX_CHANNELS, Start, SubscribeRequest
from edge.state import Channel, Seat
from edge.subscribers.output import Output
from edge.subscribers.pending import ATTACH_TIMEOUT, NO_MEMORY, NOT_JOINED, PendingJoin, PendingRepoll
from edge.subscribers.sessions import Sessions

UNSUBSCRIBED = "an unsub followed before the channel was ready"
TOO_MANY = f"id: one connection holds at most {MAX_CHANNELS} channels; unsubscribe from one first"

#: Gets the names of the channels that a seat has after a change, or None if it was detached first.
OnDone = Callable[[list[str] | None], None]


class ChannelChanges:
    """Applies operations to held seats; `wheel` has the deadlines of joins, `seat_wheel` those of seats."""

    def __init__(
        self,
        hub: Hub,
        fanout: FanOut,
        seats: Seats,
        sessions: Sessions,
        absences: Absences,
        output: Output,
        seat_wheel: Wheel[Seat],
        counters: Counters,
        clock: Callable[[], float],
        foreign: ForeignNames,
    ) -> None:
        self.wheel: Wheel[PendingJoin] = Wheel(clock(), self._on_due)
        self._seat_wheel = seat_wheel
        self._hub = hub
        self._fanout = fanout
        self._seats = seats
        self._sessions, self._named = sessions, sessions.named
        self._absences, self._taken = absences, absences.taken
        self._output = output
        self._counters = counters
        self._clock = clock
        self._foreign = foreign
        self._on_done: dict[Seat, list[OnDone]] = {}  # to be called when a seat waits for no channel
        self._joins: dict[Seat, dict[str, PendingJoin]] = {}  # by the channels' names

    def apply(self, seat: Seat, operation: Operation) -> None:
        """Carry out one operation of a held subscriber; a `sub` may be acknowledged later."""
        if operation.op is Op.SUB:
            self._subscribe(seat, operation)
        elif operation.op is Op.UNSUB:
            self._unsubscribe(seat, operation)
        else:
            self._output.send(seat, Item(ItemKind.PONG, ref=operation.ref))

    def change(self, seat: Seat, operations: Sequence[Operation], on_done: OnDone) -> None:
        """Carry out operations that came on another connection; call `on_done` when all of them are answered."""
        framing = seat.framing
        if framing is None:
            on_done(None)
        elif framing.single_response:
            self._repoll(seat, framing, operations, on_done)
        else:
            self._change_held(seat, operations, on_done)

    def detach(self, seat: Seat) -> None:
        """Take a seat out of its channels, let it wait for nothing any more, and end its session (C4)."""
        if seat in self._named:
            self._sessions.forget(seat)
        if seat.fd < 0 or seat in self._taken:
            self._absences.on_detach(seat)
        if self._joins:
            for join in self._joins.pop(seat, {}).values():
                join.is_cancelled = True
                self._hub.cancel(join)
        if self._on_done:
            for on_done in self._on_done.pop(seat, ()):
                on_done(None)
        self._hub.detach(seat)

    def _change_held(self, seat: Seat, operations: Sequence[Operation], on_done: OnDone) -> None:
        with self._output.cork(seat):
            for operation in operations:
                self.apply(seat, operation)
        if seat.framing is None:
            on_done(None)
        elif seat in self._joins:
            self._on_done.setdefault(seat, []).append(on_done)
        else:
            on_done(_names(seat))

    # One more channel.

    def _subscribe(self, seat: Seat, operation: Operation) -> None:
        joins = self._joins.get(seat, {})
        channel = _channel(seat, operation.channel)
        if operation.channel in joins:
            joins[operation.channel].operations.append(operation)
        elif channel is not None:
            self._flush_to(seat)
            self._welcome_again(seat, channel, operation)
        elif refusal := self._foreign_refusal(operation):
            self._output.send(seat, refusal)
        elif len(seat.channels) + len(joins) >= MAX_CHANNELS:
            self._output.send(seat, _error(operation, 400, TOO_MANY))
        elif seat.framing is not None:
            self._join(seat, seat.framing, operation)

    def _foreign_refusal(self, operation: Operation) -> Item | None:
        """Return the refusal of a channel that is another deployment's."""
        try:
            self._foreign.check(operation.channel)
        except ForeignChannelError as error:
            return _error(operation, error.status, error.sentence)
        return None

    def _join(self, seat: Seat, framing: Framing, operation: Operation) -> None:
        channel = self._hub.channel(operation.channel)
        join = PendingJoin(seat, framing, channel, operation, self._on_joined)
        self._joins.setdefault(seat, {})[channel.name] = join
        self.wheel.schedule(join, self._clock() + ATTACH_TIMEOUT)
        self._hub.join(join, channel)

    def _on_joined(self, join: PendingJoin) -> None:
        """The seat has entered the channel: acknowledge that."""
        seat, channel, start = join.seat, join.channel, join.entries[0].at
        seat.channels += (channel,)  # first of all: a seat that ends is detached from these channels (S2)
        self._drop(join)
        self._flush_to(seat)
        self._reshape(seat)
        first, *others = join.operations
        if seat.positions is not None:
            seat.positions[channel.name] = str(start) if start is not None else channel.delivered_position
        self._output.send(seat, self._welcome(seat, channel.name, str(start or ""), first))
        if join.items and seat.framing is not None:
            items = stamp(join.items, seat.positions)
            self._output.write(seat, seat.framing.encode(items, items[-1].cursor))
        for operation in others:
            self._welcome_again(seat, channel, operation)
        self._check_done(seat)

    def _welcome_again(self, seat: Seat, channel: Channel, operation: Operation) -> None:
        seq = channel.delivered_position if channel.last is not None else ""
        self._output.send(seat, self._welcome(seat, channel.name, seq, operation))

    def _welcome(self, seat: Seat, name: str, seq: str, operation: Operation) -> Item:
        session = self._sessions.name_of(seat) or self._sessions.of(seat) if seat.fd >= 0 else ""
        return welcome_item(name, seq, session=session, ref=operation.ref)

    # One channel less.

    def _unsubscribe(self, seat: Seat, operation: Operation) -> None:
        join = self._joins.get(seat, {}).get(operation.channel)
        if join is not None:
            self._cancel(join, 409, UNSUBSCRIBED)
        channel = _channel(seat, operation.channel)
        if channel is not None:
            self._flush_to(seat)
            self._hub.unsubscribe(seat, channel)
            self._reshape(seat)
            if seat.positions is not None:
                seat.positions.pop(channel.name, None)
        self._output.send(seat, Item(ItemKind.UNSUB, operation.channel, ref=operation.ref))

    def _flush_to(self, seat: Seat) -> None:
        """Write what is on its way to a seat (C2)."""
        if self._fanout.is_busy(seat):
            self._output.flush()
            self._fanout.flush_to(seat)

    def _reshape(self, seat: Seat) -> None:
        """Give the seat the framing that its channels need now: with several, each message names its channel."""
        framing = seat.framing
        if framing is not None and framing.cursor_in_bytes and not isinstance(seat.positions, NamedPositions):
            seat.positions = NamedPositions(seat.delivered_positions)
            seat.framing = framing_for(framing.transport, framing.variant._replace(envelope=True))
        seat.refresh_fast_path()

    # Joins end.

    def _on_due(self, joins: Sequence[PendingJoin]) -> None:
        for join in joins:
            if join.is_alive:
                self._cancel(join, 503, NOT_JOINED)

    def refuse(self, join: PendingJoin) -> None:
        """End a join because Redis has no room for its channel."""
        self._cancel(join, 503, NO_MEMORY)

    def _cancel(self, join: PendingJoin, code: int, sentence: str) -> None:
        """End a join before its channel is ready: each `sub` that waits for it gets an error."""
        self._drop(join)
        self._hub.cancel(join)
        for operation in join.operations:
            self._output.send(join.seat, _error(operation, code, sentence))
        self._check_done(join.seat)

    def _drop(self, join: PendingJoin) -> None:
        join.is_cancelled = True
        joins = self._joins[join.seat]
        del joins[join.channel.name]
        if not joins:
            del self._joins[join.seat]

    def _check_done(self, seat: Seat) -> None:
        if seat not in self._joins:
            for on_done in self._on_done.pop(seat, ()):
                on_done(_names(seat))

    # Polls (C5).

    def _repoll(self, seat: Seat, framing: Framing, operations: Sequence[Operation], on_done: OnDone) -> None:
        self._flush_to(seat)
        if seat.framing is None:
            on_done(None)  # the flush has answered it
            return
        wanted: dict[str, Start] = {name: (parse_position(at), 0) for name, at in seat.delivered_positions.items()}
        for operation in operations:
            if operation.op is Op.UNSUB:
                wanted.pop(operation.channel, None)
            elif operation.op is Op.SUB and len(wanted) < MAX_CHANNELS and self._foreign_refusal(operation) is None:
                wanted.setdefault(operation.channel, operation.start)
        session = self._sessions.name_of(seat)
        self._seats.detach(seat, CloseReason.CHANGED)
        request = SubscribeRequest(framing.transport, tuple(wanted), has_channel_names=True, session=session)
        self._on_done[seat] = [on_done]
        self._seat_wheel.schedule(seat, self._clock() + ATTACH_TIMEOUT)
        self._hub.attach(PendingRepoll(seat, request, framing, wanted, operations, self._on_repolled))

    def _on_repolled(self, repoll: PendingRepoll) -> None:
        """The channels of a changed poll are ready: answer it."""
        seat, framing, request = repoll.seat, repoll.framing, repoll.request
        seat.hold(framing, request.positions_at(repoll.positions))
        self._counters.opened(framing.transport)
        self._sessions.name(seat, request.session)
        self._absences.came_back(seat, None, request.session)
        channels, callbacks = _names(seat), self._on_done.pop(seat)
        self._fanout.deliver(seat, [*self._acknowledgements(repoll), *repoll.items])
        for on_done in callbacks:
            on_done(channels)

    def _acknowledgements(self, repoll: PendingRepoll) -> Iterator[Item]:
        names = repoll.request.channels
        for operation in repoll.operations:
            if operation.op is Op.PING:
                yield Item(ItemKind.PONG, ref=operation.ref)
            elif operation.op is Op.UNSUB:
                yield Item(ItemKind.UNSUB, operation.channel, ref=operation.ref)
            elif operation.channel in names:
                start = repoll.positions[names.index(operation.channel)]
                yield self._welcome(repoll.seat, operation.channel, str(start or ""), operation)
            else:
                is_unsubscribed = len(names) < MAX_CHANNELS
                code, sentence = (409, UNSUBSCRIBED) if is_unsubscribed else (400, TOO_MANY)
                yield self._foreign_refusal(operation) or _error(operation, code, sentence)


def _error(operation: Operation, code: int, sentence: str) -> Item:
    return Item(ItemKind.ERROR, operation.channel, sentence, code=code, op=operation.op.value, ref=operation.ref)


def _names(seat: Seat) -> list[str]:
    return [channel.name for channel in seat.channels]


def _channel(seat: Seat, name: str) -> Channel | None:
    """Return the channel of this name, if the seat is attached to it."""
    return next((channel for channel in seat.channels if channel.name == name), None)
