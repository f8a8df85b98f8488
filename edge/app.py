"""The edge's wiring and lifecycle: the only file that knows all its parts."""

import asyncio
import gc
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry

from common.logs import get_logger
from common.names import RedisNames
from common.redis.client import connect, endpoint
from common.redis.pubsub import PubSub
from common.redis.registry import EdgeRegistry
from common.rpc.client import EdgeClient
from common.rpc.replies import ReplyInbox
from common.scripts.calls import Scripts
from common.service.admin import AdminServer, Check, redis_check
from common.service.process import give_back_memory, measure_lag, most_open_files, register_process
from common.service.runner import notice_of_drain
from common.settings import Settings
from common.tasks import Work, cancel_all, run_forever
from edge.channels.adoption import Adopter
from edge.channels.attach import Attacher
from edge.channels.audit import Auditor
from edge.channels.hub import Hub
from edge.channels.sync import LogReader
from edge.channels.tracker import ChannelTracker
from edge.cluster.commands import Commands
from edge.cluster.forwarding import SessionForwarder
from edge.cluster.node_info import NodeInfo
from edge.cluster.redis_clock import RedisClock
from edge.cluster.registration import NodeRegistration
from edge.cluster.reply_sender import ReplySender
from edge.cluster.rpc_server import RpcServer
from edge.counters import Counters
from edge.drain import Drain
from edge.engine.fanout import FanOut
from edge.engine.poller import Poller, make_poller
from edge.engine.seats import Limits, Seats
from edge.engine.ticker import turn
from edge.engine.trim import Relief
from edge.metrics import EdgeCollector, Gauges
from edge.server.handler import RequestHandler
from edge.server.listener import MARGIN, RESERVED_FILES, Listener
from edge.shedding import Shedder
from edge.subscribers.changes import ChannelChanges
from edge.subscribers.lifecycle import Lifecycle
from edge.subscribers.sessions import Sessions

GOODBYE = 1.0  # seconds that the last bytes get at the end
LAST_ADOPTIONS = 1.0  # seconds that plain messages get which are on their way into the log
MOST_CONTROL_BYTES = 65_536  # of a request, without the message it may carry
ESCAPED = 6  # bytes that one byte of a message may take in JSON: \u0000
GC_THRESHOLD = 50_000  # a full collection looks at every seat; there are no cycles worth looking for that often


