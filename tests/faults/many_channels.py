"""Very many channels over few connections: each holds as many as one may."""

import selectors
import socket
import time
from collections.abc import Sequence
from urllib.parse import urlencode

import orjson

from tests.cluster.clients import HOST

MAX_CHANNELS = 128  # on one connection
CHUNK = 1 << 20


class ManyChannelStreams:
    """Streams that hold `channels` on one edge, welcomed one after the other; `read` takes in what came."""

    def __init__(self, port: int, channels: Sequence[str]) -> None:
        self.contents: dict[str, list[str]] = {name: [] for name in channels}
        self.resets = self.messages = self.welcomes = 0
        self._selector = selectors.DefaultSelector()
        self._rests: dict[socket.socket, bytes] = {}
        for start in range(0, len(channels), MAX_CHANNELS):
            self._open(port, channels[start : start + MAX_CHANNELS])
            while self.welcomes < min(start + MAX_CHANNELS, len(channels)):
                self.read()

    @property
    def connections(self) -> int:
        """How many connections stand."""
        return len(self._rests)

    def read(self, timeout: float = 0.05) -> None:
        """Take in what has come; a connection that ended is no longer counted."""
        for key, _ in self._selector.select(timeout):
            raw = key.fileobj
            assert isinstance(raw, socket.socket)
            data = raw.recv(CHUNK)
            if not data:
                self._selector.unregister(raw)
                del self._rests[raw]
                raw.close()
                continue
            *lines, self._rests[raw] = (self._rests[raw] + data).split(b"\n")
            for line in lines:
                if line.startswith(b'{"'):  # not a chunk size, not a heartbeat
                    self._take(orjson.loads(line))

    def read_until(self, messages: int, deadline: float) -> float:
        """Read until this number of messages has come in all; return the seconds it took."""
        began = time.monotonic()
        while self.messages < messages:
            assert time.monotonic() - began < deadline, f"{self.messages} of {messages} messages in {deadline} s"
            self.read()
        return time.monotonic() - began

    def close(self) -> None:
        """Close every connection."""
        for raw in self._rests:
            raw.close()
        self._selector.close()

    def _open(self, port: int, channels: Sequence[str]) -> None:
        raw = socket.create_connection((HOST, port), 10)
        query = urlencode([("id", name) for name in channels])
        raw.sendall(f"GET /stream?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self._rests[raw] = b""
        self._selector.register(raw, selectors.EVENT_READ)

    def _take(self, item: dict[str, str]) -> None:
        if item["type"] == "data":
            self.contents[item["id"]].append(item["content"])
            self.messages += 1
        else:
            self.welcomes += item["type"] == "welcome"
            self.resets += item["type"] == "reset"
