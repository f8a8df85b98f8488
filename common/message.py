"""A message and its wire form in Redis.

A *framed* message is `\\x01C1 offset tag prev[ name=value …]\\n` and the payload. A message that has no place in the
log (live only, or ephemeral) has `0 0 0`. A *join frame*, `\\x01J1 epoch`, begins a new epoch for counting bare
messages. Anything else that is PUBLISHed is a *bare* message: all of it is payload.
"""

from typing import NamedTuple
from urllib.parse import quote, unquote

from common.errors import FrameError
from common.position import Position

FRAME_START = b"\x01C1 "
JOIN_START = b"\x01J1 "
MAX_DIGITS = 20  # of a number: the parts of a Redis stream id are below 2**64
LAST_EPOCH = 9_000_000_000_000  # of bare messages: the clock in milliseconds in the year 2255 (epochs.lua)
MAX_JSON_GROWTH = 6  # bytes that JSON takes at most for one byte of a payload: \u0000
_POSITION_FIELDS = 3


class Message(NamedTuple):
    """One message of a channel; `offset` is 0 if the message has no position.

    `expires` is the time in milliseconds since 1970 after which it is not replayed; 0 means never.
    """

    payload: bytes
    offset: int = 0
    tag: int = 0
    prev: int = 0
    event: str = ""
    inbox: str = ""
    expires: int = 0
    bare: bool = False

    @property
    def position(self) -> Position | None:
        """Where the message stands in its channel's log, or None for a live-only message."""
        return Position(self.offset, self.tag) if self.offset else None

    def is_expired(self, now: float) -> bool:
        """Say whether the message's own time to live is over; `now` is in seconds since 1970."""
        return 0 < self.expires <= now * 1000


class Join(NamedTuple):
    """The frame of an edge that joins the channel: bare messages after it are counted from one, in this epoch."""

    epoch: int


def encode_frame(message: Message) -> bytes:
    """Return the framed wire form of a message."""
    fields = {"event": message.event, "expires": message.expires, "inbox": message.inbox}
    header = "".join(f" {name}={quote(str(value), safe='')}" for name, value in fields.items() if value)
    position = b"%d %d %d" % (message.offset, message.tag, message.prev)
    return FRAME_START + position + header.encode() + b"\n" + message.payload


def decode(data: bytes) -> Message | Join:
    """Read what arrived on a channel: a framed message, a join frame, or a bare message.

    Unknown header fields are skipped, so that an older edge understands a newer publisher.
    Raises `FrameError` if the data starts like a frame and is not one.
    """
    if data.startswith(FRAME_START):
        return _decode_framed(data)
    if data.startswith(JOIN_START):
        try:
            return Join(_epoch(data[len(JOIN_START) :]))
        except ValueError as error:
            raise FrameError(f"a join frame names no epoch: {error}") from None
    return Message(data, bare=True)


def _decode_framed(data: bytes) -> Message:
    head, newline, payload = data.partition(b"\n")
    parts = head.split(b" ")[1:]
    if not newline or len(parts) < _POSITION_FIELDS:
        raise FrameError("a framed message needs 'offset tag prev' and a line feed before its payload")
    try:
        offset, tag, prev = [_number(part) for part in parts[:_POSITION_FIELDS]]
        if len(parts) == _POSITION_FIELDS:
            return Message(payload, offset, tag, prev)
        fields = dict(part.decode().split("=", 1) for part in parts[_POSITION_FIELDS:])
        event, inbox = unquote(fields.get("event", "")), unquote(fields.get("inbox", ""))
        expires = expiry(fields.get("expires", "").encode())
    except ValueError as error:
        raise FrameError(f"a framed message has a broken header: {error}") from None
    return Message(payload, offset, tag, prev, event, inbox, expires)


def is_number(text: bytes) -> bool:
    """Say whether a text is an unsigned decimal number (int() alone would accept ' 1', '+1' and '1_0' too)."""
    return text.isdigit() and len(text) <= MAX_DIGITS


def expiry(text: bytes) -> int:
    """Read the time at which a message expires; a time that is missing or malformed is 0, never."""
    return int(text) if is_number(text) else 0


def _epoch(text: bytes) -> int:
    epoch = _number(text)
    if epoch > LAST_EPOCH:
        raise ValueError(f"{epoch} cannot be one, no clock is that far ahead")
    return epoch


def _number(text: bytes) -> int:
    if not is_number(text):
        raise ValueError(f"{text[:20]!r} is not a number")
    return int(text)
