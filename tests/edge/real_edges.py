"""Real edges in the process of the test, on a real Valkey, and subscribers on real sockets."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from common.names import RedisNames
from common.rpc.messages import Reply
from common.settings import load_settings
from edge.app import Edge

DEADLINE = 8.0
WEBSOCKET = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def until(look: Callable[[], object], told: str = "it did not happen") -> None:
    """Wait until `look` gives something true; fail when it did not in time."""
    end = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < end, told
        await asyncio.sleep(0.005)


@asynccontextmanager
async def running(url: str, prefix: str, count: int = 2, **settings: object) -> AsyncIterator[list[Edge]]:
    """Run edges in this process until the block ends; they are connected when it begins."""
    where: dict[str, object] = {"edge_host": "127.0.0.1", "edge_port": 0, "edge_admin_port": 0}
    edges = [Edge(load_settings(redis_url=url, prefix=prefix, **where, **settings)) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for edge in edges:
            await edge.start()
            stack.push_async_callback(edge.stop)
        for edge in edges:
            await until(lambda edge=edge: edge._redis.pubsub.up)  # type: ignore[misc]
        yield edges


class Subscriber:
    """A subscriber by stream, or by any other request that is held."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def object(self) -> dict[str, Any]:
        """Read the next line that is a JSON object."""
        async with asyncio.timeout(DEADLINE):
            while not (line := await self._reader.readline()).startswith(b"{"):
                assert line, "the connection has ended"
        return json.loads(line)  # type: ignore[no-any-return]

    async def rest(self) -> bytes:
        """Read until the edge ends the connection."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.read()

    def close(self) -> None:
        """Go."""
        self._writer.close()


async def publish_plainly(edge: Edge, channel: str, payload: bytes) -> None:
    """Publish as any backend would."""
    await edge._redis.redis.publish(RedisNames(edge._settings.prefix).channel(channel), payload)


@asynccontextmanager
async def subscribers() -> AsyncIterator[Callable[..., Awaitable[Subscriber]]]:
    """Yield a function that subscribes at an edge, and waits for the welcomes of a stream; all go at the end."""
    opened: list[Subscriber] = []

    async def one(edge: Edge, query: str, welcomes: int = 1, headers: str = "") -> Subscriber:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(f"GET /sub?{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        opened.append(Subscriber(reader, writer))
        for _ in range(welcomes):
            assert (await opened[-1].object())["type"] == "welcome"
        return opened[-1]

    yield one
    for subscriber in opened:
        subscriber.close()


def sums(replies: list[Reply], field: str) -> dict[str, int]:
    """Return one field of each edge's reply."""
    return {reply.edge: reply.fields[field] for reply in replies}
