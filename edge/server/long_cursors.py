"""Subscribers whose cursor is too long to name their channels: the names are in Redis, and are read or stored first."""

from collections.abc import Callable
from dataclasses import replace

from common.errors import LimitError, RequestError, UnavailableError
from common.position import FORGOTTEN
from common.tasks import Tasks
from edge.cluster.name_lists import NameLists
from edge.counters import Counters
from edge.engine.wheel import Wheel
from edge.framing.base import Framing
from edge.framing.transports import framing_for
from edge.protocol.http import Request
from edge.protocol.subscribe import Negotiated, SubscribeRequest, bounded, check_count
from edge.server.answers import Answers
from edge.state import Pending, Seat
from edge.subscribers.lifecycle import Lifecycle
from edge.subscribers.pending import ATTACH_TIMEOUT

GONE = (
    "since: the channels that this position stands for are no longer known; "
    "subscribe to them anew, without a position, and load your state again"
)


class PendingNames(Pending):
    """A newcomer that waits for the names of its channels."""

    __slots__ = ()


class LongCursors:
    """Has the names ready that a subscriber's cursor refers to, and then has it go on with `admit`."""

    def __init__(
        self,
        lists: NameLists,
        lifecycle: Lifecycle,
        answers: Answers,
        wheel: Wheel[Seat],
        counters: Counters,
        clock: Callable[[], float],
        admit: Callable[[Seat, Request, SubscribeRequest, Framing], None],
        max_channels: int,
    ) -> None:
        self._lists = lists
        self._lifecycle = lifecycle
        self._answers = answers
        self._wheel = wheel
        self._counters = counters
        self._clock = clock
        self._admit = admit
        self._max_channels = max_channels
        self._under_way = Tasks()

    async def stop(self) -> None:
        """Cancel what is under way."""
        await self._under_way.cancel_all()

    def lead(self, seat: Seat, request: Request, asked: SubscribeRequest, framing: Framing) -> None:
        """Let a subscriber wait for the names of its channels; if they do not come in time, it is rejected."""
        pending = PendingNames(seat, framing)
        seat.wait(pending)
        self._wheel.schedule(seat, self._clock() + ATTACH_TIMEOUT)
        self._under_way.start(self._lead(pending, request, asked))

    async def _lead(self, pending: Pending, request: Request, asked: SubscribeRequest) -> None:
        seat, framing = pending.seat, pending.framing
        try:
            asked, framing = await self._with_names(asked, framing, seat)
        except RequestError as error:
            if pending.is_alive:
                seat.detach()
                self._refuse(seat, request, framing, error)
            return
        if pending.is_alive:
            seat.detach()
            self._go_on(seat, request, asked, framing)

    def _go_on(self, seat: Seat, request: Request, asked: SubscribeRequest, framing: Framing) -> None:
        try:
            self._admit(seat, request, bounded(asked, framing, request.size), framing)
        except RequestError as error:
            self._refuse(seat, request, framing, error)
        except Exception:
            self._lifecycle.fail(seat)

    async def _with_names(self, asked: SubscribeRequest, framing: Framing, seat: Seat) -> Negotiated:
        """Return a request whose channels and positions are known and stored; raises `RequestError`."""
        if asked.stored is None:
            return replace(asked, names=await self._lists.store(asked.channels, seat)), framing
        names = await self._lists.find(asked.stored.digest)
        if names is None:
            return _forgotten(asked, framing)
        positions = asked.stored.positions(names)
        check_count(tuple(positions), self._max_channels, optional=asked.transport == "ws")
        names = await self._lists.adopt(names, tuple(positions), seat)
        since = tuple(positions.values())
        return replace(asked, channels=tuple(positions), since=since, stored=None, names=names), framing

    def _refuse(self, seat: Seat, request: Request, framing: Framing, error: RequestError) -> None:
        """Answer a subscriber that cannot be led further; one that may try again, as its transport rejects."""
        if isinstance(error, LimitError):
            self._counters.limited_total[error.limit] += 1
        if isinstance(error, LimitError | UnavailableError):
            self._answers.reject(seat, framing, error.sentence, error.status)
        else:
            self._answers.refuse(seat, request, error)


def _forgotten(asked: SubscribeRequest, framing: Framing) -> Negotiated:
    """Return a request whose names are not kept any more, as one for the channels of its URL that gets a reset.

    Only an EventSource, to which an error is the end, gets that far: for others this raises `RequestError`.
    """
    if asked.transport != "sse" or not asked.channels:
        raise RequestError(GONE, 410)
    since = (FORGOTTEN,) * len(asked.channels)
    again = replace(asked, since=since, stored=None, has_channel_names=False)
    variant = framing.variant._replace(envelope=asked.envelope or len(asked.channels) > 1)
    return again, framing_for(asked.transport, variant)
