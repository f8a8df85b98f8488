"""The audit on a real Valkey: a stored message that is lost on its way is found, also when nothing shows the hole."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from common.message import Message
from common.names import RedisNames
from common.position import Position
from common.redis.client import connect
from common.scripts.calls import script_text
from common.scripts.results import SyncOutcome, SyncQuery, SyncResult
from common.settings import load_settings
from edge.app import Edge
from edge.channels import audit as audit_module
from edge.channels.audit import Auditor
from edge.state import Channel
from tests.common.scripts.real_log import Backend
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
    backend = Backend(redis, RedisNames(prefix), load_settings())

    async def send() -> None:
        while True:
            await backend.publish(channel, Message(b"ephemeral"), live=True)
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


async def test_a_channel_that_is_let_go_of_meanwhile_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit of many takes half a period: it keeps none of them in memory, and repairs none that is not there."""
    monkeypatch.setattr(audit_module, "MAX_CHANNELS_PER_CALL", 1)
    monkeypatch.setattr(audit_module, "SECOND_LOOK_DELAY", 0)
    channels = {name: live_channel(name) for name in ("first", "second")}
    left: list[list[str]] = []

    async def sync(queries: Sequence[SyncQuery]) -> list[SyncOutcome]:
        channels.pop("second", None)
        left.append([one.name for one in gc.get_objects() if isinstance(one, Channel) and one.name == "second"])
        return [SyncResult(Position(2, 8), []) for _ in queries]

    repaired: list[Channel] = []
    await Auditor(channels, repaired.append, sync, 0.01).audit()
    assert repaired == [channels["first"]]
    assert left == [[], [], []]


def live_channel(name: str) -> Channel:
    """Return a channel that is up to date at a position."""
    channel = Channel(name)
    channel.restart(Position(1, 7))
    channel.go_live()
    return channel
