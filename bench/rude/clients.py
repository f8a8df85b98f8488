"""Clients that misbehave: they talk, half-close, reset, read a byte at a time, or never speak."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SMALLEST_BUFFER = 1  # the kernel takes the least it has


def send_bytes(client: socket.socket) -> None:
    """Send bytes into a stream, on which the server expects none."""
    client.send(b"x" * 100)


def half_close(client: socket.socket) -> None:
    """Close the sending half."""
    client.shutdown(socket.SHUT_WR)


def reset(client: socket.socket) -> None:
    """Reset the connection, whatever is on its way."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def nibble(client: socket.socket) -> None:
    """Read one byte, if there is any; the edge may have ended the connection."""
    try:
        client.recv(1)
    except OSError:
        return


def for_each(act: Callable[[socket.socket], None], clients: list[socket.socket]) -> None:
    """Do it with each client."""
    for client in clients:
        act(client)


def connect(port: int, request: bytes) -> socket.socket:
    """Open a connection with the smallest buffer there is, and send a request or nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BUFFER)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    client.sendall(request)
    return client


@contextmanager
def connected(port: int, count: int, request: bytes) -> Iterator[list[socket.socket]]:
    """Hold `count` connections while the block runs."""
    clients = [connect(port, request) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()
