"""WebSocket frames: what comes in one piece is read as what comes in pieces of any size, and is within the limits."""

from typing import NamedTuple

from edge.framing.websocket import MAX_REASON_BYTES, close_frame, close_reply, pong_frame
from edge.protocol.limits import USUAL_LIMITS
from edge.protocol.websocket import MAX_CONTROL_BYTES, Received, parse_frames

FAULTS = {1002, 1003, 1007, 1009}
MAX_BYTES = USUAL_LIMITS.max_websocket_bytes
MAX_HEADER = 14  # bytes before a client's payload
PIECES = (1, 3, 100)  # bytes
MAX_PIECES = 60


class Said(NamedTuple):
    """All that a client said, up to its close or its first fault."""

    pings: list[bytes]
    texts: list[str]
    close: bytes | None
    fault: int


def check(data: bytes) -> None:
    """Look at what follows a handshake."""
    whole = said([data])
    for size in PIECES:
        if size < len(data) <= size * MAX_PIECES:
            assert said([data[at : at + size] for at in range(0, len(data), size)]) == whole


def said(pieces: list[bytes]) -> Said:
    """Read what comes in these pieces, each as soon as it is there."""
    found, rest = Said([], [], None, 0), b""
    for piece in pieces:
        data, more = rest + piece, True
        while more:
            received = parse_frames(data)
            _check_received(received, len(data))
            found.pings.extend(received.pings)
            if received.text is not None:
                found.texts.append(received.text)
            if received.close is not None or received.fault is not None:
                return found._replace(close=received.close, fault=received.fault.code if received.fault else 0)
            assert not received.more or len(received.rest) < len(data) + MAX_HEADER
            data, more = received.rest, received.more
        rest = data
        assert len(rest) <= MAX_BYTES + 2 * MAX_HEADER + MAX_CONTROL_BYTES, "more is kept than one message"
    return found


def _check_received(received: Received, size: int) -> None:
    assert all(len(pong_frame(payload)) <= 2 + MAX_CONTROL_BYTES for payload in received.pings)
    assert received.text is None or len(received.text.encode()) <= min(MAX_BYTES, size)
    if received.close is not None:
        assert len(close_reply(received.close)) in {2, 4}
    if received.fault is not None:
        assert received.fault.code in FAULTS
        assert len(close_frame(received.fault.code, received.fault.sentence)) <= 4 + MAX_REASON_BYTES
        assert not received.rest
