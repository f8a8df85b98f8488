"""One script: it is run by its digest, and loaded if the server has not got it."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

import hiredis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from common.redis.client import pool_of


class Script:
    """A script of one client; `sha` is what Redis calls it."""

    def __init__(self, redis: Redis, text: str) -> None:
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._redis = redis
        self._pool = pool_of(redis)
        self._read: Any = redis.response_callbacks["EVALSHA"]  # which refuses replies of the wrong kind
        self._text = text

    async def run(self, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """Run it and return its answer; raises `RedisError` or `OSError`."""
        command = hiredis.pack_command(("EVALSHA", self.sha, len(keys), *keys, *arguments))
        try:
            return await self._pool.ask(command, self._read)
        except NoScriptError:
            await self._redis.script_load(self._text)
            return await self._pool.ask(command, self._read)
