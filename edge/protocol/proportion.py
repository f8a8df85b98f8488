"""The proportion of an answer to its request, so that a stranger's few bytes do not bring many. Pure.

Welcomes, resets and the cursor of a held subscriber are counted. Messages are not: their bounds are others. Ordinary
clients do not come near: their requests have headers, and positions or names of some length.
"""

from collections.abc import Sequence

from common.position import Position
from edge.framing.base import Framing
from edge.framing.http import error_response
from edge.framing.items import Item, ItemKind, welcome_item
from edge.protocol.subscribe import SubscribeRequest

PROPORTION = 30  # bytes of an answer for each of its request
FEW_CHANNELS = 8  # whose welcomes and resets are always in proportion, unless their names are stored
MOST_OF_CHANNEL = 600  # bytes: a welcome and a reset at their longest, on any transport, without the names in them
MOST_OF_NAME = 12  # bytes for each of a name, which may be escaped twice
OUT_OF_PROPORTION = (
    f"the welcomes to these channels would be more than {PROPORTION} times as long as this request; "
    "subscribe to fewer channels, with several requests if need be"
)


def bounded(asked: SubscribeRequest, framing: Framing, size: int) -> SubscribeRequest:
    """Return a request for many channels with its bound, if a request of `size` bytes may come near it."""
    if framing.single_response:
        return asked
    most = PROPORTION * size
    expected = len(asked.channels) * MOST_OF_CHANNEL + MOST_OF_NAME * sum(map(len, asked.channels))
    return asked if expected <= most else asked._replace(most_control=most)


def is_out_of_proportion(
    asked: SubscribeRequest, framing: Framing, starts: Sequence[Position | None], items: Sequence[Item], session: str
) -> bool:
    """Say whether a subscriber that begins at `starts` with these items would be sent more than its bound."""
    cursor = asked.positions_at(starts).cursor if framing.cursor_in_bytes else ""
    pairs = zip(asked.channels, starts, strict=True)
    welcomes = [welcome_item(name, str(start or ""), session=session) for name, start in pairs]
    resets = [item._replace(cursor="") for item in items if item.kind is ItemKind.RESET]
    return len(framing.encode([*welcomes, *resets], "")) + len(cursor) > asked.most_control


def refusal(framing: Framing) -> bytes:
    """Return the answer to such a subscriber, the last of its connection."""
    return error_response(400, OUT_OF_PROPORTION, framing.variant._replace(closing=True))
