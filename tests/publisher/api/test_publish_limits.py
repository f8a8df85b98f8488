"""The limits of a request, over a real socket: they agree with each other, and a refusal names them."""

import json
from io import BytesIO
from urllib.parse import quote

import pytest
from redis.asyncio import Redis

from common.names import RedisNames
from tests.publisher.conftest import Client, eventually, running

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip"])
async def test_an_encoding_that_is_not_read_is_415_in_json(client: Client, encoding: str) -> None:
    """It names the header and what may be sent, and no package."""
    headers = {**JSON, "Content-Encoding": encoding}
    answer, text = await client.request("POST", "/pub", data=b"abc", headers=headers)
    assert (answer.status, answer.content_type) == (415, "application/json")
    assert json.loads(text)["content"].startswith("content-encoding: only gzip and deflate are read here")


async def test_get_takes_what_a_browsers_url_can_hold(valkey_url: str, prefix: str, redis: Redis) -> None:
    """65,536 bytes of content, percent-encoded, as `/pub` takes them in a body."""
    async with running(redis_url=valkey_url, prefix=prefix) as client:
        await eventually(client.ready)
        for name, content in (("chinese", "\u6f22" * 1000), ("large", "\u6f22" * 21_845 + "x")):
            status, text = await client.get(f"/pub?id={name}&content={quote(content)}")
            assert (status, text) == (404, f"id: {name} not connected\n")
            ((_, fields),) = await redis.xrange(RedisNames(prefix).log(name))
            assert fields[b"d"].decode() == content


async def test_a_url_over_the_limit_is_414(client: Client) -> None:
    """With a sentence that says what to do."""
    answer, text = await client.request("GET", "/pub?id=room&content=" + "x" * 2**21)
    assert answer.status == 414
    assert json.loads(text)["content"] == "the URL is longer than 2097152 bytes; send a body instead"


async def test_the_cookies_of_the_host_do_not_close_the_dashboard(client: Client) -> None:
    """A browser sends all cookies of a host, whichever port they are from; edges take as many."""
    answer, _ = await client.request("GET", "/admin", headers={"Cookie": "x=" + "y" * 9000})
    assert answer.status == 200
    answer, text = await client.request("GET", "/admin", headers={"Cookie": "x=" + "y" * 17_000})
    assert (answer.status, json.loads(text)["content"]) == (431, "a header is longer than 16384 bytes")


async def test_a_hundred_messages_of_60_kb_are_one_request(valkey_url: str, prefix: str) -> None:
    """8 MiB of body is allowed with the default size of a message."""
    async with running(redis_url=valkey_url, prefix=prefix) as client:
        await eventually(client.ready)
        messages = [{"id": f"room-{number}", "content": "x" * 60_000} for number in range(100)]
        body = BytesIO(json.dumps(messages).encode())
        answer, text = await client.request("POST", "/pub", data=body, headers=JSON)
        assert answer.status == 200, text
        assert [each["edges"] for each in json.loads(text)] == [0] * 100


async def test_a_body_over_the_limit_is_told_both_limits(client: Client) -> None:
    """The count of messages and the bytes, as JSON."""
    answer, text = await client.request("POST", "/pub", data=BytesIO(b" " * (2**23 + 1)), headers=JSON)
    assert (answer.status, answer.content_type) == (413, "application/json")
    assert json.loads(text)["content"] == (
        "the body is over 8388608 bytes; one request has at most 1000 messages and 8388608 bytes"
    )


async def test_larger_messages_make_the_limit_larger(valkey_url: str, prefix: str) -> None:
    """Six times `COMET_MAX_MESSAGE_BYTES` and a mebibyte: each of its bytes may be an escape of six."""
    async with running(redis_url=valkey_url, prefix=prefix, max_message_bytes=2_000_000) as client:
        await eventually(client.ready)
        body = b'{"id":"room","content":"' + rb"\u0000" * 2_000_000 + b'"}'
        answer, text = await client.request("POST", "/pub", data=BytesIO(body), headers=JSON)
        assert answer.status == 200, text
        answer, text = await client.request("POST", "/pub", data=BytesIO(b" " * 13_048_577), headers=JSON)
        assert answer.status == 413
        assert "at most 1000 messages and 13048576 bytes" in text


async def test_the_demo_pages_send_one_short_message(client: Client) -> None:
    """They need no key, so their bodies have a limit of their own."""
    answer, text = await client.request("POST", "/demo/pub", data=b" " * 16_385, headers=JSON)
    assert answer.status == 413
    assert "16384 bytes" in text
