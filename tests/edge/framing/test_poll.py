"""Long-poll and JSONP."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for
from tests.edge.framing.reading import read_response

TEXT = st.text(st.one_of(st.sampled_from("\u2028\u2029</>\\\"'\n"), st.characters(exclude_categories=("Cs",))))
ITEMS = st.lists(TEXT.map(lambda content: Item(ItemKind.DATA, "room", content, "3-103", "3-103")), max_size=4)
CALL = re.compile(rb"/\*\*/f\((.*)\);\n", re.DOTALL)


def objects(items: list[Item]) -> list[dict[str, object]]:
    """Return what a client shall read for data items."""
    return [{"type": "data", "id": "room", "content": item.content, "seq": item.seq} for item in items]


@given(ITEMS)
def test_a_poll_is_answered_with_a_batch(items: list[Item]) -> None:
    """The body is one line of JSON of the length it says: the position to go on from, and all objects."""
    answer = read_response(framing_for("poll", Variant()).encode(items, "3-103"))
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["content-type"] == "application/json"
    assert answer.body.endswith(b"}\n")
    assert json.loads(answer.body) == {"seq": "3-103", "messages": objects(items)}


@given(ITEMS)
def test_jsonp_calls_the_page_with_the_same_json(items: list[Item]) -> None:
    """The answer is a call of the callback with the poll's JSON, without a line separator that old engines choke on."""
    answer = read_response(framing_for("jsonp", Variant(callback="f")).encode(items, "3-103"))
    call = CALL.fullmatch(answer.body)
    assert call
    assert json.loads(call[1]) == {"seq": "3-103", "messages": objects(items)}
    assert "\u2028" not in answer.body.decode()
    assert "\u2029" not in answer.body.decode()
    assert answer.headers["content-length"] == str(len(answer.body))


def test_jsonp_literally() -> None:
    """One answer, byte by byte: the comment in front, the call, and the separators escaped."""
    item = Item(ItemKind.DATA, "room", "a\u2028b\u2029c", "3-103", "3-103")
    body = read_response(framing_for("jsonp", Variant(callback="a.b$")).encode([item], "3-103")).body
    assert body == (
        b'/**/a.b$({"seq":"3-103","messages":'
        b'[{"type":"data","id":"room","content":"a\\u2028b\\u2029c","seq":"3-103"}]});\n'
    )


def test_jsonp_is_a_script_and_nothing_else() -> None:
    """Its type is fixed, nothing may guess another, and opened as a page it is a download."""
    headers = read_response(framing_for("jsonp", Variant(callback="f")).encode([], "3-103")).headers
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "attachment; filename=f.txt"
    assert headers["cache-control"] == "no-store"


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
