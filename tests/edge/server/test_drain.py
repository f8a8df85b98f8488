"""Draining an edge, and shedding some of its connections, as each client sees it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry

from common.service.admin import AdminServer
from edge.counters import CloseReason
from edge.server.drain import Drain, Phase, Shedder, evict_at_pace
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head
from tests.pure_only import pure_only

SSE = "Accept: text/event-stream"


class Draining(NamedTuple):
    """An edge and its drain."""

    edge: EdgeWithoutRedis
    drain: Drain
    asked: list[bool]

    @asynccontextmanager
    async def running(self, *, leaving: bool) -> AsyncIterator["asyncio.Task[None]"]:
        """Run the drain, up to its last phase if `leaving`."""
        task = asyncio.create_task(self.drain.run())
        await self.edge.until(lambda: self.drain.has_begun)
        if leaving:
            await self.edge.until(lambda: self.drain.phase is Phase.EVICTING)
        yield task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def draining_edge(seconds: float, notice: float) -> AsyncIterator[Draining]:
    """Yield an edge without Redis, and its drain."""
    async with edge_without_redis() as edge:
        asked: list[bool] = []
        drain = Drain(seconds, notice, edge.listener, edge.handler, edge.lifecycle, lambda: asked.append(True))
        yield Draining(edge, drain, asked)


async def test_at_first_everything_is_served_as_ever() -> None:
    """Until load balancers have noticed, a newcomer is seated on each transport, and gets what is published."""
    async with draining_edge(60, 60) as one, one.running(leaving=False):
        stream = await one.edge.held("/sub?id=room")
        events = await one.edge.held("/sub?id=room", SSE, transport="sse")
        poll = await one.edge.held("/poll?id=room", transport="poll")
        one.edge.publish("room", b"news")
        assert b"news" in await stream.until(b"}\n\r\n")
        assert b"news" in await events.until(b"\n\n\r\n")
        answer = await poll.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert b"news" in answer.body
        assert await poll.rest() == b""


@pure_only
async def test_it_listens_as_long_as_load_balancers_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long drain it accepts for the whole notice, by its own clock, and not a moment more."""
    slept: list[float] = []
    async with draining_edge(60, 5) as one:

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            assert one.edge.listener.port and one.edge.listener._sockets  # noqa: PT018  # it listens
            if len(slept) == 2:  # the second is for handshakes that have begun
                raise asyncio.CancelledError

        monkeypatch.setattr(
            "edge.server.drain.asyncio", SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
        )
        with pytest.raises(asyncio.CancelledError):
            await one.drain.run()
    assert sum(slept) == 5


async def test_each_event_source_gets_a_time_of_its_own_to_come_back() -> None:
    """The same time for all of them would be a herd at the next edge."""
    async with draining_edge(3, 0.2) as one:
        crowd = [await one.edge.held("/sub?id=room", SSE, transport="sse") for _ in range(12)]
        async with one.running(leaving=False):
            goodbyes = [await client.rest() for client in crowd]
    times = [int(goodbye.rpartition(b"retry: ")[2].partition(b"\n")[0]) for goodbye in goodbyes]
    assert all(500 <= time <= 2500 for time in times)
    assert len(set(times)) > 6
    assert max(times) - min(times) > 400


async def test_every_transport_has_its_own_goodbye() -> None:
    """A stream gets a close object, an EventSource a time to come back, a poll its answer, all a clean end."""
    async with draining_edge(3, 0.2) as one:
        stream = await one.edge.held("/sub?id=room")
        events = await one.edge.held("/sub?id=room", SSE, transport="sse")
        poll = await one.edge.held("/poll?id=room", transport="poll")
        async with one.running(leaving=False) as task:
            assert (await stream.rest()).endswith(b'connect again"}\n\r\n0\r\n\r\n')
            goodbye = await events.rest()
            assert 500 <= int(goodbye.partition(b"retry: ")[2].partition(b"\n")[0]) <= 2500
            assert goodbye.endswith(b"\n\r\n0\r\n\r\n")
            answer = await poll.answer()
            assert (answer.status, answer.headers["connection"], answer.json["messages"]) == (200, "close", [])
            assert answer.json["seq"]
            assert await poll.rest() == b""
            for client in (stream, events, poll):
                client.close()
            await task
        assert one.edge.counters.closed_total == {("stream", "drain"): 1, ("sse", "drain"): 1, ("poll", "drain"): 1}


