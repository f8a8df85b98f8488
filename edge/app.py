"""The edge process: what it consists of, its internal port, and its life from start to stop.

edge/wiring.py puts together the parts that serve subscribers; this module connects them with Redis, the event loop and
the clock, and adds what tests of those parts do without.
"""

import asyncio
import gc
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from common.access.keys import KeyRing, read_admin_keys
from common.browsers.guard import rules_for
from common.errors import SettingsError
from common.logs import get_logger
from common.message import MAX_JSON_GROWTH
from common.metrics.fields import FieldCollector
from common.rpc.registry import EdgeRegistry
from common.scripts.calls import PieceLimit
from common.service.admin import AdminServer, Check, redis_checks
from common.service.http import ApiDocument
from common.service.operators import internal_checks
from common.service.process import give_back_memory, max_open_files, measure_lag, register_process
from common.service.runner import notice_of_drain
from common.settings import Settings
from common.tasks import Tasks, Work, run_forever
from edge.chain import PIECE_BYTES, PIECE_MESSAGES
from edge.channels.audit import Auditor
from edge.channels.sync import LogReader
from edge.cluster.commands import Commands
from edge.cluster.node import NodeInfo, NodeRegistration
from edge.cluster.redis_parts import RedisParts
from edge.cluster.rpc_server import RpcServer
from edge.counters import CloseReason, Counters
from edge.engine.outbox import Limits, MemoryTrimmer
from edge.engine.poller import Poller, make_poller
from edge.engine.seats import Seats
from edge.engine.wheel import run_ticks
from edge.framing.transports import TRANSPORTS
from edge.metrics import Gauges
from edge.options import options_from
from edge.server.drain import Drain
from edge.server.listener import MAX_SURPLUS, RESERVED_FILES, Listener
from edge.tokens.guard import guard_of, load_keys
from edge.wiring import Outside, wire

GOODBYE_TIMEOUT = 1.0  # seconds for the last bytes of the connections when the edge stops
ADOPTION_TIMEOUT = 1.0  # seconds for the plain messages that are being handed in when the edge stops
MAX_RPC_BYTES = 65_536  # of a request from another process, without the message that it may carry
MUCH_INPUT = 1_048_576  # bytes of unfinished requests, after which freed memory is given back
FIRST_ENTRY = PieceLimit(0, 1)
ONE_PIECE = PieceLimit(PIECE_BYTES, PIECE_MESSAGES)
GC_THRESHOLD = 50_000  # objects; a full collection visits every seat, and few circles wait for one

API_DOCUMENT = Path(__file__).with_name("openapi_internal.json")


