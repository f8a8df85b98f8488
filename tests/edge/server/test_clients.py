"""Limits by address, each at its edge, on real connections: directly, behind a proxy, and by every transport."""

import socket

import pytest

from edge.counters import CloseReason
from edge.server import clients as clients_module
from edge.server.clients import CHANNELS, CONNECTIONS, HISTORY, SENTENCES, SUBSCRIPTIONS, ClientLimits
from tests.edge.change_requests import post
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import HttpClient, head
from tests.edge.websocket_client import HANDSHAKE, welcomed_websocket

PROXY = ("127.0.0.1",)
POLL = "/poll?id=room&timeout=0"


def ours(client: str) -> str:
    """Return the header by which a proxy tells where a request comes from."""
    return f"X-Forwarded-For: 198.51.100.1, {client}"


def refused(edge: EdgeWithoutRedis, limit: str) -> int:
    """Return how often a limit was crossed."""
    return edge.counters.limited_total[limit]


async def ask(edge: EdgeWithoutRedis, target: str, *headers: str) -> int:
    """Return the status of a request on a connection of its own."""
    return (await (await edge.connect()).ask(head(target, *headers))).status


def test_nothing_is_needed_while_no_limit_is_set() -> None:
    """Trusting proxies alone changes nothing."""
    assert not ClientLimits().are_needed
    assert not ClientLimits(trusted=PROXY).are_needed
    assert all(limits.are_needed for limits in (ClientLimits((), True), ClientLimits(connections=1)))


async def test_without_limits_the_listener_asks_nobody(edge: EdgeWithoutRedis) -> None:
    """A limit of 0 costs nothing: the handler itself is told of connections."""
    assert edge.listener._handler is edge.handler
    assert edge.handler.clients is None


# Connections.


async def test_one_connection_too_many_is_told_so_and_closed() -> None:
    """The limit itself is allowed; when another one is closed, there is room again."""
    async with edge_without_redis(clients=ClientLimits(connections=2)) as edge:
        first, second = await edge.held("/sub?id=room"), await edge.held("/sub?id=room")
        third = await edge.connect()
        answer = await third.ask(head("/sub?id=room"))
        assert (answer.status, answer.json["content"]) == (429, SENTENCES[CONNECTIONS])
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert await third.rest() == b""
        assert (refused(edge, CONNECTIONS), edge.counters.refused_total[429]) == (1, 1)
        third.close()
        first.close()
        await edge.until(lambda: len(edge.seats) == 1)
        await edge.held("/sub?id=room")
        edge.publish("room", b"hi")
        assert b'"hi"' in await second.until(b"\n\r\n")


async def test_an_event_source_comes_back() -> None:
    """It gets a 200 that ends, and a time: after a 429 it would never come again."""
    async with edge_without_redis(clients=ClientLimits(connections=1)) as edge:
        await edge.held("/sub?id=room")
        client = await edge.connect()
        await client.send(head("/sse?id=room"))
        rest = await client.rest()
        assert rest.startswith(b"HTTP/1.1 200")
        assert b"retry: " in rest


async def test_a_poll_over_the_limit_may_be_repeated_on_its_connection() -> None:
    """When another connection of the address has gone, the next poll is served."""
    async with edge_without_redis(clients=ClientLimits(connections=1)) as edge:
        first, second = await edge.held("/sub?id=room"), await edge.connect()
        assert (await second.ask(head(POLL))).status == 429
        first.close()
        await edge.until(lambda: len(edge.seats) == 1)
        assert (await second.ask(head(POLL))).status == 200