async def test_a_late_request_on_an_old_connection_is_sent_on_without_an_error() -> None:
    """When no subscriber is seated any more a poll is answered at once, and an EventSource told when to come back."""
    async with draining_edge(60, 0) as one:
        clients = [await one.edge.connect() for _ in range(9)]  # idle ones go last
        async with one.running(leaving=True):
            one.edge.publish("room")
            poll, events, stream = clients[-3:]
            answer = await poll.ask(head("/poll?id=room"))
            assert (answer.status, answer.json["messages"], answer.headers["connection"]) == (200, [], "close")
            await events.send(head("/sub?id=room", SSE))
            told = await events.rest()
            assert told.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"retry: " in told
            refused = await stream.ask(head("/sub?id=room"))
            assert (refused.status, "retry-after" in refused.headers) == (503, True)


async def test_a_late_poll_gets_what_it_missed() -> None:
    """An answer at once is not an empty one where something is waiting."""
    async with draining_edge(60, 0) as one:
        other = await one.edge.held("/sub?id=room")
        poll = await one.edge.connect()
        one.edge.publish("room", b"missed")
        await other.until(b"missed")
        async with one.running(leaving=True):
            answer = await poll.ask(head("/poll?id=room&since=0"))
            assert [item["content"] for item in answer.json["messages"]] == ["missed"]


async def test_a_client_in_the_middle_of_a_request_may_finish_it() -> None:
    """Half a request is no reason to be sent away before the time is up."""
    async with draining_edge(3, 0.2) as one:
        client = await one.edge.connect()
        whole = head("/poll?id=room&timeout=0")
        await client.send(whole[:20])
        await one.edge.turns()
        async with one.running(leaving=True):
            await client.send(whole[20:])
            assert (await client.answer()).status == 200


async def test_connections_the_kernel_took_are_served() -> None:
    """A client that connected before the edge stopped listening is not reset, even if it was not accepted yet."""
    async with edge_without_redis() as edge:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.listener.port)
        edge.listener.close()
        assert len(edge.seats) == 1
        writer.close()


async def test_the_time_is_kept_even_if_a_subscriber_cannot_go() -> None:
    """A subscriber whose channel never gets ready does not hold up the end of the drain."""
    async with draining_edge(0.2, 0.1) as one:
        one.edge.pubsub.acknowledging = False
        client = await one.edge.connect()
        await client.send(head("/sub?id=room"))
        await one.edge.until(lambda: any(seat.pending for seat in one.edge.seats))
        async with one.running(leaving=True) as task, asyncio.timeout(5):
            await task


@pytest.mark.parametrize(("query", "status", "asked"), [("", 202, True), ("?to=5", 202, False), ("?now=1", 400, False)])
async def test_asking_for_a_drain(query: str, status: int, asked: bool) -> None:
    """POST /drain is SIGTERM by HTTP; with a number it only sheds, and anything else is a mistake."""
    async with draining_edge(30, 5) as one:
        routes = [web.post("/drain", one.drain.on_request)]
        admin = AdminServer("127.0.0.1", 0, "PORT", list, CollectorRegistry(), routes)
        await admin.start()
        try:
            url = f"http://127.0.0.1:{admin.port}/drain{query}"
            async with ClientSession() as session, session.post(url) as answer:
                assert (answer.status, bool(one.asked)) == (status, asked)
        finally:
            await admin.stop()


# Shedding.


@pytest.mark.parametrize("query", ["", "?to=", "?to=-1", "?to=many", "?to=1&per_second=0", "?to=1&per_second=99999"])
async def test_a_goal_that_is_none_is_refused(query: str) -> None:
    """The sentence names the parameter and nothing is shed."""
    async with edge_without_redis() as edge:
        await edge.held("/sub?id=room")
        status, text = await post(Shedder(edge.lifecycle), query)
        assert (status, len(edge.seats)) == (400, 1)
        assert "give a whole number" in text


async def test_the_oldest_go_until_the_goal_is_reached() -> None:
    """Streams are told that the edge sends them away; those that came last stay."""
    async with edge_without_redis() as edge:
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


class FakeLifecycle:
    """Stands in for `Lifecycle`: how many subscribers may go, and when how many were evicted."""

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
    """At 200 a second no client goes sooner than that allows: the edges they go to have time."""
    lifecycle, began = FakeLifecycle(60), asyncio.get_running_loop().time()
    await evict_at_pace(lifecycle, 10, lambda over: 200.0, CloseReason.SHED)
    assert lifecycle.subscribers == 10
    gone = 0
    for when, count in lifecycle.sent:
        gone += count
        assert gone <= 1 + 200 * (when - began)


async def test_between_two_requests_a_client_is_not_evicted() -> None:
    """A request may be on its way, and would get no answer."""
    async with edge_without_redis() as edge:
        idle = await edge.connect()
        shedder = Shedder(edge.lifecycle)
        await post(shedder, "?to=0&per_second=10000")
        await edge.turns()
        assert (await idle.ask(head("/poll?id=room&timeout=0"))).status == 200
        await shedder.stop()


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
