"""Connecting to a host that has several addresses, of which some may be dead."""

import asyncio
import socket

from aiohappyeyeballs import start_connection

ADDRESS_DELAY = 0.2  # seconds until the next address of a host is tried as well


async def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is connected to a host, whose dead addresses cost a moment each; raises `OSError`.

    On asyncio's loops `create_connection` can do this as well, on uvloop's it cannot.
    """
    addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await start_connection(addresses, happy_eyeballs_delay=ADDRESS_DELAY)
