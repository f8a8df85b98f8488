"""Frames from Redis: a message is handed on whole and in one piece, whatever its payload and its header hold."""

import json
import re
from contextlib import suppress

from common.errors import FrameError
from common.message import FRAME_START, JOIN_START, LAST_EPOCH, MAX_DIGITS, Join, Message, decode, encode_frame
from common.rpc.messages import decode_receipt, decode_reply, decode_request, encode_request
from edge.framing.http import Variant
from edge.framing.items import data_item
from edge.framing.transports import framing_for

LINE_BREAK = re.compile(r"\r\n|\r|\n")
WHOLE = Variant(chunked=False, callback="f")


def check(data: bytes) -> None:
    """Look at what was PUBLISHed to a channel, or to one of our own."""
    _check_control(data)
    try:
        message = decode(data)
    except FrameError:
        assert data.startswith((FRAME_START, JOIN_START))
        return
    if isinstance(message, Join):
        assert 0 <= message.epoch <= LAST_EPOCH
        return
    _check_message(data, message)
    _check_sent(message)


def _check_control(data: bytes) -> None:
    for read in (decode_reply, decode_receipt):
        with suppress(FrameError):
            read(data)
    try:
        request = decode_request(data)
    except FrameError:
        return
    assert decode_request(encode_request(request)) == request


def _check_message(data: bytes, message: Message) -> None:
    assert data.endswith(message.payload)
    assert message.bare == (not data.startswith(FRAME_START))
    assert all(0 <= number < 10**MAX_DIGITS for number in (message.offset, message.tag, message.prev, message.expires))
    if message.bare:
        assert message == Message(data, bare=True)
    else:
        assert decode(encode_frame(message)) == message


def _check_sent(message: Message) -> None:
    """Assert that each transport sends one object or event, with this content."""
    item = data_item("room", message)
    line = framing_for("stream", WHOLE).encode([item], "1-2")
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["content"] == item.content
    fields = _fields(framing_for("sse", WHOLE).encode([item], "1-2").decode())
    assert fields.pop("data") == LINE_BREAK.sub("\n", item.content or "")
    assert all("\n" not in value for value in fields.values())
    script = framing_for("iframe", WHOLE).encode([item], "1-2")
    assert (script.count(b"<"), script.count(b">"), script.count(b"\n")) == (2, 2, 1)
    call = framing_for("jsonp", WHOLE).encode([item], "1-2").partition(b"\r\n\r\n")[2]
    assert not any(separator.encode() in call for separator in "\u2028\u2029")
    assert json.loads(call[len(b"/**/f(") : -len(b");\n")])["messages"][0]["content"] == item.content


def _fields(event: str) -> dict[str, str]:
    """Return the fields of the one event in a text."""
    body, end, rest = event.partition("\n\n")
    assert (end, rest) == ("\n\n", "")
    found: dict[str, list[str]] = {}
    for line in LINE_BREAK.split(body):
        name, colon, value = line.partition(": ")
        assert colon
        assert name in {"id", "event", "data"}
        found.setdefault(name, []).append(value)
    return {name: "\n".join(values) for name, values in found.items()}
