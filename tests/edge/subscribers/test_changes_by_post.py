"""Channel changes by a request on another connection, and what each transport is told of them."""

import json
from typing import Any

import pytest

from edge.protocol.operations import Op, Operation
from tests.edge.change_requests import held, post, posted, sub, unsub
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.framing.reading import Event, read_chunks, read_sse
from tests.edge.http_client import HttpClient, head
from tests.edge.usual_log import GENESIS
from tests.edge.websocket_client import welcomed_websocket

NOWHERE = f"0-{GENESIS}"


async def lines(client: HttpClient, count: int) -> list[Any]:
    """Return the next objects of a stream."""
    got: list[Any] = []
    while len(got) < count:
        body, _ = read_chunks(await client.until(b"\n\r\n"))
        got += [json.loads(line) for line in body.splitlines() if line]
    return got


async def test_a_streams_channels_change(edge: EdgeWithoutRedis) -> None:
    """The answer lists the channels it has then; their welcomes and messages go down the stream."""
    client, session = await held(edge, "/sub?id=a", "stream")
    assert session.startswith("edge.")
    answer = await post(edge, session, [sub("b", ref="x"), unsub("a"), {"op": "ping"}])
    assert (answer.status, answer.json) == (200, {"type": "ack", "channels": ["b"]})
    done, pong, welcome = await lines(client, 3)  # Redis had to be asked for b
    assert welcome == {
        "type": "welcome",
        "id": "b",
        "content": "hello world!",
        "seq": NOWHERE,
        "ref": "x",
        "session": session,
    }
    assert (done, pong) == ({"type": "unsub", "id": "a"}, {"type": "pong"})
    edge.publish("a", b"no subscriber is there")
    edge.publish("b", b"hi")
    assert (await lines(client, 1))[0]["content"] == "hi"


async def test_a_websockets_channels_change(edge: EdgeWithoutRedis) -> None:
    """The same operations by the other way."""
    one = await welcomed_websocket(edge, "a")
    answer = await post(edge, one.session, sub("b"))
    assert answer.json == {"type": "ack", "channels": ["a", "b"]}
    assert (await one.next_object())["id"] == "b"


async def test_an_event_source_that_changed_names_its_channels(edge: EdgeWithoutRedis) -> None:
    """From the change on its ids name the channels, and its data is the object; with that id it comes back to all."""
    client, session = await held(edge, "/sse?id=a%3D1", "sse")
    edge.publish("a=1", b"raw")
    assert read_sse(read_chunks(await client.until(b"raw\n\n\r\n"))[0].decode())[0].data == "raw"
    assert (await post(edge, session, sub("b&c"))).json["channels"] == ["a=1", "b&c"]
    (welcome,) = read_sse(read_chunks(await client.until(b"\n\n\r\n"))[0].decode())
    assert (welcome.name, welcome.last_id) == ("welcome", f"a%3D1=1-101&b%26c={NOWHERE}")
    edge.publish("a=1", b"hi")
    (event,) = read_sse(read_chunks(await client.until(b"\n\n\r\n"))[0].decode())
    assert json.loads(event.data) == {"type": "data", "id": "a=1", "content": "hi", "seq": "2-102"}
    assert event.last_id == f"a%3D1=2-102&b%26c={NOWHERE}"
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.publish("b&c", b"missed")
    again = await edge.connect()
    await again.send(head("/sse?id=a%3D1", f"Last-Event-ID: {event.last_id}"))
    data = await again.until(b'"content":"missed"')
    assert b"id: a%3D1=2-102&b%26c=1-101\ndata: " in data
    assert {channel.name for channel in next(iter(edge.seats)).channels} == {"a=1", "b&c"}


async def test_a_change_in_the_middle_of_a_broadcast_has_the_right_position(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seat that a job has not reached yet is given what it is owed, and then stands behind it, and no further."""
    for name in "baa":
        await edge.held(f"/sse?id={name}", transport="sse")
    client, session = await held(edge, "/sse?id=a", "sse")
    seat, channels = edge.sessions.find(session), []
    assert seat is not None
    with monkeypatch.context() as patched:
        patched.setattr("edge.engine.fanout.SEATS_PER_STEP", 1)
        patched.setattr("edge.engine.fanout.TURN_BUDGET", -1.0)
        edge.publish("a", b"1")
        edge.publish("a", b"2")
        edge.changes.change(seat, [Operation(Op.SUB, "b")], channels.append)
    assert channels == [["a", "b"]]
    await edge.turns()
    edge.publish("b", b"3")
    events: list[Event] = []
    while len(events) < 4:
        events += read_sse(read_chunks(await client.until(b"\n\n\r\n"))[0].decode())
    assert [event.last_id for event in events] == [
        "1-101",
        f"a=1-101&b={NOWHERE}",
        f"a=2-102&b={NOWHERE}",
        "a=2-102&b=1-101",
    ]
    assert [event.name for event in events] == ["", "welcome", "", ""]


async def test_a_change_waits_for_a_channel_that_is_not_ready(edge: EdgeWithoutRedis) -> None:
    """The answer comes when the channel is there; or after three seconds, without it."""
    _, session = await held(edge, "/sub?id=a", "stream")
    edge.pubsub.acknowledging = False
    poster = await edge.connect()
    await poster.send(posted(session, [sub("b"), sub("c")]))
    await edge.until(lambda: len(edge.pubsub.asked) == 3)
    edge.hub.on_subscribed(*edge.pubsub.asked[1])
    await edge.turns()
    assert poster.received == b""
    edge.pass_time(3.5)
    assert (await poster.answer()).json == {"type": "ack", "channels": ["a", "b"]}


async def test_a_client_that_goes_in_the_middle_of_a_change_is_not_held(edge: EdgeWithoutRedis) -> None:
    """404, as if it had gone before."""
    client, session = await held(edge, "/sub?id=a", "stream")
    edge.pubsub.acknowledging = False
    poster = await edge.connect()
    await poster.send(posted(session, sub("b")))
    await edge.until(lambda: len(edge.pubsub.asked) == 2)
    client.close()
    assert (await poster.answer()).status == 404
