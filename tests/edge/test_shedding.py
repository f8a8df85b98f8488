"""Rebalancing: shedding the oldest connections, and the greatest age of a connection."""

import asyncio

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry

from common.service.admin import AdminServer
from edge.counters import CloseReason
from edge.drain import Shedder, evict_at_pace
from tests.edge.building import head, small_edge


@pytest.mark.parametrize("query", ["", "?to=", "?to=-1", "?to=many", "?to=1&per_second=0", "?to=1&per_second=99999"])
async def test_a_goal_that_is_none_is_refused(query: str) -> None:
    """The sentence names the parameter and nothing is shed."""
    async with small_edge() as edge:
        await edge.held("/sub?id=room")
        status, text = await post(Shedder(edge.lifecycle), query)
        assert (status, len(edge.seats)) == (400, 1)
        assert "give a whole number" in text


async def test_the_oldest_go_until_the_goal_is_reached() -> None:
    """Streams are told that the edge sends them away; those that came last stay."""
    async with small_edge() as edge:
        clients = [await edge.held("/sub?id=room") for _ in range(5)]
        shedder = Shedder(edge.lifecycle)
        status, _ = await post(shedder, "?to=2&per_second=1000")
        assert status == 202
        for client in clients[:3]:
            assert b'"type":"close"' in await client.rest()
            client.close()
        await edge.until(lambda: len(edge.seats) == 2)
        edge.publish("room", b"still here")
        for client in clients[3:]:
            assert b"still here" in await client.until(b"}\n\r\n")
        assert edge.counters.closed_total["stream", "shed"] == 3
        await shedder.stop()


class Crowd:
    """Stands in for the lifecycle: how many subscribers may go, and when how many were evicted."""

    def __init__(self, count: int) -> None:
        self.subscribers = count
        self.sent: list[tuple[float, int]] = []

    def evict_oldest(self, count: int, reason: CloseReason) -> int:
        """Note it."""
        going = min(count, self.subscribers)
        self.subscribers -= going
        self.sent.append((asyncio.get_running_loop().time(), going))
        return going


async def test_the_pace_is_kept() -> None:
    """At 200 a second nobody goes sooner than that allows: the edges they go to have time."""
    crowd, began = Crowd(60), asyncio.get_running_loop().time()
    await evict_at_pace(crowd, 10, lambda over: 200.0, CloseReason.SHED)  # type: ignore[arg-type]
    assert crowd.subscribers == 10
    gone = 0
    for when, count in crowd.sent:
        gone += count
        assert gone <= 1 + 200 * (when - began)


async def test_between_two_requests_nobody_is_sent_away() -> None:
    """A request may be on its way, and would get no answer."""
    async with small_edge() as edge:
        idle = await edge.connect()
        shedder = Shedder(edge.lifecycle)
        await post(shedder, "?to=0&per_second=10000")
        await edge.turns()
        assert (await idle.ask(head("/poll?id=room&timeout=0"))).status == 200
        await shedder.stop()


async def test_a_stream_ends_when_it_is_old_enough() -> None:
    """With a greatest age of 100 seconds a stream lives 80 to 120 of them, heartbeats in between."""
    async with small_edge(max_age=100.0) as edge:
        client = await edge.held("/sub?id=room")
        edge.pass_time(79.0)
        await edge.turns()
        assert len(edge.seats) == 1
        edge.pass_time(42.0)
        assert b'"type":"close"' in await client.rest()
        assert edge.counters.closed_total["stream", "max_age"] == 1


async def test_connections_that_came_together_do_not_end_together() -> None:
    """Their greatest ages differ by up to a fifth of it, either way."""
    async with small_edge(max_age=100.0) as edge:
        for _ in range(60):
            await edge.held("/sub?id=room")
        ages = [seat.expires - edge.clock.now for seat in edge.seats]
        assert 80 <= min(ages) < 90
        assert 110 < max(ages) <= 120


async def test_an_old_pollers_next_answer_is_its_connections_last() -> None:
    """A long-poll connection is closed where it costs nothing: after an answer that says so."""
    async with small_edge(max_age=10.0) as edge:
        client = await edge.connect()
        await client.send(head("/poll?id=room&timeout=0"))
        assert "connection" not in (await client.answer()).headers
        edge.pass_time(13.0)
        await client.send(head("/poll?id=room&timeout=0"))
        assert (await client.answer()).headers["connection"] == "close"


async def post(shedder: Shedder, query: str) -> tuple[int, str]:
    """Ask on the internal port, as an operator does."""
    routes = [web.post("/drain", shedder.shed_to)]
    admin = AdminServer("127.0.0.1", 0, "PORT", list, CollectorRegistry(), routes)
    await admin.start()
    try:
        url = f"http://127.0.0.1:{admin.port}/drain{query}"
        async with ClientSession() as session, session.post(url) as answer:
            return answer.status, await answer.text()
    finally:
        await admin.stop()
