"""Orders: what publishers have an edge do: close a channel's connections, broadcast to everybody.

Both may concern every connection of this edge, so they are begun and replied to at once, and carried out a few
milliseconds at a time: no other channel waits for them.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from common.errors import BadRequestError, UnavailableError
from common.tasks import cancel_all
from edge.channel_log import Channel
from edge.channels.hub import Hub
from edge.cluster.node_info import channel_name
from edge.engine.fanout import SLICE, FanOut
from edge.engine.seats import Seat
from edge.framing import Item
from edge.subscribers.lifecycle import Lifecycle

CLOSED = "the publisher closed this channel's connections"
MOST_AT_ONCE = 32  # orders under way; more are turned away


class Commands:
    """Carries out what the control channel orders."""

    def __init__(self, hub: Hub, fanout: FanOut, lifecycle: Lifecycle, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._fanout = fanout
        self._lifecycle = lifecycle
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def on_close(self, fields: dict[str, Any]) -> dict[str, object]:
        """Begin to end a channel's connections; reply how many there are."""
        channel = self._hub.channels.get(channel_name(fields))
        if channel is None:
            return {"closed": 0}
        self._start(self._paced(self._close(channel)))
        return {"closed": len(channel.seats)}

    async def on_broadcast(self, fields: dict[str, Any]) -> dict[str, object]:
        """Begin to send a message, live, to every channel that has subscribers here; reply how many these are."""
        content, event = fields.get("content"), fields.get("event", "")
        if not isinstance(content, str) or not isinstance(event, str):
            raise BadRequestError("content, event: must be strings")
        self._start(self._paced(self._broadcast(content, event)))
        return {"subscribers": sum(len(channel.seats) for channel in self._hub.channels.values())}

    async def stop(self) -> None:
        """Leave what is under way as it is."""
        await cancel_all(*self._tasks)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= MOST_AT_ONCE:
            work.close()
            raise UnavailableError("this edge carries out too many orders at once; try again")
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _paced(self, steps: Iterator[None]) -> None:
        """Take steps, and let others have their turn every SLICE seconds."""
        pause_at = self._clock() + SLICE
        for _ in steps:
            if self._clock() >= pause_at:
                await asyncio.sleep(0)
                pause_at = self._clock() + SLICE

    def _close(self, channel: Channel) -> Iterator[None]:
        item = Item("close", channel.name, CLOSED)
        for seat in list(channel.seats):
            self._fanout.settle(seat)  # what was published before comes before
            if channel in seat.channels:
                self._end(seat, item)
            yield
        channel.away = None  # pollers between two polls are not expected back

    def _end(self, seat: Seat, item: Item) -> None:
        """Tell a subscriber of the end; a poll is answered with that, any other connection ends with it."""
        framing = seat.framing
        if framing is None:
            return
        if framing.single_response:
            self._fanout.deliver(seat, [item])
        else:
            self._lifecycle.end(seat, framing.encode([item], "") + framing.end, "closed")

    def _broadcast(self, content: str, event: str) -> Iterator[None]:
        for channel in list(self._hub.channels.values()):
            if channel.seats:
                self._fanout.add(channel, Item("data", channel.name, content, event=event))
                self._fanout.flush()
                yield
