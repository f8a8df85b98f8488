"""Places at a full edge: a newcomer is answered at once, and those that ask for nothing yield (S15)."""

import socket
import time
from collections.abc import Iterator

import pytest

from edge.server import listener as listener_module
from edge.server.places import REST, SILENCE
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import PATIENCE, HttpClient, head

PLACES, MARGIN = 10, 4


@pytest.fixture(autouse=True)
def _small_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept a few connections more than have a place."""
    monkeypatch.setattr(listener_module, "MAX_SURPLUS", MARGIN)


@pytest.fixture
def strangers() -> Iterator[list[socket.socket]]:
    """Yield a list of sockets, to be filled by the test; they are closed after it."""
    sockets: list[socket.socket] = []
    yield sockets
    for one in sockets:
        one.close()


async def knock(edge: EdgeWithoutRedis, strangers: list[socket.socket], count: int) -> None:
    """Open connections that say nothing, accepted or not."""
    strangers += [socket.create_connection(("127.0.0.1", edge.listener.port)) for _ in range(count)]
    await edge.turns()


async def newcomer(edge: EdgeWithoutRedis) -> HttpClient:
    """Return a client that has asked for a stream, behind all who came before."""
    sock = socket.create_connection(("127.0.0.1", edge.listener.port))
    sock.setblocking(False)
    client = HttpClient(sock)
    edge._clients.append(client)
    await client.send(head("/sub?id=room"))
    return client


async def test_behind_a_crowd_that_says_nothing_a_newcomer_gets_a_place(strangers: list[socket.socket]) -> None:
    """Sixty silent connections on ten places: whoever asks after a second is served, in no time."""
    async with edge_without_redis(max_connections=PLACES) as edge:
        await knock(edge, strangers, 60)
        await edge.turns(100)
        assert PLACES + MARGIN <= len(edge.seats) <= PLACES + MARGIN + 1
        edge.pass_time(SILENCE)
        client, began = await newcomer(edge), time.monotonic()
        assert await client.until(b"hello world!")
        assert time.monotonic() - began < PATIENCE / 5
        assert len(edge.seats) <= PLACES


async def test_at_once_it_is_told_that_there_is_no_room(strangers: list[socket.socket]) -> None:
    """Before a second has passed, the strangers may be honest: the newcomer gets its 503 at once, and nobody goes."""
    async with edge_without_redis(max_connections=PLACES) as edge:
        await knock(edge, strangers, PLACES)
        client = await newcomer(edge)
        assert (await client.answer()).status == 503
        await edge.until(lambda: len(edge.seats) <= PLACES + 1)
        assert edge.counters.refused_total[503] == 1


async def test_who_is_served_yields_to_nobody(strangers: list[socket.socket]) -> None:
    """A poller between two polls, a held stream and a poll keep their places among silent newcomers."""
    async with edge_without_redis(max_connections=3) as edge:
        poller, stream = await edge.connect(), await edge.held("/sub?id=room")
        await edge.held("/poll?id=room", transport="poll")
        assert (await poller.ask(head("/poll?id=room&timeout=0"))).status == 200
        await knock(edge, strangers, 40)
        edge.pass_time(5)
        client = await newcomer(edge)
        assert (await client.answer()).status == 503
        assert (await poller.ask(head("/poll?id=room&timeout=0"))).status == 200
        edge.publish("room", b"hi")
        assert b'"hi"' in await stream.until(b"\n\r\n")


async def test_a_silent_connection_that_has_spoken_since_keeps_its_place(strangers: list[socket.socket]) -> None:
    """The list of those that were silent may be old."""
    async with edge_without_redis() as edge:
        await knock(edge, strangers, 1)
        client = await edge.connect()
        await knock(edge, strangers, 3)
        places = edge.handler.places
        assert places.vacate()
        await client.send(head("/sub?id=room"))
        await edge.until(lambda: edge.counters.opened_total["stream"])
        while places.vacate():
            pass
        assert (len(edge.seats), edge.counters.held("stream")) == (2, 1)  # the newest may have sent its request


async def test_looking_for_silent_ones_takes_a_small_share_of_the_time() -> None:
    """A look that took a millisecond is followed by none for nineteen."""
    async with edge_without_redis(max_connections=1) as edge:
        await edge.held("/sub?id=room")
        looks = 0

        def slow_clock() -> float:
            nonlocal looks
            looks += 1
            return edge.clock.now + looks * 0.001

        places = edge.handler.places
        places._clock = slow_clock
        assert not places.vacate()
        began, until = edge.clock.now + 0.001, places._next_look
        assert until - began >= 0.001 * REST
