"""One subscribe connection to Redis: batched requests out, replies in (rules B1, B4 and B5 of pubsub.py)."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import hiredis
from redis import RedisError

from common.logs import get_logger
from common.redis.answers import MAX_BULK_BYTES, Claims, WrongAnswerError, shown, wrong_answer
from common.redis.client import KEEPALIVE, Endpoint

MAX_NAMES_PER_COMMAND = 512  # in one SUBSCRIBE: large enough to be cheap, small enough not to hold Redis up

SUBSCRIBE, UNSUBSCRIBE, MESSAGE, OK = b"subscribe", b"unsubscribe", b"message", b"OK"
MESSAGE_START = b"*3\r\n$7\r\nmessage\r\n"  # a read that begins so is Redis': what it claims is not looked at
_INCOMPLETE = object()

OnPayload = Callable[[bytes], None]  # is called with each message of one of a process's own channels


class Receiver(Protocol):
    """What a connection calls; every call is made from the event loop and must not block."""

    def on_message(self, name: bytes, payload: bytes) -> None:
        """A message has arrived on the pub/sub channel `name`."""

    def on_read_end(self) -> None:
        """Everything that one read from the socket brought has been handed over."""

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Redis has acknowledged the subscription that was requested with this attempt number."""

    def on_unsubscribed(self, name: bytes) -> None:
        """Redis has acknowledged that a channel was given up."""


class PubSubConnection(asyncio.Protocol):
    """A connection from its opening to its loss.

    `own` maps the channels that it subscribes to from the start to their handlers. `on_lost` is called at its end.
    """

    def __init__(
        self,
        receiver: Receiver,
        endpoint: Endpoint,
        own: Mapping[bytes, OnPayload],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.ready = asyncio.Event()  # its own channels are subscribed: the server talks to us
        self.lost = asyncio.Event()
        self.error: BaseException | None = None
        self._receiver = receiver
        self._endpoint = endpoint
        self._own = own
        self._on_lost = on_lost
        self._unacknowledged = set(own)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._claims = Claims()
        self._transport: asyncio.Transport | None = None
        self._requests: list[tuple[bytes, bytes, int]] = []  # verb, name, attempt: of this turn, not sent yet
        self._expected: deque[tuple[bytes, bytes, int]] = deque()  # the same, in the order of the replies to come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Authenticate and subscribe to the process's own channels."""
        self._transport = transport  # type: ignore[assignment]  # a TCP or UNIX transport reads and writes
        _set_keepalive(transport.get_extra_info("socket"))
        if self._endpoint.password:
            user = (self._endpoint.username,) if self._endpoint.username else ()
            self._command("AUTH", *user, self._endpoint.password)
        for name in self._own:
            self.request(SUBSCRIBE, name, 0)

    def connection_lost(self, error: BaseException | None) -> None:
        """Keep the reason and tell `on_lost`."""
        self.error = self.error or error
        self.ready.set()
        self.lost.set()
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Hand over every complete reply of one read; one that Redis never sends ends the connection."""
        reader, on_message, own, claims = self._reader, self._receiver.on_message, self._own, self._claims
        reply: Any = _INCOMPLETE
        try:
            if data.startswith(MESSAGE_START):
                claims.pass_over(data)
            else:
                claims.check(data, goes_on=reader.has_data())
            reader.feed(data)
            while (reply := reader.gets()) is not _INCOMPLETE:
                if type(reply) is not list or reply[0] != MESSAGE:
                    self._on_control(reply)
                elif (on_payload := own.get(reply[1])) is None:
                    on_message(reply[1], reply[2])
                else:
                    on_payload(reply[2])
            if reader.len() > MAX_BULK_BYTES:
                raise wrong_answer("it", reader.len(), f"with a reply of at most {MAX_BULK_BYTES} bytes")
        except (hiredis.HiredisError, OSError, RedisError) as error:
            self.fail(error)
        except Exception as error:
            self._on_unreadable(reply, error)
        self._receiver.on_read_end()

    def _on_unreadable(self, reply: Any, error: Exception) -> None:
        """End the connection: the reply is none of Redis', or, if it is a message, there is a bug in its handling."""
        if is_message(reply):
            get_logger().error("a message could not be handled; subscribing anew", exc_info=error)
            self.fail(error)
        else:
            self.fail(unexpected(reply))

    def request(self, verb: bytes, name: bytes, attempt: int) -> None:
        """Queue a SUBSCRIBE or UNSUBSCRIBE; all of one loop turn go out together."""
        if not self._requests:
            self._loop.call_soon(self._send_requests)
        self._requests.append((verb, name, attempt))

    def close(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: BaseException) -> None:
        """End the connection because of what the server sent."""
        self.error = self.error or error
        self.close()

    def _send_requests(self) -> None:
        """Send the requests of this turn: runs of one verb, at most MAX_NAMES_PER_COMMAND names each."""
        requests, self._requests = self._requests, []
        start, count = 0, len(requests)
        for end in range(1, count + 1):
            verb = requests[start][0]
            if end == count or requests[end][0] != verb or end - start == MAX_NAMES_PER_COMMAND:
                self._send(verb.upper(), *[name for _, name, _ in requests[start:end]])
                start = end
        self._expected.extend(requests)

    def _command(self, *words: str) -> None:
        self._expected.append((OK, b"", 0))
        self._send(*words)

    def _send(self, *words: Any) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(hiredis.pack_command(words))

    def _on_control(self, reply: Any) -> None:
        """Handle any reply but a message: raise if it is an error, or no acknowledgement that is expected."""
        if isinstance(reply, Exception):
            raise reply
        verb, name = (reply[0], reply[1]) if type(reply) is list else (reply, b"")
        if not self._expected or self._expected[0][:2] != (verb, name):
            raise unexpected(reply)
        _, _, attempt = self._expected.popleft()
        if verb != SUBSCRIBE:
            if verb == UNSUBSCRIBE:
                self._receiver.on_unsubscribed(name)
            return
        if name not in self._own:
            self._receiver.on_subscribed(name, attempt)
            return
        self._unacknowledged.discard(name)
        if not self._unacknowledged:
            self.ready.set()


def is_message(reply: Any) -> bool:
    """Say whether a reply is a message as Redis sends it."""
    return type(reply) is list and len(reply) == 3 and all(type(part) is bytes for part in reply)


def unexpected(reply: Any) -> WrongAnswerError:
    """Return the error for a reply that was not asked for; the sentence has a bounded part of it."""
    return WrongAnswerError(f"redis sent an unexpected reply: {shown(reply)}")


def _set_keepalive(sock: socket.socket) -> None:
    """Let the kernel detect a peer that has vanished."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sock.family != socket.AF_UNIX:
        for option, value in KEEPALIVE.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
