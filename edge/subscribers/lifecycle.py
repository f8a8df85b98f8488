"""A subscriber's life: it is attached, welcomed, kept alive by heartbeats, and answered or evicted."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from operator import attrgetter

from common.logs import get_logger
from common.position import START, NamedPositions, Position, Positions
from edge.channels.hub import Hub
from edge.counters import CloseReason, Counters
from edge.engine.fanout import FanOut
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.base import Framing
from edge.framing.items import GOING_AWAY, Item, stamp, welcome_item
from edge.framing.transports import framing_for
from edge.protocol.subscribe import SubscribeRequest
from edge.state import HELD, NEVER, WAITING, Seat
from edge.subscribers.pending import ATTACH_TIMEOUT, PendingSubscribe
from edge.subscribers.sessions import Sessions

GOODBYE_TIMEOUT = 2.0  # seconds that the peer's end is awaited after ours
MAX_AGE_JITTER = 0.2
RETRY_MS = (500, 2500)  # what an EventSource that is evicted waits, each its own time


class Lifecycle:
    """Seats subscribers, keeps them alive, and lets them go."""

    def __init__(
        self,
        seats: Seats,
        hub: Hub,
        fanout: FanOut,
        sessions: Sessions,
        wheel: Wheel[Seat],
        counters: Counters,
        clock: Callable[[], float],
        *,
        heartbeat: float,
        poll_timeout: float,
        max_age: float = 0,
    ) -> None:
        self.on_early_bytes: Callable[[Seat], None] = lambda seat: None  # upward: more bytes came than the request
        self._seats = seats
        self._hub = hub
        self._fanout = fanout
        self._sessions = sessions
        self._wheel = wheel
        self._counters = counters
        self._clock = clock
        self._heartbeat = heartbeat
        self._poll_timeout = poll_timeout
        self._max_age = max_age
        self._log = get_logger()

    # A subscriber comes.

    def attach(self, seat: Seat, request: SubscribeRequest, framing: Framing) -> None:
        """Lead a subscriber to its channels and hold it when it is in all of them: in the usual case, at once."""
        channel = self._hub.attach_at_once(seat, request)
        if channel is not None:
            self._hold(seat, request, framing, (channel.last,), [])
            return
        self._hub.attach(PendingSubscribe(seat, request, framing, self._on_attached))
        if seat.phase is WAITING:
            self._wheel.schedule(seat, self._clock() + ATTACH_TIMEOUT)

    def _on_attached(self, pending: PendingSubscribe) -> None:
        self._hold(pending.seat, pending.request, pending.framing, pending.positions, pending.items)

    def _hold(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        starts: Sequence[Position | None],
        items: list[Item],
    ) -> None:
        """All channels of a subscriber are ready: give it what it asked for."""
        self._counters.opened(framing.transport)
        if self._max_age and seat.expires == NEVER:
            seat.expires = self._clock() + self._max_age * random.uniform(1 - MAX_AGE_JITTER, 1 + MAX_AGE_JITTER)
        spans_channels = len(starts) > 1 or request.has_channel_names
        seat.hold(framing, positions_at(request, starts) if spans_channels and framing.cursor_in_bytes else None)
        if framing.single_response:
            self._hold_poll(seat, request, items)
        else:
            self._hold_open(seat, request, framing, starts, items)

    def _hold_poll(self, seat: Seat, request: SubscribeRequest, items: list[Item]) -> None:
        """Answer a poll now if there is anything to tell; else let it wait."""
        if request.session:
            self._answer_earlier(request.session)
            self._sessions.name(seat, request.session)
        if request.since is not None:
            for channel in seat.channels:
                channel.poller_came_back()
        timeout = self._poll_timeout if request.timeout is None else request.timeout
        if items or timeout == 0:
            self._fanout.deliver(seat, items)
        else:
            self._wheel.schedule(seat, self._clock() + timeout)

    def _answer_earlier(self, session: str) -> None:
        """Answer the poll that has a session already: its client has given it up, and a browser may not say so."""
        earlier = self._sessions.find(session)
        if earlier is not None and not self._fanout.is_busy(earlier):
            self._fanout.deliver(earlier, [])

    def _hold_open(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        starts: Sequence[Position | None],
        items: list[Item],
    ) -> None:
        """Send the head, a welcome for each channel and what was missed, in one write."""
        spread = random.random()  # of clients that came together: their heartbeats, and when they reconnect
        self._wheel.schedule(seat, min(self._clock() + self._heartbeat * (1 + spread) / 2, seat.expires))
        cursor = seat.positions.cursor if seat.positions is not None else None
        shared = welcome(framing, request.channels, cursor, self._sessions.blank, *starts)
        data = framing.head(1000 + 50 * int(80 * spread), request.ws_accept) + self._sessions.fill(seat, shared)
        if items:
            data += framing.encode(stamp(items, seat.positions), "")
        self._counters.delivered(framing.transport, len(items), len(data))
        self._seats.write(seat, data)
        if seat.recv_buffer:
            self.on_early_bytes(seat)

    # Time passes.

    def beat(self, seats: Sequence[Seat]) -> list[Seat]:
        """Send heartbeats to seats that are due and get no data; return those for which it is not that simple."""
        now, resting, others = self._clock(), [], []
        for seat in seats:
            if not seat.fast_path or now >= seat.expires:
                others.append(seat)
            elif self._schedule_beat(seat, seat.channels[0].sent_at, now):
                resting.append(seat)
        self._seats.broadcast(resting, attrgetter("heartbeat"))
        return others

    def on_due(self, seat: Seat, framing: Framing) -> None:
        """A held subscriber's deadline has passed."""
        now = self._clock()
        if not framing.single_response and now < seat.expires:
            self._beat(seat, framing, now)
        elif self._fanout.is_busy(seat):
            self._wheel.schedule(seat, now)  # messages are on their way
        elif framing.single_response:
            self._fanout.deliver(seat, [])
        else:
            self.evict(seat, CloseReason.MAX_AGE)

    def _beat(self, seat: Seat, framing: Framing, now: float) -> None:
        """Send a heartbeat, unless data went out meanwhile or still waits to go."""
        last = max((channel.sent_at for channel in seat.channels), default=0.0)
        if self._schedule_beat(seat, last, now) and seat.send_buffer is None:
            self._seats.write(seat, framing.heartbeat)

    def _schedule_beat(self, seat: Seat, last: float, now: float) -> bool:
        """Schedule the next heartbeat of a seat that got data at `last`; return whether one is due now."""
        is_due = last + self._heartbeat <= now
        self._wheel.schedule(seat, min((now if is_due else last) + self._heartbeat, seat.expires))
        return is_due

    # A subscriber goes.

    def close(self, seat: Seat, data: bytes, reason: CloseReason) -> None:
        """End a connection with some last bytes, and give the peer a moment to take them."""
        self._seats.close(seat, data, reason)
        self._wheel.schedule(seat, self._clock() + GOODBYE_TIMEOUT)

    def fail(self, seat: Seat) -> None:
        """The last resort, in an `except` block: a bug shows in the log and costs one client its connection."""
        self._log.exception("a connection could not be served; it is closed")
        self._seats.abort(seat, CloseReason.ERROR)

    def evict(self, seat: Seat, reason: CloseReason) -> None:
        """End a connection as politely as its transport allows; its client comes back, here or elsewhere."""
        self.close(seat, self._sessions.sign(seat, _farewell(seat)), reason)

    def evict_all(self) -> None:
        """The edge is going away."""
        self._fanout.finish()
        for seat in self._seats:
            self.evict(seat, CloseReason.DRAIN)

    def evict_oldest(self, count: int, reason: CloseReason) -> int:
        """Evict the `count` oldest subscribers that may go now, and return how many these were."""
        going = list(islice(filter(self._may_go, self._seats), count))
        for seat in going:
            self.evict(seat, reason)
        return len(going)

    def answer_polls(self, reason: CloseReason) -> Iterator[None]:
        """Answer every poll that waits, with nothing new, step by step; its client goes on elsewhere from there."""
        for seat in self._seats:
            if seat.framing is not None and seat.framing.single_response and not self._fanout.is_busy(seat):
                self.evict(seat, reason)
            yield

    @property
    def subscribers(self) -> int:
        """How many subscribers are held or wait to be; connections between two requests are none."""
        return sum(WAITING <= seat.phase <= HELD for seat in self._seats)

    def _may_go(self, seat: Seat) -> bool:
        """Say whether this is a good moment for a seat to go: it is held, and not a poll whose answer is on its way.

        A held connection may go while messages are on their way to it: it goes on from the last one it got.
        """
        return seat.framing is not None and not (seat.framing.single_response and self._fanout.is_busy(seat))


