"""One subscribe connection to Redis: requests out in batches, replies in (rules B1, B4 and B5 of pubsub.py)."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import hiredis

from common.redis.client import Endpoint

BATCH = 512  # names in one SUBSCRIBE: large enough to be cheap, small enough not to hold Redis up
USER_TIMEOUT_MS = 5000

SUBSCRIBE, UNSUBSCRIBE, MESSAGE, OK = b"subscribe", b"unsubscribe", b"message", b"OK"
_INCOMPLETE = object()

Take = Callable[[bytes], None]  # what gets each message of one of a process's own channels


class Receiver(Protocol):
    """What a link tells; every call is made from the event loop and must not block."""

    def on_message(self, name: bytes, payload: bytes) -> None:
        """A message arrived on the pub/sub channel `name`."""

    def on_read_end(self) -> None:
        """Everything that one read from the socket brought has been handed over."""

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Redis acknowledged the subscription that was asked for with this attempt number."""


class PubSubConnection(asyncio.Protocol):
    """A connection from its opening to its loss; `own` are the channels that it has from the start."""

    def __init__(self, receiver: Receiver, endpoint: Endpoint, own: Mapping[bytes, Take]) -> None:
        self.ready = asyncio.Event()  # its own channels are subscribed: the server talks to us
        self.lost = asyncio.Event()
        self.on_lost: Callable[[], None] = lambda: None
        self.error: BaseException | None = None
        self._receiver = receiver
        self._endpoint = endpoint
        self._own = own
        self._unheard = set(own)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._asked: list[tuple[bytes, bytes, int]] = []
        self._expected: deque[tuple[bytes, bytes, int]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves and subscribe to our own channels."""
        self._transport = transport  # type: ignore[assignment]  # a TCP or UNIX transport reads and writes
        _set_keepalive(transport.get_extra_info("socket"))
        if self._endpoint.password:
            user = (self._endpoint.username,) if self._endpoint.username else ()
            self._command("AUTH", *user, self._endpoint.password)
        for name in self._own:
            self.ask(SUBSCRIBE, name, 0)

    def connection_lost(self, error: BaseException | None) -> None:
        """Remember why, and let the bus go on."""
        self.error = self.error or error
        self.ready.set()
        self.lost.set()
        self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Hand over every complete reply of one read."""
        reader, on_message, own = self._reader, self._receiver.on_message, self._own
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _INCOMPLETE:
                if type(reply) is not list or reply[0] != MESSAGE:
                    self._on_control(reply)
                elif (take := own.get(reply[1])) is None:
                    on_message(reply[1], reply[2])
                else:
                    take(reply[2])
        except hiredis.HiredisError as error:
            self.fail(error)
        self._receiver.on_read_end()

    def ask(self, verb: bytes, name: bytes, attempt: int) -> None:
        """Queue a SUBSCRIBE or UNSUBSCRIBE; all of one loop turn go out together."""
        if not self._asked:
            self._loop.call_soon(self._send_asked)
        self._asked.append((verb, name, attempt))

    def close(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: BaseException) -> None:
        """End the connection because of what it sent."""
        self.error = self.error or error
        self.close()

    def _send_asked(self) -> None:
        """Send what was asked for in this turn: runs of one verb, at most BATCH names each."""
        asked, self._asked = self._asked, []
        start = 0
        for end in range(1, len(asked) + 1):
            if end == len(asked) or asked[end][0] != asked[start][0] or end - start == BATCH:
                self._send(asked[start][0].upper(), *[name for _, name, _ in asked[start:end]])
                start = end
        self._expected.extend(asked)

    def _command(self, *words: str) -> None:
        self._expected.append((OK, b"", 0))
        self._send(*words)

    def _send(self, *words: Any) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(hiredis.pack_command(words))

    def _on_control(self, reply: Any) -> None:
        """Take anything but a message: an acknowledgement, an error."""
        if isinstance(reply, Exception):
            self.fail(reply)
        else:
            self._on_acknowledgement(reply)

    def _on_acknowledgement(self, reply: Any) -> None:
        verb, name = (reply[0], reply[1]) if type(reply) is list else (reply, b"")
        if not self._expected or self._expected[0][:2] != (verb, name):
            self.fail(ConnectionError(f"redis sent an unexpected reply: {reply!r:.200}"))
            return
        _, _, attempt = self._expected.popleft()
        if verb != SUBSCRIBE:
            return
        if name not in self._own:
            self._receiver.on_subscribed(name, attempt)
            return
        self._unheard.discard(name)
        if not self._unheard:
            self.ready.set()


def _set_keepalive(sock: socket.socket) -> None:
    """Let the kernel find out about a peer that vanished."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
