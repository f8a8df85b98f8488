"""Channels that are changed until a cursor cannot name them: their names are stored first, and any edge reads them."""

import re
from typing import Any

import pytest

from common.position import MAX_CURSOR_BYTES
from tests.edge.change_requests import OWN, held, post, posted, sub, unsub
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.framing.reading import Event, read_chunks, read_sse
from tests.edge.http_client import HttpClient, head

LONG = [f"{number:03d}" + "x" * 197 for number in range(128)]
MORE = 60  # channels that one body has room for


async def events(client: HttpClient) -> list[Event]:
    """Return the events of the next write."""
    return read_sse(read_chunks(await client.until(b"\n\n\r\n"))[0].decode())


def ids(data: bytes) -> list[str]:
    """Return the ids that stand in some bytes."""
    return [found.decode() for found in re.findall(rb"(?m)^id: (.*)$", data)]


async def test_an_event_source_with_128_long_names_comes_back_to_all_on_another_edge(edge: EdgeWithoutRedis) -> None:
    """Its ids have at most 4 KB; the edge that gave it the last one is gone."""
    client, session = await held(edge, "/sse?id=room", "sse")
    for start in range(0, 127, MORE):
        answer = await post(edge, session, [sub(name) for name in LONG[start : start + MORE]][: 127 - start])
        assert answer.status == 200
    assert len(answer.json["channels"]) == 128
    edge.publish("room", b"hi")
    cursor = ids(await client.until(b'"content":"hi"'))[-1]
    assert cursor.startswith("~")
    assert len(cursor) < MAX_CURSOR_BYTES
    async with edge_without_redis() as other:
        other.names_in_redis.values = edge.names_in_redis.values
        other.publish(LONG[3], b"missed")
        again = await other.connect()
        await again.send(head("/sse?id=room", f"Last-Event-ID: {cursor}"))
        data = await again.until(b'"content":"missed"')
        assert data.count(b"event: welcome") == 128
        assert len(ids(data)) <= 2, "the welcomes, and what was read from the log"
        assert {channel.name for channel in next(iter(other.seats)).channels} == {"room", *LONG[:127]}


async def test_a_poll_with_long_names_goes_on_with_its_seq(edge: EdgeWithoutRedis) -> None:
    """The answer's `seq` fits into a URL, and stands for all channels."""
    client = await edge.held(f"/poll?id=room&session={OWN}", transport="poll")
    assert (await post(edge, OWN, [sub(name) for name in LONG[:MORE]])).status == 200
    seq = (await client.answer()).json["seq"]
    assert seq.startswith("~")
    edge.publish(LONG[7], b"hi")
    answer = await client.ask(head(f"/poll?id=room&session={OWN}&since={seq}"))
    assert answer.contents == ["hi"]
    assert answer.json["seq"].partition(".")[0] == seq.partition(".")[0]


async def test_a_channel_that_was_left_stays_left(edge: EdgeWithoutRedis) -> None:
    """The stored names have it; the cursor says that it is not meant. Nothing new is stored for that."""
    client, session = await held(edge, "/sse?id=room", "sse")
    await post(edge, session, [sub(name) for name in LONG[:MORE]])
    await client.until(b'"id":"' + LONG[MORE - 1].encode())
    await client.until(b"\n\n\r\n")
    assert len(edge.names_in_redis.commands) == 1
    await post(edge, session, [unsub(name) for name in LONG[: MORE - 20]])
    cursor = ids(await client.until(b"\n\n\r\n"))[-1]
    again = await edge.connect()
    await again.send(head("/sse?id=room", f"Last-Event-ID: {cursor}"))
    await again.until(b"event: welcome\n")
    await edge.until(lambda: len(edge.seats) == 2 and all(seat.channels for seat in edge.seats))
    assert [len(seat.channels) for seat in edge.seats] == [21, 21]
    assert len(edge.names_in_redis.commands) == 1
    await post(edge, session, [unsub(name) for name in LONG[MORE - 20 : MORE]])
    await client.until(b"\n\n\r\n")
    await post(edge, session, unsub("nothing"))
    assert ids(await client.until(b"\n\n\r\n")) == ["room=0-100"]


