"""Subscribers that did nothing wrong and are turned away all the same: the edge is full, or has no Redis."""

import pytest

from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head
from tests.edge.websocket_client import HANDSHAKE

POLL = "/poll?id=room"


async def test_a_full_edge_sends_newcomers_away() -> None:
    """One too many gets a 503 that says when to try again, and the end; a client that is seated stays."""
    async with edge_without_redis(max_connections=1) as edge:
        seated, newcomer = await edge.held("/sub?id=room"), await edge.connect()
        await newcomer.send(head("/sub?id=room"))
        answer = await newcomer.answer()
        assert answer.status == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert await newcomer.rest() == b""
        edge.publish("room", b"hi")
        assert b'"hi"' in await seated.until(b"\n\r\n")


async def test_a_full_edge_lets_an_event_source_come_back() -> None:
    """A native EventSource gives up for ever after any status but 200: it is told when to try again, and the end."""
    async with edge_without_redis(max_connections=1) as edge:
        await edge.held("/sub?id=room")
        newcomer = await edge.connect()
        await newcomer.send(head("/sse?id=room"))
        rest = await newcomer.rest()
        assert rest.startswith(b"HTTP/1.1 200")
        assert b"retry: " in rest
        assert rest.endswith(b"0\r\n\r\n")


async def test_at_a_full_edge_the_first_that_came_have_the_room() -> None:
    """Clients that came later take no other's place: a poller's next poll is served, the stranger's is not."""
    async with edge_without_redis(max_connections=1) as edge:
        poller = await edge.connect()
        assert (await poller.ask(head("/poll?id=room&timeout=0"))).status == 200
        stranger = await edge.connect()
        assert (await poller.ask(head("/poll?id=room&timeout=0"))).status == 200
        answer = await stranger.ask(head("/poll?id=room&timeout=0"))
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert await stranger.rest() == b""


async def test_newcomers_are_told_different_times() -> None:
    """Clients that were sent away together do not come back together."""
    async with edge_without_redis(max_connections=0) as edge:
        newcomers = [await edge.connect() for _ in range(20)]
        for newcomer in newcomers:
            await newcomer.send(head("/sse?id=room"))
        replies = [await newcomer.rest() for newcomer in newcomers]
        retries = {int(answer.partition(b"retry: ")[2].split()[0]) for answer in replies}
        assert len(retries) > 10
        assert all(1000 <= milliseconds <= 5000 for milliseconds in retries)


async def test_a_full_edge_has_room_again() -> None:
    """When a client has left, the next one is let in."""
    async with edge_without_redis(max_connections=1) as edge:
        first = await edge.held("/sub?id=room")
        first.close()
        await edge.until(lambda: len(edge.seats) == 0)
        await edge.held("/sub?id=room")


# Without Redis.


@pytest.mark.parametrize("target", ["/sub?id=room", POLL, "/jsonp?id=room&callback=f"])
async def test_without_redis_a_subscriber_is_sent_away(edge: EdgeWithoutRedis, target: str) -> None:
    """After three seconds it gets a 503 that says when to try again."""
    client = await edge.waiting(target)
    edge.pass_time(2.75)
    assert edge.counters.refused_total.total() == 0
    edge.pass_time(0.5)
    answer = await client.answer()
    assert (answer.status, answer.json["code"]) == (503, 503)
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert not edge.hub.channels["room"].is_occupied


async def test_without_redis_a_poll_leaves_its_connection_usable(edge: EdgeWithoutRedis) -> None:
    """The next request on it may find Redis back."""
    client = await edge.waiting(POLL)
    edge.pass_time(3.5)
    assert (await client.answer()).status == 503
    edge.hub.on_subscribed(*edge.pubsub.asked[0])
    assert (await client.ask(head(POLL + "&timeout=0"))).status == 200


async def test_without_redis_an_event_source_is_told_to_come_back(edge: EdgeWithoutRedis) -> None:
    """It gets a 200 with a retry that ends at once: after any other status it would give up for ever."""
    client = await edge.waiting("/sse?id=room")
    edge.pass_time(3.5)
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\nretry: " in answer
    assert b"event:" not in answer
    assert answer.endswith(b"\r\n0\r\n\r\n")


async def test_a_log_that_cannot_be_read_sends_subscribers_away_too(edge: EdgeWithoutRedis) -> None:
    """An acknowledged subscription is not enough for a welcome."""
    edge.logs.failing = True
    client = await edge.connect()
    await client.send(head("/sub?id=room"))
    await edge.until(lambda: edge.logs.reads)
    edge.pass_time(3.5)
    assert (await client.answer()).status == 503


async def test_without_redis_a_handshake_is_refused_in_plain_http(edge: EdgeWithoutRedis) -> None:
    """503 with Retry-After, and the end."""
    client = await edge.waiting("/ws?id=room", *HANDSHAKE)
    edge.pass_time(3.5)
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert 1 <= int(answer.headers["retry-after"]) <= 5


async def test_without_redis_a_frame_is_told_so(edge: EdgeWithoutRedis) -> None:
    """The error is a call, too."""
    client = await edge.waiting("/iframe?id=room&callback=f")
    edge.pass_time(3.5)
    answer = await client.answer()
    assert answer.status == 503
    assert b'<script>parent.f({"type":"error","code":503' in answer.body
