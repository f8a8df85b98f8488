"""Channel changes: a held subscriber joins one more channel, or unsubscribes from one; no other subscriber notices.

An operation comes from the subscriber's own WebSocket (websocket.py), or in a request on another connection, which
edge/cluster/forwarding.py leads to the edge that holds the session.

C1  Every operation is answered once: with an acknowledgement or with an error. A `sub` is acknowledged by the welcome
    of its channel; then come the messages that were missed there.
C2  What is on its way to a seat is written before its channels change (`FanOut.flush_to`, F5). So the seat gets nothing
    of a channel after the acknowledgement of its `unsub`, and nothing twice if it is back before a job is done.
C3  While a channel is not ready, nothing else waits for it; after ATTACH_TIMEOUT its `sub` gets an error. The cursor,
    which may be long, stands on the last answer; so does the answer to the request on the other connection.
C4  A seat that is detached waits for nothing: it enters no channel after its end.
C5  Nothing can be sent to a poll except its answer. So a poll is attached again, to the changed channels, from its
    positions, and is answered as soon as all of them are ready (repolls.py). The acknowledgements come first.
"""

from collections.abc import Callable, Collection, Sequence

from common.position import NamedPositions, NameList, Position
from edge.channels.hub import Hub
from edge.engine.absences import Absences
from edge.engine.fanout import FanOut
from edge.engine.wheel import Wheel
from edge.framing.base import Framing
from edge.framing.items import Item, ItemKind, advance
from edge.framing.transports import framing_for
from edge.protocol.operations import Op, Operation
from edge.state import Channel, Seat
from edge.subscribers.output import UNSUBSCRIBED, Acknowledgements, Output, error_of
from edge.subscribers.pending import ATTACH_TIMEOUT, NO_MEMORY, NOT_JOINED, OnDone, PendingJoin
from edge.subscribers.replays import Replays
from edge.subscribers.repolls import Repolls
from edge.subscribers.sessions import Sessions


