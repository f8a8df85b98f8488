"""Closing: a publisher ends the connections of one channel; who wants to may come back."""

import asyncio
from collections.abc import Callable

from common.tasks import end
from edge.channel import Channel
from edge.fanout import SLICE, FanOut
from edge.framing import Item
from edge.holding import Holding
from edge.seats import Seat

CLOSED = "the publisher closed this channel's connections"


class Closer:
    """Ends the connections of channels, a few at a time, so that other channels do not wait."""

    def __init__(self, fanout: FanOut, holding: Holding, clock: Callable[[], float]) -> None:
        self._fanout = fanout
        self._holding = holding
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self, channel: Channel) -> int:
        """Begin to end a channel's connections; return how many there are."""
        seats = list(channel.seats)
        task = asyncio.create_task(self._close(channel, seats))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return len(seats)

    async def stop(self) -> None:
        """Close no more."""
        await end(*self._tasks)

    async def _close(self, channel: Channel, seats: list[Seat]) -> None:
        item = Item("close", channel.name, CLOSED)
        pause_at = self._clock() + SLICE
        for seat in seats:
            self._fanout.settle(seat)  # what was published before comes before
            if channel in seat.channels:
                self._end(seat, item)
            if self._clock() >= pause_at:
                await asyncio.sleep(0)
                pause_at = self._clock() + SLICE
        channel.away = None  # pollers between two polls are not expected back

    def _end(self, seat: Seat, item: Item) -> None:
        """Tell a subscriber of the end; a poll is answered with that, any other connection ends with it."""
        framing = seat.framing
        if framing is None:
            return
        if framing.one_shot:
            self._fanout.deliver(seat, [item])
        else:
            self._holding.end(seat, framing.encode([item], "") + framing.end, "closed")
