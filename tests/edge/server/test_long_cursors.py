"""Subscribers whose cursor refers to names in Redis, or is about to: found, gone, refused, or not answered in time."""

import asyncio
import re

import pytest

from common.position import MAX_CURSOR_BYTES, NameList
from edge.cluster.name_lists import UNREACHABLE
from edge.cluster.name_pot import TOO_MANY
from edge.server.long_cursors import GONE
from edge.subscribers.pending import ATTACH_TIMEOUT
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head

NAMES = NameList([f"{number:03d}" + "x" * 87 for number in range(128)])
OWN = NameList((*NAMES.names, "~edge"))  # as the edge stores them itself
READABLE = "&".join(f"{name}=9-9" for name in NAMES.names)
CURSOR = NAMES.cursor({"000" + "x" * 87: "0-100", "001" + "x" * 87: "1-5"})


def keep(edge: EdgeWithoutRedis) -> None:
    """Have Redis keep the names, as another edge has stored them."""
    edge.names_in_redis.values[edge.names.name_list(NAMES.digest)] = NAMES.text


@pytest.mark.parametrize("transport", ["sse", "stream", "poll"])
async def test_a_stored_cursor_is_taken_back_by_each_transport(edge: EdgeWithoutRedis, transport: str) -> None:
    """The channels are those of the cursor, whatever the URL says; the one that cannot be proved gets a reset."""
    keep(edge)
    client = await edge.connect()
    await client.send(head(f"/{transport}?id=other&since={CURSOR}"))
    data = await client.until(b'"type":"reset"')
    assert b'"id":"001x' in await client.until(b"}")
    assert b"other" not in data


async def test_names_that_would_be_too_long_are_stored_before_the_welcome(edge: EdgeWithoutRedis) -> None:
    """What comes with 11 KB of names goes on with a cursor of 3 KB, once in the write."""
    client = await edge.connect()
    await client.send(head("/sse", f"Last-Event-ID: {READABLE}"))
    data = await client.until(b"\n\n\r\n") + await client.until(b"\n\n\r\n")  # welcomes, resets
    assert (data.count(b"event: welcome"), data.count(b"event: reset")) == (128, 128)
    (cursor,) = re.findall(rb"(?m)^id: (.*)$", data)
    assert len(cursor) < MAX_CURSOR_BYTES
    assert cursor.startswith(f"~{OWN.digest}.".encode())
    assert edge.names_in_redis.values == {edge.names.name_list(OWN.digest): OWN.text}


async def test_an_event_source_whose_names_are_gone_is_reset_on_the_channels_of_its_url(edge: EdgeWithoutRedis) -> None:
    """It is told why, once; an error would be its end."""
    client = await edge.connect()
    await client.send(head("/sse?id=a&id=b", f"Last-Event-ID: {CURSOR}"))
    data = await client.until(b"\n\n\r\n") + await client.until(b"\n\n\r\n")  # welcomes, resets
    assert (data.count(b"event: welcome"), data.count(b"event: reset")) == (2, 2)
    assert data.count(b"the channels that were added to this connection are no longer known") == 1
    edge.publish("b", b"hi")
    assert b"id: 0-100,1-101\n" in await client.until(b'"content":"hi"')


async def test_its_messages_are_as_its_url_asks(edge: EdgeWithoutRedis) -> None:
    """With one channel again, the data is the content."""
    client = await edge.connect()
    await client.send(head("/sse?id=a", f"Last-Event-ID: {CURSOR}"))
    await client.until(b"event: reset")
    edge.publish("a", b"raw")
    assert b"id: 1-101\n" in await client.until(b"data: raw\n")


