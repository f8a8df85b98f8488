"""Repeats: who comes back to a channel from one position gets what others got from there, encoded once for all of them.

Thousands come back at once when their edge has died, or a network has recovered, and all have missed the same messages.
So what is long is kept for a moment, and what is parked for each reader is a reference to the same bytes
(edge/parked.py). The messages between two positions of a log never change, but they may expire.
"""

from collections.abc import Sequence

from common.message import Message
from common.position import Position
from edge.channels.kept import Kept, first_expiry
from edge.framing.base import SHORT_DATA, Bundle
from edge.framing.items import unexpired_items
from edge.state import Channel

MAX_KEPT = 64
MAX_KEPT_BYTES = 33_554_432  # of the messages, and of what was made of them

#: A channel, and the positions of the first and the last message.
Key = tuple[str, Position | None, Position | None]


class Repeat(Bundle):
    """The messages between two positions of a channel."""

    __slots__ = ("_content_bytes", "expires")

    def __init__(self, channel: Channel, missed: Sequence[Message], now: float) -> None:
        super().__init__(unexpired_items(channel.name, missed, now), channel.cursor)
        self.expires = first_expiry(missed, now)
        self._content_bytes = sum(len(item.content or "") for item in self.items)

    @property
    def size(self) -> int:
        """How many bytes its contents have, with what was made of them."""
        split = (self.split or {}).values()
        return self._content_bytes + sum(map(len, self.encoded.values())) + sum(len(rest) for _, rest in split)


class Repeats(Kept[Key, Repeat]):
    """What was sent to those who came back in the last moment."""

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return sum(repeat.size for repeat, _ in self._kept.values())

    def get(self, channel: Channel, missed: Sequence[Message], now: float) -> Bundle | None:
        """Return the messages that lead to a channel's position, if they are long; `now` is Unix time, in seconds."""
        if sum([len(message.payload) for message in missed]) < SHORT_DATA:
            return None  # the kernel takes so little at once
        key = (channel.name, missed[0].position, missed[-1].position)
        repeat = self.find(key, now)
        if repeat is None:
            repeat = self.keep(key, Repeat(channel, missed, now))
        while len(self) > MAX_KEPT or self.size > MAX_KEPT_BYTES:
            self.drop_oldest()
        return repeat
