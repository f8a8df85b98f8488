"""Closing a listener: each connection that the kernel has accepted is served, and later ones are refused."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from common.service import graceful_close
from common.service.graceful_close import refuse_new, stop_accepting
from common.service.http import listen, port_of

TIMEOUT = 10.0
REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


async def hello(request: web.Request) -> web.Response:
    """Answer."""
    return web.Response(text="hello")


@pytest.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    """Yield a server that listens; it is ended afterwards."""
    app = web.Application()
    app.router.add_get("/", hello)
    runner = await listen(app, "127.0.0.1", 0, "COMET_PUBLISHER_PORT")
    yield runner
    await runner.cleanup()


async def read_all(client: socket.socket) -> bytes:
    """Return what a server sends until it closes the connection."""
    reader, writer = await asyncio.open_connection(sock=client)
    async with asyncio.timeout(TIMEOUT):
        answer = await reader.read()
    writer.close()
    return answer


async def test_a_connection_in_the_accept_queue_is_served(runner: web.AppRunner) -> None:
    """Its client has sent a request already, which a listener that just closes would reset."""
    address = ("127.0.0.1", port_of(runner))
    clients = [socket.create_connection(address) for _ in range(20)]  # without a turn of the loop: none is accepted yet
    for client in clients:
        client.sendall(REQUEST)
    async with asyncio.timeout(TIMEOUT):
        await stop_accepting(runner)
    for client in clients:
        assert (await read_all(client)).endswith(b"hello")


async def test_afterwards_no_connection_is_accepted(runner: web.AppRunner) -> None:
    """The port is closed for new clients."""
    address = ("127.0.0.1", port_of(runner))
    async with asyncio.timeout(TIMEOUT):
        await stop_accepting(runner)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, TIMEOUT)


async def test_an_idle_connection_is_waited_for_in_vain_and_not_for_long(
    runner: web.AppRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that sends nothing holds the end up for LAST_REQUEST_TIMEOUT, no more."""
    monkeypatch.setattr(graceful_close, "LAST_REQUEST_TIMEOUT", 0.05)
    with socket.create_connection(("127.0.0.1", port_of(runner))):
        async with asyncio.timeout(TIMEOUT):
            await stop_accepting(runner)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can drop SYNs")
def test_a_listener_that_refuses_new_connections_keeps_those_it_has() -> None:
    """The SYN of a new one is dropped, so that its client tries again later; one in the queue can be accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        earlier = socket.create_connection(listener.getsockname(), TIMEOUT)
        refuse_new(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), 0.1)
        accepted, _ = listener.accept()
        earlier.sendall(b"hi")
        assert accepted.recv(2) == b"hi"
        earlier.close()
        accepted.close()
