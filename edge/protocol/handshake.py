"""The WebSocket's opening handshake, the server's half (RFC 6455 section 4.2). Pure."""

import binascii
from collections.abc import Mapping

from websockets.utils import accept_key

from common.errors import BadRequestError, RequestError

VERSION = "13"
KEY_BYTES = 16


def wants_websocket(headers: Mapping[str, str]) -> bool:
    """Say whether a request asks for a WebSocket."""
    return "upgrade" in headers and "websocket" in _tokens(headers, "upgrade")


def accept(headers: Mapping[str, str]) -> str:
    """Return the Sec-WebSocket-Accept that answers a handshake; header names are lower-case.

    Raises `RequestError`: 426 for another version than 13, 400 for anything else that is missing or wrong.
    """
    if not wants_websocket(headers) or "upgrade" not in _tokens(headers, "connection"):
        raise BadRequestError("a WebSocket begins with the headers 'Connection: Upgrade' and 'Upgrade: websocket'")
    if headers.get("sec-websocket-version") != VERSION:
        raise RequestError(f"WebSocket version {VERSION} is spoken here; send Sec-WebSocket-Version: {VERSION}", 426)
    key = headers.get("sec-websocket-key", "")
    if not _is_key(key):
        raise BadRequestError(f"Sec-WebSocket-Key: give {KEY_BYTES} random bytes in base64")
    return accept_key(key)


def _tokens(headers: Mapping[str, str], name: str) -> list[str]:
    return [token.strip().lower() for token in headers.get(name, "").split(",")]


def _is_key(text: str) -> bool:
    try:
        return len(binascii.a2b_base64(text, strict_mode=True)) == KEY_BYTES
    except ValueError:  # binascii's error, or a character beyond ASCII
        return False
