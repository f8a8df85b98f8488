"""Framings: pure code that turns objects into the bytes of each transport."""

from functools import lru_cache

from edge.framing.base import (
    CONTINUE,
    GOING_AWAY,
    LAST_CHUNK,
    Framing,
    Item,
    Variant,
    change_response,
    chunk,
    error_response,
    full_response,
    json_object,
    preflight,
    response_head,
    retry_headers,
)
from edge.framing.iframe import IframeFraming
from edge.framing.poll import JsonpFraming, PollFraming
from edge.framing.sse import SseFraming, StreamFraming, sse_event
from edge.framing.websocket import WebSocketFraming, close_frame, close_reply, pong_frame

TRANSPORTS: dict[str, type[Framing]] = {
    framing.transport: framing
    for framing in (StreamFraming, SseFraming, PollFraming, JsonpFraming, IframeFraming, WebSocketFraming)
}


@lru_cache(maxsize=4096)
def framing_for(transport: str, variant: Variant) -> Framing:
    """Return the framing that all connections of this transport and variant share."""
    return TRANSPORTS[transport](variant)


__all__ = [
    "CONTINUE",
    "GOING_AWAY",
    "LAST_CHUNK",
    "TRANSPORTS",
    "Framing",
    "IframeFraming",
    "Item",
    "JsonpFraming",
    "PollFraming",
    "SseFraming",
    "StreamFraming",
    "Variant",
    "WebSocketFraming",
    "change_response",
    "chunk",
    "close_frame",
    "close_reply",
    "error_response",
    "framing_for",
    "full_response",
    "json_object",
    "pong_frame",
    "preflight",
    "response_head",
    "retry_headers",
    "sse_event",
]
