import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from common.errors import BadRequestError, LimitError, SettingsError, UnauthorizedError, UnavailableError
from common.service.http import errors_as_json, json_answer, listen, port_of

VARIABLE = "COMET_PUBLISHER_PORT"
Fetch = Callable[..., Awaitable[tuple[int, dict[str, str], Any]]]


async def fine(request: web.Request) -> web.Response:
    """Answer."""
    return json_answer({"ü": [1, None]}, 201, {"X-Own": "1"})


def failing(error: Exception) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that raises an error."""

    async def fail(request: web.Request) -> web.Response:
        raise error

    return fail


@pytest.fixture
async def fetch() -> AsyncIterator[Fetch]:
    """Yield a function that sends a request to a service, and returns status, headers and JSON."""
    app = web.Application(middlewares=[errors_as_json])
    app.router.add_get("/fine", fine)
    app.router.add_get("/wrong", failing(BadRequestError("id: is wrong")))
    app.router.add_get("/key", failing(UnauthorizedError("a key is needed")))
    app.router.add_get("/much", failing(LimitError("too much", "any", 3)))
    app.router.add_get("/down", failing(UnavailableError("redis is down", retry_after=7)))
    app.router.add_get("/bug", failing(LookupError("secret detail")))
    runner = await listen(app, "127.0.0.1", 0, VARIABLE)

    async def send(path: str, method: str = "GET") -> tuple[int, dict[str, str], Any]:
        url = f"http://127.0.0.1:{port_of(runner)}{path}"
        async with ClientSession() as session, session.request(method, url) as answer:
            text = await answer.text()
            assert (answer.content_type, text.count("\n"), text[-1]) == ("application/json", 1, "\n")
            return answer.status, dict(answer.headers), json.loads(text)

    yield send
    await runner.cleanup()


async def test_an_answer_is_one_json_line(fetch: Fetch) -> None:
    """With the status and the headers that the handler gives."""
    status, headers, answer = await fetch("/fine")
    assert (status, headers["X-Own"], answer) == (201, "1", {"ü": [1, None]})


@pytest.mark.parametrize(
    ("path", "status", "sentence", "header"),
    [
        ("/wrong", 400, "id: is wrong", None),
        ("/key", 401, "a key is needed", ("WWW-Authenticate", 'Bearer realm="comet"')),
        ("/down", 503, "redis is down", ("Retry-After", "7")),
        ("/much", 429, "too much", ("Retry-After", "3")),
        ("/nowhere", 404, "/nowhere is not a path of this server", None),
        ("/bug", 500, "the server failed; its log says why", None),
    ],
)
async def test_an_error_is_one_json_line_with_its_headers(
    fetch: Fetch, path: str, status: int, sentence: str, header: tuple[str, str] | None
) -> None:
    """It has a type, the status as its code, and a sentence; a bug shows nothing of itself."""
    code, headers, answer = await fetch(path)
    assert (code, answer) == (status, {"type": "error", "code": status, "content": sentence})
    assert header is None or headers[header[0]] == header[1]


async def test_a_wrong_method_names_those_that_are_allowed(fetch: Fetch) -> None:
    """In the sentence, and in the header that HTTP has for it."""
    status, headers, answer = await fetch("/fine", "DELETE")
    assert (status, answer["content"]) == (405, "DELETE is not allowed here; use GET or HEAD")
    assert set(headers["Allow"].split(",")) == {"GET", "HEAD"}


async def test_a_long_path_is_cut_in_the_sentence(fetch: Fetch) -> None:
    """The first hundred characters are enough to know it again."""
    _, _, answer = await fetch("/" + "x" * 200)
    assert answer["content"] == "/" + "x" * 99 + " is not a path of this server"


@pytest.mark.parametrize("host", ["203.0.113.7", "x" * 70])
async def test_a_host_that_cannot_be_listened_on_names_its_setting(host: str) -> None:
    """An address of another machine, or a name that cannot be looked up."""
    with pytest.raises(SettingsError, match=f"^COMET_PUBLISHER_HOST={host}: this is not an address of this machine"):
        await listen(web.Application(), host, 0, VARIABLE)


async def test_a_request_in_flight_is_cancelled_when_its_time_is_up() -> None:
    """A handler that would never end does not hold the end of a service up."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(request: web.Request) -> web.Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", endless)
    runner = await listen(app, "127.0.0.1", 0, VARIABLE, shutdown_timeout=0.05)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(runner))
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await started.wait()
        await runner.cleanup()
        assert cancelled.is_set()
        assert await reader.read() == b""
    writer.close()


async def test_a_client_that_goes_in_the_middle_of_its_body_is_no_failure() -> None:
    """Nothing is logged, whatever the handler was doing."""
    ended = asyncio.Event()

    async def read(request: web.Request) -> web.Response:
        try:
            return json_answer(len(await request.read()))
        finally:
            ended.set()

    app = web.Application(middlewares=[errors_as_json])
    app.router.add_post("/", read)
    runner = await listen(app, "127.0.0.1", 0, VARIABLE)
    with capture_logs() as lines:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(runner))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        async with asyncio.timeout(5):
            await ended.wait()
        await runner.cleanup()
    assert lines == []
