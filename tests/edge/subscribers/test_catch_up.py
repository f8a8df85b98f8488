"""Subscribers that are behind: what they are given, in which order, and what happens to them meanwhile."""

import json
import socket

import pytest

from edge.cluster.commands import Commands
from edge.counters import CloseReason
from edge.state import Seat
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import HttpClient, head
from tests.edge.usual_log import GENESIS, at, stored
from tests.edge.websocket_client import WebSocketClient, welcomed_websocket

PIECE = 3  # messages


@pytest.fixture(autouse=True)
def _small_pieces(edge: EdgeWithoutRedis) -> None:
    edge.logs.entries_of_a_piece = PIECE


def keep(edge: EdgeWithoutRedis, name: str, count: int, size: int = 0) -> list[str]:
    """Store some messages that this edge has not seen; return their contents."""
    contents = [f"{name}{number}".ljust(size, ".") for number in range(1, count + 1)]
    for content in contents:
        edge.logs.append(name, content.encode())
    return contents


async def objects(client: HttpClient, until: bytes) -> list[dict[str, str]]:
    """Read the objects of a stream up to one that has this in it."""
    text = await client.until(until)
    text += await client.until(b"\n")
    return [json.loads(line) for line in text.split(b"\n") if line.startswith(b"{")]


async def stream(edge: EdgeWithoutRedis, query: str) -> HttpClient:
    """Subscribe."""
    client = await edge.connect()
    await client.send(head(f"/stream?{query}"))
    return client


def only_seat(edge: EdgeWithoutRedis) -> Seat:
    """Return the one seat there is."""
    (seat,) = edge.seats
    return seat


def hold_back(edge: EdgeWithoutRedis, seat: Seat) -> None:
    """Let the kernel take nothing more for a seat."""
    seat_socket = socket.socket(fileno=seat.fd)
    seat_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    seat_socket.detach()
    while seat.send_buffer is None:
        edge.seats.write(seat, b"\n" * 65536)


# Held subscribers.


@pytest.mark.parametrize("transport", ["stream", "sse", "iframe", "ws"])
async def test_a_long_history_comes_in_pieces(edge: EdgeWithoutRedis, transport: str) -> None:
    """The welcome comes first, then each message once, then live ones; every transport has the same."""
    contents = keep(edge, "room", 20)
    if transport == "ws":
        socket = await welcomed_websocket(edge)
        await socket.send({"op": "sub", "id": "room", "since": "0"})
        got = [(await socket.next_object())["content"] for _ in range(21)]
        edge.publish("room", b"live")
        assert [*got, (await socket.next_object())["content"]] == ["hello world!", *contents, "live"]
    else:
        client = await edge.connect()
        await client.send(head(f"/{transport}?id=room&since=0&callback=f"))
        text = (await client.until(b"room20")).decode()
        await edge.turns()
        edge.publish("room", b"live")
        text += (await client.until(b"live")).decode()
        places = [text.index(content) for content in ["hello world!", *contents, "live"]]
        assert places == sorted(places)
        assert [text.count(f"room{number}") for number in (7, 20)] == [1, 1]
    assert edge.logs.reads >= 20 // PIECE
    assert edge.counters.replays_total["read"] == 1


async def test_several_channels_are_welcomed_before_what_was_missed(edge: EdgeWithoutRedis) -> None:
    """First all welcomes, in the order asked, with the position from which each goes on."""
    keep(edge, "a", 10)
    keep(edge, "b", 7)
    edge.publish("c", b"c1")
    client = await stream(edge, f"id=a&id=b&id=c&since={at(4)},{at(2)},")
    items = await objects(client, b'"a10"')
    if not any(item["content"] == "b7" for item in items):
        items += await objects(client, b'"b7"')
    assert [(item["id"], item["seq"]) for item in items[:3]] == [
        ("a", str(at(4))),
        ("b", str(at(2))),
        ("c", str(at(1))),
    ]
    for name, first, last in (("a", 5, 10), ("b", 3, 7)):
        assert [item["content"] for item in items[3:] if item["id"] == name] == [
            f"{name}{number}" for number in range(first, last + 1)
        ]
    edge.publish("a", b"live a")
    edge.publish("c", b"live c")
    assert [item["content"] for item in await objects(client, b'"live c"')] == ["live a", "live c"]


