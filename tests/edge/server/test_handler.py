"""The front desk on real connections: requests, answers, and deadlines; Redis is fake and time is moved by hand."""

import asyncio
import random
from itertools import pairwise
from unittest.mock import Mock

import pytest

from edge.engine.outbox import Limits
from edge.engine.wheel import THINGS_PER_TURN
from edge.framing.http import Variant
from edge.framing.transports import TRANSPORTS, framing_for
from edge.protocol.http import Request, parse_request
from edge.server import handler as handler_module
from tests.edge.edge_without_redis import GENESIS, SmallEdge, head, small_edge
from tests.edge.framing.reading import read_line
from tests.edge.websocket_client import HANDSHAKE

POLL = "/poll?id=room"


# Requests that are answered at once.


async def test_a_connection_is_good_for_more_after_errors(edge: SmallEdge) -> None:
    """A request that was read well and asks for something wrong leaves the connection to the next one."""
    client = await edge.connect()
    statuses = [
        (await client.ask(head("/nowhere"))).status,
        (await client.ask(head("/sub"))).status,
        (await client.ask(head("/sub?id=room&transport=smoke"))).status,
        (await client.ask(head("/sub?id=room", method="POST"))).status,
        (await client.ask(head("/sub", method="OPTIONS"))).status,
        (await client.ask(head(POLL + "&timeout=0"))).status,
        (await client.ask(head(POLL + "&timeout=0"))).status,
    ]
    assert statuses == [404, 400, 400, 405, 204, 200, 200]
    assert edge.counters.refused_total == {503: 0, 404: 1, 400: 2, 405: 1}


async def test_a_wrong_method_is_told_the_right_one(edge: SmallEdge) -> None:
    """405 names what is allowed."""
    client = await edge.connect()
    answer = await client.ask(head("/sub?id=room", method="DELETE"))
    assert (answer.status, answer.headers["allow"], answer.json["code"]) == (405, "get, options", 405)


async def test_an_error_to_head_has_no_body(edge: SmallEdge) -> None:
    """HEAD is answered with a head alone, and the next answer begins right behind it."""
    client = await edge.connect()
    await client.send(head("/sub?id=room", method="HEAD") + head("/nowhere"))
    assert (await client.answer(body=False)).status == 405
    assert (await client.answer()).status == 404


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head("/nowhere", version="1.0"), 404),
        (head("/nowhere", "Connection: close"), 404),
        (head(POLL + "&timeout=0", version="1.0"), 200),
        (head(POLL + "&timeout=0", "Connection: close"), 200),
        (b"GET /sub?id=1 HTTP/1.1\r\n\r\n", 400),
        (b"GET /sub?id=1 HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 17_000, 431),
        (b"POST /sub HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
    ],
)
async def test_a_last_answer_says_so_and_ends_the_connection(
    edge: SmallEdge, request_bytes: bytes, status: int
) -> None:
    """Who asked for it, who speaks HTTP/1.0 and who cannot be understood gets one answer, and the end."""
    client = await edge.connect()
    answer = await client.ask(request_bytes)
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert await client.rest() == b""


async def test_a_request_may_come_in_pieces(edge: SmallEdge) -> None:
    """It is served when its last byte is there, and empty lines before it do no harm."""
    client = await edge.connect()
    for byte in b"\r\n\r\n" + head(POLL + "&timeout=0"):
        await client.send(bytes([byte]))
        await edge.turns(3)
    assert (await client.answer()).status == 200


SPOKEN = [
    head(POLL + "&timeout=0", "Accept: */*", "Accept: text/html"),
    head("/nowhere", "Connection: keep-alive", "Connection: foo"),
    head(POLL + "&timeout=0", "Origin: https://a.example", "Origin: https://a.example"),
    head("/poll?id=a&timeout=0", "Last-Event-ID: 0-100", "Connection: foo", "Connection: close"),
]


@pytest.mark.parametrize("seed", range(8))
async def test_requests_may_be_cut_anywhere(edge: SmallEdge, seed: int) -> None:
    """Several requests, with headers on several lines, give the same answers however the network cuts them."""
    chance, client = random.Random(seed), await edge.connect()
    data = b"".join(SPOKEN)
    cuts = sorted(chance.sample(range(1, len(data)), 12))
    for start, end in pairwise([0, *cuts, len(data)]):
        await client.send(data[start:end])
        await edge.turns(chance.randint(1, 3))
    assert [(await client.answer()).status for _ in SPOKEN] == [200, 404, 200, 200]
    assert await client.rest() == b""


