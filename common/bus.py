"""The subscribe side of Redis: one connection that says which channels it wants and hands over what arrives.

redis-py's PubSub costs ten times more per message and hides what we must know: which SUBSCRIBE an acknowledgement
belongs to, when a connection was lost, and whether an open one still delivers. So this is our own, on
`hiredis.Reader` (RESP2). It rests on five rules:

B1  Redis answers SUBSCRIBE and UNSUBSCRIBE in the order they were sent, so one queue per connection tells which
    attempt each acknowledgement belongs to. An acknowledgement out of order ends the connection.
B2  A `Link` lives as long as its socket. What was queued or expected on it dies with it; the consumer hears
    `on_down`, and on `on_up` it asks again for everything it wants.
B3  An open socket proves nothing: after a failover it can stay healthily connected to a demoted server for ever.
    Every `PROBE_EVERY` seconds a probe goes out by the publish path and must come back on this connection within
    `PROBE_DEADLINE`, or the connection is replaced. "Ready" means a probe came back lately.
B4  A process's own channels (`keep`) are subscribed on every connection before the consumer hears of it, and their
    messages and acknowledgements never reach the consumer.
B5  Any error reply or protocol error ends the connection; nothing is retried in place.
"""

import asyncio
import random
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any, Protocol

import hiredis
from redis import RedisError, ResponseError
from redis.exceptions import BusyLoadingError

from common.logs import get_logger
from common.redis import CONNECT_TIMEOUT, Endpoint

BATCH = 512  # names in one SUBSCRIBE: large enough to be cheap, small enough not to hold Redis up
PROBE_EVERY = 5.0
PROBE_DEADLINE = 2.0
PROOF_LASTS = 10.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
USER_TIMEOUT_MS = 5000

SUBSCRIBE, UNSUBSCRIBE, MESSAGE, OK = b"subscribe", b"unsubscribe", b"message", b"OK"
_INCOMPLETE = object()

Take = Callable[[bytes], None]  # what gets each message of one of a process's own channels


class Consumer(Protocol):
    """What the bus tells the one who uses it; every call is made from the event loop and must not block."""

    def on_message(self, name: bytes, payload: bytes) -> None:
        """A message arrived on the pub/sub channel `name`."""

    def on_read_end(self) -> None:
        """Everything that one read from the socket brought has been handed over."""

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Redis acknowledged the subscription that was asked for with this attempt number."""

    def on_up(self) -> None:
        """A connection stands; nothing is subscribed on it yet."""

    def on_down(self) -> None:
        """The connection is gone, and with it every subscription."""


class Idle:
    """The consumer of a process that listens to its own channels only (`Bus.keep`)."""

    def on_message(self, name: bytes, payload: bytes) -> None:
        """Nothing else was asked for."""

    def on_read_end(self) -> None:
        """Nothing waits for the end of a read."""

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Nothing was asked for."""

    def on_up(self) -> None:
        """There is nothing to ask for."""

    def on_down(self) -> None:
        """There is nothing to lose."""


