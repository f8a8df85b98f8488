"""Closing a listener without losing anybody: whoever the kernel has accepted is served, whoever comes later is refused.

A listener that closes resets every connection that waits in it, with the request that its client has sent already. To
accept until nobody waits is not enough, since the next one may come between the last look and the close. So newcomers
are held off first: their SYN is dropped, they send it again after a second, and then nobody listens.
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

HANDSHAKE = 0.1  # seconds in which a handshake that has begun comes to its end
LAST_WORD = 1.0  # seconds in which a request that is on its way on an open connection still comes in time
LOOK = 0.01

# A program of the classic BPF, for a packet that begins with its TCP header (RFC 9293 section 3.1: byte 13 has SYN, 2,
# and ACK, 16): drop it if it is a SYN without ACK, else take it whole. The fields: code, jump if true, if false, value.
_DROP_NEW = ((0x30, 0, 0, 13), (0x54, 0, 0, 18), (0x15, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it


def refuse_new(listening: socket.socket) -> None:
    """Let a listening socket take no new connection but those whose handshake has begun; only Linux can do that."""
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _DROP_NEW))
    with suppress(OSError):  # a system that allows no filters: as good as it was without
        where = struct.pack("@HP", len(_DROP_NEW), ctypes.addressof(program))
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, where)


async def stop_accepting(runner: web.AppRunner) -> None:
    """Stop listening, having taken everybody who was there, and serve until all have gone or LAST_WORD is over.

    Each answer must be its connection's last by now. `runner.cleanup()` closes those that are idle then.
    """
    with ExitStack() as stack:
        doors = [stack.enter_context(socket.socket(fileno=os.dup(one.fileno()))) for one in _sockets(runner)]
        for door in doors:
            refuse_new(door)
        await asyncio.sleep(HANDSHAKE)
        await _while(lambda: _somebody_waits(doors))
        for site in runner.sites:
            await site.stop()
    await asyncio.sleep(LOOK)  # a connection that was accepted in this turn is not in the list yet
    await _while(lambda: runner.server is not None and bool(runner.server.connections))


async def _while(so: Callable[[], bool]) -> None:
    """Wait until it is no longer so, or LAST_WORD is over."""
    clock = asyncio.get_running_loop().time
    until = clock() + LAST_WORD
    while so() and clock() < until:  # noqa: ASYNC110  # it ends at the deadline anyway
        await asyncio.sleep(LOOK)


def _sockets(runner: web.AppRunner) -> list[socket.socket]:
    servers = [site._server for site in runner.sites]
    return [one for server in servers if server is not None for one in server.sockets]  # type: ignore[attr-defined]


def _somebody_waits(doors: list[socket.socket]) -> bool:
    return bool(select.select(doors, [], [], 0)[0])
