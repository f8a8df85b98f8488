"""Announcements: every edge says in Redis that it is there, so that no list of edges is configured anywhere.

An announcement is a key that expires; a set holds the ids of those who announced themselves. Who reads takes the ids
whose announcement has expired out of the set: no clocks are compared.
"""

from collections.abc import Mapping
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from common.names import RedisNames

LASTS = 10  # seconds after which an edge that is not heard of any more is gone


class EdgeRegistry:
    """What edges have announced; every call may raise `redis.RedisError` or OSError."""

    def __init__(self, redis: Redis, names: RedisNames) -> None:
        self._redis = redis
        self._names = names

    async def announce(self, edge_id: str, about: Mapping[str, object]) -> None:
        """Say that an edge is there, and what there is to know about it (JSON values)."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(self._names.edge(edge_id), orjson.dumps(about), ex=LASTS)
        pipeline.sadd(self._names.edges(), edge_id)
        await pipeline.execute()

    async def withdraw(self, edge_id: str) -> None:
        """Say that an edge is gone."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.delete(self._names.edge(edge_id))
        pipeline.srem(self._names.edges(), edge_id)
        await pipeline.execute()

    async def read(self) -> list[dict[str, Any]]:
        """Return what every edge that is there announced last, in the order of their ids."""
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
        return [about for value in values if (about := _read(value)) is not None]

    @property
    def _key(self) -> str:
        return self._names.edges().decode()


def _read(value: bytes | None) -> dict[str, Any] | None:
    """Return what was announced, or None if it cannot be read."""
    try:
        about = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    return about if isinstance(about, dict) else None