async def test_a_preflight_is_answered(edge: SmallEdge) -> None:
    """A browser that asks first learns what it may send."""
    client = await edge.connect()
    answer = await client.ask(head("/sub?id=room", "Origin: https://a.example", method="OPTIONS"))
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "get, post, options"
    assert "last-event-id" in answer.headers["access-control-allow-headers"]


# Subscribers.


async def test_a_stream_gets_a_welcome_and_then_messages(edge: SmallEdge) -> None:
    """The head, the welcome with the position, and each message as one line."""
    client = await edge.connect()
    await client.send(head("/sub?id=room"))
    assert b"Transfer-Encoding: chunked" in await client.until(b"\r\n\r\n")
    welcome = {"type": "welcome", "id": "room", "content": "hello world!", "seq": f"0-{GENESIS}"}
    assert read_line(await client.until(b"\n\r\n")) == welcome | {"session": edge.sessions.of(next(iter(edge.seats)))}
    edge.publish("room", b"hi")
    assert read_line(await client.until(b"\n\r\n")) == {"type": "data", "id": "room", "content": "hi", "seq": "1-101"}


async def test_an_event_source_gets_events(edge: SmallEdge) -> None:
    """The retry, the welcome event, and each message as data with its position."""
    client = await edge.connect()
    await client.send(head("/sub?id=room", "Accept: text/event-stream"))
    assert b"retry: " in await client.until(b"event: welcome\n")
    await client.until(b"\n\n\r\n")
    edge.publish("room", b"a\nb")
    assert await client.until(b"\n\n\r\n") == b"1b\r\nid: 1-101\ndata: a\ndata: b\n\n\r\n"


async def test_the_welcome_waits_for_redis(edge: SmallEdge) -> None:
    """Nothing is sent before the subscription is acknowledged; what is published after that is not missed."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head("/sub?id=room"))
    await edge.until(lambda: edge.pubsub.asked)
    await edge.turns()
    assert edge.counters.opened_total["stream"] == 0
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    await client.until(b"hello world!")
    edge.publish("room", b"hi")
    await client.until(b'"hi"')


async def test_an_acknowledgement_of_another_attempt_welcomes_nobody(edge: SmallEdge) -> None:
    """I8: only the attempt that counts opens the channel."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head("/sub?id=room"))
    await edge.until(lambda: edge.pubsub.asked)
    name, attempt = edge.pubsub.asked[0]
    edge.hub.on_subscribed(name, attempt + 1)
    await edge.turns()
    assert edge.counters.opened_total["stream"] == 0


async def test_subscribers_of_a_channel_share_one_subscription(edge: SmallEdge) -> None:
    """The second one is welcomed at once, and both get every message."""
    first, second = await edge.held("/sub?id=room"), await edge.held("/sub?id=room")
    edge.publish("room", b"hi")
    assert await first.until(b"\n\r\n") == await second.until(b"\n\r\n")
    assert [name for name, _ in edge.pubsub.asked] == [b"t:room"]


async def test_a_channel_is_given_up_after_its_linger(edge: SmallEdge) -> None:
    """The subscription stays for 30 seconds after the last one left, and then goes."""
    client = await edge.held("/sub?id=room")
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.pass_time(29.5)
    assert edge.pubsub.given_up == []
    edge.pass_time(1.0)
    assert edge.pubsub.given_up == [b"t:room"]


async def test_a_channel_is_not_given_up_while_somebody_is_being_brought_up_to_date(edge: SmallEdge) -> None:
    """Who comes at the end of a linger and needs the log is not let into a channel that is gone by then."""
    edge.log.append("room", b"old")
    client = await edge.held("/sub?id=room")
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    edge.pass_time(29)
    edge.log.failing = True
    client, reads = await edge.connect(), edge.log.reads
    await client.send(head("/sub?id=room&since=0"))
    await edge.until(lambda: edge.log.reads > reads)
    edge.pass_time(2)
    assert edge.pubsub.given_up == []
    edge.log.failing = False
    await client.until(b'"old"')
    edge.publish("room", b"new")
    await client.until(b'"new"')


