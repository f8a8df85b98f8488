"""Postponed: subscribers whose answer has no room in the outbox. They are attached again when others have taken theirs.

If a thousand pollers come back at once for half a megabyte each, more would be parked than all seats may have: the edge
would evict them, and they would come back for the same. So an edge makes only as many answers as there is room for, and
keeps no more than the request of each other subscriber: from its position it can be answered later as well as now.
"""

from collections import deque
from collections.abc import Callable, Sequence

from edge.counters import CloseReason
from edge.engine.grants import Grants
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.base import Batch, Framing
from edge.framing.items import Item
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Pending, Seat
from edge.subscribers.pending import PendingSubscribe

POSTPONE_TIMEOUT = 20.0  # seconds that a subscriber waits for room before it is rejected
NO_ROOM = "this edge has too many long answers under way; try again, here or on another edge"
ADMITTED_PER_TURN = 16  # subscribers that are attached again before the event loop may do something else


class PostponedSubscribe(Pending):
    """A newcomer that waits for room in the outbox."""

    __slots__ = ("request", "size")

    def __init__(self, seat: Seat, request: SubscribeRequest, framing: Framing, size: int) -> None:
        super().__init__(seat, framing)
        self.request = request
        self.size = size  # of its answer, roughly


class Postponed:
    """The subscribers that wait for room, in the order of their coming; `attach` leads one to its channels again."""

    def __init__(
        self,
        seats: Seats,
        grants: Grants,
        wheel: Wheel[Seat],
        clock: Callable[[], float],
        attach: Callable[[Seat, SubscribeRequest, Framing], None],
    ) -> None:
        self._seats = seats
        self._grants = grants
        self._wheel = wheel
        self._clock = clock
        self._attach = attach
        self._queue: deque[PostponedSubscribe] = deque()

    def add(self, ready: PendingSubscribe) -> bool:
        """If a subscriber's answer has no room, detach it from its channels and keep its request; return whether so."""
        seat, size = ready.seat, answer_size(ready.items, ready.batch)
        shared = ready.bundle.shared(ready.framing) if ready.bundle is not None else None
        if ready.batch is not None:
            shared = ready.batch.longest
        if self._seats.outbox.has_room(size, shared):
            return False
        waiting, grant = PostponedSubscribe(seat, ready.request, ready.framing, size), self._grants.of(seat)
        self._seats.detach(seat, CloseReason.UNAVAILABLE)
        self._grants.hold(seat, grant)  # its time goes on
        seat.wait(waiting)
        self._wheel.schedule(seat, self._clock() + POSTPONE_TIMEOUT)
        self._queue.append(waiting)
        return True

    def admit(self) -> bool:
        """Attach some of those that wait longest, as far as there is room; return whether there may be more to do.

        While nothing is parked, one of them may have an answer of any size.
        """
        size, asked = 0, set()
        for _ in range(min(ADMITTED_PER_TURN, len(self._queue))):
            waiting = self._queue[0]
            if waiting.is_alive:
                asking = (waiting.request.channels, tuple(waiting.request.since or ()), waiting.framing)
                size += waiting.size if asking not in asked else 0
                asked.add(asking)  # who asks for the same shares the bytes
                is_alone = size == waiting.size and not self._seats.parked
                if not is_alone and not self._seats.outbox.has_room(size):
                    return False
            self._queue.popleft()
            if waiting.is_alive:
                waiting.seat.detach()
                self._attach(waiting.seat, waiting.request, waiting.framing)
        return bool(self._queue)


def answer_size(items: Sequence[Item], batch: Batch | None = None) -> int:
    """Return roughly how many bytes an answer of some items has, and of what was collected before."""
    return (batch.size if batch is not None else 0) + sum(len(item.content or "") for item in items)
