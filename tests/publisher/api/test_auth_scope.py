"""Keys with a scope, and keys of operators: whose requests are obeyed, and whose are refused with 401 or 403."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from common.names import RedisNames
from tests.publisher.conftest import NO_REDIS, Client, eventually, running

ALL, SHOP, OPS, READER = (
    "k3y-for-all-channels",
    "k3y-of-the-shop-backend",
    "k3y-of-the-operators",
    "k3y-that-only-reads",
)
SCOPED = (ALL, f"shop:{SHOP}:order:* stock")
OPERATORS = (f"ops:{OPS}", f"dashboard:{READER}:read")
NOT_SHOPS = "id: the key 'shop' is not for the channel 'room'"
ORDERS = [("POST", "/close?id=room"), ("POST", "/broadcast?content=x")]
LATER = [("POST", "/disconnect?user=x"), ("POST", "/revoke?sub=x"), ("GET", "/connections?user=x")]
READS = [("GET", "/admin/edges"), ("GET", "/admin/tail?id=no%20room")]
ASKS = [("GET", "/info"), ("GET", "/info?id=room"), ("GET", "/check?id=room")]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def scoped(valkey_url: str, prefix: str) -> AsyncIterator[Client]:
    """Yield a client of a publisher with a bare key and one with channels."""
    async with running(redis_url=valkey_url, prefix=prefix, publish_keys=SCOPED) as it:
        await eventually(it.ready)
        yield it


@pytest.fixture
async def operated(valkey_url: str, prefix: str) -> AsyncIterator[Client]:
    """Yield a client of a publisher that has keys of operators, too."""
    settings = {"publish_keys": SCOPED, "admin_keys": OPERATORS}
    async with running(redis_url=valkey_url, prefix=prefix, **settings) as it:
        await eventually(it.ready)
        yield it


async def answer_of(client: Client, key: str, method: str, target: str, **options: Any) -> tuple[int, str]:
    """Return the status of a request with a key, and its body."""
    answer, text = await client.request(method, target, headers={"Authorization": f"Bearer {key}"}, **options)
    assert not any(secret in text for secret in (ALL, SHOP, OPS, READER))
    return answer.status, text


async def status_of(client: Client, key: str, method: str, target: str) -> int:
    """Return the status of a request with a key."""
    return (await answer_of(client, key, method, target))[0]


async def stored(redis: Redis, prefix: str, channel: str) -> int:
    """Return how many messages a channel has."""
    return int(await redis.xlen(RedisNames(prefix).log(channel)))


@pytest.mark.parametrize("channel", ["order:1", "stock"])
async def test_a_key_publishes_to_its_channels(scoped: Client, channel: str) -> None:
    """In every form of a request."""
    short = (404, f"id: {channel} not connected\n")
    assert await answer_of(scoped, SHOP, "GET", f"/pub?id={channel}&content=x") == short
    assert await answer_of(scoped, SHOP, "POST", "/pub", data={"id": channel, "content": "x"}) == short
    assert (await answer_of(scoped, SHOP, "POST", "/pub", json={"id": channel, "content": "x"}))[0] == 200


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("GET", {"params": {"id": "room", "content": "x"}}),
        ("GET", {"params": [("id", "stock"), ("id", "room"), ("content", "x")]}),
        ("GET", {"params": [("cname", "stock"), ("channel", "room"), ("content", "x")]}),
        ("POST", {"params": {"id": "room", "content": "x"}}),
        ("POST", {"data": {"id": "room", "content": "x"}}),
        ("POST", {"data": {"content": "x"}, "params": [("id", "stock"), ("id", "room")]}),
        ("POST", {"json": {"id": "room", "content": "x"}}),
        ("POST", {"json": {"channel": "room", "content": "x", "receipt": True, "event": "e"}}),
        ("POST", {"data": b'{"id":"ro\\u006fm","content":"x"}', "headers": JSON}),
    ],
)
async def test_a_key_publishes_to_no_other_channel(
    scoped: Client, redis: Redis, prefix: str, method: str, options: dict[str, Any]
) -> None:
    """403, in JSON or as text; the sentence names the channel and the key's name, and nothing of it is published."""
    options = options | {"headers": options.get("headers", {}) | {"Authorization": f"Bearer {SHOP}"}}
    answer, text = await scoped.request(method, "/pub", **options)
    is_json = answer.content_type == "application/json"
    assert is_json == ("json" in options or "Content-Type" in options["headers"])
    assert (answer.status, json.loads(text)["content"] if is_json else text.rstrip("\n")) == (403, NOT_SHOPS)
    assert [await stored(redis, prefix, channel) for channel in ("room", "stock")] == [0, 0]


@pytest.mark.parametrize(
    "body",
    [
        [{"id": "stock", "content": "x"}, {"id": "room", "content": "x"}, {"id": "order:1", "content": "x"}],
        {"ids": ["stock", "room", "order:1"], "content": "x"},
    ],
    ids=["array", "ids"],
)
async def test_in_an_array_the_error_takes_the_place_of_its_message(
    scoped: Client, redis: Redis, prefix: str, body: object
) -> None:
    """The others are published."""
    status, text = await answer_of(scoped, SHOP, "POST", "/pub", json=body)
    first, refused, last = json.loads(text)
    assert (status, refused) == (200, {"type": "error", "code": 403, "content": NOT_SHOPS})
    assert (first["seq"].split("-")[0], last["seq"].split("-")[0]) == ("1", "1")
    assert [await stored(redis, prefix, channel) for channel in ("stock", "room", "order:1")] == [1, 0, 1]


