"""Repolls: a held poll whose channels change is attached again, to other channels, from its positions.

Nothing can be sent to a poll except its answer. So it is answered as soon as all of the changed channels are ready, and
the acknowledgements of the operations come first in the answer (C5 in changes.py).
"""

from collections.abc import Callable, Sequence

from common.position import NameList, parse_position
from edge.channels.hub import Hub
from edge.counters import CloseReason, Counters
from edge.engine.absences import Absences
from edge.engine.fanout import FanOut
from edge.engine.grants import Grants
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.base import Encoded, Framing
from edge.framing.items import Item
from edge.protocol.operations import Op, Operation
from edge.protocol.subscribe import Start, SubscribeRequest
from edge.state import Seat
from edge.subscribers.output import Acknowledgements
from edge.subscribers.pending import ATTACH_TIMEOUT, OnDone, PendingRepoll
from edge.subscribers.replays import Replays
from edge.subscribers.sessions import Sessions


class Repolls:
    """The held polls whose channels change; `wheel` has the deadlines of seats."""

    def __init__(
        self,
        hub: Hub,
        fanout: FanOut,
        seats: Seats,
        sessions: Sessions,
        absences: Absences,
        replays: Replays,
        grants: Grants,
        answers: Acknowledgements,
        wheel: Wheel[Seat],
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self._hub = hub
        self._fanout = fanout
        self._seats = seats
        self._sessions = sessions
        self._absences = absences
        self._replays = replays
        self._grants = grants
        self._answers = answers
        self._wheel = wheel
        self._counters = counters
        self._clock = clock

    def begin(self, seat: Seat, operations: Sequence[Operation], on_done: OnDone, names: NameList | None) -> None:
        """Attach a held poll again; `names` are those to which its cursor may refer."""
        self._fanout.flush_to(seat)
        framing = seat.framing
        if framing is None:
            on_done(None)  # the flush has answered it
            return
        starts: dict[str, Start] = {name: (parse_position(at), 0) for name, at in seat.delivered_positions.items()}
        answered = [(operation, self._apply(seat, operation, starts)) for operation in operations]
        session, grant = self._sessions.name_of(seat), self._grants.of(seat)
        self._seats.detach(seat, CloseReason.CHANGED)
        self._grants.hold(seat, grant)
        request = SubscribeRequest(
            framing.transport, tuple(starts), has_channel_names=True, session=session, names=names
        )
        self._wheel.schedule(seat, self._clock() + ATTACH_TIMEOUT)
        self._hub.attach(PendingRepoll(seat, request, framing, starts, answered, self._on_ready, on_done))

    def _apply(self, seat: Seat, operation: Operation, starts: dict[str, Start]) -> Item | None:
        """Change where a poll begins or goes on in its channels by an operation; return the answer, if it is known."""
        if operation.op is Op.TOKEN:
            return self._answers.token(seat, operation, starts)
        if operation.op is Op.UNSUB:
            starts.pop(operation.channel, None)
        elif operation.op is Op.SUB and operation.channel not in starts:
            if refusal := self._answers.refusal(seat, operation):
                return refusal
            if len(starts) >= self._answers.max_channels:
                return self._answers.too_many(operation)
            starts[operation.channel] = operation.start
        return None

    def _on_ready(self, repoll: PendingRepoll) -> None:
        """The channels of a changed poll are ready: answer it."""
        seat, request = repoll.seat, repoll.request
        if repoll.is_refused:
            self._wheel.expire(seat)
            return
        if repoll.behind and repoll.batch is None:
            self._replays.collect(repoll)
            return
        seat.hold(repoll.framing, request.positions_at(repoll.positions))
        self._counters.opened(repoll.framing.transport)
        self._sessions.name(seat, request.session)
        self._absences.came_back(seat, None, request.session)
        names = [channel.name for channel in seat.channels]
        self._answer(seat, repoll, repoll.framing)
        repoll.on_done(names)

    def _answer(self, seat: Seat, repoll: PendingRepoll, framing: Framing) -> None:
        """Answer a poll with the acknowledgements, what was collected for it, and what its rings had."""
        acknowledgements = [*self._answers.of_poll(repoll)]
        if repoll.batch is None:
            self._fanout.deliver(seat, [*acknowledgements, *repoll.items])
            return
        repoll.batch.move(seat.positions)
        repoll.batch.put_first(Encoded(framing.part(acknowledgements), len(acknowledgements)))
        self._fanout.deliver_batch(seat, repoll.batch, repoll.items)
