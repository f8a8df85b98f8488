"""Requests as bytes and as objects, and an HTTP client on one TCP connection."""

import asyncio
import json
import socket
import struct
from typing import Any, NamedTuple

from edge.protocol.http import Request

PATIENCE = 5.0  # seconds until a test gives up on something that should happen at once


def head(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Return the bytes of a request head; HTTP/1.1 gets its Host header."""
    lines = [f"{method} {target} HTTP/{version}", *(["Host: edge"] if version == "1.1" else []), *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def get(path: str, query: str = "", **headers: str) -> Request:
    """Return a parsed GET; a header's name is written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", path, query, named, http10=False, keep_alive=True)


class Answer(NamedTuple):
    """One HTTP response that has a length."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def contents(self) -> list[str]:
        """The contents of the messages that a poll's answer brings."""
        return [message["content"] for message in self.json["messages"]]


class HttpClient:
    """One TCP connection to the edge, byte by byte."""

    def __init__(self, sock: socket.socket) -> None:
        self.received = b""
        self._socket = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        async with asyncio.timeout(PATIENCE):
            await self._loop.sock_sendall(self._socket, data)

    async def until(self, end: bytes) -> bytes:
        """Return what comes, up to and including `end`."""
        async with asyncio.timeout(PATIENCE):
            while end not in self.received:
                data = await self._loop.sock_recv(self._socket, 65536)
                assert data, f"the connection ended before {end!r} came; there was {self.received!r}"
                self.received += data
        taken, _, self.received = self.received.partition(end)
        return taken + end

    async def more(self) -> bytes:
        """Return some bytes; fail at the end of the connection."""
        async with asyncio.timeout(PATIENCE):
            data = await self._loop.sock_recv(self._socket, 65536)
        assert data, f"the connection ended; there was {self.received!r}"
        return data

    async def rest(self) -> bytes:
        """Return everything up to the end of the connection."""
        async with asyncio.timeout(PATIENCE):
            while data := await self._loop.sock_recv(self._socket, 65536):
                self.received += data
        taken, self.received = self.received, b""
        return taken

    async def answer(self, *, body: bool = True) -> Answer:
        """Return the next response that has a Content-Length; `body=False` after a HEAD."""
        lines = (await self.until(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:-2])
        length = int(headers.get("content-length", "0")) if body else 0
        async with asyncio.timeout(PATIENCE):
            while len(self.received) < length:
                self.received += await self._loop.sock_recv(self._socket, 65536)
        taken, self.received = self.received[:length], self.received[length:]
        return Answer(int(lines[0].split()[1]), headers, taken)

    async def ask(self, data: bytes) -> Answer:
        """Send a request and return its answer."""
        await self.send(data)
        return await self.answer()

    def end(self) -> None:
        """Close this side of the connection: nothing more is sent, and all that comes is still read."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def reset(self) -> None:
        """Tear the connection down so that the other side's next write fails."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
