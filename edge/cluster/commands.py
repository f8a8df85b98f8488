"""Commands of publishers: close a channel's connections, or broadcast to every channel.

A command may concern every connection of this edge. So the reply is sent at once, and the work is done a few
milliseconds at a time: no other channel waits for it.
"""

from collections.abc import Callable, Iterator
from typing import Any

from common.errors import BadRequestError, UnavailableError
from common.names import check_channel
from common.tasks import Tasks, run_in_turns
from edge.channels.hub import Hub
from edge.counters import CloseReason
from edge.engine.fanout import FanOut
from edge.framing.items import Item, ItemKind, close_item
from edge.state import Channel, Seat
from edge.subscribers.lifecycle import Lifecycle

CLOSED = "the publisher closed this channel's connections"
MAX_COMMANDS = 32  # under way at a time; any more are refused


class Commands:
    """Carries out commands; each `on_` method handles one operation and returns the fields of its reply."""

    def __init__(self, hub: Hub, fanout: FanOut, lifecycle: Lifecycle, clock: Callable[[], float]) -> None:
        self._hub = hub
        self._fanout = fanout
        self._lifecycle = lifecycle
        self._clock = clock
        self._tasks = Tasks(MAX_COMMANDS)

    async def on_close(self, fields: dict[str, Any]) -> dict[str, object]:
        """Begin to close a channel's connections; reply with their number."""
        channel = self._hub.channels.get(channel_name(fields))
        if channel is None:
            return {"closed": 0}
        self._start(self._close(channel))
        return {"closed": len(channel.seats) + len(channel.behind)}

    async def on_broadcast(self, fields: dict[str, Any]) -> dict[str, object]:
        """Begin to send a message, live, to every channel; reply with the number of their subscribers on this edge."""
        content, event = fields.get("content"), fields.get("event", "")
        if not isinstance(content, str) or not isinstance(event, str):
            raise BadRequestError("content, event: must be strings")
        self._start(self._broadcast(content, event))
        channels = self._hub.channels.values()
        return {"subscribers": sum(len(channel.seats) + len(channel.behind) for channel in channels)}

    async def stop(self) -> None:
        """Cancel the commands that are under way."""
        await self._tasks.cancel_all()

    def _start(self, steps: Iterator[None]) -> None:
        if self._tasks.is_full:
            raise UnavailableError("this edge carries out too many commands at once; try again")
        self._tasks.start(run_in_turns(steps, self._clock))

    def _close(self, channel: Channel) -> Iterator[None]:
        item = close_item(channel.name, CLOSED)
        for seat in [*channel.seats, *channel.behind]:
            self._fanout.flush_to(seat)  # what was published before the command
            if channel in seat.channels or seat in channel.behind:
                self._close_one(seat, item)
            yield
        channel.pollers_away = None  # pollers between two polls are no longer expected back

    def _close_one(self, seat: Seat, item: Item) -> None:
        """Close a subscriber's connection with a close object; a poll is answered with it instead."""
        framing = seat.framing
        if framing is None:
            return
        if framing.single_response:
            self._fanout.deliver(seat, [item])
        else:
            self._lifecycle.close(seat, framing.encode([item], "") + framing.end, CloseReason.CLOSED)

    def _broadcast(self, content: str, event: str) -> Iterator[None]:
        for channel in list(self._hub.channels.values()):
            if channel.seats or channel.behind:
                self._fanout.add(channel, Item(ItemKind.DATA, channel.name, content, event=event))
                self._fanout.flush()
                yield


def channel_name(fields: dict[str, Any]) -> str:
    """Return the channel that a request names; raises `BadRequestError` if it names none or a wrong one."""
    name = fields.get("id")
    if not isinstance(name, str):
        raise BadRequestError("id: must be a string, the name of a channel")
    return check_channel(name)
