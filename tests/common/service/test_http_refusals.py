"""What aiohttp cannot read is refused in our words: by literal errors, and by bytes on a socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import HttpVersion, http_exceptions, web

from common.errors import RequestError
from common.service.http import json_answer, listen, port_of
from common.service.http_refusals import MAX_FIELD_BYTES, MAX_URL_BYTES, check_version, refusal

DEADLINE = 10.0
Ask = Callable[[bytes], Awaitable[tuple[int, dict[str, str], bytes]]]
MALFORMED = "this is not a well-formed HTTP/1.1 request: "


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (http_exceptions.LineTooLong(b"/pub?...", MAX_URL_BYTES), 414, "the URL is longer than 2097152 bytes; "),
        (http_exceptions.LineTooLong(b"Cookie...", MAX_FIELD_BYTES), 431, "a header is longer than 16384 bytes"),
        (http_exceptions.BadHttpMessage("Too many headers received"), 431, "a request has at most 100 headers"),
        (http_exceptions.InvalidURLError("http://[" + "x" * 9999), 400, "the URL of this request cannot be read"),
        (http_exceptions.BadHttpMessage("Invalid char:\n\n  b'x'\n    ^"), 400, f"{MALFORMED}Invalid char"),
        (http_exceptions.BadStatusLine("x" * 9999), 400, f"{MALFORMED}Bad status line"),
    ],
)
def test_each_kind_of_error_has_its_status_and_its_sentence(error: Exception, status: int, sentence: str) -> None:
    """None of them repeats much of the request."""
    refused = refusal(error)
    assert refused is not None
    assert (refused.status, refused.sentence[: len(sentence)]) == (status, sentence)
    assert len(refused.sentence) < 200


def test_other_errors_are_no_refusals() -> None:
    """They are our own faults."""
    assert refusal(LookupError("x")) is None
    assert refusal(None) is None


def test_versions_that_are_not_spoken_are_505() -> None:
    """Also where aiohttp would take the request."""
    check_version(HttpVersion(1, 0))
    check_version(HttpVersion(1, 1))
    with pytest.raises(RequestError, match=r"HTTP/2\.0 is not spoken here"):
        check_version(HttpVersion(2, 0))


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Yield a function that sends bytes to a service, and returns status, headers and body of the answer."""

    async def echo(request: web.Request) -> web.Response:
        return json_answer({"url": len(request.raw_path), "body": len(await request.read())})

    app = web.Application(client_max_size=1000)
    app.router.add_route("*", "/x", echo)
    runner = await listen(app, "127.0.0.1", 0, "COMET_PUBLISHER_PORT")

    async def send(data: bytes) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(DEADLINE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(runner))
            writer.write(data)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            writer.close()
        return int(lines[0].split()[1]), headers, body

    yield send
    await runner.cleanup()


def head(target: str = "/x", *headers: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """Return a request head."""
    return "\r\n".join((f"{method} {target} {version}", "Host: x", *headers, "", "")).encode()


BODY = "Content-Length: 3"
REFUSED = {
    "a URL over the limit": (head("/x?" + "y" * MAX_URL_BYTES), 414),
    "a value over the limit": (head("/x", "Cookie: " + "y" * 16385), 431),
    "a name over the limit": (head("/x", "y" * 16385 + ": 1"), 431),
    "101 headers": (head("/x", *["a: 1"] * 100), 431),
    "an expectation": (head("/x", "Expect: cake", BODY, method="POST") + b"abc", 417),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 60, 400),
    "no HTTP": (b"HELLO THERE\r\n\r\n", 400),
    "no Host": (b"GET /x HTTP/1.1\r\n\r\n", 400),
    "two lengths": (head("/x", BODY, "Content-Length: 4", method="POST"), 400),
    "a NUL": (head("/x", "a: \0"), 400),
    "a method of no standard": (head(method="BREW"), 400),
    "a URL that is none": (head("http://[/x"), 400),
    "a broken chunk": (head("/x", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n", 400),
    "HTTP/2.0": (head(version="HTTP/2.0"), 505),
    "HTTP/0.9": (b"GET /x\r\n\r\n", 505),
    "a path of nothing": (head("/y"), 404),
    "CONNECT": (head("x:1", method="CONNECT"), 404),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_no_answer_is_the_librarys(ask: Ask, data: bytes, status: int) -> None:
    """Every one is the JSON object of an error, on one line, and names no library."""
    code, headers, body = await ask(data)
    answer = json.loads(body)
    assert (code, headers["content-type"]) == (status, "application/json")
    assert (answer["type"], answer["code"], body.count(b"\n")) == ("error", status, 1)
    for word in ("install", "bytearray", "b'", "Traceback"):
        assert word not in answer["content"]


async def test_a_url_may_be_as_long_as_a_browsers(ask: Ask) -> None:
    """2 MiB, and a header may have 16 KiB, as on an edge."""
    target = "/x?" + "y" * (MAX_URL_BYTES - 3)
    status, _, body = await ask(head(target, "Cookie: " + "y" * (16384 - len("cookie"))))
    assert (status, json.loads(body)["url"]) == (200, MAX_URL_BYTES)


async def test_an_answer_that_fails_after_its_handler_is_logged_and_hides_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A fault of ours, wherever it happens, is a plain 500."""

    async def broken(request: web.Request) -> web.StreamResponse:
        raise LookupError("secret detail")

    app = web.Application()
    app.router.add_get("/", broken)
    runner = await listen(app, "127.0.0.1", 0, "COMET_PUBLISHER_PORT")
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(runner))
        writer.write(head("/", "Connection: close"))
        answer = await reader.read()
        writer.close()
    await runner.cleanup()
    assert b" 500 " in answer.partition(b"\r\n")[0]
    assert b"secret" not in answer
    assert "secret detail" in "".join(capsys.readouterr())
