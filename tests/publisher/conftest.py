"""A publisher in this process, a client for it, and edges: doubles that only answer receipts, and real ones."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession
from redis.asyncio import Redis

from common.message import Message, decode
from common.names import RedisNames
from common.settings import load_settings
from edge.app import Edge
from publisher.app import Publisher
from tests.edge.real_edges import running as running_edges
from tests.edge.real_edges import subscribers

DEADLINE = 5.0
NO_REDIS = "redis://127.0.0.1:1"  # what is let in, and needs Redis, is 503


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is true; fail when it did not become so in time."""
    end = time.monotonic() + DEADLINE
    while not await look():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.005)


class Client:
    """Speaks to one publisher."""

    def __init__(self, publisher: Publisher, session: ClientSession) -> None:
        self.publisher = publisher
        self._session = session

    @property
    def port(self) -> int:
        """The publisher's public port."""
        return self.publisher.port

    async def request(self, method: str, target: str, **options: Any) -> tuple[ClientResponse, str]:
        """Send a request to the public port and return the answer and its body."""
        async with self._session.request(method, f"http://127.0.0.1:{self.publisher.port}{target}", **options) as it:
            return it, await it.text()

    async def get(self, target: str) -> tuple[int, str]:
        """Return status and body of a GET."""
        answer, text = await self.request("GET", target)
        return answer.status, text

    async def post(self, value: object) -> tuple[int, Any]:
        """POST a JSON value to `/pub` and return status and the JSON answer."""
        answer, _ = await self.request("POST", "/pub", json=value)
        return answer.status, await answer.json()

    async def admin(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET on the internal port."""
        async with self._session.get(f"http://127.0.0.1:{self.publisher.admin_port}{path}") as answer:
            return answer.status, await answer.text()

    async def order(self, path: str, key: str = "") -> tuple[int, str]:
        """Return status and body of a POST on the internal port, with a key or without."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"http://127.0.0.1:{self.publisher.admin_port}{path}"
        async with self._session.post(url, headers=headers) as answer:
            return answer.status, await answer.text()

    async def ready(self) -> bool:
        """Ask whether the publisher hears its inbox."""
        status, _ = await self.admin("/readyz")
        return status == 200


@asynccontextmanager
async def running(**settings: object) -> AsyncIterator[Client]:
    """Run a publisher with these settings on free ports."""
    publisher = Publisher(load_settings(publisher_port=0, publisher_admin_port=0, **settings))
    await publisher.start()
    try:
        async with ClientSession() as session:
            yield Client(publisher, session)
    finally:
        await publisher.stop()


@pytest.fixture
async def client(valkey_url: str, prefix: str) -> AsyncIterator[Client]:
    """Yield a client of a publisher that is ready, with the demo; a message may have 1000 bytes."""
    async with running(redis_url=valkey_url, prefix=prefix, max_message_bytes=1000, demo=True) as it:
        await eventually(it.ready)
        yield it


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator["Redis"]:
    """Yield a redis-py client of the shared Valkey."""
    it: Redis = Redis.from_url(valkey_url)
    yield it
    await it.aclose()


class FakeEdge:
    """Doubles an edge: subscribes to channels, keeps their messages, and answers receipts unless it is silent."""

    def __init__(self, redis: Redis, names: RedisNames, subscribers: int | None) -> None:
        self.messages: list[Message] = []
        self._redis, self._names, self._subscribers = redis, names, subscribers

    async def listen(self, pubsub: Any) -> None:
        """Take what arrives, until cancelled."""
        async for reply in pubsub.listen():
            message = decode(reply["data"])
            self.messages.append(message)
            owner, _, number = message.inbox.partition(".")
            if owner and self._subscribers is not None:
                await self._redis.publish(self._names.inbox(owner), f"{number} {self._subscribers}")


Edges = Callable[..., Any]


@pytest.fixture
def edge(redis: Redis, prefix: str) -> Edges:
    """Return a factory: `async with edge("room", subscribers=3)`; `subscribers=None` never answers."""

    @asynccontextmanager
    async def connected(*channels: str, subscribers: int | None) -> AsyncIterator[FakeEdge]:
        names = RedisNames(prefix)
        it = FakeEdge(redis, names, subscribers)
        async with redis.pubsub() as pubsub:
            await pubsub.subscribe(*[names.channel(channel) for channel in channels])
            for _ in channels:
                await pubsub.get_message(timeout=DEADLINE)  # the acknowledgement
            task = asyncio.create_task(it.listen(pubsub))
            yield it
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return connected


@pytest.fixture
async def edges(client: Client, valkey_url: str, prefix: str) -> AsyncIterator[list[Edge]]:
    """Yield two edges beside the publisher."""
    async with running_edges(valkey_url, prefix, max_message_bytes=1000) as it:
        yield it


@pytest.fixture
async def subscribe() -> AsyncIterator[Any]:
    """Yield a function that subscribes at an edge."""
    async with subscribers() as it:
        yield it


async def told(client: Client, method: str, target: str, **options: Any) -> Any:
    """Send a request that must be answered with 200, and return the JSON answer."""
    answer, text = await client.request(method, target, **options)
    assert (answer.status, answer.content_type) == (200, "application/json"), text
    return json.loads(text)