async def test_far_more_connections_are_closed_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few are accepted to be told so; what comes beyond these is closed at once."""
    monkeypatch.setattr(clients_module, "MARGIN", 2)
    async with edge_without_redis(clients=ClientLimits(connections=1)) as edge:
        for _ in range(3):
            await edge.connect()
        for _ in range(5):
            assert await opened(edge).rest() == b""
        assert (len(edge.seats), refused(edge, CONNECTIONS)) == (3, 5)


def opened(edge: EdgeWithoutRedis) -> HttpClient:
    """Return a client that the edge need not keep."""
    sock = socket.create_connection(("127.0.0.1", edge.listener.port))
    sock.setblocking(False)
    edge._clients.append(client := HttpClient(sock))
    return client


async def test_behind_a_proxy_each_subscriber_counts_while_it_is_held() -> None:
    """Its connections are those of many clients; a client is told apart by the header alone."""
    async with edge_without_redis(clients=ClientLimits(PROXY, connections=1)) as edge:
        first = await edge.held("/sub?id=room", ours("192.0.2.7"))
        assert await ask(edge, "/sub?id=room", ours("192.0.2.7")) == 429
        await edge.held("/sub?id=room", ours("192.0.2.8"))
        await edge.held("/sub?id=room", ours("2001:db8::7"))
        assert await ask(edge, "/sub?id=room", ours("2001:db8::8")) == 429
        assert await ask(edge, "/sub?id=room", ours("::ffff:192.0.2.8")) == 429
        first.close()
        await edge.until(lambda: edge.counters.held("stream") == 2)
        await edge.held("/sub?id=room", ours("192.0.2.7"))


async def test_behind_a_proxy_polls_of_many_clients_share_a_connection() -> None:
    """A client counts from its poll to the answer."""
    async with edge_without_redis(clients=ClientLimits(PROXY, connections=1)) as edge:
        client = await edge.connect()
        for number in range(5):
            assert (await client.ask(head(POLL, ours(f"192.0.2.{number}")))).status == 200
            assert (await client.ask(head(POLL, ours("192.0.2.7")))).status == 200
        assert edge.handler.clients is not None
        assert not edge.handler.clients._connections


async def test_the_proxys_own_requests_are_not_limited() -> None:
    """Its health checks name no client."""
    async with edge_without_redis(clients=ClientLimits(PROXY, connections=1, subscriptions_per_second=1)) as edge:
        for _ in range(5):
            await edge.held("/sub?id=room")


async def test_what_is_known_of_a_client_goes_with_it() -> None:
    """Nothing outlives the descriptor, however a connection ends."""
    async with edge_without_redis(clients=ClientLimits(connections=1)) as edge:
        for _ in range(3):
            (await edge.connect()).close()
            await edge.until(lambda: len(edge.seats) == 0)
            (await edge.held("/ws?id=room", *HANDSHAKE, transport="ws")).reset()
            await edge.until(lambda: len(edge.seats) == 0)
        known = edge.handler.clients
        assert known is not None
        assert not any((known._peers, known._counted, known._over, known._connections, known.prefaced))


# Rates.


async def test_subscriptions_a_second() -> None:
    """Each channel of each request counts; the next second there are more."""
    async with edge_without_redis(clients=ClientLimits(subscriptions_per_second=3)) as edge:
        client = await edge.connect()
        assert (await client.ask(head(POLL + "&id=b"))).status == 200
        assert (await client.ask(head(POLL))).status == 200
        answer = await client.ask(head(POLL))
        assert (answer.status, answer.json["content"]) == (429, SENTENCES[SUBSCRIPTIONS])
        assert "retry-after" in answer.headers
        edge.pass_time(1)
        assert (await client.ask(head(POLL))).status == 200
        assert refused(edge, SUBSCRIPTIONS) == 1


async def test_new_channels_a_minute() -> None:
    """A channel that the edge has costs nothing; one that is new counts once."""
    async with edge_without_redis(clients=ClientLimits(channels_per_minute=2)) as edge:
        client = await edge.connect()
        for name in ("a", "b", "a", "b"):
            assert (await client.ask(head(f"/poll?id={name}&timeout=0"))).status == 200
        answer = await client.ask(head("/poll?id=c&timeout=0"))
        assert (answer.status, answer.json["content"]) == (429, SENTENCES[CHANNELS])
        assert "c" not in edge.hub.channels
        edge.pass_time(30)
        assert (await client.ask(head("/poll?id=c&timeout=0"))).status == 200
        assert refused(edge, CHANNELS) == 1


async def test_history_bytes_a_second() -> None:
    """Who was sent more than a second's worth gets no history until it has paid; messages from now on it gets."""
    async with edge_without_redis(clients=ClientLimits(history_bytes_per_second=10)) as edge:
        client = await edge.connect()
        await client.ask(head(POLL))
        edge.publish("room", *[b"0123456789"] * 3)
        await edge.until(lambda: edge.hub.channels["room"].is_open)
        answer = await client.ask(head(POLL + "&since=0-0"))
        assert (answer.status, len(answer.json["messages"])) == (200, 3)
        answer = await client.ask(head(POLL + "&since=0-0"))
        assert (answer.status, answer.json["content"]) == (429, SENTENCES[HISTORY])
        assert (await client.ask(head(POLL))).status == 200
        edge.pass_time(2.1)
        assert (await client.ask(head(POLL + "&since=0-0"))).status == 200
        assert refused(edge, HISTORY) == 1


async def test_a_websocket_pays_for_the_channels_that_it_joins() -> None:
    """The one over the limit gets an error 429; the others are joined, and the connection stays."""
    async with edge_without_redis(clients=ClientLimits(channels_per_minute=3)) as edge:
        one = await welcomed_websocket(edge, "room")
        await one.send([{"op": "sub", "id": name} for name in "abc"], {"op": "ping"})
        objects = await one.objects(4)
        assert {each["id"] for each in objects if each["type"] == "welcome"} == {"a", "b"}
        assert [(each["id"], each["code"]) for each in objects if each["type"] == "error"] == [("c", 429)]


async def test_a_change_by_post_pays_too() -> None:
    """As a whole: nothing of it is done."""
    async with edge_without_redis(clients=ClientLimits(subscriptions_per_second=4)) as edge:
        one = await welcomed_websocket(edge, "room")
        subs = b'[{"op":"sub","id":"a"},{"op":"sub","id":"b"}]'
        assert (await post(edge, one.session, subs)).status == 200
        answer = await post(edge, one.session, subs)
        assert (answer.status, "retry-after" in answer.headers) == (429, True)
        assert (await post(edge, one.session, b'{"op":"ping"}')).status == 200


async def test_a_rejected_subscriber_does_not_count() -> None:
    """One that waited for Redis in vain is not held, though its connection is kept."""
    async with edge_without_redis(clients=ClientLimits(PROXY, connections=1)) as edge:
        client = await edge.waiting("/poll?id=room", ours("192.0.2.7"))
        assert await ask(edge, POLL, ours("192.0.2.7")) == 429
        edge.pass_time(3.5)
        assert (await client.answer()).status == 503
        edge.hub.on_subscribed(*edge.pubsub.asked[0])
        assert await ask(edge, POLL, ours("192.0.2.7")) == 200


async def test_an_evicted_subscriber_does_not_count() -> None:
    """The edge closes it as it closes any."""
    async with edge_without_redis(clients=ClientLimits(PROXY, connections=1)) as edge:
        await edge.held("/sub?id=room", ours("192.0.2.7"))
        edge.lifecycle.evict_oldest(1, CloseReason.SHED)
        await edge.held("/sub?id=room", ours("192.0.2.7"))
