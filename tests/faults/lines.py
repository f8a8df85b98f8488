"""Clients on slow lines: they read without a pause, as fast as their line carries it and no faster."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"
MBIT = 125_000  # bytes
STEP = 0.02  # seconds between two reads
RECEIVE_BUFFER = 8_192  # what is under way on a line besides
MAX_CREDIT = 0.1  # seconds: a line keeps nothing for later
PATIENCE = 60.0
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


class EndedError(Exception):
    """The server ended the connection."""


class Line:
    """A connection of some bytes a second, on which a request was sent."""

    def __init__(self, client: socket.socket, rate: float) -> None:
        self.data = bytearray()
        self._client = client
        self._rate = rate
        self._credit = 0.0  # bytes that the line could have carried and did not yet
        self._at = time.monotonic()

    def read_until(self, end: bytes) -> bytes:
        """Read until some bytes came; raises `EndedError` if the connection ended before."""
        deadline = time.monotonic() + PATIENCE
        while end not in self.data[-70_000:]:
            assert time.monotonic() < deadline, "it did not come in time"
            self.read_on()
        return bytes(self.data)

    def read_for(self, seconds: float) -> bytes:
        """Read for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read_on()
        return bytes(self.data)

    def read_on(self) -> None:
        """Wait for a moment, and read what the line has carried meanwhile."""
        time.sleep(STEP)  # the line's own pace
        now = time.monotonic()
        self._credit = min(self._credit + self._rate * (now - self._at), self._rate * MAX_CREDIT)
        self._at = now
        while self._credit >= 1 and (more := self._receive(int(self._credit))):
            self._credit -= len(more)
            self.data += more

    def _receive(self, count: int) -> bytes:
        try:
            more = self._client.recv(count)
        except BlockingIOError:
            return b""
        except ConnectionError:
            more = b""
        if not more:
            raise EndedError(f"after {len(self.data)} bytes")
        return more


@contextmanager
def on_a_line(port: int, target: str, rate: float) -> Iterator[Line]:
    """Send a GET by a client that takes `rate` bytes a second; `/ws` is asked for as a WebSocket."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        client.connect((HOST, port))
        headers = HANDSHAKE if target.startswith("/ws") else ""
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        client.setblocking(False)
        yield Line(client, rate)
