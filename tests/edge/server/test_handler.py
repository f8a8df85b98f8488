"""The request handler on real connections: requests, answers, and deadlines; time is moved by hand."""

import asyncio
import random
from itertools import pairwise
from unittest.mock import Mock

import pytest

from edge.protocol.http import Request, parse_request
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.framing.reading import read_line
from tests.edge.http_client import head

POLL = "/poll?id=room"


# Requests that are answered at once.


async def test_a_connection_is_good_for_more_after_errors(edge: EdgeWithoutRedis) -> None:
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


async def test_a_wrong_method_is_told_the_right_one(edge: EdgeWithoutRedis) -> None:
    """405 names what is allowed."""
    client = await edge.connect()
    answer = await client.ask(head("/sub?id=room", method="DELETE"))
    assert (answer.status, answer.headers["allow"], answer.json["code"]) == (405, "get, options", 405)


async def test_an_error_to_head_has_no_body(edge: EdgeWithoutRedis) -> None:
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
        (b"POST /pub HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
    ],
)
async def test_a_last_answer_says_so_and_ends_the_connection(
    edge: EdgeWithoutRedis, request_bytes: bytes, status: int
) -> None:
    """A client that asked for it, speaks HTTP/1.0 or cannot be understood gets one answer, and the end."""
    client = await edge.connect()
    answer = await client.ask(request_bytes)
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert await client.rest() == b""


async def test_a_request_may_come_in_pieces(edge: EdgeWithoutRedis) -> None:
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
async def test_requests_may_be_cut_anywhere(edge: EdgeWithoutRedis, seed: int) -> None:
    """Several requests, with headers on several lines, give the same answers however the network cuts them."""
    chance, client = random.Random(seed), await edge.connect()
    data = b"".join(SPOKEN)
    cuts = sorted(chance.sample(range(1, len(data)), 12))
    for start, end in pairwise([0, *cuts, len(data)]):
        await client.send(data[start:end])
        await edge.turns(chance.randint(1, 3))
    assert [(await client.answer()).status for _ in SPOKEN] == [200, 404, 200, 200]
    assert await client.rest() == b""


async def test_a_preflight_is_answered(edge: EdgeWithoutRedis) -> None:
    """A browser that asks first learns what it may send."""
    client = await edge.connect()
    answer = await client.ask(head("/sub?id=room", "Origin: https://a.example", method="OPTIONS"))
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "get, post, options"
    assert {"comet-session", "last-event-id"} <= set(answer.headers["access-control-allow-headers"].split(", "))


# Requests that are sent ahead.


async def test_pipelined_polls_are_answered_in_order(edge: EdgeWithoutRedis) -> None:
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
async def test_a_request_that_is_completed_while_the_poll_is_answered(edge: EdgeWithoutRedis, second: str) -> None:
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


async def test_a_flood_behind_a_poll_is_not_read(edge: EdgeWithoutRedis) -> None:
    """I10: what a client sends ahead stays with the kernel once one piece of it was read."""
    client = await edge.held(POLL, transport="poll")
    await client.send(b"x" * 100_000)
    await edge.turns(100)
    (seat,) = edge.seats
    assert 0 < len(seat.recv_buffer) <= 8192


