"""Requests of at most 16 KB that keep an edge busy for as long as their kind can."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

NAMES = [f"{number:03d}".ljust(30, "q") for number in range(128)]
LONG_NAMES = [f"{number:03d}".ljust(90, "s") for number in range(128)]
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
MASK = b"\0\0\0\0"


class Kind(NamedTuple):
    """A request, and one that is answered before it on the same connection."""

    what: str
    request: bytes
    before: bytes = b""


def head(target: str, *headers: str) -> bytes:
    """Return a GET."""
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: x", *headers, "", "")).encode()


def text(payload: str) -> bytes:
    """Return a WebSocket's frame."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return b"\x81" + length + MASK + payload.encode()


def message(operations: Iterable[tuple[str, str]]) -> bytes:
    """Return a WebSocket's message of operations and channels."""
    return text(json.dumps([{"op": op, "id": name} for op, name in operations], separators=(",", ":")))


def subscribe(path: str, names: Sequence[str], *headers: str, **query: str) -> bytes:
    """Return a request for channels."""
    return head(f"{path}?{urlencode([*(('id', name) for name in names), *query.items()])}", *headers)


def returning(position: str) -> bytes:
    """Return that of an EventSource whose position names its channels."""
    return head("/sse?id=x", "Last-Event-ID: " + "&".join(f"{name}={position}" for name in LONG_NAMES))


HELD = subscribe("/ws", NAMES, *UPGRADE)
FLIPS = ("unsub", "sub")

KINDS = (
    Kind("128 channels, SSE", subscribe("/sse", NAMES)),
    Kind("128 channels, poll", subscribe("/poll", NAMES, timeout="0")),
    Kind("128 long names, SSE", returning("")),
    Kind("128 long names that cannot be proved, SSE", returning("9-1792000000000000")),
    Kind("256 flips of 128 channels, one by one", message((op, name) for name in NAMES for op in FLIPS), HELD),
    Kind("256 flips of 128 channels, all and all", message((op, name) for op in FLIPS for name in NAMES), HELD),
    Kind("256 flips of the last of 128", message((op, NAMES[-1]) for _ in NAMES for op in FLIPS), HELD),
    Kind("256 of a known channel", message([("sub", NAMES[-1])] * 256), HELD),
    Kind("64 odd names of 200 bytes", message([("unsub", "~" * 200)] * 64), HELD),
    Kind("16 KB that are no operations", text("[" * 16_000), HELD),
    Kind("256 wrong operations", text(json.dumps([{}] * 256)), HELD),
    Kind("2,000 messages", text("1") * 2_000, HELD),
    Kind("500 requests that are wrong", head("/x") * 500),
    Kind("300 polls ahead", subscribe("/poll", ["a"], timeout="0") * 300),
)
