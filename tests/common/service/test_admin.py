import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, Counter

from common.errors import SettingsError
from common.service.admin import AdminServer, Check

VARIABLE = "COMET_EDGE_ADMIN_PORT"


class FakeReadiness:
    """A readiness of two checks; one of them is met or not, as a test wants it."""

    ready = True

    def __call__(self) -> list[Check]:
        """Return what the test has set."""
        return [Check("drain", True), Check("redis", self.ready, {"age": 3})]


@pytest.fixture
def readiness() -> FakeReadiness:
    """Return the readiness of the service under test."""
    return FakeReadiness()


@pytest.fixture
async def admin(readiness: FakeReadiness) -> AsyncIterator[AdminServer]:
    """Yield an internal port that serves one counter."""
    registry = CollectorRegistry()
    Counter("seats", "Held connections.", registry=registry).inc()
    server = AdminServer("127.0.0.1", 0, VARIABLE, readiness, registry)
    await server.start()
    yield server
    await server.stop()


async def fetch(admin: AdminServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Return status, content type and body."""
    async with (
        ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{admin.port}{path}") as answer,
    ):
        return answer.status, answer.content_type, await answer.text()


async def test_health_is_ok_whatever_the_readiness(admin: AdminServer, readiness: FakeReadiness) -> None:
    """`/healthz` says that the process lives, so that a Redis outage does not get it killed."""
    readiness.ready = False
    assert await fetch(admin, "/healthz") == (200, "application/json", '{"status":"ok"}\n')


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_readiness_is_asked_for_at_each_request(
    admin: AdminServer, readiness: FakeReadiness, ready: bool, status: int
) -> None:
    """`/readyz` is 200 or 503, with the figures of each check."""
    readiness.ready = ready
    answer = await fetch(admin, "/readyz")
    detail = {"ready": ready, "drain": {"ok": True}, "redis": {"ok": ready, "age": 3}}
    assert (answer[0], json.loads(answer[2])) == (status, detail)


async def test_metrics_are_those_of_the_registry(admin: AdminServer) -> None:
    """`/metrics` is the registry in Prometheus's text format."""
    status, content_type, text = await fetch(admin, "/metrics")
    assert (status, content_type) == (200, "text/plain")
    assert "seats_total 1.0\n" in text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/healthz", 405)])
async def test_other_requests_are_a_json_error(admin: AdminServer, method: str, path: str, status: int) -> None:
    """Unknown paths and wrong methods get one JSON line."""
    code, content_type, text = await fetch(admin, path, method)
    assert (code, content_type, json.loads(text)["code"]) == (status, "application/json", status)


async def test_a_failing_handler_is_a_500_without_a_traceback(admin: AdminServer) -> None:
    """An unexpected exception is logged and answered with one JSON line that shows nothing of it."""

    def fail() -> list[Check]:
        raise LookupError("secret detail")

    admin._readiness = fail
    status, _, text = await fetch(admin, "/readyz")
    assert (status, json.loads(text)["code"]) == (500, 500)
    assert "secret" not in text


async def test_a_taken_port_is_an_error_that_names_the_setting(admin: AdminServer, readiness: FakeReadiness) -> None:
    """The second program on a port gets one sentence with the variable and the port."""
    second = AdminServer("127.0.0.1", admin.port, VARIABLE, readiness, CollectorRegistry())
    with pytest.raises(SettingsError, match=f"^{VARIABLE}={admin.port}: the port is taken; "):
        await second.start()
    assert second.port == 0
    await second.stop()
