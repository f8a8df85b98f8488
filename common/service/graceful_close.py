"""Closing a listener without losing a connection: those that the kernel has accepted are served, later ones refused.

A listener that closes resets every connection in its accept queue, with the request that its client has sent already.
Accepting until the queue is empty is not enough: a connection may arrive between the last look and the close. So new
connections are kept out first: their SYN is dropped, the client sends it again after a second, and is refused then.
"""

import asyncio
import ctypes
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress

from aiohttp import web

HANDSHAKE_TIMEOUT = 0.1  # seconds in which a handshake that has begun is complete
LAST_REQUEST_TIMEOUT = 1.0  # seconds in which a request that is on its way on an open connection is still served
POLL_INTERVAL = 0.01  # seconds between two looks

# A program of the classic BPF, for a packet that begins with its TCP header (RFC 9293 section 3.1: byte 13 has SYN, 2,
# and ACK, 16): drop it if it is a SYN without ACK, else accept all of it. Each step is code, jump if true, jump if
# false, value.
_DROP_NEW = ((0x30, 0, 0, 13), (0x54, 0, 0, 18), (0x15, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it


def refuse_new(listener: socket.socket) -> None:
    """Let a listening socket take no connection but those whose handshake has begun; only Linux can do that."""
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _DROP_NEW))
    with suppress(OSError):  # a system that allows no filters: closing is then as safe as without them
        sock_fprog = struct.pack("@HP", len(_DROP_NEW), ctypes.addressof(program))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, sock_fprog)


async def stop_accepting(runner: web.AppRunner) -> None:
    """Accept every connection in the queue, stop listening, and serve until all are closed or time is up.

    Each answer must be its connection's last by now. `runner.cleanup()` closes the connections that are idle after
    LAST_REQUEST_TIMEOUT seconds.
    """
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket(fileno=os.dup(one.fileno()))) for one in _sockets(runner)]
        for listener in listeners:
            refuse_new(listener)
        await asyncio.sleep(HANDSHAKE_TIMEOUT)
        await _wait_while(lambda: _has_queued(listeners))
        for site in runner.sites:
            await site.stop()
    await asyncio.sleep(POLL_INTERVAL)  # a connection that was accepted in this turn is not in the list yet
    await _wait_while(lambda: runner.server is not None and bool(runner.server.connections))


async def _wait_while(condition: Callable[[], bool]) -> None:
    """Wait as long as the condition holds, at most LAST_REQUEST_TIMEOUT seconds."""
    clock = asyncio.get_running_loop().time
    until = clock() + LAST_REQUEST_TIMEOUT
    while condition() and clock() < until:  # noqa: ASYNC110  # it ends at the deadline anyway
        await asyncio.sleep(POLL_INTERVAL)


def _sockets(runner: web.AppRunner) -> list[socket.socket]:
    servers = [site._server for site in runner.sites]
    return [one for server in servers if server is not None for one in server.sockets]  # type: ignore[attr-defined]


def _has_queued(listeners: list[socket.socket]) -> bool:
    """Say whether a connection waits in an accept queue."""
    return bool(select.select(listeners, [], [], 0)[0])
