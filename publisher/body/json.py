"""A JSON body in, its parts out as they were sent. Pure.

msgspec checks the grammar and finds where each part begins and ends, without making values of the parts. So a number
keeps the digits that it was sent with, and a part that cannot be read costs no other part.
"""

import re

import msgspec
import orjson
from msgspec import Raw

from common.errors import BadRequestError

MAX_DEPTH = 254  # arrays and objects within each other in a content: subscribers' JSON readers can bear it
MAX_PLAIN_BYTES = 16384  # of a message that is read at once: if it cannot be, it is read twice
MARK = b"\xff"  # stands where a lone surrogate was: no UTF-8 text has this byte
HALF = "holds half of a character (a lone surrogate such as \\ud83d); cut texts between whole characters"
DEEP = "is nested too deeply; send it as a string"
# As much as there is without a lone surrogate, or as many of these as there are; no match begins inside an escape.
_WHOLE_OR_HALVES = re.compile(
    rb"(?:[^\\]+|\\(?:[^u]|u(?![dD][89a-fA-F])|u[dD][89abAB]..\\u[dD][c-fC-F]..))+"
    rb"|((?:\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|[c-fC-F]..))+)",
    re.DOTALL,
)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_read = msgspec.json.Decoder(Raw).decode
_read_array = msgspec.json.Decoder(list[Raw]).decode
_read_object = msgspec.json.Decoder(dict[str, Raw]).decode


def read_plain(body: bytes) -> dict[str, object] | None:
    """Return the fields of one message whose content is a string, as most are; None if it must be read part by part."""
    if len(body) > MAX_PLAIN_BYTES or not body.startswith(b"{"):
        return None
    try:
        fields: dict[str, object] = orjson.loads(body)
    except orjson.JSONDecodeError:  # what is wrong is told by who reads the parts
        return None
    return fields if isinstance(fields.get("content"), str) and "ids" not in fields else None


def read_json(body: bytes) -> Raw:
    """Return a body whose grammar is right; raises `BadRequestError`."""
    try:
        body.decode()
        return _read_marked(body)
    except UnicodeDecodeError:
        raise BadRequestError("the body is not JSON: it is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequestError(f"the body {DEEP}") from None


def elements(value: Raw) -> list[Raw] | None:
    """Return the elements of an array; None if the value is no array."""
    try:
        return _read_array(value)
    except msgspec.ValidationError:
        return None


def members(value: Raw) -> dict[str, Raw] | None:
    """Return the members of an object, None if the value is no object; raises `BadRequestError`."""
    try:
        return _read_object(value)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError:  # the grammar is right, so it is a mark
        raise BadRequestError(f"the name of a field {HALF}") from None


def plain_value(name: str, value: Raw) -> object:
    """Return the value of a field that is not handed through; raises `BadRequestError`."""
    text = _whole(name, value)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"{name}: cannot be read: {error.msg}") from None


def content_bytes(value: Raw) -> bytes:
    """Return a string as its UTF-8 bytes, and anything else as it was sent without white space between its parts.

    Raises `BadRequestError`.
    """
    text = _whole("content", value)
    if text.startswith(b'"'):
        return str(orjson.loads(text)).encode()
    if _is_too_deep(text):
        raise BadRequestError(f"content: {DEEP}")
    return msgspec.json.format(text, indent=-1)


def _read_marked(body: bytes) -> Raw:
    """Read a body; if that fails, read it with a mark for each lone surrogate, which msgspec does not pass over."""
    try:
        return _read(body)
    except msgspec.DecodeError:
        marked = _WHOLE_OR_HALVES.sub(lambda part: MARK if part[1] else part[0], body)
        if MARK not in marked:
            raise
    return _read(marked)


def _whole(name: str, value: Raw) -> bytes:
    """Return the text of a part; raises `BadRequestError` if a lone surrogate was in it."""
    text = bytes(value)
    if MARK in text:
        raise BadRequestError(f"{name}: {HALF}")
    return text


def _is_too_deep(text: bytes) -> bool:
    """Say whether more than `MAX_DEPTH` arrays and objects are within each other; each turn takes the innermost."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", text).translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return False
    return True
