"""A listener with several addresses: every client gets in, and all are closed, and paused, together."""

import asyncio

import pytest

from common.service.addresses import has_address
from edge.server import listener as listener_module
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head

pytestmark = pytest.mark.skipif(not has_address("::1"), reason="this machine has no IPv6")
HOSTS = ("127.0.0.1", "::1")


async def ask(edge: EdgeWithoutRedis, where: str) -> bytes:
    """Poll over one address and return the status line."""
    reader, writer = await asyncio.open_connection(where, edge.listener.port)
    writer.write(head("/poll?id=room&timeout=0"))
    try:
        async with asyncio.timeout(5):
            return await reader.readline()
    finally:
        writer.close()


@pytest.mark.parametrize("host", ["localhost", "::"])
async def test_both_families_are_served_and_refused_after_the_close(host: str) -> None:
    """`localhost` was one of its two addresses, and the default had no IPv6 at all."""
    edge = EdgeWithoutRedis()
    edge.listener.open(host, 0)
    try:
        for where in HOSTS:
            assert await ask(edge, where) == b"HTTP/1.1 200 OK\r\n"
        edge.listener.close()
        for where in HOSTS:
            with pytest.raises(ConnectionRefusedError):
                await ask(edge, where)
    finally:
        edge.listener.close()


async def test_a_pause_holds_for_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is not woken by any of them, and afterwards all of them are served."""
    monkeypatch.setattr(listener_module, "EXHAUSTED_PAUSE", 0)
    edge = EdgeWithoutRedis()
    edge.listener.open("localhost", 0)
    try:
        edge.listener._pause(0)
        clients = [await asyncio.open_connection(where, edge.listener.port) for where in HOSTS]
        assert edge.poller.poll(0, 10) == []
        for _, writer in clients:
            writer.close()
        for where in HOSTS:
            assert await ask(edge, where) == b"HTTP/1.1 200 OK\r\n"
    finally:
        edge.listener.close()
