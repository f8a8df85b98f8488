"""Operations: a held subscriber subscribes to one more channel, leaves one, pings, or shows a fresh token. Pure.

They are JSON: one object, or an array of objects, in a WebSocket's text frame or in the body of a POST. How they are
carried out is in edge/subscribers/changes.py.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

import orjson

from common.errors import BadRequestError
from common.names import check_channel
from common.position import START, Position, parse_position
from edge.framing.items import Item, ItemKind
from edge.protocol.limits import MAX_OPERATIONS
from edge.protocol.subscribe import MAX_HISTORY, Start

MAX_REF_LENGTH = 64  # characters
CHANNEL_FIELDS = ("id", "channel", "cname")
MAX_SHOWN = 60  # characters of the client's own values that an error repeats
UNREADABLE = "holds half of a character (a lone surrogate such as \\ud83d), or a number beyond 64 bits"
EXAMPLE = '{"op":"sub","id":"room"}'

Ref = str | int | None


class Op(StrEnum):
    """What an operation does: the value of its `op`."""

    SUB = "sub"
    UNSUB = "unsub"
    PING = "ping"
    TOKEN = "token"  # noqa: S105  # a word, not a secret


OPS = tuple(Op)  # to look through an Enum costs ten times as much as a tuple


class Operation(NamedTuple):
    """One operation of a subscriber; its answer repeats the `ref`."""

    op: Op
    channel: str = ""
    start: Start = (None, 0)
    ref: Ref = None
    token: str = ""

    @property
    def goes_back(self) -> bool:
        """Whether it asks for messages of the past."""
        return self.start != (None, 0)


class BadOperationError(BadRequestError):
    """An operation that is malformed, with as many of its values as could be read."""

    def __init__(self, sentence: str, op: str = "", channel: str = "", ref: Ref = None, limit: str = "") -> None:
        super().__init__(sentence, limit=limit)
        self.op, self.channel, self.ref = op, channel, ref


def load_operations(text: str | bytes, most: int = MAX_OPERATIONS) -> list[object]:
    """Return the operations in a JSON text as JSON values; raises `BadOperationError` if it has none, or too many.

    One that cannot be read is an error in its place, which `parse_operation` raises.
    """
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        value = _salvage(text)
        if value is None:
            raise BadOperationError(f"this is not JSON ({error}); send an operation like {EXAMPLE}") from None
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= most:
        sentence = f"an array holds 1 to {most} operations (COMET_MAX_OPERATIONS), this one {len(values)}"
        raise BadOperationError(sentence, limit="max_operations" if values else "")
    return values


def parse_operation(value: object) -> Operation:
    """Parse one operation; raises `BadOperationError` with a sentence that names the field."""
    if isinstance(value, BadOperationError):
        raise value
    if not isinstance(value, dict):
        raise BadOperationError(f"an operation is a JSON object like {EXAMPLE}")
    op, name, ref = value.get("op"), _named(value), value.get("ref")
    about = (_shown(op), _shown(name), ref if _is_ref(ref) else None)
    if not _is_ref(ref):
        raise BadOperationError(f"ref: give a string of at most {MAX_REF_LENGTH} characters, or an integer", *about)
    if op not in OPS:
        raise BadOperationError(f"op: give one of {', '.join(Op)}, for example {EXAMPLE}", *about)
    if op == Op.PING:
        return Operation(Op.PING, ref=ref)
    try:
        if op == Op.TOKEN:
            return Operation(Op.TOKEN, ref=ref, token=_text(value, "token", "give a fresh token, a string"))
        channel = check_channel(_channel(name))
        return Operation(Op.UNSUB, channel, ref=ref) if op == Op.UNSUB else _subscribe(value, channel, ref)
    except BadRequestError as error:
        raise BadOperationError(error.sentence, *about) from None


def bad_operation_item(error: BadOperationError) -> Item:
    """Return the error that a subscriber gets for a malformed operation."""
    return Item(ItemKind.ERROR, error.channel, error.sentence, code=error.status, op=error.op, ref=error.ref)


def _salvage(text: str | bytes) -> list[object] | None:
    """Return the operations in a JSON text that orjson refuses as a whole, with an error for each that is at fault."""
    try:
        whole = text if isinstance(text, str) else text.decode()
        value = json.loads(whole, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list | dict):
        return None
    return [_checked(each) for each in (value if isinstance(value, list) else [value])]


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _checked(value: object) -> object:
    """Return an operation if it can be written again, else the error that names the field at fault."""
    if _is_sound(value):
        return value
    if not isinstance(value, dict):
        return BadOperationError(f"an operation is a JSON object like {EXAMPLE}")
    sound = {name: each for name, each in value.items() if _is_sound(name) and _is_sound(each)}
    faulty = next((name for name in value if name not in sound and _is_sound(name)), "the name of a field")
    ref = sound.get("ref")
    about = (_shown(sound.get("op")), _shown(_named(sound)), ref if _is_ref(ref) else None)
    return BadOperationError(f"{faulty[:MAX_SHOWN]}: {UNREADABLE}", *about)


def _is_sound(value: object) -> bool:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def _named(value: Mapping[str, object]) -> object:
    """Return what an operation calls its channel: `id` has the same other names as in a URL."""
    for name in CHANNEL_FIELDS:
        if name in value:
            return value[name]
    return None


def _channel(name: object) -> str:
    if name is None or name == "":
        raise BadRequestError(f"id: give the name of a channel, as in {EXAMPLE}")
    if not isinstance(name, str):
        raise BadRequestError(f"id: the name of a channel is a string, as in {EXAMPLE}")
    return name


def _subscribe(value: Mapping[str, object], channel: str, ref: Ref) -> Operation:
    since = _since(value)
    history = value.get("history", 0)
    if not isinstance(history, int) or isinstance(history, bool) or not 0 <= history <= MAX_HISTORY:
        raise BadRequestError(f"history: give a number of messages from 0 to {MAX_HISTORY}")
    return Operation(Op.SUB, channel, (since, history), ref)


def _since(value: Mapping[str, object]) -> Position | None:
    """Read a position as leniently as in a URL: an empty string is no position, and 0 may be a number."""
    since = value.get("since")
    if since is None or since == "":
        return None
    if since == 0 and not isinstance(since, bool):
        return START
    return parse_position(_text(value, "since", "give a position, a seq as you received it"))


def _text(value: Mapping[str, object], field: str, wanted: str) -> str:
    text = value.get(field)
    if not isinstance(text, str) or not text:
        raise BadRequestError(f"{field}: {wanted}")
    return text


def _is_ref(ref: object) -> bool:
    if isinstance(ref, str):
        return len(ref) <= MAX_REF_LENGTH
    return ref is None or (isinstance(ref, int) and not isinstance(ref, bool))


def _shown(value: object) -> str:
    return value[:MAX_SHOWN] if isinstance(value, str) else ""
