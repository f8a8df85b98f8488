"""Fan-out: what was taken in one turn goes to each subscriber in one write.

All messages that one read from Redis brings for a channel are encoded once per framing and written together. A
subscriber of several channels gets those of all its channels in one write, too; so does a poller, whose answer then
holds everything that was waiting.
"""

from collections.abc import Callable

from edge.channel import NOTHING, Channel
from edge.counters import Counters
from edge.framing import Framing, Item
from edge.seats import Seat, Seats


class FanOut:
    """Collects the turn's items per channel, and writes them."""

    def __init__(self, seats: Seats, counters: Counters, clock: Callable[[], float], *, away: float) -> None:
        self.on_answered: Callable[[Seat], None]  # set by the app: a poll was answered, its connection is free
        self._seats = seats
        self._counters = counters
        self._clock = clock
        self._away = away  # seconds a poller counts as connected after its answer
        self._dirty: list[Channel] = []

    def add(self, channel: Channel, item: Item) -> None:
        """Take an item that all subscribers of a channel shall get at the end of this turn."""
        if channel.fresh is NOTHING:
            channel.fresh = []
            self._dirty.append(channel)
        channel.fresh.append(item)

    def flush(self) -> None:
        """Write everything that was added."""
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            joint: dict[Seat, list[Item]] = {}
            for channel in dirty:
                self._fan_out(channel, joint)
            for seat, items in joint.items():
                self.deliver(seat, items)

    def _fan_out(self, channel: Channel, joint: dict[Seat, list[Item]]) -> None:
        """Write a channel's items to those who have only this one; collect them for the others in `joint`."""
        items, channel.fresh = channel.fresh, NOTHING
        channel.sent_at = self._clock()
        if not channel.seats:
            return
        encoded: dict[Framing, bytes] = {}

        def encode(framing: Framing) -> bytes:
            data = encoded.get(framing)
            if data is None:
                data = encoded[framing] = framing.encode(items, channel.cursor)
            return data

        for seat in self._seats.broadcast(channel.seats, encode, len(items)):
            if seat.opening is not None:
                seat.opening.items += items
            elif seat.positions is not None:
                joint.setdefault(seat, []).extend(items)
            elif seat.framing is not None:
                self._send(seat, encode(seat.framing), len(items))

    def deliver(self, seat: Seat, items: list[Item]) -> None:
        """Write items to one seat, each with the cursor that holds after it."""
        if seat.framing is None:  # it went while the others were written to
            return
        stamped = stamp(items, seat.positions)
        self._send(seat, seat.framing.encode(stamped, seat.cursor), len(items))

    def _send(self, seat: Seat, data: bytes, messages: int) -> None:
        framing = seat.framing
        if framing is None:
            return
        self._counters.delivered(framing.transport, messages)
        if framing.one_shot:
            self.answer(seat, data)
        else:
            self._seats.write(seat, data)

    def answer(self, seat: Seat, data: bytes) -> None:
        """Answer a poll: its client is away now, and expected back."""
        framing = seat.framing
        until = self._clock() + self._away
        for channel in seat.channels:
            channel.poller_left(until)
        if framing is not None and framing.variant.closing:
            self._seats.end(seat, data, "answered")
            return
        self._seats.free(seat, "answered")
        self._seats.write(seat, data)
        self.on_answered(seat)


def stamp(items: list[Item], positions: dict[str, str] | None) -> list[Item]:
    """Give each item the cursor of a subscriber with several channels, moving its positions along."""
    if positions is None:
        return items
    stamped = []
    for item in items:
        if item.seq:
            positions[item.channel] = item.seq
        stamped.append(item._replace(cursor=",".join(positions.values())))
    return stamped