async def test_several_channels_share_a_connection(edge: SmallEdge) -> None:
    """Each is welcomed; an event's id is the list of positions in the order asked."""
    client = await edge.held("/sse?id=b&id=a", transport="sse")
    edge.publish("a", b"hi")
    data = await client.until(b'"hi","seq":"1-101"}\n\n')
    assert f"id: 0-{GENESIS},1-101\n".encode() in data


async def test_a_poll_waits_for_the_next_message(edge: SmallEdge) -> None:
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


async def test_a_poll_with_timeout_zero_is_answered_at_once(edge: SmallEdge) -> None:
    """It only asks where the channel stands."""
    client = await edge.connect()
    answer = await client.ask(head(POLL + "&timeout=0"))
    assert answer.json == {"seq": f"0-{GENESIS}", "messages": []}


async def test_a_poll_without_news_is_answered_when_its_time_is_over(edge: SmallEdge) -> None:
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


async def test_a_poller_between_two_polls_is_connected(edge: SmallEdge) -> None:
    """Whoever was answered counts until the linger is over, and only once when it comes back."""
    client = await edge.held(POLL, transport="poll")
    edge.publish("room", b"hi")
    answer = await client.answer()
    room = edge.hub.channels["room"]
    assert room.subscribers(edge.clock()) == 1
    await client.send(head(f"{POLL}&since={answer.json['seq']}"))
    await edge.until(lambda: edge.counters.held("poll"))
    assert room.subscribers(edge.clock()) == 1


async def test_pipelined_polls_are_answered_in_order(edge: SmallEdge) -> None:
    """Requests sent ahead wait their turn, however they are packed."""
    client = await edge.connect()
    ahead = head("/poll?id=a") + head("/nowhere") + head("/poll?id=b") + head(POLL + "&timeout=0")
    await client.send(ahead[:-10])
    await edge.until(lambda: edge.counters.held("poll"))
    await edge.turns()
    await client.send(ahead[-10:])
    edge.publish("a", b"for a")
    assert (await client.answer()).contents == ["for a"]
    assert (await client.answer()).status == 404
    await edge.until(lambda: edge.counters.held("poll"))
    edge.publish("b", b"for b")
    assert (await client.answer()).contents == ["for b"]
    assert (await client.answer()).contents == []


@pytest.mark.parametrize("second", ["/poll?id=b", "/stream?id=b"])
async def test_a_request_that_is_completed_while_the_poll_is_answered(edge: SmallEdge, second: str) -> None:
    """Its rest may be read in the very turn of the answer: it is served once, and the connection goes on."""
    client = await edge.held("/poll?id=a", transport="poll")
    ahead = head(second)
    await client.send(ahead[:-5])
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    await client.send(ahead[-5:])
    edge.publish("a", b"for a")
    edge.listener.on_ready()
    assert (await client.answer()).contents == ["for a"]
    await edge.until(lambda: "b" in edge.hub.channels and edge.hub.channels["b"].seats)
    await edge.turns()
    edge.publish("b", b"for b")
    assert b'"for b"' in await client.until(b'for b"')
    if second.startswith("/poll"):
        await client.until(b"}\n")
        assert (await client.ask(head("/nowhere"))).status == 404


async def test_a_flood_behind_a_poll_is_not_read(edge: SmallEdge) -> None:
    """I10: what a client sends ahead stays with the kernel once one piece of it was read."""
    client = await edge.held(POLL, transport="poll")
    await client.send(b"x" * 100_000)
    await edge.turns(100)
    (seat,) = edge.seats
    assert 0 < len(seat.recv_buffer) <= 8192


async def test_an_unproven_position_is_told_as_a_reset(edge: SmallEdge) -> None:
    """A poller from a lost log gets a reset as an object of its batch, with the position to go on from."""
    client = await edge.connect()
    answer = await client.ask(head(POLL + "&since=7-777"))
    assert answer.json == {
        "seq": f"0-{GENESIS}",
        "messages": [{"type": "reset", "id": "room", "seq": f"0-{GENESIS}"}],
    }


