"""What every framing is or has, whatever its transport."""

import json

import pytest

from edge.framing.base import Framing
from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import TRANSPORTS, framing_for
from tests.edge.framing.reading import read_response

VARIANT = Variant(callback="f")


@pytest.mark.parametrize(
    ("transport", "single_response", "bidirectional", "cursor_in_bytes"),
    [
        ("stream", False, False, False),
        ("sse", False, False, True),
        ("poll", True, False, True),
        ("jsonp", True, False, True),
        ("iframe", False, False, False),
        ("ws", False, True, False),
    ],
)
def test_what_a_transport_is(transport: str, single_response: bool, bidirectional: bool, cursor_in_bytes: bool) -> None:
    """Answered once or held; whether the client speaks, too; whether the bytes depend on positions."""
    framing = framing_for(transport, VARIANT)
    assert framing.transport == transport
    assert (framing.single_response, framing.bidirectional, framing.cursor_in_bytes) == (
        single_response,
        bidirectional,
        cursor_in_bytes,
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_framing_has_the_parts_of_an_answer(transport: str) -> None:
    """A head, items, a farewell and a refusal are bytes; only what is held has a heartbeat."""
    framing = framing_for(transport, VARIANT)
    parts = [
        framing.head(3000, "accepted"),
        framing.encode([Item(ItemKind.DATA, "room", "hi")], "3-103"),
        framing.farewell("3-103"),
        framing.refusal(503, "no redis", 4),
    ]
    assert all(isinstance(part, bytes) for part in parts)
    assert all(parts[1:])
    assert bool(framing.heartbeat) is not framing.single_response


@pytest.mark.parametrize("transport", ["stream", "poll", "ws"])
@pytest.mark.parametrize(("retry_after", "header"), [(3.2, "4"), (0, None)])
def test_by_default_a_refusal_is_an_error_with_its_status(
    transport: str, retry_after: float, header: str | None
) -> None:
    """A client that may not come back is not told when; only a poll's connection is good for another request."""
    framing = framing_for(transport, VARIANT)
    answer = read_response(framing.refusal(503, "no redis", retry_after))
    assert answer.status_line == "HTTP/1.1 503 Service Unavailable"
    assert json.loads(answer.body) == {"type": "error", "code": 503, "content": "no redis"}
    assert answer.headers.get("retry-after") == header
    assert answer.headers.get("connection") == (None if framing.single_response else "close")


def test_a_framing_must_say_what_its_bytes_are() -> None:
    """The base has none of its own, and nothing to tell a client of a retry or of being slow."""
    framing = Framing(VARIANT)
    for call in (lambda: framing.head(1), lambda: framing.encode([], ""), lambda: framing.farewell("")):
        with pytest.raises(NotImplementedError):
            call()
    assert (framing.retry(1), framing.too_slow, framing.end) == (b"", b"", b"")
