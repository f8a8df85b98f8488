"""What is sent to a held subscriber besides the messages of its channels: acknowledgements, errors, pongs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from common.errors import ForeignChannelError, RequestError
from common.names import ForeignNames
from edge.counters import Counters
from edge.engine.grants import Grants
from edge.engine.seats import Seats
from edge.framing.base import Framing
from edge.framing.items import Item, ItemKind, mark, unmarked, welcome_item
from edge.protocol.operations import Op, Operation
from edge.state import Seat
from edge.subscribers.pending import PendingRepoll
from edge.subscribers.sessions import Sessions
from edge.tokens.grant import TokenError

UNSUBSCRIBED = "an unsub followed before the channel was ready"


class Output:
    """Writes to held seats, and can cork one of them: what is written to that seat meanwhile leaves in one write."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._corked: Seat | None = None
        self._kept: list[bytes] = []
        self._items: list[Item] = []  # kept behind those bytes: they are encoded together, with one cursor

    @contextmanager
    def cork(self, seat: Seat) -> Iterator[None]:
        """Keep what is written to a seat until the end of the block, or until `flush`."""
        self._corked = seat
        try:
            yield
        finally:
            self.flush()
            self._corked = None

    def flush(self) -> None:
        """Write what is kept, before something that is not written here and must not overtake it."""
        seat = self._corked
        if seat is not None:
            self._encode_kept(seat)
            kept, self._kept = self._kept, []
            if seat.framing is not None:
                self._seats.write(seat, b"".join(kept))

    def write(self, seat: Seat, data: bytes) -> None:
        """Write bytes to a seat, or keep them while it is corked."""
        if seat is self._corked:
            self._encode_kept(seat)
            self._kept.append(data)
        else:
            self._seats.write(seat, data)

    def send(self, seat: Seat, *items: Item, more: bool = False) -> None:
        """Send items to a held seat, which its positions have passed already; to any other seat, nothing.

        If `more` belongs to them and follows soon, they are sent without the seat's cursor, which that will have.
        """
        if seat is self._corked:
            self._items += items
        elif items and seat.framing is not None:
            self._seats.write(seat, _encode(seat, seat.framing, items, has_cursor=not more))

    def _encode_kept(self, seat: Seat) -> None:
        items, self._items = self._items, []
        if items and seat.framing is not None:
            self._kept.append(_encode(seat, seat.framing, items, has_cursor=True))


class Acknowledgements:
    """Makes what answers an operation, which each is answered with once (C1); a welcome has the session of its seat.

    A seat may have `max_channels`.
    """

    def __init__(
        self, sessions: Sessions, foreign: ForeignNames, grants: Grants, counters: Counters, max_channels: int
    ) -> None:
        self.max_channels = max_channels
        self._sessions = sessions
        self._foreign = foreign
        self._grants = grants
        self._counters = counters

    def welcome(self, seat: Seat, name: str, seq: str, operation: Operation) -> Item:
        """Return the answer to a `sub` of a channel that the seat has, at position `seq`."""
        session = self._sessions.name_of(seat) or self._sessions.of(seat) if seat.fd >= 0 else ""
        return welcome_item(name, seq, session=session, ref=operation.ref)

    def refusal(self, seat: Seat, operation: Operation) -> Item | None:
        """Return the refusal of a channel that is another deployment's, or that the seat's token does not name."""
        try:
            self._foreign.check(operation.channel)
            self._grants.check(seat, operation.channel)
        except (ForeignChannelError, TokenError) as error:
            return error_of(operation, error.status, error.sentence)
        return None

    def token(self, seat: Seat, operation: Operation, names: Iterable[str]) -> Item:
        """Take the fresh token of a seat that has these channels, and return the answer to the operation."""
        try:
            self._grants.renew(seat, operation.token, names)
        except RequestError as error:
            return error_of(operation, error.status, error.sentence)
        return Item(ItemKind.TOKEN, ref=operation.ref)

    def too_many(self, operation: Operation) -> Item:
        """Return the refusal of a channel that is one too many, and count it."""
        self._counters.limited_total["max_channels"] += 1
        most = f"{self.max_channels} channels (COMET_MAX_CHANNELS)"
        return error_of(operation, 400, f"id: one connection holds at most {most}; unsubscribe from one first")

    def of_poll(self, repoll: PendingRepoll) -> Iterator[Item]:
        """Return the answers to the operations that changed a poll, in their order (C5)."""
        names = repoll.request.channels
        for operation, decided in repoll.operations:
            if decided is not None:
                yield decided
            elif operation.op is Op.PING:
                yield Item(ItemKind.PONG, ref=operation.ref)
            elif operation.op is Op.UNSUB:
                yield Item(ItemKind.UNSUB, operation.channel, ref=operation.ref)
            elif operation.channel in names:
                start = repoll.positions[names.index(operation.channel)]
                yield self.welcome(repoll.seat, operation.channel, str(start or ""), operation)
            else:
                yield error_of(operation, 409, UNSUBSCRIBED)


def error_of(operation: Operation, code: int, sentence: str) -> Item:
    """Return the answer to an operation that is not carried out."""
    return Item(ItemKind.ERROR, operation.channel, sentence, code=code, op=operation.op.value, ref=operation.ref)


def _encode(seat: Seat, framing: Framing, items: Sequence[Item], *, has_cursor: bool) -> bytes:
    """Return the bytes of some items; the last one that is no pong has the seat's cursor, and the others have none.

    A seat without positions has its channels unchanged, so nothing that is sent here moves it.
    """
    last = next((index for index in reversed(range(len(items))) if items[index].kind is not ItemKind.PONG), None)
    if seat.positions is None or last is None or not has_cursor:
        return framing.encode(unmarked(items), "")
    cursor = seat.positions.cursor
    return framing.encode(mark(items, last, cursor), cursor)
