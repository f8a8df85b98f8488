"""What every framing is or has, whatever its transport."""

import json

import pytest

from edge.framing.base import SHORT_DATA, Bundle, Framing, Kind
from edge.framing.http import Variant
from edge.framing.items import SESSION_BLANK, Item, ItemKind, error_item
from edge.framing.transports import TRANSPORTS, framing_for
from tests.edge.framing.reading import read_response
from tests.pure_only import pure_only

VARIANT = Variant(callback="f")
LONG = "m" * SHORT_DATA
ITEMS = [Item(ItemKind.DATA, "room", text, f"{number}-7", f"{number}-7") for number, text in enumerate(("first", LONG))]


class Nameless(Framing):
    """A framing that says nothing but what it is like."""

    kind = Kind("nameless")


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


@pytest.mark.parametrize("transport", ["stream", "sse", "iframe", "ws"])
def test_the_last_error_is_an_object_and_the_end(transport: str) -> None:
    """A WebSocket's end says what the error was, too."""
    framing = framing_for(transport, VARIANT)
    error = error_item(401, "over")
    last = framing.last_error(error)
    assert last.startswith(framing.encode([error], ""))
    assert last.endswith(b"\x88\x06\x11\x31over" if transport == "ws" else framing.end)


@pure_only
def test_a_framing_must_say_what_its_bytes_are() -> None:
    """The base has none of its own, and nothing to tell a client of a retry or of being slow."""
    framing = Nameless(VARIANT)
    for call in (lambda: framing.head(1), lambda: framing.encode([], ""), lambda: framing.farewell("")):
        with pytest.raises(NotImplementedError):
            call()
    assert (framing.retry(1), framing.too_slow, framing.end) == (b"", b"", b"")


# Bundles.


@pytest.mark.parametrize("transport", ["stream", "sse", "poll", "ws"])
def test_all_who_share_a_framing_get_the_same_object(transport: str) -> None:
    """And those of another one get theirs."""
    bundle, framing, other = (
        Bundle(ITEMS, "2-7"),
        framing_for(transport, Variant()),
        framing_for("stream", Variant(False)),
    )
    assert bundle.shared(framing) is None
    data = bundle.encode(framing)
    assert data == framing.encode(ITEMS, "2-7")
    assert bundle.encode(framing) is data
    assert bundle.pieces(framing) == (data, ())
    assert bundle.pieces(framing)[0] is bundle.shared(framing) is data
    assert bundle.encode(other) is not data


@pytest.mark.parametrize("transport", ["poll", "jsonp"])
def test_a_session_stands_in_the_first_piece(transport: str) -> None:
    """So the second one, with the messages, is the same object for all sessions of a length."""
    bundle, framing = Bundle(ITEMS, "2-7"), framing_for(transport, Variant(session_size=9, callback="f"))
    head, (rest,) = bundle.pieces(framing)
    assert head + rest == framing.encode(ITEMS, "2-7")
    assert head.endswith(b'"session":"%b",' % (SESSION_BLANK * 9).encode())
    assert b"first" in rest
    assert bundle.pieces(framing)[1][0] is bundle.shared(framing) is rest


def test_what_is_short_is_not_cut() -> None:
    """To fill in a session by a copy of it takes less."""
    bundle, framing = Bundle(ITEMS[:1], "0-7"), framing_for("poll", Variant(session_size=9))
    assert bundle.pieces(framing) == (framing.encode(ITEMS[:1], "0-7"), ())


def test_a_session_that_nobody_asked_for_is_not_known() -> None:
    """Before the first of them is answered, there is nothing to share."""
    bundle, framing = Bundle(ITEMS, "2-7"), framing_for("poll", Variant(session_size=9))
    assert bundle.shared(framing) is None
    bundle.pieces(framing_for("poll", Variant(session_size=10)))
    assert bundle.shared(framing) is None
