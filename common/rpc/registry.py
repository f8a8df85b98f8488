"""The registry of edges: each announces itself in Redis, so that no list of edges is configured anywhere.

An announcement is a key that expires; a set holds the ids of the edges that announced themselves. Reading removes the
ids whose announcement has expired from the set, so no clocks are compared.
"""

from collections.abc import Awaitable, Mapping
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from common.names import RedisNames
from common.redis.answers import reading

ANNOUNCEMENT_TTL = 10  # seconds after which an edge that no longer announces itself is gone


class EdgeRegistry:
    """The announcements of a deployment's edges; every call may raise `redis.RedisError` or OSError."""

    def __init__(self, redis: Redis, names: RedisNames) -> None:
        self._redis = redis
        self._names = names

    async def announce(self, edge_id: str, about: Mapping[str, object]) -> None:
        """Announce an edge with what is known about it (JSON values)."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(self._names.edge(edge_id), orjson.dumps(about), ex=ANNOUNCEMENT_TTL)
        pipeline.sadd(self._names.edges(), edge_id)
        await pipeline.execute()

    async def withdraw(self, edge_id: str) -> None:
        """Remove the announcement of an edge that ends."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.delete(self._names.edge(edge_id))
        pipeline.srem(self._names.edges(), edge_id)
        await pipeline.execute()

    async def read(self) -> dict[str, dict[str, Any] | None]:
        """Return the last announcement of every edge, in the order of their ids; None for one that is not JSON."""
        members = await cast(Awaitable[set[bytes]], self._redis.smembers(self._key))
        with reading("SMEMBERS", members):
            ids = {member.decode(errors="replace"): member for member in sorted(members)}
        if not ids:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for edge_id in ids:
            pipeline.get(self._names.edge(edge_id))
        values = dict(zip(ids, await pipeline.execute(), strict=True))
        gone = [member for edge_id, member in ids.items() if values[edge_id] is None]
        if gone:
            await self._redis.srem(self._key, *gone)
        return {edge_id: _parse(value) for edge_id, value in values.items() if value is not None}

    @property
    def _key(self) -> str:
        return self._names.edges().decode()


def _parse(value: bytes) -> dict[str, Any] | None:
    """Return an announcement, or None if it cannot be read."""
    try:
        about = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return about if isinstance(about, dict) else None