class Edge:
    """One edge process; implements `common.service.Service`."""

    def __init__(self, settings: Settings, poller: Poller | None = None) -> None:
        self.on_drain: Callable[[], None]
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.id = secrets.token_hex(4)
        self._poller = poller or make_poller()
        self._redis = connect(settings.redis_url)
        self._tasks: list[asyncio.Task[None]] = []
        names, clock = RedisNames(settings.prefix), time.monotonic
        counters = self._counters = Counters()
        scripts = Scripts(self._redis, names, settings)

        limits = Limits(settings.slow_bytes, settings.slow_seconds, settings.slow_total_bytes)
        self._seats = Seats(self._poller, counters, clock, limits)
        self._redis_clock = RedisClock(self._redis.time, clock)
        fanout = FanOut(
            self._seats,
            counters,
            clock,
            self._loop.call_later,
            self._redis_clock.age,
            away=settings.linger,
            flush_after=settings.flush_ms / 1000,
            policy=settings.slow_policy,
        )
        keeps_history = settings.history_size > 0
        log_reader = LogReader(scripts.sync)
        adopter = Adopter(scripts.adopt, counters, clock) if settings.adopt and keeps_history else None
        self._adopter = adopter
        attacher = Attacher(log_reader, counters, keeps_history=keeps_history)
        tracker = ChannelTracker(
            fanout,
            log_reader,
            counters,
            adopter=adopter,
            max_message_bytes=settings.max_message_bytes,
            keeps_history=keeps_history,
        )
        self._hub = Hub(
            names,
            fanout,
            attacher,
            tracker,
            counters,
            clock,
            self._loop.call_soon,
            linger=settings.linger,
        )
        self._auditor = Auditor(self._hub.channels, tracker.repair, scripts.sync, settings.audit)
        sessions = Sessions(self.id, self._seats)
        fanout.sign = sessions.sign
        self._lifecycle = Lifecycle(
            self._seats,
            fanout,
            counters,
            clock,
            sessions,
            heartbeat=settings.heartbeat,
            poll_timeout=settings.poll_timeout,
            max_age=settings.max_connection_age,
        )
        self._changes = ChannelChanges(self._hub, fanout, self._seats, sessions, counters, clock)
        self._forwarder = SessionForwarder(sessions, self._changes)
        self._most = _most_connections(settings.max_connections)
        self._handler = RequestHandler(
            self._seats,
            self._hub,
            self._lifecycle,
            self._changes,
            self._forwarder,
            counters,
            clock,
            self._loop.call_soon,
            header_timeout=settings.header_timeout,
            allowed_origins=settings.allowed_origins,
            max_connections=self._most,
        )
        self._listener = Listener(self._poller, self._seats, self._handler, max_connections=self._most)
        self._pubsub = PubSub(
            endpoint(settings.redis_url),
            names.probe(self.id),
            self._redis.publish,
            on_proved=counters.probe.observe,
        )
        self._counters = counters
        self._seats.on_leave = self._hub.leave
        fanout.on_answered = self._handler.on_answered
        if adopter is not None:
            adopter.on_not_adopted = self._hub.on_not_adopted
        self._hub.pubsub = self._pubsub
        self._hub.on_ready = self._lifecycle.seat
        self._listen_to_control(names, fanout, counters)

        registry = CollectorRegistry()
        registry.register(EdgeCollector(counters, self._gauges))
        register_process(registry)
        self._shedder = Shedder(self._lifecycle)
        seconds = settings.drain_seconds
        notice = notice_of_drain(seconds)
        self._drain = Drain(seconds, notice, self._listener, self._handler, self._lifecycle, self._shedder)
        self._drain.ask = self._ask_to_drain
        self._admin = AdminServer(
            settings.admin_host,
            settings.edge_admin_port,
            "COMET_EDGE_ADMIN_PORT",
            self._readiness,
            registry,
            [web.post("/drain", self._drain.on_request)],
        )

    def _listen_to_control(self, names: RedisNames, fanout: FanOut, counters: Counters) -> None:
        """Answer what publishers and other edges ask, and be able to ask, too."""
        replies = ReplySender(names, self._publish_all, counters)
        self._hub.on_receipt = replies.add_receipt
        self._node_info = NodeInfo(self.id, self._hub, counters, time.monotonic, self._readiness)
        registry = EdgeRegistry(self._redis, names)
        self._registration = NodeRegistration(registry, self.id, self._node_info, self._hub, counters, time.monotonic)
        self._commands = Commands(self._hub, fanout, self._lifecycle, time.monotonic)
        longest = MOST_CONTROL_BYTES + ESCAPED * self._settings.max_message_bytes
        self._control = RpcServer(self.id, replies, counters, most_bytes=longest)
        self._control.handlers |= {
            "info": self._node_info.on_info,
            "close": self._commands.on_close,
            "broadcast": self._commands.on_broadcast,
            "change": self._forwarder.on_change,
        }
        inbox = ReplyInbox(names, self.id)
        self.peers = EdgeClient(names, inbox, self._redis.publish)
        self._forwarder.ask = self.peers.ask
        self._pubsub.subscribe_own(inbox.name, inbox.on_message, inbox.on_reachable)
        for name in (names.edges(), names.edge(self.id)):
            self._pubsub.subscribe_own(name, self._control.on_message)

    @property
    def port(self) -> int:
        """The subscribers' port; 0 while it does not listen."""
        return self._listener.port

    @property
    def admin_port(self) -> int:
        """The internal port; 0 while it does not listen."""
        return self._admin.port

    async def start(self) -> None:
        """Listen on both ports and connect to Redis in the background; raises `SettingsError` if a port is taken."""
        try:
            self._listener.open(self._settings.edge_host, self._settings.edge_port)
            await self._admin.start()
        except BaseException:
            await self.stop()
            raise
        self._node_info.ports = {"port": self.port, "admin_port": self.admin_port}
        lag = partial(measure_lag, self._counters.loop_lag.observe)
        wheels = partial(turn, self._deadlines())
        pubsub = partial(self._pubsub.run, self._hub)
        running: list[Work] = [pubsub, wheels, self._redis_clock.run, self._registration.run, lag]
        if self._settings.history_size:
            running.append(self._auditor.run)
        else:
            get_logger().warning("COMET_HISTORY_SIZE=0: messages have no positions; who is away misses them unnoticed")
        self._tasks = [asyncio.create_task(run_forever(work)) for work in running]
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)

    async def drain(self) -> None:
        """Send everybody away, a few at a time; returns when nobody is left or the time is up."""
        await self._drain.run()

    def _ask_to_drain(self) -> None:
        self.on_drain()

    async def stop(self) -> None:
        """Stop accepting, say goodbye to everybody, and let go of everything."""
        await self._shedder.stop()
        await self._commands.stop()
        await self._control.stop()
        self._listener.close()
        self._lifecycle.say_goodbye_to_all()
        await self._wait_for_goodbyes()
        await self._forwarder.stop()
        await cancel_all(*self._tasks)
        if self._adopter is not None:
            await self._adopter.finish(LAST_ADOPTIONS)
        if self._tasks:  # else it never began
            await self._registration.withdraw()
        for seat in self._seats:
            self._seats.remove(seat, "drain")
        self._loop.remove_reader(self._poller.fileno())
        self._poller.close()
        await self._redis.aclose()
        await self._admin.stop()

    def _deadlines(self) -> list[Callable[[], bool]]:
        """Return what has to be called again and again for deadlines to be kept."""
        clock, wheels = time.monotonic, (self._handler.wheel, self._hub.wheel, self._changes.wheel)
        relief = Relief(lambda: self._seats.parked_bytes, give_back_memory)
        return [self._seats.cut_stuck, relief.look, *(lambda wheel=wheel: wheel.advance(clock()) for wheel in wheels)]

    async def _wait_for_goodbyes(self) -> None:
        """Give the kernel and the clients a moment to take the last bytes."""
        deadline = self._loop.time() + GOODBYE
        while len(self._seats) and self._loop.time() < deadline:  # noqa: ASYNC110  # ends at the deadline anyway
            await asyncio.sleep(0.01)

    async def _publish_all(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for name, payload in messages:
            pipeline.publish(name, payload)
        await pipeline.execute()

    def _readiness(self) -> list[Check]:
        """Ready means that a newcomer would be seated: Redis delivers, nobody is sent away, and there is room."""
        held = len(self._seats)
        return [
            redis_check(self._pubsub),
            Check("drain", not self._drain.began),
            Check("room", held < self._most, {"connections": held, "limit": self._most}),
        ]

    def _gauges(self) -> Gauges:
        channels = self._hub.channels.values()
        subscriptions = sum(len(channel.seats) for channel in channels)
        return Gauges(
            len(channels),
            subscriptions,
            redis_up=self._pubsub.ready,
            redis_reconnects=self._pubsub.reconnects,
            parked_bytes=self._seats.parked_bytes,
            draining=self._drain.began,
            limit=self._most,
        )


def _most_connections(wanted: int) -> int:
    """Return how many connections may be held: what is wanted (0: as many as go), if the open-file limit allows it."""
    possible = most_open_files() - RESERVED_FILES - MARGIN
    if wanted > possible:
        get_logger().warning("COMET_MAX_CONNECTIONS is more than the open files allow", wanted=wanted, limit=possible)
    return min(wanted or possible, possible)
