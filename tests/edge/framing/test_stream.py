"""The stream: one JSON object a line."""

import json

from hypothesis import given
from hypothesis import strategies as st

from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for
from tests.edge.framing.reading import read_chunks, read_response

TEXT = st.text(st.one_of(st.sampled_from("\r\n\0 :\u2028\ufeffdi"), st.characters(exclude_categories=("Cs",))))


@given(st.lists(TEXT.map(lambda content: Item(ItemKind.DATA, "room", content, "3-103", "3-103")), max_size=5))
def test_a_stream_carries_one_object_a_line(items: list[Item]) -> None:
    """Every object comes back from its own line, in order, whatever its content."""
    body, ended = read_chunks(framing_for("stream", Variant()).encode(items, "3-103"))
    lines = body.split(b"\n")
    assert not ended
    assert lines.pop() == b""
    assert [json.loads(line)["content"] for line in lines] == [item.content for item in items]


def test_a_stream_says_goodbye_with_an_object() -> None:
    """The stream's last line is a close object, and then the body ends."""
    body, ended = read_chunks(framing_for("stream", Variant()).farewell("3-103"))
    assert json.loads(body)["type"] == "close"
    assert ended


def test_a_stream_is_refused_with_its_status() -> None:
    """The stream's client can read a status and when to try again."""
    answer = read_response(framing_for("stream", Variant()).refusal(503, "no redis", 4))
    assert answer.status_line == "HTTP/1.1 503 Service Unavailable"
    assert answer.headers["retry-after"] == "4"
    assert json.loads(answer.body) == {"type": "error", "code": 503, "content": "no redis"}
