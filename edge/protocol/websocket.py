"""What a WebSocket client sends: its handshake and its frames (RFC 6455 sections 4.2 and 5). Pure.

No parser is kept between two calls. The rest that `parse_frames` returns, and that the caller puts before the next
bytes, is again a sequence of frames: the parts of an unfinished message, folded into one frame, and the bytes of a
frame that is not complete.
"""

import binascii
import struct
from collections.abc import Generator, Mapping
from typing import NamedTuple

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.utils import accept_key

from common.errors import BadRequestError, RequestError
from edge.protocol.limits import USUAL_LIMITS

VERSION = "13"
KEY_BYTES = 16
MAX_CONTROL_BYTES = 125  # RFC 6455 section 5.5
FRAMES_PER_TURN = 32
_CONTROL_BIT = 0x08


def wants_websocket(headers: Mapping[str, str]) -> bool:
    """Say whether a request asks for a WebSocket."""
    return "upgrade" in headers and "websocket" in _tokens(headers, "upgrade")


def accept(headers: Mapping[str, str]) -> str:
    """Return the Sec-WebSocket-Accept for a handshake (RFC 6455 section 4.2.2); header names are lower-case.

    Raises `RequestError`: 426 for a version other than 13, 400 for anything else that is missing or wrong.
    """
    if not wants_websocket(headers) or "upgrade" not in _tokens(headers, "connection"):
        raise BadRequestError("a WebSocket begins with the headers 'Connection: Upgrade' and 'Upgrade: websocket'")
    if headers.get("sec-websocket-version") != VERSION:
        raise RequestError(
            f"this edge supports WebSocket version {VERSION}; send Sec-WebSocket-Version: {VERSION}", 426
        )
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


class Fault(NamedTuple):
    """Why a connection must be closed: a close code (RFC 6455 section 7.4.1), a sentence, and the limit it crosses."""

    code: int
    sentence: str
    limit: str = ""


class Received(NamedTuple):
    """What some bytes contain: up to one message, and the control frames before it."""

    pings: list[bytes]  # their payloads
    text: str | None  # the message
    close: bytes | None  # the payload of a close frame
    fault: Fault | None
    rest: bytes
    more: bool  # the rest may contain another whole frame


class _IncompleteError(Exception):
    """The bytes end before the frame does."""


class _UnsupportedError(Exception):
    """A frame of a kind that this edge does not support."""


class _FrameParser:
    """Parses one whole frame after the other until there is a message, a close frame or a fault."""

    def __init__(self, data: bytes, max_bytes: int) -> None:
        self.max_bytes = max_bytes  # of a message
        self.pings: list[bytes] = []
        self.text: str | None = None
        self.close: bytes | None = None
        self.parts: list[bytes] | None = None  # of an unfinished message
        self.at = 0  # index of the next frame
        self._data = data

    @property
    def is_done(self) -> bool:
        return self.text is not None or self.close is not None

    def parse_frame(self) -> None:
        """Parse the next frame; raises `_IncompleteError`, and what the library and the decoder raise."""
        frame, self.at = self._parse()
        payload = bytes(frame.data)
        if frame.opcode is Opcode.PING:
            self.pings.append(payload)
        elif frame.opcode is Opcode.CLOSE:
            Close.parse(payload)
            self.close = payload
        elif frame.opcode is Opcode.BINARY:
            raise _UnsupportedError
        elif frame.opcode is not Opcode.PONG:
            self._add_part(frame.opcode, payload, final=frame.fin)

    def _add_part(self, opcode: Opcode, payload: bytes, *, final: bool) -> None:
        if (opcode is Opcode.CONT) == (self.parts is None):
            raise ProtocolError("a message began in the middle of another, or went on without having begun")
        self.parts = [*(self.parts or ()), payload]
        if final:
            self.text, self.parts = b"".join(self.parts).decode(), None

    def _parse(self) -> tuple[Frame, int]:
        at = self.at

        def read_exact(size: int) -> Generator[None, None, bytes]:
            nonlocal at
            at += size
            if at > len(self._data):
                raise _IncompleteError
            return self._data[at - size : at]
            yield  # the library wants a generator; this one never waits

        try:
            next(Frame.parse(read_exact, mask=True, max_size=self._room()))
        except StopIteration as parsed:
            return parsed.value, at
        raise AssertionError("a frame's parser waited")

    @property
    def is_at_control(self) -> bool:
        return bool(self._data[self.at : self.at + 1] and self._data[self.at] & _CONTROL_BIT)

    def _room(self) -> int:
        """Return how many bytes the payload of the next frame may have."""
        if self.is_at_control:
            return MAX_CONTROL_BYTES
        return self.max_bytes - sum(map(len, self.parts or ()))


def parse_frames(data: bytes, max_bytes: int = USUAL_LIMITS.max_websocket_bytes) -> Received:
    """Read frames up to the end of the first message, at most FRAMES_PER_TURN of them; it may have `max_bytes`."""
    parser, fault, more = _FrameParser(data, max_bytes), None, True
    try:
        for _ in range(FRAMES_PER_TURN):
            parser.parse_frame()
            if parser.is_done:
                break
    except _IncompleteError:
        more = False
    except (ProtocolError, PayloadTooBig, UnicodeDecodeError, _UnsupportedError) as error:
        fault = _fault(error, parser)
    rest = b"" if fault is not None else _folded(parser.parts) + data[parser.at :]
    return Received(parser.pings, parser.text, parser.close, fault, rest, more and bool(rest) and fault is None)


def _fault(error: Exception, parser: _FrameParser) -> Fault:
    """Return the fault for an error of the parser (RFC 6455 section 7.4.1)."""
    if isinstance(error, UnicodeDecodeError):
        return Fault(CloseCode.INVALID_DATA, "text must be UTF-8")
    if isinstance(error, _UnsupportedError):
        return Fault(CloseCode.UNSUPPORTED_DATA, "binary messages are not supported; send JSON in text frames")
    if isinstance(error, ProtocolError):
        return Fault(CloseCode.PROTOCOL_ERROR, str(error))
    if parser.is_at_control:
        return Fault(CloseCode.PROTOCOL_ERROR, f"a control frame has at most {MAX_CONTROL_BYTES} bytes")
    sentence = f"a message has at most {parser.max_bytes} bytes (COMET_MAX_WEBSOCKET_BYTES)"
    return Fault(CloseCode.MESSAGE_TOO_BIG, sentence, "max_websocket_bytes")


def _folded(parts: list[bytes] | None) -> bytes:
    """Return the parts of an unfinished message as one frame with its beginning, masked with zeros."""
    if parts is None:
        return b""
    payload = b"".join(parts)
    return struct.pack("!BBHI", Opcode.TEXT, 0x80 | 126, len(payload), 0) + payload
