"""A client that attaches very often: bare sockets, and no more of the answers is read than the checker needs."""

import json
import random
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing

from tests.cluster.clients import HOST, READ_DEADLINE
from tests.faults.checker import Entry, Log
from tests.faults.follower import from_batch, from_object

CHUNK = 1 << 18
TRANSPORTS = ("poll", "jsonp", "stream", "sse")
SHARES = (45, 30, 13, 12)  # percent: polls share a connection, the others have one of their own
FROM_NOW_ON = 0.1  # the share of attaches without a position
QUIET = 0.1  # the share of attaches to quiet channels


class Places:
    """The channels, and the newest positions that were seen on each.

    `busy` ones are always held. `quiet` ones are given up between two attaches, so that each meets a SUBSCRIBE and a
    sync; no client waits for a message there.
    """

    def __init__(self, busy: Sequence[str], quiet: Sequence[str]) -> None:
        self.busy, self.quiet = busy, quiet
        self._seen: dict[str, deque[str]] = {name: deque(maxlen=10) for name in (*busy, *quiet)}

    def since(self, channel: str, dice: random.Random) -> str:
        """Return where to go on from; nothing for from now on."""
        seen = list(self._seen[channel])
        return dice.choice(seen) if seen and dice.random() > FROM_NOW_ON else ""

    def note(self, channel: str, seq: str) -> None:
        """Keep a position for the next client that attaches."""
        self._seen[channel].append(seq)


class Attacher(threading.Thread):
    """Attaches again and again: any transport, channel and edge, from now on or from a position seen before."""

    def __init__(self, ports: Sequence[int], places: Places, attaches: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.logs: list[Log] = []
        self.error: BaseException | None = None
        self._lines = [Line(port) for port in ports]
        self._attaches = attaches
        self._dice = random.Random(seed)
        self._places = places

    def run(self) -> None:
        """Attach a number of times; never dies silently."""
        try:
            for number in range(self._attaches):
                self._attach(number)
        except Exception as error:
            self.error = error
        finally:
            for line in self._lines:
                line.close()

    def _attach(self, number: int) -> None:
        if self._dice.random() < QUIET:
            channel, transport, more = self._dice.choice(self._places.quiet), "poll", "&timeout=0"
        else:
            channel, more = self._dice.choice(self._places.busy), ""
            (transport,) = self._dice.choices(TRANSPORTS, SHARES)
        since = self._places.since(channel, self._dice)
        log = Log(f"attach {number} by {transport} since {since!r}", channel)
        log.entries += [Entry("welcome", seq=since)] if since else []
        while True:
            log.entries += self._dice.choice(self._lines).attach(transport, channel, f"since={since}{more}")
            since = log.entries[-1].seq
            if more or any(entry.kind != "welcome" for entry in log.entries):
                break  # and a client whose poll ended without a message polls on
        self.logs.append(log)
        self._places.note(channel, since)


class Line:
    """One edge, and the connection to it that polls share."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._shared: socket.socket | None = None

    def attach(self, transport: str, channel: str, query: str) -> list[Entry]:
        """Attach once and return what came, up to a few messages."""
        request = f"GET /{transport}?id={channel}&callback=f&{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        if transport in {"stream", "sse"}:
            with closing(self._connect()) as raw:
                raw.sendall(request)
                return _read_stream(raw) if transport == "stream" else _read_events(raw)
        self._shared = self._shared or self._connect()
        self._shared.sendall(request)
        body = _read_answer(self._shared)
        return list(from_batch(json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])))

    def close(self) -> None:
        """Close the shared connection."""
        if self._shared is not None:
            self._shared.close()

    def _connect(self) -> socket.socket:
        return socket.create_connection((HOST, self._port), READ_DEADLINE)


def _receive(raw: socket.socket) -> bytes:
    data = raw.recv(CHUNK)
    assert data, "the edge has closed the connection"
    return data


def _read_answer(raw: socket.socket) -> bytes:
    """Read one whole answer; return its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(raw)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), data[:300]
    (length,) = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < length:
        body += _receive(raw)
    return body


def _lines(raw: socket.socket) -> Iterator[bytes]:
    """Give the lines of an answer that goes on, sizes of chunks included."""
    rest = b""
    while True:
        *lines, rest = (rest + _receive(raw)).split(b"\n")
        yield from lines


def _read_stream(raw: socket.socket) -> list[Entry]:
    """Read the welcome and two messages."""
    entries: list[Entry] = []
    for line in _lines(raw):
        if line.startswith(b'{"'):
            entries.append(from_object(json.loads(line)))
            if len(entries) == 3:
                break
    return entries


def _read_events(raw: socket.socket) -> list[Entry]:
    """Read the welcome and one message."""
    entries: list[Entry] = []
    fields: dict[str, str] = {}
    for line in _lines(raw):
        name, colon, value = line.decode().partition(": ")
        if colon and name in {"id", "event", "data"}:
            fields[name] = value
        elif not line and "data" in fields:
            kind = fields.get("event", "data")
            entries.append(Entry(kind, fields["data"] if kind == "data" else "", fields["id"]))
            fields = {}
            if len(entries) == 2:
                break
    return entries
