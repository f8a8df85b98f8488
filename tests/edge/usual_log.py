"""The usual log of the edge's tests: the message at offset n has tag 100 + n."""

from common.message import Message
from common.position import Position
from edge.state import Channel

GENESIS = 100  # the tag of offset 0; the message at offset n has tag 100 + n


def stored(offset: int, payload: bytes = b"x", *, tag: int | None = None, prev: int | None = None) -> Message:
    """Return the message at an offset of the usual log, where tags are 100 + offset."""
    return Message(payload, offset, tag or GENESIS + offset, GENESIS + offset - 1 if prev is None else prev)


def log(first: int, last: int) -> list[Message]:
    """Return the messages of the usual log from one offset to another, both included."""
    return [stored(offset) for offset in range(first, last + 1)]


def at(offset: int) -> Position:
    """Return a position in the usual log."""
    return Position(offset, GENESIS + offset)


def channel_at(offset: int, *, ring: int = 0) -> Channel:
    """Return a channel that stands at an offset of the usual log and remembers its last `ring` messages."""
    channel = Channel("room")
    channel.last = at(offset - ring)
    for message in log(offset - ring + 1, offset):
        channel.advance(message)
    return channel
