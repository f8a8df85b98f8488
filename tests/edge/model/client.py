"""Clients of the model: each checks every message that it gets against what was really published."""

from typing import Any

import orjson

from common.position import Position, named_positions, parse_named_positions
from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for
from edge.state import Seat
from tests.edge.model.redis import ModelRedis

STREAM = framing_for("stream", Variant(chunked=False))
EVENTS = framing_for("sse", Variant(chunked=False, envelope=True))
POLL = framing_for("poll", Variant())


def read(framing: Framing, data: bytes) -> tuple[list[Item], str]:
    """Return the items that a client reads in some bytes, and the cursor of a poll's answer."""
    if framing is POLL:
        answer = orjson.loads(data.partition(b"\r\n\r\n")[2])
        return [_item(one) for one in answer["messages"]], answer["seq"]
    if framing is STREAM:
        return [_item(orjson.loads(line)) for line in data.splitlines() if line], ""
    events = [_fields(block) for block in data.decode().split("\n\n") if block]
    return [_item(orjson.loads(one["data"]), one.get("id", "")) for one in events], ""


def _fields(block: str) -> dict[str, str]:
    """Return the lines of an event by their names."""
    return dict(line.split(": ", 1) for line in block.split("\n"))


def _item(fields: dict[str, Any], cursor: str = "") -> Item:
    kind, content = ItemKind(fields["type"]), fields.get("content")
    return Item(kind, fields.get("id", ""), content, fields.get("seq", ""), cursor, code=fields.get("code", 0))


class ModelClient:
    """A subscriber that checks: each message follows the one before, or a reset stands between (I4, I6).

    Its channels may change while it is seated: then a message comes only between a welcome and the acknowledgement of
    the `unsub`. If it is an event source, each event's id must say where it stands on all of its channels.
    """

    def __init__(self, redis: ModelRedis, channels: tuple[str, ...], framing: Framing) -> None:
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

    def read(self, data: bytes) -> None:
        """Take what was written to its connection at once."""
        self.receive(*read(self.framing, data))

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