@pytest.mark.parametrize("target", ["/poll?id=a", "/stream?id=a", "/jsonp?id=a&callback=f", "/sse"])
async def test_others_are_told_that_they_are_gone(edge: EdgeWithoutRedis, target: str) -> None:
    """A program begins anew by itself; the connection may go on."""
    client = await edge.connect()
    answer = await client.ask(head(f"{target}{'&' if '?' in target else '?'}since={CURSOR}"))
    assert (answer.status, answer.json["content"]) == (410, GONE)
    assert (await client.ask(head("/poll?id=a&timeout=0"))).status == 200


@pytest.mark.parametrize(("query", "header"), [("since=" + CURSOR, ""), ("", f"Last-Event-ID: {READABLE}")])
async def test_without_redis_the_client_comes_back(edge: EdgeWithoutRedis, query: str, header: str) -> None:
    """A poll gets 503 and a Retry-After, an EventSource a 200 that ends."""
    edge.names_in_redis.failing = True
    headers = [header] if header else []
    poll = await (await edge.connect()).ask(head(f"/poll?id=a&{query}", *headers))
    assert (poll.status, poll.json["content"]) == (503, UNREACHABLE)
    assert 1 <= int(poll.headers["retry-after"]) <= 5
    source = await edge.connect()
    await source.send(head(f"/sse?id=a&{query}", *headers))
    data = await source.rest()
    assert data.startswith(b"HTTP/1.1 200 ")
    assert b"retry: " in data


async def test_a_full_budget_is_told_as_a_limit(edge: EdgeWithoutRedis) -> None:
    """429, counted by the name of the setting."""
    edge.handler._long_cursors._lists.pot._max_bytes = 10_000
    answer = await (await edge.connect()).ask(head("/poll", f"Last-Event-ID: {READABLE}"))
    assert (answer.status, answer.json["content"]) == (429, TOO_MANY)
    assert "retry-after" in answer.headers
    assert edge.counters.limited_total["names_bytes"] == 1
    assert edge.names_in_redis.values == {}


async def test_an_answer_that_does_not_come_ends_the_wait(edge: EdgeWithoutRedis) -> None:
    """The sentence says what was waited for."""
    never = asyncio.get_running_loop().create_future()

    async def ask(commands: object) -> list[object]:
        await never
        return []

    edge.names_in_redis.ask = ask  # type: ignore[method-assign]
    client = await edge.connect()
    edge.handler._long_cursors._lists._ask = ask
    await client.send(head(f"/poll?id=a&since={CURSOR}"))
    await edge.turns()
    edge.pass_time(ATTACH_TIMEOUT + 1)
    answer = await client.answer()
    assert (answer.status, answer.json["content"]) == (503, UNREACHABLE)
    never.cancel()


async def test_a_client_that_leaves_meanwhile_is_forgotten(edge: EdgeWithoutRedis) -> None:
    """Nothing is attached for it when the names come."""
    keep(edge)
    client = await edge.connect()
    await client.send(head(f"/poll?id=a&since={CURSOR}"))
    client.reset()
    await edge.until(lambda: len(edge.seats) == 0)
    await edge.turns()
    assert edge.hub.channels == {}


async def test_channels_in_a_cursor_are_checked_like_others(edge: EdgeWithoutRedis) -> None:
    """Those of another deployment are refused, wherever their names come from."""
    keep(edge)
    edge.handler._foreign.beginnings = ("001",)
    answer = await (await edge.connect()).ask(head(f"/poll?id=a&since={CURSOR}"))
    assert answer.status == 403


async def test_a_forged_cursor_of_too_many_channels_is_refused(edge: EdgeWithoutRedis) -> None:
    """The list that is stored may be longer than what one connection may have."""
    names = NameList([f"c{number}" for number in range(140)])
    edge.names_in_redis.values[edge.names.name_list(names.digest)] = names.text
    cursor = names.cursor(dict.fromkeys(names.names, "1-1"))
    answer = await (await edge.connect()).ask(head(f"/poll?id=a&since={cursor}"))
    assert (answer.status, "at most 128 channels" in answer.json["content"]) == (400, True)
    assert edge.counters.limited_total["max_channels"] == 1
