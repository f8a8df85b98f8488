"""Mutated requests and frames, and a client that sends thousands of them at a time and keeps what comes back."""

import random
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from common.position import NameList
from tests.cluster.processes import HOST
from tests.fuzz.positions import sealed

AT_A_TIME = 256
QUIET = 0.1  # seconds after which an answer that has begun is over, as far as we wait for it
PATIENCE = 1.0  # seconds for its first byte
SOURCES = 10  # addresses, each of which has its own ports
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
UPGRADED = b"HTTP/1.1 101 "
HANDSHAKE = (
    "GET /ws?id={0} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
REQUESTS = (
    "GET /poll?id={0}&since=0&timeout=0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /poll?id={0}&id=b&history=2&timeout=0&session=0123456789abcdef HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n",
    "GET /poll?id={0}&since={1}&timeout=0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /poll?id={0}&since={2}&timeout=0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /sse?id={0} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {2}\r\n\r\n",
    "GET /poll?id={0}&since={0}=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /jsonp?id={0}&since=0&callback=page.show HTTP/1.1\r\nHost: x\r\nReferer: http://x/y\r\n\r\n",
    "GET /sse?id={0}&envelope=1 HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 1-17\r\nAccept: text/event-stream\r\n\r\n",
    "GET /sub?id={0}&history=3 HTTP/1.0\r\n\r\n",
    "GET /iframe?id={0}&since=0&callback=f HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\n\r\n",
    'POST /sub/ffffffff.AAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n[{{"op":"ping"}}]',
    "OPTIONS /sub HTTP/1.1\r\nHost: x\r\nOrigin: http://y\r\nAccess-Control-Request-Headers: x-y\r\n\r\n",
    HANDSHAKE,
)
MESSAGES = (
    '{{"op":"sub","id":"{0}","since":0,"ref":1}}',
    '{{"op":"sub","id":"{0}-more","history":10}}',
    '[{{"op":"unsub","id":"{0}"}},{{"op":"ping","ref":"p"}},{{"op":"sub","id":"{0}","since":"1-17"}}]',
    '{{"op":"ping"}}',
)
TOKENS = (
    b"\r\n",
    b"\n",
    b"\0",
    b"%00",
    b"&",
    b"=",
    b",",
    b":",
    b" ",
    b"\xff",
    b"\xed\xa0\x80",
    b"\x80",
    b"\x88",
    b"\x8a",
    b"-",
    b"0",
    b"9" * 20,
)

Mutation = Callable[[random.Random, bytes], bytes]


def listed(channel: str) -> NameList:
    """Return the list of names that the compact cursors of a channel refer to; an edge finds it in Redis."""
    return NameList([channel])


def cursors(channel: str) -> tuple[str, str]:
    """Return compact cursors from which a channel's whole history follows: without its name, and with it."""
    return f"~{sealed('', bytes(16))}", listed(channel).cursor({channel: "0-0"})


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Return bytes of which some are replaced, left out, doubled, or have others put before them."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at, size = chance.randrange(len(found) + 1), chance.randint(0, 8)
        part = bytes(found[at : at + size])
        found[at : at + size] = chance.choice(
            [b"", part * 2, chance.choice(TOKENS), chance.randbytes(size), part + chance.choice(TOKENS)]
        )
    return bytes(found)


def frame(chance: random.Random, channel: str) -> bytes:
    """Return a client's frame; its mask is all zeros, so that a changed byte is a changed character."""
    opcode = chance.choice((1, 1, 1, 1, 0, 2, 8, 9, 10))
    text = chance.choice(MESSAGES).format(channel).encode()
    payload = {8: b"\x03\xe8bye", 9: b"are you there", 10: b"", 0: text[9:]}.get(opcode, text)
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0xFE]) + len(payload).to_bytes(2)
    first = opcode | chance.choice((0x80, 0x80, 0x80, 0))
    return bytes([first]) + size + b"\0\0\0\0" + payload


