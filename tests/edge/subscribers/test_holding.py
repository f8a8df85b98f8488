"""How a subscriber is held, on real connections: with a head and a welcome, or, a poll, with its answer."""

from websockets.frames import Opcode

from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.framing.reading import read_line
from tests.edge.http_client import head
from tests.edge.usual_log import GENESIS
from tests.edge.websocket_client import open_websocket

POLL = "/poll?id=room"


# A subscriber comes.


async def test_a_stream_gets_a_welcome_and_then_messages(edge: EdgeWithoutRedis) -> None:
    """The head, the welcome with the position, and each message as one line."""
    client = await edge.connect()
    await client.send(head("/sub?id=room"))
    assert b"Transfer-Encoding: chunked" in await client.until(b"\r\n\r\n")
    welcome = {"type": "welcome", "id": "room", "content": "hello world!", "seq": f"0-{GENESIS}"}
    assert read_line(await client.until(b"\n\r\n")) == welcome | {"session": edge.sessions.of(next(iter(edge.seats)))}
    edge.publish("room", b"hi")
    assert read_line(await client.until(b"\n\r\n")) == {"type": "data", "id": "room", "content": "hi", "seq": "1-101"}


async def test_an_event_source_gets_events(edge: EdgeWithoutRedis) -> None:
    """The retry, the welcome event, and each message as data with its position."""
    client = await edge.connect()
    await client.send(head("/sub?id=room", "Accept: text/event-stream"))
    assert b"retry: " in await client.until(b"event: welcome\n")
    await client.until(b"\n\n\r\n")
    edge.publish("room", b"a\nb")
    assert await client.until(b"\n\n\r\n") == b"1b\r\nid: 1-101\ndata: a\ndata: b\n\n\r\n"


async def test_several_channels_share_a_connection(edge: EdgeWithoutRedis) -> None:
    """Each is welcomed; an event's id is the list of positions in the order asked."""
    client = await edge.held("/sse?id=b&id=a", transport="sse")
    edge.publish("a", b"hi")
    data = await client.until(b'"hi","seq":"1-101"}\n\n')
    assert f"id: 0-{GENESIS},1-101\n".encode() in data


async def test_no_channel_is_a_websocket_too(edge: EdgeWithoutRedis) -> None:
    """It is welcomed, lives, and gets heartbeats."""
    one = await open_websocket(edge, "/ws")
    assert await one.next_object() == {"type": "welcome", "content": "hello world!"}
    edge.pass_time(20.5)
    assert (await one.next_frame()).opcode is Opcode.PING
    edge.lifecycle.evict_all()
    assert await one.close_code() == 1012


# Polls.


async def test_a_poll_waits_for_the_next_message(edge: EdgeWithoutRedis) -> None:
    """It is answered by a message, with the position to go on from, and its connection takes the next poll."""
    client = await edge.held(POLL, transport="poll")
    edge.publish("room", b"hi")
    answer = await client.answer()
    assert answer.json == {
        "seq": "1-101",
        "messages": [{"type": "data", "id": "room", "content": "hi", "seq": "1-101"}],
    }
    edge.publish("room", b"missed", b"too")
    answer = await client.ask(head(POLL + "&since=1-101"))
    assert (answer.contents, answer.json["seq"]) == (["missed", "too"], "3-103")
    assert edge.counters.replays_total["hit"] == 1


async def test_a_poll_with_timeout_zero_is_answered_at_once(edge: EdgeWithoutRedis) -> None:
    """It only asks where the channel stands."""
    client = await edge.connect()
    answer = await client.ask(head(POLL + "&timeout=0"))
    assert answer.json == {"seq": f"0-{GENESIS}", "messages": []}


async def test_a_poll_without_news_is_answered_when_its_time_is_over(edge: EdgeWithoutRedis) -> None:
    """After its own timeout, or the edge's, it gets an empty batch with the position to go on from."""
    own = await edge.held(POLL + "&timeout=7", transport="poll")
    usual = await edge.held(POLL, transport="poll")
    edge.pass_time(6.75)
    assert edge.counters.held("poll") == 2
    edge.pass_time(0.5)
    assert (await own.answer()).json == {"seq": f"0-{GENESIS}", "messages": []}
    assert edge.counters.held("poll") == 1
    edge.pass_time(18.0)
    assert (await usual.answer()).json == {"seq": f"0-{GENESIS}", "messages": []}
