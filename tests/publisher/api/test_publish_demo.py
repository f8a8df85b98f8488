"""`/demo/pub`, which needs no key: only the demo's channels, only so often, and only where the demo is on (S11)."""

import json
import time

import pytest

from publisher.api.publish import MAX_DEMO_RATE
from tests.publisher.conftest import NO_REDIS, Client, eventually, running

KEY = "a-key-of-16-chars"
#: What began with `demo` or `chat`, and could be said to by anybody.
OTHERS = [
    "chat",
    "chat:user:17",
    "chatter-private",
    "democracy",
    "demographics",
    "demo-1",
    "demo.1",
    "demo/1",
    "Demo:1",
]


@pytest.mark.parametrize("keys", [(), (KEY,)])
async def test_other_channels_are_refused_with_a_sentence(valkey_url: str, prefix: str, keys: tuple[str, ...]) -> None:
    """403 with keys and without, and nothing of it counts towards the rate."""
    async with running(redis_url=valkey_url, prefix=prefix, demo=True, publish_keys=keys) as client:
        await eventually(client.ready)
        for channel in OTHERS * MAX_DEMO_RATE:
            answer, text = await client.request("POST", "/demo/pub", json={"id": channel, "content": "hi"})
            assert (answer.status, json.loads(text)["code"]) == (403, 403)
        assert "publishes only to demo and to channels that begin with demo:" in json.loads(text)["content"]
        answer, _ = await client.request("POST", "/demo/pub", json={"id": "demo:chat", "content": "hi"})
        assert answer.status == 200


async def test_the_demo_is_limited_in_rate(client: Client) -> None:
    """All its visitors together publish so much a second; above that 429, which says when to try again."""
    began, published, refused = time.monotonic(), 0, 0
    while not refused or published < 2 * MAX_DEMO_RATE:
        message = {"id": f"demo:{published % 7}", "content": "hi"}
        answer, text = await client.request("POST", "/demo/pub", json=message)
        if answer.status == 429:
            refused += 1
            assert answer.headers["Retry-After"] == "1"
            assert "the demo publishes at most 20 messages a second" in json.loads(text)["content"]
        else:
            assert answer.status == 200
            published += 1
    assert published <= MAX_DEMO_RATE * (1 + time.monotonic() - began) + 1
    assert (await client.get("/pub?id=room&content=hi"))[0] == 404  # which is limited by nothing of this


async def test_the_demo_takes_nothing_of_the_rate_of_others(prefix: str) -> None:
    """Nor does what they publish concern it: what is let in, is 503 here."""
    async with running(redis_url=NO_REDIS, prefix=prefix, demo=True, publish_rate=1) as client:

        async def published(*paths: str) -> list[int]:
            message = {"id": "demo", "content": "hi"}
            return [(await client.request("POST", path, json=message))[0].status for path in paths]

        assert await published("/demo/pub", "/demo/pub", "/pub", "/pub", "/demo/pub") == [503, 503, 503, 429, 503]


@pytest.mark.parametrize("keys", [(), (KEY,)])
@pytest.mark.parametrize("said", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {"Host": "evil.test"}])
async def test_without_the_demo_there_is_no_demo(prefix: str, keys: tuple[str, ...], said: dict[str, str]) -> None:
    """By default its pages and all below `/demo` are 404, whoever asks for what; the dashboard and files are not."""
    async with running(redis_url=NO_REDIS, prefix=prefix, publish_keys=keys) as client:
        for path in ("/", "/chat", "/demo", "/demo/", "/demo/config.json", "/demo/pub", "/demo/pub/", "/demo/nothing"):
            for method in ("GET", "POST"):
                answer, text = await client.request(method, path, json={"id": "demo", "content": "hi"}, headers=said)
                assert (answer.status, answer.content_type) == (404, "application/json"), (method, path)
                assert json.loads(text) == {
                    "type": "error",
                    "code": 404,
                    "content": "the demo is off here; a publisher with COMET_DEMO=1 serves it",
                }
        for path in ("/admin", "/static/comet.js"):
            assert (await client.get(path))[0] == 200
