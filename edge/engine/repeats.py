"""Repeats: who comes back to a channel from one position gets what others got from there, encoded once for all of them.

Thousands come back at once when their edge has died, or a network has recovered, and all have missed the same messages.
So what is long is kept for a moment, and what is parked for each reader is a reference to the same bytes
(edge/parked.py). The messages between two positions of a log never change, but they may expire.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from common.message import Message
from common.position import Position
from edge.framing.base import SHORT_DATA, Bundle
from edge.framing.items import unexpired_items
from edge.state import Channel

KEPT_SECONDS = 1.0  # after it was asked for last
MAX_KEPT = 64
MAX_KEPT_BYTES = 33_554_432  # of the messages, and of what was made of them

#: A channel, and the positions of the first and the last message.
Key = tuple[str, Position | None, Position | None]


class Repeat(Bundle):
    """The messages between two positions of a channel; it may be sent again until the first of them expires."""

    __slots__ = ("_content_bytes", "expires", "used_at")

    def __init__(self, channel: Channel, missed: Sequence[Message], now: float) -> None:
        super().__init__(unexpired_items(channel.name, missed, now), channel.cursor)
        self.used_at = 0.0
        expiries = [message.expires for message in missed if message.expires > now * 1000]
        self.expires = min(expiries, default=0) / 1000  # Unix time, in seconds; 0: never
        self._content_bytes = sum(len(item.content or "") for item in self.items)

    @property
    def size(self) -> int:
        """How many bytes its contents have, with what was made of them."""
        split = (self.split or {}).values()
        return self._content_bytes + sum(map(len, self.encoded.values())) + sum(len(rest) for _, rest in split)


class Repeats:
    """What was sent to those who came back in the last moment."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[Key, Repeat] = OrderedDict()  # the one that was asked for last comes last

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return sum(repeat.size for repeat in self._kept.values())

    def get(self, channel: Channel, missed: Sequence[Message], now: float) -> Bundle | None:
        """Return the messages that lead to a channel's position, if they are long; `now` is Unix time, in seconds."""
        if sum([len(message.payload) for message in missed]) < SHORT_DATA:
            return None  # the kernel takes so little at once
        key = (channel.name, missed[0].position, missed[-1].position)
        repeat = self._kept.get(key)
        if repeat is None or 0 < repeat.expires <= now:
            repeat = self._kept[key] = Repeat(channel, missed, now)
        repeat.used_at = self._clock()
        self._kept.move_to_end(key)
        while self._kept and (len(self._kept) > MAX_KEPT or self.size > MAX_KEPT_BYTES):
            self._kept.popitem(last=False)
        return repeat

    def tick(self) -> bool:
        """Forget what nobody has asked for lately; return False, because there is nothing more to do in this turn."""
        before = self._clock() - KEPT_SECONDS
        while self._kept and next(iter(self._kept.values())).used_at <= before:
            self._kept.popitem(last=False)
        return False
