"""Server-Sent Events for clients that do not read them as a browser does."""

import re

import pytest

from common.message import Message
from edge.framing.http import Variant
from edge.framing.items import FOREIGN_ID, Item, data_item, reset_item, welcome_item
from edge.framing.transports import framing_for
from tests.edge.framing.reading import Event, read_chunks, read_response, read_retry, read_sse

SSE = framing_for("sse", Variant())
HELLO = welcome_item("room", "3-103", "3-103", session="s")
HI = data_item("room", Message(b"h\xc3\xa9", 4, 104, 103))


def body() -> bytes:
    """Return what a client gets: the welcome, a heartbeat, a message, two heartbeats, and the end."""
    parts = [SSE.encode([HELLO], ""), SSE.heartbeat, SSE.encode([HI], ""), SSE.heartbeat, SSE.heartbeat, SSE.retry(900)]
    head = read_response(SSE.head(3210)).body
    return read_chunks(head + b"".join(parts) + SSE.farewell(""))[0]


def test_each_block_is_an_event_with_data() -> None:
    """A client that makes an event of each block (httpx-sse), whatever it holds, gets no other than a browser."""
    blocks = body().decode().split("\n\n")
    assert [bool(re.search("^data: ", block, re.MULTILINE)) for block in blocks] == [True, True, False]
    assert blocks[-1] == ":\n:\nretry: 900\n"  # not a block: no empty line ends it
    assert [event.name for event in read_sse(body().decode())] == ["welcome", ""]


def test_the_pause_is_a_line_of_the_welcomes_block() -> None:
    """`retry:` comes first, and an event source has it before anything can go wrong."""
    assert body().startswith(b"retry: 3210\nid: 3-103\nevent: welcome\ndata: {")
    assert read_retry(body().decode()) == [3210, 900]


def test_a_refusal_is_no_event_to_anybody() -> None:
    """The sentence is a comment, and no empty line makes a block of it."""
    answer = read_response(SSE.refusal(503, "no redis", 4)).body
    assert read_chunks(answer) == (b"retry: 4000\n: no redis\n", True)


def test_the_head_says_utf_8() -> None:
    """A client that goes by the header (requests) does not read the bytes as ISO-8859-1."""
    assert read_response(SSE.head(1)).headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("sentence", [None, FOREIGN_ID])
def test_a_reset_may_say_why(sentence: str | None) -> None:
    """Its content names the header that was no position; without that it has none."""
    item: Item = reset_item("room", "3-103", sentence)
    content = f'"content":"{sentence}",' if sentence else ""
    data = f'{{"type":"reset","id":"room",{content}"seq":"3-103"}}'
    assert read_sse(read_chunks(SSE.encode([item], ""))[0].decode()) == [Event(data, "reset", "3-103")]
