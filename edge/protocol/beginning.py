"""Where a subscriber begins: what it sends back of a cursor, with the channels that it names. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from common.errors import BadRequestError
from common.position import (
    FOREIGN,
    FORGOTTEN,
    Position,
    StoredCursor,
    parse_named_positions,
    parse_positions,
    parse_stored_cursor,
)


class Beginning(NamedTuple):
    """Whether a cursor has its channels' names; the channels, and where to begin on each; its names, if stored."""

    has_channel_names: bool
    channels: tuple[str, ...]
    since: tuple[Position | None, ...] | None
    stored: StoredCursor | None = None


def begin_after(text: str, asked: Sequence[str]) -> Beginning:
    """Read a position: it goes with the channels as asked, or names its own in place of them."""
    if "=" in text:
        named = parse_named_positions(text)
        return Beginning(True, tuple(named), tuple(named.values()))
    channels = tuple(dict.fromkeys(asked))
    stored = parse_stored_cursor(text)
    if stored is not None:
        return Beginning(True, channels, (FORGOTTEN,) * len(channels), stored)
    return Beginning(False, channels, _since(text, asked, channels))


def begin_after_header(text: str, asked: Sequence[str], transport: str) -> Beginning:
    """Read a Last-Event-ID.

    A browser sends back what another server gave it, as a page cannot prevent; told that this is wrong it would give
    up for ever. So on SSE it gets a reset.
    """
    try:
        return begin_after(text, asked)
    except BadRequestError as error:
        if transport != "sse":
            raise BadRequestError(f"Last-Event-ID: {error.sentence.removeprefix('since: ')}") from None
    channels = tuple(dict.fromkeys(asked))
    return Beginning(False, channels, (FOREIGN,) * len(channels))


def _since(text: str, asked: Sequence[str], channels: Sequence[str]) -> tuple[Position | None, ...] | None:
    """Return one position for each channel; a list has one for each name in the query, or for each channel once."""
    if not text:
        return None
    names = asked if text.count(",") + 1 == len(asked) else channels
    positions = parse_positions(text, len(names))
    first = dict(zip(reversed(names), reversed(positions), strict=True))
    return tuple(first[channel] for channel in channels)
