"""Positions: places in a channel's log, written `offset-tag`."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from common.errors import BadRequestError
from common.names import check_channel

# 19 digits stay below 2**64, as the parts of a Redis stream id must.
_PATTERN = re.compile(r"(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})", re.ASCII)


class Position(NamedTuple):
    """A message's offset (1, 2, 3 …) and its tag (microseconds of Redis' clock, strictly increasing) in its log."""

    offset: int
    tag: int

    def __str__(self) -> str:
        return f"{self.offset}-{self.tag}"


#: The position before all that is kept: `since=0` asks for the whole history.
START = Position(0, 0)

#: The position of a client that sends back what another server gave it: no log leads from here, so it gets a reset.
FOREIGN = Position(9_999_999_999_999_999_999, 1)


def unproven(offset: int) -> Position:
    """Return a place in the log that is no message's: all that is kept after it follows without proof.

    No message has the tag 0, so a client can send no such position but `START`.
    """
    return Position(offset, 0)


def parse_position(text: str) -> Position:
    """Read one position as a client sends it back; `0` is `START`.

    Raises `BadRequestError` for a text that no server of this project writes.
    """
    if text == "0":
        return START
    match = _PATTERN.fullmatch(text)
    position = Position(int(match[1]), int(match[2])) if match else None
    if position is None or (position.tag == 0 and position != START):
        raise BadRequestError(f"since: {text[:60]!r} is not a position; send back a seq as you received it")
    return position


def parse_positions(text: str, count: int) -> list[Position | None]:
    """Read a comma-separated list of positions, one for each of `count` channels in the order asked.

    An empty one is None, "from now on": for a channel that is new beside others. A single `0` is `START` for all
    channels. A space may follow a comma. Raises `BadRequestError`.
    """
    if text == "0":
        return [START] * count
    parts = text.replace(", ", ",").split(",")
    if len(parts) != count:
        raise BadRequestError(
            f"since: {len(parts)} positions for {count} channels; send one for each id, in the same order"
        )
    return [parse_position(part) if part else None for part in parts]


def parse_named_positions(text: str) -> dict[str, Position | None]:
    """Read positions that name their channels, as `named_positions` writes them; an empty one is None.

    Raises `BadRequestError`.
    """
    named: dict[str, Position | None] = {}
    for field in text.split("&"):
        name, equals, position = field.partition("=")
        if not equals:
            raise BadRequestError(f"since: {field[:60]!r} does not name its channel; write for example room=12-17")
        try:
            channel = check_channel(unquote(name, errors="strict"))
        except UnicodeDecodeError:
            raise BadRequestError(f"since: {name[:60]!r} is not UTF-8; percent-encode it as such") from None
        named[channel] = parse_position(position) if position else None
    return named


def named_positions(positions: Mapping[str, str]) -> str:
    """Return positions with the names of their channels: `room=12-17&b=13-18`, the names percent-encoded."""
    return "&".join(f"{quote(name, safe='')}={seq}" for name, seq in positions.items())


class Positions(dict[str, str]):
    """A subscriber's positions: channel -> seq, in the order in which it asked for the channels."""

    __slots__ = ()

    @property
    def cursor(self) -> str:
        """What the subscriber sends back to continue from here; it repeats its channels in the same order."""
        return ",".join(self.values())


class NamedPositions(Positions):
    """The positions of a subscriber whose channels have changed since it named them: the cursor names them, too."""

    __slots__ = ()

    @property
    def cursor(self) -> str:
        """What the subscriber sends back to continue from here, in place of its channels' names."""
        return named_positions(self)
