"""What the held responses have in common: heads, chunks, heartbeats."""

import pytest

from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind
from edge.framing.transports import framing_for
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.framing.reading import read_chunks, read_response, read_sse
from tests.edge.http_client import head

HI = Item(ItemKind.DATA, "room", "hi", "3-103", "3-103")
RAW = Variant(chunked=False)


@pytest.mark.parametrize("transport", ["stream", "sse"])
def test_several_objects_make_one_chunk(transport: str) -> None:
    """What goes out in one write is one chunk."""
    framing, raw = framing_for(transport, Variant()), framing_for(transport, RAW)
    three = raw.encode([HI, HI, HI], "")
    assert framing.encode([HI, HI, HI], "") == b"%x\r\n%b\r\n" % (len(three), three)


@pytest.mark.parametrize(
    ("transport", "content_type"), [("stream", "application/x-ndjson"), ("sse", "text/event-stream; charset=utf-8")]
)
@pytest.mark.parametrize("chunked", [True, False])
def test_the_head_of_a_held_answer(transport: str, content_type: str, chunked: bool) -> None:
    """Proxies must neither buffer nor keep it, and only HTTP/1.1 gets chunks."""
    answer = read_response(framing_for(transport, Variant(chunked=chunked, closing=not chunked)).head(3000))
    assert answer.status_line == "HTTP/1.1 200 OK"
    assert answer.headers["content-type"] == content_type
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers.get("transfer-encoding") == ("chunked" if chunked else None)
    assert answer.headers.get("connection") == (None if chunked else "close")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("transport", ["stream", "sse"])
def test_http_1_0_gets_the_bytes_without_chunks(transport: str) -> None:
    """Every part of an HTTP/1.0 answer is what the chunks of an HTTP/1.1 answer hold."""
    chunked, raw = framing_for(transport, Variant()), framing_for(transport, RAW)
    assert read_chunks(chunked.encode([HI], "")) == (raw.encode([HI], ""), False)
    assert read_chunks(chunked.heartbeat) == (raw.heartbeat, False)
    assert read_chunks(chunked.farewell("3-103")) == (raw.farewell("3-103"), True)
    assert raw.end == b""


@pytest.mark.parametrize(("transport", "beat"), [("stream", b"\n"), ("sse", b":\n")])
def test_a_heartbeat_says_nothing(transport: str, beat: bytes) -> None:
    """A heartbeat is an empty line, or a comment that no EventSource dispatches."""
    framing = framing_for(transport, Variant())
    assert read_chunks(framing.heartbeat) == (beat, False)
    assert read_sse((beat + beat).decode()) == []


@pytest.mark.parametrize("path", ["/sub", "/sse"])
async def test_http_1_0_is_streamed_without_chunks(edge: EdgeWithoutRedis, path: str) -> None:
    """The bytes come as they are, and the end of the connection is the end of the answer."""
    client = await edge.connect()
    await client.send(head(f"{path}?id=room", version="1.0"))
    answer_head = await client.until(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in answer_head
    assert b"Connection: close" in answer_head
    await client.until(b"hello world!")
    edge.publish("room", b"hi")
    await client.until(b"hi")
    edge.lifecycle.evict_all()
    assert b"\r" not in await client.rest()
