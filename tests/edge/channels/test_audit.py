"""The audit on a real Valkey: a stored message that is lost on its way is found, also when nothing shows the hole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from common.message import Message
from common.names import RedisNames
from common.redis.client import connect
from common.scripts.calls import Scripts, script_text
from common.settings import load_settings
from edge.app import Edge
from tests.edge.real_edges import running, subscribers

LOST = script_text("publish").replace("call('PUBLISH', channel, frame)", "0")  # stored, and received by no edge


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Yield a client of a real Valkey."""
    async with connect(valkey_url) as client:
        yield client


@pytest.fixture
async def edge(valkey_url: str, prefix: str) -> AsyncIterator[Edge]:
    """Yield an edge that audits often."""
    async with running(valkey_url, prefix, count=1, audit=0.4) as (edge,):
        yield edge


@asynccontextmanager
async def chatter(redis: Redis, prefix: str, channel: str) -> AsyncIterator[None]:
    """Send ephemeral messages while the block runs, more often than the audit looks."""
    scripts = Scripts(redis, RedisNames(prefix), load_settings())

    async def send() -> None:
        while True:
            await scripts.publish(channel, Message(b"ephemeral"), live=True)
            await asyncio.sleep(0.02)  # the pause between two

    task = asyncio.create_task(send())
    yield
    task.cancel()


async def test_the_last_message_is_found_when_it_was_lost(edge: Edge, redis: Redis, prefix: str) -> None:
    """No other message follows it."""
    async with subscribers() as subscribe:
        reader = await subscribe(edge, "id=room")
        await redis.eval(LOST, 1, RedisNames(prefix).channel("room"), "lost")  # type: ignore[misc]
        assert (await reader.object())["content"] == "lost"


async def test_live_messages_do_not_hide_that_a_stored_one_was_lost(edge: Edge, redis: Redis, prefix: str) -> None:
    """They have no position and prove nothing: the channel is as quiet as if they were not."""
    async with subscribers() as subscribe, chatter(redis, prefix, "room"):
        reader = await subscribe(edge, "id=room")
        await redis.eval(LOST, 1, RedisNames(prefix).channel("room"), "lost")  # type: ignore[misc]
        for _ in range(200):
            if (content := (await reader.object())["content"]) != "ephemeral":
                break
        assert content == "lost"


async def test_a_quiet_channel_is_kept_as_long_as_it_has_subscribers(edge: Edge, redis: Redis, prefix: str) -> None:
    """Its position would be gone after a day without a message, and every client reset although nothing is lost."""
    top = RedisNames(prefix).top("room")
    async with subscribers() as subscribe:
        reader = await subscribe(edge, "id=room")
        await redis.expire(top, 3)
        for _ in range(50):
            if await redis.ttl(top) > 3:
                break
            await asyncio.sleep(0.05)
        assert await redis.ttl(top) > 3
        await redis.publish(RedisNames(prefix).channel("room"), "hi")
        assert (await reader.object())["content"] == "hi"
