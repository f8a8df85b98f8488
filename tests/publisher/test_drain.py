"""The drain of a publisher; with a whole process in tests/cluster/test_drain.py."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientResponse, ClientSession, web
from structlog.testing import capture_logs

from common.service.http import errors_as_json, listen, port_of
from publisher.drain import Drain


class DrainServer:
    """An HTTP server whose answers pass through a drain."""

    def __init__(self) -> None:
        self.asked = 0
        self.drain = Drain(10.0, 0.0, self._ask)
        self.port = 0

    def _ask(self) -> None:
        self.asked += 1

    def application(self) -> web.Application:
        """Return the application: `POST /drain` as on the internal port, and the hook of the public port."""
        app = web.Application(middlewares=[errors_as_json])
        app.router.add_post("/drain", self.drain.on_request)
        app.on_response_prepare.append(self.drain.close_after)
        return app

    async def post(self, target: str) -> ClientResponse:
        """Return the answer to a POST."""
        async with ClientSession() as session, session.post(f"http://127.0.0.1:{self.port}{target}") as answer:
            await answer.read()
            return answer


@pytest.fixture
async def server() -> AsyncIterator[DrainServer]:
    """Yield a server that has not been told to end."""
    it = DrainServer()
    runner = await listen(it.application(), "127.0.0.1", 0, "PORT")
    it.port = port_of(runner)
    yield it
    await runner.cleanup()


async def test_a_request_asks_for_the_drain(server: DrainServer) -> None:
    """The answer comes at once and keeps its connection: it is the process that begins the drain."""
    answer = await server.post("/drain")
    assert (answer.status, await answer.json()) == (202, {"draining": True, "seconds": 10.0})
    assert (server.asked, server.drain.has_begun) == (1, False)
    assert answer.headers.get("Connection") != "close"


async def test_parameters_are_refused(server: DrainServer) -> None:
    """An edge takes `to`; a publisher has nothing to give away."""
    answer = await server.post("/drain?to=5")
    assert (answer.status, server.asked) == (400, 0)
    assert "give no parameters" in (await answer.json())["content"]


async def test_once_begun_every_answer_closes_its_connection(server: DrainServer) -> None:
    """The drain is logged with its seconds, and lasts until load balancers have noticed."""
    with capture_logs() as lines:
        await server.drain.run()
    assert [(line["event"], line["seconds"]) for line in lines] == [("draining", 10.0)]
    assert server.drain.has_begun
    assert (await server.post("/nowhere")).headers["Connection"] == "close"
