"""The publisher's wiring and lifecycle: the only module that knows all its parts."""

import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from common.access.keys import KeyRing, read_admin_keys, read_publish_keys, uses_of
from common.browsers.guard import rules_for
from common.metrics.fields import FieldCollector
from common.names import ForeignNames, RedisNames
from common.redis.client import connect, database, endpoint
from common.redis.pipelines import Pipelines
from common.redis.proof import ServerProof
from common.redis.pubsub import PubSub
from common.rpc.client import EdgeClient
from common.rpc.registry import EdgeRegistry
from common.rpc.replies import ReplyInbox
from common.scripts.calls import Scripts
from common.scripts.deployments import Deployment, Deployments
from common.scripts.publishing import Publishing
from common.service.admin import AdminServer, Check, redis_checks
from common.service.graceful_close import stop_accepting
from common.service.http import ApiDocument, listen, port_of
from common.service.operators import internal_checks
from common.service.process import measure_lag, register_process
from common.service.runner import notice_of_drain
from common.settings import Settings
from common.tasks import Tasks, run_forever
from publisher.api.auth import is_guarded, require_key
from publisher.api.cluster import ClusterApi
from publisher.api.foreign import refuse_foreign
from publisher.api.pages import PagesApi
from publisher.api.publish import PublishApi
from publisher.api.rate import PublishRate
from publisher.api.tail import TailApi
from publisher.cluster import Cluster
from publisher.drain import Drain
from publisher.exposure import check_exposure, tell_exposure
from publisher.functions import FunctionKeeper
from publisher.metrics import Counters, Gauges
from publisher.redis_publisher import RedisPublisher
from publisher.request import max_body_bytes

FOLDER = Path(__file__).parent  # of the documents that /openapi.json serves


