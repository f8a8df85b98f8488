"""The middleware before the routes of the aiohttp services, on a real port."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from common.browsers.guard import guard, rules_for
from common.service.http import json_answer, listen, port_of

HOME, EVIL = "https://app.example", "https://evil.example"


class Guarded:
    """A server that does what it is told, behind the middleware."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.refused: list[tuple[str, int]] = []
        self.port = 0

    def application(self) -> web.Application:
        """Return the server's application; every path does something."""
        rules = rules_for((HOME,), ("push.example.com",))
        app = web.Application(
            middlewares=[guard(rules, lambda request, status: self.refused.append((request.path, status)))]
        )
        app.router.add_route("*", "/{path:.*}", self._do)
        return app

    async def _do(self, request: web.Request) -> web.Response:
        self.done.append(f"{request.method} {request.path}")
        return json_answer({"done": True})

    async def ask(self, method: str, path: str, **headers: str) -> int:
        """Send a request whose headers are named with underscores; return its status."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            ClientSession() as session,
            session.request(method, f"http://127.0.0.1:{self.port}{path}", headers=named) as answer,
        ):
            value = await answer.json() if method != "HEAD" else {}
            assert answer.status == 200 or method == "HEAD" or value["code"] == answer.status
            return answer.status


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    """Yield the server while it listens."""
    server = Guarded()
    runner = await listen(server.application(), "127.0.0.1", 0, "COMET_X_PORT")
    server.port = port_of(runner)
    yield server
    await runner.cleanup()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
async def test_an_order_of_a_foreign_page_is_not_carried_out(guarded: Guarded, method: str) -> None:
    """It is counted instead; one of a page on the list is carried out."""
    assert await guarded.ask(method, "/drain", sec_fetch_site="cross-site") == 403
    assert await guarded.ask(method, "/drain", Origin=EVIL) == 403
    assert guarded.done == []
    assert guarded.refused == [("/drain", 403)] * 2
    assert await guarded.ask(method, "/drain", Origin=HOME, sec_fetch_site="same-site") == 200
    assert await guarded.ask(method, "/drain", Origin=f"http://127.0.0.1:{guarded.port}") == 200
    assert await guarded.ask(method, "/drain") == 200
    assert guarded.done == [f"{method} /drain"] * 3


@pytest.mark.parametrize("host", ["evil.test", "evil.test:9080", "127.0.0.1.evil.test"])
async def test_an_order_under_another_name_is_misdirected(guarded: Guarded, host: str) -> None:
    """A page of that name is this server's own for its browser, so nothing else tells it."""
    assert await guarded.ask("POST", "/drain", Host=host, sec_fetch_site="same-origin") == 421
    assert guarded.done == []
    assert guarded.refused == [("/drain", 421)]
    assert await guarded.ask("POST", "/drain", Host="push.example.com:9080") == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/other"])
async def test_who_only_reads_is_let_in(guarded: Guarded, method: str, path: str) -> None:
    """Probes and Prometheus come under any name."""
    assert await guarded.ask(method, path, Host="evil.test", sec_fetch_site="cross-site", Origin=EVIL) == 200


async def test_health_is_asked_for_under_any_name(guarded: Guarded) -> None:
    """By whatever method; the routes say which one they have."""
    assert await guarded.ask("POST", "/healthz", Host="evil.test") == 200
