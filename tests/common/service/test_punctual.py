"""Requests to the aiohttp services that are not complete in time, on real connections with short times."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiohttp import web

from common.service.http import json_answer, listen, port_of
from common.service.punctual import BODY_STEP

PATIENCE = 0.4  # seconds for a request
LATE = b'{"type":"error","code":408,"content":"the request was not complete after 0.4 seconds"}\n'
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Yield the port of a service that answers with the length of a body, or after some seconds."""

    async def read(request: web.Request) -> web.Response:
        return json_answer(len(await request.read()))

    async def wait(request: web.Request) -> web.Response:
        await asyncio.sleep(3 * PATIENCE)
        return json_answer("at last")

    async def refuse(request: web.Request) -> web.Response:
        return json_answer("no", 401)

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/", read)
    app.router.add_get("/slow", wait)
    app.router.add_post("/no", refuse)
    runner = await listen(app, "127.0.0.1", 0, "COMET_PUBLISHER_PORT", request_timeout=PATIENCE)
    yield port_of(runner)
    await runner.cleanup()


async def received(port: int, *parts: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """Send these parts; return all that comes until the service closes the connection, and after how many seconds."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(15):
            for part in parts:
                writer.write(part)
                await asyncio.sleep(pause)
            return await reader.read(), time.monotonic() - began
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def is_kept(port: int, *parts: bytes, pause: float = 0.0) -> bool:
    """Say whether a connection on which these parts were sent is still open after three times the time."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * PATIENCE + pause * len(parts)):
            await received(port, *parts, pause=pause)
    return True


@pytest.mark.parametrize(
    ("parts", "answers", "is_told"),
    [
        ([], 0, False),
        ([b"\r\n"], 0, False),
        ([b"GET / HT"], 0, True),
        ([GET, b"GET / HT"], 1, True),
        ([UPGRADE, b"GET / HT"], 1, True),
        ([POST % 9 + b"half"], 0, True),
        ([GET, POST % 9 + b"half"], 1, True),
        ([GET + POST % 9 + b"half"], 1, True),
        ([UPGRADE + POST % 9 + b"half"], 1, True),
    ],
)
async def test_what_is_not_complete_in_time_is_ended(
    port: int, parts: list[bytes], answers: int, is_told: bool
) -> None:
    """Whoever has begun a request is told; the requests before it are answered."""
    data, seconds = await received(port, *parts, pause=0.05)
    assert data.count(b"HTTP/1.1 200 OK") == answers
    assert data.count(b"HTTP/1.1 408 Request Timeout") == data.count(LATE) == is_told
    assert PATIENCE <= seconds < 3 * PATIENCE


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", POST % 50])
async def test_a_drop_now_and_then_is_not_enough(port: int, start: bytes) -> None:
    """The time counts from the beginning of the request."""
    data, seconds = await received(port, start, *[b"a"] * 6, pause=PATIENCE / 6)
    assert data.count(LATE) == 1
    assert seconds < 3 * PATIENCE


async def test_a_body_that_nobody_reads_is_ended_as_well(port: int) -> None:
    """It was refused before its end, and the rest never comes."""
    data, seconds = await received(port, b"POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    assert (data.count(b" 401 "), data.count(LATE)) == (1, 0)
    assert seconds < 11


@pytest.mark.parametrize("parts", [[GET], [UPGRADE], [GET, b"\r\n"], [POST % 4, b"half"], [GET + GET]])
async def test_a_connection_between_two_requests_is_kept(port: int, parts: list[bytes]) -> None:
    """Its time is another one."""
    assert await is_kept(port, *parts, pause=0.05)


async def test_a_long_body_has_its_time_for_each_64_kib(port: int) -> None:
    """So a large one may come slowly."""
    parts = [POST % (8 * BODY_STEP), *[bytes(BODY_STEP)] * 8]
    assert await is_kept(port, *parts, pause=PATIENCE / 2)


async def test_an_answer_may_take_as_long_as_it_likes(port: int) -> None:
    """Also if the next request has begun meanwhile: that is ended after it."""
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    data, seconds = await received(port, slow, b"GET / HT", pause=0.05)
    assert data.index(b"at last") < data.index(LATE)
    assert seconds >= 3 * PATIENCE