async def test_a_welcome_from_the_start_tells_where_that_is(edge: EdgeWithoutRedis) -> None:
    """The position before the oldest message that is kept."""
    edge.logs.messages["room"] = [stored(offset, b"%d" % offset) for offset in range(4, 12)]
    client = await stream(edge, "id=room&since=0")
    edge.logs.messages["room"] = [stored(offset, b"%d" % offset) for offset in range(4, 12)]
    (welcome, *_) = await objects(client, b'"hello world!"')
    assert welcome["seq"] == str(at(3))


async def test_live_messages_wait_until_a_subscriber_has_caught_up(edge: EdgeWithoutRedis) -> None:
    """They come to it by its pieces; those that are in no log come at once. Others notice nothing."""
    keep(edge, "room", 9)
    other = await edge.held("/stream?id=room")
    client = await stream(edge, "id=room&since=0")
    await client.until(b'"room1"')
    seat = next(reversed(edge.replays.by_seat), None)
    assert seat is not None
    edge.publish("room", b"live")
    assert b'"live"' in await other.until(b"}\n")
    items = await objects(client, b'"live"')
    assert [item["content"] for item in items][-3:] == ["room8", "room9", "live"]
    assert not edge.replays.by_seat


async def test_a_subscriber_that_is_behind_counts_as_one(edge: EdgeWithoutRedis) -> None:
    """The channel is kept for it as for any other; when it goes, the channel lingers."""
    keep(edge, "room", 300)
    client = await stream(edge, "id=room&since=0")
    await client.until(b'"hello world!"')
    channel = edge.hub.channels["room"]
    hold_back(edge, only_seat(edge))
    await edge.turns()
    assert (channel.is_occupied, channel.subscribers(edge.clock.now), len(channel.seats)) == (True, 1, 0)
    edge.pass_time(100)
    assert "room" in edge.hub.channels
    edge.seats.abort(only_seat(edge), CloseReason.CLIENT)
    assert not channel.is_occupied
    assert not edge.replays.by_seat
    edge.pass_time(31)
    assert "room" not in edge.hub.channels


async def test_who_stops_reading_is_read_for_no_more(edge: EdgeWithoutRedis) -> None:
    """What is parked for it is a piece at most; when it reads again, it goes on where it was."""
    contents = keep(edge, "room", 300, size=20_000)  # more than the kernel takes
    client = await stream(edge, "id=room&since=0")
    await client.until(b'"room4.')
    await edge.turns(300)
    reads, parked = edge.logs.reads, only_seat(edge).send_buffer
    assert parked is not None
    assert parked.size < 65536 + 4096
    await edge.turns(100)
    assert edge.logs.reads == reads < 100
    items = await objects(client, b'"room300.')
    assert [item["content"] for item in items] == contents[4:]


async def test_a_log_that_is_trimmed_meanwhile_is_told_as_a_reset(edge: EdgeWithoutRedis) -> None:
    """Then the subscriber goes on from where the channel stands, and misses nothing that comes."""
    keep(edge, "room", 300)
    client = await stream(edge, "id=room&since=0")
    await client.until(b'"room4"')
    hold_back(edge, only_seat(edge))
    await edge.turns(50)
    del edge.logs.messages["room"][:290]
    items = await objects(client, b'"reset"')
    assert items[-1] == {"type": "reset", "id": "room", "seq": str(at(300))}
    assert not edge.replays.by_seat


async def test_a_channel_may_be_given_up_while_it_is_read(edge: EdgeWithoutRedis) -> None:
    """Nothing more of it comes after the acknowledgement; the other channel goes on."""
    keep(edge, "a", 40)
    keep(edge, "b", 5)
    one = await welcomed_websocket(edge)
    await one.send([{"op": "sub", "id": name, "since": "0"} for name in "ab"])
    while (await one.next_object()).get("content") != "a2":
        pass
    await one.send({"op": "sub", "id": "a", "ref": 7}, {"op": "unsub", "id": "a", "ref": 8})
    seen = await until_type(one, "unsub")
    again = [item for item in seen if item.get("ref") == 7]
    assert [item["type"] for item in again] == ["welcome"]
    before = [item["content"] for item in seen if item.get("id") == "a" and item["type"] == "data"]
    assert before == [f"a{number}" for number in range(3, 3 + len(before))]
    await one.send({"op": "ping"})
    assert not [item for item in await until_type(one, "pong") if item.get("id") == "a"]
    edge.publish("b", b"live")
    edge.publish("a", b"too late")
    await one.send({"op": "ping"})
    rest = await until_type(one, "pong")
    assert not [item for item in rest if item.get("id") == "a"]


