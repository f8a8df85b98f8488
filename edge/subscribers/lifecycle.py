"""The life of a subscriber: it is attached, welcomed, kept alive by heartbeats, and at last answered or evicted."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter

from common.logs import get_logger
from edge.channels.hub import Hub
from edge.counters import CloseReason, Counters
from edge.engine.fanout import FanOut
from edge.engine.grants import Grants
from edge.engine.seats import Seats
from edge.engine.wheel import Wheel
from edge.framing.base import Framing
from edge.framing.items import GOING_AWAY, error_item
from edge.framing.transports import framing_for
from edge.protocol.http import HEAD_END
from edge.protocol.proportion import is_out_of_proportion, refusal
from edge.protocol.subscribe import SubscribeRequest
from edge.state import HELD, WAITING, Seat
from edge.subscribers.holding import Holding
from edge.subscribers.pending import ATTACH_TIMEOUT, PendingSubscribe
from edge.subscribers.postponed import Postponed
from edge.subscribers.replays import Replays
from edge.subscribers.sessions import Sessions
from edge.tokens.guard import EXPIRED

CLOSE_TIMEOUT = 2.0  # seconds that the peer has to close its side of a connection after this side is closed
EXPIRED_PER_TURN = 64  # to end so many takes two or three milliseconds
RETRY_MS = (500, 2500)  # an EventSource that is evicted waits a random time between these before it reconnects


class Lifecycle:
    """Leads subscribers to their channels, keeps them alive, and evicts them; times are in seconds."""

    def __init__(
        self,
        seats: Seats,
        hub: Hub,
        fanout: FanOut,
        sessions: Sessions,
        holding: Holding,
        replays: Replays,
        grants: Grants,
        wheel: Wheel[Seat],
        counters: Counters,
        clock: Callable[[], float],
        *,
        heartbeat: float,
    ) -> None:
        self.postponed = Postponed(seats, grants, wheel, clock, self._attach_again)
        self._seats = seats
        self._half_closed, self._paused, self._parked = seats.half_closed, seats.paused, seats.parked
        self._hub = hub
        self._fanout = fanout
        self._sessions = sessions
        self._holding = holding
        self._replays = replays
        self._grants = grants
        self._wheel = wheel
        self._counters = counters
        self._clock = clock
        self._heartbeat = heartbeat
        self._log = get_logger()

    # A subscriber is attached.

    def attach(self, seat: Seat, request: SubscribeRequest, framing: Framing) -> None:
        """Attach a subscriber to its channels, and hold it once it has entered all of them: usually at once."""
        channel = self._hub.attach_at_once(seat, request)
        if channel is not None:
            self._holding.hold(seat, request, framing, (channel.last,), [])
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
        elif pending.request.most_control and self._is_out_of_proportion(pending):
            self._counters.refused_total[400] += 1
            self.close(seat, refusal(pending.framing), CloseReason.REFUSED)
        elif pending.behind and pending.batch is None and pending.framing.single_response:
            self._replays.collect(pending)
        elif not (self._parked and (pending.items or pending.behind) and self.postponed.add(pending)):
            self._holding.hold(
                seat,
                pending.request,
                pending.framing,
                pending.positions,
                pending.items,
                pending.bundle,
                pending.behind,
                pending.batch,
            )
        if seat in self._half_closed and seat.phase is HELD:
            self.on_half_closed(seat)

    def _is_out_of_proportion(self, pending: PendingSubscribe) -> bool:
        framing, session = pending.framing, self._sessions.blank
        writes = 2 if pending.behind else 1
        return is_out_of_proportion(pending.request, framing, pending.positions, pending.items, session, writes=writes)

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

    def end_expired(self) -> bool:
        """End some subscribers whose tokens have expired; return whether there may be more."""
        seats = self._grants.take_expired(EXPIRED_PER_TURN)
        for seat in seats:
            try:
                self._end_expired(seat)
            except Exception:
                self.fail(seat)
        return len(seats) == EXPIRED_PER_TURN

    def _end_expired(self, seat: Seat) -> None:
        """Tell a subscriber that its token has expired, and close its connection; a poll is answered with that."""
        if seat.pending is not None:
            self.close(seat, seat.pending.framing.refusal(401, EXPIRED, RETRY_MS[0] / 1000), CloseReason.TOKEN)
            return
        self._fanout.flush_to(seat)  # what was published before
        framing, item = seat.framing, error_item(401, EXPIRED)
        if framing is None:
            self._grants.leave(seat)  # the flush has ended it
        elif framing.single_response:
            self._fanout.deliver(seat, [item])
        elif seat.send_buffer is not None:
            self._seats.abort(seat, CloseReason.TOKEN)  # words behind what is parked could come long after
        else:
            self.close(seat, framing.last_error(item), CloseReason.TOKEN)

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
