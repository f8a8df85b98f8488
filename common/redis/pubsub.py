"""The subscribe side of Redis: one connection that subscribes to channels and hands over their messages.

redis-py's PubSub costs ten times more per message and hides three facts that the edge needs: which SUBSCRIBE an
acknowledgement belongs to, when a connection was lost, and whether an open one still delivers. Hence this one, on
`hiredis.Reader` (RESP2). It rests on five rules:

B1  Redis answers SUBSCRIBE and UNSUBSCRIBE in the order they were sent, so one queue per connection tells which
    attempt each acknowledgement belongs to. An acknowledgement out of order ends the connection.
B2  A `PubSubConnection` lives as long as its socket. Its queued requests and expected replies end with it; the
    consumer gets `on_down`, and on `on_up` it subscribes again to every channel that it wants.
B3  An open socket proves nothing: after a failover it can stay connected to a demoted server for ever. So a new
    connection is verified before the consumer hears of it. Every five seconds, and when anything else gives rise to
    doubt, a probe is published and must come back on this connection within two seconds, or the connection is
    replaced; it is replaced at once where the server is proved to be the wrong one (common/redis/proof.py). "Ready"
    means that a probe has come back recently (common/redis/probe.py).
B4  A process's own channels (`subscribe_own`) are subscribed on every connection before the consumer's `on_up`, and
    their messages and acknowledgements never reach the consumer.
B5  Any error reply or protocol error ends the connection; nothing is retried in place.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from redis import RedisError, ResponseError
from redis.exceptions import BusyLoadingError

from common.errors import WrongServerError
from common.redis import probe
from common.redis.addresses import open_socket
from common.redis.client import CONNECT_TIMEOUT, Endpoint
from common.redis.connection import SUBSCRIBE, UNSUBSCRIBE, OnPayload, PubSubConnection, Receiver
from common.redis.outage import Outage

MIN_PAUSE, MAX_PAUSE = 0.05, 0.5  # seconds between two attempts to connect
STEADY = 1.0  # seconds after which a connection is replaced without delay if it is lost, and an outage is over
SILENT = "it took the connection and did not answer within {:g} s"
LOSS_DELAY = 0.1  # seconds in which the end of a connection is noticed here after Redis has closed it


class Consumer(Receiver, Protocol):
    """What a `PubSub` calls: a `Receiver` that is also told of the connection itself."""

    def on_up(self) -> None:
        """A connection is open; the consumer has no subscription on it yet."""

    def on_down(self) -> None:
        """The connection is lost, and with it every subscription."""


class NoConsumer:
    """The consumer of a process that has its own channels only (`PubSub.subscribe_own`)."""

    def on_message(self, name: bytes, payload: bytes) -> None:
        """Nothing else is subscribed."""

    def on_read_end(self) -> None:
        """Nothing waits for the end of a read."""

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        """Nothing is subscribed."""

    def on_unsubscribed(self, name: bytes) -> None:
        """Nothing is given up."""

    def on_up(self) -> None:
        """There is nothing to subscribe to."""

    def on_down(self) -> None:
        """There is nothing to lose."""


NO_CONSUMER = NoConsumer()


async def believe() -> None:
    """Verify nothing."""


class PubSub:
    """Keeps one subscribe connection to Redis open and proved.

    `publish` sends the probes, and `verify` looks at the server of a connection that is new; both may raise
    `WrongServerError`. `on_proved` is called with the seconds that each probe took to come back.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        probe_name: bytes,
        publish: Callable[[bytes, bytes], Awaitable[Any]],
        *,
        verify: Callable[[], Awaitable[None]] = believe,
        on_proved: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.reconnects = 0
        self._endpoint = endpoint
        self._probe_name = probe_name
        self._publish = publish
        self._verify = verify
        self._on_proved = on_proved
        self._own: dict[bytes, OnPayload] = {}
        self._on_reachable: list[Callable[[bool], None]] = []
        self._connection: PubSubConnection | None = None
        self._probe = probe.Probe()
        self._probe_seen = asyncio.Event()
        self._suspected = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._outage = Outage(str(endpoint))
        self._is_steady = False  # the connection in use has lasted for STEADY

    @property
    def up(self) -> bool:
        """Whether a connection is open and has its own channels."""
        return self._connection is not None

    @property
    def error(self) -> str:
        """What was found when Redis was last not well; empty if it never was."""
        return self._outage.error

    @property
    def proof_age(self) -> float:
        """Seconds since a probe last came back; infinite if none has."""
        return self._probe.age(self._now())

    @property
    def ready(self) -> bool:
        """Whether the connection delivers, as far as it can be known (I12)."""
        return self.up and self._probe.is_proved(self._now())

    def subscribe_own(
        self, name: bytes, on_payload: OnPayload, on_reachable: Callable[[bool], None] | None = None
    ) -> None:
        """Subscribe to a channel of this process's own on every connection; call this before `run`.

        `on_payload` gets its messages and must not raise. `on_reachable` is called with True when messages begin to
        reach this process, and with False when they cease to.
        """
        self._own[name] = on_payload
        if on_reachable is not None:
            self._on_reachable.append(on_reachable)

    def subscribe(self, name: bytes, attempt: int) -> None:
        """Request a channel; without a connection this does nothing, and `on_up` is the time to request it again."""
        if self._connection is not None:
            self._connection.request(SUBSCRIBE, name, attempt)

    def unsubscribe(self, name: bytes) -> None:
        """Give a channel up."""
        if self._connection is not None:
            self._connection.request(UNSUBSCRIBE, name, 0)

    def suspect(self) -> None:
        """Prove the connection soon: something else in this process has failed with Redis."""
        self._suspected.set()

    async def run(self, consumer: Consumer = NO_CONSUMER) -> None:
        """Connect, serve `consumer`, and connect again after a jittered pause, until cancelled."""
        pause = MIN_PAUSE
        while True:
            began = self._now()
            try:
                await self._serve_one_connection(consumer)
            except Exception as error:  # of any kind: an edge that stopped trying would get no message any more
                self._outage.on_error(error)
            pause = MIN_PAUSE if self._now() - began > STEADY else min(2 * pause, MAX_PAUSE)
            await asyncio.sleep(random.uniform(MIN_PAUSE, pause))  # jitter, not a secret

    async def _serve_one_connection(self, consumer: Consumer) -> None:
        """Use one connection from its opening to its loss; raises if it cannot be opened."""
        connection = await self._open(consumer)
        try:
            if not await _happens(connection.ready, until=self._now() + CONNECT_TIMEOUT):
                raise TimeoutError(SILENT.format(CONNECT_TIMEOUT))
            if connection.lost.is_set():
                raise connection.error or ConnectionError("closed at once")
            await self._verify()
            await self._use(connection, consumer)
        finally:
            connection.close()

    async def _use(self, connection: PubSubConnection, consumer: Consumer) -> None:
        """Tell of a connection that is ready, prove it until it is lost, and tell of its loss."""
        self._connection, self._is_steady = connection, False
        steady = asyncio.get_running_loop().call_later(STEADY, self._on_steady)
        try:
            self._outage.on_open()
            self._tell_reachable(True)
            consumer.on_up()
            await self._prove_until_lost(connection)
            self.reconnects += 1
            self._outage.on_error(connection.error)
        finally:
            steady.cancel()
            self._connection = None
            self._probe.forget()
            consumer.on_down()
            self._tell_reachable(False)

    def _tell_reachable(self, reachable: bool) -> None:
        for on_reachable in self._on_reachable:
            on_reachable(reachable)

    async def _open(self, receiver: Receiver) -> PubSubConnection:
        loop = asyncio.get_running_loop()
        where, own = self._endpoint, {**self._own, self._probe_name: self._on_probe}

        def make_connection() -> PubSubConnection:
            return PubSubConnection(receiver, where, own, self._on_lost)

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):  # not wait_for: before 3.12 that can swallow a cancellation
                if where.path:
                    opening: Any = loop.create_unix_connection(make_connection, where.path)
                else:
                    sock, name = await open_socket(where.host, where.port), where.host if where.tls else None
                    opening = loop.create_connection(make_connection, sock=sock, ssl=where.tls, server_hostname=name)
                _, connection = await opening
        except TimeoutError:
            raise TimeoutError(f"it did not take a connection within {CONNECT_TIMEOUT:g} s") from None
        return connection  # type: ignore[no-any-return]

    async def _prove_until_lost(self, connection: PubSubConnection) -> None:
        """Send a probe again and again; return when the connection is lost, or is not what the work needs."""
        while connection.error is None:
            self._probe_seen.clear()
            self._suspected.clear()
            sent_at = self._now()
            refused = await self._was_refused(connection, self._probe.send(sent_at))
            if not refused and not await _happens(self._probe_seen, until=sent_at + probe.PROBE_TIMEOUT):
                connection.error = connection.error or TimeoutError("a probe did not come back")
            elif connection.error is None and await self._is_lost(connection):
                return

    async def _is_lost(self, connection: PubSubConnection) -> bool:
        """Wait until it is time for the next probe, and say whether the connection was lost instead."""
        pause = min(probe.SUSPICION_PAUSE, probe.PROBE_INTERVAL)
        next_at = self._now() + probe.PROBE_INTERVAL
        if not await _happens(connection.lost, until=self._now() + pause):
            await _happens(self._suspected, until=next_at)
        return connection.lost.is_set()

    async def _was_refused(self, connection: PubSubConnection, payload: bytes) -> bool:
        """Publish a probe and say whether Redis refused it, which proves nothing against the connection.

        No answer at all may mean that Redis cannot be reached, so the probe still has to come back.
        """
        try:
            await self._publish(self._probe_name, payload)
        except WrongServerError as error:
            await _happens(connection.lost, until=self._now() + LOSS_DELAY)  # which explains it, if it was lost
            connection.error = connection.error or (None if connection.lost.is_set() else error)
            return True
        except (ResponseError, BusyLoadingError) as error:
            self._outage.on_error(error)
            return True
        except (RedisError, OSError):
            pass
        return False

    def _on_lost(self) -> None:
        self._probe_seen.set()
        self._suspected.set()

    def _on_probe(self, payload: bytes) -> None:
        seconds = self._probe.on_return(payload, self._now())
        if seconds is not None:
            self._probe_seen.set()
            self._on_proved(seconds)
            self._tell_end()

    def _on_steady(self) -> None:
        self._is_steady = True
        self._tell_end()

    def _tell_end(self) -> None:
        """Tell that an outage is over, once its last connection has stayed and delivers."""
        if self._is_steady and self.ready:
            self._outage.on_steady()


async def _happens(event: asyncio.Event, *, until: float) -> bool:
    """Wait for an event, at most until `until` by the loop's clock, and say whether it happened."""
    try:
        async with asyncio.timeout_at(until):
            await event.wait()
    except TimeoutError:
        return False
    return True
