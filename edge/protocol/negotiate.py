"""From a subscriber's request to the plan for it: what it asks for, and in which bytes it is talked to. Pure."""

from functools import lru_cache
from typing import NamedTuple

from edge.framing import Framing, Variant, framing_for
from edge.protocol.http import Request
from edge.protocol.origins import Origins
from edge.protocol.subscribe import SubscribeRequest, parse_subscribe


class Negotiated(NamedTuple):
    """What a subscriber asks for, and the framing that it shares with all who need the same bytes."""

    asked: SubscribeRequest
    framing: Framing


@lru_cache(maxsize=256)
def negotiate(request: Request, origins: Origins, *, closing: bool) -> Negotiated:
    """Return the plan for a GET, whose answer is its connection's last if `closing`; raises `RequestError`.

    Remembered, because those who poll a channel send the same bytes again and again, which are the same request.
    """
    origin = origins.admit(request.headers.get("origin", ""))
    asked = parse_subscribe(request)
    origins.admit_page(asked.transport, request.headers)
    return Negotiated(asked, framing_for(asked.transport, _variant(request, asked, origins, origin, closing)))


def _variant(request: Request, asked: SubscribeRequest, origins: Origins, origin: str, closing: bool) -> Variant:
    """Return the variant of a subscriber's bytes; all WebSockets have the same."""
    if asked.transport == "ws":
        return Variant()
    return Variant(
        chunked=not request.http10,
        closing=closing or not request.keep_alive,
        origin=origin,
        callback=asked.callback,
        envelope=asked.envelope or asked.named or len(asked.channels) > 1,
        ancestors=origins.ancestors if asked.transport == "iframe" else "*",
        session_size=len(asked.session),
        omit_event_name=asked.envelope,
        heartbeat_as_event=asked.heartbeat_as_event and asked.transport == "sse",
    )