async def until_type(client: WebSocketClient, kind: str) -> list[dict[str, object]]:
    """Read objects up to one of this type."""
    seen = [await client.next_object()]
    while seen[-1]["type"] != kind:
        seen.append(await client.next_object())
    return seen


async def test_a_channel_that_is_read_may_be_asked_for_again(edge: EdgeWithoutRedis) -> None:
    """The second welcome says where the subscriber stands, and what follows leads on from there."""
    keep(edge, "a", 40)
    one = await welcomed_websocket(edge)
    await one.send({"op": "sub", "id": "a", "since": "0"})
    while (await one.next_object()).get("content") != "a2":
        pass
    await one.send({"op": "sub", "id": "a", "ref": 7})
    items = [await one.next_object() for _ in range(39)]
    (index,) = [number for number, item in enumerate(items) if item["type"] == "welcome"]
    stands = GENESIS and int(str(items[index]["seq"]).split("-")[0])
    assert [item["content"] for item in items[:index]] == [f"a{number}" for number in range(3, stands + 1)]
    assert [item["content"] for item in items[index + 1 :]] == [f"a{number}" for number in range(stands + 1, 41)]


async def test_the_cursor_of_several_channels_is_right_in_the_middle(edge: EdgeWithoutRedis) -> None:
    """The last event of each write has the positions on all channels as they are after it."""
    keep(edge, "a", 8)
    keep(edge, "b", 8)
    client = await edge.connect()
    await client.send(head("/sse?id=a&id=b&since=0"))
    text = (await client.until(b'"a8"')).decode()
    if '"b8"' not in text:
        text += (await client.until(b'"b8"')).decode()
    text += (await client.until(b"}")).decode()
    stands = {"a": 0, "b": 0}
    events = [event for event in text.replace("\r\n", "\n").split("\n\n") if '"data"' in event]
    for event in events:
        item = json.loads(next(line[6:] for line in event.split("\n") if line.startswith("data: ")))
        stands[item["id"]] = int(item["seq"].split("-")[0])
        cursors = [line[4:] for line in event.split("\n") if line.startswith("id: ")]
        assert cursors in ([], [f"{at(stands['a'])},{at(stands['b'])}"])
    assert cursors
    assert stands == {"a": 8, "b": 8}


async def test_each_event_of_one_channel_has_its_own_id(edge: EdgeWithoutRedis) -> None:
    """Those of a write as well: what the ring holds comes together with the end of the catching up."""
    keep(edge, "room", 8)
    client = await edge.connect()
    await client.send(head("/sse?id=room&since=0"))
    text = (await client.until(b"hello world!")).decode()
    for number in (9, 10, 11):
        edge.publish("room", b"room%d" % number)
    text += (await client.until(b"room11\n")).decode()
    events = [event for event in text.replace("\r\n", "\n").split("\n\n") if "data: room" in event]
    ids = [line[4:] for event in events for line in event.split("\n") if line.startswith("id: ")]
    assert ids == [str(at(offset)) for offset in range(1, 12)]


async def test_one_channel_of_events_ends_with_shared_bytes(edge: EdgeWithoutRedis) -> None:
    """A subscriber that has caught up is as any other: on the fast path, without a position of its own."""
    keep(edge, "room", 8)
    client = await edge.connect()
    await client.send(head("/sse?id=room&since=0"))
    await client.until(b"room8")
    await edge.until(lambda: only_seat(edge).fast_path)
    assert only_seat(edge).positions is None


async def test_a_connection_of_redis_that_ends_meanwhile_changes_nothing(edge: EdgeWithoutRedis) -> None:
    """The subscriber waits with all others, and goes on where it was."""
    contents = keep(edge, "room", 300)
    client = await stream(edge, "id=room&since=0")
    items = await objects(client, b'"room4"')
    edge.pubsub.acknowledging = False
    edge.hub.on_down()
    await edge.turns(50)
    assert edge.replays.by_seat
    edge.pubsub.acknowledging = True
    edge.hub.on_up()
    await edge.until(lambda: not edge.replays.by_seat)
    edge.publish("room", b"live")
    items += await objects(client, b'"live"')
    assert [item["content"] for item in items] == ["hello world!", *contents, "live"]


async def test_closing_a_channel_closes_those_that_are_behind(edge: EdgeWithoutRedis) -> None:
    """They are subscribers like all others."""
    keep(edge, "room", 12)
    client = await stream(edge, "id=room&since=0")
    await client.until(b'"hello world!"')
    hold_back(edge, only_seat(edge))
    commands = Commands(edge.hub, edge.fanout, edge.lifecycle, edge.clock)
    assert await commands.on_close({"id": "room"}) == {"closed": 1}
    assert b'"close"' in await client.rest()


