"""PROXY lines on real connections: who is believed, and what follows the line."""

import pytest

from edge.protocol.proxies.proxy_line import WRONG
from edge.server.clients import ClientLimits
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import HttpClient, head

LIMITS = ClientLimits(("127.0.0.1",), expects_preface=True, connections=1)
POLL = "/poll?id=room&timeout=0"


def line(client: str) -> bytes:
    """Return the line that a balancer sends first."""
    return f"PROXY TCP4 {client} 127.0.0.1 4711 80\r\n".encode()


async def coming(edge: EdgeWithoutRedis, client: str, data: bytes) -> HttpClient:
    """Return a connection that a balancer has passed on."""
    connection = await edge.connect()
    await connection.send(line(client) + data)
    return connection


async def test_a_connection_counts_for_the_client_of_its_line() -> None:
    """The balancer's own address counts for nobody."""
    async with edge_without_redis(clients=LIMITS) as edge:
        first = await coming(edge, "192.0.2.7", head("/sub?id=room"))
        await first.until(b"hello world!")
        second = await coming(edge, "192.0.2.7", head("/sub?id=room"))
        assert (await second.answer()).status == 429
        other = await coming(edge, "192.0.2.8", head("/sub?id=room"))
        await other.until(b"hello world!")
        first.close()
        second.close()
        await edge.until(lambda: len(edge.seats) == 1)
        await (await coming(edge, "192.0.2.7", head("/sub?id=room"))).until(b"hello world!")


async def test_the_line_may_come_in_pieces_and_once() -> None:
    """What follows are requests, as many as there are."""
    async with edge_without_redis(clients=LIMITS) as edge:
        client = await edge.connect()
        for byte in line("192.0.2.7"):
            await client.send(bytes([byte]))
            await edge.turns(2)
        assert edge.seats.inbox.kept_bytes == 0
        assert [(await client.ask(head(POLL))).status for _ in range(3)] == [200] * 3


async def test_behind_the_line_another_proxy_may_name_the_client() -> None:
    """A balancer in front of a trusted proxy: the header says where the request comes from."""
    async with edge_without_redis(clients=LIMITS) as edge:
        request = head("/sub?id=room", "X-Forwarded-For: 192.0.2.7")
        first = await coming(edge, "127.0.0.1", request)
        await first.until(b"hello world!")
        assert (await (await coming(edge, "127.0.0.1", request)).answer()).status == 429


async def test_a_trusted_proxy_without_a_line_is_told() -> None:
    """Its configuration does not fit: one clear sentence."""
    async with edge_without_redis(clients=LIMITS) as edge:
        client = await edge.connect()
        answer = await client.ask(head(POLL))
        assert (answer.status, answer.json["content"]) == (400, WRONG)
        assert await client.rest() == b""


async def test_a_line_that_never_ends_has_the_deadline_of_a_request() -> None:
    """And goes when its connection goes."""
    async with edge_without_redis(clients=LIMITS) as edge:
        silent, gone = await edge.connect(), await edge.connect()
        await silent.send(b"PROXY TCP4 ")
        await gone.send(b"PROXY ")
        await edge.until(lambda: edge.seats.inbox.kept_bytes == 17)
        gone.close()
        edge.pass_time(10.5)
        assert (await silent.answer()).status == 408
        await silent.send(b"192.0.2.7\r\n" + head(POLL))
        await edge.turns()
        assert await silent.rest() == b""
        assert edge.seats.inbox.kept_bytes == 0
        silent.close()
        await edge.until(lambda: len(edge.seats) == 0)
        assert edge.handler.clients is not None
        assert edge.handler.clients.prefaced == set()


@pytest.mark.parametrize(
    "limits",
    [ClientLimits(("192.0.2.0/24",), True, connections=5), ClientLimits(("127.0.0.1",), connections=5)],
    ids=["not trusted", "not set"],
)
async def test_nobody_else_may_send_a_line(limits: ClientLimits) -> None:
    """To a client that is not trusted, or without the setting, a line is a bad request."""
    async with edge_without_redis(clients=limits) as edge:
        client = await coming(edge, "192.0.2.7", head(POLL))
        assert (await client.answer()).status == 400
        assert (await (await edge.connect()).ask(head(POLL))).status == 200
