"""The proportion of an answer to its request, so that a stranger's few bytes do not bring many. Pure.

Welcomes, resets and the cursors of a held subscriber are counted: that of the welcomes, and if it is behind that of
what it is given later. Messages are not: their bounds are others. Ordinary clients do not come near: their requests
have headers, and positions or names of some length.
"""

from collections.abc import Sequence

from common.position import Position
from edge.framing.base import Framing
from edge.framing.http import error_response
from edge.framing.items import Item, ItemKind, welcome_item
from edge.protocol.subscribe import PROPORTION, SubscribeRequest

OUT_OF_PROPORTION = (
    f"the welcomes to these channels would be more than {PROPORTION} times as long as this request; "
    "subscribe to fewer channels, with several requests if need be"
)


def is_out_of_proportion(
    asked: SubscribeRequest,
    framing: Framing,
    starts: Sequence[Position | None],
    items: Sequence[Item],
    session: str,
    *,
    writes: int = 1,
) -> bool:
    """Say whether a subscriber that begins at `starts` with these items would be sent more than its bound."""
    cursor = asked.positions_at(starts).cursor if framing.cursor_in_bytes else ""
    pairs = zip(asked.channels, starts, strict=True)
    welcomes = [welcome_item(name, str(start or ""), session=session) for name, start in pairs]
    resets = [item._replace(cursor="") for item in items if item.kind is ItemKind.RESET]
    return len(framing.encode([*welcomes, *resets], "")) + writes * len(cursor) > asked.most_control


def refusal(framing: Framing) -> bytes:
    """Return the answer to such a subscriber, the last of its connection."""
    return error_response(400, OUT_OF_PROPORTION, framing.variant._replace(closing=True))