class Edge:
    """One edge process; implements `common.service.runner.Service`."""

    def __init__(self, settings: Settings, poller: Poller | None = None) -> None:
        self.on_drain: Callable[[], None] = lambda: None
        self.id = secrets.token_hex(4)
        self._settings = settings
        self._tasks = Tasks()
        self._counters = Counters()
        self._poller = poller or make_poller()
        self._max_connections = _max_connections(settings.max_connections)
        slow = (settings.slow_bytes, settings.slow_seconds, settings.slow_total_bytes, settings.slow_rate)
        limits = Limits(*slow, burst_seconds=settings.slow_seconds)
        self._seats = Seats(self._poller, self._counters, time.monotonic, limits, settings.input_bytes)
        self._token_keys = load_keys(settings)
        self._redis = RedisParts(self.id, settings, self._seats, self._counters)
        self.peers = self._redis.peers
        options = options_from(settings, self._max_connections)
        self._parts = wire(self.id, self._seats, self._counters, self._outside(), options)
        self._hub, self._lifecycle = self._parts.hub, self._parts.lifecycle
        self._listener = Listener(
            self._poller,
            self._seats,
            self._parts.front,
            self._parts.handler.places.vacate,
            self._parts.overflow.make_room,
            max_connections=self._max_connections,
        )
        self._auditor = Auditor(self._hub.channels, self._hub.repair, self._redis.scripts.sync, settings.audit)
        self._serve_cluster()
        self._drain = Drain(
            settings.drain_seconds,
            notice_of_drain(settings.drain_seconds),
            self._listener,
            self._parts.handler,
            self._lifecycle,
            self._ask_to_drain,
        )
        self._operating = KeyRing("COMET_ADMIN_KEYS", read_admin_keys(settings.admin_keys))
        self._admin = self._make_admin()

    def _outside(self) -> Outside:
        loop, settings, redis, scripts = asyncio.get_running_loop(), self._settings, self._redis, self._redis.scripts
        keys = self._token_keys
        return Outside(
            names=redis.names,
            pubsub=redis.pubsub,
            reader=LogReader(scripts.sync),
            name_lists=redis.name_lists,
            starts=LogReader(partial(scripts.read, limit=FIRST_ENTRY)),
            pieces=LogReader(partial(scripts.read, limit=ONE_PIECE), max_channels=1, repeats=False),
            ask=self.peers.ask,
            send_receipt=redis.replies.add_receipt,
            clock=time.monotonic,
            call_soon=loop.call_soon,
            call_later=loop.call_later,
            release=redis.releaser.add if settings.history_size else lambda name: None,
            adopt=scripts.adopt if settings.adopt and settings.history_size else None,
            age=redis.clock.age,
            foreign=redis.foreign,
            guard=guard_of(settings, keys, self._counters, time.monotonic) if keys is not None else None,
        )

    def _serve_cluster(self) -> None:
        """Make what answers the requests of publishers and other edges, and what registers this edge."""
        clock, parts, redis = time.monotonic, self._parts, self._redis
        node = NodeInfo(self.id, self._hub, self._counters, clock, self._readiness, self._ports)
        self._registration = NodeRegistration(
            EdgeRegistry(redis.redis, redis.names), self.id, node, self._hub, self._counters, clock
        )
        self._commands = Commands(self._hub, parts.fanout, self._lifecycle, clock)
        handlers = {
            "info": node.on_info,
            "close": self._commands.on_close,
            "broadcast": self._commands.on_broadcast,
            "change": parts.forwarder.on_change,
        }
        max_bytes = MAX_RPC_BYTES + MAX_JSON_GROWTH * self._settings.max_message_bytes
        self._rpc_server = RpcServer(self.id, redis.replies, handlers, self._counters, max_bytes=max_bytes)
        for name in (redis.names.edges(), redis.names.edge(self.id)):
            redis.pubsub.subscribe_own(name, self._rpc_server.on_message)

    def _make_admin(self) -> AdminServer:
        registry = CollectorRegistry()
        registry.register(FieldCollector(self._counters, self._gauges))
        register_process(registry)
        rules = rules_for(self._settings.allowed_origins, self._settings.hosts)
        return AdminServer(
            self._settings.admin_host,
            self._settings.edge_admin_port,
            "COMET_EDGE_ADMIN_PORT",
            self._readiness,
            registry,
            [web.post("/drain", self._drain.on_request), ApiDocument(API_DOCUMENT).route],
            middlewares=internal_checks(rules, self._counters.foreign_total, self._operating),
            request_timeout=self._settings.header_timeout,
        )

    @property
    def port(self) -> int:
        """The subscribers' port; 0 while it does not listen."""
        return self._listener.port

    @property
    def admin_port(self) -> int:
        """The internal port; 0 while it does not listen."""
        return self._admin.port

    def _ports(self) -> dict[str, int]:
        return {"port": self.port, "admin_port": self.admin_port}

    async def start(self) -> None:
        """Listen on both ports and connect to Redis in the background; raises `SettingsError` if a port is taken."""
        try:
            self._listener.open(self._settings.edge_host, self._settings.edge_port)
            await self._admin.start()
        except BaseException:
            await self.stop()
            raise
        if self._token_keys is not None:
            self._token_keys.start()
        for work in self._work():
            self._tasks.start(run_forever(work))
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)

    def _work(self) -> list[Work]:
        """Return the background work that runs until the edge stops."""
        work: list[Work] = [
            self._redis.name_lists.run,
            partial(self._redis.pubsub.run, self._hub),
            partial(run_ticks, self._ticks()),
            self._redis.clock.run,
            self._registration.run,
            self._redis.deployments.run,
            partial(measure_lag, self._counters.loop_lag.observe),
        ]
        if self._settings.history_size:
            work.append(self._auditor.run)
        else:
            get_logger().warning("COMET_HISTORY_SIZE=0: messages have no positions; a client that is away misses them")
        return work

    def _ticks(self) -> list[Callable[[], bool]]:
        """Return what `run_ticks` calls all the time so that deadlines are kept."""
        clock, parts = time.monotonic, self._parts
        wheels = (parts.seat_wheel, self._hub.lingering, parts.changes.wheel)
        inbox = self._seats.inbox
        outbox, repeats = self._seats.outbox, parts.repeats
        trim_output = MemoryTrimmer(lambda: outbox.parked_bytes + repeats.size, give_back_memory).tick
        trim_input = MemoryTrimmer(lambda: inbox.kept_bytes, give_back_memory, MUCH_INPUT, MUCH_INPUT // 16).tick
        advances = (lambda wheel=wheel: wheel.advance(clock()) for wheel in wheels)
        return [
            self._seats.evict_stuck,
            self._lifecycle.postponed.admit,
            self._lifecycle.end_expired,
            parts.replays.admit,
            parts.absences.tick,
            repeats.tick,
            parts.replays.pieces.kept.tick,
            trim_output,
            trim_input,
            *advances,
        ]

    async def drain(self) -> None:
        """Evict every subscriber, a few at a time; return when none is left or the time is up."""
        await self._drain.run()

    def _ask_to_drain(self) -> None:
        self.on_drain()

    async def stop(self) -> None:
        """Stop listening, evict every subscriber at once, end the background work, and close every connection."""
        await self._drain.stop()
        await self._commands.stop()
        await self._rpc_server.stop()
        self._listener.close()
        self._lifecycle.evict_all()
        await self._wait_for_goodbyes()
        await self._parts.handler.stop()
        has_run = len(self._tasks) > 0
        await self._tasks.cancel_all()
        if self._parts.adopter is not None:
            await self._parts.adopter.finish(ADOPTION_TIMEOUT)
        if self._token_keys is not None:
            await self._token_keys.close()
        await self._redis.finish()
        if has_run:
            await self._registration.withdraw()
        for seat in self._seats:
            self._seats.abort(seat, CloseReason.DRAIN)
        asyncio.get_running_loop().remove_reader(self._poller.fileno())
        self._poller.close()
        await self._redis.aclose()
        await self._admin.stop()

    async def _wait_for_goodbyes(self) -> None:
        """Wait until every client has its last bytes and has closed its connection, at most GOODBYE_TIMEOUT."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GOODBYE_TIMEOUT
        while len(self._seats) and loop.time() < deadline:  # noqa: ASYNC110  # ends at the deadline anyway
            await asyncio.sleep(0.01)

    def _readiness(self) -> list[Check]:
        """Return the checks of /readyz; all pass if a new subscriber can be held."""
        connections, limit = len(self._seats), self._max_connections
        return [
            *redis_checks(self._redis.pubsub, self._redis.proof),
            Check("drain", not self._drain.has_begun),
            Check("room", connections < limit, {"connections": connections, "limit": limit}),
        ]

    def _gauges(self) -> Gauges:
        channels = self._hub.channels.values()
        return Gauges(
            connections={transport: self._counters.held(transport) for transport in TRANSPORTS},
            limit=self._max_connections,
            channels=len(channels),
            subscriptions=sum(len(channel.seats) for channel in channels),
            parked_bytes=self._seats.outbox.parked_bytes,
            input_bytes=self._seats.inbox.kept_bytes,
            redis_up=self._redis.pubsub.ready,
            redis_reconnects=self._redis.pubsub.reconnects,
            draining=self._drain.has_begun,
            key_uses=self._operating.uses,
        )


def _max_connections(wanted: int) -> int:
    """Return how many connections may be held: as many as `wanted` (0: no limit), and the open files, allow.

    Raises `SettingsError` if it allows none.
    """
    needed = RESERVED_FILES + MAX_SURPLUS
    possible = max_open_files() - needed
    if possible < 1:
        raise SettingsError(
            f"this process may open {max_open_files()} files, and an edge needs more than {needed} to hold a "
            "connection; raise the hard limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of Docker)"
        )
    if wanted > possible:
        get_logger().warning("COMET_MAX_CONNECTIONS is more than the open files allow", wanted=wanted, limit=possible)
    return min(wanted or possible, possible)
