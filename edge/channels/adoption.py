"""Adoption: plain PUBLISH messages are handed in to the log, so that they get a position, history and resume.

Every edge that is subscribed to a channel sees the same bare messages in the same order, numbers them alike
(`ChannelLog.receive`), and hands each in. The script stores the first copy of a message and ignores the others. Edges
deliver the frame that the script sends, one Redis round trip later. See docs/adoption.md and common/scripts/adopt.lua.

A1  A channel's messages are handed in one after the other, in the order in which they arrived.
A2  A call whose outcome is unknown is repeated: the messages' numbers make that harmless.
A3  A message that cannot be stored (Redis refuses it, or is down for too long) goes out live, without a position, and
    is counted. The log notes the gap with the next message that it stores, so that the other edges do the same.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from redis import RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from common.logs import get_logger
from common.scripts.results import Adopted, AdoptionState, Bare
from common.tasks import Worker
from edge.counters import Counters
from edge.state import Channel

MAX_MESSAGES_PER_CALL = 64  # of one channel
MAX_CALLS = 16  # under way at a time, each for another channel
WAIT_PAUSE = 0.02  # seconds before the next call if an older edge goes first
FAILURE_PAUSE = 0.2  # seconds before the next call if Redis cannot be reached
STORE_TIMEOUT = 5.0  # seconds that a message waits for Redis before it goes out live
MAX_WAITING = 10_000  # messages of one channel; any more go out live at once

Sleep = Callable[[float], Awaitable[object]]
Adopt = Callable[[str, int, Sequence[Bare]], Awaitable[Adopted]]


class Handed(NamedTuple):
    """A bare message that is being handed in."""

    bare: Bare
    first_epoch: int  # the first bare epoch that this edge counts in full
    since: float  # when it arrived, in seconds of the adopter's clock


class Adopter:
    """Hands in the bare messages of each channel; `deliver` sends those that go out live instead."""

    def __init__(
        self,
        adopt: Adopt,
        deliver: Callable[[str, list[bytes]], None],
        counters: Counters,
        clock: Callable[[], float],
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._adopt = adopt
        self._deliver = deliver
        self._counters = counters
        self._clock = clock
        self._sleep = sleep
        self._queues: dict[str, deque[Handed]] = {}
        self._worker = Worker(self._run)
        self._log = get_logger()

    def hand_in(self, channel: Channel, bare: Bare) -> None:
        """Queue one message of a channel; those of one turn go to Redis together."""
        name = channel.name
        queue = self._queues.setdefault(name, deque())
        if len(queue) >= MAX_WAITING:
            self._send_live(name, [bare.payload], "too_many")
            return
        queue.append(Handed(bare, channel.first_bare_epoch, self._clock()))
        self._worker.wake()

    async def finish(self, seconds: float) -> None:
        """Hand in what is queued, for at most `seconds`: no other edge may have these messages."""
        await self._worker.finish(seconds)

    async def _run(self) -> None:
        while self._queues:
            names = list(self._queues)[:MAX_CALLS]
            moved = await asyncio.gather(*map(self._hand_in_some, names))
            for name in names:  # the other channels go first next time
                queue = self._queues.pop(name)
                if queue:
                    self._queues[name] = queue
            if not any(moved):
                await self._sleep(WAIT_PAUSE)

    async def _hand_in_some(self, name: str) -> bool:
        """Hand in the next messages of one channel; return False if they must wait before the next call."""
        queue = self._queues[name]
        first_epoch = queue[0].first_epoch
        batch = [handed.bare for handed in list(queue)[:MAX_MESSAGES_PER_CALL] if handed.first_epoch == first_epoch]
        try:
            adopted = await self._adopt(name, first_epoch, batch)
        except (RedisError, OSError) as error:
            return await self._on_failure(name, len(batch), error)
        self._counters.adopted_total += adopted.done
        for _ in range(adopted.done):
            queue.popleft()
        if adopted.state is AdoptionState.SKIPPED:
            self._send_oldest_live(name, 1, "skipped")
        return adopted.state is not AdoptionState.WAIT

    async def _on_failure(self, name: str, tried: int, error: Exception) -> bool:
        """Keep messages if Redis cannot be reached; send them live if it refuses them, or if they waited too long.

        Return whether the queue is shorter now.
        """
        refused = isinstance(error, ResponseError) and not isinstance(error, RedisConnectionError)
        if refused or self._clock() - self._queues[name][0].since > STORE_TIMEOUT:
            self._log.warning("plain messages go out without a position", channel=name, error=str(error))
            self._send_oldest_live(name, tried, "refused" if refused else "unreachable")
            return True
        await self._sleep(FAILURE_PAUSE)
        return False

    def _send_oldest_live(self, name: str, count: int, reason: str) -> None:
        queue = self._queues[name]
        self._send_live(name, [queue.popleft().bare.payload for _ in range(count)], reason)

    def _send_live(self, name: str, payloads: list[bytes], reason: str) -> None:
        self._counters.not_adopted_total[reason] += len(payloads)
        self._deliver(name, payloads)
