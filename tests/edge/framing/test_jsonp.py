"""JSONP: the poll's answer as a call of the page's own function."""

import json
import re

from hypothesis import given

from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.framing.data_items import ITEMS, objects
from tests.edge.framing.reading import read_response

CALL = re.compile(rb"/\*\*/f\((.*)\);\n", re.DOTALL)


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
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_a_refusal_is_out_of_reach_of_an_opener_too() -> None:
    """It is JSON, which is no page that could do anything; the headers are the same."""
    headers = read_response(framing_for("jsonp", Variant(callback="f")).refusal(503, "full", 4)).headers
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_jsonp_poll_calls_the_page(edge: EdgeWithoutRedis) -> None:
    """A script tag's request is answered with a call."""
    client = await edge.held("/sub?id=room&callback=f", transport="jsonp")
    edge.publish("room", b"hi")
    answer = await client.answer()
    assert answer.body.startswith(b'/**/f({"seq":"1-101","messages":[{')