class Publisher:
    """One publisher process; implements `common.service.runner.Service`."""

    def __init__(self, settings: Settings) -> None:
        self.on_drain: Callable[[], None] = lambda: None
        publisher_id = secrets.token_hex(6)
        names = RedisNames(settings.prefix)
        self._settings = settings
        self._publishing = KeyRing("COMET_PUBLISH_KEYS", read_publish_keys(settings.publish_keys))
        self._operating = KeyRing("COMET_ADMIN_KEYS", read_admin_keys(settings.admin_keys))
        self._counters = Counters()
        self._rules = rules_for(settings.allowed_origins, settings.hosts)
        self._redis = connect(settings.redis_url)
        self._inbox = ReplyInbox(names, publisher_id)
        self._proof = ServerProof(settings.redis_url, names.probe(publisher_id), self._redis)
        self._pubsub = PubSub(
            endpoint(settings.redis_url),
            names.probe(publisher_id),
            self._proof.publish,
            verify=self._proof.verify,
            on_proved=self._counters.probe.observe,
        )
        self._proof.on_suspect(self._pubsub.suspect)
        self._pubsub.subscribe_own(self._inbox.name, self._inbox.on_message, self._on_reachable)
        self._names = names
        self._pipelines = Pipelines(self._redis, self._counters.duration.observe)
        self._scripts = Scripts(self._redis, names, settings)
        self._functions = FunctionKeeper(self._scripts, lambda: self._deployments.prefixes)
        self._cluster = Cluster(
            EdgeClient(names, self._inbox, self._redis.publish),
            EdgeRegistry(self._redis, names),
            self._counters.unreadable,
        )
        self._foreign = ForeignNames(settings.prefix)
        self._deployments = Deployments(
            self._redis,
            Deployment(database(settings.redis_url), settings.prefix),
            self._foreign,
            self._install_functions,
        )
        self._tail = TailApi(self._redis, names, self._foreign, keeps_history=settings.history_size > 0)
        self._drain = Drain(settings.drain_seconds, notice_of_drain(settings.drain_seconds), self._ask_to_drain)
        self._admin = self._admin_server()
        self._runner: web.AppRunner | None = None
        self._tasks = Tasks()

    @property
    def port(self) -> int:
        """The port of `/pub`; 0 while it does not listen."""
        return port_of(self._runner) if self._runner else 0

    @property
    def admin_port(self) -> int:
        """The internal port; 0 while it does not listen."""
        return self._admin.port

    async def start(self) -> None:
        """Listen on both ports and connect to Redis in the background; raises `SettingsError` if a port is taken."""
        settings = self._settings
        try:
            check_exposure(settings.publisher_host, settings.publish_keys, open_to_all=settings.open_publisher)
            self._runner = await listen(
                self._application(),
                settings.publisher_host,
                settings.publisher_port,
                "COMET_PUBLISHER_PORT",
                request_timeout=settings.header_timeout,
            )
            await self._admin.start()
        except BaseException:
            await self.stop()
            raise
        tell_exposure(settings.publisher_host, self._publishing, self._operating)
        lag = partial(measure_lag, self._counters.loop_lag.observe)
        for work in (self._pubsub.run, self._deployments.run, self._functions.run, lag):
            self._tasks.start(run_forever(work))

    async def drain(self) -> None:
        """Be not ready, and serve until load balancers have noticed it; every answer closes its connection."""
        await self._drain.run()

    async def stop(self) -> None:
        """Answer the requests in flight and those that the kernel has accepted, then release everything."""
        self._drain.begin()
        self._tail.stop()
        if self._runner is not None:
            await stop_accepting(self._runner)
            await self._runner.cleanup()
            self._runner = None
        await self._tasks.cancel_all()
        await self._functions.finish()
        await self._pipelines.aclose()
        await self._proof.aclose()
        await self._redis.aclose()
        await self._admin.stop()

    def _application(self) -> web.Application:
        """Return the aiohttp application of the public port."""
        settings = self._settings
        app = web.Application(
            middlewares=self._middlewares(),
            client_max_size=max_body_bytes(settings.max_message_bytes),
        )
        rate = PublishRate(settings.publish_rate, time.monotonic)
        publish = PublishApi(
            RedisPublisher(Publishing(self._pipelines, self._names, settings), self._inbox),
            settings.max_message_bytes,
            self._counters.published,
            self._foreign,
            rate,
            keeps_history=settings.history_size > 0,
            demo=settings.demo,
        )
        cluster = ClusterApi(self._cluster, settings.max_message_bytes, self._counters.published, rate)
        pages = PagesApi(settings.edge_url, settings.publisher_url, has_demo=settings.demo)
        for api in (publish, cluster, self._tail, pages):
            api.add_to(app.router)
        app.router.add_routes([ApiDocument(FOLDER / "openapi.json").route])
        app.on_response_prepare.append(self._drain.close_after)
        return app

    def _middlewares(self) -> list[Middleware]:
        """Return what sees each request of the public port first."""
        publishing, operating = self._publishing, self._operating
        foreign = refuse_foreign(
            self._rules,
            self._counters.foreign_total,
            self._counters.published,
            is_guarded=partial(is_guarded, publishing=publishing, operating=operating),
            demo=self._settings.demo,
        )
        return [foreign, require_key(publishing, operating)] if publishing or operating else [foreign]

    def _admin_server(self) -> AdminServer:
        """Return the server of the internal port."""
        registry = CollectorRegistry()
        register_process(registry)
        registry.register(FieldCollector(self._counters, self._gauges))
        return AdminServer(
            self._settings.admin_host,
            self._settings.publisher_admin_port,
            "COMET_PUBLISHER_ADMIN_PORT",
            self._readiness,
            registry,
            [web.post("/drain", self._drain.on_request), ApiDocument(FOLDER / "openapi_internal.json").route],
            middlewares=internal_checks(self._rules, self._counters.foreign_total, self._operating),
            request_timeout=self._settings.header_timeout,
        )

    def _ask_to_drain(self) -> None:
        self.on_drain()

    def _on_reachable(self, reachable: bool) -> None:
        """Install our Redis Functions on every new connection: a Redis that starts empty has lost them."""
        self._inbox.on_reachable(reachable)
        if reachable:
            self._install_functions()

    def _install_functions(self) -> None:
        if self._settings.history_size:
            self._functions.install()

    def _gauges(self) -> Gauges:
        return Gauges(
            receipts_ignored=self._inbox.ignored,
            tails=self._tail.open,
            redis_up=self._pubsub.ready,
            redis_reconnects=self._pubsub.reconnects,
            draining=self._drain.has_begun,
            key_uses=uses_of(self._publishing, self._operating),
        )

    def _readiness(self) -> list[Check]:
        """A publisher is ready if Redis takes its messages, receipts reach it, and it is not told to end."""
        return [
            *redis_checks(self._pubsub, self._proof),
            Check("receipts", self._inbox.reachable),
            Check("drain", not self._drain.has_begun),
        ]