class Conversation:
    """What is sent on one connection, of one channel: mutated requests, or mutated frames after a sound handshake."""

    def __init__(self, chance: random.Random, channel: str) -> None:
        self.channel = channel
        self.received = b""
        self.shuts_down = chance.random() < 0.5  # its side, when all is sent
        self.began = self.heard = time.monotonic()
        if chance.random() < 0.5:
            filled = (channel, *cursors(channel))
            requests = [chance.choice(REQUESTS).format(*filled).encode() for _ in range(chance.randint(1, 3))]
            parts, self.data = requests, b""
        else:
            parts = [frame(chance, channel) for _ in range(chance.randint(1, 5))]
            self.data = HANDSHAKE.format(channel).encode()
        self.count = len(parts)
        self.data += b"".join(mutated(chance, part) for part in parts)

    def is_over(self, now: float) -> bool:
        """Say whether nothing more is expected."""
        return now > (self.heard + QUIET if self.received else self.began + PATIENCE)

    @property
    def statuses(self) -> list[int]:
        """The statuses of the answers."""
        return [int(status) for status in STATUS.findall(self.received)]

    @property
    def close_code(self) -> int:
        """The code of the close frame that ends a WebSocket, 0 for none; fails if other than frames came."""
        head, _, frames = self.received.partition(b"\r\n\r\n")
        while head.startswith(UPGRADED) and len(frames) > 1 and len(frames) >= 2 + frames[1]:
            assert frames[0] in {0x81, 0x88, 0x89, 0x8A}, frames
            start = 2 if frames[1] < 126 else 4
            size = frames[1] if frames[1] < 126 else int.from_bytes(frames[2:4])
            if frames[0] == 0x88:
                return int.from_bytes(frames[2:4])
            frames = frames[start + size :]
        return 0


def conversations(seed: int, channels: tuple[str, ...], count: int) -> Iterator[Conversation]:
    """Yield conversations of this many requests and frames together, the same ones for the same seed."""
    chance, sent = random.Random(seed), 0
    while sent < count:
        one = Conversation(chance, chance.choice(channels))
        sent += one.count
        yield one


class Crowd:
    """Has conversations with a server, many at a time; `statuses` and `codes` count how they were answered."""

    def __init__(self, port: int, look: Callable[[Conversation], None]) -> None:
        self.count = 0
        self.statuses: Counter[int] = Counter()
        self.codes: Counter[int] = Counter()
        self._port = port
        self._look = look
        self._dialled = 0
        self._poller = select.epoll()
        self._open: dict[int, tuple[socket.socket, Conversation]] = {}

    def have(self, conversations: Iterator[Conversation]) -> None:
        """Have them all, and give each to `look` at its end."""
        with self._poller:
            for one in conversations:
                self._begin(one)
                while len(self._open) >= AT_A_TIME:
                    self._turn()
            while self._open:
                self._turn()

    def _begin(self, one: Conversation) -> None:
        self._dialled += 1
        raw = socket.create_connection((HOST, self._port), 5, (f"127.0.1.{1 + self._dialled % SOURCES}", 0))
        one.began = time.monotonic()
        with suppress(ConnectionError):  # it may have refused the first of it already
            raw.sendall(one.data)
            if one.shuts_down:
                raw.shutdown(socket.SHUT_WR)
        raw.setblocking(False)
        self._open[raw.fileno()] = raw, one
        self._poller.register(raw.fileno(), select.EPOLLIN)

    def _turn(self) -> None:
        for fd, _ in self._poller.poll(QUIET / 4):
            self._read(*self._open[fd])
        now = time.monotonic()
        for raw, one in [each for each in self._open.values() if each[1].is_over(now)]:
            self._end(raw, one)

    def _read(self, raw: socket.socket, one: Conversation) -> None:
        try:
            data = raw.recv(65536)
        except ConnectionError:
            data = b""
        one.received += data
        one.heard = time.monotonic()
        if not data:
            self._end(raw, one)

    def _end(self, raw: socket.socket, one: Conversation) -> None:
        del self._open[raw.fileno()]
        raw.close()  # the poller forgets it
        self.count += one.count
        self.statuses.update(one.statuses)
        self.codes[one.close_code] += 1
        self._look(one)
