"""Acknowledgements: what answers an operation, which each is answered with once (C1 in changes.py)."""

from collections.abc import Iterator

from common.errors import ForeignChannelError
from common.names import ForeignNames
from edge.counters import Counters
from edge.framing.items import Item, ItemKind, welcome_item
from edge.protocol.operations import Op, Operation
from edge.state import Seat
from edge.subscribers.pending import PendingRepoll
from edge.subscribers.sessions import Sessions

UNSUBSCRIBED = "an unsub followed before the channel was ready"


class Acknowledgements:
    """Makes the answers to operations; a welcome has the session of its seat. A seat may have `max_channels`."""

    def __init__(self, sessions: Sessions, foreign: ForeignNames, counters: Counters, max_channels: int) -> None:
        self._sessions = sessions
        self._foreign = foreign
        self._counters = counters
        self._max_channels = max_channels

    def welcome(self, seat: Seat, name: str, seq: str, operation: Operation) -> Item:
        """Return the answer to a `sub` of a channel that the seat has, at position `seq`."""
        session = self._sessions.name_of(seat) or self._sessions.of(seat) if seat.fd >= 0 else ""
        return welcome_item(name, seq, session=session, ref=operation.ref)

    def foreign(self, operation: Operation) -> Item | None:
        """Return the refusal of a channel that is another deployment's."""
        try:
            self._foreign.check(operation.channel)
        except ForeignChannelError as error:
            return error_of(operation, error.status, error.sentence)
        return None

    def too_many(self, operation: Operation) -> Item:
        """Return the refusal of a channel that is one too many, and count it."""
        self._counters.limited_total["max_channels"] += 1
        most = f"{self._max_channels} channels (COMET_MAX_CHANNELS)"
        return error_of(operation, 400, f"id: one connection holds at most {most}; unsubscribe from one first")

    def of_poll(self, repoll: PendingRepoll) -> Iterator[Item]:
        """Return the answers to the operations that changed a poll, in their order (C5)."""
        names = repoll.request.channels
        for operation in repoll.operations:
            if operation.op is Op.PING:
                yield Item(ItemKind.PONG, ref=operation.ref)
            elif operation.op is Op.UNSUB:
                yield Item(ItemKind.UNSUB, operation.channel, ref=operation.ref)
            elif operation.channel in names:
                start = repoll.positions[names.index(operation.channel)]
                yield self.welcome(repoll.seat, operation.channel, str(start or ""), operation)
            elif refusal := self.foreign(operation):
                yield refusal
            elif len(names) < self._max_channels:
                yield error_of(operation, 409, UNSUBSCRIBED)
            else:
                yield self.too_many(operation)


def error_of(operation: Operation, code: int, sentence: str) -> Item:
    """Return the answer to an operation that is not carried out."""
    return Item(ItemKind.ERROR, operation.channel, sentence, code=code, op=operation.op.value, ref=operation.ref)
