"""Subscribers where channels need a token: who is let in, and what the others are told on each transport."""

from collections.abc import AsyncIterator

import pytest

from edge.protocol.limits import USUAL_LIMITS
from edge.server.clients import ClientLimits
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import Answer, head
from tests.edge.tokens_in_memory import TokensInMemory
from tests.edge.websocket_client import HANDSHAKE, open_websocket

PAGE = "https://app.example"
TARGETS = {
    "stream": "/stream?id={}",
    "sse": "/sse?id={}",
    "poll": "/poll?timeout=0&id={}",
    "jsonp": "/jsonp?timeout=0&callback=f&id={}",
    "iframe": "/iframe?id={}",
    "ws": "/ws?id={}",
}


@pytest.fixture
async def guarded() -> AsyncIterator[EdgeWithoutRedis]:
    """Yield an edge where `good` is a token for `room`, and `news` is for all; pages of one origin may subscribe."""
    tokens = TokensInMemory("news")
    tokens.make("good", ["room"])
    async with edge_without_redis(tokens=tokens, allowed_origins=(PAGE,)) as edge:
        edge.tokens = tokens
        yield edge


async def ask(edge: EdgeWithoutRedis, transport: str, channels: str, *headers: str, more: str = "") -> Answer:
    """Ask for some channels, from an allowed page, and return the answer, which has a length."""
    client = await edge.connect()
    handshake = HANDSHAKE if transport == "ws" else ()
    target = TARGETS[transport].format("&id=".join(channels.split())) + more
    return await client.ask(head(target, f"Origin: {PAGE}", *handshake, *headers))


@pytest.mark.parametrize("transport", TARGETS)
@pytest.mark.parametrize(
    ("channels", "token", "status", "sentence"),
    [
        ("room", "", 401, "id: room needs a token"),
        ("news room", "", 401, "id: room needs a token"),
        ("room", "bad", 401, "token: wrong"),
        ("news", "bad", 401, "token: wrong"),
        ("private-bob", "good", 403, "id: private-bob is not named by the token"),
        ("room news private-bob", "good", 403, "id: private-bob is not named by the token"),
    ],
)
async def test_who_may_not_hear_a_channel_is_told_so_by_a_status(
    guarded: EdgeWithoutRedis, transport: str, channels: str, token: str, status: int, sentence: str
) -> None:
    """Each transport has the same, and the page can read it; Redis is not asked for anything."""
    for headers, more in (((f"Authorization: Bearer {token}",), ""), ((), f"&token={token}")):
        answer = await ask(guarded, transport, channels, *headers, more=more)
        assert (answer.status, answer.json) == (status, {"type": "error", "code": status, "content": sentence})
        assert answer.headers.get("www-authenticate") == ("bearer" if status == 401 else None)
        assert answer.headers["access-control-allow-origin"] == PAGE
    assert (guarded.pubsub.asked, guarded.logs.reads) == ([], 0)
    assert guarded.counters.refused_total[status] == guarded.counters.token_refused_total.total() == 2


@pytest.mark.parametrize(("token", "channels"), [("good", "room"), ("good", "room news"), ("", "news")])
async def test_who_may_is_held_on_each_transport(guarded: EdgeWithoutRedis, token: str, channels: str) -> None:
    """A welcome, or the answer of a poll."""
    query = "&id=".join(channels.split())
    for transport in ("stream", "sse", "poll", "jsonp", "iframe"):
        client = await guarded.connect()
        more = f"&token={token}" if token else ""
        await client.send(head(TARGETS[transport].format(query) + more, "Sec-Fetch-Site: same-origin"))
        assert b"HTTP/1.1 200 OK" in await client.until(b"}")
    await open_websocket(guarded, f"/ws?id={query}{more}")
    assert guarded.counters.token_refused_total.total() == 0


async def test_a_websocket_may_begin_without_a_channel_and_without_a_token(guarded: EdgeWithoutRedis) -> None:
    """A bad token is refused there, too."""
    await open_websocket(guarded, "/ws")
    assert (await (await guarded.connect()).ask(head("/ws?token=bad", *HANDSHAKE))).status == 401


@pytest.mark.parametrize("transport", [name for name in TARGETS if name != "sse"])
async def test_while_there_are_no_keys_a_client_comes_back(guarded: EdgeWithoutRedis, transport: str) -> None:
    """It is told when; nobody is let in meanwhile, and nobody is refused for good."""
    guarded.tokens.has_keys = False
    client = await guarded.connect()
    handshake = HANDSHAKE if transport == "ws" else ()
    target = TARGETS[transport].format("room") + "&token=good"
    answer = await client.ask(head(target, "Sec-Fetch-Site: same-origin", *handshake))
    assert answer.status == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert guarded.counters.opened_total.total() == 0


