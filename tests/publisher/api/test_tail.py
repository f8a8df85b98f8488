"""The live tail of a channel, over a real socket and on a real Valkey."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession
from redis.asyncio import Redis

from common.names import RedisNames
from publisher.api import tail
from tests.publisher.conftest import NO_REDIS, Client, eventually, running

DEADLINE = 8.0


class Page:
    """A page that follows a channel."""

    def __init__(self, answer: ClientResponse) -> None:
        self._answer = answer

    async def entry(self) -> dict[str, Any]:
        """Return the next entry."""
        async with asyncio.timeout(DEADLINE):
            while not (line := await self._answer.content.readline()).startswith(b"data: "):
                assert line, "the tail has ended"
        return json.loads(line.removeprefix(b"data: "))  # type: ignore[no-any-return]

    async def end(self) -> None:
        """Read to the end."""
        async with asyncio.timeout(DEADLINE):
            await self._answer.content.read()


@asynccontextmanager
async def following(client: Client, channel: str) -> AsyncIterator[Page]:
    """Follow a channel until the block ends, and go without a word."""
    async with ClientSession() as session:
        url = f"http://127.0.0.1:{client.port}/admin/tail"
        async with session.get(url, params={"id": channel}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            yield Page(answer)
            answer.close()


async def contents(page: Page, count: int) -> list[str]:
    """Return what the next entries carry."""
    return [(await page.entry())["content"] for _ in range(count)]


async def publish(client: Client, channel: str, *messages: str) -> None:
    """Publish through the publisher."""
    status, _ = await client.post([{"id": channel, "content": message} for message in messages])
    assert status == 200


async def test_it_begins_with_what_is_kept_and_goes_on_live(client: Client) -> None:
    """The last twenty, then each new one with its time, event, and position."""
    await publish(client, "room", *[str(number) for number in range(30)])
    async with following(client, "room") as tail:
        assert await contents(tail, 20) == [str(number) for number in range(10, 30)]
        _, answer = await client.post({"id": "room", "content": "ü", "event": "news"})
        entry = await tail.entry()
    assert abs(entry.pop("at") - time.time()) < 60
    assert entry == {"seq": answer["seq"], "event": "news", "content": "ü", "size": 2}


async def test_a_channel_without_messages_may_be_followed(client: Client, redis: Redis, prefix: str) -> None:
    """The first message ever is seen, and following made no key."""
    async with following(client, "new") as tail:
        await asyncio.sleep(0)
        assert await redis.keys(f"*{prefix}*") == []
        await publish(client, "new", "first")
        assert await contents(tail, 1) == ["first"]


async def test_a_long_content_is_cut(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page gets the beginning and the whole size."""
    monkeypatch.setattr(tail, "MAX_CHARACTERS", 5)
    await publish(client, "room", "1234567")
    async with following(client, "room") as it:
        entry = await it.entry()
    assert (entry["content"], entry["size"]) == ("12345", 7)


async def test_what_was_trimmed_before_it_could_be_read_is_told(
    client: Client, redis: Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tail that is too slow says how many messages it has not shown."""
    key = RedisNames(prefix).log("room")
    await publish(client, "room", "0")
    monkeypatch.setattr(tail, "READ_INTERVAL", 0.5)
    async with following(client, "room") as it:
        assert await contents(it, 1) == ["0"]
        async with redis.pipeline(transaction=True) as pipeline:
            for number in range(2, 6):
                pipeline.xadd(key, {"p": 1, "d": str(number)}, id=f"{number}-{number}")
            pipeline.xtrim(key, maxlen=1, approximate=False)
            await pipeline.execute()
        assert (await it.entry())["note"] == "3 messages were gone before they could be read"
        assert await contents(it, 1) == ["5"]


async def test_a_log_that_begins_anew_is_followed(client: Client, redis: Redis, prefix: str) -> None:
    """After a wipe the positions are lower; the tail says so and shows the new messages."""
    await publish(client, "room", "one", "two")
    async with following(client, "room") as it:
        assert await contents(it, 2) == ["one", "two"]
        names = RedisNames(prefix)
        await redis.delete(names.log("room"), names.top("room"))
        await publish(client, "room", "anew")
        assert (await it.entry())["note"] == tail.RESTARTED
        assert await contents(it, 1) == ["anew"]


async def test_a_tail_ends_when_its_page_goes(client: Client) -> None:
    """Nothing is left behind, whether messages come or not."""
    tails = client.publisher._tail
    async with following(client, "quiet"), following(client, "busy") as busy:
        await publish(client, "busy", "x")
        assert await contents(busy, 1) == ["x"]
        await eventually_is(lambda: tails.open == 2)
    await eventually_is(lambda: tails.open == 0)


async def eventually_is(look: Callable[[], bool]) -> None:
    """Wait until it is true."""

    async def looking() -> bool:
        return look()

    await eventually(looking)


async def test_there_are_only_so_many(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is turned away with 503, and let in when another has gone."""
    monkeypatch.setattr(tail, "MAX_TAILS", 1)
    async with following(client, "room"):
        status, text = await client.get("/admin/tail?id=room")
        assert (status, "close one" in text) == (503, True)
    await eventually_is(lambda: client.publisher._tail.open == 0)
    async with following(client, "room"):
        pass


@pytest.mark.parametrize("target", ["/admin/tail", "/admin/tail?id=a&id=b", "/admin/tail?id=no%20room"])
async def test_one_channel_is_followed(client: Client, target: str) -> None:
    """Anything else is a 400 that says so."""
    status, text = await client.get(target)
    assert (status, json.loads(text)["content"][:4]) == (400, "id: ")


async def test_without_history_there_is_nothing_to_follow(valkey_url: str, prefix: str) -> None:
    """A 400 that names the setting."""
    async with running(redis_url=valkey_url, prefix=prefix, history_size=0) as client:
        status, text = await client.get("/admin/tail?id=room")
    assert (status, "COMET_HISTORY_SIZE=0" in text) == (400, True)


async def test_tails_do_not_delay_the_end_of_the_publisher(valkey_url: str, prefix: str) -> None:
    """They end by themselves when it stops."""
    async with running(redis_url=valkey_url, prefix=prefix) as client:
        await eventually(client.ready)
        async with following(client, "room") as it:
            began = time.monotonic()
            await client.publisher.stop()
            await it.end()
            assert time.monotonic() - began < 4


async def test_a_tail_is_not_asked_for_its_head(prefix: str) -> None:
    """It would be followed without an end, and take a place."""
    async with running(redis_url=NO_REDIS, prefix=prefix) as client:
        answer, _ = await client.request("HEAD", "/admin/tail?id=room")
        assert (answer.status, answer.headers["Allow"]) == (405, "GET")