async def test_a_client_from_a_quicker_edge_is_not_reset(edge: SmallEdge) -> None:
    """I7: a position that this edge has not reached yet is good; the edge catches up, and nobody misses anything."""
    stream = await edge.held("/sub?id=room")
    for number in range(1, 9):
        edge.log.append("room", b"%d" % number)  # stored, but not yet on this edge's connection
    client = await edge.connect()
    answer = await client.ask(head(POLL + "&since=7-107"))
    assert (answer.contents, answer.json["seq"]) == (["8"], "8-108")
    assert b'"content":"8"' in await stream.until(b'"seq":"8-108"}\n')


async def test_all_that_is_kept_can_be_asked_for(edge: SmallEdge) -> None:
    """`since=0` on a channel nobody here listened to brings the log."""
    for payload in (b"a", b"b"):
        edge.log.append("room", payload)
    client = await edge.connect()
    answer = await client.ask(head(POLL + "&since=0"))
    assert (answer.contents, answer.json["seq"]) == (["a", "b"], "2-102")


async def test_a_wiped_log_keeps_nobody_waiting(edge: SmallEdge) -> None:
    """When the log was lost under a quiet channel, who asks for all that is kept gets an answer, not endless reads."""
    edge.log.append("room", b"a")
    await edge.held("/sub?id=room")
    edge.log.messages.clear()
    client = await edge.connect()
    before = edge.log.reads
    await client.send(head(POLL + "&since=0&timeout=0"))
    await edge.until(lambda: edge.log.reads > before)
    await edge.turns(200)
    assert edge.log.reads - before < 20
    assert edge.counters.opened_total["poll"] == 1