async def test_a_channel_that_exists_is_refused_like_one_that_does_not(scoped: Client) -> None:
    """Byte for byte, but for the name."""
    await answer_of(scoped, ALL, "POST", "/pub", json={"id": "secret", "content": "x"})
    known = await answer_of(scoped, SHOP, "GET", "/pub?id=secret&content=x")
    unknown = await answer_of(scoped, SHOP, "GET", "/pub?id=nobody&content=x")
    assert (known[0], known[1].replace("secret", "nobody")) == unknown


async def test_a_key_asks_about_its_channels_only(scoped: Client) -> None:
    """And not about all edges."""
    for path in ("/info", "/check"):
        assert await status_of(scoped, SHOP, "GET", f"{path}?id=stock") == 200
        assert await status_of(scoped, SHOP, "GET", f"{path}?id=room") == 403
        assert await status_of(scoped, ALL, "GET", f"{path}?id=room") == 200
    assert await status_of(scoped, SHOP, "GET", "/info") == 403
    assert await status_of(scoped, ALL, "GET", "/info") == 200


@pytest.mark.parametrize(("method", "target"), [*ORDERS, *READS, *LATER])
async def test_without_keys_of_operators_a_bare_key_operates(scoped: Client, method: str, target: str) -> None:
    """As ever; a key with channels does not, nor a request without one."""
    assert await status_of(scoped, ALL, method, target) in {200, 400, 404}
    assert await status_of(scoped, SHOP, method, target) == 403
    assert await status_of(scoped, OPS, method, target) == 401
    answer, _ = await scoped.request(method, target)
    assert answer.status == 401


@pytest.mark.parametrize(("method", "target"), [*ORDERS, *READS, *LATER])
async def test_where_operators_have_keys_the_others_do_not_operate(operated: Client, method: str, target: str) -> None:
    """403 for those that are good elsewhere, and for a change by one that only reads; 401 for strangers."""
    assert await status_of(operated, OPS, method, target) in {200, 400, 404}
    assert (await status_of(operated, READER, method, target) == 403) == (method == "POST")
    assert await status_of(operated, ALL, method, target) == 403
    assert await status_of(operated, SHOP, method, target) == 403
    assert await status_of(operated, "wrong-wrong-wrong", method, target) == 401
    answer, text = await operated.request(method, target)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="comet"')
    assert "COMET_ADMIN_KEYS" in text


async def test_operators_ask_and_do_not_publish(operated: Client) -> None:
    """The sentence tells the page for operators which key it needs for that."""
    for key, name in ((OPS, "ops"), (READER, "dashboard")):
        assert await status_of(operated, key, "GET", "/info") == 200
        assert await status_of(operated, key, "GET", "/check?id=room") == 200
        status, text = await answer_of(operated, key, "POST", "/pub", json={"id": "room", "content": "x"})
        sentence = f"the key '{name}' is of COMET_ADMIN_KEYS; this needs one of COMET_PUBLISH_KEYS"
        assert (status, json.loads(text)["content"]) == (403, sentence)
    assert await status_of(operated, ALL, "GET", "/pub?id=room&content=x") == 404


async def test_keys_of_operators_alone_leave_publishing_open(prefix: str) -> None:
    """Whoever reaches the publisher may publish, and neither ask nor operate."""
    async with running(redis_url=NO_REDIS, prefix=prefix, admin_keys=OPERATORS) as client:
        assert (await client.get("/pub?id=room&content=x"))[0] == 503
        for method, target in (*ORDERS, *ASKS):
            answer, text = await client.request(method, target)
            assert (answer.status, "one of COMET_ADMIN_KEYS" in text) == (401, True)
            assert await status_of(client, "wrong-wrong-wrong", method, target) == 401
            assert await status_of(client, OPS, method, target) == 503
            assert await status_of(client, READER, method, target) == (403 if method == "POST" else 503)


async def test_the_internal_port_takes_the_keys_of_operators(operated: Client) -> None:
    """For orders; the metrics show how often each key was used, by name, and no key."""
    await status_of(operated, SHOP, "GET", "/pub?id=stock&content=x")
    await status_of(operated, SHOP, "GET", "/pub?id=room&content=x")
    await status_of(operated, READER, "GET", "/info")
    status, text = await operated.admin("/metrics")
    assert status == 200
    for name, uses in (("key-1", 0), ("shop", 2), ("ops", 0), ("dashboard", 1)):
        assert f'comet_key_uses_total{{key="{name}"}} {uses}.0\n' in text
    assert not any(secret in text for secret in (ALL, SHOP, OPS, READER))
    assert (await operated.order("/drain?x=1"))[0] == 401
    assert (await operated.order("/drain?x=1", key=READER))[0] == 403
    assert (await operated.order("/drain?x=1", key=ALL))[0] == 401
    assert (await operated.order("/drain?x=1", key=OPS))[0] == 400


async def test_orders_are_logged_with_the_name_of_the_key(operated: Client) -> None:
    """Who closed a channel can be told afterwards; what was sent to all is not logged."""
    with capture_logs() as lines:
        for method, target in ORDERS:
            await status_of(operated, OPS, method, target)
    told = [{name: value for name, value in line.items() if name != "log_level"} for line in lines]
    assert told == [
        {"event": "closing the connections of a channel", "id": "room", "key": "ops"},
        {"event": "broadcasting", "bytes": 1, "key": "ops"},
    ]
