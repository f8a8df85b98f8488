"""Commands that come together go out together, on a connection that nothing else uses meanwhile.

A pipeline is what came in one turn of the event loop, or while the last pipeline was under way; nothing waits for a
timer. For whoever adds to this:

- PL1  The commands of one call stay together and in their order, and pipelines go out in the order of the calls.
- PL2  Each command has its own reply, or its own error. Where a connection breaks off, the replies before that stand,
  and those in the pipeline that have none are errors: they may have been carried out. No other call notices.
- PL3  A call that ran out of time before its turn is not sent.
- PL4  A pipeline that is not answered within `STALL` holds nobody up: the next one goes out on a connection of its own
  beside it. As connecting and answering have their time-outs, there are never more than two dozen.
- PL5  The connection is taken from the pool for each pipeline, so all that is true of its connections holds here.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import hiredis
from redis import RedisError, ResponseError
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.redis.client import COMMAND_TIMEOUT, pool_of
from common.redis.pool import PooledConnection
from common.tasks import Tasks

STALL = 0.1  # seconds
MAX_COMMANDS = 256  # in one pipeline, unless one call has more: about 4 ms of Redis' time
MAX_BYTES = 1 << 18  # of one pipeline, unless one call has more: it passes a slow line well within `COMMAND_TIMEOUT`
IN_TIME = "redis did not answer in time"
GIVEN_UP = "the pipeline was given up"

Read = Callable[[Any], Any]


class Command(NamedTuple):
    """One command: the name under which `common.redis.answers` knows its replies, and its words."""

    name: str
    words: tuple[Any, ...]


class Pipelines:
    """Sends the commands of one client; `observe` gets the seconds of each pipeline, to its last reply."""

    def __init__(self, redis: Redis, observe: Callable[[float], None] = lambda seconds: None) -> None:
        self._pool = pool_of(redis)
        self._readers: Any = redis.response_callbacks  # which refuse replies of the wrong kind
        self._observe = observe
        self._waiting: deque[_Call] = deque()
        self._turn: object | None = None  # of the task that takes what waits
        self._tasks = Tasks()

    async def execute(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Send commands, and return a reply or a RedisError or OSError for each; `deadline` is by the loop's clock."""
        packed = b"".join([hiredis.pack_command(command.words) for command in commands])
        call = _Call(packed, [self._readers[command.name] for command in commands])
        self._waiting.append(call)
        if self._turn is None:
            self._begin_turn()
        expiry = asyncio.get_running_loop().call_at(deadline, call.expire)
        try:
            await call.answered
        finally:
            expiry.cancel()
        return call.results()

    async def aclose(self) -> None:
        """Give up what is under way and what waits; nothing may be executed afterwards."""
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            call.end(RedisConnectionError(GIVEN_UP))
        await self._tasks.cancel_all()

    def _begin_turn(self) -> None:
        self._turn = turn = object()
        self._tasks.start(self._send_in_turn(turn))

    async def _send_in_turn(self, turn: object) -> None:
        """Send what waits, one pipeline after the other, until nothing is left or one of them stalls."""
        loop = asyncio.get_running_loop()
        try:
            while self._turn is turn and self._waiting:
                stalled = loop.call_later(STALL, self._end_turn, turn)
                try:
                    await self._send(self._take())
                finally:
                    stalled.cancel()
        finally:
            self._end_turn(turn)

    def _end_turn(self, turn: object) -> None:
        if self._turn is turn:
            self._turn = None
            if self._waiting:
                self._begin_turn()

    def _take(self) -> list["_Call"]:
        """Take the calls of the next pipeline, without those that nobody waits for any more."""
        calls: list[_Call] = []
        commands = size = 0
        while self._waiting:
            call = self._waiting[0]
            commands, size = commands + len(call.readers), size + len(call.packed)
            if calls and (commands > MAX_COMMANDS or size > MAX_BYTES):
                break
            self._waiting.popleft()
            if not call.answered.done():
                calls.append(call)
        return calls

    async def _send(self, calls: Sequence["_Call"]) -> None:
        """Send one pipeline and settle its calls."""
        if not calls:
            return
        began = perf_counter()
        failure: Exception = RedisConnectionError(GIVEN_UP)
        try:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            try:
                await _exchange(connection, calls)
            finally:
                await self._pool.release(connection)
            self._observe(perf_counter() - began)
        except (RedisError, OSError) as error:
            failure = error
        finally:
            for call in calls:
                call.end(failure)


class _Call:
    """Packed commands, what reads their replies, and the replies so far."""

    __slots__ = ("answered", "failure", "packed", "readers", "replies")

    def __init__(self, packed: bytes, readers: list[Read]) -> None:
        self.packed = packed
        self.readers = readers
        self.replies: list[Any] = []
        self.failure: Exception | None = None  # what those without a reply have
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self, failure: Exception | None = None) -> None:
        """Wake who waits; `failure` is why no further reply comes, if one is missing."""
        if not self.answered.done():
            self.failure = failure
            self.answered.set_result(None)

    def expire(self) -> None:
        """Wake who waits: there is no time left."""
        self.end(RedisTimeoutError(IN_TIME))

    def results(self) -> list[Any]:
        """Return a reply or an error for each command."""
        return self.replies + [self.failure] * (len(self.readers) - len(self.replies))


async def _exchange(connection: PooledConnection, calls: Sequence[_Call]) -> None:
    """Send calls, and read their replies until the last or until the connection breaks off, which is raised."""
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT):
            await connection.send(b"".join([call.packed for call in calls]))
            for call in calls:
                for read in call.readers:
                    reply = await connection.receive()
                    call.replies.append(reply if isinstance(reply, ResponseError) else read(reply))
                call.end()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
