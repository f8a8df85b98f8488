import json
from collections.abc import AsyncIterator

import pytest

from publisher.api.pages import PAGES
from tests.publisher.conftest import Client, eventually, running

KEYS = ("a-key-of-16-chars", "b-key-of-16-chars")
GUARDED = [
    ("GET", "/pub?id=1&content=x"),
    ("POST", "/pub"),
    ("POST", "/broadcast?content=x"),
    ("POST", "/close?id=1"),
    ("GET", "/info"),
    ("GET", "/check?id=1"),
    ("GET", "/admin/edges"),
    ("GET", "/admin/tail?id=1"),
    ("GET", "/nowhere"),
    ("GET", "/admin/"),
    ("GET", "//admin"),
    ("GET", "/static"),
]


@pytest.fixture
async def guarded(valkey_url: str, prefix: str) -> AsyncIterator[Client]:
    """Yield a client of a publisher that wants a key, and shows the demo."""
    async with running(redis_url=valkey_url, prefix=prefix, publish_keys=KEYS, demo=True) as it:
        await eventually(it.ready)
        yield it


@pytest.mark.parametrize(("method", "target"), GUARDED)
@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0]}x", "Bearer ä"]
)
async def test_without_a_right_key_nothing_is_done(guarded: Client, method: str, target: str, header: str) -> None:
    """401 with a challenge, in JSON; what paths there are is not told either."""
    answer, text = await guarded.request(method, target, headers={"Authorization": header} if header else {})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="comet"'
    assert json.loads(text)["code"] == 401
    assert not any(key in text for key in KEYS)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_each_key_opens(guarded: Client, key: str, scheme: str) -> None:
    """The old one and the new one, while they are being changed."""
    answer, _ = await guarded.request("GET", "/info", headers={"Authorization": f"{scheme} {key}"})
    assert answer.status == 200
    answer, _ = await guarded.request("POST", "/pub", json={"id": "1"}, headers={"Authorization": f"{scheme} {key}"})
    assert answer.status == 400


@pytest.mark.parametrize("target", [*PAGES, "/demo/config.json", "/static/comet.css"])
async def test_pages_and_their_files_need_no_key(guarded: Client, target: str) -> None:
    """They hold no data; the page for operators asks for a key itself."""
    answer, _ = await guarded.request("GET", target)
    assert answer.status == 200


async def test_the_demo_may_publish_without_a_key(guarded: Client) -> None:
    """It is restricted to its own channels: where keys are set, nobody publishes to others without one."""
    answer, _ = await guarded.request("POST", "/demo/pub", json={"id": "demo", "content": "x"})
    assert answer.status == 200
    answer, _ = await guarded.request("POST", "/demo/pub", json={"id": "room", "content": "x"})
    assert answer.status == 403


async def test_without_keys_every_request_is_allowed(client: Client) -> None:
    """As before; a key that is sent all the same does no harm."""
    answer, _ = await client.request("GET", "/info", headers={"Authorization": "Bearer whatever"})
    assert answer.status == 200
