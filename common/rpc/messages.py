"""What edges are asked over Redis, and what they answer: requests and replies as bytes. Pure.

A request is one JSON object, `{"op":"info","inbox":"owner.number", …}`, PUBLISHed to the channel of all edges or to
that of one. Every edge it reaches answers to the inbox, `number {"edge":"id", …}`, also when it can only say what is
wrong: Redis tells the asker how many edges there are, and it waits for no more than that.
A message that wants a receipt carries the same kind of inbox; its answers are `number subscribers`.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from common.errors import FrameError, RequestError
from common.message import is_number

MOST_REPLY_BYTES = 65_536
_OP = re.compile(r"[a-z]{1,32}")
_INBOX = re.compile(r"([0-9A-Za-z]{1,64})\.([0-9]{1,20})")


class Request(NamedTuple):
    """What edges are asked to do; `fields` are the operation's own."""

    op: str
    inbox: str
    fields: dict[str, Any]


class Reply(NamedTuple):
    """What one edge answered: the operation's own fields, or what was wrong."""

    edge: str
    fields: dict[str, Any]
    error: RequestError | None = None


class Address(NamedTuple):
    """Whose inbox an answer goes to, and what it is an answer to."""

    owner: str
    number: int

    def __str__(self) -> str:
        return f"{self.owner}.{self.number}"


def read_address(inbox: str) -> Address:
    """Read an inbox, `owner.number`; raises `FrameError`."""
    match = _INBOX.fullmatch(inbox)
    if match is None:
        raise FrameError(f"an inbox is written owner.number, not {inbox[:100]!r}")
    return Address(match[1], int(match[2]))


def encode_request(request: Request) -> bytes:
    """Return a request as it is published."""
    return orjson.dumps({**request.fields, "op": request.op, "inbox": request.inbox})


def decode_request(data: bytes) -> Request:
    """Read what arrived on a control channel; raises `FrameError`."""
    fields = _object(data)
    op, inbox = fields.pop("op", None), fields.pop("inbox", None)
    if not isinstance(op, str) or not _OP.fullmatch(op) or not isinstance(inbox, str):
        raise FrameError("a control request needs an op of small letters and an inbox")
    read_address(inbox)
    return Request(op, inbox, fields)


def encode_reply(edge: str, fields: Mapping[str, object]) -> bytes:
    """Return an edge's reply, without the number it is an answer to; raises `FrameError` if it is too long."""
    data = orjson.dumps({**fields, "edge": edge})
    if len(data) > MOST_REPLY_BYTES:
        raise FrameError(f"a reply of {len(data)} bytes; at most {MOST_REPLY_BYTES} are allowed")
    return data


def encode_error(edge: str, error: RequestError) -> bytes:
    """Return the reply of an edge that could not do what it was asked."""
    return orjson.dumps({"edge": edge, "error": {"code": error.status, "content": error.sentence}})


def decode_reply(data: bytes) -> Reply:
    """Read a reply without its number; raises `FrameError`."""
    if len(data) > MOST_REPLY_BYTES:
        raise FrameError("a reply is too long")
    fields = _object(data)
    edge, fault = fields.pop("edge", None), fields.pop("error", None)
    if not isinstance(edge, str):
        raise FrameError("a reply names its edge")
    return Reply(edge, fields, None if fault is None else _error(fault))


def decode_receipt(data: bytes) -> int:
    """Read a receipt without its number: how many subscribers one edge reached; raises `FrameError`."""
    if not is_number(data):
        raise FrameError("a receipt is a number of subscribers")
    return int(data)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise FrameError(f"a control frame is JSON: {error}") from None
    if not isinstance(value, dict):
        raise FrameError("a control frame is a JSON object")
    return value


def _error(fault: object) -> RequestError:
    code, sentence = (fault.get("code"), fault.get("content")) if isinstance(fault, dict) else (None, None)
    if not isinstance(code, int) or not isinstance(sentence, str) or not 400 <= code <= 599:
        raise FrameError("an error in a reply has a code from 400 to 599 and a content")
    return RequestError(sentence, code)