class Bus:
    """Keeps one subscribe connection to Redis alive and proved."""

    def __init__(
        self,
        endpoint: Endpoint,
        consumer: Consumer,
        probe_name: bytes,
        publish: Callable[[bytes, bytes], Awaitable[Any]],
    ) -> None:
        self.reconnects = 0
        self.on_proved: Callable[[float], None] = lambda seconds: None  # told how long a probe took to come back
        self._endpoint = endpoint
        self._consumer = consumer
        self._probe_name = probe_name
        self._publish = publish
        self._kept: dict[bytes, Take] = {}
        self._on_heard: list[Callable[[bool], None]] = []
        self._link: Link | None = None
        self._proved_at = float("-inf")
        self._probe_sent_at = 0.0
        self._log = get_logger(redis=str(endpoint))
        self._said_down = False

    @property
    def up(self) -> bool:
        """Whether a connection stands."""
        return self._link is not None

    @property
    def proof_age(self) -> float:
        """Seconds since a probe last came back."""
        return asyncio.get_running_loop().time() - self._proved_at

    @property
    def ready(self) -> bool:
        """Whether the connection delivers, as far as anybody can know (I12)."""
        return self.up and self.proof_age <= PROOF_LASTS

    def keep(self, name: bytes, take: Take, heard: Callable[[bool], None] | None = None) -> None:
        """Listen to a channel of this process's own as long as the bus runs; call this before it runs.

        `take` gets its messages and must not raise; `heard` is told whenever they begin or cease to reach us.
        """
        self._kept[name] = take
        if heard is not None:
            self._on_heard.append(heard)

    def subscribe(self, name: bytes, attempt: int) -> None:
        """Ask for a channel; without a connection this does nothing, and `on_up` is the time to ask again."""
        if self._link is not None:
            self._link.ask(SUBSCRIBE, name, attempt)

    def unsubscribe(self, name: bytes) -> None:
        """Give a channel up."""
        if self._link is not None:
            self._link.ask(UNSUBSCRIBE, name, 0)

    async def run(self) -> None:
        """Connect, serve, and connect again with jittered pauses, until cancelled."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                await self._serve_one_connection()
                pause = SHORTEST_PAUSE
            except Exception as error:  # whatever it is, an edge that stops trying would be deaf for ever
                self._say_down(error)
                pause = min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(random.uniform(SHORTEST_PAUSE, pause))  # jitter, not a secret

    async def _serve_one_connection(self) -> None:
        """Live through one connection from its opening to its loss; raises if it cannot be opened."""
        link = await self._open()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await link.ready.wait()
            if link.lost.is_set():
                raise ConnectionError(str(link.error or "closed at once"))
            self._link = link
            self._say_up()
            self._tell_heard(True)
            self._consumer.on_up()
            await self._prove_until_lost(link)
            self.reconnects += 1
            self._say_down(link.error)
        finally:
            link.close()
            if self._link is link:
                self._link = None
                self._proved_at = float("-inf")  # the next connection has to prove itself
                self._consumer.on_down()
                self._tell_heard(False)

    def _tell_heard(self, heard: bool) -> None:
        for on_heard in self._on_heard:
            on_heard(heard)

    async def _open(self) -> "Link":
        loop = asyncio.get_running_loop()
        where = self._endpoint

        def make_link() -> Link:
            return Link(self._consumer, where, self._probe_name, self._on_probe, self._kept)

        if where.path:
            opening: Any = loop.create_unix_connection(make_link, where.path)
        else:
            opening = loop.create_connection(make_link, where.host, where.port, ssl=where.tls)
        async with asyncio.timeout(CONNECT_TIMEOUT):  # not wait_for: before 3.12 that can swallow a cancellation
            _, link = await opening
        return link  # type: ignore[no-any-return]

    async def _prove_until_lost(self, link: "Link") -> None:
        """Send a probe every few seconds; return when the connection is lost or a probe does not come back."""
        for number in count(1):
            link.probe_seen.clear()
            self._probe_sent_at = asyncio.get_running_loop().time()
            deadline = self._probe_sent_at + PROBE_DEADLINE
            if not await self._was_refused(b"%d" % number) and not await _happens(link.probe_seen, until=deadline):
                link.error = TimeoutError("a probe did not come back")
                return
            if await _happens(link.lost, until=asyncio.get_running_loop().time() + PROBE_EVERY):
                return

    async def _was_refused(self, payload: bytes) -> bool:
        """Send a probe and say whether Redis refused it: that proves nothing against the connection.

        No answer at all may mean that Redis cannot be reached, so the probe has to come back all the same.
        """
        try:
            await self._publish(self._probe_name, payload)
        except (ResponseError, BusyLoadingError):
            return True
        except (RedisError, OSError):
            pass
        return False

    def _on_probe(self) -> None:
        self._proved_at = asyncio.get_running_loop().time()
        self.on_proved(self._proved_at - self._probe_sent_at)

    def _say_down(self, error: BaseException | None) -> None:
        if not self._said_down:
            self._said_down = True
            why = "connection closed" if error is None else str(error) or type(error).__name__
            self._log.warning("redis is down; not ready until it is back", error=why)

    def _say_up(self) -> None:
        self._said_down = False
        self._log.info("redis is up")


class Link(asyncio.Protocol):
    """One subscribe connection: requests out in batches, replies in; see the rules above."""

    def __init__(
        self,
        consumer: Consumer,
        endpoint: Endpoint,
        probe_name: bytes,
        on_probe: Callable[[], None],
        kept: Mapping[bytes, Take] = MappingProxyType({}),
    ) -> None:
        self.ready = asyncio.Event()  # the probe channel is subscribed: the server talks to us
        self.lost = asyncio.Event()
        self.probe_seen = asyncio.Event()
        self.error: BaseException | None = None
        self._consumer = consumer
        self._endpoint = endpoint
        self._probe_name = probe_name
        self._on_probe = on_probe
        self._own = {**kept, probe_name: self._take_probe}
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._transport: asyncio.Transport | None = None
        self._asked: list[tuple[bytes, bytes, int]] = []
        self._expected: deque[tuple[bytes, bytes, int]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves and subscribe to our own channels; the probe's answer, the last, says all are heard."""
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
        self.probe_seen.set()

    def data_received(self, data: bytes) -> None:
        """Hand over every complete reply of one read."""
        reader, on_message, own = self._reader, self._consumer.on_message, self._own
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
        self._consumer.on_read_end()

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

    def _take_probe(self, payload: bytes) -> None:
        self._on_probe()
        self.probe_seen.set()

    def _on_acknowledgement(self, reply: Any) -> None:
        verb, name = (reply[0], reply[1]) if type(reply) is list else (reply, b"")
        if not self._expected or self._expected[0][:2] != (verb, name):
            self.fail(ConnectionError(f"redis sent an unexpected reply: {reply!r:.200}"))
            return
        _, _, attempt = self._expected.popleft()
        if name == self._probe_name:
            self.ready.set()
        elif verb == SUBSCRIBE and name not in self._own:
            self._consumer.on_subscribed(name, attempt)


async def _happens(event: asyncio.Event, *, until: float) -> bool:
    """Wait for an event, at most until then by the loop's clock, and say whether it happened."""
    try:
        async with asyncio.timeout_at(until):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _set_keepalive(sock: socket.socket) -> None:
    """Let the kernel find out about a peer that vanished."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
