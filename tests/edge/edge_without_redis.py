"""An edge on a real port, without a Redis: its clock, its subscriptions and its logs are in the hands of the test."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis import RedisError

from common.message import Message, encode_frame
from common.names import RedisNames
from common.rpc.client import Replies
from common.scripts.results import SyncOutcome, SyncQuery, SyncResult, Unreadable
from edge.channels.hub import Hub
from edge.channels.sync import LogReader
from edge.counters import CloseReason, Counters
from edge.engine.fanout import Policy
from edge.engine.inbox import MAX_BYTES
from edge.engine.poller import Poller, make_poller
from edge.engine.seats import Seats
from edge.options import Options
from edge.protocol.limits import USUAL_LIMITS, InputLimits
from edge.server.clients import ClientLimits
from edge.server.listener import Listener
from edge.wiring import Outside, wire
from tests.edge.http_client import PATIENCE, HttpClient, head
from tests.edge.names_in_memory import NamesInMemory
from tests.edge.tokens_in_memory import TokensInMemory
from tests.edge.usual_log import at, stored


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class FakeSubscriptions:
    """Notes what the hub asks Redis for; acknowledges it in the next turn unless told not to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.hub: Hub
        self.acknowledging = True
        self.asked: list[tuple[bytes, int]] = []
        self.given_up: list[bytes] = []
        self._loop = loop

    def subscribe(self, name: bytes, attempt: int) -> None:
        """Note a SUBSCRIBE."""
        self.asked.append((name, attempt))
        if self.acknowledging:
            self._loop.call_soon(self.hub.on_subscribed, name, attempt)

    def unsubscribe(self, name: bytes) -> None:
        """Note an UNSUBSCRIBE."""
        self.given_up.append(name)
        if self.acknowledging:
            self._loop.call_soon(self.hub.on_unsubscribed, name)