async def test_requests_sent_ahead_are_served_one_a_turn(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends thousands at once waits for them, and no other waits for it; not all are even read."""
    served: list[int] = []
    count = 0
    parse = edge.handler._parse_short

    def counted(data: bytes) -> Request:
        nonlocal count
        count += 1
        return parse(data)

    monkeypatch.setattr(edge.handler, "_parse_short", counted)
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
async def test_a_second_request_ends_a_stream(edge: EdgeWithoutRedis, transport: str) -> None:
    """A stream never ends by itself, so nothing can follow: it says why, and ends properly."""
    client = await edge.held(f"/{transport}?id=room", transport=transport)
    await client.send(head(POLL))
    rest = await client.rest()
    assert read_line(rest)["code"] == 400
    assert read_line(rest)["type"] == "error"
    assert rest.endswith(b"\r\n0\r\n\r\n")
    assert edge.hub.channels["room"].seats == ()


async def test_a_second_request_in_the_same_packet_ends_a_stream_too(edge: EdgeWithoutRedis) -> None:
    """It does not matter how the network packs the bytes."""
    client = await edge.connect()
    await client.send(head("/sub?id=room") + head(POLL))
    await edge.until(lambda: edge.counters.opened_total["stream"])
    await edge.until(lambda: edge.counters.closed_total["stream", "error"])
    assert b'"code":400' in await client.rest()


async def test_a_second_request_before_the_welcome_is_refused(edge: EdgeWithoutRedis) -> None:
    """A client that does not wait for a stream's first byte does not get the stream."""
    client = await edge.waiting("/sub?id=room")
    answer = await client.ask(head(POLL))
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert await client.rest() == b""
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    assert not edge.hub.channels["room"].is_occupied


# Deadlines.


async def test_a_half_sent_head_is_answered_at_its_deadline(edge: EdgeWithoutRedis) -> None:
    """Before the ten seconds are over the client is told 408, and the connection ends; sending slowly wins no time."""
    client = await edge.connect()
    await client.send(b"GET /sub?id=room HTTP/1.1\r\n")
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    edge.pass_time(8.25)
    await client.send(b"Host: ")
    await edge.until(lambda: any(seat.recv_buffer.endswith(b"Host: ") for seat in edge.seats))
    assert edge.counters.refused_total.total() == 0
    edge.pass_time(0.75)
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert await client.rest() == b""


async def test_a_silent_connection_is_closed(edge: EdgeWithoutRedis) -> None:
    """A client that connects and sends nothing is not worth an answer."""
    client = await edge.connect()
    edge.pass_time(8.25)
    assert len(edge.seats) == 1
    edge.pass_time(0.75)
    assert await client.rest() == b""
    assert len(edge.seats) == 0


async def test_a_head_after_an_answer_has_a_deadline_of_its_own(edge: EdgeWithoutRedis) -> None:
    """On a kept connection the ten seconds begin with the first byte."""
    client = await edge.connect()
    await client.ask(head("/nowhere"))
    edge.pass_time(60)
    await client.send(b"GET /")
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    edge.pass_time(8.25)
    assert edge.counters.refused_total[408] == 0
    edge.pass_time(0.75)
    assert (await client.answer()).status == 408


async def test_an_idle_connection_is_closed(edge: EdgeWithoutRedis) -> None:
    """Between two requests a connection may rest for 75 seconds."""
    client = await edge.connect()
    await client.ask(head(POLL + "&timeout=0"))
    edge.pass_time(74.75)
    assert len(edge.seats) == 1
    edge.pass_time(0.75)
    assert await client.rest() == b""


async def test_a_peer_that_does_not_say_goodbye_is_let_go(edge: EdgeWithoutRedis) -> None:
    """After our end of a connection the other one is awaited for two seconds."""
    client = await edge.connect()
    await client.send(b"\x16\x03\x01")
    assert (await client.answer()).status == 400
    edge.pass_time(1.75)
    assert len(edge.seats) == 1
    edge.pass_time(0.75)
    assert len(edge.seats) == 0


# One client's trouble concerns no other.


def failing_on_bad_paths(data: bytes) -> Request:
    """Parse a request, with a bug in it."""
    request = parse_request(data)
    if request.path == "/bug":
        raise RuntimeError("a bug")
    return request


async def test_a_bug_costs_one_connection(edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the handler ends the connection it happened on and is logged; all others go on."""
    log = Mock()
    monkeypatch.setattr(edge.lifecycle, "_log", log)
    monkeypatch.setattr(edge.handler, "_parse_short", failing_on_bad_paths)
    other, client = await edge.held("/sub?id=room"), await edge.connect()
    await client.send(head("/bug"))
    assert await client.rest() == b""
    log.exception.assert_called_once()
    edge.publish("room", b"hi")
    assert b'"hi"' in await other.until(b"\n\r\n")


async def test_a_bug_in_a_pipelined_request_costs_one_connection(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds for a request that waited behind another."""
    monkeypatch.setattr(edge.handler, "_parse_short", failing_on_bad_paths)
    edge.loop.set_exception_handler(lambda loop, context: None)
    client = await edge.connect()
    await client.send(head("/nowhere") + head("/bug"))
    assert (await client.answer()).status == 404
    assert await client.rest() == b""


async def test_a_poller_torn_off_with_a_request_ahead_disturbs_no_other(edge: EdgeWithoutRedis) -> None:
    """A client that sent its next poll early and tore the connection down does not break the fan-out for others."""
    client, other = await edge.held(POLL, transport="poll"), await edge.held(POLL, transport="poll")
    await client.send(head(POLL))
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    client.reset()
    edge.publish("room", b"hi")
    assert (await other.answer()).contents == ["hi"]


async def test_a_poller_torn_off_with_a_request_ahead_stops_no_clock(edge: EdgeWithoutRedis) -> None:
    """The same when its time is over: the deadlines of all others are kept."""
    client, other = await edge.held(POLL, transport="poll"), await edge.held(POLL, transport="poll")
    await client.send(head(POLL))
    await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    client.reset()
    edge.pass_time(25.5)
    assert (await other.answer()).contents == []


async def test_a_client_torn_off_with_a_request_ahead_is_no_bug(edge: EdgeWithoutRedis) -> None:
    """Two bad requests and a reset are a client's business: its seat is removed, and that is all."""
    client = await edge.connect()
    (seat,) = edge.seats
    client.reset()
    edge.handler.on_bytes(seat, head("/nowhere") + head("/nowhere"))
    assert seat.fd == -1


async def test_long_requests_are_not_remembered(edge: EdgeWithoutRedis) -> None:
    """A stranger's long requests, each different, would fill the caches; they are answered all the same."""
    client, caches = await edge.connect(), (edge.handler._parse_short, edge.handler._negotiate_short)
    before = [cache.cache_info().misses for cache in caches]
    names = "&".join(f"id=room{number:03}" for number in range(128))
    assert (await client.ask(head(f"/poll?{names}&timeout=0"))).status == 200
    assert [cache.cache_info().misses for cache in caches] == before


async def test_welcomes_that_are_out_of_proportion_are_refused(edge: EdgeWithoutRedis) -> None:
    """Half a kilobyte for 128 channels gets 400 and the end; with the headers that a browser has it is served."""
    short = head("/sse", "Last-Event-ID: " + "&".join(f"{number:x}=" for number in range(128)))
    client = await edge.connect()
    answer = await client.ask(short)
    assert (answer.status, "more than 30 times as long" in answer.json["content"]) == (400, True)
    assert await client.rest() == b""
    assert all(not channel.seats for channel in edge.hub.channels.values())
    other = await edge.connect()
    await other.send(short[:-2] + b"User-Agent: " + b"x" * 300 + b"\r\n\r\n")
    assert (await other.until(b"\n\n\r\n")).count(b"event: welcome") == 128
