from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common.names import RedisNames
from common.rpc.registry import ANNOUNCEMENT_TTL, EdgeRegistry


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Yield a client of the Valkey that all tests share."""
    async with Redis.from_url(valkey_url) as it:
        yield it


@pytest.fixture
def registry(redis: Redis, prefix: str) -> EdgeRegistry:
    """Return an empty registry."""
    return EdgeRegistry(redis, RedisNames(prefix))


async def test_an_edge_is_there_from_its_announcement_until_it_is_withdrawn(registry: EdgeRegistry) -> None:
    """The last announcement of each edge counts; they are sorted by their ids."""
    await registry.announce("b", {"id": "b"})
    await registry.announce("a", {"id": "a", "busy": 1})
    await registry.announce("a", {"id": "a", "busy": 2})
    assert await registry.read() == {"a": {"id": "a", "busy": 2}, "b": {"id": "b"}}
    await registry.withdraw("a")
    assert await registry.read() == {"b": {"id": "b"}}
    await registry.withdraw("b")
    assert await registry.read() == {}


async def test_an_edge_that_dies_is_forgotten(redis: Redis, prefix: str, registry: EdgeRegistry) -> None:
    """The announcement expires, and the next reader removes the id from the set."""
    names = RedisNames(prefix)
    await registry.announce("dead", {"id": "dead"})
    assert 0 < await redis.ttl(names.edge("dead")) <= ANNOUNCEMENT_TTL
    await registry.announce("alive", {"id": "alive"})
    await redis.delete(names.edge("dead"))
    assert await registry.read() == {"alive": {"id": "alive"}}
    assert await redis.smembers(names.edges().decode()) == {b"alive"}


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff"])
async def test_what_cannot_be_read_is_named(redis: Redis, prefix: str, registry: EdgeRegistry, value: bytes) -> None:
    """A broken announcement hides no other."""
    await registry.announce("good", {"id": "good"})
    await registry.announce("bad", {"id": "bad"})
    await redis.set(RedisNames(prefix).edge("bad"), value)
    assert await registry.read() == {"bad": None, "good": {"id": "good"}}
