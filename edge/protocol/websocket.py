"""What a WebSocket client sends: from bytes to messages and control frames (RFC 6455 section 5). Pure.

No parser is kept between two calls. All that is remembered of an unfinished message is the rest that the caller
keeps, and that is again a sequence of frames: what came of the message so far, folded into one, and then the bytes
that are not a whole frame yet.
"""

import struct
from collections.abc import Generator
from typing import NamedTuple

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode

MAX_MESSAGE_BYTES = 16384
MAX_CONTROL_BYTES = 125  # RFC 6455 section 5.5
FRAMES_AT_ONCE = 32
_CONTROL_BIT = 0x08


class Fault(NamedTuple):
    """Why a connection must be closed."""

    code: int
    sentence: str


class Received(NamedTuple):
    """What some bytes said: up to one message, and the control frames before it."""

    pings: list[bytes]
    text: str | None
    close: bytes | None  # the payload of a close frame
    fault: Fault | None
    rest: bytes
    more: bool  # there may be another whole frame in the rest


class _IncompleteError(Exception):
    """The bytes end before the frame does."""


class _UnsupportedError(Exception):
    """A frame of a kind that is not spoken here."""


class _Listener:
    """Takes one whole frame after the other until there is a message, a close frame or a fault."""

    def __init__(self, data: bytes) -> None:
        self.pings: list[bytes] = []
        self.text: str | None = None
        self.close: bytes | None = None
        self.parts: list[bytes] | None = None  # of an unfinished message
        self.at = 0
        self._data = data

    @property
    def is_done(self) -> bool:
        return self.text is not None or self.close is not None

    def take_frame(self) -> None:
        """Take the next frame; raises `_IncompleteError` and what the library and the decoder raise."""
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
            self._take_part(frame.opcode, payload, final=frame.fin)

    def _take_part(self, opcode: Opcode, payload: bytes, *, final: bool) -> None:
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
            yield  # it must be a generator; it never waits

        try:
            next(Frame.parse(read_exact, mask=True, max_size=self._room()))
        except StopIteration as parsed:
            return parsed.value, at
        raise AssertionError("a frame's parser waited")

    @property
    def is_at_control(self) -> bool:
        return bool(self._data[self.at : self.at + 1] and self._data[self.at] & _CONTROL_BIT)

    def _room(self) -> int:
        """Return how large the next frame may be."""
        if self.is_at_control:
            return MAX_CONTROL_BYTES
        return MAX_MESSAGE_BYTES - sum(map(len, self.parts or ()))


def parse_frames(data: bytes) -> Received:
    """Read frames up to the end of the first message, at most so many that it takes no time worth mentioning."""
    listener, fault, more = _Listener(data), None, True
    try:
        for _ in range(FRAMES_AT_ONCE):
            listener.take_frame()
            if listener.is_done:
                break
    except _IncompleteError:
        more = False
    except (ProtocolError, PayloadTooBig, UnicodeDecodeError, _UnsupportedError) as error:
        fault = _fault(error, listener)
    rest = b"" if fault is not None else _folded(listener.parts) + data[listener.at :]
    return Received(listener.pings, listener.text, listener.close, fault, rest, more and bool(rest) and fault is None)


def _fault(error: Exception, listener: _Listener) -> Fault:
    """Return the close code for what the library raised (RFC 6455 section 7.4.1)."""
    if isinstance(error, UnicodeDecodeError):
        return Fault(CloseCode.INVALID_DATA, "text must be UTF-8")
    if isinstance(error, _UnsupportedError):
        return Fault(CloseCode.UNSUPPORTED_DATA, "binary messages are not spoken here; send JSON in text frames")
    if isinstance(error, ProtocolError):
        return Fault(CloseCode.PROTOCOL_ERROR, str(error))
    if listener.is_at_control:
        return Fault(CloseCode.PROTOCOL_ERROR, f"a control frame has at most {MAX_CONTROL_BYTES} bytes")
    return Fault(CloseCode.MESSAGE_TOO_BIG, f"a message has at most {MAX_MESSAGE_BYTES} bytes")


def _folded(parts: list[bytes] | None) -> bytes:
    """Return what came of an unfinished message as one frame that begins it, masked with zeros."""
    if parts is None:
        return b""
    payload = b"".join(parts)
    return struct.pack("!BBHI", Opcode.TEXT, 0x80 | 126, len(payload), 0) + payload
