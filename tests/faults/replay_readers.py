"""Readers of the whole history of some channels, in a process of their own.

The arguments are `transport port seconds clients messages channel …`. Each client reads all of it on a stream, or with
as many polls as that takes, and begins anew. The last line of the output tells as JSON how many times the history was
read, how many clients were refused or cut off, and how many resets there were.
"""

import json
import re
import selectors
import socket
import sys
import time
from urllib.parse import urlencode

HOST = "127.0.0.1"
CHUNK = 1 << 20
KEPT = 40  # bytes of what was read before: what is counted may be cut in two
DATA, RESET = b'"type":"data"', b'"type":"reset"'
SEQ = re.compile(rb'{"seq":"([^"]*)"')


class Reader:
    """One client; `left` are the messages that it has not seen yet."""

    def __init__(self, transport: str, port: int, channels: list[str], messages: int) -> None:
        self.polls = transport == "poll"
        self.left = messages
        self.resets = 0
        self.is_refused = False
        self.raw = socket.create_connection((HOST, port), 20)
        self._channels = channels
        self._ask("0")

    def _ask(self, since: str) -> None:
        query = urlencode([("since", since), *(("id", name) for name in self._channels)])
        self.raw.setblocking(True)
        self.raw.sendall(f"GET /{'poll' if self.polls else 'stream'}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.raw.setblocking(False)
        self._start = self._end = b""

    def read(self) -> bool:
        """Take in what is there; return whether it is over."""
        try:
            data = self.raw.recv(CHUNK)
        except ConnectionError:
            data = b""
        text = self._end + data
        self.left -= text.count(DATA) - self._end.count(DATA)
        self.resets += text.count(RESET) - self._end.count(RESET)
        self._start, self._end = (self._start + data[:CHUNK])[:8000], text[-KEPT:]
        self.is_refused |= len(self._start) > 15 and not self._start.startswith(b"HTTP/1.1 200")
        if self.polls and self.left > 0 and self._end.endswith(b"]}\n"):
            found = SEQ.search(self._start)
            self._ask(found[1].decode() if found else "0")
        return not data or self.left <= 0


def main(transport: str, port: int, seconds: float, clients: int, messages: int, channels: list[str]) -> None:
    """Read for some seconds."""
    counts = {"whole": 0, "early": 0, "refused": 0, "resets": 0}
    selector = selectors.DefaultSelector()

    def begin() -> None:
        one = Reader(transport, port, channels, messages)
        selector.register(one.raw, selectors.EVENT_READ, one)

    for _ in range(clients):
        begin()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(0.2):
            one = key.data
            if one.read():
                selector.unregister(one.raw)
                one.raw.close()
                counts["refused" if one.is_refused else "early" if one.left > 0 else "whole"] += 1
                counts["resets"] += one.resets
                begin()
    sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    transport, port, seconds, clients, messages, *channels = sys.argv[1:]
    main(transport, int(port), float(seconds), int(clients), int(messages), channels)