async def test_while_there_are_no_keys_an_event_source_comes_back(guarded: EdgeWithoutRedis) -> None:
    """Any status but 200 would be its end."""
    guarded.tokens.has_keys = False
    client = await guarded.connect()
    await client.send(head("/sse?id=room&token=good"))
    rest = await client.rest()
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"retry: " in rest
    assert b"welcome" not in rest


async def test_no_request_has_what_an_equal_one_before_it_was_granted(guarded: EdgeWithoutRedis) -> None:
    """Equal requests are parsed once, and judged each time: a token that is good no longer lets nobody in."""
    client = await guarded.connect()
    request = head("/poll?timeout=0&id=room&token=good")
    assert [(await client.ask(request)).status for _ in range(3)] == [200, 200, 200]
    del guarded.tokens.grants["good"]
    assert (await client.ask(request)).status == 401
    assert (await client.ask(head("/poll?timeout=0&id=room"))).status == 401


async def test_two_tokens_are_one_too_many(guarded: EdgeWithoutRedis) -> None:
    """Even equal ones."""
    assert (await ask(guarded, "stream", "room", more="&token=good&token=good")).status == 400


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/poll?timeout=0&id=room", (), 200),
        ("/poll?timeout=0&id=private-bob", (), 403),
        ("/jsonp?timeout=0&callback=f&id=room", ("Sec-Fetch-Site: same-origin",), 200),
        ("/jsonp?timeout=0&callback=f&id=room", (f"Referer: {PAGE}/",), 200),
        ("/jsonp?timeout=0&callback=f&id=room", ("Referer: http://edge/",), 401),
        ("/jsonp?timeout=0&callback=f&id=room", ("Sec-Fetch-Site: none",), 401),
        ("/jsonp?timeout=0&callback=f&id=room", ("Sec-Fetch-Site: cross-site", "Referer: https://evil.example/"), 403),
        ("/ws?id=room", HANDSHAKE, 401),
        ("/ws?id=room", (*HANDSHAKE, "Origin: https://evil.example"), 403),
    ],
)
async def test_a_cookie_counts_where_the_page_is_known(
    guarded: EdgeWithoutRedis, target: str, headers: tuple[str, ...], status: int
) -> None:
    """For others it is as if there were none, or they are refused as pages."""
    client = await guarded.connect()
    assert (await client.ask(head(target, "Cookie: comet_token=good", *headers))).status == status


async def test_a_page_on_the_list_opens_a_websocket_by_its_cookie(guarded: EdgeWithoutRedis) -> None:
    """The browser sends both by itself."""
    client = await guarded.connect()
    await client.send(head("/ws?id=room", "Cookie: comet_token=good", f"Origin: {PAGE}", *HANDSHAKE))
    assert b"101 Switching" in await client.until(b"\r\n\r\n")


@pytest.mark.parametrize(("position", "status"), [("room=1-5", 200), ("room=1-5&private-bob=1-5", 403)])
async def test_the_channels_in_a_position_are_checked(guarded: EdgeWithoutRedis, position: str, status: int) -> None:
    """Whatever the URL names besides."""
    client = await guarded.connect()
    request = head("/poll?timeout=0&id=room&token=good", f"Last-Event-ID: {position}")
    assert (await client.ask(request)).status == status


async def test_a_token_is_looked_at_before_a_limit_of_its_address() -> None:
    """A refused subscriber has used nothing of what its address may have."""
    limits = ClientLimits(subscriptions_per_second=1)
    tokens = TokensInMemory()
    tokens.make("good")
    async with edge_without_redis(tokens=tokens, clients=limits, limits=USUAL_LIMITS) as edge:
        client = await edge.connect()
        assert (await client.ask(head("/poll?timeout=0&id=room"))).status == 401
        assert (await client.ask(head("/poll?timeout=0&id=room&token=good"))).status == 200
        assert (await client.ask(head("/poll?timeout=0&id=room&token=good"))).status == 429


async def test_without_a_key_tokens_are_ignored(edge: EdgeWithoutRedis) -> None:
    """As many as there are, wherever they are."""
    client = await edge.connect()
    request = head("/poll?timeout=0&id=private-bob&token=a&token=b", "Authorization: Bearer bad", "Cookie: token=x")
    assert (await client.ask(request)).status == 200
    assert len(edge.lifecycle._grants) == 0
