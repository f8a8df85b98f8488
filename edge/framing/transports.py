"""All transports by name, and the framings that connections share. Pure."""

from functools import lru_cache

from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.iframe import IframeFraming
from edge.framing.jsonp import JsonpFraming
from edge.framing.poll import PollFraming
from edge.framing.sse import SseFraming
from edge.framing.stream import StreamFraming
from edge.framing.websocket import WebSocketFraming

TRANSPORTS: dict[str, type[Framing]] = {
    framing.kind.transport: framing
    for framing in (StreamFraming, SseFraming, PollFraming, JsonpFraming, IframeFraming, WebSocketFraming)
}


@lru_cache(maxsize=4096)
def framing_for(transport: str, variant: Variant) -> Framing:
    """Return the framing that all connections of a transport and a variant share."""
    return TRANSPORTS[transport](variant)
