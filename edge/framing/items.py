"""Items: the objects that are sent to subscribers, whatever the transport. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import orjson

from common.message import Message
from common.position import Positions

WELCOME = "hello world!"
SESSION_BLANK = "*"  # in shared bytes, in place of each character of a session; no channel's name contains it
FOREIGN_ID = "Last-Event-ID: this is no position of this server; you go on from here, what came before may be missing"
FORGOTTEN_NAMES = (
    "Last-Event-ID: the channels that were added to this connection are no longer known; "
    "you go on from here on those of the URL, what came before may be missing"
)
GOING_AWAY = "this edge is going away; connect again"
# These are legal in JSON strings, but in JavaScript strings only since ES2019.
_SEPARATORS = (("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


class ItemKind(StrEnum):
    """What an item is; the value is the `type` on the wire."""

    WELCOME = "welcome"  # the subscriber has entered a channel, or is held without one; answers a `sub`
    DATA = "data"  # a message
    RESET = "reset"  # messages are missing before what follows
    CLOSE = "close"  # the connection ends
    ERROR = "error"
    UNSUB = "unsub"  # answers an `unsub`
    PONG = "pong"  # answers a `ping`
    TOKEN = "token"  # noqa: S105  # answers a `token`


DATA = ItemKind.DATA  # a global costs a fifth of an attribute of an Enum


class Item(NamedTuple):
    """One object that is sent to a subscriber.

    `seq` is the item's own position. `cursor` is what the subscriber sends back to go on after it: the same position
    with one channel; with several a list of positions, on the last item of a write. Both are empty for a live message.
    """

    kind: ItemKind
    channel: str = ""
    content: str | None = None
    seq: str = ""
    cursor: str = ""
    event: str = ""
    code: int = 0
    op: str = ""  # of an error: what the operation that failed was to do
    ref: str | int | None = None  # of an answer: the client's name for its operation
    session: str = ""


def data_item(channel: str, message: Message) -> Item:
    """Return the item of a message."""
    seq = f"{message.offset}-{message.tag}" if message.offset else ""
    return Item(DATA, channel, message.payload.decode(errors="replace"), seq, seq, message.event)


def welcome_item(
    channel: str = "", seq: str = "", cursor: str = "", *, session: str, ref: str | int | None = None
) -> Item:
    """Return the welcome to a channel, or to none if that is empty; the subscriber goes on from position `seq`."""
    return Item(ItemKind.WELCOME, channel, WELCOME, seq, cursor, ref=ref, session=session)


def unexpired_items(channel: str, messages: Iterable[Message], now: float) -> list[Item]:
    """Return the items of stored messages whose time to live is not over; `now` is Unix time, in seconds."""
    return [data_item(channel, message) for message in messages if not message.is_expired(now)]


def reset_item(channel: str, position: str, sentence: str | None = None) -> Item:
    """Return the item for a subscriber that goes on from `position` and has missed messages before that."""
    return Item(ItemKind.RESET, channel, sentence, seq=position, cursor=position)


def close_item(channel: str = "", content: str = GOING_AWAY) -> Item:
    """Return the item for a subscriber whose connection ends, with the reason."""
    return Item(ItemKind.CLOSE, channel, content)


def error_item(status: int, sentence: str) -> Item:
    """Return an error with an HTTP status as its code."""
    return Item(ItemKind.ERROR, content=sentence, code=status)


def advance(positions: Positions, items: Iterable[Item]) -> None:
    """Move a subscriber's positions over some items."""
    for item in items:
        if item.seq:
            positions[item.channel] = item.seq


def stamp(items: list[Item], positions: Positions | None) -> list[Item]:
    """Move a subscriber's positions over the items of one write; return them, the last with the cursor after them all.

    A cursor of many channels is long, so a write has one. With one channel each item keeps its own, too, as it has it
    in the bytes that all share, which go to a subscriber without positions.
    """
    if positions is None or not items:
        return items
    advance(positions, items)
    if positions.is_plain:
        return [*items[:-1], items[-1]._replace(cursor=positions.cursor)]
    return mark(items, len(items) - 1, positions.cursor)


def mark(items: Sequence[Item], index: int, cursor: str) -> list[Item]:
    """Return items of which only the one at `index` has a cursor."""
    marked = unmarked(items)
    marked[index] = marked[index]._replace(cursor=cursor)
    return marked


def unmarked(items: Sequence[Item]) -> list[Item]:
    """Return items without a cursor."""
    return [item._replace(cursor="") if item.cursor else item for item in items]


def json_object(item: Item) -> bytes:
    """Return an item as a JSON object; empty fields are left out."""
    fields: dict[str, object] = {"type": item.kind}
    if item.channel:
        fields["id"] = item.channel
    if item.op:
        fields["op"] = item.op
    if item.code:
        fields["code"] = item.code
    if item.content is not None:
        fields["content"] = item.content
    if item.seq:
        fields["seq"] = item.seq
    if item.event:
        fields["event"] = item.event
    if item.ref is not None:
        fields["ref"] = item.ref
    if item.session:
        fields["session"] = item.session
    return orjson.dumps(fields)


def as_script(data: bytes) -> bytes:
    """Return JSON for use in a script: the line separators that older JavaScript does not allow are escaped."""
    for separator, escaped in _SEPARATORS:
        data = data.replace(separator, escaped)
    return data