class LogsInMemory:
    """The logs in Redis, with the usual tags; counts its reads; fails, or has no room for new ones, when told to."""

    def __init__(self) -> None:
        self.messages: dict[str, list[Message]] = {}
        self.reads = 0
        self.entries_of_a_piece = 256
        self.failing = False
        self.full = False

    def append(self, name: str, payload: bytes) -> Message:
        """Store a message and return it."""
        kept = self.messages.setdefault(name, [])
        message = stored(len(kept) + 1, payload)
        kept.append(message)
        return message

    async def sync(self, wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        """Answer as the sync script does, in the loop's next turn."""
        return await self._answer(wanted, sys.maxsize)

    async def first(self, wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        """Answer as the read script does with a limit of one entry."""
        return await self._answer(wanted, 1)

    async def piece(self, wanted: Sequence[SyncQuery]) -> list[SyncOutcome]:
        """Answer as the read script does with a limit of some entries."""
        return await self._answer(wanted, self.entries_of_a_piece)

    async def _answer(self, wanted: Sequence[SyncQuery], most: int) -> list[SyncOutcome]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.failing:
            raise RedisError("the fake log fails")
        return [self._read(query.channel, query.offset, most) for query in wanted]

    def _read(self, name: str, offset: int | None, most: int) -> SyncOutcome:
        if self.full and offset is None and name not in self.messages:
            return Unreadable("command not allowed when used memory > 'maxmemory'.", is_refused=True)
        kept = self.messages.get(name, [])
        after = [] if offset is None else [message for message in kept if message.offset > offset]
        return SyncResult(at(len(kept)), after[:most])


class EdgeWithoutRedis:
    """Listener, request handler, seats and hub of an edge on a real port; Redis is fake and time stands still."""

    def __init__(
        self,
        *,
        poller: Poller | None = None,
        max_connections: int = 1000,
        allowed_origins: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
        linger: float = 30.0,
        max_lingering: int = 0,
        keeps_history: bool = True,
        max_age: float = 0.0,
        policy: Policy = "disconnect",
        flush_after: float = 0.0,
        session_asks: int = 50,
        input_bytes: int = MAX_BYTES,
        clients: ClientLimits = ClientLimits(),  # noqa: B008  # it cannot be changed
        limits: InputLimits = USUAL_LIMITS,
        tokens: TokensInMemory | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock, self.counters, self.logs = FakeClock(), Counters(), LogsInMemory()
        self.tokens = tokens or TokensInMemory()  # of nobody, unless they are given: then no channel needs one
        self.poller = poller or make_poller()
        self.names = RedisNames("t:")
        self.pubsub = FakeSubscriptions(self.loop)
        self.released: list[str] = []  # what Redis kept of these channels was let go of
        self.seats = Seats(self.poller, self.counters, self.clock, max_input_bytes=input_bytes)
        self.reader = LogReader(self.logs.sync)
        self.names_in_redis = NamesInMemory()
        outside = Outside(
            names=self.names,
            pubsub=self.pubsub,
            reader=self.reader,
            name_lists=self.names_in_redis.lists(self.clock, self.seats),
            starts=LogReader(self.logs.first),
            pieces=LogReader(self.logs.piece, max_channels=1, repeats=False),
            ask=_ask_no_edge,
            send_receipt=lambda inbox, subscribers: None,
            clock=self.clock,
            call_soon=self.loop.call_soon,
            call_later=self.loop.call_later,
            release=self.released.append,
            guard=tokens.guard(self.counters, self.clock, allowed_origins) if tokens is not None else None,
        )
        options = Options(
            heartbeat=20.0,
            poll_timeout=25.0,
            linger=linger,
            header_timeout=10.0,
            max_connections=max_connections,
            max_message_bytes=1000,
            max_lingering=max_lingering,
            max_age=max_age,
            flush_after=flush_after,
            policy=policy,
            keeps_history=keeps_history,
            allowed_origins=allowed_origins,
            hosts=hosts,
            session_asks=session_asks,
            clients=clients,
            limits=limits,
        )
        parts = wire("edge", self.seats, self.counters, outside, options)
        self.hub = self.pubsub.hub = parts.hub
        self.sessions, self.lifecycle, self.changes = parts.sessions, parts.lifecycle, parts.changes
        self.replays = parts.replays
        self.fanout, self.handler, self.seat_wheel = parts.fanout, parts.handler, parts.seat_wheel
        self.forwarder, self.absences, self.overflow = parts.forwarder, parts.absences, parts.overflow
        self.listener = Listener(
            self.poller,
            self.seats,
            parts.front,
            self.handler.places.vacate,
            parts.overflow.make_room,
            max_connections=max_connections,
        )
        self._clients: list[HttpClient] = []

    async def connect(self) -> HttpClient:
        """Open a connection and wait until it is accepted."""
        accepted = len(self.seats) + 1
        sock = socket.socket()
        sock.setblocking(False)
        client = HttpClient(sock)
        self._clients.append(client)
        await self.loop.sock_connect(sock, ("127.0.0.1", self.listener.port))
        await self.until(lambda: len(self.seats) >= accepted)
        return client

    async def held(self, target: str, *headers: str, transport: str = "stream") -> HttpClient:
        """Return a client that holds this request, its welcome already read (a poll has none)."""
        client, before = await self.connect(), self.counters.opened_total[transport]
        await client.send(head(target, *headers))
        await self.until(lambda: self.counters.opened_total[transport] > before)
        if transport in {"stream", "sse"}:
            await client.until(b"hello world!")
            await client.until(b"\r\n")
        return client

    async def waiting(self, target: str, *headers: str) -> HttpClient:
        """Return a client whose request waits for an acknowledgement that Redis does not send."""
        self.pubsub.acknowledging = False
        client = await self.connect()
        await client.send(head(target, *headers))
        await self.until(lambda: self.pubsub.asked)
        return client

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps of a quarter second, as the running edge's wheels turn."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(self.clock.now + 0.25, end)
            self.absences.tick()
            while self.lifecycle.end_expired():
                pass
            for wheel in (self.seat_wheel, self.hub.lingering, self.changes.wheel):
                while wheel.advance(self.clock.now):
                    pass

    def publish(self, name: str, *payloads: bytes) -> None:
        """Store messages and let one read from Redis bring them."""
        self.begin_read(name, *payloads)
        self.hub.on_read_end()

    def begin_read(self, name: str, *payloads: bytes) -> None:
        """Store messages and let a read from Redis bring them that does not end with them."""
        for payload in payloads:
            self.hub.on_message(self.names.channel(name), encode_frame(self.logs.append(name, payload)))

    async def until(self, true: Callable[[], object]) -> None:
        """Let the loop turn until something is true."""
        async with asyncio.timeout(PATIENCE):
            while not true():  # noqa: ASYNC110  # a look at plain attributes: there is no event to wait for
                await asyncio.sleep(0)

    async def turns(self, count: int = 20) -> None:
        """Let the loop turn a few times: enough for anything that is ready to happen."""
        for _ in range(count):
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close every socket."""
        self.listener.close()
        for client in self._clients:
            client.close()
        for seat in self.seats:
            self.seats.abort(seat, CloseReason.CLIENT)
        self.loop.remove_reader(self.poller.fileno())
        self.poller.close()


async def _ask_no_edge(edge: str | None, op: str, fields: Mapping[str, object], patience: float) -> Replies:
    return Replies([], 0)


@asynccontextmanager
async def edge_without_redis(**options: Any) -> AsyncIterator[EdgeWithoutRedis]:
    """Run an edge without Redis on a free port."""
    edge = EdgeWithoutRedis(**options)
    edge.listener.open("127.0.0.1", 0)
    try:
        yield edge
    finally:
        edge.close()
