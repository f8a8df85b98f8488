"""COMET_PUBLISH_RATE: each key has its own seconds, and what is too much is refused as a whole."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from common.access.keys import NOBODY, Key
from common.errors import LimitError
from publisher.api.rate import PublishRate
from tests.edge.edge_without_redis import FakeClock
from tests.publisher.conftest import Client, eventually, running

SHOP, BLOG = Key("shop"), Key("blog")
KEYS = ("shop:k3y-of-the-shop-backend:room", "blog:k3y-of-the-blog-backend")


def test_each_key_has_a_rate_of_its_own() -> None:
    """Ten in a second; the error says when there is room again."""
    clock = FakeClock()
    rate = PublishRate(10, clock)
    rate.spend(SHOP, 10)
    with pytest.raises(LimitError) as caught:
        rate.spend(SHOP, 1)
    sentence = "the key 'shop' takes 10 messages a second (COMET_PUBLISH_RATE); try again in 1 s"
    assert (str(caught.value), caught.value.status, caught.value.retry_after) == (sentence, 429, 1)
    rate.spend(BLOG, 10)
    rate.spend(NOBODY, 10)
    clock.now += 0.5
    rate.spend(SHOP, 5)


def test_keys_of_one_name_have_rates_of_their_own() -> None:
    """As where an operator and a backend are called the same in their lists."""
    rate = PublishRate(1, FakeClock())
    for key in (Key("ops", b"1"), Key("ops", b"2")):
        rate.spend(key, 1)
        with pytest.raises(LimitError):
            rate.spend(key, 1)


def test_an_array_is_taken_as_a_whole_and_paid_for() -> None:
    """A thousand at once, and then nothing for a hundred seconds."""
    clock = FakeClock()
    rate = PublishRate(10, clock)
    rate.spend(SHOP, 1000)
    for messages, wait in ((1, 100), (1000, 100)):
        with pytest.raises(LimitError) as caught:
            rate.spend(SHOP, messages)
        assert caught.value.retry_after in {wait - 1, wait, wait + 1}
    clock.now += 100
    rate.spend(SHOP, 10)


def test_who_needs_no_key_is_not_called_one() -> None:
    """All of them share one rate."""
    rate = PublishRate(1, FakeClock())
    rate.spend(NOBODY, 1)
    with pytest.raises(LimitError, match=r"^this publisher, without a key, takes 1 messages a second"):
        rate.spend(NOBODY, 1)


def test_zero_is_no_limit() -> None:
    """As it is by default."""
    rate = PublishRate(0, FakeClock())
    rate.spend(SHOP, 10**9)
    rate.spend(SHOP, 1)


@pytest.fixture
async def limited(valkey_url: str, prefix: str) -> AsyncIterator[Client]:
    """Yield a client of a publisher that takes few messages of each key."""
    async with running(redis_url=valkey_url, prefix=prefix, publish_keys=KEYS, publish_rate=3) as it:
        await eventually(it.ready)
        yield it


async def sent(client: Client, key: str, method: str, target: str, **options: Any) -> tuple[int, str, str]:
    """Return status, Retry-After and body of a request with a key."""
    answer, text = await client.request(method, target, headers={"Authorization": f"Bearer {key}"}, **options)
    return answer.status, answer.headers.get("Retry-After", ""), text


async def test_too_much_is_429_with_retry_after(limited: Client) -> None:
    """In text for the short form, in JSON for JSON; the other key is not concerned."""
    shop, blog = "k3y-of-the-shop-backend", "k3y-of-the-blog-backend"
    array = [{"id": "room", "content": "x"}] * 30
    status, _, text = await sent(limited, shop, "POST", "/pub", json=array)
    assert (status, len(json.loads(text))) == (200, 30)
    for method, options in (
        ("GET", {"params": {"id": "room", "content": "x"}}),
        ("POST", {"data": {"id": "room", "content": "x"}}),
        ("POST", {"json": {"id": "room", "content": "x"}}),
        ("POST", {"json": array}),
        ("POST", {"json": {"ids": ["room"], "content": "x"}}),
    ):
        status, retry_after, text = await sent(limited, shop, method, "/pub", **options)
        assert (status, 8 <= int(retry_after) <= 10) == (429, True)
        assert "the key 'shop' takes 3 messages a second (COMET_PUBLISH_RATE); try again in" in text
    assert (await sent(limited, blog, "POST", "/broadcast", json={"content": "x"}))[0] == 200
    assert (await sent(limited, blog, "GET", "/pub?id=a&id=b&content=x"))[0] == 404
    assert (await sent(limited, blog, "POST", "/broadcast", json={"content": "x"}))[0] == 429
    assert 'comet_publish_total{code="429",source="http"} 6.0' in (await limited.admin("/metrics"))[1]


async def test_what_is_refused_for_its_channel_is_not_counted(limited: Client) -> None:
    """Only what would be published."""
    refused = [{"id": "other", "content": "x"}] * 100
    assert (await sent(limited, "k3y-of-the-shop-backend", "POST", "/pub", json=refused))[0] == 200
    assert (await sent(limited, "k3y-of-the-shop-backend", "GET", "/pub?id=room&content=x"))[0] == 404
