"""Readers for what the framings write, made from the standards and not from our code."""

import json
import re
from typing import NamedTuple


class Event(NamedTuple):
    """One dispatched Server-Sent Event."""

    data: str
    name: str
    last_id: str


def read_sse(text: str) -> list[Event]:
    """Return the events of a stream (WHATWG HTML, section 9.2.6)."""
    events: list[Event] = []
    data: list[str] = []
    name, last_id = "", ""
    for line in re.split(r"\r\n|\r|\n", text)[:-1]:  # what follows the last line break is no complete line
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data:
                events.append(Event("\n".join(data), name, last_id))
            data, name = [], ""
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


def read_retry(text: str) -> list[int]:
    """Return the reconnection times that a stream sets, in milliseconds."""
    return [int(found) for found in re.findall(r"^retry: ([0-9]+)$", text, re.MULTILINE)]


def read_chunks(data: bytes) -> tuple[bytes, bool]:
    """Return a chunked body without its framing, and whether its last chunk came (RFC 9112, section 7.1)."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert data == b"\r\n", "something follows the last chunk"
            return body, True
        assert data[length : length + 2] == b"\r\n", "a chunk does not end where it says"
        body, data = body + data[:length], data[length + 2 :]
    return body, False


def read_line(data: bytes) -> dict[str, object]:
    """Return the object of one line of a chunked stream."""
    found: dict[str, object] = json.loads(data[data.index(b"{") : data.rindex(b"}") + 1])
    return found


class Response(NamedTuple):
    """A response taken apart; header names are lower-case."""

    status_line: str
    headers: dict[str, str]
    body: bytes


def read_response(data: bytes) -> Response:
    """Take a response apart at its empty line."""
    head, separator, body = data.partition(b"\r\n\r\n")
    assert separator, "the head does not end"
    status_line, *lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(lines), "a header comes twice"
    return Response(status_line, headers, body)
