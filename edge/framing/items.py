"""Items: the objects that subscribers are sent, whatever the transport. Pure."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

import orjson

from common.message import Message
from common.position import Positions

WELCOME = "hello world!"
SESSION_BLANK = "*"  # stands for each character of a session in shared bytes; it cannot occur in a channel's name
GOING_AWAY = "this edge is going away; connect again"
# Line separators are legal in JSON strings and were not in JavaScript ones before ES2019.
_SEPARATORS = (("\u2028".encode(), b"\\u2028"), ("\u2029".encode(), b"\\u2029"))


class ItemKind(StrEnum):
    """What an item tells; the value is the `type` on the wire."""

    WELCOME = "welcome"  # the subscriber is in a channel, or in none yet
    DATA = "data"  # a message
    RESET = "reset"  # what follows does not continue what came before
    CLOSE = "close"  # the connection ends
    ERROR = "error"
    UNSUB = "unsub"  # an operation is done
    PONG = "pong"  # an operation is done


class Item(NamedTuple):
    """One object on a subscriber's wire.

    `seq` is the object's own position; `cursor` is what the subscriber sends back to go on after it: the same for
    one channel, a list for several. Both are empty for a live-only message.
    """

    kind: ItemKind
    channel: str = ""
    content: str | None = None
    seq: str = ""
    cursor: str = ""
    event: str = ""
    code: int = 0
    op: str = ""  # of an error: the operation that failed
    ref: str | int | None = None  # what the client named its operation
    session: str = ""


def data_item(channel: str, message: Message) -> Item:
    """Return a message of a channel as its subscribers see it."""
    seq = f"{message.offset}-{message.tag}" if message.offset else ""
    return Item(ItemKind.DATA, channel, message.payload.decode(errors="replace"), seq, seq, message.event)


def welcome_item(
    channel: str = "", seq: str = "", cursor: str = "", *, session: str, ref: str | int | None = None
) -> Item:
    """Return what tells a subscriber that it is in a channel (in none yet, if that is empty), and where it begins."""
    return Item(ItemKind.WELCOME, channel, WELCOME, seq, cursor, ref=ref, session=session)


def unexpired_items(channel: str, messages: Iterable[Message], now: float) -> list[Item]:
    """Return the items of stored messages whose own time to live is not over; `now` is in seconds since 1970."""
    return [data_item(channel, message) for message in messages if not message.is_expired(now)]


def reset_item(channel: str, position: str) -> Item:
    """Return what tells a subscriber that it goes on from `position`, and that what lies before cannot be proved."""
    return Item(ItemKind.RESET, channel, seq=position, cursor=position)


def close_item(channel: str = "", content: str = GOING_AWAY) -> Item:
    """Return what tells a subscriber that its connection ends, and why."""
    return Item(ItemKind.CLOSE, channel, content)


def error_item(status: int, sentence: str) -> Item:
    """Return what tells a client what is wrong, with an HTTP status as its code."""
    return Item(ItemKind.ERROR, content=sentence, code=status)


def stamp(items: list[Item], positions: Positions | None) -> list[Item]:
    """Give each item the cursor of a subscriber with several channels, and move its positions along."""
    if positions is None:
        return items
    stamped = []
    for item in items:
        if item.seq:
            positions[item.channel] = item.seq
        stamped.append(item._replace(cursor=positions.cursor))
    return stamped


def json_object(item: Item) -> bytes:
    """Return an item as its JSON object; absent fields are left out."""
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
    """Return JSON as it may stand in a script: the line separators that JavaScript did not allow are escaped."""
    for separator, escaped in _SEPARATORS:
        data = data.replace(separator, escaped)
    return data
