"""The listener: accepting, the limits of it, and batches."""

import array
import asyncio
import errno
import fcntl
import os
import select
import socket
import sys
import termios
from contextlib import ExitStack
from unittest.mock import Mock

import pytest

from common.errors import SettingsError
from edge.server import listener as listener_module
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import HttpClient, head

POLL = "/poll?id=room"


async def test_a_taken_port_is_named_with_its_setting(edge: EdgeWithoutRedis) -> None:
    """An operator that starts a second edge on the same port learns which variable to change."""
    with pytest.raises(SettingsError, match=f"COMET_EDGE_PORT={edge.listener.port}"):
        EdgeWithoutRedis().listener.open("127.0.0.1", edge.listener.port)


async def test_connections_get_the_listeners_options(edge: EdgeWithoutRedis) -> None:
    """No delay, and keep-alive: set once on the listener, handed down by the kernel."""
    await edge.connect()
    (seat,) = edge.seats
    with socket.socket(fileno=os.dup(seat.fd)) as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not os.get_blocking(seat.fd)


async def flood(client: HttpClient, data: bytes) -> None:
    """Send without end."""
    while True:
        await client.send(data)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels count otherwise")
@pytest.mark.parametrize("size", [1000, 8_000_000])
async def test_the_kernel_keeps_little_of_what_is_not_read(edge: EdgeWithoutRedis, size: int) -> None:
    """A client that sends ahead of its poll's answer fills 20 KB, and then its own buffer, whatever its writes are."""
    client = await edge.held(POLL, transport="poll")
    (seat,) = edge.seats
    sending = asyncio.create_task(flood(client, b"x" * size))
    await asyncio.sleep(0.2)  # a duration: more than the kernel needs
    unread = array.array("i", [0])
    fcntl.ioctl(seat.fd, termios.FIONREAD, unread)
    assert 0 < unread[0] <= 20_480
    sending.cancel()


async def test_a_closed_listener_keeps_its_connections(edge: EdgeWithoutRedis) -> None:
    """No new client comes in; one that is seated goes on. Closing twice does no harm."""
    client = await edge.held("/sub?id=room")
    edge.listener.close()
    edge.listener.close()
    with pytest.raises(ConnectionRefusedError):
        await edge.connect()
    edge.publish("room", b"hi")
    assert b'"hi"' in await client.until(b"\n\r\n")


async def test_many_come_at_once(edge: EdgeWithoutRedis) -> None:
    """More than one turn accepts and one batch serves: all of them are welcomed."""
    count = listener_module.ACCEPTS_PER_TURN * 3
    clients = [await edge.connect() for _ in range(count)]
    for client in clients:
        await client.send(head("/sub?id=room"))
    for client in clients:
        await client.until(b"hello world!")
    assert len(edge.hub.channels["room"].seats) == count


async def test_a_batch_is_bounded(edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """One turn serves SOCKETS_PER_TURN sockets at most; the rest is not forgotten."""
    monkeypatch.setattr(listener_module, "SOCKETS_PER_TURN", 2)
    clients = [await edge.connect() for _ in range(5)]
    for client in clients:
        await client.send(head("/nowhere"))
    edge.listener.on_ready()
    assert edge.counters.refused_total[404] <= 2
    for client in clients:
        assert (await client.answer()).status == 404


async def test_at_a_more_than_full_edge_newcomers_are_answered_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a margin they stay in the kernel's queue until there is room; an EventSource never sees a 503."""
    monkeypatch.setattr(listener_module, "MAX_SURPLUS", 0)
    monkeypatch.setattr(listener_module, "SURPLUS_PAUSE", 0)
    async with edge_without_redis(max_connections=1) as edge:
        await edge.held("/poll?id=room", transport="poll")
        address = ("127.0.0.1", edge.listener.port)
        with ExitStack() as stack:
            newcomers = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]
            for newcomer in newcomers:
                newcomer.sendall(head("/sse?id=room"))
            for newcomer in newcomers:
                await edge.until(lambda one=newcomer: select.select([one], [], [], 0)[0])
                assert newcomer.recv(65536).startswith(b"HTTP/1.1 200")
                newcomer.close()
        await edge.until(lambda: len(edge.seats) == 1)
        assert edge.counters.limited_total["max_connections"] == 3


