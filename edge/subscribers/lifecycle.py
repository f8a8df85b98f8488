"""The life of a subscriber: it is attached, welcomed, kept alive by heartbeats, and at last answered or evicted."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from operator import attrgetter

from common.logs import get_logger
from common.position import Position
from edge.batch import Batch
from edge.channels.hub import Hub
from edge.counters import CloseReason, Counters
from edge.engine.absences import Absences
from edge.engine.fanout import FanOut
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.base import Bundle, Framing
from edge.framing.items import GOING_AWAY, Item, mark, stamp, welcome_item
from edge.framing.transports import framing_for
from edge.parked import NEVER
from edge.protocol.http import HEAD_END
from edge.protocol.subscribe import SubscribeRequest
from edge.state import HELD, WAITING, Seat
from edge.subscribers.pending import ATTACH_TIMEOUT, PendingSubscribe
from edge.subscribers.postponed import Postponed, size_of
from edge.subscribers.replays import Replays
from edge.subscribers.sessions import Sessions

CLOSE_TIMEOUT = 2.0  # seconds that the peer has to close its side of a connection after this side is closed
MAX_AGE_JITTER = 0.2  # of the age, up or down
FEW_CHANNELS = 8  # whose welcomes are kept for others who begin at the same positions: longer ones would fill memory
RETRY_MS = (500, 2500)  # an EventSource that is evicted waits a random time between these before it reconnects


class Lifecycle:
    """Holds subscribers, keeps them alive, and evicts them; times are in seconds, and a `max_age` of 0 is no limit."""

    def __init__(
        self,
        seats: Seats,
        hub: Hub,
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
        self.postponed = Postponed(seats, wheel, clock, self._attach_again)
        self._seats = seats
        self._half_closed, self._paused, self._parked = seats.half_closed, seats.paused, seats.parked
        self._hub = hub
        self._fanout = fanout
        self._sessions = sessions
        self._absences = absences
        self._replays = replays
        self._wheel = wheel
        self._counters = counters
        self._clock = clock
        self._heartbeat = heartbeat
        self._poll_timeout = poll_timeout
        self._max_age = max_age
        self._sent_history = sent_history  # is told of a subscriber's missed messages, and their bytes
        self._log = get_logger()

    # A subscriber is attached.

    def attach(self, seat: Seat, request: SubscribeRequest, framing: Framing) -> None:
        """Attach a subscriber to its channels, and hold it once it has entered all of them: usually at once."""
        channel = self._hub.attach_at_once(seat, request)
        if channel is not None:
            self._hold(seat, request, framing, (channel.last,), [])
            return
        pending = PendingSubscribe(seat, request, framing, self._on_attached)
        self._hub.attach(pending)
        if seat.pending is pending:
            self._wheel.schedule(seat, self._clock() + ATTACH_TIMEOUT)

    def _attach_again(self, seat: Seat, request: SubscribeRequest, framing: Framing) -> None:
        """Attach a subscriber that was postponed."""
        try:
            self.attach(seat, request, framing)
        except Exception:
            self.fail(seat)

    def _on_attached(self, pending: PendingSubscribe) -> None:
        seat = pending.seat
        if pending.is_refused:
            self._wheel.expire(seat)
        elif pending.behind:
            self._on_behind(pending)
        elif not (self._parked and pending.items and self.postponed.add(pending)):
            self._hold(seat, pending.request, pending.framing, pending.positions, pending.items, pending.bundle)
        if seat in self._half_closed and seat.phase is HELD:
            self.on_half_closed(seat)

    def _on_behind(self, pending: PendingSubscribe) -> None:
        """A subscriber is welcome, but has missed more than it has been given: a poll has that collected first."""
        if pending.batch is None and pending.framing.single_response:
            self._replays.collect(pending)
        elif not (self._parked and self.postponed.add(pending)):
            self._hold_behind(pending)

    def _hold(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        starts: Sequence[Position | None],
        items: list[Item],
        bundle: Bundle | None = None,
    ) -> None:
        """Hold a subscriber that has entered its channels at `starts` and missed `items`, maybe a shared `bundle`."""
        self._counters.opened_total[framing.transport] += 1
        if self._max_age:
            self._limit_age(seat)
        if items and self._sent_history is not None:
            self._sent_history(seat, size_of(items))
        spans_channels = framing.cursor_in_bytes and (len(starts) > 1 or request.has_channel_names)
        seat.hold(framing, request.positions_at(starts) if spans_channels else None)
        if framing.single_response:
            self._hold_poll(seat, request, items, bundle)
        else:
            self._hold_open(seat, request, framing, starts, items, bundle)

    def _hold_behind(self, pending: PendingSubscribe) -> None:
        """Hold a subscriber with what was collected for it, or let it be given what it missed after its welcomes."""
        seat, request, framing, starts = pending.seat, pending.request, pending.framing, pending.positions
        self._counters.opened_total[framing.transport] += 1
        if self._max_age:
            self._limit_age(seat)
        if self._sent_history is not None:
            self._sent_history(seat, size_of(pending.items, pending.batch))
        seat.hold(framing, request.positions_at(starts) if framing.cursor_in_bytes else None)
        if pending.batch is None:
            self._replays.hold(seat, framing, pending.behind)
            self._hold_open(seat, request, framing, starts, pending.items, None)
        else:
            pending.batch.move(seat.positions)
            self._hold_poll(seat, request, pending.items, None, pending.batch)

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
        batch: Batch | None = None,
    ) -> None:
        """Answer a poll at once if there are messages, else at its time-out or with the next message."""
        if request.session:
            self._answer_earlier(request.session)
            self._sessions.name(seat, request.session)
        self._absences.came_back(seat, request.since, request.session)
        timeout = self._poll_timeout if request.timeout is None else request.timeout
        if batch is not None and batch.count:
            self._fanout.deliver_batch(seat, batch, items)
        elif items or timeout == 0:
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
        cursor = None if seat.positions is None else "" if items else seat.positions.cursor
        make = welcome if len(request.channels) <= FEW_CHANNELS else welcome.__wrapped__
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

    def on_flushed(self, seat: Seat) -> None:
        """Nothing is parked for a seat any more: it is given more if it is behind, and others may have room now."""
        self._replays.on_flushed(seat)
        self.postponed.admit()

    # Time passes.

    def beat(self, seats: Sequence[Seat]) -> list[Seat]:
        """Send a heartbeat to the seats on the fast path that need one; return the seats that need something else."""
        now, resting, others = self._clock(), [], []
        for seat in seats:
            if not seat.fast_path or now >= seat.expires:
                others.append(seat)
            elif self._schedule_beat(seat, seat.channels[0].sent_at, now):
                resting.append(seat)
        self._seats.broadcast(resting, attrgetter("heartbeat"))
        return others

    def on_due(self, seat: Seat, framing: Framing) -> None:
        """The deadline of a held subscriber has passed: send a heartbeat, answer it, or evict it for its age."""
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
        """Send a heartbeat, unless data was sent meanwhile or is parked."""
        last = max((channel.sent_at for channel in seat.channels), default=0.0)
        if self._schedule_beat(seat, last, now) and seat.send_buffer is None:
            self._seats.write(seat, framing.heartbeat)

    def _schedule_beat(self, seat: Seat, last: float, now: float) -> bool:
        """Schedule the next heartbeat of a seat that last got data at `last`; return whether one is due now."""
        is_due = last + self._heartbeat <= now
        self._wheel.schedule(seat, min((now if is_due else last) + self._heartbeat, seat.expires))
        return is_due

    # A connection ends.

    def on_half_closed(self, seat: Seat) -> None:
        """A client sends nothing more. Most have gone; one that still reads gets all of an answer that has an end.

        A poll that waits is answered with what there is. A stream has no end to wait for, and a request that is not
        complete never will be: it is aborted.
        """
        framing = seat.framing if seat.pending is None else seat.pending.framing
        is_under_way = seat.send_buffer is not None or (seat in self._paused and HEAD_END in seat.recv_buffer)
        if not (is_under_way if framing is None else framing.single_response):
            self._seats.abort(seat, CloseReason.CLIENT)
            return
        self._seats.end_reading(seat)
        if seat.phase is HELD and not self._fanout.is_busy(seat):
            self.evict(seat, CloseReason.CLIENT)
            self.let_go(seat)

    def let_go(self, seat: Seat) -> None:
        """Abort the connection of a client that sends nothing more, unless a part of its answer is parked."""
        if seat.send_buffer is None:
            self._seats.abort(seat, CloseReason.CLIENT)

    def close(self, seat: Seat, data: bytes, reason: CloseReason) -> None:
        """Close a connection with some last bytes; if the peer does not close its side in time, it is aborted."""
        self._seats.close(seat, data, reason)
        self._wheel.schedule(seat, self._clock() + CLOSE_TIMEOUT)

    def fail(self, seat: Seat) -> None:
        """Abort a connection and log the exception that is being handled: a bug costs one client its connection."""
        self._log.exception("a connection could not be served; it is closed")
        self._seats.abort(seat, CloseReason.ERROR)

    def evict(self, seat: Seat, reason: CloseReason) -> None:
        """Close a connection with the last words of its transport; its client reconnects, here or elsewhere."""
        self.close(seat, self._sessions.sign(seat, _farewell(seat)), reason)

    def turn_out(self, seat: Seat, reason: CloseReason) -> None:
        """Evict a seat; a poll with messages on their way to it is aborted: it asks for them again."""
        if seat.pending is not None or self._may_be_evicted(seat):
            self.evict(seat, reason)
        else:
            self._seats.abort(seat, reason)

    def evict_all(self) -> None:
        """Evict every subscriber at once, because the edge stops."""
        self._fanout.finish()
        for seat in self._seats:
            self.evict(seat, CloseReason.DRAIN)

    def evict_oldest(self, count: int, reason: CloseReason) -> int:
        """Evict the `count` oldest subscribers that may be evicted now; return how many they are."""
        oldest = list(islice(filter(self._may_be_evicted, self._seats), count))
        for seat in oldest:
            self.evict(seat, reason)
        return len(oldest)

    def answer_polls(self, reason: CloseReason) -> Iterator[None]:
        """Answer every held poll with its position and no message, one in each step."""
        for seat in self._seats:
            if seat.framing is not None and seat.framing.single_response and not self._fanout.is_busy(seat):
                self.evict(seat, reason)
            yield

    @property
    def subscribers(self) -> int:
        """How many subscribers are held or wait to be; a connection between two requests is none."""
        return sum(WAITING <= seat.phase <= HELD for seat in self._seats)

    def _may_be_evicted(self, seat: Seat) -> bool:
        """Say whether a seat is held, and is not a poll with messages on their way to it.

        Any other held seat may be evicted with messages on their way: its client goes on from the last one it got.
        """
        return seat.framing is not None and not (seat.framing.single_response and self._fanout.is_busy(seat))


def _farewell(seat: Seat) -> bytes:
    """Return the last bytes for a seat that is evicted."""
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