async def test_requests_sent_ahead_are_served_one_a_turn(edge: SmallEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends thousands at once waits for them, and nobody waits for it; not all of them are even read."""
    served: list[int] = []
    count = 0
    parse = handler_module.parse_request

    def counted(data: bytes) -> Request:
        nonlocal count
        count += 1
        return parse(data)

    monkeypatch.setattr(handler_module, "parse_request", counted)
    client, request = await edge.connect(), head("/poll?id=room&timeout=0")
    (seat,) = edge.seats
    sending = asyncio.create_task(client.send(request * 3000))
    while count < 50:
        before = count
        await asyncio.sleep(0)
        served.append(count - before)
        assert len(seat.recv_buffer) < 16_384
    assert max(served) == 1
    for _ in range(3000):
        assert (await client.answer()).status == 200
    await sending


@pytest.mark.parametrize("transport", ["stream", "sse"])
async def test_a_second_request_ends_a_stream(edge: SmallEdge, transport: str) -> None:
    """A stream never ends by itself, so nothing can follow: it says why, and ends properly."""
    client = await edge.held(f"/{transport}?id=room", transport=transport)
    await client.send(head(POLL))
    rest = await client.rest()
    assert read_line(rest)["code"] == 400
    assert read_line(rest)["type"] == "error"
    assert rest.endswith(b"\r\n0\r\n\r\n")
    assert edge.hub.channels["room"].seats == ()


async def test_a_second_request_in_the_same_packet_ends_a_stream_too(edge: SmallEdge) -> None:
    """It does not matter how the network packs the bytes."""
    client = await edge.connect()
    await client.send(head("/sub?id=room") + head(POLL))
    await edge.until(lambda: edge.counters.opened_total["stream"])
    await edge.until(lambda: edge.counters.closed_total["stream", "error"])
    assert b'"code":400' in await client.rest()


async def test_a_second_request_before_the_welcome_is_refused(edge: SmallEdge) -> None:
    """Who does not wait for a stream's first byte does not get the stream."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head("/sub?id=room"))
    await edge.until(lambda: edge.pubsub.asked)
    answer = await client.ask(head(POLL))
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert await client.rest() == b""
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    assert not edge.hub.channels["room"].is_occupied


async def test_who_goes_while_it_waits_is_forgotten(edge: SmallEdge) -> None:
    """A client that leaves before the welcome leaves nothing behind."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head("/sub?id=room"))
    await edge.until(lambda: edge.pubsub.asked)
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    assert not edge.hub.channels["room"].is_occupied
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    await edge.turns()
    assert edge.counters.opened_total["stream"] == 0


# Deadlines.


async def test_a_half_sent_head_is_answered_at_its_deadline(edge: SmallEdge) -> None:
    """After ten seconds the client hears 408, and the connection ends; sending slowly wins no time."""
    client = await edge.connect()
    await client.send(b"GET /sub?id=room HTTP/1.1\r\n")
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    edge.pass_time(9.5)
    await client.send(b"Host: ")
    await edge.until(lambda: any(seat.recv_buffer.endswith(b"Host: ") for seat in edge.seats))
    assert edge.counters.refused_total.total() == 0
    edge.pass_time(0.75)
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert await client.rest() == b""


async def test_a_silent_connection_is_closed(edge: SmallEdge) -> None:
    """Who connects and says nothing is not worth an answer."""
    client = await edge.connect()
    edge.pass_time(9.75)
    assert len(edge.seats) == 1
    edge.pass_time(0.75)
    assert await client.rest() == b""
    assert len(edge.seats) == 0


async def test_a_head_after_an_answer_has_a_deadline_of_its_own(edge: SmallEdge) -> None:
    """On a kept connection the ten seconds begin with the first byte."""
    client = await edge.connect()
    await client.ask(head("/nowhere"))
    edge.pass_time(60)
    await client.send(b"GET /")
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    edge.pass_time(9.5)
    assert edge.counters.refused_total[408] == 0
    edge.pass_time(0.75)
    assert (await client.answer()).status == 408


async def test_an_idle_connection_is_closed(edge: SmallEdge) -> None:
    """Between two requests a connection may rest for 75 seconds."""
    client = await edge.connect()
    await client.ask(head(POLL + "&timeout=0"))
    edge.pass_time(74.75)
    assert len(edge.seats) == 1
    edge.pass_time(0.75)
    assert await client.rest() == b""


async def test_a_peer_that_does_not_say_goodbye_is_let_go(edge: SmallEdge) -> None:
    """After our end of a connection the other one is awaited for two seconds."""
    client = await edge.connect()
    await client.send(b"\x16\x03\x01")
    assert (await client.answer()).status == 400
    edge.pass_time(1.75)
    assert len(edge.seats) == 1
    edge.pass_time(0.75)
    assert len(edge.seats) == 0


@pytest.mark.parametrize("target", ["/sub?id=room", POLL, "/jsonp?id=room&callback=f"])
async def test_without_redis_a_subscriber_is_sent_away(edge: SmallEdge, target: str) -> None:
    """After three seconds it gets a 503 that says when to try again."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head(target))
    await edge.until(lambda: edge.pubsub.asked)
    edge.pass_time(2.75)
    assert edge.counters.refused_total.total() == 0
    edge.pass_time(0.5)
    answer = await client.answer()
    assert (answer.status, answer.json["code"]) == (503, 503)
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert not edge.hub.channels["room"].is_occupied


async def test_without_redis_a_poll_leaves_its_connection_usable(edge: SmallEdge) -> None:
    """The next request on it may find Redis back."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head(POLL))
    await edge.until(lambda: edge.pubsub.asked)
    edge.pass_time(3.5)
    assert (await client.answer()).status == 503
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    assert (await client.ask(head(POLL + "&timeout=0"))).status == 200


async def test_without_redis_an_event_source_is_told_to_come_back(edge: SmallEdge) -> None:
    """It gets a 200 with a retry that ends at once: after any other status it would give up for ever."""
    edge.pubsub.acknowledging = False
    client = await edge.connect()
    await client.send(head("/sse?id=room"))
    await edge.until(lambda: edge.pubsub.asked)
    edge.pass_time(3.5)
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\nretry: " in answer
    assert b"event:" not in answer
    assert answer.endswith(b"\r\n0\r\n\r\n")


async def test_a_log_that_cannot_be_read_sends_subscribers_away_too(edge: SmallEdge) -> None:
    """An acknowledged subscription is not enough for a welcome."""
    edge.log.failing = True
    client = await edge.connect()
    await client.send(head("/sub?id=room"))
    await edge.until(lambda: edge.log.reads)
    edge.pass_time(3.5)
    assert (await client.answer()).status == 503


@pytest.mark.parametrize(("transport", "beat"), [("stream", b"1\r\n\n\r\n"), ("sse", b"3\r\n:\n\n\r\n")])
async def test_a_quiet_connection_gets_heartbeats(edge: SmallEdge, transport: str, beat: bytes) -> None:
    """The first comes within the period, jittered; then one a period."""
    client = await edge.held(f"/{transport}?id=room", transport=transport)
    edge.pass_time(9.75)
    await edge.turns()
    assert client.received == b""
    edge.pass_time(10.75)
    assert await client.until(beat) == beat
    edge.pass_time(20.5)
    assert await client.until(beat) == beat


async def test_a_heartbeat_may_be_an_event(edge: SmallEdge) -> None:
    """Who asks gets an event without a position, and beside it everybody else what they always get."""
    named = [await edge.held(f"/sse?id=room&heartbeat=event&n={number}", transport="sse") for number in range(2)]
    plain = await edge.held("/sse?id=room&heartbeat=comment", transport="sse")
    several = await edge.held("/sse?id=room&id=hall&heartbeat=event", transport="sse")
    edge.pass_time(20.5)
    for client in (*named, several):
        assert await client.until(b"\n\n\r\n") == b"18\r\nevent: heartbeat\ndata:\n\n\r\n"
    assert await plain.until(b"\n\r\n") == b"3\r\n:\n\n\r\n"
    assert len({seat.framing for seat in edge.seats}) == 3


async def test_a_named_heartbeat_is_nothing_to_other_transports(edge: SmallEdge) -> None:
    """They share their framing with those who did not ask for one."""
    for query in ("", "&heartbeat=event"):
        await edge.held(f"/stream?id=room{query}")
    assert len({seat.framing for seat in edge.seats}) == 1


async def test_data_is_a_heartbeat(edge: SmallEdge) -> None:
    """While messages go out there is no other sign of life; a period after the last one there is."""
    client = await edge.held("/sub?id=room")
    for _ in range(8):
        edge.pass_time(9.0)
        edge.publish("room", b"hi")
    for _ in range(8):
        assert read_line(await client.until(b"}\n\r\n"))["content"] == "hi"
    edge.pass_time(19.5)
    await edge.turns()
    assert client.received == b""
    edge.pass_time(1.0)
    assert await client.until(b"\n\r\n") == b"1\r\n\n\r\n"


@pytest.mark.parametrize("transport", ["stream", "sse", "ws"])
async def test_heartbeats_that_are_due_together_are_sent_in_steps(transport: str) -> None:
    """After a message all subscribers are due at the same time: what else there is has its turn in between."""
    async with small_edge() as edge:
        headers = HANDSHAKE if transport == "ws" else ()
        count = 2 * THINGS_PER_TURN + 1
        for _ in range(count):
            await edge.held(f"/{transport}?id=room", *headers, transport=transport)
        edge.publish("room", b"hi")
        sent = edge.counters.bytes_total[transport]
        beat = len(framing_for(transport, Variant()).heartbeat)
        steps, edge.clock.now = 1, edge.clock.now + 20.5
        while edge.seat_wheel.advance(edge.clock.now):
            steps += 1
            assert edge.counters.bytes_total[transport] - sent <= steps * THINGS_PER_TURN * beat
        assert edge.counters.bytes_total[transport] - sent == count * beat
        assert steps >= 3


async def test_a_slow_client_gets_no_heartbeats(edge: SmallEdge) -> None:
    """What waits in its outbox would only grow."""
    await edge.held("/sub?id=room")
    (seat,) = edge.seats
    edge.seats.write(seat, b"m" * 8_000_000)
    assert seat.send_buffer is not None
    del seat.send_buffer[Limits().seat_bytes // 2 :]
    parked = bytes(seat.send_buffer)
    edge.pass_time(100)
    assert seat.send_buffer == parked


# The end.


async def test_everybody_is_told_when_the_edge_goes(edge: SmallEdge) -> None:
    """Streams hear it, pollers get an empty batch, event sources when to come back, and idle connections are closed."""
    stream = await edge.held("/sub?id=room")
    sse = await edge.held("/sse?id=room", transport="sse")
    poll = await edge.held(POLL, transport="poll")
    idle = await edge.connect()
    edge.lifecycle.evict_all()
    assert read_line(await stream.rest())["type"] == "close"
    assert (await sse.rest()).endswith(b"\n\n\r\n0\r\n\r\n")
    assert (await poll.answer()).json == {"seq": f"0-{GENESIS}", "messages": []}
    assert await poll.rest() == await idle.rest() == b""
    assert sum(map(edge.counters.held, TRANSPORTS)) == 0


async def test_a_subscriber_that_waits_is_answered_when_the_edge_goes(edge: SmallEdge) -> None:
    """Who has not been welcomed yet hears something all the same, and no event source a 5xx."""
    edge.pubsub.acknowledging = False
    clients = [await edge.connect() for _ in range(2)]
    for client, path in zip(clients, ("/poll", "/sse"), strict=True):
        await client.send(head(f"{path}?id=room"))
    await edge.until(lambda: len(edge.hub.channels["room"].waiting) == 2 if edge.hub.channels else False)
    edge.lifecycle.evict_all()
    replies = [await client.rest() for client in clients]
    assert [answer[:12] for answer in replies] == [b"HTTP/1.1 503", b"HTTP/1.1 200"]


# One client's trouble is nobody else's.


def failing_on_bad_paths(data: bytes) -> Request:
    """Parse a request, with a bug in it."""
    request = parse_request(data)
    if request.path == "/bug":
        raise RuntimeError("a bug")
    return request


async def test_a_bug_costs_one_connection(edge: SmallEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the front ends the connection it happened on and is logged; everybody else goes on."""
    log = Mock()
    monkeypatch.setattr(edge.lifecycle, "_log", log)
    monkeypatch.setattr(handler_module, "parse_request", failing_on_bad_paths)
    other, client = await edge.held("/sub?id=room"), await edge.connect()
    await client.send(head("/bug"))
    assert await client.rest() == b""
    log.exception.assert_called_once()
    edge.publish("room", b"hi")
    assert b'"hi"' in await other.until(b"\n\r\n")


async def test_a_bug_in_a_pipelined_request_costs_one_connection(
    edge: SmallEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds for a request that waited behind another."""
    monkeypatch.setattr(handler_module, "parse_request", failing_on_bad_paths)
    edge.loop.set_exception_handler(lambda loop, context: None)
    client = await edge.connect()
    await client.send(head("/nowhere") + head("/bug"))
    assert (await client.answer()).status == 404
    assert await client.rest() == b""


async def test_a_poller_torn_off_with_a_request_ahead_disturbs_nobody(edge: SmallEdge) -> None:
    """A client that sent its next poll early and tore the connection down does not break the fan-out for others."""
    client, other = await edge.held(POLL, transport="poll"), await edge.held(POLL, transport="poll")
    await client.send(head(POLL))
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    client.reset()
    edge.publish("room", b"hi")
    assert (await other.answer()).contents == ["hi"]


async def test_a_poller_torn_off_with_a_request_ahead_stops_no_clock(edge: SmallEdge) -> None:
    """The same when its time is over: everybody else's deadlines are kept."""
    client, other = await edge.held(POLL, transport="poll"), await edge.held(POLL, transport="poll")
    await client.send(head(POLL))
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    client.reset()
    edge.pass_time(25.5)
    assert (await other.answer()).contents == []


async def test_a_client_torn_off_with_a_request_ahead_is_no_bug(edge: SmallEdge) -> None:
    """Two bad requests and a reset are a client's business: its seat is removed, and that is all."""
    client = await edge.connect()
    (seat,) = edge.seats
    client.reset()
    edge.handler.on_bytes(seat, head("/nowhere") + head("/nowhere"))
    assert seat.fd == -1


@pytest.mark.parametrize("reading", [True, False])
async def test_a_client_that_hangs_up_leaves_its_channel(edge: SmallEdge, reading: bool) -> None:
    """A closed connection is noticed at once, also while nothing is read from it."""
    if not reading and "Selector" in type(edge.poller).__name__:
        pytest.skip("without epoll a hang-up is noticed when the poll is answered")
    client = await edge.held(POLL, transport="poll")
    if not reading:
        await client.send(head(POLL))
        await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    assert not edge.hub.channels["room"].is_occupied
