"""Holding: what happens to a subscriber from its welcome to its goodbye, as far as time decides it."""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from operator import attrgetter

from common.position import START, NamedPositions, Position, Positions
from edge.channels.attach import WELCOME
from edge.counters import Counters
from edge.engine.fanout import FanOut, stamp
from edge.engine.seats import NEVER, Seat, Seats
from edge.engine.wheel import Wheel
from edge.framing import GOING_AWAY, Framing, Item, framing_for
from edge.protocol.subscribe import SubscribeRequest
from edge.subscribers.sessions import Sessions

GOODBYE_TIMEOUT = 2.0  # seconds we wait for the peer's end after ours
AGE_JITTER = 0.2
COME_BACK_MS = (500, 2500)  # what an EventSource that is sent away waits, each its own time
AT_ONCE = 64  # polls answered before the loop may do something else


class Lifecycle:
    """Seats subscribers, keeps them alive, and lets them go."""

    def __init__(
        self,
        seats: Seats,
        fanout: FanOut,
        counters: Counters,
        clock: Callable[[], float],
        sessions: Sessions,
        *,
        heartbeat: float,
        poll_timeout: float,
        max_age: float = 0,
    ) -> None:
        self.wheel: Wheel[Seat]  # set by the front, which has deadlines of its own
        self.on_early_bytes: Callable[[Seat], None]  # set by the front: more bytes came than the request
        self._seats = seats
        self._fanout = fanout
        self._counters = counters
        self._clock = clock
        self._sessions = sessions
        self._heartbeat = heartbeat
        self._poll_timeout = poll_timeout
        self._max_age = max_age

    def seat(
        self,
        seat: Seat,
        request: SubscribeRequest,
        framing: Framing,
        starts: Sequence[Position | None],
        items: list[Item],
    ) -> None:
        """All channels of a subscriber are ready: give it what it asked for."""
        seat.pending, seat.framing = None, framing
        self._counters.opened(framing.transport)
        if self._max_age and seat.expires == NEVER:
            seat.expires = self._clock() + self._max_age * random.uniform(1 - AGE_JITTER, 1 + AGE_JITTER)
        if framing.cursor_in_bytes and (len(starts) > 1 or request.named):
            seat.positions = standing(request, starts)
        if framing.single_response:
            self._hold_poll(seat, request, items)
        else:
            self._hold_open(seat, request, framing, starts, items)

    def beat(self, seats: Sequence[Seat]) -> list[Seat]:
        """Send heartbeats to seats that are due and get no data; return those for which it is not that simple."""
        now, resting, others = self._clock(), [], []
        for seat in seats:
            if not seat.fast_path or now >= seat.expires:
                others.append(seat)
                continue
            last = seat.channels[0].sent_at
            if last + self._heartbeat <= now:
                resting.append(seat)
                last = now
            self.wheel.schedule(seat, min(last + self._heartbeat, seat.expires))
        self._seats.broadcast(resting, attrgetter("heartbeat"))
        return others

    def on_due(self, seat: Seat, framing: Framing) -> None:
        """A seated subscriber's deadline has passed."""
        if not framing.single_response:
            self._beat(seat, framing)
        elif self._fanout.is_busy(seat):
            self.wheel.schedule(seat, self._clock())  # an answer is on its way
        else:
            self._fanout.deliver(seat, [])

    def end(self, seat: Seat, data: bytes, reason: str) -> None:
        """End a connection with some last bytes, and give the peer a moment to take them."""
        self._seats.end(seat, data, reason)
        self.wheel.schedule(seat, self._clock() + GOODBYE_TIMEOUT)

    def say_goodbye(self, seat: Seat, reason: str) -> None:
        """End a connection as politely as its transport allows; its client comes back, here or elsewhere."""
        framing = seat.framing
        if seat.pending is not None:
            data = seat.pending.framing.refusal(503, GOING_AWAY, 1)
        elif framing is None:
            data = b""
        elif framing.single_response:
            data = framing_for(framing.transport, framing.variant._replace(closing=True)).farewell(seat.cursor)
        else:
            data = framing.pause(random.randint(*COME_BACK_MS)) + framing.farewell(seat.cursor)
        self.end(seat, self._sessions.sign(seat, data), reason)

    def say_goodbye_to_all(self) -> None:
        """The edge is going away."""
        self._fanout.finish()
        for seat in self._seats:
            self.say_goodbye(seat, "drain")

    @property
    def held(self) -> int:
        """How many subscribers are seated or wait to be; connections between two requests are nobody's."""
        return sum(seat.framing is not None or seat.pending is not None for seat in self._seats)

    def send_away(self, count: int, reason: str) -> int:
        """Say goodbye to the oldest subscribers, and return to how many."""
        going = list(islice(filter(self._may_go, self._seats), count))
        for seat in going:
            self.say_goodbye(seat, reason)
        return len(going)

    async def answer_polls(self, reason: str) -> None:
        """Answer every poll that waits, with nothing new; its client goes on elsewhere from the same position."""
        for number, seat in enumerate(self._seats, 1):
            if seat.framing is not None and seat.framing.single_response and not self._fanout.is_busy(seat):
                self.say_goodbye(seat, reason)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _may_go(self, seat: Seat) -> bool:
        """Say whether this is a good moment for a seat to go: it is held, and not a poll whose answer is on its way.

        A held connection may go while messages are on their way to it: it goes on from the last one it got.
        """
        return seat.framing is not None and not (seat.framing.single_response and self._fanout.is_busy(seat))

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
            self.wheel.schedule(seat, self._clock() + timeout)

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
        seat.shares_bytes = seat.fast_path = seat.positions is None and len(seat.channels) == 1
        spread = random.random()  # of clients that came together: their heartbeats, and when they reconnect
        self.wheel.schedule(seat, min(self._clock() + self._heartbeat * (1 + spread) / 2, seat.expires))
        cursor = seat.positions.cursor if seat.positions is not None else None
        shared = welcome(framing, request.channels, cursor, self._sessions.blank, *starts)
        data = framing.head(1000 + 50 * int(80 * spread), request.key) + self._sessions.fill(seat, shared)
        if items:
            data += framing.encode(stamp(items, seat.positions), "")
        self._counters.delivered(framing.transport, len(items), len(data))
        self._seats.write(seat, data)
        if seat.inbox:
            self.on_early_bytes(seat)

    def _beat(self, seat: Seat, framing: Framing) -> None:
        """Send a heartbeat, unless data went out meanwhile or still waits to go; or the connection is old enough."""
        now = self._clock()
        if now >= seat.expires:
            if self._fanout.is_busy(seat):
                self.wheel.schedule(seat, now)
            else:
                self.say_goodbye(seat, "max_age")
            return
        last = max((channel.sent_at for channel in seat.channels), default=0.0)
        if last + self._heartbeat <= now:
            last = now
            if seat.send_buffer is None:
                self._seats.write(seat, framing.heartbeat)
        if seat.fd >= 0:
            self.wheel.schedule(seat, min(last + self._heartbeat, seat.expires))


def standing(request: SubscribeRequest, starts: Sequence[Position | None]) -> Positions:
    """Return where a newly seated subscriber stands that has several channels or named them in its position."""
    kind = NamedPositions if request.named else Positions
    return kind(zip(request.channels, (str(start or START) for start in starts), strict=True))


@lru_cache(maxsize=256)
def welcome(
    framing: Framing, channels: tuple[str, ...], cursor: str | None, session: str, *starts: Position | None
) -> bytes:
    """Return the welcomes to some channels, with the positions from which the subscriber goes on.

    `cursor` holds for all of them; None is the one channel's own position. `session` is a blank to be filled in, so
    that those who come together to a channel get the same: it is remembered.
    """
    seqs = [str(start) if start is not None else "" for start in starts]
    named = zip(channels, seqs, strict=True)
    items = [
        Item("welcome", name, WELCOME, seq, seq if cursor is None else cursor, session=session) for name, seq in named
    ]
    return framing.encode(items or [Item("welcome", content=WELCOME, session=session)], "")