@pytest.mark.parametrize(
    ("trouble", "status", "told"), [("failing", 503, "does not answer"), ("full", 503, "no memory left")]
)
async def test_names_that_cannot_be_stored_change_nothing(
    edge: EdgeWithoutRedis, trouble: str, status: int, told: str
) -> None:
    """The request is refused as a whole, with a sentence; the client never gets a cursor that nobody can read."""
    client, session = await held(edge, "/sse?id=room", "sse")
    setattr(edge.names_in_redis, trouble, True)
    answer = await post(edge, session, [sub(name) for name in LONG[:MORE]])
    assert (answer.status, told in answer.json["content"]) == (status, True)
    edge.publish("room", b"hi")
    (event,) = await events(client)
    assert (event.data, event.last_id) == ("hi", "1-101")
    setattr(edge.names_in_redis, trouble, False)
    assert (await post(edge, session, [sub(name) for name in LONG[:MORE]])).status == 200


async def test_two_changes_at_a_time_both_count(edge: EdgeWithoutRedis) -> None:
    """Names of one are stored while the other is carried out: the cursor refers to all."""
    client, session = await held(edge, "/sse?id=room", "sse")
    one, other = await edge.connect(), await edge.connect()

    await one.send(posted(session, [sub(name) for name in LONG[:MORE]]))
    await other.send(posted(session, [sub(name) for name in LONG[MORE : 2 * MORE]]))
    await one.answer()
    await other.answer()
    edge.publish("room", b"hi")
    cursor = ids(await client.until(b'"content":"hi"'))[-1]
    again = await edge.connect()
    await again.send(head("/sse?id=room", f"Last-Event-ID: {cursor}"))
    await again.until(b"event: welcome\n")
    await edge.until(lambda: [len(seat.channels) for seat in edge.seats if seat.channels] == [121, 121])


@pytest.mark.parametrize("transport", ["stream", "iframe"])
async def test_who_gets_no_cursor_needs_no_names(edge: EdgeWithoutRedis, transport: str) -> None:
    """Each of its objects has the position of its own channel."""
    _, session = await held(edge, f"/{transport}?id=room", transport)
    edge.names_in_redis.failing = True
    assert (await post(edge, session, [sub(name) for name in LONG[:MORE]])).status == 200


async def test_short_names_stay_readable(edge: EdgeWithoutRedis) -> None:
    """As before; nothing is stored."""
    client, session = await held(edge, "/sse?id=room", "sse")
    await post(edge, session, [sub(f"c{number}") for number in range(60)])
    edge.publish("room", b"hi")
    last: Any = ids(await client.until(b'"content":"hi"'))[-1]
    assert last.startswith("room=1-101&c0=0-100&")
    assert edge.names_in_redis.commands == []


async def test_256_pings_have_no_cursor(edge: EdgeWithoutRedis) -> None:
    """They leave their client where it is."""
    client, session = await held(edge, "/sse?id=a&id=b", "sse")
    await post(edge, session, [{"op": "ping"}] * 256)
    data, _ = read_chunks(await client.until(b"\n\n\r\n"))
    assert data == b'event: pong\ndata: {"type":"pong"}\n\n' * 256


async def test_many_channels_that_are_ready_one_by_one_have_one_id(edge: EdgeWithoutRedis) -> None:
    """On the last welcome; and on the error, if the last one is never ready."""
    client, session = await held(edge, "/sse?id=room", "sse")
    await post(edge, session, [sub(f"c{number}") for number in range(60)])
    data = await client.until(b'"id":"c59"') + await client.until(b"\n\n\r\n")
    assert (data.count(b"event: welcome"), len(ids(data))) == (60, 1)
    edge.pubsub.acknowledging = False
    other = await edge.connect()
    await other.send(posted(session, [sub("late"), sub("later")]))
    await edge.until(lambda: edge.pubsub.asked[-1][0] == b"t:later")
    edge.hub.on_subscribed(*edge.pubsub.asked[-2])
    assert ids(await client.until(b'"id":"late"')) == []
    edge.pass_time(4)
    (cursor,) = ids(await client.until(b"event: error\n"))
    assert "&late=0-100" in cursor
    assert "later" not in cursor
