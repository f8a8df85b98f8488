"""Clients of the model: each checks every message that it gets against what was really published."""

import pickle
from collections.abc import Sequence
from typing import Any

from common.position import Position, named_positions, parse_named_positions
from edge.framing.base import Framing, Kind
from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.state import Seat
from tests.edge.model.redis import ModelRedis


class FramingOfObjects(Framing):
    """Hands items on as they are, so that a client sees objects and not bytes."""

    kind = Kind("")
    content_type = ""

    def __init__(self, transport: str, *, cursor_in_bytes: bool) -> None:
        super().__init__(Variant())
        self.transport, self.single_response, self.cursor_in_bytes = transport, transport == "poll", cursor_in_bytes

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        return pickle.dumps((list(items), cursor))

    def answer(self, parts: Sequence[bytes], cursor: str) -> list[bytes]:
        items = [item for part in parts for item in pickle.loads(part)[0]]
        return [pickle.dumps((items, cursor))]


STREAM = FramingOfObjects("stream", cursor_in_bytes=False)
EVENTS = FramingOfObjects("sse", cursor_in_bytes=True)
POLL = FramingOfObjects("poll", cursor_in_bytes=True)


class ModelClient:
    """A subscriber that checks: each message follows the one before, or a reset stands between (I4, I6).

    Its channels may change while it is seated: then a message comes only between a welcome and the acknowledgement of
    the `unsub`. If it is an event source, each event's id must say where it stands on all of its channels.
    """

    def __init__(self, redis: ModelRedis, channels: tuple[str, ...], framing: "FramingOfObjects") -> None:
        self.redis = redis
        self.channels = channels  # those it has, or asks for when it comes
        self.framing = framing
        self.polls = framing is POLL
        self.at: dict[str, Position] = {}  # where it stands on each channel it was welcomed to
        self.left: dict[str, Position] = {}  # where it stood when it gave a channel up
        self.asked: dict[str, Position | None] = {}  # what it waits for, and from where it goes on
        self.got: dict[str, list[str]] = {name: [] for name in channels}
        self.resets = 0
        self.cursor = ""
        self.named = False
        self.seat: Seat | None = None
        self.edge: Any = None  # the edge where it is, if any
        self._owed_a_reset: set[str] = set()

    def receive(self, items: list[Item], cursor: str) -> None:
        for item in items:
            getattr(self, f"_on_{item.kind}")(item)
            if self.framing is EVENTS and item.cursor:
                self._check_cursor(item.cursor)
        moving = [index for index, item in enumerate(items) if item.seq and item.kind is not ItemKind.WELCOME]
        if self.framing is EVENTS and moving:
            assert any(item.cursor for item in items[moving[-1] :]), "a write that moves the client without an id"
        if self.polls:
            self._check_cursor(cursor)
            self.cursor = cursor
            self.channels = tuple(self.at)

    def _check_cursor(self, cursor: str) -> None:
        self.named = "=" in cursor
        names = parse_named_positions(cursor) if self.named else self.channels
        stands = {name: str(self.at[name]) for name in names}
        assert set(stands) == set(self.at), "a cursor that leaves a channel out"
        assert cursor == (named_positions(stands) if self.named else ",".join(stands.values())), "from elsewhere"

    def on_welcome(self, item: Item) -> None:
        """It is welcomed at the position it went on from, or a reset must follow."""
        start, name = _position(item.seq), item.channel
        known = self.asked.pop(name, None) or self.at.get(name)
        if known is not None and start != known:
            self._owed_a_reset.add(name)
        self.at[name] = start
        if name not in self.channels:
            self.channels += (name,)

    _on_welcome = on_welcome

    def _on_unsub(self, item: Item) -> None:
        self.asked.pop(item.channel, None)
        if item.channel in self.at:
            self.left[item.channel] = self.at.pop(item.channel)
        self.channels = tuple(name for name in self.channels if name != item.channel)

    def _on_error(self, item: Item) -> None:
        assert item.code in {409, 503}
        assert item.channel not in self.at
        self.asked.pop(item.channel, None)

    def _on_data(self, item: Item) -> None:
        assert item.channel in self.at, f"a message of {item.channel}, where it is not welcome"
        assert item.channel not in self._owed_a_reset, "welcomed from elsewhere without a reset"
        self.got.setdefault(item.channel, []).append(item.content or "")
        if not item.seq:
            return
        position, before = _position(item.seq), self.at[item.channel]
        prev = self.redis.ever[item.channel, position]
        assert (position.offset, prev) == (before.offset + 1, before.tag), f"{position} does not follow {before}"
        self.at[item.channel] = position

    def _on_reset(self, item: Item) -> None:
        self.resets += 1
        self._owed_a_reset.discard(item.channel)
        self.at[item.channel] = _position(item.seq)

    @property
    def is_whole(self) -> bool:
        """Whether it was told of everything it was owed."""
        return not self._owed_a_reset


def _position(seq: str) -> Position:
    offset, _, tag = seq.partition("-")
    return Position(int(offset), int(tag))
