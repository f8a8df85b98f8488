"""The subscribe side of Redis: one connection that says which channels it wants and hands over what arrives.

redis-py's PubSub costs ten times more per message and hides what we must know: which SUBSCRIBE an acknowledgement
belongs to, when a connection was lost, and whether an open one still delivers. So this is our own, on
`hiredis.Reader` (RESP2). It rests on five rules:

B1  Redis answers SUBSCRIBE and UNSUBSCRIBE in the order they were sent, so one queue per connection tells which
    attempt each acknowledgement belongs to. An acknowledgement out of order ends the connection.
B2  A `PubSubConnection` lives as long as its socket. What was queued or expected on it dies with it; the consumer hears
    `on_down`, and on `on_up` it asks again for everything it wants.
B3  An open socket proves nothing: after a failover it can stay healthily connected to a demoted server for ever.
    Every five seconds a probe goes out by the publish path and must come back on this connection within two, or the
    connection is replaced. "Ready" means a probe came back lately (common/redis/probe.py).
B4  A process's own channels (`keep`) are subscribed on every connection before the consumer hears of it, and their
    messages and acknowledgements never reach the consumer.
B5  Any error reply or protocol error ends the connection; nothing is retried in place.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis import RedisError, ResponseError
from redis.exceptions import BusyLoadingError

from common.logs import get_logger
from common.redis import probe as probing
from common.redis.client import CONNECT_TIMEOUT, Endpoint
from common.redis.connection import SUBSCRIBE, UNSUBSCRIBE, PubSubConnection, Receiver, Take
from common.redis.probe import Probe

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 0.5


class Consumer(Receiver, Protocol):
    """What the bus tells the one who uses it, besides what comes on its connection."""

    def on_up(self) -> None:
        """A connection stands; nothing is subscribed on it yet."""

    def on_down(self) -> None:
        """The connection is gone, and with it every subscription."""


class NoConsumer:
    """The consumer of a process that listens to its own channels only (`PubSub.keep`)."""

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


class PubSub:
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
        self._link: PubSubConnection | None = None
        self._probe = Probe()
        self._probe_seen = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._log = get_logger(redis=str(endpoint))
        self._said_down = False

    @property
    def up(self) -> bool:
        """Whether a connection stands."""
        return self._link is not None

    @property
    def proof_age(self) -> float:
        """Seconds since a probe last came back."""
        return self._probe.age(self._now())

    @property
    def ready(self) -> bool:
        """Whether the connection delivers, as far as anybody can know (I12)."""
        return self.up and self._probe.is_proved(self._now())

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
            self._link, link.on_lost = link, self._probe_seen.set
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
                self._probe.forget()
                self._consumer.on_down()
                self._tell_heard(False)

    def _tell_heard(self, heard: bool) -> None:
        for on_heard in self._on_heard:
            on_heard(heard)

    async def _open(self) -> PubSubConnection:
        loop = asyncio.get_running_loop()
        where = self._endpoint

        def make_link() -> PubSubConnection:
            return PubSubConnection(self._consumer, where, {**self._kept, self._probe_name: self._on_probe})

        if where.path:
            opening: Any = loop.create_unix_connection(make_link, where.path)
        else:
            opening = loop.create_connection(make_link, where.host, where.port, ssl=where.tls)
        async with asyncio.timeout(CONNECT_TIMEOUT):  # not wait_for: before 3.12 that can swallow a cancellation
            _, link = await opening
        return link  # type: ignore[no-any-return]

    async def _prove_until_lost(self, link: PubSubConnection) -> None:
        """Send a probe every few seconds; return when the connection is lost or a probe does not come back."""
        while True:
            self._probe_seen.clear()
            sent_at = self._now()
            refused = await self._was_refused(self._probe.send(sent_at))
            if not refused and not await _happens(self._probe_seen, until=sent_at + probing.DEADLINE):
                link.error = link.error or TimeoutError("a probe did not come back")
                return
            if await _happens(link.lost, until=self._now() + probing.EVERY):
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

    def _on_probe(self, payload: bytes) -> None:
        seconds = self._probe.take(payload, self._now())
        if seconds is not None:
            self._probe_seen.set()
            self.on_proved(seconds)

    def _say_down(self, error: BaseException | None) -> None:
        if not self._said_down:
            self._said_down = True
            why = "connection closed" if error is None else str(error) or type(error).__name__
            self._log.warning("redis is down; not ready until it is back", error=why)

    def _say_up(self) -> None:
        self._said_down = False
        self._log.info("redis is up")


async def _happens(event: asyncio.Event, *, until: float) -> bool:
    """Wait for an event, at most until then by the loop's clock, and say whether it happened."""
    try:
        async with asyncio.timeout_at(until):
            await event.wait()
    except TimeoutError:
        return False
    return True
