"""The proof that Redis does what the work needs: this is the server that new connections reach, and it takes writes.

An open connection proves neither. After a failover it stays with a server that was demoted, or that a proxy or an
address has left behind; a PUBLISH there is taken, and reaches no process on the new primary. So each probe goes out on
a new connection:

- Its PUBLISH counts the subscribers of this very server. None means that our subscription is with another one.
- `SET … XX` on a key that does not exist writes nothing, and is refused wherever a write would be.
- CLUSTER INFO tells of several shards, which would need one subscribe connection each.

A right that is missing is told once, and the rest still counts; without the right to write, ROLE is asked. Where no
new connection can be opened (the name server is away, Redis has its most clients), one that is open is asked instead.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from redis import RedisError, ResponseError
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.errors import WrongServerError
from common.logs import get_logger
from common.redis.answers import reading
from common.redis.client import connect, pool_of
from common.redis.pool import WRONG_SERVER

NEW = b"new"  # the payload by which a connection is proved before it is used; those of probes are numbers
REFUSALS = ("OOM", "MISCONF", "NOREPLICAS")  # a write is refused, by the right server
MAX_TRIES, RETRY_PAUSE = 4, 0.1  # to find a connection that is open and not in use; seconds
FORBIDDEN = ("NOPERM", "ERR unknown command", "unknown command")
ELSEWHERE = "new connections reach a server that does not know the subscribe connection; connecting to that one"
REPLICA = "this server is a replica; COMET_REDIS_URL must lead to the primary"
SHARDS = "this Redis is a cluster of {} shards; COMET_REDIS_URL must lead to one server, or a cluster of one shard"


class Answers(NamedTuple):
    """What Redis answered to a probe, and the client that asked."""

    client: Redis
    write: Any
    reached: Any
    cluster: Any


class ServerProof:
    """Proves the server of one process; `redis` is the client whose connections must not outlive the proof.

    `probe_name` is the channel of the process's probes, and the key of the write that writes nothing.
    """

    def __init__(self, url: str, probe_name: bytes, redis: Redis) -> None:
        self.refusal = ""  # why Redis refuses writes, if it is one of REFUSALS
        self._name = probe_name
        self._pooled = redis
        self._pool = pool_of(redis)
        self._fresh = connect(url)
        self._fresh_pool = pool_of(self._fresh)
        self._closed = ""  # why no new connection could be opened
        self._warned: set[str] = set()
        self._log = get_logger()

    def on_suspect(self, prove: Callable[[], None]) -> None:
        """Have `prove` called when a connection for commands broke, or led to a server that cannot serve."""
        self._pool.on_suspect = prove

    async def verify(self) -> None:
        """Prove the server of a subscribe connection that is new; raises as `publish` does."""
        await self.publish(self._name, NEW)
        self._pool.retire()

    async def publish(self, name: bytes, payload: bytes) -> None:
        """Publish a probe on a new connection.

        Raises `WrongServerError` if it is proved that the work must not go on there, and RedisError or OSError if
        nothing was proved.
        """
        try:
            answers = await self._ask(name, payload)
            _judge_cluster(answers.cluster)
            await self._judge_write(answers.write, answers.client)
        except WRONG_SERVER as error:
            raise WrongServerError(_sentence(error)) from None
        finally:
            self._fresh_pool.retire()
            await self._fresh_pool.sweep()
            await self._pool.sweep()
        if isinstance(answers.reached, Exception):
            raise answers.reached
        if answers.reached == 0:
            raise WrongServerError(ELSEWHERE)

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._fresh.aclose()

    async def _ask(self, name: bytes, payload: bytes) -> Answers:
        """Ask on a new connection, or on an open one: if no new one can be opened, that proves nothing against it."""
        try:
            answers = await self._ask_by(self._fresh, name, payload)
        except BusyLoadingError:
            raise
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            answers = await self._ask_an_open_one(name, payload)
            self._note_closed(str(error) or type(error).__name__)
        else:
            self._note_closed("")
        return answers

    async def _ask_an_open_one(self, name: bytes, payload: bytes) -> Answers:
        """Ask on a connection that is open; all may be in use for a moment, and no further one can be opened."""
        for _ in range(MAX_TRIES - 1):
            with suppress(RedisConnectionError):
                return await self._ask_by(self._pooled, name, payload)
            await asyncio.sleep(RETRY_PAUSE)
        return await self._ask_by(self._pooled, name, payload)

    async def _ask_by(self, client: Redis, name: bytes, payload: bytes) -> Answers:
        pipeline = client.pipeline(transaction=False)
        pipeline.set(self._name, b"", xx=True)
        pipeline.publish(name, payload)
        pipeline.execute_command("CLUSTER INFO")
        return Answers(client, *await pipeline.execute(raise_on_error=False))

    async def _judge_write(self, answer: Any, client: Redis) -> None:
        """Take note of the answer to a write; raises it if it does not come from a server that serves us."""
        refusal = _sentence(answer) if isinstance(answer, ResponseError) else ""
        if refusal.startswith(FORBIDDEN):
            self._warn(f"SET on the key {self._pattern}", refusal)
            await self._judge_role(client)
        elif refusal and not refusal.startswith(REFUSALS):
            raise answer
        else:
            self._note_refusal(refusal)

    async def _judge_role(self, client: Redis) -> None:
        """Ask the server for its role, where the write is forbidden."""
        try:
            role = await client.execute_command("ROLE")  # type: ignore[no-untyped-call]
        except ResponseError as error:
            self._warn("ROLE", _sentence(error))
            return
        with reading("ROLE", role):
            name = role[0].decode()
        if name != "master":
            raise ReadOnlyError(f"its ROLE is {name:.20}", status_code="READONLY")

    def _note_refusal(self, refusal: str) -> None:
        if refusal and not self.refusal:
            self._log.warning("redis refuses writes; stored messages are answered 503", error=refusal)
        elif self.refusal and not refusal:
            self._log.info("redis takes writes again")
        self.refusal = refusal

    def _note_closed(self, error: str) -> None:
        """Tell once that no new connection can be opened while those that are open work, and of the end of it."""
        if error and not self._closed:
            self._log.warning("redis takes no new connection; those that are open work", error=error)
        elif self._closed and not error:
            self._log.info("redis takes new connections again")
        self._closed = error

    def _warn(self, right: str, error: str) -> None:
        """Name a right that is missing, once."""
        if right not in self._warned:
            self._warned.add(right)
            self._log.warning(f"this user of Redis may not use {right}; a demotion is noticed later", error=error)

    @property
    def _pattern(self) -> str:
        return self._name.decode().rpartition(":")[0] + ":*"


def _judge_cluster(answer: Any) -> None:
    """Raise `WrongServerError` if Redis is a cluster of several shards; no answer proves nothing."""
    size = answer.get("cluster_size", "1") if isinstance(answer, dict) else "1"
    shards = int(size) if re.fullmatch("[0-9]{1,5}", size, re.ASCII) else 1
    if shards > 1:
        raise WrongServerError(SHARDS.format(shards))


def _sentence(error: RedisError) -> str:
    """Return an error in Redis' own words; redis-py takes the first one off."""
    text = str(error)
    code = error.status_code or ""
    text = text if text.startswith(code) else f"{code} {text}"
    return f"{text} ({REPLICA})" if isinstance(error, ReadOnlyError) else text
