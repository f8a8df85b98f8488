"""The registry of edges: each announces itself in Redis, so that no list of edges is configured anywhere.

An announcement is a key that expires; a set holds the ids of the edges that announced themselves. Reading removes the
ids whose announcement has expired from the set, so no clocks are compared.
"""

from collections.abc import Mapping
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from common.names import RedisNames

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

    async def read(self) -> list[dict[str, Any]]:
        """Return the last announcement of every edge, in the order of their ids."""
        members = sorted(cast(set[bytes], await self._redis.smembers(self._key)))
        if not members:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for member in members:
            pipeline.get(self._names.edge(member.decode(errors="replace")))
        values = await pipeline.execute()
        gone = [member for member, value in zip(members, values, strict=True) if value is None]
        if gone:
            await self._redis.srem(self._key, *gone)
        return [about for value in values if (about := _parse(value)) is not None]

    @property
    def _key(self) -> str:
        return self._names.edges().decode()


def _parse(value: bytes | None) -> dict[str, Any] | None:
    """Return an announcement, or None if it cannot be read."""
    try:
        about = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    return about if isinstance(about, dict) else None
