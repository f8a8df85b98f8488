"""Holding: a subscriber that has been led to its channels is held, with its welcomes; or a poll with its answer."""

import random
from collections.abc import Callable, Sequence
from functools import lru_cache

from common.position import Position
from edge.chain import EMPTY
from edge.counters import Counters
from edge.engine.absences import Absences
from edge.engine.fanout import FanOut
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.base import Batch, Bundle, Framing
from edge.framing.items import Item, mark, stamp, welcome_item
from edge.parked import NEVER
from edge.protocol.subscribe import SubscribeRequest
from edge.state import Behind, Seat
from edge.subscribers.postponed import answer_size
from edge.subscribers.replays import Replays
from edge.subscribers.sessions import Sessions

MAX_AGE_JITTER = 0.2  # of the age, up or down
SHARED_CHANNELS = 8  # whose welcomes are kept for others who begin at the same positions: longer ones would fill memory


class Holding:
    """Makes subscribers held ones; times are in seconds, and a `max_age` of 0 is no limit."""

    def __init__(
        self,
        seats: Seats,
        fanout: FanOut,
        sessions: Sessions,
        absences: Absences,
        replays: Replays,
        wheel: Wheel[Seat],
        counters: Counters,
        clock: Callable[[], float],
        *,
        heartbeat: float,
        poll_timeout: float,
        max_age: float = 0,
        sent_history: Callable[[Seat, int], None] | None = None,
    ) -> None:
        self.on_early_bytes: Callable[[Seat], None] = lambda seat: None  # upward: it sent bytes before it was held
        self._seats = seats
        self._fanout = fanout
        self._sessions = sessions
        self._absences = absences
        self._replays = replays
        self._wheel = wheel
        self._counters, self._opened = counters, counters.opened_total
        self._clock = clock
        self._heartbeat = heartbeat
        self._poll_timeout = poll_timeout
        self._max_age = max_age
        self._sent_history = sent_history  # is told of a subscriber's missed messages, and their bytes

    def hold(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        starts: Sequence[Position | None],
        items: list[Item],
        bundle: Bundle | None = None,
        behind: Sequence[Behind] = EMPTY,
        batch: Batch | None = None,
    ) -> None:
        """Hold a subscriber that goes on in its channels at `starts` and missed `items`, maybe a shared `bundle`.

        What it missed in the channels on which it is `behind` it is given later, or, a poll, has in its `batch`.
        """
        self._opened[framing.transport] += 1
        if self._max_age:
            self._limit_age(seat)
        if self._sent_history is not None and (items or batch is not None):
            self._sent_history(seat, answer_size(items, batch))
        has_own = framing.cursor_in_bytes and (len(starts) > 1 or request.has_channel_names or behind)
        seat.hold(framing, request.positions_at(starts) if has_own else None)
        if framing.single_response:
            self._hold_poll(seat, request, items, bundle, batch)
            return
        if behind:
            self._replays.hold(seat, framing, behind)
        self._hold_open(seat, request, framing, starts, items, bundle)

    def _limit_age(self, seat: Seat) -> None:
        """Let a connection end at some time, unless it knows when."""
        if seat.expires == NEVER:
            seat.expires = self._clock() + self._max_age * random.uniform(1 - MAX_AGE_JITTER, 1 + MAX_AGE_JITTER)

    def _hold_poll(
        self,
        seat: Seat,
        request: SubscribeRequest,
        items: list[Item],
        bundle: Bundle | None,
        batch: Batch | None,
    ) -> None:
        """Answer a poll at once if there are messages, else at its time-out or with the next message."""
        if request.session:
            self._answer_earlier(request.session)
            self._sessions.name(seat, request.session)
        self._absences.came_back(seat, request.since, request.session)
        timeout = self._poll_timeout if request.timeout is None else request.timeout
        if batch is not None:
            batch.move(seat.positions)
            if batch.count:
                self._fanout.deliver_batch(seat, batch, items)
                return
        if items or timeout == 0:
            self._fanout.deliver(seat, items, bundle if items else None)
        else:
            self._wheel.schedule(seat, self._clock() + timeout)

    def _answer_earlier(self, session: str) -> None:
        """Answer the poll that has this session now: its client has abandoned it, but a browser may not close it."""
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
        bundle: Bundle | None,
    ) -> None:
        """Send the head, a welcome for each channel, and the messages that were missed, in one write."""
        spread = random.random()  # spreads the heartbeats and the reconnects of clients that subscribe together
        self._wheel.schedule(seat, min(self._clock() + self._heartbeat * (1 + spread) / 2, seat.expires))
        positions = seat.positions
        cursor = None if positions is None or positions.is_plain else "" if items else positions.cursor
        make = welcome if len(request.channels) <= SHARED_CHANNELS else welcome.__wrapped__
        shared = make(framing, request.channels, cursor, self._sessions.blank, *starts)
        head = framing.head(1000 + 50 * int(80 * spread), request.ws_accept) + self._sessions.fill(seat, shared)
        data = b""
        if bundle is not None and seat.positions is None:
            data = bundle.encode(framing)
        elif items:
            data = framing.encode(stamp(items, seat.positions), "")
        self._counters.delivered(framing.transport, len(items), len(head) + len(data))
        self._seats.write(seat, head, (data,) if data else ())
        if seat.recv_buffer:
            self.on_early_bytes(seat)


@lru_cache(maxsize=256)
def welcome(
    framing: Framing, channels: tuple[str, ...], cursor: str | None, session: str, *starts: Position | None
) -> bytes:
    """Return the welcomes to some channels, each with the position in `starts` from which the subscriber goes on.

    `cursor` is that of all channels together, which the last welcome has; empty if what follows in the same write has
    it, and None if there is one channel, whose position it is. `session` is a blank that `Sessions.fill` replaces, so
    the subscribers that begin at one position of a channel share the cached bytes.
    """
    seqs = [str(start) if start is not None else "" for start in starts]
    items = [welcome_item(name, seq, seq, session=session) for name, seq in zip(channels, seqs, strict=True)]
    if cursor is not None and items:
        items = mark(items, len(items) - 1, cursor)
    return framing.encode(items or [welcome_item(session=session)], "")