def positions_at(request: SubscribeRequest, starts: Sequence[Position | None]) -> Positions:
    """Return where a newly held subscriber stands on its channels."""
    kind = NamedPositions if request.has_channel_names else Positions
    return kind(zip(request.channels, (str(start or START) for start in starts), strict=True))


def _farewell(seat: Seat) -> bytes:
    """Return the last bytes of a connection to an edge that is going away."""
    framing = seat.framing
    if seat.pending is not None:
        return seat.pending.framing.refusal(503, GOING_AWAY, 1)
    if framing is None:
        return b""
    if framing.single_response:
        return framing_for(framing.transport, framing.variant._replace(closing=True)).farewell(seat.cursor)
    return framing.retry(random.randint(*RETRY_MS)) + framing.farewell(seat.cursor)


@lru_cache(maxsize=256)
def welcome(
    framing: Framing, channels: tuple[str, ...], cursor: str | None, session: str, *starts: Position | None
) -> bytes:
    """Return the welcomes to some channels, with the positions from which the subscriber goes on.

    `cursor` holds for all of them; None is the one channel's own position. `session` is a blank to be filled in, so
    that subscribers that come together to a channel get the same bytes: they are remembered.
    """
    seqs = [str(start) if start is not None else "" for start in starts]
    items = [
        welcome_item(name, seq, seq if cursor is None else cursor, session=session)
        for name, seq in zip(channels, seqs, strict=True)
    ]
    return framing.encode(items or [welcome_item(session=session)], "")
