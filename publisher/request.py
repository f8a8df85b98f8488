"""Bytes of an HTTP request in, requests to publish out. Pure: nothing here waits or does I/O."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Raw

from common.errors import BadRequestError, RequestError, TooLargeError
from common.message import MAX_JSON_GROWTH
from common.names import check_channel, missing_channel
from publisher.body.form import read_form
from publisher.body.json import content_bytes, elements, members, plain_value, read_json, read_plain

MAX_MESSAGES = 1000  # in one request
MIN_BODY_BYTES = 8 << 20  # that a body may have however small the messages are: there may be many of them
MAX_OVERHEAD_BYTES = 1 << 20  # of a body beside the content of its largest message
MAX_TTL = 2_592_000  # seconds that a message may be replayed: 30 days
MAX_NAME_CHARACTERS = 128  # of an event name or a key
RESERVED_EVENTS = frozenset({"welcome", "reset", "close", "error"})
MAX_DEMO_BYTES = 1024  # of a message of the demo pages
DEMO_CHANNEL, DEMO_CHANNELS = "demo", "demo:"  # the demo's first channel, and the beginning of all others
ID_ORDER = ("id", "cname", "channel")  # the name that an error is about comes first
ID_NAMES = frozenset(ID_ORDER)
PERCENT_GROWTH = 3  # bytes of a form for each byte of its content, at most
MAX_FORM_OVERHEAD = 1 << 20  # bytes of a form beside its content: a thousand ids
FORM_FIELDS = ("content", "event", "key", "ttl")
RAW_FIELDS = frozenset({"content", "ids"})  # of JSON: each is read by itself
BROADCAST_FIELDS = ("content", "event")
JSON_FIELDS = ("content", "event", "key", "ttl", "receipt", "ephemeral")
MESSAGE_FIELDS = ("id", *JSON_FIELDS)


class PublishRequest(NamedTuple):
    """One message to one channel.

    `ttl` is the seconds that it may be replayed (0: as long as the history keeps it), `receipt` asks how many
    subscribers get it, `ephemeral` keeps it out of the history.
    """

    channel: str
    payload: bytes
    event: str = ""
    key: str = ""
    ttl: float = 0
    receipt: bool = False
    ephemeral: bool = False


#: One message of a request: the request to publish it, or the error that stands in its place.
Entry = PublishRequest | RequestError


class Batch(NamedTuple):
    """The messages of one JSON body, in order; `single` if the body is one object for one channel."""

    entries: list[Entry]
    single: bool


def max_body_bytes(limit: int) -> int:
    """Return how many bytes a body may have: the largest message fits in however it is escaped, or many small ones."""
    return max(MIN_BODY_BYTES, MAX_JSON_GROWTH * limit + MAX_OVERHEAD_BYTES)


def too_much(what: str, max_bytes: int) -> TooLargeError:
    """Return the error for a request that is over one of its two limits: it names both."""
    return TooLargeError(f"{what}; one request has at most {MAX_MESSAGES} messages and {max_bytes} bytes")


def parse_form(query: bytes, body: bytes, limit: int) -> list[PublishRequest]:
    """Read the short form: parameters in the query string, in a form body, or in both.

    Returns one request, with a receipt, for each different id; `limit` is the largest payload in bytes. Raises
    `RequestError`.
    """
    largest = PERCENT_GROWTH * limit + MAX_FORM_OVERHEAD
    if len(query) + len(body) > largest:
        raise TooLargeError(
            f"a form of {len(query) + len(body)} bytes has too much content; at most {largest} are read"
        )
    pairs = read_form(query, body)
    channels = dict.fromkeys(check_channel(value) for name, value in pairs if name in ID_NAMES)  # in order, each once
    fields = _form_fields([(name, value) for name, value in pairs if name not in ID_NAMES])
    if not channels:
        raise missing_channel("/pub?id=room&content=hi")
    _check_names(fields, FORM_FIELDS)
    return [_request(channel, fields, limit)._replace(receipt=True) for channel in channels]


def parse_json(body: bytes, limit: int) -> Batch:
    """Read a JSON body: one message, an array of messages, or one message with `ids`.

    `limit` is the largest payload in bytes. Raises `RequestError` if nothing of it can be published. An error of one
    message of an array, or of one of the `ids`, is not raised: it takes the place of that message.
    """
    plain = read_plain(body)
    if plain is not None:
        return Batch([_message(plain, limit)], single=True)
    value = read_json(body)
    items = elements(value)
    if items is not None:
        _check_count("the array", items, limit)
        return Batch([_entry(item, limit) for item in items], single=False)
    fields = _object(value)
    if "ids" in fields:
        return Batch(_for_each_id(fields, limit), single=False)
    return Batch([_message(fields, limit)], single=True)


def parse_broadcast(query: bytes, body: bytes, limit: int, *, is_json: bool) -> PublishRequest:
    """Read a message for all subscribers: `content` and optionally `event`, as a form or as one JSON object.

    The channel of the returned request is empty. Raises `RequestError`.
    """
    fields = _object(read_json(body)) if is_json else _form_fields(read_form(query, body))
    _check_names(fields, BROADCAST_FIELDS)
    return _request("", fields, limit)


def parse_channel(query: bytes, body: bytes = b"", *, required: bool = True) -> str:
    """Read the name of one channel; empty if none is given and none is `required`. Raises `BadRequestError`."""
    channels = []
    for name, value in read_form(query, body):
        if name not in ID_NAMES:
            raise BadRequestError(f"{name[:MAX_NAME_CHARACTERS]}: is not a parameter here; known is id")
        channels.append(check_channel(value))
    if len(channels) > 1 or (required and not channels):
        raise BadRequestError("id: name one channel, for example ?id=room")
    return channels[0] if channels else ""


def parse_demo(body: bytes, limit: int) -> Batch:
    """Read a JSON body that needs no key: one short message to one of the demo's channels.

    Raises `RequestError`, with status 403 for other channels.
    """
    value = read_json(body)
    if elements(value) is not None or "ids" in (fields := _object(value)):
        raise BadRequestError('this path takes one message at a time, such as {"id":"demo","content":"hi"}')
    message = _message(fields, limit)
    _check_demo(message)
    return Batch([message], single=True)


def _check_demo(message: PublishRequest) -> None:
    if message.channel != DEMO_CHANNEL and not message.channel.startswith(DEMO_CHANNELS):
        raise RequestError(
            f"id: this path publishes only to {DEMO_CHANNEL} and to channels that begin with {DEMO_CHANNELS}", 403
        )
    if len(message.payload) > MAX_DEMO_BYTES:
        raise TooLargeError(f"content: {len(message.payload)} bytes; here at most {MAX_DEMO_BYTES} are allowed")


def _form_fields(pairs: Sequence[tuple[str, str]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise BadRequestError(f"{name}: given twice; a request carries one message")
        fields[name] = value
    return fields


def _object(value: Raw) -> dict[str, object]:
    """Return the fields of a JSON object; `content` and `ids` are as they were sent."""
    fields = members(value)
    if fields is None:
        raise BadRequestError('a message must be a JSON object such as {"id":"room","content":"hi"}')
    return {name: raw if name in RAW_FIELDS else plain_value(name, raw) for name, raw in fields.items()}


def _entry(item: Raw, limit: int) -> Entry:
    try:
        return _message(_object(item), limit)
    except RequestError as error:
        return error


def _for_each_id(fields: dict[str, object], limit: int) -> list[Entry]:
    """Read one message for several channels; raises `RequestError` if the message itself is wrong."""
    _check_names(fields, ("ids", *JSON_FIELDS))
    ids = elements(fields["ids"]) if isinstance(fields["ids"], Raw) else None
    if ids is None:
        raise BadRequestError('ids: must be an array of channel names, for example ["room","lobby"]')
    _check_count("ids", ids, limit)
    message = _request("", fields, limit)
    return [_addressed(message, channel) for channel in ids]


def _addressed(message: PublishRequest, channel: Raw) -> Entry:
    try:
        return message._replace(channel=_channel(plain_value("id", channel)))
    except RequestError as error:
        return error


def _message(fields: dict[str, object], limit: int) -> PublishRequest:
    _check_names([name for name in fields if name not in ID_NAMES], MESSAGE_FIELDS)
    channels = [fields[name] for name in ID_ORDER if name in fields] or [""]
    if any(channel != channels[0] for channel in channels):
        raise BadRequestError("id: channel and cname are other names for id; name one channel, or use ids")
    return _request(_channel(channels[0]), fields, limit)


def _request(channel: str, fields: Mapping[str, object], limit: int) -> PublishRequest:
    """Read everything but the channel, which is checked already; raises `RequestError`."""
    if "content" not in fields:
        raise BadRequestError("content: is missing; it may be empty, but it must be there")
    receipt, ephemeral = _flag("receipt", fields), _flag("ephemeral", fields)
    event, key = _event(fields.get("event", "")), _key(fields["key"]) if "key" in fields else ""
    if key and ephemeral:
        raise BadRequestError("key: an ephemeral message is not kept, so a retry is not recognised; leave one out")
    ttl = _ttl(fields["ttl"]) if "ttl" in fields else 0
    return PublishRequest(channel, _payload(fields["content"], limit), event, key, ttl, receipt, ephemeral)


def _check_names(fields: Iterable[str], known: Sequence[str]) -> None:
    for name in fields:
        if name not in known:
            raise BadRequestError(f"{name[:MAX_NAME_CHARACTERS]}: is not a field here; known are {', '.join(known)}")


def _check_count(name: str, values: Sequence[object], limit: int) -> None:
    if len(values) > MAX_MESSAGES:
        raise too_much(f"{name}: these are {len(values)} messages", max_body_bytes(limit))


def _channel(value: object) -> str:
    if not isinstance(value, str):
        raise BadRequestError('id: must be a string, for example "room" or "1"')
    return check_channel(value)


def _payload(content: object, limit: int) -> bytes:
    """Return the bytes of a content: the text of a form, or JSON as it was sent."""
    payload = content_bytes(content) if isinstance(content, Raw) else str(content).encode()
    if len(payload) > limit:
        raise TooLargeError(f"content: {len(payload)} bytes; at most {limit} are allowed (COMET_MAX_MESSAGE_BYTES)")
    return payload


def _event(value: object) -> str:
    if not isinstance(value, str):
        raise BadRequestError('event: must be a string, for example "update"')
    if value in RESERVED_EVENTS:
        raise BadRequestError(f"event: {value!r} is reserved; choose another name")
    if len(value) > MAX_NAME_CHARACTERS or any(character in "\r\n\0" for character in value):
        raise BadRequestError(f"event: at most {MAX_NAME_CHARACTERS} characters, without CR, LF and NUL")
    return value


def _key(value: object) -> str:
    if not isinstance(value, str):
        raise BadRequestError('key: must be a string, for example "order-4711"')
    if not 0 < len(value) <= MAX_NAME_CHARACTERS or not value.isprintable() or " " in value:
        raise BadRequestError(f"key: 1 to {MAX_NAME_CHARACTERS} printable characters without white space")
    return value


def _ttl(value: object) -> float:
    """Read a number of seconds, from JSON or as text from a form."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds <= MAX_TTL:
        raise BadRequestError(f"ttl: give seconds, more than 0 and at most {MAX_TTL}")
    return seconds


def _flag(name: str, fields: Mapping[str, object]) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise BadRequestError(f"{name}: must be true or false")
    return value