class ChannelChanges:
    """Applies operations to held seats; `wheel` has the deadlines of joins.

    `leave_names` is called with each seat that ends while it is among `name_owners`, to whom stored names belong.
    """

    def __init__(
        self,
        hub: Hub,
        fanout: FanOut,
        sessions: Sessions,
        absences: Absences,
        replays: Replays,
        repolls: Repolls,
        answers: Acknowledgements,
        output: Output,
        clock: Callable[[], float],
        name_owners: Collection[Seat],
        leave_names: Callable[[Seat], None],
    ) -> None:
        self.wheel: Wheel[PendingJoin] = Wheel(clock(), self._on_due)
        self._hub = hub
        self._fanout = fanout
        self._sessions, self._named = sessions, sessions.named
        self._absences, self._taken = absences, absences.taken
        self._absent, self._session_of = absences.by_seat, absences.session_of
        self._replays, self._behind = replays, replays.by_seat
        self._repolls = repolls
        self._answers = answers
        self._output = output
        self._clock = clock
        self._name_owners, self._leave_names = name_owners, leave_names
        self._on_done: dict[Seat, list[OnDone]] = {}  # to be called when a seat waits for no channel
        self._joins: dict[Seat, dict[str, PendingJoin]] = {}  # by the channels' names
        self._lists: dict[Seat, NameList] = {}  # for the cursors of seats whose channels will be the first to change

    def apply(self, seat: Seat, operation: Operation) -> None:
        """Carry out one operation of a held subscriber; a `sub` may be acknowledged later."""
        if operation.op is Op.SUB:
            self._subscribe(seat, operation)
        elif operation.op is Op.UNSUB:
            self._unsubscribe(seat, operation)
        elif operation.op is Op.TOKEN:
            if seat.framing is None:
                return  # an operation before has ended it
            self._output.send(seat, self._answers.token(seat, operation, self.names(seat)))
        else:
            self._output.send(seat, Item(ItemKind.PONG, ref=operation.ref))

    def names(self, seat: Seat) -> list[str]:
        """Return the names of all channels that a seat has, or waits for."""
        return [*self._names(seat), *self._joins.get(seat, ())]

    def names_wanted(self, seat: Seat, operations: Sequence[Operation]) -> dict[str, None]:
        """Return all channels that a seat may have from now on until other operations come."""
        names = dict.fromkeys(_names(seat)) | dict.fromkeys(self._joins.get(seat, ()))
        return names | {operation.channel: None for operation in operations if operation.op is Op.SUB}

    def change(
        self, seat: Seat, operations: Sequence[Operation], on_done: OnDone, names: NameList | None = None
    ) -> None:
        """Carry out operations that came on another connection; call `on_done` when all of them are answered.

        `names` are those that `CursorNames.prepare` returned for them.
        """
        framing = seat.framing
        if framing is None:
            on_done(None)
        elif framing.single_response:
            self._repolls.begin(seat, operations, on_done, names)
        else:
            self._name(seat, names)
            self._change_held(seat, operations, on_done)

    def detach(self, seat: Seat) -> None:
        """Take a seat out of its channels, let it wait for nothing any more, and end its session (C4)."""
        if seat in self._named:
            self._sessions.forget(seat)
        if seat in self._taken or (seat.fd < 0 and (seat in self._absent or seat in self._session_of)):
            self._absences.on_detach(seat)
        if self._joins:
            for join in self._joins.pop(seat, {}).values():
                join.is_cancelled = True
                self._hub.cancel(join)
        if self._on_done:
            for on_done in self._on_done.pop(seat, ()):
                on_done(None)
        if self._name_owners and seat in self._name_owners:
            self._lists.pop(seat, None)
            self._leave_names(seat)
        if self._behind:
            self._replays.detach(seat)
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
            on_done(self._names(seat))

    def _names(self, seat: Seat) -> list[str]:
        """Return the names of a seat's channels."""
        return [*_names(seat), *self._replays.names(seat)]

    def _channel(self, seat: Seat, name: str) -> Channel | None:
        """Return the channel of this name, if the seat is attached to it."""
        channel = self._hub.channels.get(name)
        return channel if channel in seat.channels else None

    # One more channel.

    def _subscribe(self, seat: Seat, operation: Operation) -> None:
        joins = self._joins.get(seat, {})
        channel = self._channel(seat, operation.channel)
        behind = self._replays.position(seat, operation.channel)
        if operation.channel in joins:
            joins[operation.channel].operations.append(operation)
        elif behind is not None:
            self._output.send(seat, self._answers.welcome(seat, operation.channel, str(behind), operation))
        elif channel is not None:
            self._flush_to(seat)
            self._output.send(seat, self._welcome_again(seat, channel, operation))
        elif refusal := self._answers.refusal(seat, operation):
            self._output.send(seat, refusal)
        elif len(seat.channels) + len(self._replays.names(seat)) + len(joins) >= self._answers.max_channels:
            self._output.send(seat, self._answers.too_many(operation))
        elif seat.framing is not None:
            self._join(seat, seat.framing, operation)

    def _join(self, seat: Seat, framing: Framing, operation: Operation) -> None:
        channel = self._hub.channel(operation.channel)
        join = PendingJoin(seat, framing, channel, operation, self._on_joined)
        self._joins.setdefault(seat, {})[channel.name] = join
        self.wheel.schedule(join, self._clock() + ATTACH_TIMEOUT)
        self._hub.join(join, channel)

    def _on_joined(self, join: PendingJoin) -> None:
        """The seat has entered the channel: acknowledge that."""
        if join.is_refused:
            self._cancel(join, 503, NO_MEMORY)
            return
        seat, channel, start = join.seat, join.channel, join.entries[0].at
        if join.behind:
            self._replays.hold(seat, join.framing, join.behind)
        else:
            seat.channels += (channel,)  # first of all: a seat that ends is detached from these channels (S2)
        self._drop(join)
        self._flush_to(seat)
        self._reshape(seat)
        first, *others = join.operations
        if seat.positions is not None:
            seat.positions[channel.name] = str(start) if start is not None else channel.delivered_position
            advance(seat.positions, join.items)
        welcome = self._answers.welcome(seat, channel.name, str(start or ""), first)
        again = [self._welcome_again(seat, channel, operation) for operation in others]
        self._output.send(seat, welcome, *join.items, *again, more=seat in self._joins)
        self._check_done(seat)

    def _welcome_again(self, seat: Seat, channel: Channel, operation: Operation) -> Item:
        return self._answers.welcome(seat, channel.name, str(self._stands_at(seat, channel)), operation)

    def _stands_at(self, seat: Seat, channel: Channel) -> Position | str:
        """Return where a seat stands on one of its channels, once all that is on its way to it is sent."""
        behind = self._replays.position(seat, channel.name)
        return behind or (channel.delivered_position if channel.last is not None else "")

    # One channel less.

    def _unsubscribe(self, seat: Seat, operation: Operation) -> None:
        join = self._joins.get(seat, {}).get(operation.channel)
        if join is not None:
            self._cancel(join, 409, UNSUBSCRIBED)
        channel = self._replays.leave(seat, operation.channel) or self._channel(seat, operation.channel)
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

    def _name(self, seat: Seat, names: NameList | None) -> None:
        """Take the names to which the seat's cursors refer from now on, or from its first change on."""
        if isinstance(seat.positions, NamedPositions):
            seat.positions.names = names
        elif names is not None:
            self._lists[seat] = names
        else:
            self._lists.pop(seat, None)

    def _reshape(self, seat: Seat) -> None:
        """Give the seat the framing that its channels need now: with several, each message names its channel."""
        framing = seat.framing
        if framing is not None and framing.cursor_in_bytes and not isinstance(seat.positions, NamedPositions):
            seat.positions = NamedPositions(seat.delivered_positions, self._lists.pop(seat, None))
            seat.framing = framing_for(framing.transport, framing.variant._replace(envelope=True))
        seat.refresh_fast_path()

    # Joins end.

    def _on_due(self, joins: Sequence[PendingJoin]) -> None:
        for join in joins:
            if join.is_alive:
                self._cancel(join, 503, NOT_JOINED)

    def _cancel(self, join: PendingJoin, code: int, sentence: str) -> None:
        """End a join before its channel is ready: each `sub` that waits for it gets an error."""
        self._drop(join)
        self._hub.cancel(join)
        errors = [error_of(operation, code, sentence) for operation in join.operations]
        self._output.send(join.seat, *errors, more=join.seat in self._joins)
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
                on_done(self._names(seat))


def _names(seat: Seat) -> list[str]:
    return [channel.name for channel in seat.channels]
