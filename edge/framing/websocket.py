"""The WebSocket (RFC 6455): each item is a JSON object in a text frame of its own. Pure."""

from collections.abc import Sequence

from websockets.frames import Close, CloseCode, Frame, Opcode

from edge.framing.base import Framing, Kind
from edge.framing.http import Variant, response_head
from edge.framing.items import GOING_AWAY, Item, json_object

TOO_SLOW = "you read too slowly; connect again and go on from your position"
OWN_CODES = 4000  # close codes from here on are an application's (RFC 6455 section 7.4.2)
MAX_REASON_BYTES = 123  # in a close frame (RFC 6455 section 5.5)


class WebSocketFraming(Framing):
    """A server's frames are not masked, so all clients get the same bytes; a heartbeat is a ping."""

    kind = Kind("ws", bidirectional=True)
    content_type = ""

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        self.heartbeat = _frame(Opcode.PING, b"")
        self.end = close_frame(CloseCode.NORMAL_CLOSURE)
        self.too_slow = close_frame(CloseCode.TRY_AGAIN_LATER, TOO_SLOW)
        self._farewell = close_frame(CloseCode.SERVICE_RESTART, GOING_AWAY)

    def head(self, retry_ms: int, ws_accept: str = "") -> bytes:
        """Return the answer to the handshake whose Sec-WebSocket-Accept is `ws_accept` (RFC 6455 section 4.2.2)."""
        headers = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {ws_accept}")
        return response_head(101, headers, Variant(origin=""))

    def encode(self, items: Sequence[Item], cursor: str) -> bytes:
        """Return one text frame for each item."""
        return b"".join([_text_frame(json_object(item)) for item in items])

    def last_error(self, item: Item) -> bytes:
        """Return an error and a close frame, whose code is the error's and 4000: pages see that of an HTTP status."""
        return self.encode([item], "") + close_frame(OWN_CODES + item.code, item.content or "")

    def farewell(self, cursor: str) -> bytes:
        """Return a close frame with code 1012: connect again."""
        return self._farewell


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; a reason of more than MAX_REASON_BYTES is shortened."""
    short = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return _frame(Opcode.CLOSE, Close(code, short).serialize())


def close_reply(payload: bytes) -> bytes:
    """Return the answer to a client's close frame, which has the same code (RFC 6455 section 5.5.1)."""
    return _frame(Opcode.CLOSE, payload[:2])


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a ping, which has the same payload (RFC 6455 section 5.5.3)."""
    return _frame(Opcode.PONG, payload)


def _text_frame(payload: bytes) -> bytes:
    """Return a text frame that is not masked (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8), payload)


def _frame(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=False)