async def test_a_message_that_is_in_no_log_comes_at_once(edge: EdgeWithoutRedis) -> None:
    """It could not be read later: a live message, or what a publisher tells all channels."""
    contents = keep(edge, "room", 300)
    client = await stream(edge, "id=room&since=0")
    items = await objects(client, b'"room4"')
    assert edge.replays.by_seat
    commands = Commands(edge.hub, edge.fanout, edge.lifecycle, edge.clock)
    assert await commands.on_broadcast({"content": "to all"}) == {"subscribers": 1}
    items += await objects(client, b'"to all"')
    assert edge.replays.by_seat
    items += await objects(client, b'"room300"')
    assert [item["content"] for item in items if item["content"] != "to all"] == ["hello world!", *contents]


# Polls.


async def test_a_poll_has_all_in_one_answer(edge: EdgeWithoutRedis) -> None:
    """However many pieces that takes, of however many channels."""
    contents = keep(edge, "a", 10) + keep(edge, "b", 10)
    client = await edge.connect()
    answer = await client.ask(head("/poll?id=a&id=b&since=0"))
    assert (answer.contents, answer.json["seq"]) == (contents, f"{at(10)},{at(10)}")
    again = await client.ask(head(f"/poll?id=a&id=b&since={answer.json['seq']}&timeout=0"))
    assert again.contents == []


@pytest.mark.parametrize("query", ["id=a", "id=a&id=b", "id=b&id=a"])
async def test_an_answer_that_is_full_tells_where_it_ends(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """The next poll goes on from there at once, until all is told; nothing comes twice."""
    monkeypatch.setattr("edge.framing.base.MAX_ANSWER_BYTES", 500)
    contents = {"a": keep(edge, "a", 20, size=50), "b": keep(edge, "b", 20, size=50)}
    client, since, got = await edge.connect(), "0", []
    polls = 0
    while polls < 50:
        polls += 1
        answer = await client.ask(head(f"/poll?{query}&since={since}&timeout=0"))
        if not answer.json["messages"]:
            break
        assert len(answer.body) < 1000
        since = answer.json["seq"]
        got += [(message.get("id", "a"), message["content"]) for message in answer.json["messages"]]
    for name in ("a", "b") if "id=b" in query else ("a",):
        assert [content for channel, content in got if channel == name] == contents[name]
    assert polls > 4


async def test_a_poll_whose_log_is_trimmed_meanwhile_gets_a_reset(edge: EdgeWithoutRedis) -> None:
    """It has what was read before, and then the reset."""
    keep(edge, "room", 10)
    await edge.held("/stream?id=room")
    whole = edge.logs.piece

    async def trimmed(wanted: object) -> object:
        result = await whole(wanted)  # type: ignore[arg-type]
        del edge.logs.messages["room"][:6]
        return result

    edge.replays.pieces._reader._sync = trimmed  # type: ignore[attr-defined]
    client = await edge.connect()
    answer = await client.ask(head("/poll?id=room&since=0"))
    kinds = [message["type"] for message in answer.json["messages"]]
    assert kinds == ["data"] * PIECE + ["reset"]
    assert answer.json["seq"] == str(at(10))


async def test_many_polls_from_one_position_are_one_read(edge: EdgeWithoutRedis) -> None:
    """They ask at once, and all get all of it."""
    contents = keep(edge, "room", 8)
    await edge.held("/stream?id=room")
    clients = [await edge.connect() for _ in range(40)]
    before = edge.logs.reads
    for client in clients:
        await client.send(head("/poll?id=room&since=0"))
    answers = [await client.answer() for client in clients]
    assert {tuple(answer.contents) for answer in answers} == {tuple(contents)}
    assert edge.logs.reads - before <= 2 * (2 + 8 // PIECE)


async def test_a_poll_that_ends_while_it_is_read_leaves_nothing(edge: EdgeWithoutRedis) -> None:
    """Its pieces are given back."""
    keep(edge, "room", 10)
    await edge.held("/stream?id=room")
    client = await edge.connect()
    await client.send(head("/poll?id=room&since=0"))
    await edge.until(lambda: edge.replays.by_seat)
    client.reset()
    await edge.until(lambda: not edge.replays.by_seat)
    await edge.turns(50)
    assert edge.replays.pieces._bytes == 0
    assert len(edge.hub.channels["room"].behind) == 0
