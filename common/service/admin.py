"""The internal port of a service: health, readiness, metrics. It is for operators and must not be public."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from common.redis.proof import ServerProof
from common.redis.pubsub import PubSub
from common.service.http import json_answer, listen, port_of
from common.service.punctual import REQUEST_TIMEOUT

SHUTDOWN_TIMEOUT = 0.5  # seconds that requests of operators and load balancers have at the end, see `listen`


class Check(NamedTuple):
    """One condition of a service: whether it is met, and the figures that decide it (JSON values).

    A service may be ready although one that is not `required` is not met.
    """

    name: str
    ok: bool
    figures: Mapping[str, object] = MappingProxyType({})
    required: bool = True


def is_ready(checks: Iterable[Check]) -> bool:
    """Say whether a service that has these checks is ready."""
    return all(check.ok for check in checks if check.required)


class AdminServer:
    """Serves `/healthz`, `/readyz`, `/metrics` and the service's own `routes` on a port of its own.

    `middlewares` see every request first. A request must be complete after `request_timeout` seconds.
    """

    def __init__(
        self,
        host: str,
        port: int,
        port_variable: str,
        readiness: Callable[[], Sequence[Check]],
        registry: CollectorRegistry,
        routes: Sequence[web.RouteDef] = (),
        *,
        middlewares: Sequence[Middleware] = (),
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        self._where = (host, port, port_variable)
        self._readiness = readiness
        self._registry = registry
        self._routes = routes
        self._middlewares = middlewares
        self._request_timeout = request_timeout
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that it listens on; 0 while it does not listen."""
        return port_of(self._runner) if self._runner else 0

    async def start(self) -> None:
        """Start to listen; raises `SettingsError` that names the port's variable if the port is taken."""
        app = web.Application(middlewares=self._middlewares)
        app.router.add_routes(self._routes)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = await listen(
            app, *self._where, request_timeout=self._request_timeout, shutdown_timeout=SHUTDOWN_TIMEOUT
        )

    async def stop(self) -> None:
        """Stop listening; harmless if it never started."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, request: web.Request) -> web.Response:
        """Answer 200: health means no more than that the event loop runs."""
        return json_answer({"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        """Answer 200 if every check that is required is met, else 503; the answer names each check."""
        checks = self._readiness()
        ready = is_ready(checks)
        detail = {check.name: {"ok": check.ok, **check.figures} for check in checks}
        return json_answer({"ready": ready, **detail}, 200 if ready else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def redis_checks(pubsub: PubSub, proof: ServerProof) -> list[Check]:
    """Return the check that Redis delivers, and, while it refuses writes, one that says so.

    The first is met if a probe came back recently; an open connection alone proves nothing.
    """
    age = round(pubsub.proof_age, 1) if pubsub.proof_age < float("inf") else None
    figures: dict[str, object] = {"connected": pubsub.up, "probe_age_seconds": age}
    if not pubsub.ready and pubsub.error:
        figures["error"] = pubsub.error
    checks = [Check("redis", pubsub.ready, figures)]
    if proof.refusal and pubsub.ready:
        checks.append(Check("writes", False, {"error": proof.refusal}, required=False))
    return checks
