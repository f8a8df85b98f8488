"""Requests to edges and their replies, as bytes. Pure.

A request is one JSON object, `{"op":"info","inbox":"owner.number", …}`, PUBLISHed to the channel of all edges or of
one. Every edge that it reaches replies to the inbox, `number {"edge":"id", …}`, even if only with an error: Redis
returns the number of edges reached, and the process that asks waits for that many replies.
A message that asks for a receipt has an inbox of the same form; its answers are `number subscribers`.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from common.errors import FrameError, RequestError
from common.message import is_number

MAX_REPLY_BYTES = 65_536
MAX_COUNT_DIGITS = 10
_OP = re.compile(r"[a-z]{1,32}")
_INBOX = re.compile(r"([0-9A-Za-z]{1,64})\.([0-9]{1,20})")


class Request(NamedTuple):
    """A request to edges; `fields` belong to the operation `op`."""

    op: str
    inbox: str
    fields: dict[str, Any]


class Reply(NamedTuple):
    """The reply of one edge: the fields of the operation, or an error."""

    edge: str
    fields: dict[str, Any]
    error: RequestError | None = None


class Address(NamedTuple):
    """The process whose inbox an answer goes to, and the number of the message that it answers."""

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
    """Read a request as it was published; raises `FrameError`."""
    fields = _object(data)
    op, inbox = fields.pop("op", None), fields.pop("inbox", None)
    if not isinstance(op, str) or not _OP.fullmatch(op) or not isinstance(inbox, str):
        raise FrameError("a control request needs an op of small letters and an inbox")
    read_address(inbox)
    return Request(op, inbox, fields)


def encode_reply(edge: str, fields: Mapping[str, object]) -> bytes:
    """Return an edge's reply without the number in front; raises `FrameError` if it is too long."""
    data = orjson.dumps({**fields, "edge": edge})
    if len(data) > MAX_REPLY_BYTES:
        raise FrameError(f"a reply of {len(data)} bytes; at most {MAX_REPLY_BYTES} are allowed")
    return data


def encode_error(edge: str, error: RequestError) -> bytes:
    """Return the reply of an edge that could not carry out a request."""
    return orjson.dumps({"edge": edge, "error": {"code": error.status, "content": error.sentence}})


def decode_reply(data: bytes) -> Reply:
    """Read a reply without the number in front; raises `FrameError`."""
    if len(data) > MAX_REPLY_BYTES:
        raise FrameError("a reply is too long")
    fields = _object(data)
    edge, fault = fields.pop("edge", None), fields.pop("error", None)
    if not isinstance(edge, str):
        raise FrameError("a reply names its edge")
    return Reply(edge, fields, None if fault is None else _error(fault))


def decode_receipt(data: bytes) -> int:
    """Read a receipt without the number in front: the subscribers that one edge reached; raises `FrameError`."""
    if not is_number(data) or len(data) > MAX_COUNT_DIGITS:
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
