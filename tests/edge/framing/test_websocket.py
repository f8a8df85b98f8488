"""The WebSocket's bytes on real connections: frames, pings, and the close that says to connect again."""

import pytest
from websockets.frames import Frame, Opcode

from edge.framing.http import Variant
from edge.framing.items import Item, ItemKind, json_object
from edge.framing.transports import TRANSPORTS
from edge.framing.websocket import WebSocketFraming
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.websocket_client import frame, open_websocket, welcomed_websocket


async def test_messages_of_one_read_come_in_one_write(edge: EdgeWithoutRedis) -> None:
    """Each has a frame, and all frames come in one piece, those of several channels, too."""
    one = await welcomed_websocket(edge, "a", "b")
    for name in ("a", "b"):
        for payload in (b"1", b"2"):
            frame_bytes = edge.logs.append(name, payload)
            edge.hub.on_message(edge.names.channel(name), b"\x01C1 %d %d %d\n%b" % (*frame_bytes[1:4], payload))
    edge.hub.on_read_end()
    one.client.received += await one.client.more()
    assert one.client.received.count(b'"type":"data"') == 4
    assert [(each["id"], each["content"]) for each in await one.objects(4)] == [
        ("a", "1"),
        ("a", "2"),
        ("b", "1"),
        ("b", "2"),
    ]


async def test_two_websockets_share_their_bytes(edge: EdgeWithoutRedis) -> None:
    """All WebSockets have one framing, whatever their requests were, and are on the fast path."""
    await welcomed_websocket(edge, "room")
    await open_websocket(edge, "/sub?id=room&envelope=1")
    await edge.until(lambda: edge.counters.held("ws") == 2)
    first, second = edge.seats
    assert first.framing is second.framing
    assert first.fast_path
    assert second.fast_path


@pytest.mark.parametrize("size", [125, 126, 900])
async def test_a_message_of_any_size_is_framed(edge: EdgeWithoutRedis, size: int) -> None:
    """The three forms of a length."""
    one = await welcomed_websocket(edge, "room")
    edge.publish("room", b"x" * size)
    assert (await one.next_object())["content"] == "x" * size


@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536])
def test_a_frame_is_that_of_the_library(size: int) -> None:
    """At each end of the three forms of a length."""
    item = Item(ItemKind.DATA, content="x" * (size - len(json_object(Item(ItemKind.DATA, content="")))))
    expected = Frame(Opcode.TEXT, json_object(item)).serialize(mask=False)
    assert len(json_object(item)) == size
    assert WebSocketFraming(Variant(origin="")).encode([item], "") == expected


async def test_a_quiet_websocket_is_pinged(edge: EdgeWithoutRedis) -> None:
    """A heartbeat is an empty ping; the pong that answers it is ignored."""
    one = await welcomed_websocket(edge, "room")
    edge.pass_time(20.5)
    ping = await one.next_frame()
    assert (ping.opcode, ping.data) == (Opcode.PING, b"")
    await one.client.send(frame(Opcode.PONG))
    edge.publish("room", b"hi")
    assert (await one.next_object())["content"] == "hi"


async def test_a_websocket_is_told_to_connect_again_when_the_edge_goes(edge: EdgeWithoutRedis) -> None:
    """1012, behind what was on its way."""
    one = await welcomed_websocket(edge, "room")
    edge.publish("room", b"last")
    edge.lifecycle.evict_all()
    assert (await one.next_object())["content"] == "last"
    assert await one.close_code() == 1012
    assert sum(map(edge.counters.held, TRANSPORTS)) == 0