async def test_a_connection_that_cannot_be_watched_is_let_go(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of epoll watches the edge pauses as it does out of descriptors, and leaks none."""
    log, real = Mock(), edge.poller
    monkeypatch.setattr(listener_module, "EXHAUSTED_PAUSE", 0)
    monkeypatch.setattr(edge.listener, "_log", log)
    full = Mock(register=Mock(side_effect=OSError(errno.ENOSPC, "no space")))
    monkeypatch.setattr(edge.seats, "_poller", full)
    with socket.create_connection(("127.0.0.1", edge.listener.port)) as client:
        await edge.until(lambda: log.warning.called)
        assert client.recv(1) == b""
    monkeypatch.setattr(edge.seats, "_poller", real)
    await edge.held("/sub?id=room")


async def test_a_client_that_closes_behind_its_bytes_is_over_in_one_turn(edge: EdgeWithoutRedis) -> None:
    """A whole head arrives at once, and its end is known with it: such clients do not keep newcomers waiting."""
    if "Selector" in type(edge.poller).__name__:
        pytest.skip("without epoll the end is noticed a turn later")
    with socket.create_connection(("127.0.0.1", edge.listener.port)) as client:
        client.sendall(b"GET /sub?id=room HTTP/1.1\r\nX: " + b"a" * 15_000)
    edge.listener.on_ready()
    assert len(edge.seats) == 1
    edge.listener.on_ready()
    assert len(edge.seats) == 0


@pytest.mark.parametrize("reading", [True, False])
async def test_a_client_that_hangs_up_leaves_its_channel(edge: EdgeWithoutRedis, reading: bool) -> None:
    """A closed connection is noticed at once, also while nothing is read from it."""
    if not reading and "Selector" in type(edge.poller).__name__:
        pytest.skip("without epoll a hang-up is noticed when the poll is answered")
    client = await edge.held(POLL, transport="poll")
    if not reading:
        await client.send(head(POLL))
        await edge.until(lambda: any(seat.recv_buffer for seat in edge.seats))
    client.close()
    await edge.until(lambda: len(edge.seats) == 0)
    assert not edge.hub.channels["room"].is_occupied


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_out_of_descriptors_accepting_pauses(
    edge: EdgeWithoutRedis, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop does not spin on a connection it cannot take; after a pause it goes on."""
    log, real = Mock(), edge.listener._sockets
    monkeypatch.setattr(listener_module, "EXHAUSTED_PAUSE", 0)
    monkeypatch.setattr(edge.listener, "_log", log)
    full = Mock(_accept=Mock(side_effect=OSError(error, "no more")))
    monkeypatch.setattr(edge.listener, "_sockets", dict.fromkeys(real, full))
    with socket.create_connection(("127.0.0.1", edge.listener.port)):
        edge.listener._accept()
        assert edge.poller.poll(0, 10) == []  # a connection waits, and the loop is not woken for it
    log.warning.assert_called_once()
    monkeypatch.setattr(edge.listener, "_sockets", real)
    await edge.held("/sub?id=room")


async def test_a_client_that_went_before_it_was_accepted_is_no_error(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is gone already costs nothing and is not worth a line in the log."""
    log, real = Mock(), edge.listener._sockets
    monkeypatch.setattr(edge.listener, "_log", log)
    gone = Mock(_accept=Mock(side_effect=OSError(errno.ECONNABORTED, "gone")))
    monkeypatch.setattr(edge.listener, "_sockets", dict.fromkeys(real, gone))
    edge.listener._accept()
    monkeypatch.setattr(edge.listener, "_sockets", real)
    assert not log.warning.called
    await edge.held("/sub?id=room")


async def test_who_asks_does_not_wait_for_those_who_take_much(
    edge: EdgeWithoutRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While seats are behind, requests go first, and only some of those seats are flushed in a turn."""
    monkeypatch.setattr(listener_module, "FLUSHES_PER_TURN", 2)
    for _ in range(20):
        await edge.held("/stream?id=room")
    edge.loop.remove_reader(edge.poller.fileno())
    for seat in edge.seats:
        edge.seats.write(seat, b"m" * 100_000)
    asking = await edge.loop.run_in_executor(None, socket.create_connection, ("127.0.0.1", edge.listener.port))
    with asking:
        edge.listener.on_ready()
        asking.sendall(head("/poll?id=room&timeout=0"))
        before = sum(seat.send_buffer is not None for seat in edge.seats)
        edge.listener.on_ready()
        assert asking.recv(15) == b"HTTP/1.1 200 OK"
        assert sum(seat.send_buffer is not None for seat in edge.seats) >= before - 2 > 0
        while edge.seats.parked:
            edge.listener.on_ready()
    edge.loop.add_reader(edge.poller.fileno(), edge.listener.on_ready)
