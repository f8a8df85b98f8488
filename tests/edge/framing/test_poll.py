"""Long-poll, and what JSONP has of it."""

import json

import pytest
from hypothesis import given

from edge.framing.http import Variant
from edge.framing.items import Item
from edge.framing.transports import framing_for
from tests.edge.framing.data_items import ITEMS, objects
from tests.edge.framing.reading import read_response


@given(ITEMS)
def test_a_poll_is_answered_with_a_batch(items: list[Item]) -> None:
    """The body is one line of JSON of the length it says: the position to go on from, and all objects."""
    answer = read_response(framing_for("poll", Variant()).encode(items, "3-103"))
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["content-type"] == "application/json"
    assert answer.body.endswith(b"}\n")
    assert json.loads(answer.body) == {"seq": "3-103", "messages": objects(items)}


@pytest.mark.parametrize("transport", ["poll", "jsonp"])
@pytest.mark.parametrize(("closing", "connection"), [(True, "close"), (False, None)])
def test_an_answer_is_whole_and_never_chunked(transport: str, closing: bool, connection: str | None) -> None:
    """A poll's answer has a length on every HTTP version, and says when it is the last."""
    framing = framing_for(transport, Variant(chunked=not closing, closing=closing, callback="f"))
    headers = read_response(framing.encode([], "3-103")).headers
    assert "transfer-encoding" not in headers
    assert headers.get("connection") == connection


@pytest.mark.parametrize("transport", ["poll", "jsonp"])
def test_a_poll_has_no_head_and_no_heartbeat(transport: str) -> None:
    """It is answered in one piece, once."""
    framing = framing_for(transport, Variant(callback="f"))
    assert framing.single_response
    assert (framing.head(3000), framing.heartbeat, framing.end) == (b"", b"", b"")


def test_a_poller_says_goodbye_with_an_empty_batch() -> None:
    """It goes on elsewhere from the position it has."""
    body = read_response(framing_for("poll", Variant()).farewell("3-103")).body
    assert json.loads(body) == {"seq": "3-103", "messages": []}


@pytest.mark.parametrize("transport", ["poll", "jsonp"])
def test_a_poller_is_refused_with_its_status(transport: str) -> None:
    """A poll that cannot be seated is a 503 that says when to try again."""
    answer = read_response(framing_for(transport, Variant(callback="f")).refusal(503, "no redis", 4))
    assert answer.status_line == "HTTP/1.1 503 Service Unavailable"
    assert answer.headers["retry-after"] == "4"
    assert answer.headers["content-type"] == "application/json"
